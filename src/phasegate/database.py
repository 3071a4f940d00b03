"""The database itself rather than what is in it: where it is, which schema it has, and bringing that up to date."""

from __future__ import annotations

import os
import re
from pathlib import Path

from phasegate.errors import NotADatabase, StoreUnavailable

#: Where runs are kept when nobody says otherwise.
DEFAULT = "sqlite:///phasegate.db"
#: User and password in an address.
_PASSWORD = re.compile(r"(://[^:@/]*):[^@]*@")


def address(given: str | None = None) -> str:
    """The address in use: the one given, else ``PHASEGATE_DATABASE``, else the default."""
    return given or os.environ.get("PHASEGATE_DATABASE") or DEFAULT


def path(address: str) -> Path | None:
    """The file of a database at ``address``; None when it has no file of its own."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        return Path(address)
    name = rest.removeprefix("/")
    return Path(name) if scheme == "sqlite" and name else None


def check_exists(address: str) -> None:
    """Raise ``StoreUnavailable`` when the database would be a file that is not there."""
    file = path(address)
    if file is not None and not file.exists():
        raise StoreUnavailable(
            f"there is no database {file}", hint="name it with --database, or create it with: phasegate db upgrade"
        )


def check_prepared(address: str) -> None:
    """Raise ``StoreError`` unless there is a database at ``address`` with phasegate's tables; changes nothing.

    For whoever only looks: what is empty, or somebody else's, should not get our tables because a name was mistyped. A
    temporary database is nobody's and passes.
    """
    check_exists(address)
    file = path(address)
    temporary = file is None and address.startswith("sqlite:")
    if not temporary and current(address) is None:
        raise NotADatabase(
            f"{file or 'the database'} has no tables of phasegate",  # an address may have a password in it
            hint="name another database with --database, or create the tables in this one with: phasegate db upgrade",
        )


def upgrade(address: str) -> str | None:
    """Bring the schema to the version this phasegate needs, creating the database if need be; returns that version.

    Raises ``StoreError`` when the database cannot be used or is newer.
    """
    from phasegate.store.upgrading import upgrade as bring_up_to_date

    bring_up_to_date(address)
    return current(address)


def downgrade(address: str, version: str) -> None:
    """Take the schema back to an earlier version; ``base`` is the one without tables, and without data.

    Raises ``InputError`` for a version that nothing leads back to, ``StoreError`` when the database cannot be used.
    """
    from phasegate.store.upgrading import downgrade as take_back

    take_back(address, version)


def shown(address: str) -> str:
    """The address without the password, as it may be printed."""
    return _PASSWORD.sub(r"\1:***@", address)


def current(address: str) -> str | None:
    """The version of the schema in the database; None when it has none of phasegate's tables."""
    from phasegate.store.upgrading import current as found

    version = found(address)
    return str(version) if version else None


def is_empty(address: str) -> bool:
    """Whether nobody has any tables in the database, or there is none."""
    from phasegate.store.upgrading import is_empty as found

    return found(address)
