"""Where else than in the worker a phase's function may be executed, and what is wrong with a phase that asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from phasegate.errors import did_you_mean

if TYPE_CHECKING:
    from phasegate.core.flow import Phase

#: What ``runs_on`` may name.
PLACES = ("ray",)

#: How Ray's own displays call what its tasks ask for by another name; asked for as such, no node would ever have it.
_MISNAMED = {"CPU": "num_cpus", "GPU": "num_gpus", "cpus": "num_cpus", "gpus": "num_gpus"}


def runs_on_problems(said: str, phase: Phase) -> Iterable[str]:
    """What is wrong with ``runs_on`` and ``resources`` of a phase, one sentence each."""
    if phase.runs_on is None:
        if phase.resources:
            yield f"{said} has resources, which are for a phase with runs_on"
        return
    if phase.runs_on not in PLACES:
        yield f"{said} runs on {phase.runs_on!r}, which is not known ({did_you_mean(phase.runs_on, PLACES)})"
    if phase.gate:
        yield f"{said} is a gate: runs_on is for functions"
    if phase.transactional:
        yield f"{said} is transactional: its function runs inside the commit and cannot run on {phase.runs_on!r}"
    resources: Mapping[str, Any] = phase.resources
    for name, amount in resources.items():
        if name in _MISNAMED:
            yield f"{said}: the resource {name!r} is called {_MISNAMED[name]!r}"
        elif isinstance(amount, bool) or not isinstance(amount, int | float) or amount < 0:
            yield f"{said}: resource {name!r} must be a number, 0 or more, not {amount!r}"
