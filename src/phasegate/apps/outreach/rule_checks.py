"""Checking the records of a table against rules that a person keeps in a file.

Looking only. The rules of the phases are others; a record that fails here is as valid as before.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phasegate import InputError, UnknownName
from phasegate.apps.outreach import queries
from phasegate.apps.outreach.intake import read_table
from phasegate.apps.outreach.phases.batch import Row, parts_of, read_many
from phasegate.apps.outreach.routing.files import spreadsheet_cell
from phasegate.apps.outreach.rules.declarative import COLUMNS, FieldRule, check_record, compile_rules, must_stop
from phasegate.apps.outreach.rules.failures import Failure
from phasegate.apps.outreach.tables import company_master, people_master
from phasegate.errors import did_you_mean

if TYPE_CHECKING:
    from phasegate import Engine

#: The tables whose records can be checked, and the columns that name a record.
TABLES = {"company_master": "company_unique_id", "people_master": "unique_id"}

_FIELDS = {table.name: tuple(table.c.keys()) for table in (company_master, people_master)}
_COLUMNS = (*COLUMNS, "table_name")
_TOLD = ("record_id", "field", "rule", "message", "severity", "current_value")


@dataclass(frozen=True, slots=True)
class RecordFailure:
    """A rule that a record breaks."""

    record_id: str
    failure: Failure

    def to_result(self) -> dict[str, Any]:
        """``record_id, field, rule, message, severity, current_value``."""
        return {"record_id": self.record_id, **self.failure.to_result()}


@dataclass(frozen=True, slots=True)
class RuleCheck:
    """What a check found, in the order of the records and of the rules.

    ``population`` is how many records there are, ``looked_at`` how many of them were checked, ``failed`` how many of those
    break a rule. ``stopped`` says why the check ended early, None when it did not.
    """

    table: str
    rules: int
    population: int
    looked_at: int
    failed: int
    failures: tuple[RecordFailure, ...]
    stopped: str | None

    def to_result(self) -> dict[str, Any]:
        """The check as plain values."""
        counts = {"population": self.population, "looked_at": self.looked_at, "failed": self.failed}
        failures = [each.to_result() for each in self.failures]
        return {"table": self.table, "rules": self.rules, **counts, "stopped": self.stopped, "failures": failures}


def check_rules(
    engine: Engine, rules: str | Path, *, table: str = "company_master", state: str | None = None,
    limit: int | None = None,
) -> RuleCheck:  # fmt: skip
    """Check the records of a table against the rules of a CSV file.

    ``state`` is that of the companies, also for people; ``limit`` is the most records to look at. The check stops early when
    there are more than 100 failures, or when more than half of the records it is to look at fail. Raises ``InputError`` for
    a file that cannot be used, ``UnknownName`` for another table.
    """
    if table not in TABLES:
        raise UnknownName("table", table, TABLES)
    compiled = load_rules(rules, table)
    ids = [row["id"] for row in engine.read(queries.RECORD_IDS[table], {"tenant": engine.tenant, "state": state})]
    wanted = ids if limit is None else ids[:limit]
    looked_at = failed = 0
    failures: list[RecordFailure] = []
    stop = None
    for identity, record in _records(engine, table, wanted):
        if stop:
            break
        looked_at += 1
        broken = check_record(compiled, record)
        failed += bool(broken)
        failures += (RecordFailure(identity, each) for each in broken)
        stop = must_stop(len(failures), failed, len(wanted))
    stopped = stop if looked_at < len(wanted) else None
    return RuleCheck(table, len(compiled), len(ids), looked_at, failed, tuple(failures), stopped)


def load_rules(path: str | Path, table: str) -> tuple[FieldRule, ...]:
    """The rules for a table from a CSV file with the columns of ``compile_rule``.

    A column ``table_name`` may say whose rule it is; one that says nothing is for every table. Raises ``InputError`` that
    names the file and everything that is wrong with it.
    """
    file = read_table(path)
    unknown = [name for name in file.columns if name not in _COLUMNS]
    if unknown:
        hint = did_you_mean(unknown[0], _COLUMNS)
        raise InputError(f"{path} has a column {unknown[0]!r} that no rule knows", hint=hint)
    named = [(row.cells.get("table_name", "").strip(), row.cells) for row in file.rows]
    strange = next((name for name, _ in named if name and name not in TABLES), None)
    if strange is not None:
        raise InputError(f"{path} has a rule for the table {strange!r}", hint=did_you_mean(strange, TABLES))
    try:
        rules = compile_rules(cells for name, cells in named if name in ("", table))
    except InputError as error:
        raise InputError(f"{path}: {error}", hint="correct the file and check again") from error
    if not rules:
        raise InputError(f"{path} has no rule for {table}", hint="name another table with --table")
    _check_fields(path, rules, table)
    return rules


def write_failures(check: RuleCheck, path: str | Path) -> None:
    """Write the failures as a CSV file that a spreadsheet can open, one row each. Raises ``InputError`` when it cannot be
    written."""
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("w", encoding="utf-8", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow(_TOLD)
            writer.writerows(_cells(each) for each in check.failures)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}", hint="name another file") from error


def _check_fields(path: str | Path, rules: Sequence[FieldRule], table: str) -> None:
    # A mistyped field would be missing in every record, or be required of none.
    for rule in rules:
        if rule.field not in _FIELDS[table]:
            message = f"{path}: rule {rule.rule!r} is about {rule.field!r}, which is no column of {table}"
            raise InputError(message, hint=did_you_mean(rule.field, _FIELDS[table]))


def _records(engine: Engine, table: str, ids: Sequence[str]) -> Iterator[tuple[str, Row]]:
    """The records in the order of their ids, some hundred in memory at a time."""
    for part in parts_of(ids):
        rows = {row[TABLES[table]]: row for row in read_many(engine.read, queries.RECORDS[table], engine.tenant, part)}
        yield from ((identity, rows[identity]) for identity in part if identity in rows)


def _cells(found: RecordFailure) -> list[str]:
    told = found.to_result()
    return ["" if told[name] is None else spreadsheet_cell(str(told[name])) for name in _TOLD]
