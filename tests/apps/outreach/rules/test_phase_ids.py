from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.outreach.rules.phase_ids import display_phase_id, parse_phase_id
from tests.apps.outreach.rules.damage import values


@pytest.mark.parametrize("value", [1, 1.0, "1", "1.0", " 1 ", Decimal(1), Decimal("1.00"), Decimal("1E+0")])
def test_one_phase_in_many_spellings(value: object) -> None:
    assert parse_phase_id(value) == Decimal(1)
    assert str(parse_phase_id(value)) == "1"


@pytest.mark.parametrize("value", [1.1, "1.1", "1.10", Decimal("1.1")])
def test_a_phase_between(value: object) -> None:
    assert parse_phase_id(value) == Decimal("1.1")
    assert str(parse_phase_id(value)) == "1.1"


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("one", "'one'"), ("", "''"), ("1.15", "'1.15'"), (1.15, "1.15"), (-1, "-1"), (100, "100"), ("1e0", "'1e0'"),
        ("1,1", "'1,1'"), ("\u0661", "'\u0661'"), (None, "None"), (True, "True"), ([1], "list"), (float("nan"), "nan"),
        (float("inf"), "inf"), (Decimal("NaN"), "NaN"), (Decimal("1E-999999"), "1E-999999"), (Decimal("1E+999999"), "1E"),
        (10**30, "eighteen digits"), ("1.1\n.", "1.1"),
    ],
)  # fmt: skip
def test_junk_is_named(value: object, named: str) -> None:
    with pytest.raises(ValueError, match="is not a phase id") as caught:
        parse_phase_id(value)
    assert named in str(caught.value)


@given(st.integers(0, 999))
def test_every_id_survives_display_and_parsing(tenths: int) -> None:
    phase_id = parse_phase_id(Decimal(tenths) / 10)
    shown = display_phase_id(phase_id)
    assert parse_phase_id(shown) == parse_phase_id(str(shown)) == phase_id == Decimal(tenths) / 10


def test_whole_ids_are_displayed_without_a_fraction() -> None:
    assert repr(display_phase_id(Decimal(1))) == repr(display_phase_id(Decimal("1.0"))) == "1"
    assert repr(display_phase_id(Decimal("1.1"))) == "1.1"
    assert repr(display_phase_id(Decimal(0))) == "0"


@given(values)
def test_any_value_is_an_id_or_a_value_error(value: object) -> None:
    try:
        phase_id = parse_phase_id(value)
    except ValueError:
        return
    assert 0 <= phase_id < 100
