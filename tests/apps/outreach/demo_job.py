"""The main job as a process of its own, and what its database holds when two of them are compared."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[3] / "examples" / "data"

Tables = dict[str, list[str]]

#: Whatever differs between two runs that did the same: when it happened, how long it took, and the numbers given to rows and
#: runs as they came.
_NEVER_EQUAL = {
    "log_id", "run_id", "attempt", "execution_id", "duration_seconds", "total_duration_seconds", "timestamp",
    "pipeline_id", "tier_results", "event_id", "outreach_id", "attempts",
}  # fmt: skip
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(\+00:00|Z)?")
_TABLES_WITH_NUMBERS = {"pipeline_events", "pipeline_errors", "audit_log", "error_master", "failure_outbox",
                        "email_verification", "company_raw_intake", "people_raw_intake"}  # fmt: skip


def outreach(
    *words: str, cwd: Path, database: Path | str | None = None, settings: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`python -m phasegate.apps.outreach ...` in a directory, with nothing of this process's settings."""
    command = [sys.executable, "-m", "phasegate.apps.outreach", *words]
    own = environment(database) | dict(settings or {})
    return subprocess.run(command, cwd=cwd, env=own, capture_output=True, text=True, timeout=100)


def environment(database: Path | str | None = None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PHASEGATE_")}
    return kept | ({"PHASEGATE_DATABASE": f"sqlite:///{database}"} if database else {})


def start_demo(database: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "phasegate.apps.outreach", "demo", "--json", "--data", str(DATA)]
    return subprocess.Popen(
        [*command, "--database", str(database)], cwd=database.parent, env=environment(), stdout=subprocess.DEVNULL
    )


def tables_of(database: Path) -> Tables:
    """Every table of the application, as sorted texts of its rows, without what can never be equal and without what tells of
    attempts that were lost with a killed process."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        own = [name for name in names if not name.startswith(("phasegate_", "sqlite_", "alembic"))]
        return {name: _rows(connection, name) for name in own}


def _rows(connection: sqlite3.Connection, table: str) -> list[str]:
    rows = [dict(row) for row in connection.execute(f'SELECT * FROM "{table}"')]
    return sorted(json.dumps(_comparable(table, row), sort_keys=True) for row in rows if not _lost(table, row))


def _lost(table: str, row: Mapping[str, Any]) -> bool:
    """Whether the row is about an attempt whose worker vanished."""
    if table == "phase_completion_log":
        return row["status"] == "failed" and "worker" in (row["error_message"] or "")
    if table in ("pipeline_events", "audit_log", "error_master"):
        return "vanished" in json.dumps(row) or "AttemptLost" in json.dumps(row)
    return False


def _comparable(table: str, row: Mapping[str, Any]) -> dict[str, Any]:
    left_out = _NEVER_EQUAL | ({"id"} if table in _TABLES_WITH_NUMBERS else set())
    return {name: _timeless(value) for name, value in row.items() if name not in left_out and not name.endswith("_at")}


def _timeless(value: Any) -> Any:
    """The value with times made alike; JSON is looked into."""
    if isinstance(value, str) and value[:1] in "[{":
        try:
            return _timeless(json.loads(value))
        except ValueError:
            return _TIME.sub("TIME", value)
    if isinstance(value, str):
        # The key of a signal ends in the day on which it was found.
        return re.sub(r"\d{4}-\d\d-\d\d$", "DAY", _TIME.sub("TIME", value))
    if isinstance(value, Mapping):
        return {k: _timeless(v) for k, v in value.items() if k not in _NEVER_EQUAL and not k.endswith("_at")}
    if isinstance(value, list):
        return [_timeless(each) for each in value]
    return value
