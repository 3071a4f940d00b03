"""Where a flow stands, told from its run: status, phase, progress, what it waits for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from phasegate import PhaseRun, PhaseStatus, Run, RunStatus
from phasegate.apps.discovery.phase_names import OPTIONAL, PHASE_OF, PHASES, REQUIRED, STEPS, WAITS_FOR
from phasegate.apps.discovery.phases.common import MORE

#: Characters of an error that the flow's row has; the whole of it is in the attempt.
ERROR = 1_000
_SETTLED = (PhaseStatus.SUCCEEDED, PhaseStatus.SKIPPED)


@dataclass(frozen=True, slots=True)
class Standing:
    """One flow. ``master`` is the status of its lifecycle, ``child`` that of its progress; ``waits_for`` is a word of
    ``WAITS_FOR``, ``cleansing_decisions``, or None."""

    master: str
    child: str
    current_phase: str | None
    next_phase: str | None
    completed: tuple[str, ...]
    progress: float
    waits_for: str | None
    shown: str | None
    error: str | None
    error_phase: str | None


def phases_of(configuration: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The phases that a flow of this configuration has."""
    return PHASES if (configuration or {}).get("analysis") else REQUIRED


def standing_of(run: Run) -> Standing:
    """Where the flow of a run stands."""
    phases = phases_of((run.input or {}).get("configuration"))
    completed = tuple(phase for phase in phases if _complete(run, phase))
    ended = run.status is RunStatus.SUCCEEDED
    open_phases = [phase for phase in phases if phase not in completed]
    waiting = _waiting(run)
    current = None if ended else (PHASE_OF[waiting.phase] if waiting else open_phases[0] if open_phases else phases[-1])
    failed = next((each for each in run.phases.values() if each.status is PhaseStatus.FAILED), None)
    error = _error(run, failed) if run.status is RunStatus.FAILED else None
    master, child = _statuses(run, waiting)
    # Complete is only what has ended: the last phase of all is not yet written down when its flow is not.
    share = 100.0 if ended else min(99.0, 100.0 * len(completed) / len(phases))
    following = [phase for phase in open_phases if phase != current]
    return Standing(
        master, child, current, following[0] if following else None, completed, round(share, 2),
        (WAITS_FOR.get(waiting.phase, "cleansing_decisions") if waiting else None),
        waiting.shown if waiting else None, error[:ERROR] if error else None,
        PHASE_OF.get(failed.phase) if failed else None,
    )  # fmt: skip


def _error(run: Run, failed: PhaseRun | None) -> str | None:
    """Why a run failed, as its phase says it: that no other attempt is of use is no part of the message."""
    said = (failed.reason if failed else None) or run.reason
    return said.removeprefix("Fatal: ") if said else said


def _statuses(run: Run, waiting: PhaseRun | None) -> tuple[str, str]:
    match run.status:
        case RunStatus.SUCCEEDED:
            return "completed", "completed"
        case RunStatus.FAILED:
            return "failed", "failed"
        case RunStatus.CANCELLED:
            return "cancelled", "cancelled"
        case RunStatus.PAUSED:
            return "paused", "paused"
    if waiting is not None:
        return "paused", "waiting_for_approval"
    begun = any(each.attempt for each in run.phases.values())
    return ("running", "processing") if begun else ("initialized", "active")


def _waiting(run: Run) -> PhaseRun | None:
    """The gate, or the question, that a person has to answer before anything goes on."""
    if run.status.final or run.ending:
        return None
    return next(
        (each for each in run.phases.values() if each.status is PhaseStatus.WAITING and _for_a_person(each)), None
    )


def _for_a_person(instance: PhaseRun) -> bool:
    return instance.phase in WAITS_FOR or instance.asked


def _complete(run: Run, phase: str) -> bool:
    steps = [run.phases.get((step, ())) for step in STEPS[phase]]
    if phase in OPTIONAL:
        return steps[0] is not None and steps[0].status is PhaseStatus.SUCCEEDED
    last = steps[-1]
    if last is None or last.status not in _SETTLED:
        return False
    return all(each is not None and each.status in _SETTLED and each.outcome != MORE for each in steps)
