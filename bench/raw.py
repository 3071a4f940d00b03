"""The raw limit: bare sqlite3 inserting the same rows with the same durability, in as many transactions."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

TABLES = ("runs", "phase_runs", "attempts", "outputs", "facts", "decisions")


def rows_of(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row the engine wrote, by table."""
    connection = sqlite3.connect(path)
    try:
        return {name: connection.execute(f"SELECT * FROM phasegate_{name}").fetchall() for name in TABLES}
    finally:
        connection.close()


def insert_same(source: Path, target: Path, transactions: int) -> float:
    """Seconds that bare sqlite3 needs to insert the rows of ``source`` into the same tables of an empty file."""
    rows = rows_of(source)
    connection = sqlite3.connect(target, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    _copy_schema(source, connection)
    began = time.perf_counter()
    for part in range(transactions):
        connection.execute("BEGIN IMMEDIATE")
        for name, values in rows.items():
            mine = values[len(values) * part // transactions : len(values) * (part + 1) // transactions]
            if mine:
                marks = ",".join("?" * len(mine[0]))
                connection.executemany(f"INSERT INTO phasegate_{name} VALUES ({marks})", mine)
        connection.execute("COMMIT")
    seconds = time.perf_counter() - began
    connection.close()
    return seconds


def _copy_schema(source: Path, target: sqlite3.Connection) -> None:
    origin = sqlite3.connect(source)
    kinds = "('table', 'index')"
    for (text,) in origin.execute(
        f"SELECT sql FROM sqlite_master WHERE type IN {kinds} AND sql IS NOT NULL ORDER BY rowid"
    ):
        target.execute(text)
    origin.close()


def commit_seconds(directory: Path, count: int = 200) -> float:
    """Seconds of one bare commit of one small row, the median of many."""
    connection = sqlite3.connect(directory / "commits.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)")
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO t (body) VALUES (?)", ("x" * 600,))
        connection.execute("COMMIT")
        taken.append(time.perf_counter() - began)
    connection.close()
    return sorted(taken)[count // 2]
