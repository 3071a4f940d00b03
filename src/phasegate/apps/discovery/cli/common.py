"""What the commands share: whose flow is meant, and telling where it stands."""

from __future__ import annotations

import getpass
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from phasegate.apps.discovery.errors import FlowNotFound
from phasegate.apps.discovery.opening import open_engine
from phasegate.apps.discovery.service import Discovery
from phasegate.apps.discovery.tenancy import Tenant
from phasegate.cli import output
from phasegate.cli.session import Session
from phasegate.database import check_prepared

Client = Annotated[str, typer.Option("--client", metavar="ACCOUNT", help="The client account.")]
Engagement = Annotated[str, typer.Option("--engagement", metavar="NAME", help="The engagement.")]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who does it; without it, your login name.")]
FlowId = Annotated[str | None, typer.Option("--flow", metavar="ID", help="Which flow; without it, the latest.")]
Stay = Annotated[bool, typer.Option("--stay", help="Record it, and do not go on working.")]
#: As far as anybody counts; databases count no further than their whole numbers go.
MOST = 10**12
Limit = Annotated[int, typer.Option("--limit", min=1, max=MOST, metavar="N", help="How many at most.")]

#: What to type next, by what a flow waits for.
_NEXT = {
    "data_validation": "phasegate discovery decide-data {who} --decide COLUMN=truncate (or split, skip, keep)",
    "cleansing_decisions": "phasegate discovery decide-data {who} --decide COLUMN=truncate (or split, skip, keep)",
    "field_mapping": "phasegate discovery approve {who} (or reject COLUMN, edit COLUMN FIELD)",
    "asset_preview": "phasegate discovery preview {who}; phasegate discovery approve {who}",
    "conflict_resolution": "phasegate discovery conflicts {who}; phasegate discovery resolve {who} --all keep_existing",
}  # fmt: skip


@contextmanager
def discovery(
    session: Session, client: str, engagement: str, by: str = "", *, create: bool = False
) -> Iterator[Discovery]:
    """The tenant's flows. A database that does not exist, or is something else, is refused unless it may be created."""
    tenant = Tenant(client, engagement, by or getpass.getuser())
    if not create:
        check_prepared(session.address)
    with open_engine(session.address) as engine:
        yield Discovery(engine, tenant)


def flow_of(found: Discovery, flow_id: str | None) -> str:
    """The flow that is meant: the one named, or the tenant's latest. Raises ``FlowNotFound``."""
    if flow_id is not None:
        return flow_id
    flows = found.flows(limit=1)
    if not flows:
        raise FlowNotFound(
            "this tenant has no flow", hint="phasegate discovery run FILE --client ACCOUNT --engagement NAME begins one"
        )
    return str(flows[0]["flow_id"])


def report(session: Session, found: Discovery, flow_id: str, told: Mapping[str, Any] | None = None) -> None:
    """Where a flow stands, and what a person can do next. Ends the command with 1 when it has failed."""
    status = found.status(flow_id)
    data = {**(told or {}), "flow": status}
    session.answer(data, *_lines(found, status))
    if status["status"] == "failed":
        raise typer.Exit(1)


def _lines(found: Discovery, status: Mapping[str, Any]) -> list[str]:
    said = f"{status['flow_name']}: {status['operational_status']}, {status['progress_percentage']:g} %"
    phase = f", {status['current_phase']}" if status["current_phase"] else ""
    lines = [said + phase + _records(status["phase_state"])]
    if status["error_message"]:
        lines.append(f"{status['error_phase']}: {status['error_message']}")
    waits = status["phase_state"].get("waits_for")
    details = found.status(status["flow_id"], details=True)
    lines += [f"{phase}: warning of {each}" for phase, remarks in details["warnings"].items() for each in remarks]
    if waits == "asset_preview":
        lines.append(_cleansed(details["cleansing"]))
    if waits:
        client, engagement = map(shlex.quote, found.tenant.key)
        who = f"--client {client} --engagement {engagement}"
        lines.append(f"waits for {waits}: {_NEXT[waits].format(who=who)}")
    if status["status"] == "completed":
        counts = found.assets_by_type()
        lines.append(f"{sum(counts.values())} assets: " + ", ".join(f"{n} {kind}" for kind, n in counts.items()))
    return lines


def _records(state: Mapping[str, Any]) -> str:
    """How far a step is that goes through the records; nothing of a state in which none is."""
    if "done" not in state:
        return ""
    total = f" of {state['total']:,}" if state["total"] else ""
    return f", {state['done']:,}{total} records in {state['step']}"


def _cleansed(told: Mapping[str, Any]) -> str:
    quality = told["quality_metrics"]
    return (
        f"{told['cleaned_count']:,} rows cleansed with {told['warnings']:,} warnings; "
        f"quality {quality['overall']:.0f} of 100 ({quality['band']})"
    )


def go_on(session: Session, found: Discovery, flow_id: str, told: Mapping[str, Any], *, stay: bool) -> None:
    """Do what can be done now, unless it is only to be recorded, and report."""
    if not stay:
        found.work()
    report(session, found, flow_id, told)


def table(columns: tuple[str, ...], rows: list[tuple[Any, ...]], nothing: str) -> output.Table | str:
    """A table, or a sentence when there is nothing in it."""
    return output.Table(columns, rows) if rows else nothing
