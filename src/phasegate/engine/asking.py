"""Asking something of one run: load, check, advance, append; again when somebody else was faster."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from phasegate.core import commands
from phasegate.core import facts as f
from phasegate.core.flow import Flow
from phasegate.core.planner import advance
from phasegate.core.run import Run, Scope
from phasegate.engine.looking import Looking
from phasegate.errors import Conflict, Fenced, InputError, PhasegateError
from phasegate.store.base import Append, Write

Command = Callable[[Flow, Run, datetime], tuple[f.Fact, ...]]

#: How often a request that met somebody else's commit is repeated before the caller hears of it.
CONFLICTS = 50


class Asking(Looking):
    """The part of the façade that changes one run at a time, as a person would."""

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
        writes: Sequence[tuple[Any, Mapping[str, Any]]] = (),
    ) -> Run:  # fmt: skip
        """Answer a gate. ``seen`` is the sha256 of what the person was shown (``show`` and ``why`` tell it). ``writes``
        are rows of the application, (statement, parameters) pairs, committed with the decision or not at all.

        Raises ``AlreadyDecided`` with who and when, ``Stale`` when something else is shown by now, ``NotAllowed`` when this
        person may not, ``InputError`` when the answers do not fit the form.
        """
        decision = commands.Decision(outcome=outcome, by=by, role=role, seen=seen, answers=answers, comment=comment)

        def command(flow: Flow, run: Run, now: datetime) -> tuple[f.Fact, ...]:
            _check_form(flow, phase, answers)
            return commands.decide(flow, run, now, (phase, scope), decision)

        return self._command(run_id, command, tenant, [Write(statement, params) for statement, params in writes])

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

    def _command(self, run_id: str, command: Command, tenant: str | None, writes: Sequence[Write] = ()) -> Run:
        """Load, check, advance, append; again when somebody else was faster."""
        for _ in range(CONFLICTS):
            run = self.get(run_id, tenant=tenant)
            flow = self._known(run)
            now = self.store.now()
            after, facts = advance(flow, run, now, *command(flow, run, now))
            try:
                self._journal.append(self._compose(flow, run, after, facts, now, writes))
            except (Conflict, Fenced):
                continue
            self._wake(run.id)
            return after
        raise Conflict(f"run {run_id} kept changing")


def _check_form(flow: Flow, phase: str, answers: Any) -> None:
    gate = flow.phase(phase).gate
    if gate is None or gate.form is None:
        return
    import jsonschema

    checker = jsonschema.Draft202012Validator(gate.form)
    problems = [f"{'/'.join(map(str, e.path)) or 'answers'}: {e.message}" for e in checker.iter_errors(answers or {})]
    if problems:
        raise InputError(f"the answers do not fit the form of {phase!r}: " + "; ".join(problems[:5]))
