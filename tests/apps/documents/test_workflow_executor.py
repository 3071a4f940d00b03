"""Workflows in process: what is asked of the model in which order, what comes of the answers, and what items may be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from phasegate.apps.documents import (
    IterationProgress,
    Workflow,
    WorkflowContext,
    WorkflowExecutionResult,
    WorkflowExecutor,
    WorkflowState,
    WorkflowStatus,
)
from phasegate.llm import LLMError
from tests.apps.documents.definitions import EXAMPLES, changed, example
from tests.apps.documents.fake_llm import (
    CONFERENCE,
    DOCUMENTS,
    Answer,
    FakeLLM,
    conference,
    decision,
    documents,
    executor,
    parts,
    ready,
    small_workflow,
    start,
    step_executor,
    to_the_end,
    workflow,
)

WORKFLOW = conference()
COMPLETED, FAILED = WorkflowStatus.COMPLETED, WorkflowStatus.FAILED


def go_on(flow: Workflow, llm: FakeLLM, state: WorkflowState, context: WorkflowContext) -> WorkflowExecutionResult:
    async def run() -> WorkflowExecutionResult:
        return await ready(llm).run_until_pause(flow, state, context)

    return asyncio.run(run())


def test_the_conference_takes_ten_calls_and_three_acceptances() -> None:
    async def run() -> tuple[WorkflowExecutionResult, list[str]]:
        found = executor(llm)
        result = await found.start(WORKFLOW, "p1", execution_id="exec_1")
        assert (result.paused, result.state.status) == (True, WorkflowStatus.WAITING_ACCEPTANCE)
        assert result.pause_reason == "document 'track_plan' waits for acceptance by chair"
        return await to_the_end(found, WORKFLOW, result)

    llm = FakeLLM(CONFERENCE)
    result, waited = asyncio.run(run())
    assert (result.state.status, result.paused, result.pause_reason) == (COMPLETED, False, None)
    assert (llm.order, waited) == (DOCUMENTS, ["track_plan:None", "talk_list:t1", "talk_list:t2"])
    assert [each[:3] for each in documents(result)] == [
        ("event_brief", "", 1),
        ("talk_abstract", "track=t1/talk=k1", 1),
        ("talk_abstract", "track=t1/talk=k2", 1),
        ("talk_abstract", "track=t2/talk=k1", 1),
        ("talk_abstract", "track=t2/talk=k2", 1),
        ("talk_list", "track=t1", 1),
        ("talk_list", "track=t2", 1),
        ("track_outline", "track=t1", 1),
        ("track_outline", "track=t2", 1),
        ("track_plan", "", 1),
    ]
    state = result.state
    assert list(state.iteration_progress) == ["per_track", "per_talk[track=t1]", "per_talk[track=t2]"]
    assert state.iteration_progress["per_track"] == IterationProgress("per_track", 2, 2, 1, ["t1", "t2"])
    assert state.completed_steps[-1] == "per_track"
    assert set(state.completed_steps) == {each.step_id for each in WORKFLOW.walk()}
    assert set(state.acceptance_decisions) == {"track_plan:root", "talk_list:t1", "talk_list:t2"}
    assert list(state.step_states)[4] == "write_abstract[track=t1/talk=k1]"
    assert (state.execution_id, state.llm_usage["calls"], state.error) == ("exec_1", 10, None)


def test_every_instance_reads_what_is_its_own() -> None:
    async def run() -> None:
        found = executor(llm)
        await to_the_end(found, WORKFLOW, await found.start(WORKFLOW, "p1"))

    llm = FakeLLM(CONFERENCE)
    asyncio.run(run())
    prompts = [each.user for each in llm.asked]
    assert '"event": "PyDays"' in prompts[1]
    assert '"title": "Data"' in prompts[2]
    assert '"title": "Web"' not in prompts[2]
    assert '"event": "PyDays"' in prompts[6]
    for at, track in ((4, "t1"), (5, "t1"), (8, "t2"), (9, "t2")):
        assert f"the story of {track}" in prompts[at]
        assert f'"of": "{track}"' in prompts[at]
    role = EXAMPLES / "prompts" / "roles" / "Copywriter 1.0.txt"
    assert llm.asked[4].system == role.read_text(encoding="utf-8")


def test_events_are_told_in_order_by_the_clock_to_a_sink_that_may_be_async() -> None:
    heard = []
    now = datetime(2026, 3, 1, tzinfo=UTC)

    async def sink(event: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        heard.append(event)

    async def run() -> WorkflowExecutionResult:
        return await executor(FakeLLM(CONFERENCE), event_sink=sink, clock=lambda: now).start(WORKFLOW, "p1")

    result = asyncio.run(run())
    assert heard == result.state.events
    assert [each["event_type"] for each in heard] == [
        "execution_started", "step_started", "llm_called", "document_produced", "step_completed",
        "step_started", "llm_called", "document_produced", "waiting_acceptance",
    ]  # fmt: skip
    assert {each["timestamp"] for each in heard} == {now.isoformat()}
    assert heard[-1]["data"] == {"instance": "plan_tracks", "scope": "", "doc_type": "track_plan", "scope_id": None}


@pytest.mark.parametrize(
    ("said", "calls", "error"),
    [
        (["not json", "nor this", "no"], 3, "max attempts (3): $: Invalid JSON"),
        (["{}", '{"parts": [{"id": "a"}]}'], 2, None),
        (["[1]", '{"parts": []}'], 2, None),
        (['{"parts": 1}', '{"parts": []}'], 2, None),
        (['{"mode": "questions_only"}', '{"parts": []}'], 2, None),
        ([RuntimeError("boom")], 1, "Step make_plan failed: RuntimeError: boom"),
        ([LLMError("auth", "no such key")], 1, "Step make_plan failed: the model could not be asked: no such key"),
    ],
)
def test_answers_that_are_not_fit(said: list[Answer], calls: int, error: str | None) -> None:
    llm = FakeLLM(parts(), plan=list(said))
    result = start(small_workflow(), llm)
    assert len([each for each in llm.asked if each.doc_type == "plan"]) == calls
    if error is None:
        assert result.state.status is COMPLETED
        assert "attempt 2 of 3" in llm.asked[1].user
    else:
        assert (result.state.status, result.paused) == (FAILED, False)
        assert str(result.state.error).startswith("Step make_plan failed: ")
        assert error in str(result.state.error)


def test_a_failure_in_an_item_ends_the_execution_before_the_next_item() -> None:
    llm = FakeLLM(parts({"id": "a"}, {"id": "b"}), note=["no", "no", "no"])
    result = start(small_workflow(), llm)
    assert (result.state.status, len(llm.asked)) == (FAILED, 4)
    assert str(result.state.error).startswith("Step make_note failed: QA failed")
    assert str(result.state.error).endswith(" (in part=a)")


def test_a_missing_input_and_a_missing_prompt_ask_nothing() -> None:
    llm = FakeLLM(parts())
    flow = small_workflow(("document_types.extra", {"name": "Extra", "scope": "project", "may_own": []}),
                          ("steps.0.inputs", [{"doc_type": "extra", "scope": "project"}]))  # fmt: skip
    result = start(flow, llm)
    assert "Step make_plan failed: Input resolution failed: required document 'extra' not found" in str(
        result.state.error
    )
    prompts = asyncio.run(executor(llm).start(small_workflow(), "p1"))
    assert "Step make_plan failed: role prompt 'Writer 1.0' not found" in str(prompts.state.error)
    assert llm.asked == []
    flow.document_types["extra"].acceptance_required = True
    assert start(flow, llm, initial_documents={"extra": {"a": 1}}).state.status is COMPLETED


def test_unknown_initial_documents_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown document type"):
        start(small_workflow(), FakeLLM({}), initial_documents={"nothing": {}})


def test_what_a_state_made_by_hand_says_is_done_is_not_done_again() -> None:
    llm = FakeLLM(parts())
    flow = small_workflow()
    context = WorkflowContext(flow, "p1")
    context.store_document("plan", {"parts": [{"id": "a"}, {"id": "b"}]})
    state = WorkflowState("small", "p1", completed_steps=["make_plan"], completed_instances=["make_note[part=a]"])
    result = go_on(flow, llm, state, context)
    assert (result.state.status, llm.order) == (COMPLETED, ["note"])
    assert result.state.completed_steps == ["make_plan", "make_note", "per_part"]
    everything = WorkflowState("small", "p1", completed_steps=["make_plan", "per_part"])
    assert go_on(flow, FakeLLM({}), everything, WorkflowContext(flow, "p1")).state.status is COMPLETED


def test_a_document_that_was_there_does_not_stand_for_the_one_a_step_makes() -> None:
    llm = FakeLLM(parts({"id": "new"}))
    result = start(small_workflow(), llm, initial_documents={"plan": {"parts": [{"id": "old"}]}})
    assert (llm.order, result.context.list_entities("part")) == (["plan", "note"], ["new"])


@pytest.mark.parametrize("accepted", [True, False])
def test_a_state_made_by_hand_may_wait_for_a_decision(accepted: bool) -> None:
    async def run() -> WorkflowExecutionResult:
        state = WorkflowState("small", "p1", WorkflowStatus.WAITING_ACCEPTANCE, pending_acceptance="plan")
        context = WorkflowContext(flow, "p1")
        context.store_document("plan", {"parts": [{"id": "a"}]})
        found = ready(llm)
        waiting = WorkflowExecutionResult(state, context)
        result: WorkflowExecutionResult = await found.process_acceptance(
            flow, state, context, decision(waiting, accepted)
        )
        return result

    flow = small_workflow(("document_types.plan.acceptance_required", True))
    llm = FakeLLM(parts())
    result = asyncio.run(run())
    assert result.state.status is (COMPLETED if accepted else FAILED)
    assert len(llm.asked) == accepted


@pytest.mark.parametrize("end", [lambda state: state.fail("x"), lambda state: state.cancel()])
def test_what_has_ended_is_returned_as_it_is(end: Callable[[WorkflowState], None]) -> None:
    state, context = WorkflowState("conference_programme", "p1"), WorkflowContext(WORKFLOW, "p1")
    end(state)
    before = state.status
    result = go_on(WORKFLOW, FakeLLM({}), state, context)
    assert (result.state.status, result.paused, result.state.events) == (before, False, [])


def test_two_executions_share_an_executor_and_nothing_else() -> None:
    async def run() -> list[WorkflowExecutionResult]:
        found = executor(FakeLLM(CONFERENCE))

        async def one(project: str) -> WorkflowExecutionResult:
            return (await to_the_end(found, WORKFLOW, await found.start(WORKFLOW, project)))[0]

        return list(await asyncio.gather(one("p1"), one("p1")))

    first, second = asyncio.run(run())
    assert documents(first) == documents(second)
    assert first.state.execution_id != second.state.execution_id


def test_a_schema_file_named_in_the_definition_is_used() -> None:
    flow = workflow(changed(example(), ("document_types.event_brief.schema", "intake_gate_result.v1.json")))
    steps = step_executor(FakeLLM(CONFERENCE))
    result = asyncio.run(WorkflowExecutor(steps).start(flow, "p1"))
    assert result.state.status is FAILED
    assert result.state.step_states["brief"].qa_history[0].schema_used == "intake_gate_result.v1.json"
