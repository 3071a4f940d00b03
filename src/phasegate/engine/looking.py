"""Looking: runs, their history and outputs, why they do not move, who works."""

from __future__ import annotations

import threading
import time as _time
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from phasegate.core.explain import Reason
from phasegate.core.explain import why as explain
from phasegate.core.flow import Flow
from phasegate.core.flowdata import flow_from_data
from phasegate.core.planner import settled
from phasegate.core.report import Entry, Progress
from phasegate.core.run import PhaseStatus, Run, RunStatus, Subject
from phasegate.engine.base import Base
from phasegate.errors import UnknownName
from phasegate.store.base import Commit, QuotaUse, RunFilter, WorkerRow


class Looking(Base):
    """The part of the façade that changes nothing."""

    def get(self, run_id: str, *, tenant: str | None = None) -> Run:
        """A run with all its phase instances; an unambiguous beginning of its id will do. Raises ``UnknownName``."""
        tenant = tenant or self.tenant
        found = [run for run in self.store.load([run_id]) if run.tenant == tenant]
        if not found and len(run_id) >= 4:
            some = self.store.find(RunFilter(tenant=tenant, id_prefix=run_id, limit=2))
            found = self.store.load([some[0].id]) if len(some) == 1 else []
        if not found:
            raise self._unknown(run_id, tenant)
        return found[0]

    def _unknown(self, run_id: str, tenant: str) -> UnknownName:
        error = UnknownName("run", run_id)
        stones = self.store.tombstones(tenant, run_id=run_id) if len(run_id) >= 4 else []
        if len(stones) == 1:
            error.hint = f"{stones[0]}"
        return error

    def find(
        self, flow: str | None = None, *, subject: Subject | None = None, status: Collection[RunStatus | str] | None = None,
        tenant: str | None = None, limit: int | None = 100, newest_first: bool = True,
    ) -> list[Run]:  # fmt: skip
        """Runs, newest first, without their phase instances."""
        statuses = None if status is None else tuple(RunStatus(each) for each in status)
        return self.store.find(
            RunFilter(
                tenant=tenant or self.tenant, flow=flow, subject=subject, statuses=statuses, limit=limit,
                newest_first=newest_first,
            )
        )  # fmt: skip

    def history(self, run_id: str, *, tenant: str | None = None) -> list[Entry]:
        """Every fact of a run, in order."""
        run = self.get(run_id, tenant=tenant)
        commits = self.store.log(run_id=run.id, limit=1_000_000)
        return [
            Entry(commit.seq - len(commit.facts) + 1 + place, fact.at, fact)
            for commit in commits
            for place, fact in enumerate(commit.facts)
        ]

    def outputs(self, run_id: str, *, tenant: str | None = None) -> dict[str, Any]:
        """The present outputs of a run by phase; of a phase that repeats, a mapping from scope (keys joined by /)."""
        run = self.get(run_id, tenant=tenant)
        places = [(i.phase, i.scope, i.version) for i in run.phases.values() if i.version is not None]
        values = self.store.outputs([(run.id, *place) for place in places])
        found: dict[str, Any] = {}
        for phase, scope, version in places:
            value = values.get((run.id, phase, scope, version))
            if scope:
                found.setdefault(phase, {})["/".join(scope)] = value
            else:
                found[phase] = value
        return found

    def output(self, run_id: str, phase: str, scope: Sequence[str] = (), *, tenant: str | None = None) -> Any:
        """The present output of one phase, of one that repeats for the item that ``scope`` names; None when there is none."""
        run, place = self.get(run_id, tenant=tenant), (phase, tuple(scope))
        version = run.phases[place].version if place in run.phases else None
        if version is None:
            return None
        key = (run.id, *place, version)
        return self.store.outputs([key]).get(key)

    def watch(self, after: int = 0, *, tenant: str | None = None, follow: bool = False) -> Iterator[Commit]:
        """Commits after a position, in order; with ``follow`` for ever, waiting for new ones."""
        tenant, news = tenant or self.tenant, None
        while True:
            news = self.store.news()
            commits = self.store.log(after=after)
            yield from (commit for commit in commits if commit.tenant == tenant)
            after = commits[-1].position if commits else after
            while not commits and follow and self.store.news() == news:
                _time.sleep(0.1)
            if not commits and not follow:
                return

    def why(self, run_id: str, *, tenant: str | None = None) -> tuple[Reason, ...]:
        """Why a run is not moving: reason codes and sentences."""
        run = self.get(run_id, tenant=tenant)
        return explain(self._definition(run.flow, run.version), run, self.store.now())

    def plan(
        self, flow: str | Flow, subjects: Sequence[Subject], *, tenant: str | None = None
    ) -> dict[Subject, list[str]]:
        """The phases that are not settled, per subject, in the order in which they would run; nothing is run."""
        definition = self._flow(flow)
        found = self._runs_of(definition.name, subjects, tenant or self.tenant, None)
        runs = {run.subject: run for run in self.store.load([run.id for run in found.values()])}
        return {
            subject: [n for n in definition.order if subject not in runs or not settled(definition, runs[subject], n)]
            for subject in subjects
        }

    def progress(self, run_id: str, *, tenant: str | None = None) -> Progress:
        """How many of the phase instances known by now are done."""
        run = self.get(run_id, tenant=tenant)
        statuses = dict.fromkeys(PhaseStatus, 0)
        for instance in run.phases.values():
            statuses[instance.status] += 1
        flow = self._known(run)
        untouched = sum(1 for name in flow.order if not flow.levels[name] and (name, ()) not in run.phases)
        statuses[PhaseStatus.PENDING] += untouched
        done = statuses[PhaseStatus.SUCCEEDED] + statuses[PhaseStatus.SKIPPED]
        return Progress(run.id, done, sum(statuses.values()), statuses)

    def wait(self, run_id: str, *, timeout: float | None = None, tenant: str | None = None) -> Run:
        """Block until a run has ended or parked, or ``timeout`` seconds have passed; the run as it is then.

        Somebody must be working: a worker here or elsewhere.
        """
        deadline = None if timeout is None else _time.monotonic() + timeout
        news = threading.Event()
        here: list[Run] = []

        def listen(runs: list[Run]) -> None:
            here.extend(run for run in runs if run.id == run_id and _at_rest(run))
            if here:
                news.set()

        self._journal.committed.append(listen)
        try:
            while True:
                run = self.get(run_id, tenant=tenant)
                left = 0.1 if deadline is None else min(0.1, deadline - _time.monotonic())
                if _at_rest(run) or left <= 0:
                    return run
                # Commits of this process are heard of at once; those of others are looked for ten times a second.
                if news.wait(left):
                    return here[0]
        finally:
            self._journal.committed.remove(listen)

    def read(self, statement: Any, params: Mapping[str, Any] | None = None) -> list[Mapping[str, Any]]:
        """Rows of a query, for reports: an SQLAlchemy statement or SQL text."""
        return self.store.read(statement, params)

    def workers(self) -> list[WorkerRow]:
        """The workers on this database and how many runs each holds."""
        return self.store.workers()

    def quotas(self) -> list[QuotaUse]:
        """The quotas of which places are in use over all workers, or of whose rate something was used, by name and key."""
        return self.store.quotas()

    def flows(self) -> list[Flow]:
        """The flows registered here, and those the database knows from others."""
        here = {(flow.name, flow.version): flow for flow in self.registry.flows}
        stored = {(flow.name, flow.version): flow for flow in map(flow_from_data, self.store.flows())}
        return [(stored | here)[key] for key in sorted(stored | here)]

    def next_due(self) -> datetime | None:
        """When a retry, a snooze or a deadline of the flows registered here comes next; None when only persons can move on."""
        return self.store.next_due([(flow.name, flow.version) for flow in self.registry.flows])


def _at_rest(run: Run) -> bool:
    return run.finished or run.status in (RunStatus.WAITING, RunStatus.PAUSED)
