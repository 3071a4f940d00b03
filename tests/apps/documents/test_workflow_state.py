from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given

from phasegate.apps.documents.errors import InvalidTransitionError, PersistenceError
from phasegate.apps.documents.states.step_state import StepState
from phasegate.apps.documents.states.workflow_state import (
    TRANSITIONS,
    AcceptanceDecision,
    IterationProgress,
    WorkflowState,
    WorkflowStatus,
)
from tests.apps.documents import shapes
from tests.apps.documents.shapes import LATER, NOW

VERBS: dict[str, Callable[[WorkflowState], None]] = {
    "start": lambda state: state.start(now=NOW),
    "resume": lambda state: state.resume(),
    "wait_for_acceptance": lambda state: state.wait_for_acceptance("backlog", "e1"),
    "wait_for_clarification": lambda state: state.wait_for_clarification("write", "epic=e1"),
    "complete": lambda state: state.complete(now=LATER),
    "fail": lambda state: state.fail("no model", now=LATER),
    "cancel": lambda state: state.cancel(now=LATER),
}
ALLOWED = {
    "pending": {"start", "resume", "wait_for_acceptance", "wait_for_clarification", "fail", "cancel"},
    "running": {"resume", "wait_for_acceptance", "wait_for_clarification", "complete", "fail", "cancel"},
    "waiting_acceptance": {"resume", "fail", "cancel"},
    "waiting_clarification": {"resume", "fail", "cancel"},
    "completed": set(),
    "failed": set(),
    "cancelled": {"cancel"},
}


def new(status: str = "pending", **changes: object) -> WorkflowState:
    return WorkflowState.from_dict(WorkflowState("product", "shop").to_dict() | {"status": status} | changes)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("status", ALLOWED)
def test_what_may_be_done_in_which_state(status: str, verb: str) -> None:
    state = new(status, execution_id="exec_1")
    if verb in ALLOWED[status]:
        VERBS[verb](state)
        assert state.status is TRANSITIONS[verb, WorkflowStatus(status)]
    else:
        with pytest.raises(InvalidTransitionError, match=f"'exec_1' is {status}") as caught:
            VERBS[verb](state)
        assert isinstance(caught.value, ValueError)
        assert state == new(status, execution_id="exec_1")


def test_a_run_from_start_to_end() -> None:
    state = new()
    assert (state.duration, state.is_terminal, state.is_waiting) == (None, False, False)
    state.start(now=NOW)
    state.wait_for_acceptance("backlog")
    assert (state.pending_acceptance, state.pending_acceptance_scope_id, state.is_waiting) == ("backlog", None, True)
    state.resume()
    assert (state.status, state.pending_acceptance, state.duration) == ("running", None, None)
    state.complete(now=LATER)
    assert (state.started_at, state.completed_at, state.duration, state.is_terminal) == (NOW, LATER, 90.0, True)


@pytest.mark.parametrize("verb", ["resume", "fail", "cancel"])
@pytest.mark.parametrize("waiting", ["wait_for_acceptance", "wait_for_clarification"])
def test_nothing_is_pending_afterwards(waiting: str, verb: str) -> None:
    state = new("running")
    VERBS[waiting](state)
    pending = (
        state.pending_acceptance, state.pending_acceptance_scope_id,
        state.pending_clarification_step_id, state.pending_clarification_scope,
    )  # fmt: skip
    assert pending == (
        ("backlog", "e1", None, None) if waiting == "wait_for_acceptance" else (None, None, "write", "epic=e1")
    )
    VERBS[verb](state)
    assert [key for key, value in state.to_dict().items() if key.startswith("pending_") and value is not None] == []


def test_why_it_failed_and_when_it_was_cancelled_first() -> None:
    failed = new("running")
    failed.fail("no model", now=NOW)
    assert (failed.error, failed.completed_at) == ("no model", NOW)
    cancelled = new("running")
    cancelled.cancel(now=NOW)
    cancelled.cancel(now=LATER)
    assert (cancelled.status, cancelled.completed_at) == ("cancelled", NOW)


def test_steps_are_marked_once_and_in_order() -> None:
    state = new()
    for step in ("b", "a", "b"):
        state.mark_step_complete(step)
        state.mark_instance_complete(f"{step}[epic=e1]")
    assert (state.completed_steps, state.completed_instances) == (["b", "a"], ["b[epic=e1]", "a[epic=e1]"])
    assert (state.is_step_complete("a"), state.is_step_complete("c")) == (True, False)


def test_step_states_are_kept_by_instance() -> None:
    state = new()
    one = StepState("write")
    state.set_step_state("write[epic=e1]", one)
    assert state.get_step_state("write[epic=e1]") is one
    assert state.get_step_state("write") is None


def test_the_last_decision_counts_and_all_are_kept() -> None:
    state = new()
    first = AcceptanceDecision(comment="too long", decided_by="jo", accepted=False, scope_id=None, doc_type="backlog")
    second = AcceptanceDecision(doc_type="backlog", accepted=True, decided_by="jo")
    state.record_decision("backlog:root", first)
    state.record_decision("backlog:root", second)
    assert state.acceptance_decisions == {"backlog:root": second}
    assert state.decision_history == [first, second]


@pytest.mark.parametrize(
    ("total", "completed", "complete", "remaining"),
    [(0, 0, True, 0), (3, 1, False, 2), (3, 3, True, 0), (3, 4, True, 0)],
)
def test_how_far_an_iteration_is(total: int, completed: int, complete: bool, remaining: int) -> None:
    progress = IterationProgress("per_epic", total, completed)
    assert (progress.is_complete, progress.remaining) == (complete, remaining)


@given(shapes.workflow_states)
def test_a_state_survives_as_json(state: WorkflowState) -> None:
    assert WorkflowState.from_dict(json.loads(json.dumps(state.to_dict()))) == state


def test_what_is_written_is_a_copy() -> None:
    state = new(events=[{"kind": "started"}])
    written = state.to_dict()
    again = WorkflowState.from_dict(written)
    written["events"][0]["kind"] = "ended"
    written["completed_steps"].append("a")
    assert state.events == again.events == [{"kind": "started"}]
    assert state.completed_steps == []


def test_what_a_later_version_wrote_is_refused() -> None:
    assert WorkflowState.from_dict({"workflow_id": "product", "project_id": "shop", "mood": "good"}) == new()
    with pytest.raises(PersistenceError, match=r"workflow_state\.v9"):
        new(schema_version="workflow_state.v9")
