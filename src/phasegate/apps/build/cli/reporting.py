"""The report on a run: its phases, health, tokens and cost, and what a person can type next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from phasegate import Engine
from phasegate.apps.build import statements as q
from phasegate.apps.build.cli.common import typed
from phasegate.cli import output
from phasegate.cli.session import Session


def report(session: Session, engine: Engine, result: Mapping[str, Any]) -> None:
    """What became of a run; ends the command with 1 when it has failed."""
    cost = engine.read(q.COST, {"run": result["run_id"]})[0]["cost"]
    session.answer({**result, "cost": cost}, *_lines(session, result, cost))
    if result["status"] not in ("succeeded", "awaiting_approval"):
        raise typer.Exit(1)


def _lines(session: Session, result: Mapping[str, Any], cost: float | None) -> list[str | output.Table]:
    rows = [
        (
            each["phase_id"], each["status"], each["retry_count"] + 1, ", ".join(each["files_changed"]),
            health_words(each["health"]), each["token_usage"],
        )
        for each in result["phase_results"]
    ]  # fmt: skip
    table = output.Table(("phase", "status", "attempts", "files", "health", "tokens"), rows)
    said = [f"Run {result['run_id']}: {result['status']}, {spent_words(result['token_usage'], cost)}."]
    for each in result["phase_results"]:
        waits = each["status"] == "awaiting_approval"
        said += [f"{each['phase_id']}: {error}" for error in each["errors"] if not waits]
        said += [f"{each['phase_id']}: warning: {warning}" for warning in each["warnings"]]
        if waits and each["approval"]:
            said += next_steps(session, each["approval"])
    left = result["total_phases"] - len(result["phase_results"])
    if left:
        said.append(f"{left} of {result['total_phases']} phases {'was' if left == 1 else 'were'} not begun.")
    if result["status"] == "interrupted":
        said.append(f"Go on with: {typed(session, 'resume', result['run_id'])}")
    return [table, *said]


def next_steps(session: Session, request: Mapping[str, Any]) -> list[str]:
    """What a person can type about a change that waits."""
    id = request["request_id"]
    return [
        f"The change waits for approval (risk {request['risk']}: {'; '.join(request['reasons'])}):",
        f"    {typed(session, 'diff', request['run_id'], '--phase', request['phase_id'])}",
        f"    {typed(session, 'approve', id, '--by', 'NAME')}",
        f"    {typed(session, 'reject', id, '--by', 'NAME', '--comment', 'WHY')}",
    ]


def health_words(health: Mapping[str, Any] | None) -> str:
    """A health in a word or two."""
    if health is None:
        return ""
    bad = [each["name"] for each in health["checks"] if each["status"] == "fail"]
    if not health["passed"]:
        return f"failed: {', '.join(bad) or 'a criterion'}"
    doubtful = [each["name"] for each in health["checks"] if each["status"] == "warn"] + bad
    return f"healthy, with warnings: {', '.join(doubtful)}" if doubtful else "healthy"


def tests_words(reports: Mapping[str, Any]) -> list[str]:
    """What the test commands said, one line each, by the reports that a baseline keeps."""
    return [f"{name}: {_report_words(report)}" for name, report in sorted(reports.items())]


def _report_words(report: Mapping[str, Any]) -> str:
    if report["missing"] is not None:
        return str(report["missing"])
    if report["timed_out"]:
        return "did not end in time"
    if report["runner"] == "unknown":
        return f"ended with exit code {report['exit']}"
    bad = len(report["failing"]) + len(report["collection"])
    count = report["collected"]
    return f"{count} test{'' if count == 1 else 's'}, {bad or 'none'} failing"


def spent_words(tokens: int, cost: float | None) -> str:
    """Tokens, and what they cost if anybody knows it."""
    return f"{tokens:,} tokens{cost_words(cost)}"


def cost_words(cost: float | None) -> str:
    """A cost, if anybody knows it."""
    return "" if cost is None else f", {cost:.4f} USD"
