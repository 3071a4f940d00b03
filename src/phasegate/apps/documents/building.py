"""A definition with everything its steps need, as a registry that an engine can work with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from phasegate import Engine, Flow, Registry
from phasegate.apps.documents.definition.models import Workflow, WorkflowStep
from phasegate.apps.documents.digests import digest
from phasegate.apps.documents.flow import flow_of
from phasegate.apps.documents.phases import ListItems, Produce
from phasegate.apps.documents.run_documents import Layout
from phasegate.apps.documents.spending.ledger import Ledger
from phasegate.apps.documents.step_executor import StepExecutor
from phasegate.apps.documents.tables import SCHEMA, metadata


def version_of(workflow: Workflow) -> int:
    """The version of the flow of a definition: a number made of all it says, so that another definition is another version."""
    return 1 + int(digest(as_data(workflow))[:7], 16)


def as_data(workflow: Workflow) -> Any:
    """A definition as JSON, for comparison only."""
    from dataclasses import asdict

    return asdict(workflow)


def build_flow(workflow: Workflow, executor: StepExecutor) -> Flow:
    """The flow of a definition, its steps executed by ``executor``."""
    layout = Layout(workflow)
    for name, document in workflow.document_types.items():
        if isinstance(document.schema, str):
            executor.qa.register_schema(name, document.schema)

    def make(step: WorkflowStep) -> Callable[..., Any]:
        return ListItems(layout, step) if step.is_iteration else Produce(layout, step, executor)

    return flow_of(workflow, version_of(workflow), make)


def build_registry(workflow: Workflow, executor: StepExecutor) -> Registry:
    """A registry with the flow of one definition."""
    return Registry(build_flow(workflow, executor), schemas=[SCHEMA])


def prepare(engine: Engine) -> None:
    """Have an engine make documents: the tables exist then, and calls keep to budgets."""
    engine.create_tables(metadata)
    engine.registry.deps = Ledger(engine)
