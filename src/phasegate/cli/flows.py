"""The flows: a list, one in full, or one as a drawing."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from phasegate.cli import naming
from phasegate.cli.output import Table
from phasegate.cli.session import Session
from phasegate.core.diagram import flow_diagram
from phasegate.core.flow import Flow, Phase
from phasegate.core.flowdata import flow_data
from phasegate.errors import UsageError


def flows(
    session: Session,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One flow, as name or name@version.")] = None,
    draw: Annotated[bool, typer.Option("--mermaid", help="Draw the flow as a Mermaid diagram.")] = False,
) -> None:
    """List the flows that the database knows, or show one."""
    if draw and name is None:
        raise UsageError("which flow is to be drawn?", hint="phasegate flows NAME --mermaid")
    with session.engine() as engine:
        known = engine.flows() if name is None else [naming.find_flow(engine, name)]
    data: dict[str, Any] = {"flows": [flow_data(flow) for flow in known]}
    if draw:
        data["mermaid"] = flow_diagram(known[0])
        session.answer(data, data["mermaid"])
    elif name is not None:
        session.answer(data, f"flow {known[0].name}, version {known[0].version}", "", _phases(known[0]))
    elif known:
        session.answer(data, Table(("flow", "version", "phases", "gates"), [_summary(flow) for flow in known]))
    else:
        session.answer(data, "No flows.")


def _summary(flow: Flow) -> tuple[Any, ...]:
    return flow.name, flow.version, len(flow.phases), ", ".join(phase.name for phase in flow.phases if phase.gate)


def _phases(flow: Flow) -> Table:
    rows = [
        (phase.label, phase.name, _kind(phase), ", ".join(phase.needs), phase.each, _pairs(phase.when),
         _pairs(phase.redo), phase.title)
        for phase in (flow.by_name[name] for name in flow.order)
    ]  # fmt: skip
    return Table(("label", "phase", "kind", "needs", "each", "when", "goes back", "title"), rows)


def _kind(phase: Phase) -> str:
    if phase.gate:
        return "gate"
    return "batch" if phase.batch else "function"


def _pairs(mapping: Any) -> str:
    return ", ".join(
        f"{key}: {value if isinstance(value, str) else ' or '.join(value)}" for key, value in mapping.items()
    )
