"""Several phases in a row: retries with feedback, health, dependencies, counts; by our executor and by others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from phasegate.apps.build import PhaseExecutor, PhaseOrchestrator
from tests.apps.build.conftest import tree
from tests.apps.build.models import Scripted, files, phase

Make = Callable[..., PhaseExecutor]
TESTS = [sys.executable, "-m", "pytest", "-q", "-rfE"]


@pytest.fixture
def tested(repo: Path) -> Path:
    """The repository, with tests of which one fails before anybody has touched it."""
    (repo / "tests").mkdir()
    (repo / "tests/test_app.py").write_text(
        "import sys\nsys.path.insert(0, 'src')\nfrom app import greet\n\n"
        "def test_greets():\n    assert greet('you') == 'Hello you'\n\n"
        "def test_never():\n    assert False\n"
    )
    return repo


def test_a_missing_deliverable_is_told_and_delivered_in_the_next_attempt(executor: Make, repo: Path) -> None:
    model = Scripted(
        files(("create", "src/other.py", "X = 1\n")),
        files(("create", "src/extra.py", "X = 1\n")),
    )
    result = PhaseOrchestrator(executor(model)).run_phases([phase(deliverables=["src/extra.py"])])
    (told,) = result["phase_results"]
    assert (told["success"], told["retry_count"], told["token_usage"]) == (True, 1, 300)
    assert result["token_usage"] == 300
    assert "E_DELIVERABLE_MISSING" in model.requests[1].user
    assert "src/extra.py" in model.requests[1].user
    assert not (repo / "src/other.py").exists()
    assert told["attempt_ids"] == [f"{result['run_id']}/1/0", f"{result['run_id']}/1/1"]


def test_a_change_that_breaks_a_test_is_undone_and_told(executor: Make, tested: Path) -> None:
    model = Scripted(
        files(("modify", "src/app.py", "def greet(name):\n    return 'Bye ' + name\n")),
        files(("modify", "src/app.py", "def greet(name):\n    return f'Hello {name}'\n")),
    )
    result = PhaseOrchestrator(executor(model)).run_phases([phase(deliverables=["src/app.py"], test_cmd=TESTS)])
    (told,) = result["phase_results"]
    assert told["errors"] == []
    assert (told["success"], told["retry_count"]) == (True, 1)
    (health,) = result["health_check_results"]
    assert health["passed"] is True
    again = model.requests[1].user
    assert "test_greets" in again
    assert "test_never" not in again.split("newly fail")[0][-400:]
    assert (tested / "src/app.py").read_text() == "def greet(name):\n    return f'Hello {name}'\n"


def test_a_phase_that_never_passes_leaves_nothing_behind(executor: Make, tested: Path) -> None:
    before = tree(tested)
    model = Scripted(
        files(("modify", "src/app.py", "def greet(name):\n    return 'Bye ' + name\n"), ("create", "a/b/c.py", ""))
    )
    result = PhaseOrchestrator(executor(model), max_retries=1).run_phases(
        [phase(deliverables=["src/app.py"], test_cmd=TESTS), phase("Never begun.")]
    )
    assert (result["failed_phases"], result["skipped_phases"], result["stopped_early"]) == (1, 1, True)
    (told,) = result["phase_results"]
    assert told["status"] == "failed"
    assert told["errors"][0].startswith("Health check failed: tests")
    assert "Nothing was changed" in told["summary"]
    assert told["files_changed"] == []
    assert model.calls == 2
    assert tree(tested) == before


@pytest.mark.parametrize(("stop", "executed", "skipped"), [(True, 1, 2), (False, 3, 0)])
def test_what_follows_a_failure_is_skipped_only_when_wanted(
    stop: bool, executed: int, skipped: int, executor: Make
) -> None:
    model = Scripted(lambda request: "no json" if "first" in request.user else files(("create", "x.txt", "x\n")))
    phases = [phase("The first."), phase("Second.", ["x.txt"]), {"description": ""}]
    result = PhaseOrchestrator(executor(model), max_retries=0).run_phases(phases, stop_on_failure=stop)
    assert result["total_phases"] == 3
    assert len(result["phase_results"]) == executed
    assert result["skipped_phases"] == skipped
    assert result["successful_phases"] == (0 if stop else 1)


def test_a_phase_is_skipped_when_what_it_depends_on_failed(executor: Make, repo: Path) -> None:
    model = Scripted(lambda request: "no json" if "first" in request.user else files(("create", "x.txt", "x\n")))
    phases = [
        phase("The first.", phase_id="one"), phase("Needs it.", phase_id="two", depends_on=["one"]),
        phase("Stands alone.", phase_id="three"),
    ]  # fmt: skip
    result = PhaseOrchestrator(executor(model), max_retries=0).run_phases(phases, stop_on_failure=False)
    assert [each["phase_id"] for each in result["phase_results"]] == ["one", "three"]
    assert result["skipped_phases"] == 1
    assert (repo / "x.txt").exists()


def test_no_phases_give_zeros(executor: Make) -> None:
    result = PhaseOrchestrator(executor(Scripted(""))).run_phases([])
    assert (result["total_phases"], result["successful_phases"], result["failed_phases"]) == (0, 0, 0)
    assert (result["phase_results"], result["health_check_results"]) == ([], [])


class Five:
    """An executor with the five keys of the brief and nothing else."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes, self.specs = list(outcomes), list[Mapping[str, Any]]()

    def execute_phase(self, phase_spec: Any, context_files: Any, protected_paths: Any = None) -> Any:
        self.specs.append(phase_spec)
        outcome = self.outcomes[min(len(self.specs), len(self.outcomes)) - 1]
        if isinstance(outcome, Exception):
            raise outcome
        if not isinstance(outcome, bool):
            return outcome
        errors = [] if outcome else ["did not work"]
        return {"success": outcome, "files_changed": ["a"], "summary": "s", "errors": errors, "token_usage": 7}


def test_any_executor_is_retried_and_told_why() -> None:
    double = Five(False, ValueError("went wrong"), True)
    given = phase("Do it.")
    result = PhaseOrchestrator(double, max_retries=3).run_phases([given])
    (told,) = result["phase_results"]
    assert (told["success"], told["retry_count"], told["token_usage"]) == (True, 2, 14)
    assert "_retry" not in given
    assert double.specs[1]["_retry"]["errors"] == ["did not work"]
    assert "ValueError: went wrong" in double.specs[2]["_retry"]["errors"][0]
    assert result["successful_phases"] == 1


class Breaking(Five):
    """An executor that says where it works, and breaks a test there."""

    def __init__(self, root: Path) -> None:
        super().__init__(True)
        self.repo_root = root

    def execute_phase(self, phase_spec: Any, context_files: Any, protected_paths: Any = None) -> Any:
        (self.repo_root / "src/app.py").write_text("def greet(name):\n    return 'Bye ' + name\n")
        return super().execute_phase(phase_spec, context_files, protected_paths)


def test_the_health_decides_about_any_executor_that_says_where_it_works(tested: Path) -> None:
    result = PhaseOrchestrator(Breaking(tested), max_retries=0).run_phases([phase("Do it.", test_cmd=TESTS)])
    (told,), (health,) = result["phase_results"], result["health_check_results"]
    assert (told["success"], health["passed"]) == (False, False)
    assert health["regressions"] == ["tests/test_app.py::test_greets"]
    assert any("nothing was rolled back" in each for each in told["warnings"])
    off = PhaseOrchestrator(Breaking(tested), enable_health_checks=False).run_phases([phase("Do it.", test_cmd=TESTS)])
    assert (off["successful_phases"], off["health_check_results"]) == (1, [])


@pytest.mark.parametrize(
    "returned", [None, 5, [], "yes", {}, {"success": "yes"}, {"success": True, "errors": 5, "token_usage": "x"}]
)
def test_whatever_an_executor_returns_is_a_result(returned: Any) -> None:
    result = PhaseOrchestrator(Five(returned), max_retries=0).run_phases(
        [phase(), 5, phase("x")], stop_on_failure=False
    )
    assert result["total_phases"] == 3
    assert len(result["phase_results"]) == 3
    assert all(each["errors"] or each["success"] for each in result["phase_results"])
    assert result["phase_results"][1]["error_details"][0]["code"] == "E_SPEC_TYPE"
