"""Kills itself, or is killed, again and again, and reports what is left each time.

``python -m tests.crash.program points FOLDER`` dies before each statement of the reference flow in turn;
``python -m tests.crash.program random FOLDER KILLS SEED`` is killed at random moments. One line of JSON per result. Children
are forked from this process, which has imported everything and opened nothing.
"""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from phasegate import (
    Batch,
    Context,
    Engine,
    Fatal,
    Flow,
    Gate,
    Limits,
    Outcome,
    Phase,
    Registry,
    Retry,
    RunStatus,
    Subject,
)
from phasegate.core import facts as f
from phasegate.core.state import fold
from phasegate.runtime.log import configure
from phasegate.testing import CrashPoint

LANES = 3
TABLE = "CREATE TABLE IF NOT EXISTS done (name TEXT PRIMARY KEY, count INTEGER NOT NULL)"
COUNT = sa.text("INSERT INTO done VALUES (:name, 1) ON CONFLICT (name) DO UPDATE SET count = count + 1")


def count(ctx: Context) -> None:
    """The row of an application that must balance with the completions."""
    params = {"name": name_of(str(ctx.run.subject), ctx.phase, ctx.scope)}
    if ctx.session is not None:
        ctx.session.execute(COUNT, params)
    else:
        ctx.write(COUNT, params)


def name_of(subject: str, phase: str, scope: Sequence[str]) -> str:
    return "/".join((subject, phase, *scope))


# --- the reference flow: chain, going back, iteration, batch, transaction, gate, undoing ----------------------------


def draft(ctx: Context) -> str:
    count(ctx)
    return "first" if ctx.feedback is None else "second"


async def check(ctx: Context) -> Any:
    count(ctx)
    return Outcome("again", "thin") if ctx.inputs["draft"] == "first" else "fine"


def work(ctx: Context) -> str:
    count(ctx)
    return f"{ctx.phase} of {ctx.subject.id}"


def send(contexts: list[Context]) -> list[Any]:
    for ctx in contexts:
        count(ctx)
    return [ctx.inputs["work"] for ctx in contexts]


def last(ctx: Context) -> str:
    if ctx.subject.id == "doomed":
        raise Fatal("doomed")
    count(ctx)
    return "done"


REFERENCE = Flow(
    "reference",
    1,
    (
        Phase("draft", draft, compensate=work),
        Phase("check", check, needs=("draft",), redo={"again": "draft"}),
        Phase("list", lambda _ctx: [{"id": "a"}, {"id": "b"}], needs=("check",)),
        Phase("work", work, each="list", compensate=work),
        Phase("send", send, each="list", needs=("work",), batch=Batch(within=0.001)),
        Phase("book", work, needs=("send",), transactional=True),
        Phase("release", needs=("book",), gate=Gate()),
        Phase("last", last, needs=("release",)),
    ),
)
SUBJECTS = [Subject("company", "fine"), Subject("company", "doomed")]
COMPLETIONS = {"draft": 2, "check": 2, "work/a": 1, "work/b": 1, "send/a": 1, "send/b": 1, "book": 1}
ONLY = {"fine": {"last": 1}, "doomed": {"undo:draft": 1, "undo:work/a": 1, "undo:work/b": 1}}


def complete(engine: Engine) -> None:
    """Take both subjects from wherever they are to their ends."""
    engine.create_tables(sa.MetaData(), [TABLE])
    runs = engine.start_many("reference", SUBJECTS)
    engine.drain()
    waiting = [run.id for run in runs if engine.get(run.id).status is RunStatus.WAITING]
    engine.decide_many([(run_id, "release", "approved") for run_id in waiting], by="ann")
    engine.drain()


def faults_of_reference(engine: Engine) -> list[str]:
    """What is not as it would be had nobody died."""
    found = faults(engine)
    for subject in SUBJECTS:
        (run,) = engine.find(subject=subject)
        expected = RunStatus.SUCCEEDED if subject.id == "fine" else RunStatus.FAILED
        if run.status is not expected:
            found.append(f"{subject} is {run.status.value}: {run.reason}")
        done = {
            name.partition("/")[2]: number for name, number in rows(engine).items() if name.startswith(f"{subject}/")
        }
        if done != COMPLETIONS | ONLY[subject.id]:
            found.append(f"{subject}: {done}")
    return found


def faults(engine: Engine) -> list[str]:
    """Where log, state and the application's rows disagree."""
    found, succeeded = [], Counter[str]()
    for run in engine.find(limit=None):
        log = [entry.fact for entry in engine.history(run.id)]
        present = engine.get(run.id)
        if fold(log).but(epoch=present.epoch) != present:
            found.append(f"{run.subject}: the log does not tell of the state")
        ended = [x for x in log if isinstance(x, f.AttemptSucceeded)]
        if len({(x.phase, x.scope, x.attempt) for x in ended}) != len(ended):
            found.append(f"{run.subject}: an attempt was recorded twice")
        succeeded.update(name_of(str(run.subject), x.phase, x.scope) for x in ended if x.phase != "list")
    if succeeded != rows(engine):
        found.append(f"rows and completions differ: {(rows(engine) - succeeded) + (succeeded - rows(engine))}")
    return found


def rows(engine: Engine) -> Counter[str]:
    return Counter({row["name"]: row["count"] for row in engine.read("SELECT name, count FROM done")})


def say(result: dict[str, Any]) -> None:
    os.write(1, json.dumps(result).encode() + b"\n")  # in one piece: several children write


# --- dying and coming back ------------------------------------------------------------------------------------------


def opened(path: Path, generation: int, flow: Flow, deps: Any = None) -> Engine:
    """An engine whose time is an hour ahead of the former one's: whatever that held is free at once."""
    return Engine(
        path, Registry(flow, deps=deps), clock=lambda: datetime.now(UTC) + timedelta(hours=generation),
        limits=Limits(concurrency=30, grace=0),
    )  # fmt: skip


def in_a_child(body: Callable[[], None]) -> int:
    """Run ``body`` in a forked process; its wait status."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            body()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


def die_at(path: Path, statement: int) -> bool:
    """Complete the reference flow, dying before this statement; whether it came so far."""

    def body() -> None:
        engine = opened(path, 0, REFERENCE)
        CrashPoint(engine, statement=statement)
        complete(engine)

    status = in_a_child(body)
    assert status in (0, signal.SIGKILL), f"statement {statement}: the child ended with {status}"
    return status == signal.SIGKILL


def recover(path: Path, statement: int) -> None:
    def body() -> None:
        with opened(path, 1, REFERENCE) as engine:
            complete(engine)
            say({"statement": statement, "faults": faults_of_reference(engine)})

    assert in_a_child(body) == 0, f"statement {statement}: nothing could be recovered"


def every_point(folder: Path) -> None:
    """Every statement in turn; several at a time, since they mostly wait for the disk."""
    lanes = []
    for lane in range(LANES):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                every_so_many(folder / str(lane), lane + 1)
                status = 0
            finally:
                os._exit(status)
        lanes.append(child)
    assert [os.waitpid(child, 0)[1] for child in lanes] == [0] * LANES


def every_so_many(folder: Path, statement: int) -> None:
    folder.mkdir()
    survived = 0
    while survived < 5:  # how many statements there are depends a little on what happens to be committed together
        survived += not die_at(folder / f"{statement}.db", statement)
        recover(folder / f"{statement}.db", statement)
        for file in folder.iterdir():
            file.unlink()
        statement += LANES


# --- killed at random -----------------------------------------------------------------------------------------------


def tell(ctx: Context) -> int:
    """Say that a phase runs, so that the killer knows that there is something to kill."""
    count(ctx)
    os.write(ctx.deps, b".")
    return ctx.attempt


def tell_all(contexts: list[Context]) -> list[int]:
    return [tell(ctx) for ctx in contexts]


# However often it is killed: here it is never the phase's fault.
_KILLED = Retry(losses=1000)
CHAIN = Flow(
    "chain",
    1,
    (
        Phase("one", tell, retry=_KILLED),
        Phase("two", tell, needs=("one",), retry=_KILLED),
        Phase(
            "three",
            lambda ctx: [tell(each) for each in ctx],
            needs=("two",),
            batch=Batch(size=20, within=0.001),
            retry=_KILLED,
        ),
        Phase("four", tell, needs=("three",), transactional=True, retry=_KILLED),
    ),
)


def work_until_killed(path: Path, generation: int, after: int) -> bool:
    """Have a child work and kill it after so many calls of phases; False when it ran out of work before."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            opened(path, generation, CHAIN, deps=writing).drain()
        finally:
            os._exit(0)
    os.close(writing)
    while after > 0 and (said := os.read(reading, after)):
        after -= len(said)
    os.close(reading)
    os.kill(child, signal.SIGKILL)
    return bool(os.waitpid(child, 0)[1] == signal.SIGKILL)


def at_random(folder: Path, kills: int, seed: int) -> None:
    chance, path, killed, generation = random.Random(seed), folder / "random.db", 0, 0

    def start() -> None:
        with opened(path, generation, CHAIN) as engine:
            engine.create_tables(sa.MetaData(), [TABLE])
            engine.start_many("chain", [Subject("company", f"{generation}/{number}") for number in range(100)])

    while killed < kills:
        in_a_child(start)
        more = True
        while more and killed < kills:
            generation += 1
            more = work_until_killed(path, generation, chance.randint(1, 80))
            killed += more

    def finish() -> None:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        with opened(path, generation + 1, CHAIN, deps=writing) as engine:
            engine.drain()
            found = faults(engine)
            runs = engine.find(limit=None)
            found += [f"{run.subject} is {run.status.value}" for run in runs if run.status is not RunStatus.SUCCEEDED]
            wrong = {name: number for name, number in rows(engine).items() if number != 1}
            completions = sum(rows(engine).values())
            if completions != 4 * len(runs):
                found.append(f"{completions} completions of {len(runs)} runs")
            say({"kills": killed, "completions": completions, "faults": [*found, *wrong]})

    assert in_a_child(finish) == 0


def main(command: str, folder: str, *arguments: str) -> None:
    configure()
    gc.freeze()
    if command == "points":
        every_point(Path(folder))
    else:
        at_random(Path(folder), *map(int, arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
