from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from phasegate.apps.outreach import rules
from phasegate.apps.outreach.rules import RULE_SET_HASH

FILES = sorted(Path(rules.__file__).parent.glob("*.py"))
ALLOWED = {"rapidfuzz", "phasegate.errors", "phasegate.apps.outreach.rules"}


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


def test_the_hash_is_the_same_in_another_process() -> None:
    program = "from phasegate.apps.outreach.rules import RULE_SET_HASH; print(RULE_SET_HASH)"
    command = [sys.executable, "-c", program]
    seeds = ("1", "2")
    found = {
        subprocess.run(command, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True).stdout.strip()
        for seed in seeds
    }
    assert found == {RULE_SET_HASH}
    assert len(RULE_SET_HASH) == 64


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_rules_know_no_database_and_no_engine(path: Path) -> None:
    foreign = {
        name
        for name in imported(path)
        if name.partition(".")[0] not in sys.stdlib_module_names
        and not any(name == allowed or name.startswith(f"{allowed}.") for allowed in ALLOWED)
    }
    assert foreign == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_rules_look_at_no_clock_and_draw_no_lots(path: Path) -> None:
    calls = {
        ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)
    }
    assert not {call for call in calls if call.endswith((".now", ".utcnow", ".today"))}
    assert not {"random", "time", "uuid", "os"} & imported(path)
