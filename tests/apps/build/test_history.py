"""The history: what is on record of runs, phases, attempts, calls, changes and events, and when."""

from __future__ import annotations

import importlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from phasegate import Engine, Registry
from phasegate.apps.build import PhaseExecutor, PhaseOrchestrator, Policy
from phasegate.apps.build.columns import load
from phasegate.apps.build.opening import MIGRATIONS, open_engine
from phasegate.apps.build.tables import metadata
from phasegate.llm import LLMError, Request
from tests.apps.build.conftest import tree
from tests.apps.build.ledger import check_books, rows, types
from tests.apps.build.models import Scripted, files, phase

Make = Callable[..., PhaseExecutor]
GOOD = files(("create", "x.txt", "x\n"))
RISKY = phase("Risky.", ["x.txt"], requires_approval=True)


def run(executor: PhaseExecutor, *phases: Any, retries: int = 1, stop: bool = False, health: bool = False) -> Any:
    result = PhaseOrchestrator(executor, retries, enable_health_checks=health).run_phases(list(phases), stop)
    check_books(executor, result)
    return result


class Decides:
    """Says yes or no."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def decide(self, request: Any) -> Any:
        return self.answer


# --- what is on record before the model is asked ---


def test_the_attempt_is_on_record_before_the_model_is_asked(executor: Make, tmp_path: Path) -> None:
    seen = []

    def look(request: Request) -> Any:
        with closing(sqlite3.connect(tmp_path / "build.db", timeout=0.5)) as connection:
            attempts = connection.execute(
                "SELECT attempt_index, status FROM attempts ORDER BY attempt_index"
            ).fetchall()
            others = [connection.execute(f"SELECT status FROM {each}").fetchall() for each in ("phases", "runs")]
            calls = connection.execute("SELECT sum(total_tokens) FROM llm_calls").fetchone()[0]
            spent = connection.execute("SELECT token_usage FROM runs").fetchone()[0]
            # Nothing is open meanwhile: somebody else can write.
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
        seen.append((attempts, others, calls, spent))
        return "no json" if len(seen) == 1 else GOOD

    made = executor(Scripted(look))
    run(made, phase(deliverables=["x.txt"]))
    running = [[("running",)], [("running",)]]
    assert seen == [
        ([(0, "running")], running, None, 0),
        ([(0, "failed"), (1, "running")], running, 150, 150),
    ]


# --- events ---


def test_events_are_on_record_in_the_order_in_which_things_happened(executor: Make) -> None:
    told: list[Mapping[str, Any]] = []
    model = Scripted(files(("create", "../x.txt", "x\n")), GOOD, "no json")
    made = executor(model, event_sink=told.append)
    result = run(
        made, phase(deliverables=["x.txt"], phase_id="one"), phase("Last.", phase_id="two"), retries=1, health=True
    )
    attempt = ["attempt_started", "context_built", "llm_called"]
    expected = [
        "run_started", "phase_started", *attempt, "response_parsed", "validation_failed", "retry_scheduled",
        *attempt, "response_parsed", "applied", "health_checked", "phase_finished",
        "phase_started", *attempt, "validation_failed", "retry_scheduled", *attempt, "validation_failed", "phase_finished",
        "run_finished",
    ]  # fmt: skip
    assert types(made) == expected
    assert [each["type"] for each in told if each["type"] != "validated"] == expected
    assert {each["run_id"] for each in told} == {result["run_id"]}
    ids = {(each["phase_id"], each["attempt"]) for each in told if each["type"] not in ("run_started", "run_finished")}
    assert ids == {("one", None), ("one", 0), ("one", 1), ("two", None), ("two", 0), ("two", 1)}
    first = next(each for each in rows(made, "events") if each["type"] == "llm_called")
    assert (first["phase_fk"], first["attempt_fk"]) == (f"{result['run_id']}/1", f"{result['run_id']}/1/0")
    assert load(first["payload_json"])["total_tokens"] == 150
    assert [each["status"] for each in told if each["type"] in ("phase_finished", "run_finished")] == [
        "succeeded", "failed", "failed",
    ]  # fmt: skip


@pytest.mark.parametrize(("answer", "status"), [("approved", "succeeded"), ("rejected", "rejected")])
def test_a_decision_is_on_record_with_who_made_it(answer: Any, status: str, executor: Make, repo: Path) -> None:
    before, told = tree(repo), list[Mapping[str, Any]]()
    made = executor(Scripted(GOOD), approval_provider=Decides(answer), event_sink=told.append)
    result = run(made, RISKY)
    assert result["phase_results"][0]["status"] == status
    middle = [
        "approval_requested",
        "approval_decided",
        *(["applied", "health_checked"] if answer == "approved" else []),
    ]
    whole = [
        "run_started",
        "phase_started",
        "attempt_started",
        "context_built",
        "llm_called",
        "response_parsed",
        *middle,
    ]
    assert types(made) == [*whole, "phase_finished", "run_finished"]
    heard = [each["type"] for each in told]
    assert [each for each in heard if each != "validated"] == [*whole, "phase_finished", "run_finished"]
    (approval,) = rows(made, "approvals")
    assert approval["status"] == ("consumed" if answer == "approved" else "rejected")
    assert approval["decided_by"] == ("Decides" if answer else "nobody")
    decided = next(each for each in rows(made, "events") if each["type"] == "approval_decided")
    assert decided["attempt_fk"] == f"{result['run_id']}/1/0"
    assert rows(made, "file_changes")[0]["state"] == ("applied" if answer == "approved" else "planned")
    assert (tree(repo) == before) is (answer != "approved")


class Nuisance:
    """A listener that breaks everything it can reach."""

    def __init__(self) -> None:
        self.heard = 0

    def __call__(self, event: Any) -> None:
        self.heard += 1
        for value in event.values():
            if isinstance(value, list | dict):
                value.clear()
        event.clear()
        raise RuntimeError("no")


def test_a_listener_that_raises_and_spoils_disturbs_nothing(executor: Make, repo: Path) -> None:
    nuisance = Nuisance()
    made = executor(Scripted("no json", GOOD), event_sink=nuisance)
    (told,) = run(made, phase(deliverables=["x.txt"]), health=True)["phase_results"]
    assert (told["success"], told["files_changed"], told["retry_count"]) == (True, ["x.txt"], 1)
    assert told["health"]["passed"] is True
    assert told["health"]["checks"]
    assert nuisance.heard > 10


# --- rows of whatever became of it ---


def test_rows_say_what_became_of_phases_that_succeeded_failed_and_were_skipped(executor: Make, repo: Path) -> None:
    model = Scripted(
        files(("modify", "src/util.py", "LIMIT = 4\nMORE = 5\n"), ("create", "x.txt", "x\n"), ("delete", "README.md")),
        "no json",
        files(("create", "y.txt", "1\n"), ("create", "src/bad.py", "(\n")),
    )
    made = executor(model)
    result = run(
        made,
        phase("First.", ["src/util.py", "x.txt"], phase_id="a", context_files=["README.md"]),
        phase("Second.", ["y.txt"], phase_id="b"),
        phase("Third.", phase_id="c", depends_on=["b"]),
        {"description": ""},
    )
    assert [each["status"] for each in rows(made, "phases")] == ["succeeded", "failed", "skipped", "failed"]
    (row,) = rows(made, "runs")
    assert (row["status"], row["total_phases"]) == ("failed", 4)
    assert (row["successful_phases"], row["failed_phases"], row["skipped_phases"]) == (1, 2, 1)
    assert (row["finished_at"] is not None, row["duration_s"] >= 0, row["pid"]) == (True, True, os.getpid())
    attempts = rows(made, "attempts")
    assert [(each["attempt_id"].partition("/")[2], each["status"]) for each in attempts] == [
        ("1/0", "succeeded"), ("2/0", "failed"), ("2/1", "failed"),
    ]  # fmt: skip
    assert [each["error_code"] for each in attempts] == [None, "E_JSON_INVALID", "E_SYNTAX"]
    assert [each["error_category"] for each in attempts] == [None, "model", "validation"]
    assert all(each["prompt_sha256"] and each["finished_at"] and each["duration_s"] >= 0 for each in attempts)
    assert [each["parse_method"] for each in attempts] == ["direct", None, "direct"]
    assert [each["prompt_text"] for each in attempts] == [None] * 3
    changes = {each["path"]: each for each in rows(made, "file_changes")}
    assert {path: (each["effective_mode"], each["state"]) for path, each in changes.items()} == {
        "src/util.py": ("modify", "applied"), "x.txt": ("create", "applied"), "README.md": ("delete", "applied"),
    }  # fmt: skip
    util = changes["src/util.py"]
    assert (util["bytes_before"], util["bytes_after"], util["lines_added"], util["lines_removed"]) == (10, 19, 2, 1)
    assert result["phase_results"][0]["files_changed"] == sorted(changes)
    stored = [load(each["result_json"])["status"] for each in rows(made, "phases")]
    assert stored == ["succeeded", "failed", "skipped", "failed"]


def test_a_phase_that_was_undone_is_on_record_as_that(executor: Make, repo: Path) -> None:
    before = tree(repo)
    given = phase(deliverables=["x.txt"], acceptance_criteria=[{"check": "contains", "path": "x.txt", "text": "good"}])
    made = executor(Scripted(GOOD))
    run(made, given, retries=0)
    assert [each["state"] for each in rows(made, "file_changes")] == ["rolled_back"]
    assert types(made)[6:] == ["applied", "health_checked", "rolled_back", "phase_finished", "run_finished"]
    assert tree(repo) == before


@pytest.mark.parametrize("where", ["model", "sink"])
def test_an_interrupted_run_is_cancelled_on_record_and_raised(where: str, executor: Make, repo: Path) -> None:
    before = tree(repo)

    def stop(*_: Any) -> Any:
        raise KeyboardInterrupt

    def stop_when_applied(event: Mapping[str, Any]) -> None:
        if event["type"] == "applied":
            raise KeyboardInterrupt

    made = executor(Scripted(stop)) if where == "model" else executor(Scripted(GOOD), event_sink=stop_when_applied)
    with pytest.raises(KeyboardInterrupt):
        made.execute_phase(phase(deliverables=["x.txt"]), [])
    assert tree(repo) == before
    assert [[each["status"] for each in rows(made, table)] for table in ("runs", "phases", "attempts")] == [
        ["cancelled"], ["cancelled"], ["cancelled"],
    ]  # fmt: skip
    (call,) = rows(made, "llm_calls")
    assert call["error"] == ("cancelled" if where == "model" else None)
    check_books(made)
    # The repository can be worked on again.
    made.shop.client, made.shop.event_sink = Scripted(GOOD), None
    assert made.execute_phase(phase(deliverables=["x.txt"]), [])["errors"] == []


@pytest.mark.parametrize(("when", "calls"), [("asked", 1), ("answered", 2)])
def test_a_run_whose_process_is_gone_is_interrupted_on_record_and_goes_on(
    when: str, calls: int, executor: Make, repo: Path, tmp_path: Path
) -> None:
    script = (
        "import os, sys\nfrom phasegate.apps.build import PhaseExecutor\n"
        "when = sys.argv[3]\n"
        "made = PhaseExecutor(lambda prompt: os._exit(7) if when == 'asked' else 'x', sys.argv[1], sys.argv[2],\n"
        "    event_sink=lambda event: event['type'] == 'llm_called' and os._exit(7))\n"
        "made.execute_phase({'description': 'Do it.', 'deliverables': ['x.txt']}, [])\n"
    )
    given = [sys.executable, "-c", script, str(repo), str(tmp_path / "build.db"), when]
    assert subprocess.run(given, check=False, timeout=60).returncode == 7
    again = executor(Scripted(GOOD))
    assert [[each["status"] for each in rows(again, table)] for table in ("runs", "phases", "attempts")] == [
        ["interrupted"], ["interrupted"], ["interrupted"],
    ]  # fmt: skip
    result = again.resume(rows(again, "runs")[0]["run_id"])
    assert (result["successful_phases"], result["status"]) == (1, "succeeded")
    assert [each["status"] for each in rows(again, "attempts")] == ["succeeded"]
    # What was paid for before is not forgotten.
    assert len(rows(again, "llm_calls")) == calls
    check_books(again, result)


def test_an_attempt_that_cannot_begin_is_on_record_too(executor: Make, monkeypatch: Any) -> None:
    from phasegate.apps.build.stages import asking

    def broken(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied", "/somewhere/secret")

    monkeypatch.setattr(asking, "compose", broken)
    made = executor(Scripted(GOOD))
    (told,) = run(made, phase(deliverables=["x.txt"]))["phase_results"]
    assert told["errors"] == ["File system error: Permission denied"]
    assert [each["status"] for each in rows(made, "attempts")] == ["failed"]
    assert types(made)[2:4] == ["attempt_started", "validation_failed"]


def test_a_phase_that_does_not_fit_costs_nothing_and_is_on_record(executor: Make) -> None:
    model = Scripted(GOOD)
    made = executor(model, max_tokens=3_000)
    (told,) = run(made, phase(deliverables=["x.txt"]))["phase_results"]
    assert (told["error_details"][0]["code"], told["token_usage"], model.calls) == ("E_CONTEXT_OVERFLOW", 0, 0)
    assert [each["error_code"] for each in rows(made, "attempts")] == ["E_CONTEXT_OVERFLOW"]


def test_a_failed_call_leaves_what_was_asked_on_record(executor: Make) -> None:
    made = executor(Scripted(LLMError("bad_request", "no such model")), model="a:b", policy=Policy(keep_prompts=True))
    run(made, phase(deliverables=["x.txt"]))
    (attempt,) = rows(made, "attempts")
    assert (attempt["model"], attempt["error_code"]) == ("a:b", "E_LLM_BAD_REQUEST")
    assert len(attempt["prompt_sha256"]) == 64
    assert "Change the program." in attempt["prompt_text"]


def test_nothing_stays_running_when_a_client_ends_everything(executor: Make, repo: Path) -> None:
    before = tree(repo)

    def leave(request: Request) -> Any:
        raise SystemExit(3)

    made = executor(Scripted(leave))
    result = run(made, phase(deliverables=["x.txt"]), phase("Second."))
    assert [[each["status"] for each in rows(made, table)] for table in ("runs", "phases", "attempts")] == [
        ["failed"], ["failed"] * 2, ["failed"] * 2,
    ]  # fmt: skip
    calls = rows(made, "llm_calls")
    assert all("SystemExit" in each["error"] for each in calls)
    assert result["token_usage"] == sum(each["total_tokens"] for each in calls) > 0
    assert tree(repo) == before


@pytest.mark.parametrize(("stage", "name"), [("verdict", "judge"), ("checking", "read_spec")])
def test_a_stage_that_decides_and_breaks_ends_the_run_on_record(
    stage: str, name: str, executor: Make, repo: Path, monkeypatch: Any
) -> None:
    before = tree(repo)

    def broken(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied", "/somewhere")

    monkeypatch.setattr(importlib.import_module(f"phasegate.apps.build.stages.{stage}"), name, broken)
    made = executor(Scripted("no json"))
    result = run(made, phase(deliverables=["x.txt"]), phase("Second."))
    assert (result["successful_phases"], result["phase_results"][0]["success"]) == (0, False)
    assert "Permission denied" in result["phase_results"][0]["errors"][0]
    assert "/somewhere" not in str(result)
    statuses = {each["status"] for table in ("runs", "phases", "attempts") for each in rows(made, table)}
    assert statuses == {"failed"}
    assert tree(repo) == before


# --- times, keys, tables ---


def test_times_are_utc_and_in_order(executor: Make) -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    ahead = timedelta(hours=5)

    def clock() -> datetime:
        nonlocal now
        now += timedelta(milliseconds=1)
        return now.astimezone(ZoneInfo("Asia/Karachi"))

    made = executor(Scripted("no json", GOOD), clock=clock)
    run(made, phase(deliverables=["x.txt"]))
    columns = [
        ("runs", "started_at"), ("runs", "finished_at"), ("runs", "heartbeat_at"), ("phases", "started_at"),
        ("phases", "finished_at"), ("attempts", "started_at"), ("attempts", "finished_at"), ("llm_calls", "created_at"),
        ("events", "created_at"),
    ]  # fmt: skip
    for table, column in columns:
        for row in rows(made, table):
            at = datetime.fromisoformat(row[column])
            assert at.utcoffset() in (None, timedelta(0)), (table, column, row[column])
            assert timedelta(0) <= at.replace(tzinfo=UTC) - datetime(2026, 3, 1, 12, tzinfo=UTC) < ahead
    stamps = [row["created_at"] for row in rows(made, "events")]
    assert stamps == sorted(stamps)


def test_foreign_keys_are_enforced(executor: Make) -> None:
    made = executor(Scripted(GOOD))
    event = {"r": "nobody", "t": "x", "p": "{}", "c": "2026-01-01"}
    with pytest.raises(Exception, match="FOREIGN KEY"):
        made.engine.write(
            [("INSERT INTO events (run_fk, type, payload_json, created_at) VALUES (:r, :t, :p, :c)", event)]
        )


def described(database: Path) -> dict[str, Any]:
    """Columns, keys, indexes and constraints of the tables."""
    engine = sa.create_engine(f"sqlite:///{database}")
    with engine.connect() as connection:
        found = sa.inspect(connection)
        told = {
            name: {
                "columns": {c["name"]: (str(c["type"]), c["nullable"], c["default"]) for c in found.get_columns(name)},
                "primary": found.get_pk_constraint(name)["constrained_columns"],
                "foreign": sorted(
                    (str(k["constrained_columns"]), k["referred_table"], str(k["options"]))
                    for k in found.get_foreign_keys(name)
                ),
                "indexes": sorted(str(i) for i in found.get_indexes(name)),
                "unique": sorted(str(k["column_names"]) for k in found.get_unique_constraints(name)),
                "checks": sorted(str(k["sqltext"]) for k in found.get_check_constraints(name)),
            }
            for name in metadata.tables
        }
    engine.dispose()
    return told


def test_the_migrations_lead_to_the_tables_of_the_code(tmp_path: Path) -> None:
    migrated, made = tmp_path / "migrated.db", tmp_path / "made.db"
    open_engine(migrated, Registry()).close()
    engine = Engine(f"sqlite:///{made}", Registry())
    engine.create_tables(metadata)
    engine.close()
    assert described(migrated) == described(made)
    assert sorted(each.name for each in MIGRATIONS.glob("0*.py")) == ["0001_first.py"]


def test_rows_of_a_run_that_waits_say_how_far_it_is(executor: Make) -> None:
    class Later:
        def decide(self, request: Any) -> str:
            return "pending"

    model = Scripted(files(("create", "a.txt", "a\n")), "no json", files(("create", "b.txt", "b\n")))
    made = executor(model, approval_provider=Later())
    result = run(made, phase(deliverables=["a.txt"]), phase(deliverables=["b.txt"], requires_approval=True), retries=1)
    assert result["status"] == "awaiting_approval"
    (row,) = rows(made, "runs")
    assert (row["successful_phases"], row["failed_phases"], row["skipped_phases"]) == (1, 0, 0)
    assert [(each["status"], each["attempts"]) for each in rows(made, "phases")] == [
        ("succeeded", 1), ("awaiting_approval", 2),
    ]  # fmt: skip


def test_a_history_whose_process_died_at_its_very_beginning_is_a_new_one(executor: Make, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "build.db")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    assert (tmp_path / "build.db").stat().st_size
    told = executor(Scripted(files(("create", "x.txt", "x\n")))).execute_phase(phase(deliverables=["x.txt"]))
    assert told["errors"] == []
