"""The portions in which a long list of deliverables is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from phasegate.apps.build.context.kinds import Kind, kind
from phasegate.apps.build.policy import Policy

#: The order in which a long answer is asked for: tests and documents are written about the programs.
_ORDER: tuple[frozenset[Kind], ...] = (
    frozenset({"backend", "frontend", "config", "other"}),
    frozenset({"test"}),
    frozenset({"doc"}),
)


def batches(deliverables: Sequence[str], policy: Policy) -> list[list[str]]:
    """The deliverables in portions that are asked for one after the other: programs, then tests, then documents.

    No portion has more than ``policy.batch_size`` files or two sorts of them; within a sort the given order is kept.
    """
    size = max(1, policy.batch_size)
    sorts = [[each for each in deliverables if kind(each) in sort] for sort in _ORDER]
    return [sort[at : at + size] for sort in sorts for at in range(0, len(sort), size)]
