"""``phasegate db``: the database itself."""

from __future__ import annotations

import typer

from phasegate import database as databases
from phasegate.cli.session import Session, command


def upgrade(session: Session) -> None:
    """Create the database, or bring its tables to the version this phasegate needs."""
    version = databases.upgrade(session.address)
    session.answer(_data(session, version=version), f"{session.address} has schema {version}")


def current(session: Session) -> None:
    """Say which version the tables have."""
    databases.check_exists(session.address)
    version = databases.current(session.address)
    said = f"has schema {version}" if version else "has no tables of phasegate"
    session.answer(_data(session, version=version), f"{session.address} {said}")


def path(session: Session) -> None:
    """Say where the database is."""
    session.answer(_data(session), str(databases.path(session.address) or session.address))


def _data(session: Session, **more: str | None) -> dict[str, str | None]:
    file = databases.path(session.address)
    return {"database": session.address, "path": str(file) if file else None, **more}


app = typer.Typer(help="Create, upgrade or find the database.")
for function in (upgrade, current, path):
    command(app, function)
