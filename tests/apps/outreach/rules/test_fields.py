from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given

from phasegate.apps.outreach.rules.canonical import content_digest
from phasegate.apps.outreach.rules.fields import (
    first_present,
    flag,
    is_present,
    moment,
    number,
    plain,
    shown,
    whole_number,
)
from tests.apps.outreach.rules.damage import values


@pytest.mark.parametrize("value", [None, "", "  ", float("nan"), [], {}, (), set()])
def test_nothing_is_not_present(value: object) -> None:
    assert not is_present(value)


@pytest.mark.parametrize("value", [0, False, "x", 0.0, [None], Decimal(0)])
def test_zero_and_false_are_present(value: object) -> None:
    assert is_present(value)


def test_the_first_present_spelling_is_read() -> None:
    assert first_present({"a": " ", "b": 0, "c": 1}, "a", "b", "c") == 0
    assert first_present({}, "a") is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7, 7), ("7", 7), (" +7 ", 7), ("-7", -7), (7.0, 7), (Decimal("7.0"), 7),
        (7.5, None), ("7.0", None), ("1_000", None), ("\u0667", None), ("9" * 19, None), (10**18, None), (1e300, None),
        (True, None), (None, None), (Decimal("7.5"), None), (Decimal("Infinity"), None), ([7], None),
    ],
)  # fmt: skip
def test_whole_numbers(value: object, expected: int | None) -> None:
    assert whole_number(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(1, 1.0), (1.5, 1.5), (Decimal("2.5"), 2.5), ("1", None), (True, None)]
)
def test_numbers_are_of_a_numeric_type(value: object, expected: float | None) -> None:
    assert number(value) == expected


@pytest.mark.parametrize("value", [True, 1, "true", "YES", " t ", "1"])
def test_yes(value: object) -> None:
    assert flag(value)


@pytest.mark.parametrize("value", [False, 0, None, "", "no", "false", 2, 1.5, [1]])
def test_not_yes(value: object) -> None:
    assert not flag(value)


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-01T09:00:00Z",
        "2026-11-01T11:00:00+02:00",
        " 2026-11-01T09:00:00 ",
        datetime(2026, 11, 1, 9),  # noqa: DTZ001 - a database without zones gives these
        datetime(2026, 11, 1, 11, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_one_moment_in_many_spellings(value: object) -> None:
    assert moment(value) == datetime(2026, 11, 1, 9, tzinfo=UTC)


def test_a_day_is_its_first_moment_and_junk_is_none() -> None:
    assert moment(date(2026, 11, 1)) == moment("2026-11-01") == datetime(2026, 11, 1, tzinfo=UTC)
    beyond = datetime.max.replace(tzinfo=timezone(timedelta(hours=-2)))
    assert [moment(value) for value in ("yesterday", 5, None, beyond)] == [None, None, None, None]


@given(values)
def test_every_value_can_be_read_shown_and_digested(value: object) -> None:
    assert len(shown(value)) <= 400
    assert plain(value) is None or isinstance(plain(value), (str, bool, int, float))
    assert len(content_digest(value)) == 64
    assert isinstance(whole_number(value), int | None)
    found = moment(value)
    assert found is None or found.tzinfo is UTC


def test_a_digest_depends_on_content_and_not_on_order_or_container() -> None:
    assert content_digest({"a": 1, "b": (1, 2)}) == content_digest({"b": [1, 2], "a": 1})
    assert content_digest({1, 2, 3}) == content_digest({3, 2, 1})
    assert content_digest({"a": 1}) != content_digest({"a": "1"})
    assert content_digest(object()) == content_digest(object())
