"""What the conformance tests share: small runs, and the appends that move them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from phasegate.core import commands
from phasegate.core import facts as f
from phasegate.core.flow import Flow, Gate, Phase
from phasegate.core.planner import advance
from phasegate.core.run import Run, Subject
from phasegate.journal import Extras, compose
from phasegate.store import codec
from phasegate.store.base import Append, Store, WorkerRow, Write
from phasegate.store.ids import new_id


def work(_context: object) -> None:
    """Stands for a phase function; a store never calls one."""


FLOW = Flow(
    "story",
    1,
    (Phase("draft", work), Phase("edit", work, needs=("draft",)), Phase("print", needs=("edit",), gate=Gate())),
)
FLOWS = [("story", 1)]

metadata = sa.MetaData()
#: A table of an application.
LEDGER = sa.Table(
    "ledger",
    metadata,
    sa.Column("entry", sa.String, primary_key=True),
    sa.Column("amount", sa.Integer, sa.CheckConstraint("amount > 0"), nullable=False),
)
ENTER = sa.insert(LEDGER)


def entry(name: str, amount: int = 1) -> Write:
    return Write(ENTER, {"entry": name, "amount": amount})


def entries(store: Store) -> dict[str, int]:
    return {row["entry"]: row["amount"] for row in store.read(sa.select(LEDGER))}


def new(store: Store, subject: str = "acme", *, flow: Flow = FLOW, **given: Any) -> Append:
    """The append that starts a run."""
    values = {"tenant": "default", "run_id": new_id()} | given
    fact = f.RunStarted(
        store.now(),
        values.pop("run_id"),
        values.pop("tenant"),
        flow.name,
        flow.version,
        Subject("company", subject),
        **values,
    )
    run, facts = advance(flow, None, store.now(), fact)
    return compose(flow, None, run, facts, now=store.now(), projecting=True)


def move(store: Store, run: Run, *facts: f.Fact, flow: Flow = FLOW, extras: Extras | None = None) -> Append:
    """The append that records these facts and what follows."""
    after, all_facts = advance(flow, run, store.now(), *facts)
    return compose(flow, run, after, all_facts, now=store.now(), extras=extras or Extras(), projecting=True)


def done(
    store: Store,
    run: Run,
    phase: str = "draft",
    output: Any = None,
    *,
    writes: Sequence[Write] = (),
    release: bool = False,
) -> Append:
    """The append of a phase that was started and has succeeded."""
    number, now = run.at(phase).attempt + 1, store.now()
    outputs: dict[tuple[str, tuple[str, ...], int], tuple[str, Any]] = {}
    sha256 = None
    if output is not None:
        text, sha256 = codec.canonical(output)
        outputs[phase, (), number] = (text, output)
    return move(
        store, run, f.AttemptStarted(now, phase, (), number, "w"), f.AttemptSucceeded(now, phase, (), number, "done", sha256),
        extras=Extras(outputs=outputs, writes=tuple(writes), release=release),
    )  # fmt: skip


def put(store: Store, append: Append) -> Run:
    """Record one append; the run after it."""
    assert store.append([append]) == [None]
    return append.run


def cancelled(store: Store, run: Run) -> Append:
    """The append that ends a run."""
    return move(store, run, *commands.cancel(run, store.now()))


def register(store: Store, worker: str, lease: float = 15.0) -> None:
    store.renew(WorkerRow(worker, "host", 1, store.now(), store.now() + timedelta(seconds=lease)))


def claim(store: Store, worker: str, limit: int = 100, flows: Sequence[tuple[str, int]] = FLOWS) -> list[Run]:
    """Register a worker and have it claim."""
    register(store, worker)
    return list(store.claim(worker, limit, flows).runs)


def only(runs: Sequence[Run]) -> Run:
    (run,) = runs
    return run
