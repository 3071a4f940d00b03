"""A workflow of three levels, and every shape that states, contexts and documents can have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from phasegate.apps.documents.definition.models import (
    DocumentTypeConfig,
    EntityTypeConfig,
    IterationConfig,
    ScopeConfig,
    Workflow,
    WorkflowStep,
)
from phasegate.apps.documents.gates.qa import QAFinding, QAResult
from phasegate.apps.documents.gates.questions import ClarificationQuestion as Asked
from phasegate.apps.documents.states.context import WorkflowContext
from phasegate.apps.documents.states.step_state import (
    AnsweredQuestion,
    ClarificationQuestion,
    LLMCall,
    StepState,
    StepStatus,
    StepTransition,
)
from phasegate.apps.documents.states.workflow_state import (
    AcceptanceDecision,
    Frame,
    IterationProgress,
    WorkflowState,
    WorkflowStatus,
)

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(seconds=90)


def workflow() -> Workflow:
    """Projects have epics, epics have stories."""
    return Workflow(
        schema_version="workflow.v1",
        workflow_id="product",
        revision="1",
        effective_date="2026-01-31",
        name="Product",
        scopes={
            "project": ScopeConfig(parent=None),
            "epic": ScopeConfig(parent="project"),
            "story": ScopeConfig(parent="epic"),
        },
        document_types={
            "brief": DocumentTypeConfig(name="Brief", scope="project"),
            "backlog": DocumentTypeConfig(
                name="Backlog", scope="project", may_own=["epic"], collection_field="epics",
                acceptance_required=True, accepted_by=["owner", "architect"],
            ),
            "stories": DocumentTypeConfig(
                name="Stories", scope="epic", may_own=["story"], collection_field="stories", acceptance_required=True
            ),
            "plan": DocumentTypeConfig(name="Plan", scope="story"),
        },
        entity_types={
            "epic": EntityTypeConfig(name="Epic", parent_doc_type="backlog", creates_scope="epic"),
            "story": EntityTypeConfig(name="Story", parent_doc_type="stories", creates_scope="story"),
        },
        steps=[per_epic()],
    )  # fmt: skip


def per_epic() -> WorkflowStep:
    over = IterationConfig(doc_type="backlog", collection_field="epics", entity_type="epic")
    inner = WorkflowStep(
        step_id="write", scope="epic", role="Writer 1.0", task_prompt="Stories v1.0", produces="stories"
    )
    return WorkflowStep(step_id="per_epic", scope="epic", iterate_over=over, steps=[inner])


texts = st.text(st.characters(codec="utf-8"), max_size=12)
ids = st.sampled_from(["e1", "s1", "root", "é", "a/b", "epic=e1", "a%2Fb", "x_y", "日本", " ", "[1]", ".", "..", "%"])
times = st.datetimes(timezones=st.just(UTC))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
documents = st.dictionaries(texts, json_values, max_size=3)

findings = st.builds(QAFinding, texts, texts, st.sampled_from(["error", "warning"]), st.none() | texts)
results = st.builds(QAResult, st.booleans(), st.lists(findings, max_size=2), times, st.none() | texts)
short_questions = st.builds(
    ClarificationQuestion, texts, texts, st.none() | texts, st.none() | st.lists(texts, max_size=2), st.booleans()
)
asked = st.builds(
    Asked,
    id=texts,
    text=texts,
    choices=st.none() | st.lists(st.fixed_dictionaries({"value": texts, "label": texts}), max_size=2),
    required=st.booleans(),
    default=json_values,
)
calls = st.builds(LLMCall, st.none() | texts, st.integers(0, 10**6), ms=st.floats(0, 1e6))
step_transitions = st.builds(StepTransition, st.sampled_from(StepStatus), st.sampled_from(StepStatus), times, texts)
step_states = st.builds(
    StepState,
    texts,
    status=st.sampled_from(StepStatus),
    attempt=st.integers(0, 5),
    max_attempts=st.integers(1, 5),
    clarification_questions=st.none() | st.lists(short_questions | asked, max_size=2),
    clarification_answers=st.none() | documents,
    output_document=json_values,
    raw_llm_response=st.none() | texts,
    qa_result=st.none() | results,
    qa_history=st.lists(results, max_size=2),
    started_at=st.none() | times,
    completed_at=st.none() | times,
    error=st.none() | texts,
    error_details=json_values,
    scope_path=st.none() | texts,
    prompt_hashes=st.dictionaries(texts, texts, max_size=2),
    llm_calls=st.lists(calls, max_size=2),
    transitions=st.lists(step_transitions, max_size=2),
    clarification_rounds=st.integers(0, 3),
    answered=st.lists(st.builds(AnsweredQuestion, st.integers(0, 3), texts, texts, json_values), max_size=2),
)
decisions = st.builds(
    AcceptanceDecision,
    doc_type=texts,
    scope_id=st.none() | ids,
    accepted=st.booleans(),
    comment=st.none() | texts,
    decided_by=texts,
    decided_at=times,
    decided_by_role=st.none() | texts,
    sha256=st.none() | texts,
)
progress = st.builds(
    IterationProgress, texts, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.lists(ids, max_size=3)
)
workflow_states = st.builds(
    WorkflowState,
    st.just("product"),
    st.just("shop"),
    status=st.sampled_from(WorkflowStatus),
    current_step_id=st.none() | texts,
    completed_steps=st.lists(texts, max_size=2),
    step_states=st.dictionaries(texts, step_states, max_size=2),
    iteration_progress=st.dictionaries(texts, progress, max_size=2),
    pending_acceptance=st.none() | texts,
    pending_acceptance_scope_id=st.none() | ids,
    acceptance_decisions=st.dictionaries(texts, decisions, max_size=2),
    pending_clarification_step_id=st.none() | texts,
    started_at=st.none() | times,
    completed_at=st.none() | times,
    error=st.none() | texts,
    execution_id=st.none() | texts,
    run_stack=st.lists(st.builds(Frame, texts, st.integers(0, 9), ids), max_size=2),
    completed_instances=st.lists(texts, max_size=2),
    events=st.lists(documents, max_size=2),
    revision=st.none() | texts,
    pending_clarification_scope=st.none() | texts,
    llm_usage=documents,
    decision_history=st.lists(decisions, max_size=2),
)


@st.composite
def contexts(draw: st.DrawFn) -> WorkflowContext:
    """Contexts somewhere in the middle of a run, with documents and entities on every level."""
    context = WorkflowContext(workflow(), draw(texts))
    context.store_document("brief", draw(documents), now=NOW)
    for epic in draw(st.lists(ids, max_size=2)):
        context.push_scope("epic", epic, draw(documents))
        context.store_document("stories", draw(documents), now=NOW)
        if draw(st.booleans()):
            context.mark_accepted("stories", "epic", accepted=draw(st.booleans()), decided_by="jo", now=LATER)
        for story in draw(st.lists(ids, max_size=2)):
            context.push_scope("story", story, draw(documents))
            context.store_document("plan", draw(documents), produced_by="write", qa_passed=True, now=NOW)
            context.pop_scope()
        if draw(st.booleans()):
            context.pop_scope()
            continue
        break
    return context


def question_set(*questions: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A set in order, unless something is changed."""
    return {
        "schema_version": "clarification_question_set.v1",
        "mode": "questions_only",
        "correlation_id": "6f9619ff-8b86-4011-b42d-00c04fc964ff",
        "question_set_kind": "discovery",
        "questions": list(questions) or [question()],
        "qa": {
            "non_question_line_count": 0,
            "declarative_sentence_count": 0,
            "answer_leadin_count": 0,
            "all_questions_end_with_qmark": True,
        },
        **changes,
    }


def question(name: str = "Q_ONE", text: str = "Which platform is it for?", **changes: Any) -> dict[str, Any]:
    """A question in order, unless something is changed."""
    return {
        "id": name,
        "text": text,
        "intent": "It decides the rest.",
        "priority": "must",
        "answer_type": "free_text",
        "required": True,
        **changes,
    }
