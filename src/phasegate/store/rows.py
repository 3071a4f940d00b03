"""Appends to rows of the engine's tables, and rows back to runs.

Rows are tuples in the order of the tables' columns: they are handed to the driver as they are, because converting
dictionaries of parameters costs more than the database needs for storing them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from phasegate.core import facts as f
from phasegate.core.layered import Layered
from phasegate.core.run import Instance, PhaseRun, PhaseStatus, Run, RunStatus, Subject
from phasegate.store import codec, tables
from phasegate.store.base import Append


def _columns(table: sa.Table) -> tuple[str, ...]:
    """Columns as the table defines them, without those that number themselves; as plain text, not SQLAlchemy's own kind."""
    return tuple(str.__str__(column.name) for column in table.c if column.name != "position")


RUN_COLUMNS = _columns(tables.runs)
PHASE_COLUMNS = _columns(tables.phase_runs)
ATTEMPT_COLUMNS = _columns(tables.attempts)
OUTPUT_COLUMNS = _columns(tables.outputs)
FACT_COLUMNS = _columns(tables.facts)
DECISION_COLUMNS = _columns(tables.decisions)

#: A time as the driver of the database takes it.
Time = Callable[[datetime], Any]
Row = tuple[Any, ...]

_PHASE_STATUS = {status.value: status for status in PhaseStatus}
_RUN_STATUS = {status.value: status for status in RunStatus}


def _aim(run: Run) -> str | None:
    if run.aim is None and not run.pressed:
        return None
    return codec.dump({"phases": None if run.aim is None else sorted(run.aim), "pressed": sorted(run.pressed)})


def run_row(append: Append, time: Time) -> Row:
    """A new run."""
    run = append.run
    due = None if append.due_at is None else time(append.due_at)
    return (
        run.id, run.tenant, run.flow, run.version, run.subject.kind, run.subject.id, run.key,
        run.priority, run.started_by,
        None if run.input is None else codec.dump(run.input), time(run.created_at),  # type: ignore[arg-type]
        run.status.value, _aim(run), run.unchecked, run.ending.value if run.ending else None, run.reason,
        time(run.updated_at), run.seq, due, run.epoch, append.holder,  # type: ignore[arg-type]
    )  # fmt: skip


def run_update(append: Append, time: Time) -> Row:
    """What changes in a run, and the guard: id, sequence, epoch."""
    run = append.run
    due = None if append.due_at is None else time(append.due_at)
    return (
        run.status.value, _aim(run), run.unchecked, run.ending.value if run.ending else None, run.reason,
        time(run.updated_at), run.seq, due, append.release or run.finished,  # type: ignore[arg-type]
        run.id, append.expected, run.epoch,
    )  # fmt: skip


def phase_rows(append: Append, time: Time) -> Iterable[Row]:
    """The instances an append changes."""
    run_id, tenant, flow = append.run.id, append.run.tenant, append.run.flow
    for i in append.instances:
        yield (
            run_id, i.phase, codec.dump_scope(i.scope) if i.scope else codec.TOP, tenant, flow, i.status._value_,
            i.attempt, i.failures, i.losses, i.round,
            i.outcome, time(i.due_at) if i.due_at else None, time(i.started_at) if i.started_at else None,
            time(i.since) if i.since else None, i.version, i.sha256, i.reason, codec.dump_detail(i),
        )  # fmt: skip


def attempt_rows(append: Append, time: Time) -> Iterable[Row]:
    """The attempts that ended."""
    run_id, tenant = append.run.id, append.run.tenant
    for a in append.attempts:
        yield (
            run_id, a.phase, codec.dump_scope(a.scope) if a.scope else codec.TOP, a.number, tenant, a.status, a.outcome,
            a.error, a.message,
            a.trace, time(a.started_at) if a.started_at else None, time(a.finished_at),
        )  # fmt: skip


def output_rows(append: Append) -> Iterable[Row]:
    """The outputs."""
    run_id, tenant = append.run.id, append.run.tenant
    for o in append.outputs:
        yield run_id, o.phase, codec.dump_scope(o.scope), o.version, tenant, o.sha256, o.body


def fact_row(append: Append, time: Time) -> Row:
    """The facts of an append, as one row."""
    run = append.run
    return run.id, run.tenant, run.seq, time(run.updated_at), codec.dump_facts(append.facts)  # type: ignore[arg-type]


def decision_rows(append: Append, time: Time) -> Iterable[Row]:
    """The decisions among the facts, numbered by their place in the log."""
    run = append.run
    for back, fact in enumerate(reversed(append.facts)):
        if type(fact) is f.DecisionMade:
            yield (
                run.id, fact.phase, codec.dump_scope(fact.scope), fact.round, run.seq - back, run.tenant, fact.by,
                fact.role, fact.outcome, fact.seen, None if fact.answers is None else codec.dump(fact.answers),
                fact.comment, time(fact.at),
            )  # fmt: skip


# --- rows to records ------------------------------------------------------------------------------------------------


def run_of(row: Mapping[str, Any], phases: dict[Instance, PhaseRun] | None = None) -> Run:
    """The run of a row."""
    aim = codec.load(row["aim"]) or {}
    return Run(
        id=row["id"], tenant=row["tenant"], flow=row["flow"], version=row["version"],
        subject=Subject(row["subject_kind"], row["subject_id"]), key=row["key"], status=_RUN_STATUS[row["status"]],
        aim=None if aim.get("phases") is None else frozenset(aim["phases"]), unchecked=bool(row["unchecked"]),
        pressed=frozenset(aim.get("pressed", ())),
        seq=row["seq"], epoch=row["epoch"], ending=_RUN_STATUS[row["ending"]] if row["ending"] else None,
        reason=row["reason"], priority=row["priority"],
        started_by=row["started_by"], created_at=row["created_at"], updated_at=row["updated_at"],
        input=codec.load(row["input"]), phases=Layered(phases or {}),
    )  # fmt: skip


def instance_of(row: Sequence[Any]) -> PhaseRun:
    """The phase instance of a row, its columns in the order of ``PHASE_COLUMNS``."""
    _, phase, scope, _, _, status, attempt, failures, losses, round_, outcome, due, started, since, version, sha, reason, \
        detail = row  # fmt: skip
    return PhaseRun(
        phase, codec.load_scope(scope), _PHASE_STATUS[status], attempt, failures, losses, round_, outcome, due, started,
        since, version, sha, reason=reason, **(codec.load_detail(detail) if detail else {}),
    )  # fmt: skip


def instances_by_run(rows: Iterable[Sequence[Any]]) -> dict[str, dict[Instance, PhaseRun]]:
    """Phase instances grouped by their run."""
    grouped: dict[str, dict[Instance, PhaseRun]] = defaultdict(dict)
    for row in rows:
        instance = instance_of(row)
        grouped[row[0]][instance.phase, instance.scope] = instance
    return grouped
