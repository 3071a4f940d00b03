"""Workers that are killed, cut off and left without space: every phase enters a row into a ledger when it is completed."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence

import sqlalchemy as sa

from phasegate import Batch, Context, Engine, Flow, Gate, Limits, Phase, Registry, Retry

#: Longer than a commit takes on a machine that is busy with much else: a worker that cannot renew in time is fenced for ever.
LEASE = 1.0
#: Seconds a phase works, so that a kill finds work under way.
WORK = 0.08

metadata = sa.MetaData()
#: Nothing in the table hides that something was written twice.
LEDGER = sa.Table(
    "ledger",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("entry", sa.String),
    sa.Column("amount", sa.Integer),
)
ENTER = sa.insert(LEDGER)


def enter(context: Context, amount: int) -> int:
    context.write(ENTER, {"entry": f"{context.subject.id}/{context.phase}", "amount": amount})
    return amount


async def take(context: Context) -> int:
    await asyncio.sleep(WORK)
    return enter(context, -context.input)


def carry(context: Context) -> int:
    threading.Event().wait(WORK)
    return enter(context, 0) + context.inputs["take"]


def give(contexts: Sequence[Context]) -> list[int]:
    return [enter(context, -context.inputs["carry"]) for context in contexts]


#: Here it is never the phase's fault.
KILLED = Retry(losses=10_000)

FLOW = Flow(
    "transfer",
    1,
    (
        Phase("take", take, retry=KILLED),
        Phase("carry", carry, needs=("take",), retry=KILLED),
        Phase("give", give, needs=("carry",), retry=KILLED, batch=Batch(size=8, within=WORK)),
    ),
)

#: The same with a person in the middle.
APPROVED = Flow(
    "approved",
    1,
    (
        Phase("take", take, retry=KILLED),
        Phase("release", needs=("take",), gate=Gate(shows=("take",))),
        Phase("carry", carry, needs=("release", "take"), retry=KILLED),
        Phase("give", give, needs=("carry",), retry=KILLED, batch=Batch(size=8, within=WORK)),
    ),
)


def opened(address: str) -> Engine:
    limits = Limits(concurrency=100, threads=16, lease=LEASE, poll=0.05)
    engine = Engine(address, Registry(FLOW, APPROVED), limits=limits)
    engine.create_tables(metadata)
    return engine


class Orphaned(threading.Event):
    """Set when the process that started this one is gone, whose tests nobody waits for any more."""

    def __init__(self) -> None:
        super().__init__()
        self._parent = os.getppid()

    def is_set(self) -> bool:
        return os.getppid() != self._parent


def main(address: str) -> None:
    with opened(address) as engine:
        engine.work(stop=Orphaned())
