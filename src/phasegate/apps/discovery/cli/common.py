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

#: What became of the rows of an approved preview, as the inventory counts it, and as people are told.
_MADE = {
    "created": "created",
    "duplicates": "met one that is there",
    "failed": "failed",
    "not_approved": "not approved",
}
#: What to type next, by what a flow waits for.
_NEXT = {
    "data_validation": "phasegate discovery decide-data {who} --decide COLUMN=truncate (or split, skip, keep)",
    "cleansing_decisions": "phasegate discovery decide-data {who} --decide COLUMN=truncate (or split, skip, keep)",
    "field_mapping": "phasegate discovery approve {who} (or reject COLUMN, edit COLUMN FIELD)",
    "asset_preview": "phasegate discovery preview {who}; phasegate discovery approve {who} --all (or ID ...)",
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


def who_of(found: Discovery) -> str:
    """The options that name the tenant, as they are typed."""
    client, engagement = map(shlex.quote, found.tenant.key)
    return f"--client {client} --engagement {engagement}"


def outputs_of(found: Discovery, flow_id: str) -> Mapping[str, Any]:
    """What the steps of a flow have come to, by their names."""
    return found.engine.outputs(found.flow(flow_id).run.id, tenant=found.tenant.name)


def made_of(found: Discovery, flow_id: str) -> dict[str, int] | None:
    """What became of the rows of the preview: created, duplicates, failed, not approved; None while that is not known."""
    output = outputs_of(found, flow_id).get("asset_inventory")
    if not isinstance(output, Mapping) or "assets_created" not in output:
        return None
    return {name: output.get(f"assets_{name}", 0) for name in _MADE}


def part(shown: int, total: int | None, how: str) -> list[str]:
    """A line that says that not all are shown, and what shows more; none when they are."""
    if total is not None and shown >= total:
        return []
    return [
        f"{shown:,} of {total:,}; {how} shows more" if total is not None else f"{shown:,} are shown; {how} shows more"
    ]


def report(
    session: Session, found: Discovery, flow_id: str, told: Mapping[str, Any] | None = None, *, counted: bool = False
) -> None:
    """Where a flow stands, and what a person can do next. Ends the command with 1 when it has failed.

    ``counted`` also tells what became of the rows of its preview.
    """
    status = found.status(flow_id)
    made = made_of(found, flow_id) if counted else None
    data = {**(told or {}), **({"assets": made} if made is not None else {}), "flow": status}
    said = [", ".join(f"{made[name]:,} {word}" for name, word in _MADE.items())] if made is not None else []
    session.answer(data, *said, *_lines(found, status))
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
        lines += _waiting(found, status, waits)
    if status["operational_status"] == "paused":
        lines.append(f"it is paused: phasegate discovery resume {who_of(found)} lets it go on")
    if status["status"] == "completed":
        counts = found.assets_by_type()
        lines.append(f"{sum(counts.values())} assets: " + ", ".join(f"{n} {kind}" for kind, n in counts.items()))
    return lines


def _waiting(found: Discovery, status: Mapping[str, Any], waits: str) -> list[str]:
    """What the flow waits for, and what to type; what was shown, to which a decision can be bound."""
    who, seen = who_of(found), status["phase_state"].get("seen")
    lines = [f"waits for {waits}: {_NEXT[waits].format(who=who)}"]
    if waits == "field_mapping":
        proposal = found.proposal(status["flow_id"])
        lines += proposal["problems"]
        if not proposal["remaining"] and not proposal["problems"]:
            lines = [f"every column is decided on: phasegate discovery resume {who} goes on"]
    binds = bool(seen) and waits != "conflict_resolution"  # each conflict is decided on by its own id
    return [*lines, *([f"seen: {seen}"] if binds else [])]


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


def go_on(
    session: Session, found: Discovery, flow_id: str, told: Mapping[str, Any], *, stay: bool, counted: bool = False
) -> None:
    """Do what can be done now, unless it is only to be recorded, and report."""
    if not stay:
        found.work()
    report(session, found, flow_id, told, counted=counted)


def table(columns: tuple[str, ...], rows: list[tuple[Any, ...]], nothing: str) -> output.Table | str:
    """A table, or a sentence when there is nothing in it."""
    return output.Table(columns, rows) if rows else nothing
