"""A project's documents: which there are, which of them wait for a person, what came of them. Looking and deciding, on an engine.

A project is the subject of a run. The definition it follows stands in the run's input: whoever has the database can go on.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from phasegate import Engine, PhaseRun, PhaseStatus, Run, RunStatus, Subject
from phasegate.apps.documents.definition.loader import WorkflowLoader
from phasegate.apps.documents.definition.models import Workflow, WorkflowStep
from phasegate.apps.documents.errors import AcceptanceError, ClarificationError, WorkflowError
from phasegate.apps.documents.flow import gate_name, is_gate
from phasegate.apps.documents.gates.answers import validate_answers
from phasegate.apps.documents.layout import Layout
from phasegate.apps.documents.spending import budgets
from phasegate.apps.documents.spending.budgets import BUDGET, is_about_budget
from phasegate.apps.documents.statements import DOCUMENTS
from phasegate.apps.documents.states.step_state import StepState
from phasegate.core.run import Scope
from phasegate.errors import Stale

#: The kind of subject that a project is.
KIND = "project"
#: Where a run's input has the definition.
DEFINITION = "workflow"


@dataclass(frozen=True, slots=True)
class Document:
    """One version of a document. ``path`` is where it belongs, as in ``track=t1``; ``latest`` whether it is the one that
    counts; ``accepted_by`` who accepted it, empty when nobody has or need."""

    doc_type: str
    path: str
    step: str
    scope: Scope
    version: int
    sha256: str
    latest: bool
    accepted_by: tuple[str, ...]
    row: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What people call it: ``talk_list[track=t1]``."""
        return named(self.doc_type, self.path)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a person has to do: accept a document (``shown`` is what the decision is bound to), or answer ``questions``.

    ``kind`` is ``acceptance``, ``clarification`` when the model asks, or ``budget`` when a call has no room in one:
    ``budget`` says then of whose (``per``, ``unit``), the ``limit``, what is ``spent``, ``reserved``, and asked for the ``next``.
    """

    kind: str
    step: str
    scope: Scope
    doc_type: str
    path: str
    roles: tuple[str, ...] = ()
    shown: str | None = None
    questions: tuple[Mapping[str, Any], ...] = ()
    budget: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """What people call it: ``talk_list[track=t1]``."""
        return named(self.doc_type, self.path)


def named(doc_type: str, path: str) -> str:
    """The name of a document: its type, and where it belongs."""
    return f"{doc_type}[{path}]" if path else doc_type


def subject(project: str) -> Subject:
    """What moves through the flow: the project."""
    return Subject(KIND, project)


def find_project(engine: Engine, project: str, workflow_id: str | None = None) -> Run:
    """The latest run of a project. Raises ``WorkflowError`` when there is none, or there are several workflows."""
    runs = engine.find(workflow_id, subject=subject(project))
    flows = sorted({run.flow for run in runs})
    if not runs:
        raise WorkflowError(
            f"there is no project {project!r}", hint="phasegate documents run DEFINITION --project NAME begins one"
        )
    if len(flows) > 1:
        raise WorkflowError(
            f"project {project!r} follows several workflows: {', '.join(flows)}", hint="name one: --workflow"
        )
    return engine.get(runs[0].id)


def workflow_of(run: Run) -> Workflow:
    """The definition that a run follows."""
    given = run.input if isinstance(run.input, Mapping) else {}
    if DEFINITION not in given:
        raise WorkflowError(f"run {run.id} is none of a document workflow")
    return WorkflowLoader().load_dict(given[DEFINITION])


def documents(engine: Engine, run: Run) -> list[Document]:
    """Every version of every document, in the order of the definition and of the items."""
    order = _Order(run, Layout(workflow_of(run)))
    rows = engine.read(DOCUMENTS, {"run": run.id})
    answers = engine.outputs(run.id)
    found = [_document(run, row, answers) for row in rows]
    return sorted(found, key=lambda each: (*order.of(each.step, each.scope), each.version))


class _Order:
    """The order of a run's documents: that of the definition, and in it that of the items of each collection."""

    def __init__(self, run: Run, layout: Layout) -> None:
        self._run, self._layout = run, layout
        self._steps = {step.step_id: place for place, step in enumerate(layout.workflow.walk())}
        self._items: dict[tuple[str, Scope], dict[str, int]] = {}

    def of(self, name: str, scope: Scope) -> tuple[int, tuple[int, ...]]:
        """Something to sort by."""
        step = self._layout.workflow.get_step(name)
        listers = [self._layout.lister[each] for each in self._layout.standing(step)] if step is not None else []
        places = tuple(self._place(lister, scope[:depth], scope[depth]) for depth, lister in enumerate(listers))
        return self._steps.get(name, len(self._steps)), places

    def _place(self, lister: str, prefix: Scope, key: str) -> int:
        place = (lister, prefix)
        if place not in self._items:
            self._items[place] = {item: n for n, item in enumerate(self._run.at(*place).items or ())}
        return self._items[place].get(key, -1)


def _document(run: Run, row: Mapping[str, Any], answers: Mapping[str, Any]) -> Document:
    scope = tuple(orjson.loads(row["scope"]))
    now = run.at(row["step"], scope)
    latest = now.version == row["version"]
    decided = answers.get(gate_name(row["step"]))
    decided = decided.get("/".join(scope)) if scope and isinstance(decided, Mapping) else decided
    accepted = latest and isinstance(decided, Mapping) and decided.get("outcome") == "accepted"
    by = tuple(decided["by"]) if accepted and decided else ()
    return Document(row["doc_type"], row["path"], row["step"], scope, row["version"], row["sha256"], latest, by, row)


def title(workflow: Workflow, document: Document) -> str:
    """What a reader sees above a document: what kind it is, and where it belongs."""
    kind = workflow.document_types[document.doc_type].name
    return f"{kind} ({document.path})" if document.path else kind


def content(engine: Engine, run: Run, document: Document) -> Any:
    """The document itself."""
    from phasegate.apps.documents.statements import OUTPUT

    place = {"run": run.id, "step": document.step, "scope": orjson.dumps(list(document.scope)).decode()}
    return orjson.loads(engine.read(OUTPUT, {**place, "version": document.version})[0]["body"])


def waiting(run: Run, workflow: Workflow) -> list[Waiting]:
    """What persons have to do before the run goes on by itself, in the order of the definition."""
    if run.finished or run.ending:
        return []  # what nobody can decide any more
    layout = Layout(workflow)
    order = _Order(run, layout)
    return sorted(_waiting(run, layout), key=lambda each: order.of(each.step, each.scope))


def _waiting(run: Run, layout: Layout) -> Iterator[Waiting]:
    gates = {gate_name(step.step_id): step for step in layout.workflow.get_production_steps()}
    for instance in run.phases.values():
        if instance.status is not PhaseStatus.WAITING:
            continue
        if instance.phase in gates:
            step = gates[instance.phase]
            roles = tuple(layout.workflow.document_types[step.produces or ""].accepted_by)
            yield Waiting("acceptance", *_placed(layout, step, instance), roles=roles, shown=instance.shown)
        elif instance.asked:
            asking = layout.workflow.get_step(instance.phase)
            if asking is not None:
                questions = tuple(instance.questions["questions"])
                budget = instance.questions[BUDGET] if is_about_budget(instance.questions) else None
                kind = "clarification" if budget is None else "budget"
                yield Waiting(kind, *_placed(layout, asking, instance), questions=questions, budget=budget)


def _placed(layout: Layout, step: WorkflowStep, instance: PhaseRun) -> tuple[str, Scope, str, str]:
    return step.step_id, instance.scope, step.produces or "", layout.path(step, instance.scope)


def pick(found: list[Waiting], kind: str, name: str | None) -> Waiting:
    """The one of this kind that is meant: by its name, or without one the first. What is answered with an answer, also about a
    budget, is of the kind ``clarification`` here.

    Raises ``AcceptanceError`` or ``ClarificationError`` when nothing such waits.
    """
    error = AcceptanceError if kind == "acceptance" else ClarificationError
    those = [each for each in found if (each.kind == "acceptance") == (kind == "acceptance")]
    chosen = those if name is None else [each for each in those if name in (each.name, each.doc_type, each.step)]
    if not chosen:
        names = ", ".join(each.name for each in those)
        said = f"{name} does not wait for {kind}" if name else f"nothing waits for {kind}"
        raise error(said, hint=f"waiting: {names}" if names else None)
    if name is not None and len(chosen) > 1:
        raise error(f"{name!r} is several: {', '.join(each.name for each in chosen)}", hint="name one of them in full")
    return chosen[0]


@dataclass(frozen=True, slots=True)
class Held:
    """What keeps a step from being done, other than a person.

    ``kind`` is ``retry`` when it is tried again at ``due_at``, ``running`` when a process has begun with it at ``since``,
    ``ready`` when none has, or ``failed``; ``error`` is what went wrong last, None when nothing has.
    """

    kind: str
    step: str
    scope: Scope
    name: str
    error: str | None
    since: datetime | None
    due_at: datetime | None


_HELD = {
    PhaseStatus.WAITING: "retry", PhaseStatus.RUNNING: "running", PhaseStatus.READY: "ready", PhaseStatus.FAILED: "failed",
}  # fmt: skip


def held(run: Run, workflow: Workflow) -> list[Held]:
    """What keeps a run from going on and is no person, in the order of the definition; of one that has ended, what went wrong."""
    if run.status is RunStatus.SUCCEEDED:
        return []
    layout = Layout(workflow)
    order = _Order(run, layout)
    return sorted(_held(run, layout), key=lambda each: order.of(each.step, each.scope))


def _held(run: Run, layout: Layout) -> Iterator[Held]:
    for instance in run.phases.values():
        step, kind = layout.workflow.get_step(instance.phase), _HELD.get(instance.status)
        if step is None or kind is None or instance.asked:
            continue  # a gate, a question, or nothing that holds anything up
        name = named(step.produces or step.step_id, layout.path(step, instance.scope))
        error = instance.reason if instance.failures or instance.losses or kind == "failed" else None
        if run.finished and not error:
            continue
        kind = "failed" if run.finished else kind
        yield Held(kind, step.step_id, instance.scope, name, error, instance.since, instance.due_at)


def may_be_retried(run: Run) -> bool:
    """Whether the run ended because a step failed, and not because a person wanted it to end."""
    failed = [each for each in run.phases.values() if each.status is PhaseStatus.FAILED]
    return run.status is RunStatus.FAILED and bool(failed) and not any(is_gate(each.phase) for each in failed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a person decided on a document; ``seen`` says which state of it that was for the person."""

    accepted: bool = field(kw_only=False)
    by: str
    role: str = ""
    comment: str = ""
    seen: str | None = None


def decide(engine: Engine, run: Run, what: Waiting, verdict: Verdict) -> Run:
    """Accept or reject a document: the state that the person saw, or without ``seen`` the one that is shown now.

    Raises ``Stale`` when another state is shown by now, ``NotAllowed`` when the role may not decide.
    """
    try:
        return engine.decide(
            run.id, gate_name(what.step), "accepted" if verdict.accepted else "rejected", by=verdict.by,
            role=verdict.role, seen=verdict.seen or what.shown, comment=verdict.comment, scope=what.scope,
        )  # fmt: skip
    except Stale as error:
        if type(error) is not Stale:
            raise
        # The state shown now is not told here: who decides about it is to have looked at it.
        look = shlex.join(["phasegate", "documents", "show", run.subject.id, what.name])
        raise Stale(f"{what.name} has changed since you saw it", hint=f"look at it again: {look}") from None


def answer(engine: Engine, run: Run, what: Waiting, answers: Mapping[str, Any], *, by: str) -> Run:
    """Answer a step's questions. The answer about a budget is for all of the run that wait for the same.

    Raises ``ClarificationError``, and changes nothing, when the answers do not fit.
    """
    if what.kind == "budget":
        return budgets.answer(engine, run, what.step, what.scope, answers, by=by)
    state = StepState.from_dict(run.at(what.step, what.scope).questions["state"])
    return engine.answer(run.id, what.step, validate_answers(state.asked_questions(), answers), by=by, scope=what.scope)
