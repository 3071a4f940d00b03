"""Ids are UUIDs as text, and nothing else is taken for one."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from phasegate.apps.discovery.identifiers import as_id, new_id, record_id, row_of
from phasegate.errors import InputError

TEXT = "3f0c8a52-6f5e-4c3f-9f0e-2b6d5a1c7e90"


@given(st.uuids())
def test_an_id_is_the_same_text_in_whatever_form_it_comes(value: uuid.UUID) -> None:
    for form in (value, str(value), str(value).upper(), value.hex):
        assert as_id(form) == str(value)


@pytest.mark.parametrize(
    "value",
    [
        None, "", "None", "null", 0, 17, 1.5, True, b"", uuid.UUID(TEXT).bytes, uuid.UUID(TEXT).int, [TEXT], TEXT[:-1],
        TEXT + "0", f" {TEXT}", f"{TEXT}\n", TEXT.replace("3f", "3_"), "٣" * 32, "+" + TEXT.replace("-", "")[1:],
        TEXT.replace("-", " "), f"{{{TEXT}}}", "x" * 100_000,
    ],
    ids=[
        "nothing", "empty", "the word None", "the word null", "zero", "number", "fraction", "flag", "no bytes", "bytes",
        "whole number", "list", "too short", "too long", "space", "line break", "underscore", "other digits", "sign", "spaces",
        "braces", "long text",
    ],
)  # fmt: skip
def test_what_is_no_id_is_refused_with_what_one_looks_like(value: Any) -> None:
    with pytest.raises(InputError, match="is no import id") as refused:
        as_id(value, "import id")
    assert "3f0c8a52" in str(refused.value.hint)
    assert len(str(refused.value)) < 100


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=40) | st.uuids(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


@given(_ANYTHING)
@example("\ud800")
def test_anything_is_an_id_or_refused_with_a_message_that_can_be_shown(value: Any) -> None:
    try:
        found = as_id(value)
    except InputError as refused:
        str(refused).encode()
    else:
        assert as_id(found) == found
        assert str(uuid.UUID(found)) == found


@given(st.uuids(version=4), st.integers(0, 16**12 - 1))
def test_the_id_of_a_row_is_an_id_and_says_which_row_it_is(value: uuid.UUID, number: int) -> None:
    found = record_id(str(value), number)
    assert as_id(found) == found
    assert row_of(found) == number
    assert record_id(str(value), number) == found
    assert found != record_id(str(value), number ^ 1)


def test_rows_of_two_imports_have_different_ids_and_new_ids_differ() -> None:
    imports = [new_id() for _ in range(100)]
    assert len({record_id(each, number) for each in imports for number in range(10)}) == 1_000
