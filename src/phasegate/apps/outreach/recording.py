"""What is put on record about calls of a phase: the execution, an event, an audit entry; in one commit, after the phase.

The log of every company is not written here: the projection keeps it. A record that cannot be written is a warning and
changes nothing about the outcome of the phase.
"""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from phasegate.apps.outreach import statements as sql
from phasegate.apps.outreach.catalogue import PIPELINE_DOCTRINE_ID
from phasegate.apps.outreach.entries import PhaseEntry
from phasegate.apps.outreach.projection import summary_of
from phasegate.apps.outreach.tables import phase_execution

if TYPE_CHECKING:
    from phasegate import Engine

COMPONENT = "phase_executor"

_log = logging.getLogger("phasegate.outreach")
_LONGEST, _LARGEST, _DEEPEST = 500, 10_000, 6
_SECRET = re.compile(r"secret|token|passw|credential|api_?key|authorization", re.IGNORECASE)
_ADD_EXECUTION = phase_execution.insert()
# Text, so that it is one statement object for every call and needs no table of its own here.
_LINK = (
    "UPDATE phase_completion_log SET execution_id = :execution "
    "WHERE run_id = :run AND attempt = :attempt AND phase_id = :phase"
)


@dataclass(slots=True)
class PhaseStatistics:
    """One call of a phase while it goes on and afterwards. ``status`` is running, complete, failed or skipped."""

    entry: PhaseEntry
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    completed_at: datetime | None = None
    status: str = "running"
    error_message: str | None = None
    result: Any = None
    execution_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def duration_seconds(self) -> float:
        """How long it took, or has taken so far."""
        return max(0.0, ((self.completed_at or datetime.now(UTC)) - self.started_at).total_seconds())

    def complete(self, result: Any) -> None:
        """The phase has ended well."""
        self.status, self.result, self.completed_at = "complete", result, datetime.now(UTC)

    def fail(self, message: str) -> None:
        """The phase has failed."""
        self.status, self.error_message, self.completed_at = "failed", message, datetime.now(UTC)

    def skip(self, reason: str) -> None:
        """The phase was not done, because one before it failed."""
        self.status, self.error_message, self.completed_at = "skipped", reason, datetime.now(UTC)

    def to_dict(self) -> dict[str, Any]:
        """Everything, times as ISO text."""
        return {
            "phase_id": self.entry.number,
            "phase_name": self.entry.phase_name,
            "started_at": self.started_at.isoformat(),
            "completed_at": self.completed_at.isoformat() if self.completed_at else None,
            "status": self.status,
            "duration_seconds": self.duration_seconds,
            "error_message": self.error_message,
            "result": self.result,
        }

    def to_result(self) -> dict[str, Any]:
        """What the brief's functions return: exactly ``phase_id, phase_name, status, duration_seconds, result,
        error_message``."""
        found = self.to_dict()
        return {
            name: found[name]
            for name in ("phase_id", "phase_name", "status", "duration_seconds", "result", "error_message")
        }


@dataclass(frozen=True, slots=True)
class RecordingSwitches:
    """What is put on record beside the execution itself."""

    doctrine_id: str = PIPELINE_DOCTRINE_ID
    pipeline_events: bool = True
    audit_log: bool = True


def record_phase(
    engine: Engine, ran: PhaseStatistics, context: Mapping[str, Any], switches: RecordingSwitches,
    *, attempts: Sequence[tuple[str, int]] = (), retry_of: str | None = None,
) -> None:  # fmt: skip
    """Put one call of a phase on record, and link the rows of the companies' logs to it."""
    said = safe(context)
    writes: list[tuple[Any, Mapping[str, Any]]] = [(_ADD_EXECUTION, _execution(engine, ran, said, retry_of))]
    if switches.pipeline_events:
        writes.append((sql.ADD_EVENT, _event(engine, ran, said)))
    if switches.audit_log:
        writes.append((sql.ADD_AUDIT, _audit(engine, f"phase_{ran.status}", _told(ran), switches)))
    phase = 1.1 if ran.entry.flow_phase == "people_validation" else float(ran.entry.phase_id)
    for run_id, number in attempts:
        writes.append((_LINK, {"execution": ran.execution_id, "run": run_id, "attempt": number, "phase": phase}))
    _write(engine, writes)


def record_sequence(
    engine: Engine, entries: Sequence[PhaseEntry], ran: Sequence[PhaseStatistics], switches: RecordingSwitches
) -> None:
    """Put a whole sequence on record."""
    if not switches.audit_log:
        return
    told = {
        "phase_ids": [entry.number for entry in entries],
        "total_phases": len(entries),
        "executed_phases": len(ran),
        "failed_phases": sum(each.status == "failed" for each in ran),
    }
    _write(engine, [(sql.ADD_AUDIT, _audit(engine, "sequence_complete", told, switches))])


def safe(context: Mapping[str, Any]) -> Any:
    """A context as JSON has it: secrets taken out, long texts and deep structures cut, never too large to keep."""
    found = _safe(context, _DEEPEST)
    return found if len(json.dumps(found)) <= _LARGEST else {"keys": sorted(str(key)[:80] for key in context)[:100]}


def _safe(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        # JSON has no word for infinity, nor for an integer of a million digits that anybody would read.
        return value if not isinstance(value, int | float) or abs(value) < 1e18 else str(value)[:80]
    if isinstance(value, str):
        return value if len(value) <= _LONGEST else value[:_LONGEST] + "..."
    if depth == 0:
        return "..."
    if isinstance(value, Mapping):
        return {
            str(key)[:80]: "removed" if _SECRET.search(str(key)) else _safe(each, depth - 1)
            for key, each in list(value.items())[:100]
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_safe(each, depth - 1) for each in list(value)[:100]]
    return _safe(str(value), depth)


# --- rows -----------------------------------------------------------------------------------------------------------


def _execution(engine: Engine, ran: PhaseStatistics, context: Any, retry_of: str | None) -> dict[str, Any]:
    statistics = ran.result.get("statistics") if isinstance(ran.result, Mapping) else None
    return {
        "execution_id": ran.execution_id,
        "tenant": engine.tenant,
        "phase_id": ran.entry.phase_id,
        "phase_ids": [ran.entry.number],
        "phase_name": ran.entry.phase_name,
        "context": context,
        "dry_run": False,
        "status": ran.status,
        "counts": statistics,
        "error_message": ran.error_message,
        "retry_of": retry_of,
        "started_at": ran.started_at,
        "completed_at": ran.completed_at,
        "duration_seconds": round(ran.duration_seconds, 2),
    }


def _event(engine: Engine, ran: PhaseStatistics, context: Any) -> dict[str, Any]:
    failed = ran.status == "failed"
    return {
        "tenant": engine.tenant,
        "event_type": "phase_execution",
        "phase_id": ran.entry.phase_id,
        "payload": _told(ran) if failed else {**_told(ran), "context": context},
        "status": "failed" if failed else "processed",
        "error_message": ran.error_message,
        "created_at": engine.store.now(),
    }


def _audit(engine: Engine, event: str, told: Mapping[str, Any], switches: RecordingSwitches) -> dict[str, Any]:
    return {
        "tenant": engine.tenant,
        "component": COMPONENT,
        "event_type": event,
        "event_data": dict(told),
        "barton_id": switches.doctrine_id,
        "created_at": engine.store.now(),
    }


def _told(ran: PhaseStatistics) -> dict[str, Any]:
    head = {"phase_id": ran.entry.number, "phase_name": ran.entry.phase_name, "status": ran.status}
    if ran.status == "failed":
        return {**head, "error": ran.error_message}
    return {
        **head,
        "duration_seconds": round(ran.duration_seconds, 3),
        "result_summary": _safe(summary_of(ran.result), _DEEPEST),
    }


def _write(engine: Engine, writes: Sequence[tuple[Any, Mapping[str, Any]]]) -> None:
    if engine.dry_run:
        return
    try:
        engine.write(writes)
    except Exception as error:
        _log.warning("the execution could not be put on record: %s", error)
