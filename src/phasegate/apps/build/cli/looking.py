"""Commands that look at what builds have done."""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from phasegate import Engine
from phasegate.apps.build import statements as q
from phasegate.apps.build.cli import talking
from phasegate.apps.build.cli.common import RunId, find_run, looked_at, typed
from phasegate.apps.build.cli.reporting import next_steps, spent_words
from phasegate.apps.build.columns import load
from phasegate.apps.build.flow import stage
from phasegate.apps.build.tables import OPEN
from phasegate.cli import output
from phasegate.cli.session import Session
from phasegate.errors import InputError
from phasegate.processes import alive

Row = Mapping[str, Any]
#: As many runs are listed.
_MOST_LISTED = 1_000


def show(session: Session, run: RunId = None) -> None:
    """Show a run: its phases, attempts, health before and after, tokens, what was restored, and what waits."""
    with looked_at(session) as engine:
        row = find_run(engine, run)
        data = _everything(engine, row)
    session.answer(
        data,
        output.Table(
            ("", "phase", "status", "attempts", "tokens", "summary"),
            [
                (p["phase_index"], p["phase_id"], p["status"], p["attempts"], p["tokens_used"], p["summary"])
                for p in data["phases"]
            ],
        ),
        output.Table(
            ("phase", "attempt", "status", "model", "tokens", "USD", "error"),
            [_attempt_row(each, data["calls"]) for each in data["attempts"]],
        ),
        *_said(session, data),
    )


def _everything(engine: Engine, row: Row) -> dict[str, Any]:
    where = {"run": row["run_id"]}
    return {
        "run": _loaded(row), "phases": [_loaded(each) for each in engine.read(q.PHASES, where)],
        "attempts": [_loaded(each) for each in engine.read(q.ATTEMPTS, where)],
        "changes": [_loaded(each) for each in engine.read(q.CHANGES, where)],
        "calls": [_loaded(each) for each in engine.read(q.COSTS, where)],
        "health_checks": [_loaded(each) for each in engine.read(q.CHECKS, where)],
        "cost": engine.read(q.COST, where)[0]["cost"],
        "waiting": [_loaded(each) for each in engine.read(q.WAITING_OF_RUN, where)],
        "decided": [_loaded(each) for each in engine.read(q.DECIDED_OF_RUN, where)],
    }  # fmt: skip


def _loaded(row: Row) -> dict[str, Any]:
    """A row with the values of its JSON columns, under their names without the ending."""
    return {name.removesuffix("_json"): load(value) if name.endswith("_json") else value for name, value in row.items()}


def _attempt_row(attempt: Row, calls: Sequence[Row]) -> tuple[Any, ...]:
    own = [each for each in calls if each["attempt_fk"] == attempt["attempt_id"]]
    costs = [each["cost"] for each in own if each["cost"] is not None]
    return (
        attempt["phase_id"], attempt["attempt_index"] + 1, attempt["status"], attempt["model"],
        sum(each["total_tokens"] for each in own), f"{sum(costs):.4f}" if costs else None, attempt["error_code"],
    )  # fmt: skip


def _said(session: Session, data: Row) -> Iterator[str]:
    run = data["run"]
    yield f"Run {run['run_id']} of {run['repo_root']}: {run['status']}, {spent_words(run['token_usage'], data['cost'])}."
    names = {
        each["attempt_id"]: f"attempt {each['attempt_index'] + 1} of {each['phase_id']}" for each in data["attempts"]
    }
    checks: dict[str | None, list[Row]] = defaultdict(list)
    for each in data["health_checks"]:
        checks[each["attempt_fk"]].append(each)
    if None in checks:
        yield f"Health before: {_health(checks[None])}"
    for attempt, name in names.items():
        if attempt in checks:
            yield f"Health after {name}: {_health(checks[attempt])}"
    restored: dict[str, list[str]] = defaultdict(list)
    for each in data["changes"]:
        if each["state"] == "rolled_back":
            restored[each["attempt_fk"]].append(each["path"])
    for attempt, paths in restored.items():
        yield f"Put back after {names[attempt]}: {', '.join(paths)}"
    for each in data["waiting"]:
        yield from next_steps(session, {**each, "risk": each["risk_score"]})
    if run["status"] in OPEN and not data["waiting"]:
        yield _at_work(run, bool(data["decided"])) if run["status"] == "running" else "Go on with:"
        yield f"    {typed(session, 'resume', run['run_id'])}"


def _at_work(run: Row, decided: bool) -> str:
    here = run["host"] == socket.gethostname()
    if here and not alive(run["pid"]):
        if decided:
            return "The decision is recorded. Go on with:"
        return "Its process has ended without a result; what it left half changed is put back by whatever goes on:"
    return f"Process {run['pid']} on {run['host']} is at work. When it has ended without a result, go on with:"


def _health(checks: Sequence[Row]) -> str:
    bad = [
        f"{each['name']} ({each['status']}: {output.one_line(each['message'])[:120]})"
        for each in checks
        if each["status"] in ("fail", "warn")
    ]
    return "; ".join(bad) if bad else f"{sum(each['status'] == 'pass' for each in checks)} checks passed"


def diff(
    session: Session,
    run: RunId = None,
    *,
    phase: Annotated[str | None, typer.Option("--phase", metavar="ID", help="Only this phase.")] = None,
) -> None:
    """Show what the phases of a run have changed, or want to change, as a diff."""
    with looked_at(session) as engine:
        row = find_run(engine, run)
        phases = [p for p in engine.read(q.PHASES, {"run": row["run_id"]}) if phase in (None, p["phase_id"])]
        if phase is not None and not phases:
            raise InputError(f"run {row['run_id']} has no phase {phase!r}", hint=typed(session, "show", row["run_id"]))
        outputs = _validated(engine, row["run_id"], [stage(each["phase_index"], "validate") for each in phases])
    found: dict[str, Any] = {}
    for each in phases:
        validated = outputs.get(stage(each["phase_index"], "validate")) or {}
        if validated.get("diff"):
            told = {"status": each["status"], "sha256": validated["sha256"], "diff": validated["diff"]}
            found[each["phase_id"]] = told
    if session.json:
        session.answer(found)
    elif not found:
        output.write("Nothing was changed.")
    else:
        lines: list[str] = []
        for name, each in found.items():
            lines += [f"{name} ({each['status']}), change {each['sha256'][:12]}", *each["diff"].splitlines()]
        talking.page(lines)


def _validated(engine: Engine, run_id: str, stages: Sequence[str]) -> Mapping[str, Any]:
    """What stages gave; each may be looked up by itself only where they are few, for that reads how all of the run stands."""
    return {stages[0]: engine.output(run_id, stages[0])} if len(stages) == 1 else engine.outputs(run_id)


def history(session: Session, run: RunId = None) -> None:
    """List the runs; of one run, everything that happened."""
    with looked_at(session) as engine:
        if run is None:
            _list_runs(session, [_loaded(each) for each in engine.read(q.RUNS, {"most": _MOST_LISTED})])
            return
        row = find_run(engine, run)
        events = [_loaded(each) for each in engine.read(q.EVENTS, {"run": row["run_id"]})]
    table = output.Table(
        ("at", "event", "phase", "about"),
        [(e["created_at"], e["type"], (e["phase_fk"] or "").rpartition("/")[2], e["payload"]) for e in events],
    )
    session.answer(events, table)


def _list_runs(session: Session, runs: Sequence[Row]) -> None:
    columns = ("run_id", "status", "started_at", "total_phases", "successful_phases", "token_usage")
    table = output.Table(
        ("run", "status", "began", "phases", "succeeded", "tokens", "repository"),
        [(*(each[name] for name in columns), each["repo_root"]) for each in runs],
    )
    session.answer(runs, table if runs else "There are no runs yet.")
