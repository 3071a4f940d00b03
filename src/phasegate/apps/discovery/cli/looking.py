"""Commands that look: flows, data, mappings, assets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phasegate.apps.discovery.cli import showing
from phasegate.apps.discovery.cli.common import (
    MOST,
    Client,
    Engagement,
    FlowId,
    Limit,
    discovery,
    flow_of,
    outputs_of,
    part,
    report,
    table,
)
from phasegate.cli.session import Session


def status(session: Session, *, client: Client, engagement: Engagement, flow: FlowId = None) -> None:
    """Show where a flow stands, and what it waits for."""
    with discovery(session, client, engagement) as found:
        flow_id = flow_of(found, flow)
        report(session, found, flow_id, {"details": found.status(flow_id, details=True)})


def flows(session: Session, *, client: Client, engagement: Engagement, limit: Limit = 50) -> None:
    """List the tenant's flows, latest first."""
    with discovery(session, client, engagement) as found:
        rows = found.flows(limit)
    names = ("flow_id", "flow_name", "status", "current_phase", "progress_percentage", "updated_at")
    session.answer(
        {"flows": rows}, table(names, [tuple(row[n] for n in names) for row in rows], "this tenant has no flow")
    )


def profile(session: Session, *, client: Client, engagement: Engagement, flow: FlowId = None) -> None:
    """Show what the data looks like: completeness, lengths, what was found."""
    with discovery(session, client, engagement) as found:
        data = found.profile(flow_of(found, flow))
    session.answer(data, *showing.profile_parts(data))


def skipped(
    session: Session, *, client: Client, engagement: Engagement, flow: FlowId = None, limit: Limit = 100
) -> None:
    """List the records that could not be brought in, each with its reason."""
    with discovery(session, client, engagement) as found:
        flow_id = flow_of(found, flow)
        rows = found.skipped(flow_id, limit)
        total = sum(found.status(flow_id, details=True)["import_metadata"]["skipped"].values())
    told = [(row["line"], row["reason"], row["sample"]) for row in rows]
    shown = table(("line", "reason", "sample"), told, "nothing was left out")
    session.answer({"skipped": rows, "total": total}, shown, *part(len(rows), total, "--limit N"))


def mappings(session: Session, *, client: Client, engagement: Engagement, flow: FlowId = None) -> None:
    """Show which column is for which field, and how sure that is."""
    with discovery(session, client, engagement) as found:
        told = found.proposal(flow_of(found, flow))
    rows, seen = told["mappings"], told["seen"]
    session.answer({"mappings": rows, "seen": seen}, showing.mappings_table(rows), *([f"seen: {seen}"] if seen else []))


def preview(
    session: Session,
    *,
    client: Client,
    engagement: Engagement,
    after: Annotated[int, typer.Option("--after", min=0, max=MOST, metavar="ROW", help="Rows behind this one.")] = 0,
    limit: Limit = 100,
    flow: FlowId = None,
) -> None:
    """Show the assets that would be made."""
    with discovery(session, client, engagement) as found:
        flow_id = flow_of(found, flow)
        seen = found.status(flow_id)["phase_state"].get("seen")  # before the rows: what changes meanwhile was not seen
        rows = found.preview(flow_id, after=after, limit=limit + 1)
        total = (outputs_of(found, flow_id).get("asset_preview") or {}).get("preview_count")
    shown = rows[:limit]
    more = part(len(shown), total, "--limit N") if len(rows) > limit else []
    data = {"assets": shown, "total": total, "seen": seen}
    session.answer(data, showing.preview_table(shown), *more, *([f"seen: {seen}"] if seen else []))


def conflicts(
    session: Session,
    *,
    client: Client,
    engagement: Engagement,
    pending: Annotated[bool, typer.Option("--pending", help="Only those nobody has decided on.")] = False,
    flow: FlowId = None,
) -> None:
    """Show the rows that met an asset."""
    with discovery(session, client, engagement) as found:
        rows = found.conflicts(flow_of(found, flow), pending=pending)
    session.answer({"conflicts": rows}, showing.conflicts_table(rows))


def assets(
    session: Session,
    *,
    client: Client,
    engagement: Engagement,
    kind: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only assets of this type.")] = None,
    limit: Limit = 100,
    offset: Annotated[int, typer.Option("--offset", min=0, max=MOST, metavar="N", help="Pass over so many.")] = 0,
) -> None:
    """List the inventory."""
    with discovery(session, client, engagement) as found:
        rows = found.assets(asset_type=kind, limit=limit, offset=offset)
        counts = found.assets_by_type()
    said = f"{sum(counts.values())} assets: " + ", ".join(f"{n} {each}" for each, n in counts.items())
    session.answer({"assets": rows, "by_type": counts}, showing.assets_table(rows), *([said] if counts else []))


def dependencies(session: Session, *, client: Client, engagement: Engagement) -> None:
    """List what depends on what."""
    with discovery(session, client, engagement) as found:
        rows = found.dependencies()
    names = ("source_id", "target_id", "dependency_type", "confidence", "description")
    told = [tuple(row[n] for n in names) for row in rows]
    session.answer({"dependencies": rows}, table(names, told, "no dependency is known"))


def debts(session: Session, *, client: Client, engagement: Engagement) -> None:
    """List the technical debt of assets."""
    with discovery(session, client, engagement) as found:
        rows = found.debts()
    names = ("asset_id", "kind", "severity", "message", "remediation")
    session.answer({"debts": rows}, table(names, [tuple(row[n] for n in names) for row in rows], "no debt is known"))


def export(
    session: Session,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="Where the CSV file goes.")],
    *,
    client: Client,
    engagement: Engagement,
) -> None:
    """Write the inventory into a CSV file that is safe to open in a spreadsheet."""
    with discovery(session, client, engagement) as found:
        count = found.export(to)
    session.answer({"file": to, "assets": count}, f"{count} assets written to {to}")


def audit(session: Session, *, client: Client, engagement: Engagement, flow: FlowId = None, limit: Limit = 100) -> None:
    """List what was asked for, by whom, and whether it was done."""
    with discovery(session, client, engagement) as found:
        rows = found.audit(flow, limit)
    names = ("created_at", "user_id", "operation", "flow_id", "success", "error")
    session.answer(
        {"audit": rows}, table(names, [tuple(row[n] for n in names) for row in rows], "nothing was asked for")
    )
