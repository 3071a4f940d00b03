"""Verifiers of e-mail addresses: who is asked, on what terms, at what price, and one that needs no network.

Money is Decimal in dollars.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from phasegate.apps.outreach.rules.emails import CATCH_ALL, CONFIRMED
from phasegate.apps.outreach.rules.fields import text
from phasegate.errors import InputError

#: The service under which the answer of a file's own verifier is kept; no verifier may have this name.
IMPORTED = "import"
#: What is said of an address when nobody knows.
UNKNOWN = "unknown"
#: So many verifications for so many dollars, smallest package first.
PACKAGES: tuple[tuple[int, Decimal], ...] = (
    (10_000, Decimal(37)),
    (100_000, Decimal(297)),
    (500_000, Decimal(997)),
)

_KEPT_LENGTH = 200
_STATUSES = {
    **dict.fromkeys(CONFIRMED, "valid"),
    **dict.fromkeys(CATCH_ALL, "risky"),  # the domain accepts everything: nothing is proven
    "risky": "risky",
    "invalid": "invalid",
    "undeliverable": "invalid",
    "bounced": "invalid",
    "pending": "pending",
}


class Verifier(Protocol):
    """Who says whether an address exists. Whatever ``verify`` raises counts as no answer, and never fails a phase."""

    @property
    def name(self) -> str:
        """The service under which its answers are kept, always the same; not ``import``."""

    async def verify(self, address: str) -> str:
        """Ask once: ``valid``, ``invalid``, ``catch-all``, ``unknown`` or what the vendor calls them.

        Cancelled when the timeout is over.
        """


@dataclass(frozen=True, slots=True)
class VerifierTerms:
    """How a verifier is asked: at most ``concurrent`` questions at a time, ``pause`` seconds after every ``size`` of them.

    ``planned_volume`` decides the price of one verification. A question is given up after ``timeout_seconds``; after
    ``most_failures`` in a row without an answer nobody is asked for the rest of the batch. Raises InputError for terms on
    which nothing can be asked.
    """

    planned_volume: int = 10_000
    timeout_seconds: float = 30.0
    concurrent: int = 10
    size: int = 100
    pause: float = 1.0
    most_failures: int = 10

    def __post_init__(self) -> None:
        if min(self.concurrent, self.size, self.most_failures) < 1 or self.timeout_seconds <= 0:
            raise InputError("a verifier is asked with concurrent, size, most_failures and timeout_seconds above zero")
        if min(self.planned_volume, self.pause) < 0:
            raise InputError("planned_volume and pause of a verifier are not below zero")

    @property
    def price(self) -> Decimal:
        """Dollars for one verification."""
        return verification_price(self.planned_volume)


def verification_price(planned: int) -> Decimal:
    """Dollars for one verification when so many are planned: that of the smallest package which holds them all.

    More than the largest package holds cost what they cost in the largest.
    """
    size, dollars = next((package for package in PACKAGES if planned <= package[0]), PACKAGES[-1])
    return dollars / size


def kept_status(said: object) -> str:
    """The word of ``email_verification`` for the word of a verifier; one that nobody knows proves nothing."""
    return _STATUSES.get(text(said).casefold(), UNKNOWN)


@dataclass(frozen=True, slots=True)
class VerifierAnswer:
    """What a verifier said of an address; ``message`` says why it gave no answer, the status is ``unknown`` then."""

    address: str
    status: str
    message: str | None = None

    @property
    def bought(self) -> bool:
        """Whether there was an answer, whatever it said: it has to be paid."""
        return self.message is None

    def to_result(self) -> dict[str, str | None]:
        """``email, status, message``."""
        return {"email": self.address, "status": self.status, "message": self.message}


async def ask_verifier(verifier: Verifier, address: str, timeout_seconds: float) -> VerifierAnswer:
    """Ask once, and wait so many seconds at most. Nothing a verifier raises leaves this function."""
    try:
        async with asyncio.timeout(timeout_seconds) as limit:
            said = _printable(text(await verifier.verify(address)).casefold())
    except Exception as error:  # whatever it is, the address is as unknown as before
        reason = (
            f"no answer within {timeout_seconds:g} seconds" if limit.expired() else f"{type(error).__name__}: {error}"
        )
        return VerifierAnswer(address, UNKNOWN, _printable(reason))
    if not said:
        return VerifierAnswer(address, UNKNOWN, "the answer was not a word")
    return VerifierAnswer(address, said)


class KnownAnswers:
    """A verifier that needs no network: it repeats the answers it was given, and says ``unknown`` of any other address."""

    def __init__(self, answers: Mapping[str, str], name: str = "known_answers") -> None:
        self.name = name
        self._answers = {text(address).casefold(): text(status) or UNKNOWN for address, status in answers.items()}

    @classmethod
    def from_file(cls, path: str | Path, name: str = "known_answers") -> KnownAnswers:
        """The answers in a CSV file with the columns ``address`` and ``status``; of two for one address the later.

        Raises InputError for a file that cannot be used.
        """
        from phasegate.apps.outreach.intake import read_table

        table = read_table(path)
        missing = [column for column in ("address", "status") if column not in table.columns]
        if missing:
            raise InputError(f"{path} has no column {' and '.join(missing)}: name the columns address,status")
        return cls({row.cells["address"].strip().casefold(): row.cells["status"] for row in table.rows}, name)

    async def verify(self, address: str) -> str:
        """What is known of the address."""
        return self._answers.get(address.strip().casefold(), UNKNOWN)


def _printable(said: str) -> str:
    """Text that any database can keep: vendors send what they like."""
    return "".join(character for character in said if character.isprintable())[:_KEPT_LENGTH]
