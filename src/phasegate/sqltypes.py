"""Column types that the engine's tables and an application's own share."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa


class IsoTime(sa.types.TypeDecorator[datetime]):
    """Aware UTC time as text of fixed width, which sorts as the times do (SQLite has no type for times)."""

    impl = sa.String(32)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> str | None:
        """A time as text."""
        return None if value is None else iso(value)

    def process_result_value(self, value: str | None, dialect: Any) -> datetime | None:
        """Text as a time."""
        return None if value is None else datetime.fromisoformat(value)


@lru_cache(maxsize=4096)  # the rows of one commit share most of their times
def iso(value: datetime) -> str:
    """A time as text of fixed width in UTC."""
    if value.tzinfo is not UTC:
        value = value.astimezone(UTC)
    return value.isoformat(timespec="microseconds")


#: Aware UTC time: the database's own type where there is one.
UtcTime = sa.DateTime(timezone=True).with_variant(IsoTime(), "sqlite")
