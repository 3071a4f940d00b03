"""The public surface: listed once, all there, and cheap to import."""

from __future__ import annotations

import subprocess
import sys

import pytest

import phasegate
import phasegate.testing

SURFACE = {
    "flows": {"Batch", "Flow", "Gate", "Phase", "Quota", "Registry", "Retry", "flow_data", "flow_from_data"},
    "running": {"Context", "Engine", "Fatal", "Limits", "Outcome", "Skip", "Snooze"},
    "looking": {
        "PhaseReport", "PhaseResult", "PhaseRun", "PhaseStatus", "Progress", "PurgeReport", "Reason", "RecordedFact", "Run",
        "RunStatus", "Subject",
    },
    "errors": {
        "AlreadyDecided", "Conflict", "Fenced", "FlowError", "InputError", "NeedsNotMet", "NotADatabase", "NotAllowed",
        "PhasegateError", "Purged", "SchemaMismatch", "Stale", "StoreError", "StoreUnavailable", "UnknownName", "UsageError",
    },
}  # fmt: skip


def test_the_list_of_public_names_is_exactly_what_is_there() -> None:
    assert set(phasegate.__all__) == set().union(*SURFACE.values())
    assert phasegate.__all__ == sorted(phasegate.__all__)
    assert dir(phasegate) == phasegate.__all__


@pytest.mark.parametrize("name", phasegate.__all__)
def test_every_public_name_is_importable_and_described(name: str) -> None:
    found = getattr(phasegate, name)
    assert found.__doc__
    assert found.__module__.startswith("phasegate.")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'phasegate' has no attribute 'Workflow'"):
        _ = phasegate.Workflow


def test_the_tools_for_testing_are_there() -> None:
    found = {
        name
        for name, value in vars(phasegate.testing).items()
        if getattr(value, "__module__", None) == "phasegate.testing" and not name.startswith("_")
    }
    assert found == {"CrashPoint", "FakeClock", "Scripted", "drain", "temporary_engine"}


def imported_with(statement: str) -> set[str]:
    """The libraries that a statement loads."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*sorted(set(sys.modules) - before))"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return {name.partition(".")[0] for name in said.stdout.split()}


HEAVY = {
    "sqlalchemy",
    "alembic",
    "pydantic",
    "pydantic_settings",
    "jsonschema",
    "structlog",
    "typer",
    "rich",
    "orjson",
    "ray",
}


def test_importing_phasegate_loads_no_library() -> None:
    assert imported_with("import phasegate") & HEAVY == set()
    assert "asyncio" not in imported_with("import phasegate")


def test_building_a_flow_loads_no_library() -> None:
    statement = "from phasegate import Flow, Phase, Registry; Registry(Flow('f', 1, (Phase('a', print),)))"
    assert imported_with(statement) & HEAVY == set()


def test_an_engine_loads_the_database_and_not_what_it_does_not_use() -> None:
    loaded = imported_with("from phasegate import Engine; Engine('sqlite://').close()")
    assert loaded & HEAVY == {"sqlalchemy", "orjson"}
