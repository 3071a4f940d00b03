"""Doing a phase again: the resets of it and of everything downstream of it."""

from __future__ import annotations

from datetime import datetime

from phasegate.core import facts as f
from phasegate.core.flow import Flow
from phasegate.core.layered import Layered
from phasegate.core.run import Instance, PhaseRun, PhaseStatus, Scope


def resets(
    flow: Flow, phases: Layered[Instance, PhaseRun], now: datetime, name: str, scope: Scope, reason: str,
    feedback: tuple[str, Scope, int] | None = None, by: str = "",
) -> list[f.PhaseReset]:  # fmt: skip
    """Resets of a phase instance and of everything downstream of it that has begun."""
    depth = _reset_depth(flow, name, len(scope))
    affected = [
        instance
        for instance in phases.values()
        if instance.phase in depth
        and instance.status is not PhaseStatus.PENDING
        and instance.scope[: depth[instance.phase]] == scope[: depth[instance.phase]]
    ]
    affected.sort(key=lambda instance: (flow.position[instance.phase], instance.scope))
    return [f.PhaseReset(now, i.phase, i.scope, reason, by, feedback if i.phase == name else None) for i in affected]


def _reset_depth(flow: Flow, name: str, depth: int) -> dict[str, int]:
    """For a phase and each one downstream, how many item keys it must share with the reset instance to be reset too.

    A join on the way forgets the item: what it is broadcast to is reset for every item.
    """
    found = {name: depth}
    for below in flow.downstream(name):
        above = [source for source in flow.by_name[below].above if source in found]
        found[below] = min(min(found[source], flow.shared(source, below)) for source in above)
    return found
