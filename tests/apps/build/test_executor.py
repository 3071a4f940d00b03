"""One phase from the description to the files: what callers get, and what is on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from phasegate.apps.build import PhaseExecutor
from tests.apps.build.conftest import FILES, tree
from tests.apps.build.models import Scripted, files, phase

Make = Callable[..., PhaseExecutor]
KEYS = {"success", "files_changed", "summary", "errors", "token_usage", "duration", "retry_count"}


def test_two_files_are_modified_as_the_brief_says(executor: Make, repo: Path) -> None:
    model = Scripted(
        files(
            ("modify", "src/app.py", "def greet(name):\n    return f'Hello {name}'\n"),
            ("modify", "src/util.py", "LIMIT = 4\n"),
            summary="Used an f-string and raised the limit.",
        )
    )
    result = executor(model).execute_phase(
        phase_spec=phase(deliverables=["src/app.py", "src/util.py"]), context_files=["src/app.py", "src/util.py"]
    )
    assert result["errors"] == []
    assert result["success"] is True
    assert result.keys() >= KEYS
    assert result["files_changed"] == ["src/app.py", "src/util.py"]
    assert result["summary"] == "Used an f-string and raised the limit."
    assert (result["token_usage"], result["retry_count"], result["status"]) == (150, 0, "succeeded")
    assert (repo / "src/util.py").read_text() == "LIMIT = 4\n"
    assert sorted(p.relative_to(repo).as_posix() for p in repo.rglob("*") if p.is_file()) == sorted(FILES)


def test_a_protected_path_is_refused_and_named(executor: Make, repo: Path) -> None:
    before = tree(repo)
    model = Scripted(files(("create", "secrets/key.txt", "x\n"), ("modify", "src/util.py", "LIMIT = 4\n")))
    result = executor(model).execute_phase(phase(), ["src/util.py"], ["secrets/"])
    assert result["success"] is False
    assert any(e.startswith("Protected path violation: secrets/key.txt") for e in result["errors"])
    assert result["files_changed"] == []
    assert tree(repo) == before
    assert model.calls == 1


@pytest.mark.parametrize("spec", [None, [], "text", {}, {"description": "  "}, {"description": 5}])
def test_a_phase_that_says_nothing_costs_nothing(spec: object, executor: Make) -> None:
    model = Scripted("never asked")
    result = executor(model).execute_phase(spec, [])  # type: ignore[arg-type]
    assert (result["success"], model.calls, result["token_usage"]) == (False, 0, 0)
    assert result["errors"][0].startswith("Invalid phase specification")
    assert result["error_details"][0]["retryable"] is False
