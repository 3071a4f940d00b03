"""The examples run as they stand, and print what the pages that quote them say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRINTED = {
    "first_flow": ["customer:acme is small", "customer:globex is large"],
    "gate": [
        "what gate 'release' shows has changed since you saw it",
        "published: Draft 2 (remarks so far: shorter)",
    ],
    "each_item": ["{'body': 5, 'intro': 2}", "7"],
    "testing_a_flow": [
        "test_a_service_that_is_down_is_asked_again: passed",
        "test_what_is_approved_is_shipped: passed",
        "test_what_nobody_answers_is_rejected_after_three_days: passed",
    ],
    "own_tables": [
        "would succeed: 2, rows now: 0",
        "succeeded: 2, failed: ValueError: too expensive",
        "[{'article': 'bolt', 'cents': 400}, {'article': 'nut', 'cents': 300}]",
    ],
}


def test_every_example_is_listed() -> None:
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == set(PRINTED)


@pytest.mark.parametrize("name", PRINTED)
def test_example_prints_what_it_promises(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / f"{name}.py")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert [line for line in lines if line in PRINTED[name]] == PRINTED[name]


QUOTED = [("README.md", "first_flow"), ("docs/quickstart.md", "gate"), ("docs/quickstart.md", "own_tables")]


@pytest.mark.parametrize(("page", "name"), QUOTED)
def test_pages_quote_the_examples(page: str, name: str) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert (ROOT / "examples" / f"{name}.py").read_text() in blocks
