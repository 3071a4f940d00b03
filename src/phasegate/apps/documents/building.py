"""A definition with everything its steps need, as a registry that an engine can work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from phasegate import Engine, Flow
from phasegate.apps.documents.definition.models import Workflow, WorkflowStep
from phasegate.apps.documents.digests import digest
from phasegate.apps.documents.executors import Executors
from phasegate.apps.documents.flow import UNBOUNDED, flow_of
from phasegate.apps.documents.layout import Layout
from phasegate.apps.documents.phases import ListItems, Produce
from phasegate.apps.documents.spending.ledger import Ledger
from phasegate.apps.documents.tables import metadata


def version_of(workflow: Workflow) -> int:
    """The version of the flow of a definition: a number made of all it says, so that another definition is another version."""
    return 1 + int(digest(asdict(workflow))[:7], 16)


def build_flow(workflow: Workflow, executors: Executors) -> Flow:
    """The flow of a definition."""
    layout = Layout(workflow)

    def make(step: WorkflowStep) -> Callable[..., Any]:
        return ListItems(layout, step) if step.is_iteration else Produce(layout, step, executors)

    return flow_of(workflow, version_of(workflow), make, UNBOUNDED)


def executors_of(flow: Flow) -> Executors:
    """The executors that the steps of a flow ask for; ``flow`` is one that ``build_flow`` made."""
    return next(phase.run.executors for phase in flow.phases if isinstance(phase.run, Produce))


def prepare(engine: Engine) -> None:
    """Have an engine make documents: the tables exist then, and calls keep to budgets."""
    engine.create_tables(metadata)
    engine.registry.deps = Ledger(engine)
