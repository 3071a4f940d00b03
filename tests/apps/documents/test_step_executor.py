"""One step by itself: what it asks, how often, and what its state says afterwards."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.documents import (
    ClarificationError,
    ExecutionResult,
    StepExecutor,
    StepState,
    StepStatus,
    WorkflowContext,
)
from phasegate.llm import LLMError, Response, Retrying, as_client
from tests.apps.documents import shapes
from tests.apps.documents.fake_llm import CONFERENCE, Answer, FakeLLM, conference, questions, step_executor
from tests.apps.documents.shapes import question, question_set

WORKFLOW = conference()
BRIEF = '{"event": "PyDays"}'


def execute(
    *said: Answer, state: StepState | None = None, step_id: str = "brief", context: WorkflowContext | None = None,
    attempts: int = 3, prompts: Path | None = None, **extra: Any,
) -> tuple[ExecutionResult, FakeLLM]:  # fmt: skip
    workflow = conference()
    step = workflow.get_step(step_id)
    assert step is not None
    step.extra.update(extra)
    llm = FakeLLM(CONFERENCE, **{step.produces or "": list(said)})
    more = {"prompts": prompts} if prompts is not None else {}
    executor = step_executor(llm, max_remediation_attempts=attempts, **more)
    state = state or StepState(step_id)
    store = context or WorkflowContext(workflow, "p1")
    return asyncio.run(executor.execute(step, workflow, store, state)), llm


def test_a_fit_answer_completes_the_step() -> None:
    result, llm = execute(BRIEF)
    state = result.state
    assert (state.status, state.attempt, result.output) == (StepStatus.COMPLETED, 1, {"event": "PyDays"})
    assert (state.raw_llm_response, len(state.qa_history), len(llm.asked)) == (BRIEF, 1, 1)
    assert result.qa_result is not None
    assert result.qa_result.passed
    assert set(state.prompt_hashes) == {"role", "task", "user"}


@pytest.mark.parametrize(
    "answer", [f"```json\n{BRIEF}\n```", f"```\n{BRIEF}\n```", f"Here it is: {BRIEF} as you asked."]
)
def test_the_document_is_found_in_fences_and_prose(answer: str) -> None:
    assert execute(answer)[0].output == {"event": "PyDays"}


def test_a_bad_answer_then_a_good_one() -> None:
    result, llm = execute("nothing", BRIEF)
    assert (result.state.status, result.state.attempt) == (StepStatus.COMPLETED, 2)
    assert [each.passed for each in result.state.qa_history] == [False, True]
    assert llm.asked[0].user in llm.asked[1].user
    for text in ("Original Task", "ERROR", "Invalid JSON", "attempt 2 of 3", "nothing"):
        assert text in llm.asked[1].user


@pytest.mark.parametrize("bad", ["nothing", "{}", "[]", "[1]", "null", "7", '{"mode": "questions_only"}'])
def test_three_bad_answers_fail_the_step(bad: str) -> None:
    result, llm = execute(bad, bad, bad, BRIEF)
    assert (result.state.status, result.state.attempt, len(llm.asked)) == (StepStatus.FAILED, 3, 3)
    assert "max attempts" in str(result.state.error)
    assert (len(result.state.qa_history), result.output) == (3, None)


@pytest.mark.parametrize(
    ("of_state", "of_executor", "of_step", "calls"), [(3, 1, 3, 1), (1, 3, 3, 1), (5, 5, 2, 2), (2, 9, 3, 2)]
)
def test_the_smallest_bound_counts(of_state: int, of_executor: int, of_step: int, calls: int) -> None:
    state = StepState("brief", max_attempts=of_state)
    result, llm = execute("x", "x", "x", "x", state=state, attempts=of_executor, max_attempts=of_step)
    assert (result.state.status, len(llm.asked)) == (StepStatus.FAILED, calls)


def test_missing_inputs_ask_nothing() -> None:
    result, llm = execute(step_id="plan_tracks")
    assert (result.state.status, result.state.attempt, llm.asked) == (StepStatus.FAILED, 0, [])
    assert str(result.state.error).startswith("Input resolution failed: required document 'event_brief' not found")


def test_inputs_stand_in_the_prompt() -> None:
    context = WorkflowContext(WORKFLOW, "p1")
    context.store_document("event_brief", {"event": "PyDays"})
    result, llm = execute('{"tracks": []}', step_id="plan_tracks", context=context)
    assert result.state.status is StepStatus.COMPLETED
    parts = [line for line in llm.asked[0].user.splitlines() if line.startswith(("# ", "## "))]
    assert parts == ["# Task", "# Inputs", "## event_brief", "# Output"]


def test_a_missing_prompt_asks_nothing(tmp_path: Path) -> None:
    result, llm = execute(prompts=tmp_path)
    assert (result.state.status, llm.asked) == (StepStatus.FAILED, [])
    assert "not found" in str(result.state.error)


def test_questions_wait_for_answers_which_go_into_the_prompt() -> None:
    step = WORKFLOW.get_step("brief")
    assert step is not None
    llm = FakeLLM(CONFERENCE, event_brief=[questions("Where is it?", "When is it?"), "bad", BRIEF])
    executor, state, store = step_executor(llm), StepState("brief"), WorkflowContext(WORKFLOW, "p1")

    async def run() -> None:
        result = await executor.execute(step, WORKFLOW, store, state)
        assert (result.state.status, result.output) == (StepStatus.CLARIFYING, None)
        assert result.clarification_result is not None
        assert [each.id for each in result.clarification_result.questions] == ["Q_01", "Q_02"]
        restored = StepState.from_dict(json.loads(json.dumps(state.to_dict())))
        assert restored == state
        with pytest.raises(ClarificationError, match="Q_02"):
            await executor.continue_after_clarification(step, WORKFLOW, store, restored, {"Q_01": "Berlin"})
        assert restored == state
        answers = {"Q_01": "Berlin", "Q_02": "In May"}
        done = await executor.continue_after_clarification(step, WORKFLOW, store, restored, answers)
        assert (done.state.status, done.output) == (StepStatus.COMPLETED, {"event": "PyDays"})

    asyncio.run(run())
    for each in llm.asked[1:]:
        assert "Where is it?\n  Berlin" in each.user
        assert "When is it?\n  In May" in each.user


def test_a_step_may_ask_on_any_attempt_but_not_for_ever() -> None:
    result, _ = execute("bad", questions("Where is it?"))
    assert (result.state.status, result.state.attempt) == (StepStatus.CLARIFYING, 2)
    state = StepState("brief", clarification_rounds=2)
    result, llm = execute(questions("Again?"), BRIEF, state=state)
    assert (result.state.status, len(llm.asked)) == (StepStatus.COMPLETED, 2)
    assert "no more questions" in llm.asked[1].user


def test_a_step_that_may_not_ask_is_asked_again() -> None:
    result, llm = execute(questions("Where is it?"), BRIEF, allow_clarification=False)
    assert (result.state.status, len(llm.asked)) == (StepStatus.COMPLETED, 2)


def test_failures_of_transport_count_for_nothing() -> None:
    llm = FakeLLM(CONFERENCE, event_brief=[LLMError("timeout", "slow"), LLMError("rate_limited", "much"), BRIEF])
    step = WORKFLOW.get_step("brief")
    assert step is not None
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    executor = step_executor(Retrying(as_client(llm), sleep=sleep))
    state = StepState("brief")
    result = asyncio.run(executor.execute(step, WORKFLOW, WorkflowContext(WORKFLOW, "p1"), state))
    assert (result.state.status, result.state.attempt, len(llm.asked), len(waits)) == (StepStatus.COMPLETED, 1, 3, 2)


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (LLMError("auth", "no such key"), "the model could not be asked: no such key"),
        (RuntimeError("boom"), "RuntimeError: boom"),
    ],
)
def test_what_the_model_raises_fails_the_step(raised: Exception, said: str) -> None:
    result, _ = execute(raised)
    assert (result.state.status, result.state.error) == (StepStatus.FAILED, said)
    assert result.state.error_details == type(raised).__name__


def test_cancellation_passes_and_leaves_the_state() -> None:
    async def run() -> None:
        reached = asyncio.Event()

        async def never(prompt: str) -> str:
            reached.set()
            await asyncio.Event().wait()
            return prompt

        executor: StepExecutor = step_executor(never)
        step, state = WORKFLOW.get_step("brief"), StepState("brief")
        assert step is not None
        task = asyncio.ensure_future(executor.execute(step, WORKFLOW, WorkflowContext(WORKFLOW, "p1"), state))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert state == StepState("brief")

    asyncio.run(run())


def test_every_call_is_counted() -> None:
    class Counting:
        async def generate(self, request: Any) -> Response:
            return Response(text=BRIEF, model="m1", prompt_tokens=10, completion_tokens=5, total_tokens=15)

    step, state = WORKFLOW.get_step("brief"), StepState("brief")
    assert step is not None
    asyncio.run(step_executor(Counting()).execute(step, WORKFLOW, WorkflowContext(WORKFLOW, "p1"), state))
    (call,) = state.llm_calls
    assert (call.model, call.tokens_in, call.tokens_out, call.tokens_total) == ("m1", 10, 5, 15)
    assert call.prompt_sha256 == state.prompt_hashes["user"]


whole = st.one_of(
    st.text(max_size=80),
    shapes.json_values.map(json.dumps),
    st.dictionaries(st.sampled_from([*question_set(), "event"]), shapes.json_values).map(
        lambda changes: json.dumps(question_set(question(), **changes))
    ),
)


@given(
    st.lists(
        st.tuples(st.sampled_from(["{}", "```json\n{}\n```", "Well: {} {}", "{", "```\n{}"]), whole),
        min_size=1,
        max_size=3,
    )
)
def test_no_answers_of_a_model_make_a_step_raise(answers: list[tuple[str, str]]) -> None:
    said = [wrapped.replace("{}", text) for wrapped, text in answers]
    result, llm = execute(*said, BRIEF, BRIEF, BRIEF)
    assert result.state.status in (StepStatus.COMPLETED, StepStatus.CLARIFYING, StepStatus.FAILED)
    assert 1 <= len(llm.asked) <= 3
    assert (result.output is not None) == (result.state.status is StepStatus.COMPLETED)
    assert StepState.from_dict(json.loads(json.dumps(result.state.to_dict()))) == result.state
