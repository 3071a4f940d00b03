"""``phasegate db``: the database itself."""

from __future__ import annotations

from typing import Annotated

import typer

from phasegate import UsageError
from phasegate import database as databases
from phasegate.cli.session import Session, command


def upgrade(session: Session) -> None:
    """Create the database, or bring its tables to the version this phasegate needs."""
    version = databases.upgrade(session.address)
    session.answer(_data(session, version=version), f"{databases.shown(session.address)} has schema {version}")


def downgrade(
    session: Session,
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="An earlier version; base is the one without tables.")
    ],
    yes: Annotated[
        bool, typer.Option("--yes", help="Really: what the earlier version has no place for is lost.")
    ] = False,
) -> None:
    """Take the tables back to an earlier version, for an older phasegate. What that has no place for is lost."""
    databases.check_exists(session.address)
    if not yes:
        raise UsageError(
            f"going back to schema {version} loses what it has no place for; base loses every run",
            hint="make a backup, then say --yes",
        )
    databases.downgrade(session.address, version)
    found = databases.current(session.address)
    said = f"has schema {found}" if found else "has no tables of phasegate any more"
    session.answer(_data(session, version=found), f"{databases.shown(session.address)} {said}")


def current(session: Session) -> None:
    """Say which version the tables have."""
    databases.check_exists(session.address)
    version = databases.current(session.address)
    said = f"has schema {version}" if version else "has no tables of phasegate"
    session.answer(_data(session, version=version), f"{databases.shown(session.address)} {said}")


def path(session: Session) -> None:
    """Say where the database is."""
    session.answer(_data(session), str(databases.path(session.address) or databases.shown(session.address)))


def _data(session: Session, **more: str | None) -> dict[str, str | None]:
    file = databases.path(session.address)
    return {"database": databases.shown(session.address), "path": str(file) if file else None, **more}


app = typer.Typer(help="Create, upgrade or find the database.")
for function in (upgrade, downgrade, current, path):
    command(app, function)
