"""Commands that look at what builds have done."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from phasegate.apps.build import statements as q
from phasegate.apps.build.cli import talking
from phasegate.apps.build.cli.common import RunId, cost_words, find_run, looked_at, next_steps
from phasegate.apps.build.errors import HistoryError
from phasegate.apps.build.flow import stage
from phasegate.apps.build.stages.common import load
from phasegate.cli import output
from phasegate.cli.session import Session


def show(session: Session, run: RunId = None) -> None:
    """Show a run: its phases, attempts, health before and after, tokens, what was restored, and what waits."""
    with looked_at(session) as engine:
        row = find_run(engine, run)
        where = {"run": row["run_id"]}
        phases, attempts = engine.read(q.PHASES, where), engine.read(q.ATTEMPTS, where)
        checks, changes = engine.read(q.CHECKS, where), engine.read(q.CHANGES, where)
        cost = engine.read(q.COST, where)[0]["cost"]
        waiting = [
            each for each in engine.read(q.APPROVALS) if each["run_id"] == row["run_id"] and each["status"] == "pending"
        ]
    data = {
        "run": dict(row), "phases": [_phase(each) for each in phases], "attempts": [_attempt(each) for each in attempts],
        "changes": [dict(each) for each in changes], "health_checks": [dict(each) for each in checks], "cost": cost,
        "waiting": [dict(each) for each in waiting],
    }  # fmt: skip
    rows = [
        (p["phase_index"], p["phase_id"], p["status"], p["attempts"], p["tokens_used"], p["summary"]) for p in phases
    ]
    tried = [(a["phase_id"], a["attempt_index"] + 1, a["status"], a["model"], a["error_code"]) for a in attempts]
    restored = [c for c in changes if c["state"] == "rolled_back"]
    said = [f"Run {row['run_id']}: {row['status']}, {row['token_usage']} tokens{cost_words(cost)}."]
    said += [f"Health before: {_health(checks, None)}"] if checks else []
    said += [
        f"Health after {a['attempt_id']}: {_health(checks, a['attempt_id'])}"
        for a in attempts
        if _of(checks, a["attempt_id"])
    ]
    said += [f"Restored after attempt {c['attempt_index'] + 1} of {c['phase_id']}: {c['path']}" for c in restored]
    for each in waiting:
        request = {
            "request_id": each["request_id"],
            "run_id": row["run_id"],
            "risk": each["risk_score"],
            "reasons": load(each["reasons_json"]),
        }
        said += next_steps(request)
    session.answer(
        data, output.Table(("", "phase", "status", "attempts", "tokens", "summary"), rows),
        output.Table(("phase", "attempt", "status", "model", "error"), tried), *said,
    )  # fmt: skip


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
            raise HistoryError("E_HISTORY_PHASE", f"run {row['run_id']} has no phase {phase!r}")
        outputs = engine.outputs(row["run_id"])
    found: dict[str, Any] = {}
    for each in phases:
        validated = outputs.get(stage(each["phase_index"], "validate")) or {}
        if validated.get("diff"):
            found[each["phase_id"]] = {
                "status": each["status"],
                "sha256": validated["sha256"],
                "diff": validated["diff"],
            }
    if session.json:
        session.answer(found)
        return
    for name, each in found.items():
        output.write(f"{name} ({each['status']}), change {each['sha256'][:12]}")
        talking.page(each["diff"])
    if not found:
        output.write("nothing was changed")


def history(session: Session, run: RunId = None) -> None:
    """List the runs; of one run, everything that happened."""
    with looked_at(session) as engine:
        if run is None:
            runs = [dict(each) for each in engine.read(q.RUNS, {"most": 1_000})]
            columns = ("run_id", "status", "started_at", "total_phases", "successful_phases", "token_usage")
            session.answer(runs, output.Table(columns, [tuple(each[name] for name in columns) for each in runs]))
            return
        row = find_run(engine, run)
        events = [
            {**each, "payload": load(each["payload_json"])} for each in engine.read(q.EVENTS, {"run": row["run_id"]})
        ]
    rows = [(e["created_at"], e["attempt_fk"] or e["phase_fk"], e["type"], e["payload"]) for e in events]
    session.answer(events, output.Table(("time", "where", "event", "details"), rows))


def _phase(row: Any) -> dict[str, Any]:
    return {
        **row,
        "spec": load(row["spec_json"]),
        "errors": load(row["errors_json"]),
        "result": load(row["result_json"]),
    }


def _attempt(row: Any) -> dict[str, Any]:
    return {**row, "errors": load(row["errors_json"]), "feedback": load(row["feedback_json"])}


def _of(checks: Any, attempt: str | None) -> list[Any]:
    return [each for each in checks if each["attempt_fk"] == attempt]


def _health(checks: Any, attempt: str | None) -> str:
    found = _of(checks, attempt)
    bad = [
        f"{each['name']} ({each['status']}: {output.one_line(each['message'])[:120]})"
        for each in found
        if each["status"] in ("fail", "warn")
    ]
    return "; ".join(bad) if bad else f"{sum(each['status'] == 'pass' for each in found)} checks passed"
