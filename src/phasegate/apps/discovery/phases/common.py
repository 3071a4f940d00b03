"""What the phases share: where they work, how they go on piece by piece, how they read rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from phasegate import Context, Outcome
from phasegate.apps.discovery.statements.imports import ROWS
from phasegate.apps.discovery.tenancy import Tenant

#: The outcome with which a phase says that there is more of the same to do.
MORE = "more"
#: Under which the output of a phase's first step has what its validators had to remark.
WARNINGS = "validation_warnings"
#: Rows of one piece: a commit takes a fraction of a second, and the rows of a piece little memory.
PIECE = 5_000
#: Assets that are made in one transaction; on SQLite nobody else can write meanwhile.
MADE_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Place:
    """Whose flow is at work, and on which import."""

    tenant: Tenant
    flow_id: str
    import_id: str

    @classmethod
    def of(cls, context: Context) -> Place:
        """The one of an attempt."""
        given = context.input
        tenant = Tenant(given["client_account_id"], given["engagement_id"], given.get("user_id") or "")
        return cls(tenant, given["flow_id"], given["data_import_id"])

    @property
    def where(self) -> dict[str, str]:
        """The parameters that find the import."""
        return {**self.tenant.where, "import_id": self.import_id}

    @property
    def columns(self) -> dict[str, str]:
        """The columns of a row of the import."""
        return {**self.tenant.columns, "data_import_id": self.import_id}


def left(context: Context) -> dict[str, Any]:
    """What the piece before left behind; empty for the first one."""
    return dict(context.feedback) if isinstance(context.feedback, Mapping) else {}


def more(
    context: Context, state: Mapping[str, Any], done: int, total: int | None = None, share: float | None = None
) -> Outcome:
    """There is more of the same to do: what the next piece has to know, and how many records are done, of how many.

    Where nobody knows how many there are, ``share`` may say how much of the whole that is, from 0 to 1.
    """
    context.progress(done, total)
    part = min(1.0, done / total) if total else share
    return Outcome(MORE, {**state, "done": done, "total": total, "share": part})


def rows_after(context: Context, place: Place, after: int, most: int = PIECE) -> list[Mapping[str, Any]]:
    """Rows of the import behind one."""
    return context.read(ROWS, {**place.where, "after": after, "most": most})


def pieces(context: Context, place: Place) -> Iterator[list[Mapping[str, Any]]]:
    """All rows of the import, a piece at a time."""
    after = 0
    while found := rows_after(context, place, after):
        yield found
        after = found[-1]["row_number"]


def settings(context: Context) -> Mapping[str, Any]:
    """How the flow was configured when it was created."""
    found: Mapping[str, Any] = context.input.get("configuration") or {}
    return found


def dump(value: Any) -> str:
    """A value as JSON text; a time as ISO text, NaN as null, what has no form as its text."""
    return orjson.dumps(value, default=_text, option=orjson.OPT_NON_STR_KEYS).decode()


def load(text: str | None) -> Any:
    """The value of a JSON text; None of None."""
    return None if text is None else orjson.loads(text)


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
