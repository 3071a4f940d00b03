"""Every Python example of the guide, as written but for the import path, against the demo's database.

The data have no company in WV, so that the examples report a total of 0; the same examples run for a state that has some.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.apps.outreach.demo_job import environment, start_demo

EXAMPLES = Path(__file__).parent / "brief_examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem != "db_utils")
STATE_WITH_COMPANIES = "OH"

#: What an example prints, as far as it is certain: for a state without companies, and for one that has some.
PRINTS = {
    "run_outreach_phase": ("", ""),
    "run_phase_sequence": ("", ""),
    "execute_phase_by_name": ("", ""),
    "retry_failed_phase": ("", ""),
    "standard_execution": ("   Valid: 0\n   Invalid: 0", "✅ Phase 1.1 completed successfully"),
    "retry_pattern": ("✅ Retry succeeded", "✅ Retry succeeded"),
    "sequence_execution": (
        "✅ Phase 3: Outreach Readiness Evaluation",
        "✅ Phase 1.1: Phase 1b: People Validation Trigger",
    ),
    "phase_status_query": ("", ""),
    "example_1_company_validation": ("✅ Company is valid", "✅ Company is valid"),
    "example_2_people_validation": (
        "   Total: 0\n   Valid: 0\n   Invalid: 0\n   Routed to Sheets: 0",
        "✅ Phase 1.1 completed",
    ),
    "example_3_readiness": ("   Ready: 0\n   Not Ready: 0", "✅ Phase 3 completed"),
    "example_4_full_sequence": ("✅ Phase 1: Company Validation", "✅ Phase 3: Outreach Readiness Evaluation"),
    "phase_execution_errors": ("", ""),
    "dependency_errors": ("", ""),
    "production_run": ("'total': 0", "✅ Phase 1.1 completed"),
}


@pytest.fixture(scope="session")
def demo_databases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The demo's database, twice: the examples for WV shall not see what those for another state did."""
    database = tmp_path_factory.mktemp("examples") / "outreach.db"
    assert start_demo(database).wait(100) == 0
    return database, Path(shutil.copy(database, database.with_name("other.db")))


def run_example(source: str, database: Path, folder: Path) -> str:
    program = folder / "example.py"
    program.write_text(source, encoding="utf-8")
    settings = environment(database) | {"PYTHONPATH": str(EXAMPLES.parents[3]), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, str(program)], env=settings, cwd=folder, capture_output=True, encoding="utf-8", timeout=100
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_every_example_is_here() -> None:
    assert sorted(PRINTS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_example_as_written(name: str, demo_databases: tuple[Path, Path], tmp_path: Path) -> None:
    source = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert PRINTS[name][0] in run_example(source, demo_databases[0], tmp_path)


@pytest.mark.parametrize(
    "name", [name for name in NAMES if '"WV"' in (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")]
)
def test_example_for_a_state_that_has_companies(name: str, demo_databases: tuple[Path, Path], tmp_path: Path) -> None:
    source = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8").replace('"WV"', f'"{STATE_WITH_COMPANIES}"')
    said = run_example(source, demo_databases[1], tmp_path)
    assert PRINTS[name][1] in said
    assert "❌" not in said
    # With a limit only companies are taken whose phase is not complete, and the demo has completed all.
    assert ("Total: 0\n" in said) is (name == "example_2_people_validation")
