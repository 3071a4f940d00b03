"""Commits of a phase's own paths, where the policy wants them: nothing else of what the user has staged or changed goes along."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from phasegate.apps.build import PhaseExecutor, Policy
from tests.apps.build.models import Scripted, files, phase

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(repo: Path, *words: str) -> str:
    named = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
    return subprocess.run(["git", "-C", str(repo), *named, *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def tracked(repo: Path) -> Path:
    git(repo, "init", "-q")
    git(repo, "config", "user.name", "Ann")
    git(repo, "config", "user.email", "ann@example.com")
    git(repo, "add", ".")
    git(repo, "commit", "-q", "-m", "first")
    (repo / "README.md").write_text("# Staged\n")
    git(repo, "add", "README.md")
    (repo / "src/app.py").write_text("# mine, not staged\n")
    return repo


def test_only_the_phases_own_paths_are_committed(executor: Callable[..., PhaseExecutor], tracked: Path) -> None:
    model = Scripted(files(("modify", "src/util.py", "LIMIT = 4\n"), ("create", "new file.py", "X = 1\n")))
    made = executor(model, policy=Policy(git_commit=True))
    result = made.execute_phase(phase("Raise the limit.", ["src/util.py"]), ["src/util.py"])
    assert result["success"], result["errors"]
    assert git(tracked, "show", "--name-only", "--format=%s", "HEAD").split("\n") == [
        "Raise the limit.", "", "new file.py", "src/util.py", "",
    ]  # fmt: skip
    assert (
        git(tracked, "status", "--porcelain") == " M src/app.py\nM  README.md\n"
        or git(tracked, "status", "--porcelain") == "M  README.md\n M src/app.py\n"
    )


def test_without_the_policy_nothing_is_committed(executor: Callable[..., PhaseExecutor], tracked: Path) -> None:
    head = git(tracked, "rev-parse", "HEAD")
    model = Scripted(files(("modify", "src/util.py", "LIMIT = 4\n")))
    assert executor(model).execute_phase(phase(), ["src/util.py"])["success"]
    assert git(tracked, "rev-parse", "HEAD") == head


def test_a_commit_that_is_refused_changes_nothing_about_the_phase(
    executor: Callable[..., PhaseExecutor], repo: Path
) -> None:
    model = Scripted(files(("modify", "src/util.py", "LIMIT = 4\n")))  # the folder is no repository of git's
    assert executor(model, policy=Policy(git_commit=True)).execute_phase(phase(), ["src/util.py"])["success"]
    assert (repo / "src/util.py").read_text() == "LIMIT = 4\n"
