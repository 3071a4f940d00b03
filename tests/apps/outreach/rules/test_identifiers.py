from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.outreach.rules.identifiers import TYPE_NUMBERS, BartonId, IdKind, format_id, parse_id
from phasegate.errors import InputError
from tests.apps.outreach.rules.damage import values


@pytest.mark.parametrize(
    ("value", "kind", "number"),
    [
        ("04.04.02.04.30000.001", IdKind.COMPANY, 1),
        ("04.04.02.04.20000.012", IdKind.PERSON, 12),
        ("04.04.02.04.10000.003", IdKind.SLOT, 3),
        ("04.04.02.04.40000.100", IdKind.RAW_PERSON, 100),
        ("04.04.02.04.50000.999", IdKind.PIPELINE_RUN, 999),
        ("04.04.02.04.15000.001", IdKind.ENRICHMENT, 1),
        ("04.04.02.04.25000.001", IdKind.SLOT_GATE, 1),
        ("04.04.02.04.70000.001", IdKind.INTENT, 1),
        ("04.04.01.17.30000.1000", IdKind.COMPANY, 1000),
        ("99.00.00.00.12345.000001", IdKind.UNKNOWN, 1),
    ],
)
def test_an_id_of_any_family_is_read(value: str, kind: IdKind, number: int) -> None:
    parsed = parse_id(value)
    assert (parsed.kind, parsed.number, str(parsed)) == (kind, number, value)


@pytest.mark.parametrize(
    "value",
    [
        "", "04.04.02.04.30000", "04.04.02.04.30000.01", "4.04.02.04.30000.001", "04.04.02.04.3000.001",
        "04.04.02.04.30000.001.1", "04-04-02-04-30000-001", "04.04.02.04.30000.abc", " 04.04.02.04.30000.001",
        "04.04.02.04.30000.001\n", "04.04.02.04.30000." + "1" * 19, "\u0660\u0664.04.02.04.30000.001", None, 4, ["04"],
    ],
)  # fmt: skip
def test_what_has_another_shape_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="is not an id"):
        parse_id(value)


def test_the_kind_is_told_by_the_type_number() -> None:
    assert parse_id("04.04.01.09.30000.001", IdKind.COMPANY).family == "04.04.01.09"
    with pytest.raises(InputError, match="names a person, not a company"):
        parse_id("04.04.02.04.20000.001", IdKind.COMPANY)


def test_the_running_number_has_at_least_three_digits() -> None:
    numbers = [format_id(IdKind.COMPANY, number).rpartition(".")[2] for number in (1, 99, 999, 1000)]
    assert numbers == ["001", "099", "999", "1000"]


@pytest.mark.parametrize("number", [0, -1, True, 10**18])
def test_a_counter_value_below_one_or_beyond_all_bounds_is_refused(number: int) -> None:
    with pytest.raises(InputError, match="running number"):
        format_id(IdKind.PERSON, number)


def test_a_kind_without_number_and_a_family_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError, match="unknown"):
        format_id(IdKind.UNKNOWN, 1)
    with pytest.raises(InputError, match="family"):
        format_id(IdKind.PERSON, 1, "04.04")


@given(
    st.sampled_from(list(TYPE_NUMBERS)),
    st.integers(1, 10**18 - 1),
    st.from_regex(r"[0-9]{2}(\.[0-9]{2}){3}", fullmatch=True),
)
def test_what_is_formatted_is_read_back(kind: IdKind, number: int, family: str) -> None:
    parsed = parse_id(format_id(kind, number, family), kind)
    assert parsed == BartonId(family, TYPE_NUMBERS[kind], f"{number:03d}")
    assert parsed.number == number


@given(values)
def test_any_value_is_an_id_or_an_input_error(value: object) -> None:
    try:
        parsed = parse_id(value)
    except InputError:
        return
    assert str(parsed) == value
