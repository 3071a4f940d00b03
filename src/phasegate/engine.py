"""The façade people use: start runs, ask for phases, answer gates, look at what happened, work.

Synchronous and thread-safe. Nothing here plans or writes by itself: a request is checked by ``core.commands``, what follows
from it by ``core.planner``, and the journal commits the result.
"""

from __future__ import annotations

import asyncio
import threading
import time as _time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from phasegate.core import commands
from phasegate.core import facts as f
from phasegate.core.explain import Reason
from phasegate.core.explain import why as explain
from phasegate.core.flow import Flow
from phasegate.core.flowdata import flow_data, flow_from_data
from phasegate.core.planner import advance, scopes, settled
from phasegate.core.report import Entry, PhaseReport, PhaseResult, Progress
from phasegate.core.run import PhaseRun, PhaseStatus, Run, RunStatus, Scope, Subject
from phasegate.errors import (
    Conflict,
    Fenced,
    FlowError,
    InputError,
    NeedsNotMet,
    NotAllowed,
    PhasegateError,
    UnknownName,
)
from phasegate.journal import Journal, compose
from phasegate.registry import Registry
from phasegate.runtime.worker import Limits, Worker
from phasegate.store import codec
from phasegate.store.base import Append, Commit, RunFilter, Store, WorkerRow, Write
from phasegate.store.ids import new_id
from phasegate.store.opening import open_store

Command = Callable[[Flow, Run, datetime], tuple[f.Fact, ...]]

#: How often a request that met somebody else's commit is repeated before the caller hears of it.
CONFLICTS = 50


class Engine:
    """Runs of flows on one database.

    ``database`` is an address such as ``sqlite:///phasegate.db`` (the default comes from ``PHASEGATE_DATABASE``) or
    ``sqlite://`` for a temporary one. Raises ``StoreError`` when it cannot be used. Close it, or use it in a ``with`` block.
    """

    def __init__(
        self, database: str | Path | None = None, registry: Registry | None = None, *, tenant: str | None = None,
        clock: Callable[[], datetime] | None = None, limits: Limits | None = None,
    ) -> None:  # fmt: skip
        database, tenant, limits, busy = _from_environment(database, tenant, limits)
        store = open_store(str(database), clock=clock, busy=busy)
        try:
            store.prepare()
        except BaseException:
            store.close()
            raise
        self._open(store, registry or Registry(), tenant, limits, dry_run=False)

    def _open(self, store: Store, registry: Registry, tenant: str, limits: Limits, *, dry_run: bool) -> None:
        self.store, self.registry, self.tenant, self.dry_run = store, registry, tenant, dry_run
        self._limits = limits
        self._journal = Journal(store, registry.projections)
        self._worker: Worker | None = None
        self._workers: list[Worker] = []
        self._services: list[Worker] = []
        self._handing = threading.Lock()
        self._draining = threading.Lock()
        self._kept: set[tuple[str, int]] = set()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop writing and let go of the database. What was answered is committed; nothing else is waited for."""
        if self._worker is not None:
            self._worker.retire()
            self._worker = None
        self._journal.close()
        if not self.dry_run:
            self.store.close()

    # --- start ---

    def start(
        self, flow: str | Flow, subject: Subject, *, tenant: str | None = None, input: Any = None, key: str | None = None,
        aim: Collection[str] | None = None, by: str = "", again: bool = False,
    ) -> Run:  # fmt: skip
        """The run of ``subject`` through ``flow``, created when there is none yet.

        Idempotent per (tenant, flow, subject, key), also after the run has ended; ``again`` starts a new one then. ``aim``
        limits the run to some phases.
        """
        runs = self.start_many(flow, [subject], tenant=tenant, inputs=[input], key=key, aim=aim, by=by, again=again)
        return runs[0]

    def start_many(
        self, flow: str | Flow, subjects: Sequence[Subject], *, tenant: str | None = None,
        inputs: Sequence[Any] | None = None, key: str | None = None, aim: Collection[str] | None = None, by: str = "",
        again: bool = False,
    ) -> list[Run]:  # fmt: skip
        """``start`` for many subjects, in one commit; the runs in the order of the subjects."""
        definition = self._flow(flow)
        tenant = tenant or self.tenant
        found = self._runs_of(definition.name, subjects, tenant, key or "")
        fresh: dict[Subject, Append] = {}
        now = self.store.now()
        wanted = None if aim is None else frozenset(definition.phase(name).name for name in aim)
        for position, subject in enumerate(subjects):
            present = found.get(subject)
            if subject in fresh or (present is not None and not (again and present.finished)):
                continue
            given = inputs[position] if inputs else None
            fact = f.RunStarted(
                now, new_id(), tenant, definition.name, definition.version, subject, key or "", wanted, by, given
            )
            run, facts = advance(definition, None, now, fact)
            fresh[subject] = self._compose(definition, None, run, facts, now)
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
        for (subject, append), error in zip(list(fresh.items()), answers, strict=True):
            if isinstance(error, NotAllowed):  # somebody started the same subject meanwhile: that run is the one
                run = append.run
                fresh[subject] = append._replace(run=self._runs_of(flow.name, [subject], run.tenant, run.key)[subject])
            elif error is not None:
                raise error
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
        runs = self.start_many(definition, subjects, tenant=tenant, inputs=inputs, aim=(), by=by)
        aimed, blocked = self._aim([run.id for run in runs], name, check_needs=check_needs, by=by)
        if blocked and not aimed:
            first = next(iter(blocked.values()))
            raise NeedsNotMet(name, first)
        done = self._finish(definition, name, aimed, wait)
        outputs = self._values(done, name)
        results = tuple(_result(run, _whole(self._known(run), run, name), outputs.get(run.id)) for run in done)
        return PhaseReport(name, results, blocked, _time.perf_counter() - began)

    def _aim(
        self, run_ids: list[str], name: str, *, check_needs: bool, by: str
    ) -> tuple[list[str], dict[Subject, tuple[str, ...]]]:
        blocked: dict[Subject, tuple[str, ...]] = {}
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
                after, facts = advance(flow, run, now, *asked)
                appends.append(self._compose(flow, run, after, facts, now))
            answers = self._journal.append_all(appends) if appends else []
            aimed = [run_id for run_id in run_ids if run_id not in refused]
            todo = [a.run.id for a, e in zip(appends, answers, strict=True) if isinstance(e, Conflict | Fenced)]
            _raise_others(answers)
            if not todo:
                self._wake()
                return aimed, blocked
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

    # --- requests about one run ---

    def aim(
        self, run_id: str, phases: Collection[str] | None = None, *, by: str = "", tenant: str | None = None
    ) -> Run:
        """Have a run go on to these phases, or (None) to the end of its flow; a run that has ended is open again.

        Phases asked for by name are done again when they are settled. Raises ``NeedsNotMet``.
        """

        def command(flow: Flow, run: Run, now: datetime) -> tuple[f.Fact, ...]:
            if phases is None:
                return commands.aim_at_all(flow, run, now, by=by)
            return commands.aim(flow, run, now, phases, by=by)

        return self._command(run_id, command, tenant)

    def decide(
        self, run_id: str, phase: str, outcome: str, *, by: str, role: str = "", seen: str | None = None,
        answers: Any = None, comment: str = "", scope: Scope = (), tenant: str | None = None,
    ) -> Run:  # fmt: skip
        """Answer a gate. ``seen`` is the sha256 of what the person was shown (``show`` and ``why`` tell it).

        Raises ``AlreadyDecided`` with who and when, ``Stale`` when something else is shown by now, ``NotAllowed`` when this
        person may not, ``InputError`` when the answers do not fit the form.
        """
        decision = commands.Decision(outcome=outcome, by=by, role=role, seen=seen, answers=answers, comment=comment)

        def command(flow: Flow, run: Run, now: datetime) -> tuple[f.Fact, ...]:
            _check_form(flow, phase, answers)
            return commands.decide(flow, run, now, (phase, scope), decision)

        return self._command(run_id, command, tenant)

    def decide_many(
        self, decisions: Sequence[tuple[str, str, str]], *, by: str, role: str = "", comment: str = "",
        tenant: str | None = None,
    ) -> list[Exception | None]:  # fmt: skip
        """Answer many gates, given as (run id, phase, outcome), in one commit; per gate None, or why it was not answered.

        Gates that show something need ``decide``: one cannot have seen a thousand things at once.
        """
        tenant, now = tenant or self.tenant, self.store.now()
        runs = {run.id: run for run in self.store.load([run_id for run_id, _, _ in decisions]) if run.tenant == tenant}
        answers: list[Exception | None] = [None] * len(decisions)
        appends: dict[int, Append] = {}
        for place, (run_id, phase, outcome) in enumerate(decisions):
            decision = commands.Decision(outcome=outcome, by=by, role=role, comment=comment)
            try:
                run = runs.get(run_id) or self.get(run_id, tenant=tenant)
                flow = self._known(run)
                _check_form(flow, phase, None)
                after, facts = advance(flow, run, now, *commands.decide(flow, run, now, (phase, ()), decision))
            except PhasegateError as refused:
                answers[place] = refused
            else:
                appends[place] = self._compose(flow, run, after, facts, now)
        for place, error in zip(appends, self._journal.append_all(list(appends.values())), strict=True):
            answers[place] = error
        self._wake()
        return answers

    def answer(
        self, run_id: str, phase: str, answers: Any, *, by: str, scope: Scope = (), tenant: str | None = None
    ) -> Run:
        """Answer the questions with which a phase parked itself."""
        return self._command(
            run_id,
            lambda flow, run, now: commands.answer(run, now, (flow.phase(phase).name, scope), answers, by=by),
            tenant,
        )

    def retry(self, run_id: str, phase: str | None = None, *, by: str = "", tenant: str | None = None) -> Run:
        """Try again what failed, at once."""
        return self._command(run_id, lambda flow, run, now: commands.retry(flow, run, now, phase=phase, by=by), tenant)

    def reset(
        self, run_id: str, phase: str, *, scope: Scope = (), by: str = "", reason: str = "", tenant: str | None = None
    ) -> Run:
        """Do a phase and everything downstream of it again."""
        return self._command(
            run_id,
            lambda flow, run, now: commands.reset(
                flow, run, now, (flow.phase(phase).name, scope), by=by, reason=reason
            ),
            tenant,
        )

    def skip(
        self, run_id: str, phase: str, *, scope: Scope = (), by: str = "", reason: str = "", tenant: str | None = None
    ) -> Run:
        """Go on without a phase."""
        return self._command(
            run_id,
            lambda flow, run, now: commands.skip(flow, run, now, (flow.phase(phase).name, scope), by=by, reason=reason),
            tenant,
        )

    def pause(self, run_id: str, *, by: str = "", reason: str = "", tenant: str | None = None) -> Run:
        """Stop a run for now; nothing it was doing writes afterwards."""
        return self._command(run_id, lambda flow, run, now: commands.pause(run, now, by=by, reason=reason), tenant)

    def resume(self, run_id: str, *, by: str = "", tenant: str | None = None) -> Run:
        """Let a paused run go on."""
        return self._command(run_id, lambda flow, run, now: commands.resume(run, now, by=by), tenant)

    def cancel(self, run_id: str, *, by: str = "", reason: str = "", tenant: str | None = None) -> Run:
        """End a run; what can be undone is undone first."""
        return self._command(run_id, lambda flow, run, now: commands.cancel(run, now, by=by, reason=reason), tenant)

    def _command(self, run_id: str, command: Command, tenant: str | None) -> Run:
        """Load, check, advance, append; again when somebody else was faster."""
        for _ in range(CONFLICTS):
            run = self.get(run_id, tenant=tenant)
            flow = self._known(run)
            now = self.store.now()
            after, facts = advance(flow, run, now, *command(flow, run, now))
            try:
                self._journal.append(self._compose(flow, run, after, facts, now))
            except (Conflict, Fenced):
                continue
            self._wake(run.id)
            return after
        raise Conflict(f"run {run_id} kept changing")

    # --- looking ---

    def get(self, run_id: str, *, tenant: str | None = None) -> Run:
        """A run with all its phase instances; an unambiguous beginning of its id will do. Raises ``UnknownName``."""
        tenant = tenant or self.tenant
        found = [run for run in self.store.load([run_id]) if run.tenant == tenant]
        if not found and len(run_id) >= 4:
            some = self.store.find(RunFilter(tenant=tenant, id_prefix=run_id, limit=2))
            found = self.store.load([some[0].id]) if len(some) == 1 else []
        if not found:
            raise UnknownName("run", run_id)
        return found[0]

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

    def read(self, statement: Any, params: Mapping[str, Any] | None = None) -> list[Mapping[str, Any]]:
        """Rows of a query, for reports: an SQLAlchemy statement or SQL text."""
        return self.store.read(statement, params)

    def workers(self) -> list[WorkerRow]:
        """The workers on this database and how many runs each holds."""
        return self.store.workers()

    def flows(self) -> list[Flow]:
        """The flows registered here, and those the database knows from others."""
        here = {(flow.name, flow.version): flow for flow in self.registry.flows}
        stored = {(flow.name, flow.version): flow for flow in map(flow_from_data, self.store.flows())}
        return [(stored | here)[key] for key in sorted(stored | here)]

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

    def next_due(self) -> datetime | None:
        """When a retry, a snooze or a deadline of the flows registered here comes next; None when only persons can move on."""
        return self.store.next_due([(flow.name, flow.version) for flow in self.registry.flows])

    # --- working ---

    def drain(self, *, concurrency: int | None = None) -> None:
        """Run everything that can run now, in this process; returns when nothing is left but what waits."""
        with self._draining:
            limits = self._limits if concurrency is None else replace(self._limits, concurrency=concurrency)
            if self._worker is None:
                self._worker = self._make_worker(limits)
            self._worker.limits = limits
            for flow in self.registry.flows:
                self._keep(flow)
            worker = self._worker
            self._workers.append(worker)
            try:
                _run_here(lambda: worker.run(until_idle=True))
            finally:
                self._workers.remove(worker)

    @asynccontextmanager
    async def worker(self, *, concurrency: int | None = None) -> AsyncIterator[Worker]:
        """A worker that runs until the block ends, then hands back what it could not finish."""
        limits = self._limits if concurrency is None else replace(self._limits, concurrency=concurrency)
        worker = self._make_worker(limits)
        for flow in self.registry.flows:
            await asyncio.to_thread(self._keep, flow)
        self._workers.append(worker)
        self._services.append(worker)
        task = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            with self._handing:  # from here on nobody hands it a run; those handed before are freed when it retires
                self._services.remove(worker)
            worker.stop()
            try:
                await task
            finally:
                self._workers.remove(worker)
                await asyncio.to_thread(worker.retire)

    def work(self, *, concurrency: int | None = None, stop: threading.Event | None = None) -> None:
        """Be a worker until ``stop`` is set (or for ever)."""

        async def working() -> None:
            async with self.worker(concurrency=concurrency) as worker:
                while not worker.ended and (stop is None or not stop.is_set()):
                    await asyncio.sleep(0.1)

        _run_here(working)

    @contextmanager
    def rehearsal(self) -> Iterator[Engine]:
        """An engine on which everything happens as on this one and nothing stays."""
        with self.store.rehearsal() as store:
            twin = object.__new__(Engine)
            twin._open(store, self.registry, self.tenant, self._limits, dry_run=True)
            try:
                yield twin
            finally:
                twin.close()

    def write(self, writes: Sequence[tuple[Any, Mapping[str, Any]]]) -> None:
        """Commit rows of the application that belong to no phase: (statement, parameters) pairs, all or none.

        A dry-run undoes them like everything else.
        """
        self._journal.call(lambda: self.store.write([Write(s, p) for s, p in writes])).result()

    def create_tables(self, metadata: Any, ddl: Sequence[str] = ()) -> None:
        """Create an application's own tables where they do not exist."""
        self.store.create(metadata, ddl)

    # --- helpers ---

    def _make_worker(self, limits: Limits) -> Worker:
        return Worker(self.store, self._journal, self.registry, id=new_id(), limits=limits, dry_run=self.dry_run)

    def _flow(self, flow: str | Flow) -> Flow:
        found = self.registry.latest(flow) if isinstance(flow, str) else self.registry.add(flow)
        self._keep(found)
        return found

    def _keep(self, flow: Flow) -> None:
        """Have the definition in the database, so that other programs can plan runs of it."""
        if (flow.name, flow.version) in self._kept:
            return
        if not self.store.keep_flow(flow.name, flow.version, codec.canonical(flow_data(flow))[0]):
            raise FlowError(
                flow.name, [f"version {flow.version} has unfinished runs with another definition: give the new one version "
                            f"{flow.version + 1}"]
            )  # fmt: skip
        self._kept.add((flow.name, flow.version))

    def _definition(self, name: str, version: int) -> Flow | None:
        known = self.registry.known(name, version)
        if known is not None:
            return known
        return next(
            (x for x in map(flow_from_data, self.store.flows()) if (x.name, x.version) == (name, version)), None
        )

    def _known(self, run: Run) -> Flow:
        flow = self._definition(run.flow, run.version)
        if flow is None:
            raise UnknownName("flow", f"{run.flow} version {run.version}", {x.name for x in self.registry.flows})
        return flow

    def _runs_of(self, flow: str, subjects: Sequence[Subject], tenant: str, key: str | None) -> dict[Subject, Run]:
        """The latest run of each subject."""
        wanted = set(subjects)
        found = self.store.of_subjects(tenant, flow, sorted({subject.id for subject in wanted})) if wanted else []
        return {run.subject: run for run in found if run.subject in wanted and (key is None or run.key == key)}

    def _compose(self, flow: Flow, before: Run | None, after: Run, facts: tuple[f.Fact, ...], now: datetime) -> Append:
        return compose(flow, before, after, facts, now=now, projecting=bool(self._journal.projections))

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

    def _wake(self, run_id: str | None = None) -> None:
        for worker in list(self._workers):
            worker.wake(run_id)


def _from_environment(
    database: Any, tenant: str | None, limits: Limits | None
) -> tuple[Any, str, Limits, float | None]:
    import os

    if not any(name.startswith("PHASEGATE_") for name in os.environ):  # nothing to read: spare the import
        return database or "sqlite:///phasegate.db", tenant or "default", limits or Limits(), None
    from phasegate.settings import Settings

    settings = Settings()
    found = Limits(concurrency=settings.concurrency, threads=settings.threads, lease=settings.lease)
    return database or settings.database, tenant or settings.tenant, limits or found, settings.busy


def _run_here(work: Callable[[], Any]) -> None:
    """Run a coroutine to its end; in a thread of its own when this thread has an event loop already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work())
        return
    failed: list[BaseException] = []

    def body() -> None:
        try:
            asyncio.run(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=body, name="phasegate-drain")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def _raise_others(answers: Sequence[Exception | None]) -> None:
    for error in answers:
        if error is not None and not isinstance(error, Conflict | Fenced):
            raise error


def _at_rest(run: Run) -> bool:
    return run.finished or run.status in (RunStatus.WAITING, RunStatus.PAUSED)


def _came_to_rest(flow: Flow, run: Run, name: str, horizon: datetime) -> bool:
    """Whether a phase has been done or will not go on by itself before ``horizon``."""
    if run.finished or run.status is RunStatus.PAUSED or settled(flow, run, name):
        return True
    if run.at(name).status is PhaseStatus.FAILED:
        return True
    comes_back = any(i.due_at and i.due_at <= horizon and flow.by_name[i.phase].gate is None for i in run.phases.values())
    return run.status is RunStatus.WAITING and not comes_back


def _whole(flow: Flow, run: Run, name: str) -> PhaseRun:
    """A phase as a whole: of one that repeats, the instance that most stands in the way, or the last that ended."""
    found = [run.at(name, scope) for scope in scopes(flow, run, name)]
    if not flow.levels[name] or not found:
        return run.at(name)
    return max(found, key=lambda i: (_IN_THE_WAY.index(i.status), i.attempt, i.scope))


_IN_THE_WAY = [
    PhaseStatus.SKIPPED, PhaseStatus.SUCCEEDED, PhaseStatus.PENDING, PhaseStatus.READY, PhaseStatus.RUNNING,
    PhaseStatus.WAITING, PhaseStatus.FAILED,
]  # fmt: skip


def _result(run: Run, instance: PhaseRun, output: Any) -> PhaseResult:
    return PhaseResult(
        run.subject, run.id, instance.status, instance.outcome, instance.attempt, output, instance.reason,
        instance.started_at, instance.since,
    )  # fmt: skip


def _check_form(flow: Flow, phase: str, answers: Any) -> None:
    gate = flow.phase(phase).gate
    if gate is None or gate.form is None:
        return
    import jsonschema

    checker = jsonschema.Draft202012Validator(gate.form)
    problems = [f"{'/'.join(map(str, e.path)) or 'answers'}: {e.message}" for e in checker.iter_errors(answers or {})]
    if problems:
        raise InputError(f"the answers do not fit the form of {phase!r}: " + "; ".join(problems[:5]))
