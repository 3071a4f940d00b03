"""Phase functions that run on Ray, in a module of their own: the tasks import it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ray

from phasegate import Context, Fatal, Outcome, Skip, Snooze
from tests.runtime.flows import ENTER
from tests.waiting import wait_for

LATER = datetime(2031, 1, 1, tzinfo=UTC)


class Refused(Exception):
    """Cannot be made again from its arguments, as pickle does it."""

    def __init__(self, code: int, *, why: str) -> None:
        super().__init__(f"{code}: {why}")


def begun(ctx: Context) -> Path:
    """Tell the test that this attempt has begun, and in which process, on which node."""
    place = Path(ctx.input["folder"]) / f"{ctx.subject.id}-{ctx.attempt}"
    partly = place.with_suffix(".part")
    partly.write_text(f"{os.getpid()} {ray.get_runtime_context().get_node_id()}")
    partly.rename(place)
    return place


def describe(ctx: Context) -> dict[str, Any]:
    ctx.log.warning("described", size=len(ctx.inputs["given"]["big"]), what={"a": 1})
    try:
        raise ValueError("not so bad")
    except ValueError:
        ctx.log.exception("excused")
    return {
        "pid": os.getpid(), "tenant": ctx.tenant, "subject": str(ctx.subject), "run": ctx.run.id, "attempt": ctx.attempt,
        "scope": list(ctx.scope), "input": ctx.input, "big": len(ctx.inputs["given"]["big"]), "deps": ctx.deps,
        "dry_run": ctx.dry_run, "cancelled": ctx.cancelled, "year": ctx.now().year, "item": ctx.item,
    }  # fmt: skip


async def twice(ctx: Context) -> dict[str, Any]:
    await asyncio.sleep(0)
    return {"big": ctx.inputs["given"]["big"] * 2, "item": ctx.item}


def write(ctx: Context) -> None:
    ctx.write(ENTER, {"entry": ctx.subject.id, "amount": ctx.input})


def ask(ctx: Context) -> Any:
    return ctx.answers if ctx.answers else ctx.ask(["which?"])


def end(ctx: Context) -> Any:
    """End as the input says."""
    return ENDINGS[ctx.input](ctx)


def _raise(error: BaseException) -> Any:
    raise error


ENDINGS: dict[str, Any] = {
    "outcome": lambda _: Outcome("odd", 7),
    "skip": lambda _: Skip("nothing to do"),
    "snooze": lambda _: _raise(Snooze(LATER, "not yet")),
    "fatal": lambda _: _raise(Fatal("no use")),
    "value": lambda _: _raise(ValueError("wrong value")),
    "refused": lambda _: _raise(Refused(4, why="not today")),
    "exit": lambda _: _raise(SystemExit(3)),
    "interrupt": lambda _: _raise(KeyboardInterrupt()),
    "stop": lambda _: _raise(StopIteration()),
    "read": lambda ctx: ctx.read("select 1"),
    "unpicklable": lambda _: threading.Lock(),
    "not json": lambda _: object(),
    "dies": lambda _: os._exit(1),
    "deps": lambda ctx: ctx.deps,
}


def wait_until_told(ctx: Context) -> None:
    """Works until it is told to stop, and says that it was."""
    place = begun(ctx)
    wait_for(lambda: ctx.cancelled)
    place.with_suffix(".told").touch()


async def wait_for_ever(ctx: Context) -> None:
    place = begun(ctx)
    try:
        await asyncio.Event().wait()
    finally:
        place.with_suffix(".told").touch()


def wait_stubbornly(ctx: Context) -> None:
    begun(ctx)
    threading.Event().wait()


def beat_until_enough(ctx: Context) -> None:
    """Gives signs of life until the test has seen some."""
    ctx.progress(1, 2)

    def enough() -> bool:
        ctx.heartbeat()
        return (Path(ctx.input["folder"]) / "enough").exists()

    wait_for(enough)
    ctx.progress(2, 2)


def every(contexts: Sequence[Context]) -> list[Any]:
    """A batch: each member writes, and the second fails."""
    for ctx in contexts:
        ctx.write(ENTER, {"entry": ctx.subject.id, "amount": 1})
    return [ValueError("the second") if ctx.subject.id == "c001" else len(contexts) for ctx in contexts]


def wait_together(contexts: Sequence[Context]) -> list[None]:
    for ctx in contexts:
        begun(ctx)
    wait_for(lambda: all(ctx.cancelled for ctx in contexts))
    (Path(contexts[0].input["folder"]) / "told").touch()
    return [None] * len(contexts)


def survive(ctx: Context) -> str:
    """Enters its subject; on the node that is going to die it gets stuck."""
    place = begun(ctx)
    node = place.read_text().split()[1]
    ctx.write(ENTER, {"entry": ctx.subject.id, "amount": 1})
    if node == ctx.input["doomed"]:
        threading.Event().wait()
    return node
