"""Every legal transition, as two tables on one screen; an illegal one raises.

``evolve(run, fact)`` folds one fact into a run. It looks up the new status in ``PHASE`` or ``RUN`` and copies what the fact
carries; it decides nothing. ``docs/states.md`` is drawn from the same tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from phasegate.core import facts as f
from phasegate.core.run import Instance, PhaseRun, PhaseStatus, Run, RunStatus, Vote
from phasegate.errors import IllegalTransition, Stale

_P, _R = PhaseStatus, RunStatus

#: (status, fact) -> status of a phase instance.
PHASE: dict[tuple[PhaseStatus, type[Any]], PhaseStatus] = {
    (_P.PENDING, f.PhaseReadied): _P.READY,
    (_P.PENDING, f.GateOpened): _P.WAITING,
    (_P.PENDING, f.DecisionMade): _P.PENDING,
    (_P.PENDING, f.PhaseSkipped): _P.SKIPPED,
    (_P.READY, f.AttemptStarted): _P.RUNNING,
    (_P.READY, f.PhaseSkipped): _P.SKIPPED,
    (_P.READY, f.PhaseReset): _P.PENDING,
    (_P.RUNNING, f.AttemptSucceeded): _P.SUCCEEDED,
    (_P.RUNNING, f.AttemptSkipped): _P.SKIPPED,
    (_P.RUNNING, f.AttemptFailed): _P.FAILED,
    (_P.RUNNING, f.AttemptLost): _P.FAILED,
    (_P.RUNNING, f.AttemptSnoozed): _P.WAITING,
    (_P.RUNNING, f.AttemptAsked): _P.WAITING,
    (_P.RUNNING, f.AttemptStopped): _P.READY,
    (_P.RUNNING, f.PhaseReset): _P.PENDING,
    (_P.WAITING, f.PhaseReadied): _P.READY,
    (_P.WAITING, f.QuestionsAnswered): _P.READY,
    (_P.WAITING, f.DecisionMade): _P.WAITING,
    (_P.WAITING, f.DecisionsVoided): _P.WAITING,
    (_P.WAITING, f.GateSettled): _P.SUCCEEDED,
    (_P.WAITING, f.PhaseFailed): _P.FAILED,
    (_P.WAITING, f.PhaseSkipped): _P.SKIPPED,
    (_P.WAITING, f.PhaseReset): _P.PENDING,
    (_P.SUCCEEDED, f.PhaseFailed): _P.FAILED,
    (_P.SUCCEEDED, f.PhaseReset): _P.PENDING,
    (_P.SKIPPED, f.PhaseReset): _P.PENDING,
    (_P.FAILED, f.RetryScheduled): _P.WAITING,
    (_P.FAILED, f.PhaseSkipped): _P.SKIPPED,
    (_P.FAILED, f.PhaseReset): _P.PENDING,
    **{(status, f.PhaseRefused): status for status in _P},
}

#: (status, fact) -> status of a run. Of a phase's facts only these three move the run as a whole.
RUN: dict[tuple[RunStatus, type[Any]], RunStatus] = {
    (_R.PENDING, f.AttemptStarted): _R.RUNNING,
    (_R.PENDING, f.RunParked): _R.WAITING,
    (_R.WAITING, f.PhaseReadied): _R.RUNNING,
    (_R.WAITING, f.QuestionsAnswered): _R.RUNNING,
    (_R.WAITING, f.AttemptStarted): _R.RUNNING,
    (_R.RUNNING, f.RunParked): _R.WAITING,
    (_R.PAUSED, f.RunResumed): _R.RUNNING,
    (_R.SUCCEEDED, f.RunAimed): _R.RUNNING,
    (_R.FAILED, f.RunAimed): _R.RUNNING,
    **{(s, f.RunAimed): s for s in (_R.PENDING, _R.RUNNING, _R.WAITING, _R.PAUSED)},
    **{(s, f.RunPaused): _R.PAUSED for s in (_R.PENDING, _R.RUNNING, _R.WAITING)},
    **{(s, f.RunEnding): _R.RUNNING for s in (_R.PENDING, _R.RUNNING, _R.WAITING, _R.PAUSED)},
    **{(s, f.RunSucceeded): _R.SUCCEEDED for s in (_R.PENDING, _R.RUNNING, _R.WAITING)},
    (_R.RUNNING, f.RunFailed): _R.FAILED,
    (_R.RUNNING, f.RunCancelled): _R.CANCELLED,
}

_ATTEMPT_ENDED = frozenset(
    {
        f.AttemptSucceeded,
        f.AttemptSkipped,
        f.AttemptFailed,
        f.AttemptSnoozed,
        f.AttemptAsked,
        f.AttemptLost,
        f.AttemptStopped,
    }
)
_MOVES_RUN = frozenset({f.PhaseReadied, f.QuestionsAnswered, f.AttemptStarted})


def started(fact: f.RunStarted) -> Run:
    """The run that a ``RunStarted`` creates."""
    return Run(
        id=fact.run_id, tenant=fact.tenant, flow=fact.flow, version=fact.version, subject=fact.subject, key=fact.key,
        aim=fact.aim, seq=1, priority=fact.priority, started_by=fact.by, created_at=fact.at, updated_at=fact.at, input=fact.input,
    )  # fmt: skip


def evolve(run: Run, fact: f.Fact) -> Run:
    """The run after one fact. Raises ``IllegalTransition``, or ``Stale`` when an attempt or decision is out of date."""
    if isinstance(fact, f.RunFact):
        return evolve_run(run, fact).but(seq=run.seq + 1, updated_at=fact.at, tally=None)
    instance = (fact.phase, fact.scope)
    changed = run.phases.changed({instance: evolve_phase(run.at(*instance), fact)})
    status = run_status(run.status, fact)
    return run.but(phases=changed, status=status, seq=run.seq + 1, updated_at=fact.at, tally=None)


def fold(facts: Iterable[f.Fact]) -> Run:
    """The run that a whole log tells of; the first fact is its ``RunStarted``."""
    run: Run | None = None
    for fact in facts:
        if run is not None:
            run = evolve(run, fact)
        elif isinstance(fact, f.RunStarted):
            run = started(fact)
    if run is None:
        raise IllegalTransition("a log begins with run.started")
    return run


def run_status(status: RunStatus, fact: f.Fact) -> RunStatus:
    """The run's status after a fact of one of its phases."""
    return RUN.get((status, type(fact)), status) if type(fact) in _MOVES_RUN else status


def evolve_run(run: Run, fact: f.RunFact) -> Run:
    """The run after a fact about the run as a whole."""
    status = RUN.get((run.status, type(fact)))
    if status is None:
        raise IllegalTransition(f"{fact.kind} does not apply to a run that is {run.status.value}")
    match fact:
        case f.RunAimed():
            return run.but(
                status=status, aim=fact.aim, unchecked=fact.unchecked, pressed=fact.pressed, reason=None, ending=None
            )
        case f.RunEnding():
            return run.but(status=status, ending=fact.status, reason=fact.reason or None)
        case f.RunPaused() | f.RunFailed() | f.RunCancelled():
            return run.but(status=status, reason=fact.reason or None)
        case f.RunResumed() | f.RunSucceeded():
            return run.but(status=status, reason=None)
        case _:
            return run.but(status=status)


def evolve_phase(before: PhaseRun, fact: f.PhaseFact) -> PhaseRun:
    """The phase instance after a fact about it."""
    cls = type(fact)
    if cls in _ATTEMPT_ENDED and (before.status is not _P.RUNNING or fact.attempt != before.attempt):  # type: ignore[union-attr]
        raise Stale(
            f"{fact.kind} of attempt {fact.attempt}: {before.phase!r} is {before.status.value}, attempt {before.attempt}"  # type: ignore[union-attr]
        )
    status = PHASE.get((before.status, cls))
    if status is None and cls is f.AttemptStarted:
        # Somebody else started it, or it was reset, since the worker saw it ready.
        raise Stale(f"{before.phase!r} cannot start: it is {before.status.value}, attempt {before.attempt}")
    if status is None:
        raise IllegalTransition(f"{fact.kind} does not apply to phase {before.phase!r}, which is {before.status.value}")
    return _EFFECTS[cls](before, fact, status)


# The three facts of every ordinary phase build their record by position: ``_replace`` would cost three times as much.


def _entered(before: PhaseRun, fact: Any, status: PhaseStatus) -> PhaseRun:
    b = before
    return PhaseRun(
        b.phase, b.scope, status, b.attempt, b.failures, b.losses, b.round, b.outcome, None, b.started_at, fact.at,
        b.version, b.sha256, b.items, b.shown, b.votes, b.questions, b.answers, b.feedback, b.reason,
    )  # fmt: skip


def _closed(before: PhaseRun, fact: Any, status: PhaseStatus) -> PhaseRun:
    return before._replace(status=status, since=fact.at, due_at=None, reason=fact.reason or None)


def _started(before: PhaseRun, fact: f.AttemptStarted, status: PhaseStatus) -> PhaseRun:
    if fact.attempt != before.attempt + 1:
        raise Stale(f"attempt {fact.attempt} of {before.phase!r} cannot start after attempt {before.attempt}")
    b = before
    return PhaseRun(
        b.phase, b.scope, status, fact.attempt, b.failures, b.losses, b.round, b.outcome, b.due_at, fact.at, fact.at,
        b.version, b.sha256, b.items, b.shown, b.votes, b.questions, b.answers, b.feedback, None,
    )  # fmt: skip


def _succeeded(before: PhaseRun, fact: f.AttemptSucceeded, status: PhaseStatus) -> PhaseRun:
    b = before
    return PhaseRun(
        b.phase, b.scope, status, b.attempt, b.failures, b.losses, b.round, fact.outcome, b.due_at, b.started_at, fact.at,
        fact.attempt if fact.sha256 else None, fact.sha256, fact.items, b.shown, b.votes, None, b.answers, b.feedback,
        b.reason,
    )  # fmt: skip


def _skipped(before: PhaseRun, fact: Any, status: PhaseStatus) -> PhaseRun:
    return before._replace(status=status, since=fact.at, due_at=None, outcome="skipped", reason=fact.reason or None)


def _refused(before: PhaseRun, fact: f.PhaseRefused, status: PhaseStatus) -> PhaseRun:
    return before._replace(reason=fact.reason) if status is _P.PENDING else before


def _failed(before: PhaseRun, fact: f.AttemptFailed, status: PhaseStatus) -> PhaseRun:
    # A failed instance keeps the outcome "failed", so that a condition can take it up like any other word.
    reason = f"{fact.error}: {fact.message}" if fact.error else fact.message
    return before._replace(status=status, since=fact.at, outcome="failed", failures=before.failures + 1, reason=reason)


def _lost(before: PhaseRun, fact: f.AttemptLost, status: PhaseStatus) -> PhaseRun:
    return before._replace(status=status, since=fact.at, outcome="failed", losses=before.losses + 1, reason=fact.reason)


def _gave_up(before: PhaseRun, fact: f.PhaseFailed, status: PhaseStatus) -> PhaseRun:
    return before._replace(status=status, since=fact.at, due_at=None, outcome="failed", reason=fact.reason)


def _delayed(before: PhaseRun, fact: f.RetryScheduled, status: PhaseStatus) -> PhaseRun:
    return before._replace(status=status, since=fact.at, due_at=fact.due_at, outcome=None)


def _snoozed(before: PhaseRun, fact: f.AttemptSnoozed, status: PhaseStatus) -> PhaseRun:
    return before._replace(status=status, since=fact.at, due_at=fact.until, reason=fact.reason or None)


def _asked(before: PhaseRun, fact: f.AttemptAsked, status: PhaseStatus) -> PhaseRun:
    return before._replace(status=status, since=fact.at, questions=fact.questions, answers=None)


def _answered(before: PhaseRun, fact: f.QuestionsAnswered, status: PhaseStatus) -> PhaseRun:
    if not before.asked or fact.attempt != before.attempt:
        raise Stale(f"phase {before.phase!r} is not waiting for these answers")
    answers = {} if fact.answers is None else fact.answers  # None stands for no answers yet
    return before._replace(status=status, since=fact.at, answers=answers)


def _reset(before: PhaseRun, fact: f.PhaseReset, status: PhaseStatus) -> PhaseRun:
    # The attempt counter survives. Feedback is what sent the phase into this round, not into an earlier one.
    return PhaseRun(
        before.phase, before.scope, status, before.attempt, round=before.round + 1, since=fact.at,
        feedback=fact.feedback, reason=fact.reason or None,
    )  # fmt: skip


def _opened(before: PhaseRun, fact: f.GateOpened, status: PhaseStatus) -> PhaseRun:
    return before._replace(
        status=status, since=fact.at, started_at=fact.at, attempt=fact.attempt, shown=fact.shown, due_at=fact.due_at
    )


def _decided(before: PhaseRun, fact: f.DecisionMade, status: PhaseStatus) -> PhaseRun:
    if fact.round != before.round:
        raise Stale(f"the decision answers round {fact.round} of {before.phase!r}, which is in round {before.round}")
    vote = Vote(fact.by, fact.outcome, fact.seen, fact.answers, fact.comment, fact.at)
    return before._replace(status=status, votes=(*before.votes, vote))


def _voided(before: PhaseRun, fact: f.DecisionsVoided, status: PhaseStatus) -> PhaseRun:
    fitting = tuple(vote for vote in before.votes if vote.seen == before.shown)
    return before._replace(status=status, votes=fitting, reason=fact.reason or None)


def _settled(before: PhaseRun, fact: f.GateSettled, status: PhaseStatus) -> PhaseRun:
    return before._replace(
        status=status, since=fact.at, due_at=None, outcome=fact.outcome, sha256=fact.sha256, version=fact.attempt
    )


_EFFECTS: dict[type[Any], Callable[[PhaseRun, Any, PhaseStatus], PhaseRun]] = {
    f.PhaseReadied: _entered,
    f.PhaseSkipped: _skipped,
    f.PhaseRefused: _refused,
    f.PhaseReset: _reset,
    f.PhaseFailed: _gave_up,
    f.RetryScheduled: _delayed,
    f.AttemptStarted: _started,
    f.AttemptSucceeded: _succeeded,
    f.AttemptSkipped: _skipped,
    f.AttemptFailed: _failed,
    f.AttemptLost: _lost,
    f.AttemptSnoozed: _snoozed,
    f.AttemptAsked: _asked,
    f.AttemptStopped: _closed,
    f.QuestionsAnswered: _answered,
    f.GateOpened: _opened,
    f.DecisionMade: _decided,
    f.DecisionsVoided: _voided,
    f.GateSettled: _settled,
}


def changed_instances(facts: Iterable[f.Fact]) -> dict[Instance, None]:
    """The phase instances these facts touch, in order of first mention."""
    return {(fact.phase, fact.scope): None for fact in facts if type(fact) not in f.RUN_FACTS}  # type: ignore[union-attr]
