"""What the façade answers: frozen records."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from phasegate.core.facts import Fact
from phasegate.core.run import PhaseStatus, Subject


@dataclass(frozen=True, slots=True)
class Entry:
    """One fact of a run's history, numbered within the run."""

    seq: int
    at: datetime
    fact: Fact


@dataclass(frozen=True, slots=True)
class PhaseResult:
    """How a phase stands for one subject after it was asked for. ``output`` is what it returned."""

    subject: Subject
    run_id: str
    status: PhaseStatus
    outcome: str | None = None
    attempt: int = 0
    output: Any = None
    reason: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PhaseReport:
    """What came of asking for one phase of many subjects. ``blocked`` names the missing phases of subjects that could not
    run, ``refused`` says why others may not (their run was cancelled, say); ``duration`` is seconds."""

    phase: str
    results: tuple[PhaseResult, ...]
    blocked: dict[Subject, tuple[str, ...]] = field(default_factory=dict)
    refused: dict[Subject, str] = field(default_factory=dict)
    duration: float = 0.0
    dry_run: bool = False

    @property
    def succeeded(self) -> tuple[PhaseResult, ...]:
        """Those that completed."""
        return tuple(r for r in self.results if r.status is PhaseStatus.SUCCEEDED)

    @property
    def failed(self) -> tuple[PhaseResult, ...]:
        """Those that failed for good."""
        return tuple(r for r in self.results if r.status is PhaseStatus.FAILED)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: phase instances by status, those known by now."""

    run_id: str
    done: int
    total: int
    statuses: dict[PhaseStatus, int]
