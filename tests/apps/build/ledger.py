"""What the history of a build says, and whether its numbers agree with one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phasegate.apps.build import PhaseExecutor
from phasegate.apps.build.columns import load

Row = Mapping[str, Any]


def rows(executor: PhaseExecutor, table: str) -> list[Row]:
    """All rows of a table of the history, in the order in which they were written."""
    return executor.engine.read(f"SELECT * FROM {table} ORDER BY rowid")


def types(executor: PhaseExecutor) -> list[str]:
    """What the log of the history says, in order, without the words that belong to it."""
    return [each["type"] for each in rows(executor, "events")]


def check_books(executor: PhaseExecutor, *results: Mapping[str, Any]) -> None:
    """Every call is counted exactly once, wherever tokens are told; every row belongs to one that exists."""
    calls, attempts = rows(executor, "llm_calls"), rows(executor, "attempts")
    phase_of = {each["attempt_id"]: each["phase_fk"] for each in attempts}
    for phase in rows(executor, "phases"):
        own = [each for each in calls if phase_of[each["attempt_fk"]] == phase["id"]]
        spent = sum(each["total_tokens"] for each in own)
        assert phase["tokens_used"] == spent
        if phase["result_json"]:
            told = load(phase["result_json"])
            assert (told["token_usage"], told["tokens"]["total"], told["tokens"]["calls"]) == (spent, spent, len(own))
            assert told["attempt_ids"] == [each["attempt_id"] for each in attempts if each["phase_fk"] == phase["id"]]
    for run in rows(executor, "runs"):
        own_phases = [each for each in rows(executor, "phases") if each["run_id"] == run["run_id"]]
        assert run["token_usage"] == sum(each["tokens_used"] for each in own_phases)
    of_runs = {each["run_id"]: each["token_usage"] for each in rows(executor, "runs")}
    for result in results:
        run_id = result["run_id"] if "run_id" in result else result["attempt_ids"][0].partition("/")[0]
        assert result["token_usage"] == of_runs[run_id]
    for attempt in attempts:
        numbers = [each["seq"] for each in calls if each["attempt_fk"] == attempt["attempt_id"]]
        assert numbers == list(range(1, len(numbers) + 1))
    assert executor.engine.read("PRAGMA foreign_key_check") == []
