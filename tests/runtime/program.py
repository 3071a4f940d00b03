"""A program for tests that need more than one process: ``python -m tests.runtime.program COMMAND ADDRESS [ARGUMENTS]``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from phasegate import Context, Engine, Flow, Gate, Limits, Phase, Quota, Registry, Retry, Subject

ROOT = Path(__file__).parents[2]
LEASE = 0.5
TABLE = "CREATE TABLE IF NOT EXISTS done (name TEXT PRIMARY KEY, count INTEGER NOT NULL)"


def note(ctx: Context) -> str:
    """Write a row for each completion, counted by the database."""
    ctx.write(
        "INSERT INTO done (name, count) VALUES (:name, 1) ON CONFLICT (name) DO UPDATE SET count = done.count + 1",
        {"name": f"{ctx.subject.id}/{ctx.phase}"},
    )
    return f"{ctx.deps}/{ctx.attempt}"


def hold(ctx: Context) -> str:
    """In a process that is to be stopped: say that the phase has begun, and go on when the file ``go`` is there."""
    if ctx.deps == "held":
        print("begun", flush=True)
        while not Path(ctx.input["go"]).exists():
            threading.Event().wait(0.005)
    return note(ctx)


FLOW = Flow(
    "story",
    1,
    (Phase("first", note), Phase("held", hold, needs=("first",)), Phase("last", note, needs=("held",))),
)
ASKING = Flow(
    "asking",
    1,
    (
        Phase("before", note),
        Phase("release", needs=("before",), gate=Gate()),
        Phase("after", note, needs=("release",)),
    ),
)


def die(_ctx: Context) -> None:
    """Take the whole process down, at once."""
    os.kill(os.getpid(), signal.SIGKILL)


BOUNDED = Flow("bounded", 1, (Phase("held", hold, quotas=(Quota(concurrency=1),)),))
DEADLY = Flow("deadly", 1, (Phase("dies", die, retry=Retry(losses=2)),))


@contextmanager
def opened(address: str, name: str = "", **limits: Any) -> Iterator[Engine]:
    """The engine all these processes use; ``name`` is what its phases see in ``ctx.deps``."""
    with Engine(
        address,
        Registry(FLOW, ASKING, BOUNDED, DEADLY, deps=name),
        limits=Limits(**{"lease": LEASE, "grace": 0.2} | limits),
    ) as engine:
        engine.create_tables(sa.MetaData(), [TABLE])
        yield engine


def completions(engine: Engine) -> dict[str, int]:
    return {row["name"]: row["count"] for row in engine.read("SELECT name, count FROM done")}


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """This program as another process; killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.runtime.program", *arguments], cwd=ROOT, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


def said(process: subprocess.Popen[str], word: str) -> None:
    """Wait until the process has said so."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line == word, f"the process said {line!r}, not {word!r}"


def _stop_with_input(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


def main(command: str, address: str, *arguments: str) -> None:
    with opened(address, name="held" if command == "hold" else "other") as engine:
        if command == "start":
            print(engine.start(arguments[0], Subject("company", arguments[1]), input={"go": ""}).id, flush=True)
        elif command == "decide":
            engine.decide(arguments[0], "release", "approved", by="ann")
        elif command == "drain":
            engine.drain()
        else:
            stop = threading.Event()
            threading.Thread(target=_stop_with_input, args=[stop], daemon=True).start()
            print("working", flush=True)
            engine.work(stop=stop)
            print("stopped", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
    sys.stdout.flush()
    os._exit(0)  # threads of phases that were given up may still wait
