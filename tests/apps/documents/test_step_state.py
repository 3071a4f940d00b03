from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given

from phasegate.apps.documents.errors import InvalidTransitionError, PersistenceError
from phasegate.apps.documents.gates.qa import QAFinding, QAResult
from phasegate.apps.documents.gates.questions import ClarificationQuestion as Asked
from phasegate.apps.documents.states.step_state import (
    ClarificationQuestion,
    StepState,
    StepStatus,
    question_from_dict,
    question_to_dict,
)
from tests.apps.documents import shapes
from tests.apps.documents.shapes import LATER, NOW

GOOD = QAResult(True, checked_at=NOW)
BAD = QAResult(False, [QAFinding("$.title", "is missing", "error")], NOW)
SHORT = ClarificationQuestion("Q1", "For whom?", options=["us", "them"])
FULL = Asked(id="Q_ONE", text="For what?", intent="It matters.", answer_type="number")


def test_a_step_is_asked_again_until_it_passes() -> None:
    state = StepState("write")
    assert (state.status, state.attempt, state.can_retry, state.duration_seconds) == ("pending", 0, True, None)
    state.start(now=NOW)
    state.check(now=NOW)
    state.record_qa_result(BAD, now=NOW)
    assert (state.status, state.attempt) == ("remediating", 1)
    state.start(now=LATER)
    state.record_qa_result(GOOD, now=LATER)
    assert (state.status, state.attempt, state.qa_result, state.qa_history) == ("completed", 2, GOOD, [BAD, GOOD])
    assert (state.started_at, state.completed_at, state.duration_seconds, state.is_terminal) == (NOW, LATER, 90.0, True)
    assert [(each.before, each.after) for each in state.transitions] == [
        ("pending", "executing"), ("executing", "qa_checking"), ("qa_checking", "remediating"),
        ("remediating", "executing"), ("executing", "completed"),
    ]  # fmt: skip


def test_the_last_attempt_that_does_not_pass_is_the_end() -> None:
    state = StepState("write", max_attempts=3)
    for _ in range(3):
        state.start(now=NOW)
        state.record_qa_result(BAD, now=LATER)
    assert (state.status, state.attempt, len(state.qa_history)) == ("failed", 3, 3)
    assert "max attempts" in (state.error or "")
    assert "$.title: is missing" in (state.error or "")
    assert (state.completed_at, state.can_retry) == (LATER, False)


def test_questions_wait_for_a_person_and_every_answer_is_kept() -> None:
    state = StepState("write")
    state.start()
    state.request_clarification([SHORT, FULL])
    assert (state.is_waiting_for_human, state.clarification_questions, state.clarification_rounds) == (
        True,
        [SHORT, FULL],
        1,
    )
    state.provide_answers({"Q1": "us", "Q_ONE": 7})
    assert (state.status, state.is_waiting_for_human, state.attempt) == ("executing", False, 1)
    assert state.clarification_answers == {"Q1": "us", "Q_ONE": 7}
    state.request_clarification([FULL])
    state.provide_answers({"Q_ONE": 8})
    state.provide_answers({"Q_ONE": 9, "Q_X": 1})
    assert state.clarification_answers == {"Q_ONE": 9, "Q_X": 1}
    assert state.answered_questions() == [("For whom?", "us"), ("For what?", 7), ("For what?", 9), ("Q_X", 1)]


def test_questions_of_both_kinds_can_be_answered() -> None:
    state = StepState("write", clarification_questions=[SHORT, FULL, ClarificationQuestion("Q2", "Why?", "Because.")])
    assert state.asked_questions() == [
        Asked(
            id="Q1", text="For whom?", answer_type="single_choice",
            choices=[{"value": "us", "label": "us"}, {"value": "them", "label": "them"}],
        ),
        FULL,
        Asked(id="Q2", text="Why?", intent="Because."),
    ]  # fmt: skip
    assert StepState("write").asked_questions() == []


VERBS: list[Callable[[StepState], None]] = [
    lambda state: state.start(),
    lambda state: state.request_clarification([FULL]),
    lambda state: state.provide_answers({}),
    lambda state: state.check(),
    lambda state: state.record_qa_result(GOOD),
    lambda state: state.record_qa_result(BAD),
    lambda state: state.complete(),
    lambda state: state.fail("no prompt", {"prompt": "Plan v1.0"}),
]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("status", [each for each in StepStatus if each not in {"completed", "failed"}])
def test_an_open_step_may_go_anywhere(status: StepStatus, verb: Callable[[StepState], None]) -> None:
    state = StepState("write", status=status)
    verb(state)
    assert [each.before for each in state.transitions] == [status]
    assert state.transitions[0].after is state.status
    assert state.is_terminal == (state.completed_at is not None)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("status", [StepStatus.COMPLETED, StepStatus.FAILED])
def test_a_step_that_has_ended_stays_as_it_ended(status: StepStatus, verb: Callable[[StepState], None]) -> None:
    state = StepState("write", status=status, error="first reason" if status == "failed" else None, completed_at=NOW)
    before = state.to_dict()
    with suppress(InvalidTransitionError):
        verb(state)
    assert {**state.to_dict(), "qa_result": None, "qa_history": []} == before


def test_a_failure_says_why() -> None:
    state = StepState("write")
    state.fail("no prompt", {"prompt": "Plan v1.0"}, now=LATER)
    state.fail("another reason", now=NOW)
    assert (state.status, state.error, state.error_details, state.completed_at) == (
        "failed",
        "no prompt",
        {"prompt": "Plan v1.0"},
        LATER,
    )
    assert state.duration_seconds is None


@given(shapes.step_states)
def test_a_state_survives_as_json(state: StepState) -> None:
    assert StepState.from_dict(json.loads(json.dumps(state.to_dict()))) == state


def test_what_is_written_is_a_copy() -> None:
    state = StepState("write", output_document={"a": [1]}, clarification_questions=[FULL])
    written = state.to_dict()
    again = StepState.from_dict(written)
    written["output_document"]["a"].append(2)
    written["clarification_questions"][0]["text"] = "?"
    assert state.output_document == again.output_document == {"a": [1]}
    assert again.clarification_questions == [FULL]


def test_an_older_state_and_one_with_more_can_be_read() -> None:
    assert StepState.from_dict({"step_id": "write"}) == StepState("write")
    assert StepState.from_dict({"step_id": "write", "mood": "good"}) == StepState("write")


@pytest.mark.parametrize("question", [SHORT, FULL, replace(SHORT, options=None), replace(FULL, default={"a": 1})])
def test_a_question_of_either_kind_survives(question: Asked | ClarificationQuestion) -> None:
    written = json.loads(json.dumps(question_to_dict(question)))
    assert question_from_dict(written) == question
    del written["kind"]
    assert question_from_dict(written) == question


def test_a_question_of_no_known_kind_is_refused() -> None:
    with pytest.raises(PersistenceError, match="unknown kind"):
        question_from_dict({"kind": "riddle"})
