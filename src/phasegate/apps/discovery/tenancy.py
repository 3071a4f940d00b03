"""Whose data it is. The one place that knows how a tenant is named, and which rows are its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from phasegate.errors import InputError

#: Characters of a client account, an engagement or a user at most.
LONGEST = 200


@dataclass(frozen=True, slots=True)
class Tenant:
    """A client account and an engagement, and on whose behalf somebody works there.

    Raises ``InputError`` when the account or the engagement is missing: nothing of this application is anybody's.
    """

    client_account_id: str
    engagement_id: str
    user_id: str = ""

    def __post_init__(self) -> None:
        for name in ("client_account_id", "engagement_id"):
            object.__setattr__(self, name, _identity(name, getattr(self, name)))
        object.__setattr__(self, "user_id", str(self.user_id or ""))

    @property
    def name(self) -> str:
        """What the engine calls the tenant."""
        return f"{quote(self.client_account_id, safe=' ')}/{quote(self.engagement_id, safe=' ')}"

    @property
    def key(self) -> tuple[str, str]:
        """Account and engagement."""
        return self.client_account_id, self.engagement_id

    @property
    def where(self) -> dict[str, str]:
        """The two parameters that every statement filters by."""
        return {"client": self.client_account_id, "engagement": self.engagement_id}

    @property
    def columns(self) -> dict[str, str]:
        """The two columns that every row has."""
        return {"client_account_id": self.client_account_id, "engagement_id": self.engagement_id}


def _identity(name: str, value: Any) -> str:
    text = str(value).strip() if value is not None else ""
    if not text or text == "None":
        raise InputError(f"there is no {name}", hint="every flow belongs to a client account and an engagement")
    if len(text) > LONGEST or not text.isprintable():
        raise InputError(f"{name} has more than {LONGEST} characters, or some that cannot be printed")
    return text
