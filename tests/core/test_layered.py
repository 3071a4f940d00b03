"""A layered mapping is a dict that is cheap to copy with a few changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.core.layered import Layered

CHANGES = st.lists(st.dictionaries(st.integers(0, 60), st.integers(), max_size=12), max_size=12)


@given(st.dictionaries(st.integers(0, 60), st.integers()), CHANGES)
def test_it_reads_like_a_dict_with_the_same_changes(start: dict[int, int], changes: list[dict[int, int]]) -> None:
    layered, plain = Layered(dict(start)), dict(start)
    for change in changes:
        layered, plain = layered.changed(change), plain | change
        assert list(layered.items()) == list(plain.items())
        assert len(layered) == len(plain)
        for key in range(62):
            assert (key in layered) == (key in plain)
            assert layered.get(key) == plain.get(key)
            assert layered.get(key, -1) == plain.get(key, -1)


@given(CHANGES)
def test_a_change_never_shows_in_what_it_was_made_from(changes: list[dict[int, int]]) -> None:
    layered: Layered[int, int] = Layered()
    snapshots: list[tuple[Layered[int, int], dict[int, int]]] = []
    for change in changes:
        layered = layered.changed(change)
        snapshots.append((layered, dict(layered)))
    assert all(dict(snapshot) == copy for snapshot, copy in snapshots)


def test_no_change_is_the_same_mapping() -> None:
    layered = Layered({1: 2})
    assert layered.changed({}) is layered


def test_a_missing_key_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        Layered({1: 2}).changed({3: 4})[5]


def test_it_prints_what_it_holds() -> None:
    assert repr(Layered({1: 2}).changed({3: 4})) == "Layered({1: 2, 3: 4})"
