"""What happened: frozen records in the past tense, the only way a run changes.

Each class has a ``kind``, ``noun.verb``, under which it is stored and announced. Every fact carries ``at``, when it
happened (aware UTC). A fact of an attempt carries the attempt's number, a decision the round it answers: what does not
match the present state is refused as stale.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, get_args

from phasegate.core.run import Run, RunStatus, Scope, Subject


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run was created."""

    kind: ClassVar[str] = "run.started"
    at: datetime
    run_id: str
    tenant: str
    flow: str
    version: int
    subject: Subject
    key: str = ""
    aim: frozenset[str] | None = None
    by: str = ""
    input: Any = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class RunAimed:
    """The run is to reach these phases (None: all); a finished run is open again. ``unchecked`` lets the aimed phases start
    although phases outside the aim that they need are not settled. ``pressed`` are those a person asked for by name: they do
    not wait for what they merely come ``after``."""

    kind: ClassVar[str] = "run.aimed"
    at: datetime
    aim: frozenset[str] | None = None
    unchecked: bool = False
    by: str = ""
    pressed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RunParked:
    """Nothing can be done until a person or a time comes."""

    kind: ClassVar[str] = "run.parked"
    at: datetime


@dataclass(frozen=True, slots=True)
class RunPaused:
    """A person stopped the run for now."""

    kind: ClassVar[str] = "run.paused"
    at: datetime
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RunResumed:
    """A person let a paused run go on."""

    kind: ClassVar[str] = "run.resumed"
    at: datetime
    by: str = ""


@dataclass(frozen=True, slots=True)
class RunEnding:
    """The run is to end as ``status``, after what it did is undone."""

    kind: ClassVar[str] = "run.ending"
    at: datetime
    status: RunStatus
    reason: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class RunSucceeded:
    """Every phase the run aims at is settled."""

    kind: ClassVar[str] = "run.succeeded"
    at: datetime


@dataclass(frozen=True, slots=True)
class RunFailed:
    """Something failed for good and nothing else can go on."""

    kind: ClassVar[str] = "run.failed"
    at: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RunCancelled:
    """A person ended the run."""

    kind: ClassVar[str] = "run.cancelled"
    at: datetime
    reason: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class PhaseReadied:
    """Everything the phase needs is settled; a worker may start it."""

    kind: ClassVar[str] = "phase.readied"
    at: datetime
    phase: str
    scope: Scope = ()


@dataclass(frozen=True, slots=True)
class PhaseSkipped:
    """The phase will not run: a condition, or a person, says so."""

    kind: ClassVar[str] = "phase.skipped"
    at: datetime
    phase: str
    scope: Scope = ()
    reason: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class PhaseRefused:
    """The phase was asked for before what it needs was settled; nothing was started."""

    kind: ClassVar[str] = "phase.refused"
    at: datetime
    phase: str
    scope: Scope = ()
    reason: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class PhaseReset:
    """The phase is to be done again; history and the attempt counter stay. ``feedback`` points at the output that sent
    it back: phase, scope, version."""

    kind: ClassVar[str] = "phase.reset"
    at: datetime
    phase: str
    scope: Scope = ()
    reason: str = ""
    by: str = ""
    feedback: tuple[str, Scope, int] | None = None


@dataclass(frozen=True, slots=True)
class PhaseFailed:
    """The phase ended in a way nothing takes up: rejected, out of rounds, past its deadline."""

    kind: ClassVar[str] = "phase.failed"
    at: datetime
    phase: str
    scope: Scope = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RetryScheduled:
    """A failed attempt will be repeated at ``due_at``."""

    kind: ClassVar[str] = "retry.scheduled"
    at: datetime
    phase: str
    scope: Scope = ()
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """A worker began to execute the phase."""

    kind: ClassVar[str] = "attempt.started"
    at: datetime
    phase: str
    scope: Scope = ()
    attempt: int = 1
    worker: str = ""


@dataclass(frozen=True, slots=True)
class AttemptSucceeded:
    """The phase function returned. ``sha256`` is of the stored output (None: no output), ``items`` are the keys of the
    items that others repeat over."""

    kind: ClassVar[str] = "attempt.succeeded"
    at: datetime
    phase: str
    scope: Scope = ()
    attempt: int = 1
    outcome: str = "done"
    sha256: str | None = None
    items: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class AttemptSkipped:
    """The phase function said that there is nothing to do."""

    kind: ClassVar[str] = "attempt.skipped"
    at: datetime
    phase: str
    scope: Scope = ()
    attempt: int = 1
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """The phase function raised, or returned a failure; ``fatal`` means that retrying is of no use."""

    kind: ClassVar[str] = "attempt.failed"
    at: datetime
    phase: str
    scope: Scope = ()
    attempt: int = 1
    error: str = ""
    message: str = ""
    fatal: bool = False
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class AttemptSnoozed:
    """The phase function asked to be run again at ``until``."""

    kind: ClassVar[str] = "attempt.snoozed"
    at: datetime
    phase: str
    scope: Scope = ()
    attempt: int = 1
    until: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AttemptAsked:
    """The phase function parked itself with questions for a person."""

    kind: ClassVar[str] = "attempt.asked"
    at: datetime
    phase: str
    scope: Scope = ()
    attempt: int = 1
    questions: Any = None


@dataclass(frozen=True, slots=True)
class AttemptLost:
    """The worker vanished, or a deadline passed and the function could not be stopped; a late answer is stale."""

    kind: ClassVar[str] = "attempt.lost"
    at: datetime
    phase: str
    scope: Scope = ()
    attempt: int = 1
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AttemptStopped:
    """The attempt was given up because the run was paused or handed back; it does not count as a failure."""

    kind: ClassVar[str] = "attempt.stopped"
    at: datetime
    phase: str
    scope: Scope = ()
    attempt: int = 1
    reason: str = ""


@dataclass(frozen=True, slots=True)
class QuestionsAnswered:
    """A person answered the questions of a parked phase."""

    kind: ClassVar[str] = "questions.answered"
    at: datetime
    phase: str
    scope: Scope = ()
    attempt: int = 1
    by: str = ""
    answers: Any = None


@dataclass(frozen=True, slots=True)
class GateOpened:
    """A person is asked. ``shown`` is the sha256 of what is shown; ``due_at`` the deadline, if any."""

    kind: ClassVar[str] = "gate.opened"
    at: datetime
    phase: str
    scope: Scope = ()
    attempt: int = 1
    shown: str = ""
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class DecisionMade:
    """A person answered a gate, perhaps before it opened. ``round`` is the round that is answered."""

    kind: ClassVar[str] = "decision.made"
    at: datetime
    phase: str
    scope: Scope = ()
    round: int = 0
    outcome: str = "approved"
    by: str = ""
    role: str = ""
    seen: str | None = None
    answers: Any = None
    comment: str = ""


@dataclass(frozen=True, slots=True)
class DecisionsVoided:
    """Early answers that do not fit what the gate shows now that it is open are dropped and asked for again."""

    kind: ClassVar[str] = "decision.voided"
    at: datetime
    phase: str
    scope: Scope = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class GateSettled:
    """The gate has its answer: by quorum, or by its deadline. ``answer`` is the output: outcome, who, comment, answers; the
    fact carries it because the votes are gone when the gate goes back in the same breath. ``sha256`` is of the output."""

    kind: ClassVar[str] = "gate.settled"
    at: datetime
    phase: str
    scope: Scope = ()
    attempt: int = 1
    outcome: str = "approved"
    by: str = ""
    sha256: str | None = None
    answer: Any = None


RunFact = (
    RunStarted | RunAimed | RunParked | RunPaused | RunResumed | RunEnding | RunSucceeded | RunFailed | RunCancelled
)
AttemptEnded = (
    AttemptSucceeded | AttemptSkipped | AttemptFailed | AttemptSnoozed | AttemptAsked | AttemptLost | AttemptStopped
)
PhaseFact = (
    PhaseReadied | PhaseSkipped | PhaseRefused | PhaseReset | PhaseFailed | RetryScheduled | AttemptStarted | AttemptEnded
    | QuestionsAnswered | GateOpened | DecisionMade | DecisionsVoided | GateSettled
)  # fmt: skip
Fact = RunFact | PhaseFact

#: Facts about the run as a whole; all others are about one of its phases.
RUN_FACTS: frozenset[type[Any]] = frozenset(get_args(RunFact))

#: Every fact class, by its kind.
KINDS: dict[str, type[Any]] = {
    cls.kind: cls
    for cls in (
        RunStarted, RunAimed, RunParked, RunPaused, RunResumed, RunEnding, RunSucceeded, RunFailed, RunCancelled,
        PhaseReadied, PhaseSkipped, PhaseRefused, PhaseReset, PhaseFailed, RetryScheduled,
        AttemptStarted, AttemptSucceeded, AttemptSkipped, AttemptFailed, AttemptSnoozed, AttemptAsked, AttemptLost,
        AttemptStopped, QuestionsAnswered, GateOpened, DecisionMade, DecisionsVoided, GateSettled,
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RecordedFact:
    """A fact as a projection sees it, inside the commit that records it.

    ``run`` is the run after the commit; ``started_at`` is when the attempt began, for facts that end an attempt; ``output``
    is what the attempt, or the gate, gave.
    """

    run: Run
    fact: Fact
    started_at: datetime | None = None
    output: Any = None
