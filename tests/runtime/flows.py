"""Small flows and what the runtime's tests ask of their runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from phasegate import Engine, Flow, Phase, PhaseRun, Run, Subject
from phasegate.core import facts as f
from phasegate.core.state import fold
from phasegate.runtime.worker import Worker

ACME = Subject("company", "acme")

metadata = sa.MetaData()
#: A table of an application.
LEDGER = sa.Table(
    "ledger",
    metadata,
    sa.Column("entry", sa.String, primary_key=True),
    sa.Column("amount", sa.Integer, sa.CheckConstraint("amount > 0"), nullable=False),
)
ENTER = sa.insert(LEDGER)


def flow(*phases: Phase, version: int = 1) -> Flow:
    return Flow("story", version, phases)


def one(run: Any, **options: Any) -> Flow:
    """A flow of a single phase."""
    return flow(Phase("work", run, **options))


def finished(engine: Engine, given: Any = None, subject: Subject = ACME) -> Run:
    """The run of a subject through the flow, as far as it gets now."""
    run = engine.start("story", subject, input=given)
    engine.drain()
    return engine.get(run.id)


def outcome(engine: Engine) -> PhaseRun:
    """What becomes of the phase of a flow that has but one."""
    return finished(engine).at("work")


def subjects(count: int) -> list[Subject]:
    return [Subject("company", f"c{number:03}") for number in range(count)]


def facts(engine: Engine, run: Run) -> list[f.Fact]:
    return [entry.fact for entry in engine.history(run.id)]


def kinds(engine: Engine, run: Run) -> list[str]:
    return [fact.kind for fact in facts(engine, run)]


def entries(engine: Engine) -> dict[str, int]:
    return {row["entry"]: row["amount"] for row in engine.read(sa.select(LEDGER))}


def assert_sound(engine: Engine, runs: Sequence[Run]) -> None:
    """The log tells of the state, and no attempt ended twice."""
    for run in runs:
        log = facts(engine, run)
        present = engine.get(run.id)
        assert fold(log).but(epoch=present.epoch) == present
        ended = [(x.phase, x.scope, x.attempt) for x in log if isinstance(x, f.AttemptSucceeded)]
        assert len(ended) == len(set(ended))


def serve(engine: Engine, body: Callable[[Worker], Any], **options: Any) -> None:
    """Run ``body`` in a thread while a worker of the engine serves; an exception of either is raised."""

    async def serving() -> None:
        async with engine.worker(**options) as worker:
            await asyncio.to_thread(body, worker)

    asyncio.run(serving())
