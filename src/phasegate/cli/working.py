"""Commands that work: be a worker, and see who is one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import Annotated

import typer

from phasegate import database as databases
from phasegate.cli import output
from phasegate.cli.loading import load_registry
from phasegate.cli.output import Table
from phasegate.cli.session import Session
from phasegate.errors import UsageError
from phasegate.registry import Registry

#: Builds the registry of the application that a worker works for when nobody names another one.
WORKED_ON = "phasegate.apps.outreach.flow:build_registry"


def worker(
    session: Session,
    concurrency: Annotated[int | None, typer.Option("--concurrency", min=1, help="Attempts at once.")] = None,
) -> None:
    """Execute phases until SIGTERM or SIGINT (Ctrl-C); a second signal does not wait for those under way."""
    registry = _registry(session)
    with session.engine(registry, create=True) as engine, stopped_by_signal() as stop:
        if not session.json:
            names = sorted({flow.name for flow in registry.flows})
            output.write(f"working on {', '.join(names)} in {databases.shown(session.address)}; stop with Ctrl-C")
        engine.work(concurrency=concurrency, stop=stop.asked)
    session.answer({"stopped_by": stop.name}, f"stopped by {stop.name}")


def _registry(session: Session) -> Registry:
    registry = session.registry() or load_registry(WORKED_ON)
    if not registry.flows:
        raise UsageError("the registry has no flow to work on", hint="name another one with --app")
    return registry


def workers(session: Session) -> None:
    """List the workers, and how many runs each holds."""
    with session.engine() as engine:
        found = engine.workers()
    now = datetime.now(UTC)
    rows = [
        (w.id, w.host, w.pid, w.started_at, w.lease_until, w.holds, "" if w.lease_until > now else "lost")
        for w in found
    ]
    table = Table(("worker", "host", "pid", "started", "lease until", "holds", "state"), rows)
    session.answer({"workers": found}, table if found else "No workers.")


def quotas(session: Session) -> None:
    """List the quotas: how many places are in use over all workers, and how many beginnings were left of a rate, and when."""
    with session.engine() as engine:
        found = engine.quotas()
    rows = [(q.name, q.key, q.in_use, "" if q.tokens is None else f"{q.tokens:.1f}", q.at or "") for q in found]
    table = Table(("quota", "per", "in use", "left of rate", "at"), rows)
    session.answer({"quotas": found}, table if found else "No quota is in use.")


class Stop:
    """Whether, and by what, a stop was asked for."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.name = ""

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if self.asked.is_set():
            raise KeyboardInterrupt
        self.name = signal.Signals(number).name
        self.asked.set()


@contextmanager
def stopped_by_signal() -> Iterator[Stop]:
    """Within the block SIGTERM and SIGINT ask for a stop instead of ending the process."""
    stop = Stop()
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
