"""The page of guarantees has every failure that is on record, and every test it names exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "why" / "discovery-guarantees.md").read_text(encoding="utf-8")


def test_every_failure_has_its_line() -> None:
    numbers = [int(number) for number in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)]
    assert numbers == list(range(1, 106))
    assert all(len(line.split("|")) == 5 for line in PAGE.splitlines() if re.match(r"\| \d", line))


def test_every_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`((?:tests/\w+/)?test_\w+\.py)::(test_\w+)`", PAGE))
    assert len(named) > 50
    for file, test in sorted(named):
        path = ROOT / file if "/" in file else Path(__file__).parent / file
        assert path.exists(), file
        assert f"def {test}(" in path.read_text(encoding="utf-8"), f"{file}::{test}"
