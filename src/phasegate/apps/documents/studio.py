"""Where a project's documents are made: its definition, the folder of its prompts, and the model, as one run remembers them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from phasegate import Engine, Flow, Registry, Run
from phasegate import database as databases
from phasegate.apps.documents.building import build_flow, executors_of, prepare, version_of
from phasegate.apps.documents.definition.loader import WorkflowLoader
from phasegate.apps.documents.definition.models import Workflow
from phasegate.apps.documents.digests import digest
from phasegate.apps.documents.errors import WorkflowError
from phasegate.apps.documents.executors import Executors, remembered
from phasegate.apps.documents.gates.clarification import ClarificationGate
from phasegate.apps.documents.gates.qa import QAGate
from phasegate.apps.documents.projects import DEFINITION, subject
from phasegate.apps.documents.prompts import PromptLoader
from phasegate.apps.documents.run_documents import GIVEN
from phasegate.apps.documents.spending import budgets
from phasegate.apps.documents.statements import REMEMBER_STUDIO
from phasegate.apps.documents.step_executor import StepExecutor
from phasegate.apps.documents.tables import SCHEMA
from phasegate.apps.prepared import prepared
from phasegate.errors import did_you_mean
from phasegate.llm import Client, Prices, open_client
from phasegate.llm.budget import Budgets

#: Answers a step may ask for at most, whatever it says itself.
MOST_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Studio:
    """What the steps of a project need beside the database. Paths are absolute, so that any later call finds them.

    ``models`` are tried in their order; ``replay`` is a folder of recorded answers to use instead, ``record`` one to fill;
    ``budgets`` are the limits on what they may cost.
    """

    prompts: str
    models: tuple[str, ...] = ()
    replay: str | None = None
    record: str | None = None
    prices: str | None = None
    budgets: Budgets | None = None

    def client(self) -> Client:
        """The model. Raises ``WorkflowError`` when none is named."""
        if not self.models and self.replay is None:
            raise WorkflowError(
                "no model is named", hint="--model provider:name, or --replay FOLDER with recorded answers"
            )
        return open_client(self.models or ("replay",), record=self.record, replay=self.replay)

    def executor(self, client: Client | None = None) -> StepExecutor:
        """What executes the steps, with a client of the caller's own if there is one."""
        prompts = Path(self.prompts)
        prices = Prices.load(self.prices) if self.prices else None
        return StepExecutor(
            PromptLoader(prompts), ClarificationGate(), QAGate(prompts.parent / "schemas"), client or self.client(),
            MOST_ATTEMPTS, prices=prices, models=self.models,
        )  # fmt: skip

    def with_options(self, **given: Any) -> Studio:
        """This one with what was given this time; a model that is named now is asked instead of a recording."""
        named = {name: value for name, value in given.items() if value}
        if ("models" in named or "record" in named) and "replay" not in named:
            named["replay"] = None
        return replace(self, **named)

    def told(self) -> dict[str, Any]:
        """What a run's input remembers of it; a recording is of one call only."""
        return {
            "prompts": self.prompts, "models": list(self.models), "replay": self.replay, "prices": self.prices,
            "budgets": self.budgets.to_dict() if self.budgets else None,
        }  # fmt: skip

    @classmethod
    def of(cls, engine: Engine, run: Run) -> Studio:
        """The one that a run remembers."""
        return cls.from_told(remembered(engine.read, run))

    @classmethod
    def from_told(cls, told: Mapping[str, Any]) -> Studio:
        """The inverse of ``told``."""
        limits = Budgets.from_dict(told["budgets"]) if told.get("budgets") else None
        return cls(told["prompts"], tuple(told["models"]), told["replay"], None, told["prices"], limits)


def read_definition(path: Path) -> dict[str, Any]:
    """The definition in a file, checked. Raises ``WorkflowLoadError`` with every problem."""
    WorkflowLoader().load(path)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8-sig"))
    return found


def check_prompts(workflow: Workflow, studio: Studio) -> None:
    """Raises ``PromptNotFoundError`` when a prompt of the definition is missing: better before anything is paid for."""
    prompts = PromptLoader(Path(studio.prompts))
    for step in workflow.get_production_steps():
        prompts.load_role(step.role or "")
        prompts.load_task(step.task_prompt or "")


def flow_for(workflow: Workflow) -> Flow:
    """The flow of a definition, each of its projects with the prompts and the model that its run remembers: for workers."""
    return build_flow(workflow, Executors(workflow, lambda told: Studio.from_told(told).executor()))


def start(
    engine: Engine, definition: Mapping[str, Any], project: str, studio: Studio, documents: Mapping[str, Any] | None = None,
    *, again: bool = False, by: str = "", executor: StepExecutor | None = None,
) -> Run:  # fmt: skip
    """The run of a project, begun when there is none; ``executor`` stands in for the studio's own.

    It is made in this studio from now on, also when it was begun with another, and keeps to its budgets; a limit that a person
    has raised stays raised as long as the same one is configured again.

    Raises ``WorkflowError`` when the project follows another definition, when the budgets do not fit it, and when ``documents``
    are given that it cannot have: of a type that there is not or that a step writes, or others than those it was begun with.
    """
    workflow = WorkflowLoader().load_dict(dict(definition))
    _check_given(workflow, documents or {})
    executor = executor or studio.executor()
    if studio.budgets is not None:
        budgets.check(studio.budgets, workflow, executor.models, executor.prices)
    flow = engine.registry.known(workflow.workflow_id, version_of(workflow)) or flow_for(workflow)
    executors_of(flow).use(project, executor)
    given = {DEFINITION: definition, GIVEN: dict(documents or {}), "studio": studio.told()}
    run = engine.start(flow, subject(project), input=given, again=again, by=by)
    if run.version != flow.version:
        raise WorkflowError(
            f"project {project!r} follows another revision of {workflow.workflow_id!r}",
            hint="--again begins it anew with this one once it has ended; phasegate cancel ends it",
        )
    if documents and run.input[GIVEN] != dict(documents):
        raise WorkflowError(
            f"project {project!r} was begun with other documents", hint="--again begins it anew once it has ended"
        )
    if digest(remembered(engine.read, run)) != digest(studio.told()):
        engine.write([(REMEMBER_STUDIO, {"run": run.id, "told": json.dumps(studio.told())})])
    return run if studio.budgets is None else budgets.configure(engine, run, studio.budgets, workflow, by=by)


def _check_given(workflow: Workflow, documents: Mapping[str, Any]) -> None:
    writers = {step.produces: step.step_id for step in workflow.get_production_steps()}
    for doc_type in documents:
        if doc_type not in workflow.document_types:
            raise WorkflowError(
                f"the workflow has no document type {doc_type!r}", hint=did_you_mean(doc_type, workflow.document_types)
            )
        if doc_type in writers:
            raise WorkflowError(
                f"document {doc_type!r} cannot be given: step {writers[doc_type]!r} writes it",
                hint="take the step out of the definition to work with a document of your own",
            )


def open_engine(database: str | None, tenant: str | None) -> Engine:
    """An engine on a database in which the tables of documents exist then; calls of models keep to their budgets."""
    return prepared(Engine(databases.address(database), Registry(schemas=[SCHEMA]), tenant=tenant), prepare)
