"""Verifiers: price, terms, answers that are none, and the one that knows what it was told."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.outreach.enrichment import (
    KnownAnswers,
    VerifierTerms,
    ask_verifier,
    cost_summary,
    kept_status,
    verification_price,
)
from phasegate.apps.outreach.rules.emails import CATCH_ALL, CONFIRMED
from phasegate.errors import InputError
from tests.apps.outreach.verifier_cases import Vendor


@pytest.mark.parametrize(
    ("planned", "price"),
    [
        (0, "0.0037"),
        (1, "0.0037"),
        (10_000, "0.0037"),
        (10_001, "0.00297"),
        (100_000, "0.00297"),
        (100_001, "0.001994"),
        (500_000, "0.001994"),
        (9_000_000, "0.001994"),
    ],
)
def test_the_price_follows_from_the_planned_volume(planned: int, price: str) -> None:
    assert verification_price(planned) == Decimal(price)
    assert VerifierTerms(planned_volume=planned).price == Decimal(price)


def test_the_summary_has_the_verifications_in_its_total() -> None:
    counts = cost_summary([], verifications=300, price=Decimal("0.0037"))
    assert (counts["verifications"], counts["verification_cost"], counts["total_cost"]) == (300, 1.11, 1.11)
    assert counts["average_cost"] == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrent": 0},
        {"size": 0},
        {"most_failures": 0},
        {"timeout_seconds": 0},
        {"pause": -1},
        {"planned_volume": -1},
    ],
)
def test_terms_must_allow_to_ask(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        VerifierTerms(**wrong)


def test_words_are_kept_as_the_table_has_them() -> None:
    assert {kept_status(word) for word in CONFIRMED} == {"valid"}
    assert {kept_status(f" {word.upper()} ") for word in CATCH_ALL} == {"risky"}
    assert [kept_status(word) for word in ("bounced", "do_not_mail", None, 5)] == ["invalid"] + ["unknown"] * 3


@pytest.mark.parametrize(
    ("said", "status", "message"),
    [
        ("Valid ", "valid", None),
        ("do_not\x00_mail\ud800", "do_not_mail", None),
        ("", "unknown", "the answer was not a word"),
        ("\x00", "unknown", "the answer was not a word"),
        (OSError("no\nroute"), "unknown", "OSError: noroute"),
        (TimeoutError("socket"), "unknown", "TimeoutError: socket"),
        (None, "unknown", "no answer within 0.01 seconds"),
    ],
)
def test_whatever_a_verifier_does_is_an_answer(said: Any, status: str, message: str | None) -> None:
    answer = asyncio.run(ask_verifier(Vendor({"jo@acme.example": said}), "jo@acme.example", 0.01))
    assert (answer.address, answer.status, answer.message) == ("jo@acme.example", status, message)
    assert answer.bought is (message is None)


def test_an_answer_of_another_type_is_none() -> None:
    class Odd:
        name = "odd"

        async def verify(self, address: str) -> Any:
            return {"status": "valid"}

    answer = asyncio.run(ask_verifier(Odd(), "jo@acme.example", 1.0))
    assert (answer.status, answer.bought) == ("unknown", False)


def told(verifier: KnownAnswers, *addresses: str) -> list[str]:
    return [asyncio.run(verifier.verify(address)) for address in addresses]


@given(
    st.dictionaries(st.text(max_size=8), st.sampled_from(["valid", "invalid", "", "catch-all"]), max_size=5), st.text()
)
def test_known_answers_never_invents_a_valid_address(answers: dict[str, str], address: str) -> None:
    (said,) = told(KnownAnswers(answers), address)
    known = {status for known, status in answers.items() if known.strip().casefold() == address.strip().casefold()}
    assert said in {status or "unknown" for status in known} | (set() if known else {"unknown"})


def test_known_answers_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    path.write_text("address,status\nJo@Acme.example,invalid\nlane@acme.example\njo@acme.example,valid\n", "utf-8")
    verifier = KnownAnswers.from_file(path)
    assert told(verifier, "jo@acme.example", "JO@acme.example ", "lane@acme.example", "max@acme.example") == [
        "valid", "valid", "unknown", "unknown",
    ]  # fmt: skip
    assert (verifier.name, KnownAnswers.from_file(path, "other").name) == ("known_answers", "other")


def test_a_file_without_the_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    path.write_text("email,result\njo@acme.example,valid\n", "utf-8")
    with pytest.raises(InputError, match="no column address and status"):
        KnownAnswers.from_file(path)
    with pytest.raises(InputError, match="does not exist"):
        KnownAnswers.from_file(tmp_path / "none.csv")
