"""Commands that begin, stop and go on with flows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phasegate.apps.discovery.cli import showing, talking
from phasegate.apps.discovery.cli.common import By, Client, Engagement, FlowId, Stay, discovery, flow_of, go_on, report
from phasegate.apps.discovery.service import Discovery
from phasegate.cli import output
from phasegate.cli.session import Session
from phasegate.errors import InputError

Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.")]


def run(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, TSV, JSON, JSON lines, XLSX or Parquet.")],
    *,
    client: Client,
    engagement: Engagement,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What to call it; else the file's name.")] = "",
    category: Annotated[str, typer.Option("--category", metavar="WORD", help="What kind of export.")] = "cmdb_export",
    analysis: Annotated[bool, typer.Option("--analysis", help="Look at dependencies and technical debt, too.")] = False,
    approve_all: Annotated[bool, typer.Option("--approve-all", help="Approve what would be asked.")] = False,
    interactive: Annotated[bool, typer.Option("--interactive", help="Ask here what a person has to decide.")] = False,
    by: By = "",
) -> None:
    """Bring an inventory in, and go on as far as that can be done without a person."""
    if interactive and (session.json or approve_all):
        raise InputError("--interactive excludes --json and --approve-all")
    with discovery(session, client, engagement, by, create=True) as found:
        created = found.create(file, name=name, category=category, configuration={"analysis": analysis})
        found.work()
        if not session.json:
            _tell(found, created.flow_id, created.details["notes"])
        if interactive:
            talking.until_done(found, created.flow_id)
        elif approve_all:
            talking.approve_everything(found, created.flow_id, quiet=session.json)
        report(session, found, created.flow_id, {"data_import_id": created.data_import_id}, counted=True)


def _tell(found: Discovery, flow_id: str, notes: list[str]) -> None:
    output.write(*(f"note: {each}" for each in notes))
    status = found.status(flow_id)
    if status["error_phase"] in ("data_import", "data_validation"):
        return
    report_ = found.profile(flow_id)
    output.write(f"{report_['total_records']:,} records brought in; overall quality {report_['overall']:.0f} of 100")
    mappings = found.mappings(flow_id)
    if mappings:
        output.write(showing.mappings_table(mappings))


def pause(
    session: Session, *, client: Client, engagement: Engagement, flow: FlowId = None, reason: Reason = "", by: By = ""
) -> None:
    """Stop a flow for now."""
    with discovery(session, client, engagement, by) as found:
        flow_id = flow_of(found, flow)
        report(session, found, flow_id, found.pause(flow_id, reason))


def resume(
    session: Session, *, client: Client, engagement: Engagement, flow: FlowId = None, stay: Stay = False, by: By = ""
) -> None:
    """Let a flow go on that was paused or has failed."""
    with discovery(session, client, engagement, by) as found:
        flow_id = flow_of(found, flow)
        go_on(session, found, flow_id, found.resume(flow_id), stay=stay)


def retry(
    session: Session, *, client: Client, engagement: Engagement, flow: FlowId = None, stay: Stay = False, by: By = ""
) -> None:
    """Do the phase again that failed."""
    with discovery(session, client, engagement, by) as found:
        flow_id = flow_of(found, flow)
        go_on(session, found, flow_id, found.retry(flow_id), stay=stay)


def execute(
    session: Session,
    phase: Annotated[str, typer.Argument(metavar="PHASE", help="Such as data_cleansing.")],
    *,
    client: Client,
    engagement: Engagement,
    without: Annotated[
        list[str] | None, typer.Option("--without", metavar="VALIDATOR", help="Leave a validator out; it is audited.")
    ] = None,
    flow: FlowId = None,
    by: By = "",
) -> None:
    """Have one phase done, if it is its turn."""
    with discovery(session, client, engagement, by) as found:
        result = found.execute(flow_of(found, flow), phase, validation_overrides=without or ())
        said = f"{result['phase']}: {result['status']}" + (f": {result['error']}" if result["error"] else "")
        session.answer(result, said)
        if result["status"] == "failed":
            raise typer.Exit(1)


def cancel(
    session: Session, *, client: Client, engagement: Engagement, flow: FlowId = None, reason: Reason = "", by: By = ""
) -> None:
    """End a flow; nothing of it is written afterwards."""
    with discovery(session, client, engagement, by) as found:
        flow_id = flow_of(found, flow)
        report(session, found, flow_id, found.cancel(flow_id, reason))


def delete(
    session: Session, *, client: Client, engagement: Engagement, flow: FlowId = None, reason: Reason = "", by: By = ""
) -> None:
    """Stop a flow and take it out of sight; its assets stay."""
    with discovery(session, client, engagement, by) as found:
        flow_id = flow_of(found, flow)
        report(session, found, flow_id, found.delete(flow_id, reason))
