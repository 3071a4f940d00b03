"""A process that purges everything that has ended, one run after the other, and may be killed on the way."""

from __future__ import annotations

from typing import Any

from phasegate import Engine, Flow, Phase, Registry, Subject
from phasegate.testing import CrashPoint

FLOW = Flow("story", 1, (Phase("work", lambda context: {"of": context.subject.id}),))


def main(address: str, archive: str, point: dict[str, Any]) -> None:
    """Purge; the process dies at ``point``, an argument of ``CrashPoint``, if it comes so far."""
    with Engine(address) as engine:
        CrashPoint(engine, **point)
        engine.purge(0, archive=archive, batch=1)


def fill(address: str, runs: int) -> None:
    """So many runs that have ended."""
    with Engine(address, Registry(FLOW)) as engine:
        engine.start_many(FLOW, [Subject("company", str(number)) for number in range(runs)])
        engine.drain()
