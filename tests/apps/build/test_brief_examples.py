"""The examples of the brief, word for word, but for where the repository lies."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from phasegate.apps.build import PhaseExecutor, PhaseOrchestrator
from tests.apps.build.conftest import tree

PHASE_RESULT = {"success", "files_changed", "summary", "errors", "token_usage", "duration", "retry_count"}
ORCHESTRATION_RESULT = {
    "total_phases", "successful_phases", "failed_phases", "phase_results", "total_duration", "health_check_results",
}  # fmt: skip

BASIC = """
from pathlib import Path
from autopack.phase_executor import PhaseExecutor
from autopack.llm_client import LLMClient

# Initialize components
llm_client = LLMClient(api_key="your-api-key")
repo_root = Path("/path/to/repo")
db_path = Path(".autonomous_runs/execution.db")

executor = PhaseExecutor(
    llm_client=llm_client,
    repo_root=repo_root,
    db_path=db_path,
    max_tokens=150000
)

# Define phase specification
phase_spec = {
    "description": "Add logging to authentication module",
    "category": "feature",
    "complexity": "medium",
    "acceptance_criteria": [
        "Add structured logging to all auth functions",
        "Include user ID and timestamp in logs",
        "Use appropriate log levels"
    ],
    "deliverables": ["src/auth/login.py", "src/auth/logout.py"]
}

# Provide context files
context_files = [
    "src/auth/login.py",
    "src/auth/logout.py",
    "src/utils/logger.py"
]

# Execute phase
result = executor.execute_phase(
    phase_spec=phase_spec,
    context_files=context_files
)

if result["success"]:
    print(f"Phase completed successfully!")
    print(f"Files changed: {result['files_changed']}")
    print(f"Summary: {result['summary']}")
else:
    print(f"Phase failed: {result['errors']}")
"""

SEVERAL = """
from autopack.phase_executor import PhaseExecutor, PhaseOrchestrator
from autopack.llm_client import LLMClient
from pathlib import Path

# Setup
llm_client = LLMClient(api_key="your-api-key")
executor = PhaseExecutor(
    llm_client=llm_client,
    repo_root=Path("/path/to/repo"),
    db_path=Path(".autonomous_runs/execution.db")
)

orchestrator = PhaseOrchestrator(
    executor=executor,
    max_retries=3,
    enable_health_checks=True
)

# Define multiple phases
phases = [
    {
        "description": "Create user model",
        "category": "feature",
        "complexity": "low",
        "acceptance_criteria": ["Define User class with fields"],
        "deliverables": ["src/models/user.py"]
    },
    {
        "description": "Add user authentication",
        "category": "feature",
        "complexity": "medium",
        "acceptance_criteria": ["Implement login/logout functions"],
        "deliverables": ["src/auth/handlers.py"]
    },
    {
        "description": "Document authentication API",
        "category": "docs",
        "complexity": "low",
        "acceptance_criteria": ["Create API documentation"],
        "deliverables": ["docs/auth_api.md"]
    }
]

# Run all phases
results = orchestrator.run_phases(
    phases=phases,
    stop_on_failure=True
)

print(f"Completed {results['successful_phases']}/{results['total_phases']} phases")
print(f"Total duration: {results['total_duration']:.2f}s")

for i, phase_result in enumerate(results['phase_results']):
    print(f"\\nPhase {i+1}: {'✓' if phase_result['success'] else '✗'}")
    print(f"  Summary: {phase_result['summary']}")
"""

PROTECTED = """
from pathlib import Path
from autopack.phase_executor import PhaseExecutor

executor = PhaseExecutor(
    llm_client=llm_client,
    repo_root=Path("/path/to/repo"),
    db_path=Path(".autonomous_runs/execution.db")
)

# Define custom protected paths
protected_paths = [
    ".autonomous_runs/",
    ".git/",
    "autopack.db",
    "config/production.yaml",  # Custom: protect production config
    "secrets/"                  # Custom: protect secrets directory
]

phase_spec = {
    "description": "Refactor configuration loading",
    "category": "refactor",
    "complexity": "medium",
    "acceptance_criteria": [
        "Create new config loader",
        "Do not modify production config"
    ],
    "deliverables": ["src/config/loader.py"]
}

context_files = [
    "src/config/loader.py",
    "config/development.yaml"
]

result = executor.execute_phase(
    phase_spec=phase_spec,
    context_files=context_files,
    protected_paths=protected_paths
)
"""

FILES = {
    "src/auth/login.py": "def login(user):\n    return True\n",
    "src/auth/logout.py": "def logout(user):\n    return True\n",
    "src/utils/logger.py": "import logging\n",
    "src/config/loader.py": "def load(path):\n    return {}\n",
    "config/development.yaml": "debug: true\n",
    "config/production.yaml": "debug: false\n",
    "secrets/key.txt": "none\n",
}


class LLMClient:
    """Delivers what it is asked for, each file with one line more; and whatever ``also`` names."""

    def __init__(self, api_key: str, also: tuple[str, ...] = ()) -> None:
        self.api_key, self.also = api_key, also

    def complete(self, system_prompt: str, user_prompt: str, max_tokens: int = 0) -> dict[str, Any]:
        """An answer with whole files, and the tokens that it took."""
        listed = user_prompt.partition("# Deliverables\n")[2].partition("\nEvery one")[0].splitlines()
        paths = [line.removeprefix("- ").partition(" (")[0] for line in listed]
        files = [
            {"path": path, "mode": "modify", "new_content": FILES.get(path, "") + f"# {path}\n"}
            for path in (*paths, *self.also)
        ]
        usage = {"prompt_tokens": 40, "completion_tokens": 20, "total_tokens": 60}
        return {"text": json.dumps({"summary": f"Delivered {', '.join(paths)}.", "files": files}), "usage": usage}


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Execute an example as it is printed, on a repository with the files that it speaks of."""
    for name, text in FILES.items():
        (tmp_path / "repo" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "repo" / name).write_text(text)
    for name, what in (("phase_executor", (PhaseExecutor, PhaseOrchestrator)), ("llm_client", (LLMClient,))):
        module = ModuleType(f"autopack.{name}")
        vars(module).update({each.__name__: each for each in what})
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sys.modules, "autopack", ModuleType("autopack"))
    monkeypatch.chdir(tmp_path)

    def execute(example: str, **names: Any) -> dict[str, Any]:
        exec(example.replace("/path/to/repo", str(tmp_path / "repo")), names)
        names["executor"].close()
        return names

    return execute


def test_one_phase(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(BASIC)["result"]
    assert result.keys() >= PHASE_RESULT
    assert (result["errors"], result["success"], result["token_usage"], result["retry_count"]) == ([], True, 60, 0)
    assert capsys.readouterr().out == (
        "Phase completed successfully!\nFiles changed: ['src/auth/login.py', 'src/auth/logout.py']\n"
        "Summary: Delivered src/auth/login.py, src/auth/logout.py.\n"
    )
    assert (tmp_path / "repo/src/auth/login.py").read_text() == FILES["src/auth/login.py"] + "# src/auth/login.py\n"
    # A relative path of the database is meant from the repository, wherever the program runs.
    assert (tmp_path / "repo/.autonomous_runs/execution.db").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["repo"]


def test_several_phases(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = run(SEVERAL)["results"]
    assert results.keys() >= ORCHESTRATION_RESULT
    assert all(each.keys() >= PHASE_RESULT and each["errors"] == [] for each in results["phase_results"])
    assert (results["total_phases"], results["successful_phases"], results["failed_phases"]) == (3, 3, 0)
    assert [each["passed"] for each in results["health_check_results"]] == [True, True, True]
    out = capsys.readouterr().out
    assert out.startswith("Completed 3/3 phases\nTotal duration: ")
    assert "\nPhase 3: ✓\n  Summary: Delivered docs/auth_api.md.\n" in out
    assert (tmp_path / "repo/docs/auth_api.md").read_text() == "# docs/auth_api.md\n"


@pytest.mark.parametrize("also", [(), ("config/production.yaml",), ("secrets/key.txt",)])
def test_protected_paths_of_ones_own(run: Run, tmp_path: Path, also: tuple[str, ...]) -> None:
    before = tree(tmp_path / "repo")
    result = run(PROTECTED, llm_client=LLMClient("your-api-key", also))["result"]
    assert result["success"] is (not also)
    if also:
        assert result["errors"][0].startswith(f"Protected path violation: {also[0]}")
        after = tree(tmp_path / "repo")
        assert {path: each for path, each in after.items() if not path.startswith(".autonomous_runs")} == before
    else:
        assert result["files_changed"] == ["src/config/loader.py"]
