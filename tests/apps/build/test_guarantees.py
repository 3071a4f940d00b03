"""The page of guarantees has every line, and every test it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "why" / "build-guarantees.md").read_text(encoding="utf-8")
TEST = re.compile(r"`((?:tests/\w+/)?test_\w+\.py)::(test_\w+)`")
ROW = re.compile(r"^\| ([ABC]?)(\d+) \|", re.MULTILINE)


@pytest.mark.parametrize(("letter", "count"), [("", 63), ("B", 17), ("A", 15), ("C", 17)])
def test_every_line_is_there_once_and_in_its_order(letter: str, count: int) -> None:
    assert [int(number) for found, number in ROW.findall(PAGE) if found == letter] == list(range(1, count + 1))


def test_every_line_has_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if ROW.match(line)]
    assert [line for line in rows if len(line.split(" | ")) != 3 or not TEST.search(line)] == []


def test_every_test_that_is_named_exists() -> None:
    named = set(TEST.findall(PAGE))
    assert len(named) > 100
    for file, test in sorted(named):
        path = ROOT / file if "/" in file else Path(__file__).parent / file
        assert path.exists(), file
        assert f"def {test}(" in path.read_text(encoding="utf-8"), f"{file}::{test}"


def test_nothing_that_looks_like_a_test_is_left_out_of_the_count() -> None:
    assert PAGE.count("::") == len(TEST.findall(PAGE))
