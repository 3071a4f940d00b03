"""Many subjects at once: start their runs, aim them at a phase, do it, report."""

from __future__ import annotations

import time as _time
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from phasegate.core import commands
from phasegate.core import facts as f
from phasegate.core.flow import Flow
from phasegate.core.planner import advance, scopes, settled
from phasegate.core.report import PhaseReport, PhaseResult
from phasegate.core.run import PhaseRun, PhaseStatus, Run, RunStatus, Subject
from phasegate.engine.asking import CONFLICTS
from phasegate.engine.retaining import purged
from phasegate.engine.working import Working
from phasegate.errors import Conflict, Fenced, NeedsNotMet, NotAllowed, Purged
from phasegate.store.base import Append
from phasegate.store.ids import new_id
from phasegate.store.retention import forgetting


class Aiming(Working):
    """The part of the façade that takes many subjects through phases."""

    def start(
        self, flow: str | Flow, subject: Subject, *, tenant: str | None = None, input: Any = None, key: str | None = None,
        aim: Collection[str] | None = None, by: str = "", again: bool = False, priority: int = 0,
    ) -> Run:  # fmt: skip
        """The run of ``subject`` through ``flow``, created when there is none yet.

        Idempotent per (tenant, flow, subject, key), also after the run has ended; ``again`` starts a new one then. When the
        run was purged there is none to give back, and without ``again`` none is started: ``Purged`` says when it ended and
        went. ``aim`` limits the run to some phases. Of a tenant's runs that are due those of higher ``priority`` are taken first.
        """
        runs = self.start_many(
            flow, [subject], tenant=tenant, inputs=[input], key=key, aim=aim, by=by, again=again, priority=priority
        )
        return runs[0]

    def start_many(
        self, flow: str | Flow, subjects: Sequence[Subject], *, tenant: str | None = None,
        inputs: Sequence[Any] | None = None, key: str | None = None, aim: Collection[str] | None = None, by: str = "",
        again: bool = False, priority: int = 0,
    ) -> list[Run]:  # fmt: skip
        """``start`` for many subjects, in one commit; the runs in the order of the subjects.

        Without ``again`` nothing is started when runs of some of them were purged; ``Purged`` names these.
        """
        definition = self._flow(flow)
        tenant = tenant or self.tenant
        found, stones = self.store.known(tenant, definition.name, subjects, key or "")
        if stones and not again:
            raise purged(stones.values())
        fresh: dict[Subject, Append] = {}
        now = self.store.now()
        wanted = None if aim is None else frozenset(definition.phase(name).name for name in aim)
        for position, subject in enumerate(subjects):
            present = found.get(subject)
            if subject in fresh or (present is not None and not (again and present.finished)):
                continue
            given = inputs[position] if inputs else None
            fact = f.RunStarted(
                now,
                new_id(),
                tenant,
                definition.name,
                definition.version,
                subject,
                key or "",
                wanted,
                by,
                given,
                priority,
            )
            run, facts = advance(definition, None, now, fact)
            append = self._compose(definition, None, run, facts, now)
            fresh[subject] = append if subject not in stones else append._replace(writes=(forgetting(stones[subject]),))
        self._append_new(definition, fresh)
        return [fresh[subject].run if subject in fresh else found[subject] for subject in subjects]

    def _append_new(self, flow: Flow, fresh: dict[Subject, Append]) -> None:
        if not fresh:
            return
        with self._handing:
            taker = next((worker for worker in self._services if worker.room() >= len(fresh)), None)
            if taker is not None:  # leased to a worker of this process from the start: it need not look for them
                for subject, append in fresh.items():
                    run = append.run.but(epoch=1)
                    fresh[subject] = append._replace(run=run, holder=None if run.finished else taker.id)
            answered = self._journal.submit_all(list(fresh.values()))
        answers = answered.result()
        try:
            for (subject, append), error in zip(list(fresh.items()), answers, strict=True):
                if isinstance(error, NotAllowed):  # somebody started the same subject meanwhile: that run is the one
                    run = append.run
                    found = self._runs_of(flow.name, [subject], run.tenant, run.key)
                    fresh[subject] = append._replace(run=found[subject])
                elif error is not None:
                    raise error
        except BaseException:
            if (
                taker is not None
            ):  # the others of these runs are its own, and so is this one if only the answer was lost
                taker.doubt()
            raise
        if taker is not None:
            taken = [a.run for a, error in zip(fresh.values(), answers, strict=True) if error is None and a.holder]
            taker.adopt(taken)
        else:
            self._wake()

    def run_phase(
        self, flow: str | Flow, phase: str, subjects: Sequence[Subject], *, tenant: str | None = None,
        inputs: Sequence[Any] | None = None, check_needs: bool = True, dry_run: bool = False, by: str = "",
        wait: float = 60.0,
    ) -> PhaseReport:  # fmt: skip
        """Aim many subjects at one phase, do it here, and report. A phase that was done is done again.

        Subjects that lack a need are reported as ``blocked``; when that is all of them, ``NeedsNotMet`` is raised.
        Those whose runs were purged are reported as ``refused``; when that is all of them, ``Purged`` is raised.
        ``check_needs=False`` runs the phase regardless. With ``dry_run`` everything happens and nothing stays. ``wait`` is
        how many seconds to wait for retries and for other workers.
        """
        if dry_run and not self.dry_run:
            with self.rehearsal() as rehearsed:
                report = rehearsed.run_phase(
                    flow, phase, subjects, tenant=tenant, inputs=inputs, check_needs=check_needs, by=by, wait=wait
                )
            return replace(report, dry_run=True)
        definition = self._flow(flow)
        name = definition.phase(phase).name
        began = _time.perf_counter()
        runs, gone = self._start_those_kept(definition, subjects, tenant=tenant, inputs=inputs, by=by)
        aimed, blocked, refused = self._aim([run.id for run in runs], name, check_needs=check_needs, by=by)
        refused |= gone
        if refused and not aimed and not blocked:
            raise NotAllowed(next(iter(refused.values())), hint="engine.start(..., again=True) begins anew")
        if blocked and not aimed:
            first = next(iter(blocked.values()))
            raise NeedsNotMet(name, first)
        done = self._finish(definition, name, aimed, wait)
        outputs = self._values(done, name)
        results = tuple(_result(run, _whole(self._known(run), run, name), outputs.get(run.id)) for run in done)
        return PhaseReport(name, results, blocked, refused, _time.perf_counter() - began)

    def _start_those_kept(
        self, flow: Flow, subjects: Sequence[Subject], *, tenant: str | None, inputs: Sequence[Any] | None, by: str
    ) -> tuple[list[Run], dict[Subject, str]]:
        """The runs of the subjects, and of those whose runs were purged the reason why they have none."""
        try:
            return self.start_many(flow, subjects, tenant=tenant, inputs=inputs, aim=(), by=by), {}
        except Purged as error:
            gone = error.subjects
            if gone.keys() >= set(subjects):
                raise
        kept = [place for place, subject in enumerate(subjects) if subject not in gone]
        some = [inputs[place] for place in kept] if inputs else None
        runs = self.start_many(flow, [subjects[place] for place in kept], tenant=tenant, inputs=some, aim=(), by=by)
        return runs, gone

    def _aim(
        self, run_ids: list[str], name: str, *, check_needs: bool, by: str
    ) -> tuple[list[str], dict[Subject, tuple[str, ...]], dict[Subject, str]]:
        blocked: dict[Subject, tuple[str, ...]] = {}
        closed: dict[Subject, str] = {}
        refused: set[str] = set()
        aimed = list(run_ids)
        todo = run_ids
        for _ in range(CONFLICTS):
            now = self.store.now()
            appends = []
            for run in self.store.load(todo):
                flow = self._known(run)
                refused.discard(run.id)
                blocked.pop(run.subject, None)
                try:
                    asked = commands.aim(flow, run, now, [name], by=by, unchecked=not check_needs)
                except NeedsNotMet as error:
                    blocked[run.subject] = error.missing
                    refused.add(run.id)
                    asked = commands.refuse(now, name, error.missing, by=by)
                except NotAllowed as error:  # cancelled, or ending: the others go on
                    closed[run.subject] = str(error)
                    refused.add(run.id)
                    continue
                after, facts = advance(flow, run, now, *asked)
                appends.append(self._compose(flow, run, after, facts, now))
            answers = self._journal.append_all(appends) if appends else []
            aimed = [run_id for run_id in run_ids if run_id not in refused]
            todo = [a.run.id for a, e in zip(appends, answers, strict=True) if isinstance(e, Conflict | Fenced)]
            _raise_others(answers)
            if not todo:
                self._wake()
                return aimed, blocked, closed
        raise Conflict(f"{len(todo)} runs kept changing while phase {name!r} was asked for")

    def _finish(self, flow: Flow, name: str, run_ids: list[str], wait: float) -> list[Run]:
        """Work until ``name`` is settled, failed or parked in all of these runs, or ``wait`` seconds have passed."""
        deadline = _time.monotonic() + wait
        while True:
            self.drain()
            runs = self.store.load(run_ids)
            left = deadline - _time.monotonic()
            horizon = self.store.now() + timedelta(seconds=max(left, 0))
            if left <= 0 or all(_came_to_rest(flow, run, name, horizon) for run in runs):
                return runs
            _time.sleep(0.05)

    def _values(self, runs: Sequence[Run], name: str) -> dict[str, Any]:
        """The output of a phase by run; of a phase that repeats, a mapping from scope (keys joined by /)."""
        keys = [
            (r.id, name, i.scope, i.version) for r in runs for i in r.phases.values() if i.phase == name and i.version
        ]
        values: dict[str, Any] = {}
        for (run_id, _, scope, _), value in self.store.outputs(keys).items():
            if scope:
                values.setdefault(run_id, {})["/".join(scope)] = value
            else:
                values[run_id] = value
        return values


def _raise_others(answers: Sequence[Exception | None]) -> None:
    for error in answers:
        if error is not None and not isinstance(error, Conflict | Fenced):
            raise error


def _came_to_rest(flow: Flow, run: Run, name: str, horizon: datetime) -> bool:
    """Whether a phase has been done or will not go on by itself before ``horizon``."""
    if run.finished or run.status is RunStatus.PAUSED or settled(flow, run, name):
        return True
    if run.at(name).status is PhaseStatus.FAILED:
        return True
    comes_back = any(
        i.due_at and i.due_at <= horizon and flow.by_name[i.phase].gate is None for i in run.phases.values()
    )
    return run.status is RunStatus.WAITING and not comes_back


def _whole(flow: Flow, run: Run, name: str) -> PhaseRun:
    """A phase as a whole: of one that repeats, the instance that most stands in the way, or the last that ended."""
    found = [run.at(name, scope) for scope in scopes(flow, run, name)]
    if not flow.levels[name] or not found:
        return run.at(name)
    return max(found, key=lambda i: (_IN_THE_WAY.index(i.status), i.attempt, i.scope))


def _result(run: Run, instance: PhaseRun, output: Any) -> PhaseResult:
    return PhaseResult(
        run.subject, run.id, instance.status, instance.outcome, instance.attempt, output, instance.reason,
        instance.started_at, instance.since,
    )  # fmt: skip


_IN_THE_WAY = [
    PhaseStatus.SKIPPED, PhaseStatus.SUCCEEDED, PhaseStatus.PENDING, PhaseStatus.READY, PhaseStatus.RUNNING,
    PhaseStatus.WAITING, PhaseStatus.FAILED,
]  # fmt: skip
