"""Facts and values to JSON and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from phasegate.core.facts import KINDS, PhaseReset
from phasegate.errors import InputError
from phasegate.store import codec
from tests.store.records import fact_of, places, scopes, values


@pytest.mark.parametrize("kind", KINDS)
def test_every_fact_comes_back_as_it_was(kind: str) -> None:
    @given(st.lists(fact_of(KINDS[kind]), min_size=1, max_size=3))
    @settings(max_examples=40)
    def comes_back(facts: list[Any]) -> None:
        assert codec.load_facts(codec.dump_facts(tuple(facts))) == facts

    comes_back()


@given(values)
def test_canonical_json_is_the_same_for_equal_values(value: Any) -> None:
    body, sha256 = codec.canonical(value)
    assert codec.load(body) == value
    if isinstance(value, dict):
        assert codec.canonical(dict(reversed(value.items()))) == (body, sha256)


@given(scopes)
def test_scopes_come_back(scope: tuple[str, ...]) -> None:
    assert codec.load_scope(codec.dump_scope(scope)) == scope


@given(places)
def test_feedback_comes_back_as_a_tuple(place: tuple[str, tuple[str, ...], int]) -> None:
    fact = PhaseReset(datetime(2030, 1, 1, tzinfo=UTC), "draft", feedback=place)
    assert codec.load_facts(codec.dump_facts((fact,))) == [fact]


class Model(BaseModel):
    name: str
    when: datetime


@dataclass(frozen=True)
class Record:
    name: str


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (Decimal("3"), 3),
        (Decimal("2.5"), 2.5),
        ({"b", "a"}, ["a", "b"]),
        ((1, 2), [1, 2]),
        ({1: "one"}, {"1": "one"}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (PurePosixPath("a/b"), "a/b"),
        (datetime(2030, 1, 1, tzinfo=UTC), "2030-01-01T00:00:00Z"),
        (Model(name="x", when=datetime(2030, 1, 1, tzinfo=UTC)), {"name": "x", "when": "2030-01-01T00:00:00Z"}),
        (Record("x"), {"name": "x"}),
        ([math.nan, math.inf], [None, None]),  # JSON has no word for them
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_people_return_has_a_json_form(value: Any, stored: Any) -> None:
    assert codec.load(codec.canonical(value)[0]) == stored
    assert codec.load(codec.dump(value)) == stored


_RING: list[Any] = []
_RING.append(_RING)


@pytest.mark.parametrize(
    "value",
    [object(), _RING, 2**64, "\ud800", {"\ud800": 1}, {(1, 2): 3}, {1, "a"}, b"bytes", lambda: 1],
    ids=["object", "ring", "large number", "half character", "half key", "tuple key", "mixed set", "bytes", "function"],
)
def test_what_has_no_json_form_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match="JSON"):
        codec.dump(value)
    with pytest.raises(InputError, match="JSON"):
        codec.canonical(value)
