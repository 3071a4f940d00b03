"""Where a flow stands, told from its run: status, phase, progress, what it waits for. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from phasegate import PhaseRun, PhaseStatus, Run, RunStatus
from phasegate.apps.discovery.phase_names import OPTIONAL, PHASE_OF, PHASES, REQUIRED, STEPS, WAITS_FOR
from phasegate.apps.discovery.phases.common import MORE

#: Characters of an error that the flow's row has; the whole of it is in the attempt.
ERROR = 1_000
_SETTLED = (PhaseStatus.SUCCEEDED, PhaseStatus.SKIPPED)
#: The steps in which a phase goes through the records: how far they are is how far the phase is. The inventory is looked at,
#: made, and at its end when people have decided about every record that met an asset.
_STEPS_OF_RECORDS = {
    "data_import": ("data_import",),
    "data_cleansing": ("data_cleansing",),
    "asset_inventory": ("asset_preview", "asset_inventory", "asset_inventory_result"),
}


@dataclass(frozen=True, slots=True)
class Pieces:
    """How far a step is that goes through the records piece by piece: so many are done, of so many if that is known.

    ``share`` is the part that is done, from 0 to 1.
    """

    step: str
    done: int
    total: int | None = None
    share: float = 0.0

    @classmethod
    def of(cls, step: str, value: Any) -> Pieces | None:
        """Those of the value that a step leaves behind for its next piece; None of any other value."""
        if not isinstance(value, Mapping) or "done" not in value:
            return None
        return cls(step, value["done"], value.get("total"), value.get("share") or 0.0)


@dataclass(frozen=True, slots=True)
class Standing:
    """One flow. ``master`` is the status of its lifecycle, ``child`` that of its progress; ``waits_for`` is a word of
    ``WAITS_FOR``, ``cleansing_decisions``, or None. ``pieces`` says how far the step under way is, if it is in the midst of its
    records."""

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
    pieces: Pieces | None

    @property
    def state(self) -> dict[str, Any]:
        """What is waited for and what was shown, or how far the step under way is; empty when neither is so."""
        if self.waits_for is not None:
            return {"waits_for": self.waits_for, "seen": self.shown}
        return asdict(self.pieces) if self.pieces is not None else {}


def phases_of(configuration: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The phases that a flow of this configuration has."""
    return PHASES if (configuration or {}).get("analysis") else REQUIRED


def step_under_way(run: Run) -> PhaseRun | None:
    """The step that has done some of its pieces and not the last one."""
    return next(
        (each for each in run.phases.values() if each.feedback is not None and each.status not in _SETTLED), None
    )


def standing_of(run: Run, pieces: Pieces | None = None) -> Standing:
    """Where the flow of a run stands. ``pieces`` is how far the step under way is; of another step it is nothing."""
    phases = phases_of((run.input or {}).get("configuration"))
    completed = tuple(phase for phase in phases if _complete(run, phase))
    ended = run.status is RunStatus.SUCCEEDED
    open_phases = [phase for phase in phases if phase not in completed]
    waiting = _waiting(run)
    current = None if ended else (PHASE_OF[waiting.phase] if waiting else open_phases[0] if open_phases else phases[-1])
    failed = next((each for each in run.phases.values() if each.status is PhaseStatus.FAILED), None)
    error = _error(run, failed) if run.status is RunStatus.FAILED else None
    master, child = _statuses(run, waiting)
    under_way = step_under_way(run)
    if pieces is not None and (ended or under_way is None or under_way.phase != pieces.step):
        pieces = None
    inside = _inside(run, open_phases[0], pieces) if open_phases else 0.0
    # Complete is only what has ended: the last phase of all is not yet written down when its flow is not.
    share = 100.0 if ended else min(99.0, 100.0 * (len(completed) + inside) / len(phases))
    following = [phase for phase in open_phases if phase != current]
    return Standing(
        master, child, current, following[0] if following else None, completed, round(share, 2),
        (WAITS_FOR.get(waiting.phase, "cleansing_decisions") if waiting else None),
        _shown(waiting), error[:ERROR] if error else None,
        PHASE_OF.get(failed.phase) if failed else None, pieces,
    )  # fmt: skip


def _inside(run: Run, phase: str, pieces: Pieces | None) -> float:
    """How much of a phase is done that is not complete, from 0 to 1, by the records that its steps have gone through."""
    steps = _STEPS_OF_RECORDS.get(phase, ())
    gone_through = sum(_is_settled(run.at(step)) for step in steps)
    part = pieces.share if pieces is not None and pieces.step in steps else 0.0
    return (gone_through + part) / len(steps) if steps else 0.0


def _is_settled(instance: PhaseRun) -> bool:
    return instance.status in _SETTLED and instance.outcome != MORE


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


def _shown(waiting: PhaseRun | None) -> str | None:
    """The digest of what a person is asked about: that of the gate, or of the questions of a phase."""
    if waiting is None or not waiting.asked:
        return waiting.shown if waiting else None
    return hashlib.sha256(json.dumps(waiting.questions, sort_keys=True, default=str).encode()).hexdigest()


def _complete(run: Run, phase: str) -> bool:
    steps = [run.phases.get((step, ())) for step in STEPS[phase]]
    if phase in OPTIONAL:
        return steps[0] is not None and steps[0].status is PhaseStatus.SUCCEEDED
    last = steps[-1]
    if last is None or last.status not in _SETTLED:
        return False
    return all(each is not None and _is_settled(each) for each in steps)
