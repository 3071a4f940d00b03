"""The keys of items stay what they are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.core.items import item_at, item_keys, items_of
from phasegate.errors import InputError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    ("output", "items"),
    [
        ([1, 2], [1, 2]),
        ((1, 2), [1, 2]),
        ({"items": ["a"], "total": 1}, ["a"]),
        ({"total": 1}, []),
        (None, []),
        ([], []),
    ],
)
def test_items_are_a_list_or_stand_under_items(output: object, items: list[Any]) -> None:
    assert items_of(output) == items


@pytest.mark.parametrize("output", ["abc", b"abc", 7, {"items": "abc"}, {"items": {"a": 1}}])
def test_anything_else_has_no_items(output: object) -> None:
    with pytest.raises(InputError, match="must return a list"):
        items_of(output)


def test_an_item_goes_by_its_own_id() -> None:
    assert item_keys([{"id": "north"}, {"id": 7}, {"id": 0}]) == ("north", "7", "0")


@pytest.mark.parametrize("item", ["north", {"name": "north"}, {"id": ""}, {"id": None}, {"id": 1.5}])
def test_an_item_without_an_id_goes_by_its_place_and_its_content(item: object) -> None:
    first, second = item_keys([item, item])
    assert first.startswith("0-")
    assert second.startswith("1-")
    assert first[2:] == second[2:]
    assert item_keys([item]) != item_keys([[item]])


def test_two_items_may_not_have_one_id() -> None:
    with pytest.raises(InputError, match="two items have the id 'b'"):
        item_keys([{"id": "a"}, {"id": "b"}, {"id": "b"}])
    with pytest.raises(InputError, match="two items have the id '1'"):
        item_keys([{"id": 1}, {"id": "1"}])


def test_the_order_of_names_in_an_item_does_not_matter() -> None:
    assert item_keys([{"a": 1, "b": 2}]) == item_keys([{"b": 2, "a": 1}])


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(InputError, match="the output has no item 'x'"):
        item_at([{"id": "y"}], "x")


@given(st.lists(JSON.filter(lambda item: not isinstance(item, dict) or "id" not in item), max_size=5))
def test_an_item_is_found_again_by_its_key(items: list[Any]) -> None:
    keys = item_keys(items)
    assert len(set(keys)) == len(keys) == len(items)
    assert [item_at(items, key) for key in keys] == items
    assert item_keys({"items": items}) == keys
