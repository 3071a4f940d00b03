"""A small flow with the outreach flow's name whose phases do what a test's script says, on a real engine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from phasegate import Context, Engine, Flow, Phase, Registry, Retry, Subject
from phasegate.apps.outreach.projection import project
from phasegate.apps.outreach.schema import create_tables
from phasegate.apps.outreach.tables import company_master

ADD_COMPANY = company_master.insert()


@dataclass
class Clock:
    """Time that stands still until a test moves it; it begins now, because views ask the database for the time."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Script:
    """What the phases return or raise, by phase, one entry per attempt; when nothing is left, a small success."""

    def __init__(self) -> None:
        self.entries: dict[str, list[Any]] = defaultdict(list)

    def add(self, phase: str, *entries: Any) -> None:
        self.entries[phase] += entries

    def play(self, ctx: Context) -> Any:
        waiting = self.entries[ctx.phase]
        entry = waiting.pop(0) if waiting else {"statistics": {"total": 1}}
        value = entry(ctx) if callable(entry) else entry
        if isinstance(value, BaseException):
            raise value
        return value


def play(ctx: Context) -> Any:
    return ctx.deps.play(ctx)


def take_in(ctx: Context) -> Any:
    result = ctx.deps.play(ctx)
    ctx.write(
        ADD_COMPANY,
        {"company_unique_id": ctx.subject.id, "company_name": f"{ctx.subject.id} Ltd", "tenant": ctx.tenant},
    )
    return result


FLOW = Flow(
    "outreach",
    1,
    (
        Phase("intake", take_in, label="0"),
        Phase("company_validation", play, label="1", needs=("intake",)),
        Phase(
            "people_validation", play, label="1.1", needs=("company_validation",), retry=Retry(attempts=2, jitter=False)
        ),
        Phase("slot_gate", play, label="2.5", needs=("people_validation",)),
        Phase(
            "readiness", play, label="3", needs=("company_validation", "people_validation"), after=("slot_gate",),
        ),
    ),
)  # fmt: skip


@dataclass
class Pipeline:
    """An engine with the scripted flow, its clock and its script."""

    engine: Engine
    clock: Clock
    script: Script

    def run(self, phase: str, *companies: str, **options: Any) -> Any:
        return self.engine.run_phase("outreach", phase, [Subject("company", each) for each in companies], **options)

    def rows(self, statement: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in self.engine.read(statement)]

    def log(self, columns: str = "phase_id, status", where: str = "1 = 1") -> list[tuple[Any, ...]]:
        query = f"SELECT {columns} FROM phase_completion_log WHERE {where} ORDER BY log_id"
        return [tuple(row.values()) for row in self.engine.read(query)]

    def phase_of(self, company: str) -> Any:
        query = "SELECT current_phase FROM company_master WHERE company_unique_id = :id"
        return self.engine.read(query, {"id": company})[0]["current_phase"]

    def put(self, table: Any, *rows: dict[str, Any]) -> None:
        """Rows of the application's tables, put there by an engine's commit."""
        with self.engine.store.writing() as connection:  # type: ignore[attr-defined]
            for row in rows:
                connection.execute(table.insert(), row)


@contextmanager
def pipeline(folder: Path, flow: Flow = FLOW, clock: Callable[[], datetime] | None = None) -> Iterator[Pipeline]:
    script = Script()
    registry = Registry(flow, deps=script)
    registry.projection(project)
    time = clock or Clock()
    with Engine(f"sqlite:///{folder / 'outreach.db'}", registry, tenant="default", clock=time) as engine:
        create_tables(engine)
        yield Pipeline(engine, time, script)  # type: ignore[arg-type]
