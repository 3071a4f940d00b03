"""What PostgreSQL's errors mean for a person, and what to do about them."""

from __future__ import annotations

import psycopg
import sqlalchemy as sa
from psycopg import errors as pg

from phasegate.errors import InputError, StoreError, StoreUnavailable

_SETTING = "check PHASEGATE_DATABASE or --database"

#: Kinds of error that are the database's fault and not a statement's, with what to do.
_HINTS: tuple[tuple[type[psycopg.Error], str, str], ...] = (
    (
        pg.DiskFull,
        "has no space left on its disk",
        "free some space; nothing was half-written, and it goes on by itself",
    ),
    (pg.InsufficientPrivilege, "refuses this", "grant the role of the address the right, or use another role"),
    (pg.LockNotAvailable, "is locked by another process", "try again when it has finished (PHASEGATE_BUSY seconds)"),
    (pg.TooManyConnections, "has no connection left", "raise max_connections, or start fewer workers"),
    (pg.ReadOnlySqlTransaction, "cannot be written", "name the primary server in PHASEGATE_DATABASE, not a replica"),
    (pg.InvalidPassword, "does not accept the password", _SETTING),
    (pg.InvalidAuthorizationSpecification, "does not accept the user", _SETTING),
    (pg.InvalidCatalogName, "does not exist", f"create it with createdb, or {_SETTING}"),
    (pg.CannotConnectNow, "is starting or stopping", "wait until the server has started"),
)
#: What a server says before there is a connection, for which the driver has no code.
_SAID = (
    ("password authentication failed", "does not accept the password", _SETTING),
    ("no password supplied", "asks for a password", _SETTING),
    ("role ", "does not accept the user", _SETTING),
    ("does not exist", "does not exist", f"create it with createdb, or {_SETTING}"),
    ("too many clients", "has no connection left", "raise max_connections, or start fewer workers"),
    ("remaining connection slots", "has no connection left", "raise max_connections, or start fewer workers"),
    ("starting up", "is starting or stopping", "wait until the server has started"),
    ("shutting down", "is starting or stopping", "wait until the server has started"),
    ("could not translate host name", "has a host that nobody knows", _SETTING),
    ("failed to resolve host", "has a host that nobody knows", _SETTING),
)


def explain_error(url: sa.URL, error: BaseException | None) -> StoreError | None:
    """The error as ours; None when it is about a statement, not about the database."""
    if not isinstance(error, psycopg.Error) or is_passing(error):
        return None
    place = _place(url)
    for kind, said, hint in _HINTS:
        if isinstance(error, kind):
            return StoreUnavailable(f"{place} {said}", hint=hint)
    if not _lost(error):
        return None
    message = str(error)
    for part, said, hint in _SAID:
        if part in message:
            return StoreUnavailable(f"{place} {said}", hint=hint)
    return StoreUnavailable(
        f"{place} does not answer", hint=f"see whether the server runs and can be reached; else {_SETTING}"
    )


def refuse_nul(error: BaseException | None) -> None:
    """Raise ``InputError`` when the error is about the one character that PostgreSQL has no place for."""
    if isinstance(error, psycopg.DataError) and ("NUL" in str(error) or isinstance(error, pg.UntranslatableCharacter)):
        raise InputError(
            "the character NUL cannot be stored on PostgreSQL", hint="remove it from the id, the key or the name"
        ) from error


def shorten(error: psycopg.Error) -> bool:
    """Leave the first sentence of the message only: the details quote rows, and messages go into logs. Whether it had any."""
    primary = error.diag.message_primary
    if primary is None:
        return False
    error.args = (primary,)
    return True


def is_passing(error: BaseException | None) -> bool:
    """Whether the server gave the transaction up for another one's sake, so that it may simply be repeated."""
    while error is not None:
        if isinstance(error, pg.DeadlockDetected | pg.SerializationFailure):
            return True
        error = getattr(error, "orig", None) or error.__cause__
    return False


def is_lost(error: BaseException | None) -> bool:
    """Whether the connection is gone."""
    while error is not None:
        if isinstance(error, psycopg.Error):
            return _lost(error)
        error = getattr(error, "orig", None) or error.__cause__
    return False


def _lost(error: psycopg.Error) -> bool:
    """No code, or one of the classes of connections (08) and of operators' orders (57P)."""
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(("08", "57P", "28", "3D000"))


def _place(url: sa.URL) -> str:
    """The database as a person knows it, without user and password."""
    host = url.host or url.query.get("host") or "this machine"
    port = f":{url.port}" if url.port else ""
    return f"database {url.database or url.username or 'postgres'} on {host}{port}"
