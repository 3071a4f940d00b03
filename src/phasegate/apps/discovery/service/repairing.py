"""Put right what a crash, or a hand in the tables, has left behind: by the engine's own operations, never by setting a status."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from phasegate import Run
from phasegate.apps.discovery.projection import FLOW
from phasegate.apps.discovery.rules.health import Health, judge
from phasegate.apps.discovery.service.base import Entry
from phasegate.apps.discovery.service.health import TRIES, Healths
from phasegate.apps.discovery.service.rows import projected
from phasegate.apps.discovery.statements.health import ALL_FLOWS, RUNS
from phasegate.errors import Conflict, PhasegateError, UnknownName

#: One thing to do: the flow, what is done, why, and the function that does it, given the entry of the audit.
_Repair = tuple[str, str, str, Callable[[Entry], object]]


class Repairing(Healths):
    """The part that puts flows right."""

    def repair(self, *, dry_run: bool = False, again: bool = False) -> dict[str, Any]:
        """Do what can be done about flows that are not well; with ``dry_run`` only say what that would be.

        What dead processes of this machine held is free at once. Rows that are not what the engine's log says are written from it
        (``rebuild``). A run whose rows are gone is ended (``cancel``). With ``again`` flows that have failed are tried again
        (``retry``), and attempts that nothing has come of for long are given up and repeated (``restart``). Every action is
        audited; one that fails says so, and keeps none of the others.
        """
        freed = 0 if dry_run else self.engine.bury_dead_workers()
        actions = []
        for flow_id, action, why, act in list(self._repairs(again=again)):
            told = {"flow_id": flow_id, "action": action, "why": why, "done": False, "error": None}
            actions.append(told if dry_run else {**told, **self._carried_out(flow_id, action, act)})
        return {"dry_run": dry_run, "freed_workers": freed, "actions": actions}

    def _carried_out(self, flow_id: str, action: str, act: Callable[[Entry], object]) -> dict[str, Any]:
        try:
            with self.audited("repair", flow_id, action=action) as entry:
                act(entry)
        except PhasegateError as error:
            return {"error": str(error)}
        return {"done": True}

    def _repairs(self, *, again: bool) -> Iterator[_Repair]:
        now = self.engine.store.now()
        living = self._held(now)
        runs = {each.id: each for each in self.engine.find(FLOW, tenant=self.tenant.name, limit=None)}
        for row in self.engine.read(ALL_FLOWS, self.tenant.where):
            if row["run_id"] not in runs:
                continue  # purged, with its log
            try:
                run, wrong = self._compared(row)
                verdict = judge(self._situation(row["flow_id"], run, now, living))
            except UnknownName:  # purged at this moment
                continue
            if wrong:
                yield row["flow_id"], "rebuild", "; ".join(wrong), partial(self._rebuild, run.id)
            if again and verdict.health is Health.FAILED:
                yield row["flow_id"], "retry", verdict.why, partial(self._retried, run.id)
            elif again and verdict.health is Health.HANGING and living:
                yield row["flow_id"], "restart", verdict.why, partial(self._restart, run.id)
        known = {row["run_id"] for row in self.engine.read(RUNS, self.tenant.where)}
        for run in runs.values():
            if run.id not in known and not run.finished:
                yield run.subject.id, "cancel", "its rows are gone: it can write nothing", partial(self._end, run.id)

    def _rebuild(self, run_id: str, entry: Entry) -> None:
        """Write the rows as the projection would. When the flow moved on meanwhile they may be of before that: then again."""
        for _ in range(TRIES):
            run = self.engine.get(run_id, tenant=self.tenant.name)
            self.engine.write([*projected(self.engine, run), *self._notes(entry)])
            if self.engine.get(run_id, tenant=self.tenant.name).seq == run.seq:
                return
        raise Conflict(f"run {run_id} kept changing")

    def _retried(self, run_id: str, _entry: Entry) -> Run:
        return self.engine.retry(run_id, by=self.tenant.user_id, tenant=self.tenant.name)

    def _restart(self, run_id: str, _entry: Entry) -> None:
        """Pausing gives up what is under way; nothing of it is written."""
        self.engine.pause(run_id, by=self.tenant.user_id, reason="nothing came of it", tenant=self.tenant.name)
        self.engine.resume(run_id, by=self.tenant.user_id, tenant=self.tenant.name)

    def _end(self, run_id: str, _entry: Entry) -> Run:
        return self.engine.cancel(run_id, by=self.tenant.user_id, reason="its rows are gone", tenant=self.tenant.name)
