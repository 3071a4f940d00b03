"""The flow in which everything occurs that a commit can contain, and a program that takes subjects through it.

``python -m tests.crash.reference ADDRESS N`` dies at its N-th statement; with 0 it runs to the end. Started again it goes
on where it was: that is all a program has to do to be safe from crashes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from phasegate import Batch, Context, Engine, Fatal, Flow, Gate, Outcome, Phase, PhaseStatus, Registry, Retry, Subject
from phasegate.core import facts as f
from phasegate.core.facts import RecordedFact
from phasegate.store.opening import open_store
from phasegate.testing import CrashPoint, FakeClock, drain

BAD = Subject("order", "bad")
SUBJECTS = (Subject("order", "good"), Subject("order", "fine"), BAD)
START = datetime(2030, 1, 1, tzinfo=UTC)

metadata = sa.MetaData()
#: Nothing in these tables hides that something was written twice.
LEDGER = sa.Table(
    "ledger",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("entry", sa.String),
    sa.Column("amount", sa.Integer),
)
COMPLETED = sa.Table("completed", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("what", sa.String))
ENTER = sa.insert(LEDGER)


def place(context: Context) -> str:
    return "/".join((context.subject.id, context.phase, *context.scope))


def enter(context: Context, amount: int) -> int:
    context.write(ENTER, {"entry": place(context), "amount": amount})
    return amount


def draft(context: Context) -> dict[str, int]:
    return {"edition": context.feedback["edition"] + 1 if context.feedback else 1}


async def lines(context: Context) -> list[dict[str, Any]]:
    edition = context.inputs["draft"]["edition"]
    return [{"id": "bolt", "amount": edition}, {"id": "nut", "amount": 10 * edition}]


def price(contexts: Sequence[Context]) -> list[int]:
    return [enter(context, context.item["amount"]) for context in contexts]


def refund(context: Context) -> int:
    return enter(context, -context.inputs[context.phase.removeprefix("undo:")])


def check(context: Context) -> Outcome:
    edition = context.inputs["draft"]["edition"]
    return Outcome("again" if edition == 1 else "done", {"edition": edition, "total": sum(context.inputs["price"])})


def charge(context: Context) -> int:
    if context.attempt == 1:
        raise ConnectionError("the bank does not answer")
    return enter(context, context.inputs["check"]["total"])


def book(context: Context) -> int:
    amount = 1000 + context.inputs["charge"]
    context.session.execute(ENTER, {"entry": place(context), "amount": amount})
    return amount


def deliver(context: Context) -> int:
    if context.subject == BAD:
        raise Fatal("there is no such address")
    return enter(context, 1)


FLOW = Flow(
    "reference",
    1,
    (
        Phase("draft", draft),
        Phase("lines", lines, needs=("draft",)),
        Phase("price", price, each="lines", batch=Batch(size=4), compensate=refund),
        Phase("check", check, needs=("draft", "price"), redo={"again": "draft"}),
        Phase("charge", charge, needs=("check",), retry=Retry(attempts=2, base=60, jitter=False), compensate=refund),
        Phase("release", needs=("charge",), gate=Gate(shows=("check",))),
        Phase("book", book, needs=("release", "charge"), transactional=True, compensate=refund),
        Phase("deliver", deliver, needs=("book",)),
    ),
)


def note_completions(connection: sa.Connection, recorded: Sequence[RecordedFact]) -> None:
    """A projection: one row per completion."""
    for each in recorded:
        if isinstance(each.fact, f.AttemptSucceeded):
            what = "/".join((each.run.subject.id, each.fact.phase, *each.fact.scope))
            connection.execute(sa.insert(COMPLETED), {"what": what})


def opened(address: str, clock: FakeClock | None = None) -> Engine:
    registry = Registry(FLOW)
    registry.projection(note_completions)
    return Engine(address, registry, clock=clock)


def take_through(engine: Engine, clock: FakeClock) -> None:
    """Start what is not there yet, do what can be done, answer the gates that are open, do the rest."""
    runs = engine.start_many(FLOW, SUBJECTS)
    drain(engine, clock)
    for run in map(engine.get, [run.id for run in runs]):
        gate = run.at("release")
        if gate.status is PhaseStatus.WAITING:
            engine.decide(run.id, "release", "approved", by="kim@people.example", seen=gate.shown)
    drain(engine, clock)


def prepare(address: str, statement: int) -> int:
    """Create the tables of the engine as the first to come would; how many statements that took."""
    store = open_store(address)
    point = CrashPoint(store, statement=statement)
    store.prepare()
    store.close()
    return point.statements


def main(address: str, statement: int = 0, generation: int = 0, counted: str = "") -> None:
    """``generation`` is how many processes have died before this one: each begins a second later, while the lease of the
    one before still lives. The number of statements executed is written into the file ``counted``."""
    prepared = prepare(address, statement)
    clock = FakeClock(START + timedelta(seconds=generation))
    with opened(address, clock) as engine:
        point = CrashPoint(engine, statement=statement - prepared)
        engine.create_tables(metadata)
        take_through(engine, clock)
    if counted:
        Path(counted).write_text(str(prepared + point.statements), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
