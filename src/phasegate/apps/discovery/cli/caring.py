"""Commands that tell how well flows are, and put right what is not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from phasegate.apps.discovery.cli.common import By, Client, Engagement, Stay, discovery, table, who_of
from phasegate.apps.discovery.rules.health import Health
from phasegate.cli import output
from phasegate.cli.session import Session

#: Classes with which the command fails, so that whatever calls it regularly hears of them.
_ILL = frozenset({Health.CRITICAL.value, Health.HANGING.value, Health.FAILED.value})
#: A command of this application in a sentence, as far as the word that says what it does.
_COMMAND = re.compile(r"phasegate discovery [a-z-]+")
_COLUMNS = ("flow_id", "flow_name", "health", "current_phase", "why", "next")


def health(
    session: Session,
    *,
    client: Client,
    engagement: Engagement,
    every: Annotated[bool, typer.Option("--all", help="Show flows that are well, too.")] = False,
) -> None:
    """Show how well the flows are, why, and what to do next.

    Exit codes: 0 all of them are well or slow, 1 one is critical, hanging or has failed.
    """
    with discovery(session, client, engagement) as found:
        told = _with_tenant(found.health(), who_of(found))
    session.answer(told, *_parts(told, every=every))
    if told["health"] in _ILL:
        raise typer.Exit(1)


def _with_tenant(told: Mapping[str, Any], who: str) -> dict[str, Any]:
    """The same, with the commands that it advises as they have to be typed for this tenant."""
    flows = [{**each, "next": _named(each["next"], who)} for each in told["flows"]]
    return {**told, "flows": flows}


def _named(advice: str | None, who: str) -> str | None:
    return advice and _COMMAND.sub(lambda found: f"{found[0]} {who}", advice)


def _parts(told: Mapping[str, Any], *, every: bool) -> list[str | output.Table]:
    counts, workers, metrics = told["counts"], told["workers"], told["metrics"]
    said = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "there is no flow"
    parts: list[str | output.Table] = [
        f"{told['health']}: {said}; workers: {workers['living']} living, {workers['lost']} lost"
    ]
    shown = [each for each in told["flows"] if every or each["health"] != Health.HEALTHY.value]
    if shown:
        parts.append(output.Table(_COLUMNS, [tuple(each[name] for name in _COLUMNS) for each in shown]))
    parts += [f"{each['why']}: {each['next']}" for each in told["alarms"]]
    columns = ("flows", "attempts", "failed", "mean_seconds", "longest_seconds")
    rows = [(phase, *(each[name] for name in columns)) for phase, each in metrics["phases"].items()]
    if rows:
        parts.append(output.Table(("phase", *columns), rows, f"The latest {metrics['measured_flows']} flows"))
    agents = told["agents"]
    if agents is not None:
        parts.append(f"agents: {agents['agents']}, {agents['requests']} requests, {agents['errors']} errors")
    return parts


def repair(
    session: Session,
    *,
    client: Client,
    engagement: Engagement,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Try again what has failed, and repeat what nothing comes of.")
    ] = False,
    stay: Stay = False,
    by: By = "",
) -> None:
    """Take over from dead workers, write rows from the log that are not what it says, and go on.

    Exit codes: 0 everything was done, 1 something could not be.
    """
    with discovery(session, client, engagement, by) as found:
        told = found.repair(dry_run=dry_run, again=again)
        if not (stay or dry_run):
            found.work()
    columns = ("flow_id", "action", "why", "done", "error")
    rows = [tuple(each[name] for name in columns) for each in told["actions"]]
    freed = [f"{told['freed_workers']} dead workers held flows no longer"] if told["freed_workers"] else []
    session.answer(told, table(columns, rows, "there is nothing to repair"), *freed)
    if any(each["error"] for each in told["actions"]):
        raise typer.Exit(1)
