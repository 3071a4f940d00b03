"""What the commands share: the engine they work on, and the form of an answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from phasegate import database as databases
from phasegate.cli import output
from phasegate.cli.session import Session

if TYPE_CHECKING:
    from phasegate import Engine
    from phasegate.apps.outreach.answers import Answer, Sheet
    from phasegate.apps.outreach.routing import Sink


@contextmanager
def open_database(session: Session, *, create: bool = False, sink: Sink | None = None) -> Iterator[Engine]:
    """The engine of the session. Without ``create`` a database that does not exist, or has no tables of phasegate, is
    refused with ``StoreError`` and left as it is."""
    from phasegate.apps.outreach.opening import open_engine

    if not create:
        databases.check_prepared(session.address)
    with open_engine(session.address, sink=sink, tenant=session.tenant) as engine:
        yield engine


def show(session: Session, found: Answer) -> None:
    """Write an answer: its data for programs, its lines and tables for people."""
    session.answer(found.data, *parts(found))


def parts(found: Answer) -> list[str | output.Table]:
    """The lines and the tables of an answer, with an empty line between tables."""
    tables: list[str | output.Table] = [part for sheet in found.sheets for part in ("", _table(sheet))]
    return [*found.lines, *tables] if found.lines else tables[1:]


def fail_if(failed: bool) -> None:
    """End with exit code 1 when something failed."""
    if failed:
        raise typer.Exit(1)


def _table(sheet: Sheet) -> output.Table:
    return output.Table(sheet.columns, list(sheet.rows), sheet.title)
