"""What a run is: one subject's way through one flow, as a frozen snapshot.

Outputs are not part of it: a snapshot knows an output by its version and sha256 only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from phasegate.core.layered import Layered

#: Where inside iterations a phase instance lives: the item keys, outermost first; ``()`` at the top.
Scope = tuple[str, ...]
#: A phase instance: the name of the phase and its scope.
Instance = tuple[str, Scope]


class RunStatus(StrEnum):
    """Where a run stands."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether the run has ended."""
        return self in _FINAL


_FINAL = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED})


class PhaseStatus(StrEnum):
    """Where a phase instance stands."""

    PENDING = "pending"
    READY = "ready"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Subject:
    """What moves through a flow, e.g. ``Subject("company", "acme")``; written ``company:acme``."""

    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"

    @classmethod
    def parse(cls, text: str) -> Subject:
        """The subject written as ``kind:id``; raises ``ValueError`` when there is no colon."""
        kind, colon, identity = text.partition(":")
        if not (kind and colon and identity):
            raise ValueError(f"a subject is written kind:id, not {text!r}")
        return cls(kind, identity)


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's answer at a gate, while the gate collects them. ``seen`` is the sha256 of what the person was shown."""

    by: str
    outcome: str
    seen: str | None
    answers: Any = None
    comment: str = ""
    at: datetime | None = None


class PhaseRun(NamedTuple):
    """One phase instance of a run. (A named tuple, because one is made for every fact: it is three times as fast to
    copy with a change as a dataclass.)

    ``attempt`` is the number of the last attempt, never reused; ``failures`` and ``losses`` count within the present round,
    ``round`` counts resets. ``version`` and ``sha256`` point at the output. ``items`` are the keys others repeat over.
    ``since`` is when the status was entered.
    """

    phase: str
    scope: Scope = ()
    status: PhaseStatus = PhaseStatus.PENDING
    attempt: int = 0
    failures: int = 0
    losses: int = 0
    round: int = 0
    outcome: str | None = None
    due_at: datetime | None = None
    started_at: datetime | None = None
    since: datetime | None = None
    version: int | None = None
    sha256: str | None = None
    items: tuple[str, ...] | None = None
    shown: str | None = None
    votes: tuple[Vote, ...] = ()
    questions: Any = None
    answers: Any = None
    feedback: tuple[str, Scope, int] | None = None
    reason: str | None = None

    @property
    def settled(self) -> bool:
        """Whether what waits for this instance may go on (a failure that a condition takes up also settles it)."""
        return self.status is PhaseStatus.SUCCEEDED or self.status is PhaseStatus.SKIPPED

    @property
    def asked(self) -> bool:
        """Whether a phase function parked itself with questions that nobody has answered yet."""
        return self.status is PhaseStatus.WAITING and self.questions is not None and self.answers is None


@dataclass(frozen=True)
class Run:
    """One subject in one flow version.

    ``aim`` names the phases the run is to reach; None means all; ``unchecked`` lets them
    start although what they need outside the aim is not settled. Of a tenant's runs those of higher ``priority`` are taken
    first. ``seq`` counts the facts recorded, ``epoch`` the workers
    that have held it. ``ending`` is set while a run that is to end undoes what it has done.
    """

    id: str
    tenant: str
    flow: str
    version: int
    subject: Subject
    key: str = ""
    status: RunStatus = RunStatus.PENDING
    aim: frozenset[str] | None = None
    unchecked: bool = False
    pressed: frozenset[str] = frozenset()
    seq: int = 0
    epoch: int = 0
    ending: RunStatus | None = None
    reason: str | None = None
    priority: int = 0
    started_by: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    input: Any = None
    phases: Layered[Instance, PhaseRun] = field(default_factory=Layered)
    #: Counters the planner keeps beside the phases; derived, never stored, None when they must be counted anew.
    tally: Any = field(default=None, compare=False, repr=False)

    @property
    def finished(self) -> bool:
        """Whether the run has ended."""
        return self.status.final

    def but(self, **changes: Any) -> Run:
        """This run with changes; what ``dataclasses.replace`` does, at a tenth of its price."""
        new = object.__new__(Run)
        new.__dict__.update(self.__dict__)
        new.__dict__.update(changes)
        return new

    def at(self, phase: str, scope: Scope = ()) -> PhaseRun:
        """The phase instance, pending when nothing has happened to it yet."""
        return self.phases.get((phase, scope)) or PhaseRun(phase, scope)
