"""Dying at any moment loses nothing, repeats nothing, and leaves the application's rows in balance."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.crash


def results(*arguments: str) -> list[dict[str, Any]]:
    said = subprocess.run(
        [sys.executable, "-m", "tests.crash.program", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=400
    )
    assert said.returncode == 0, said.stdout[-2000:] + said.stderr[-4000:]
    return [json.loads(line) for line in said.stdout.splitlines()]


@pytest.mark.timeout(420)
def test_dying_before_any_statement_of_the_reference_flow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = results("points", str(tmp_path))
    assert {each["statement"]: each["faults"] for each in found if each["faults"]} == {}
    reached = {each["statement"] for each in found}
    assert reached >= set(range(1, 201)), "the crash points do not see all statements"
    with capsys.disabled():
        print(f"\n  kill points: {len(found)}, faults: 0")


@pytest.mark.timeout(420)
def test_being_killed_at_random_moments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = results("random", str(tmp_path), "25", "1")
    assert found["faults"] == []
    assert found["kills"] >= 25
    with capsys.disabled():
        print(f"\n  kills: {found['kills']}, completions: {found['completions']}, lost or doubled: 0")
