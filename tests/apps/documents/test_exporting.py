"""Documents as Markdown and as files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.documents import exporting
from phasegate.apps.documents.states.scope_paths import ScopePath

DOCUMENT = {
    "audience": "all",
    "title": "Days",
    "goals": ["one", "two"],
    "rooms": [{"id": "a", "seats": 60}],
    "open": None,
}
MARKDOWN = """# Brief

**Title:** Days

**Audience:** all

## Goals

- one
- two

## Rooms

### 1. a

**Id:** a

**Seats:** 60

**Open:** none
"""


def test_a_document_as_markdown() -> None:
    assert exporting.as_markdown(DOCUMENT, "Brief") == MARKDOWN


def test_two_versions_beside_each_other() -> None:
    told = exporting.difference({"a": 1, "b": 2}, {"a": 1, "b": 3}, ("version 1", "version 2")).splitlines()
    assert told[:2] == ["--- version 1", "+++ version 2"]
    assert [line for line in told[2:] if line[0] in "+-"] == ['-  "b": 2', '+  "b": 3']
    assert exporting.difference(DOCUMENT, DOCUMENT, ("one", "two")) == ""


@given(st.lists(st.text(min_size=1, max_size=300), min_size=1, max_size=3))
def test_no_item_leads_out_of_the_folder_of_its_parent(ids: list[str]) -> None:
    name = exporting.file_name("spec", str(ScopePath(tuple((f"level{n}", key) for n, key in enumerate(ids)))), "md")
    parts = name.split("/")
    assert len(parts) == len(ids) + 1
    assert all(part and part not in (".", "..") and len(part.encode()) < 200 for part in parts)


@given(st.text(min_size=1, max_size=200), st.text(min_size=1, max_size=200))
def test_items_that_differ_have_files_that_differ(one: str, other: str) -> None:
    names = [exporting.file_name("spec", str(ScopePath((("item", key),))), "md") for key in (one, other)]
    assert (names[0] == names[1]) == (one == other)


@pytest.mark.parametrize("key", ["/etc/passwd", "..", ".", "a/b", "a\\b", "x=y", "Zürich"])
def test_odd_ids_stay_in_the_folder(tmp_path: Path, key: str) -> None:
    path = str(ScopePath((("item", key),)))
    written = exporting.write(tmp_path, exporting.file_name("spec", path, "md"), "text")
    assert written.resolve().is_relative_to(tmp_path.resolve())
    assert written.parent.parent == tmp_path
