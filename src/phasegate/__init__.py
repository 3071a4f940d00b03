"""Take subjects through phases and gates, durably. This is the public surface, all of it.

What needs a database is imported on first use, so that ``import phasegate`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from phasegate.core.facts import RecordedFact
from phasegate.core.flow import Batch, Flow, Gate, Phase, Retry
from phasegate.core.flowdata import flow_data, flow_from_data
from phasegate.core.quota import Quota
from phasegate.core.report import PhaseReport, PhaseResult, Progress
from phasegate.core.retention import PurgeReport
from phasegate.core.run import PhaseRun, PhaseStatus, Run, RunStatus, Subject
from phasegate.errors import (
    AlreadyDecided,
    Conflict,
    Fatal,
    Fenced,
    FlowError,
    InputError,
    NeedsNotMet,
    NotADatabase,
    NotAllowed,
    PhasegateError,
    Purged,
    SchemaMismatch,
    Snooze,
    Stale,
    StoreError,
    StoreUnavailable,
    UnknownName,
    UsageError,
)
from phasegate.registry import Registry

if TYPE_CHECKING:
    from phasegate.core.explain import Reason
    from phasegate.engine import Engine
    from phasegate.runtime.context import Context, Outcome, Skip
    from phasegate.runtime.worker import Limits

_LATER = {
    "Context": "phasegate.runtime.context",
    "Engine": "phasegate.engine",
    "Limits": "phasegate.runtime.worker",
    "Outcome": "phasegate.runtime.context",
    "Reason": "phasegate.core.explain",
    "Skip": "phasegate.runtime.context",
}

__all__ = [
    "AlreadyDecided",
    "Batch",
    "Conflict",
    "Context",
    "Engine",
    "Fatal",
    "Fenced",
    "Flow",
    "FlowError",
    "Gate",
    "InputError",
    "Limits",
    "NeedsNotMet",
    "NotADatabase",
    "NotAllowed",
    "Outcome",
    "Phase",
    "PhaseReport",
    "PhaseResult",
    "PhaseRun",
    "PhaseStatus",
    "PhasegateError",
    "Progress",
    "PurgeReport",
    "Purged",
    "Quota",
    "Reason",
    "RecordedFact",
    "Registry",
    "Retry",
    "Run",
    "RunStatus",
    "SchemaMismatch",
    "Skip",
    "Snooze",
    "Stale",
    "StoreError",
    "StoreUnavailable",
    "Subject",
    "UnknownName",
    "UsageError",
    "flow_data",
    "flow_from_data",
]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        value = getattr(import_module(_LATER[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'phasegate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
