"""Wherever an execution is interrupted, what is saved is enough: the same documents, and nothing is asked twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phasegate.apps.documents import (
    FileStatePersistence,
    InMemoryStatePersistence,
    StatePersistence,
    Workflow,
    WorkflowContext,
    WorkflowExecutionResult,
    WorkflowExecutor,
    WorkflowState,
    WorkflowStatus,
)
from tests.apps.documents.fake_llm import (
    CONFERENCE,
    DOCUMENTS,
    FakeLLM,
    conference,
    decision,
    documents,
    executor,
    item,
    questions,
)

WORKFLOW = conference()


class Crash(BaseException):
    """The process is gone."""


class Saving(InMemoryStatePersistence):
    """Dies at a save, before or after it is written, and knows what was being saved then."""

    def __init__(self, dies_at: int = 0, *, written: bool = False) -> None:
        super().__init__()
        self.saves, self.dies_at, self.written = 0, dies_at, written
        self.lost: list[str] = []
        self._seen = 0

    async def save(self, state: WorkflowState, context: WorkflowContext) -> None:
        self.saves += 1
        if self.saves == self.dies_at and not self.written:
            self.lost = [each["event_type"] for each in state.events[self._seen :]]
            raise Crash
        await super().save(state, context)
        self._seen = len(state.events)
        if self.saves == self.dies_at:
            raise Crash


class Sink:
    """Dies when it hears of an event."""

    def __init__(self, dies_at: int = 0) -> None:
        self.heard: list[dict[str, Any]] = []
        self.dies_at = dies_at

    def __call__(self, event: dict[str, Any]) -> None:
        self.heard.append(event)
        if len(self.heard) == self.dies_at:
            raise Crash


async def one_life(run: WorkflowExecutor, kept: StatePersistence, workflow: Workflow) -> WorkflowExecutionResult:
    """What a process does: begin, or go on from what is kept, and say yes, and answer, until all is done."""
    found = await kept.load(workflow.workflow_id, "p1", workflow)
    result = await (run.resume(workflow, *found) if found is not None else run.start(workflow, "p1"))
    while result.paused:
        if result.state.status is WorkflowStatus.WAITING_CLARIFICATION:
            result = await run.process_clarification(workflow, result.state, result.context, {"Q_01": "three"})
        else:
            result = await run.process_acceptance(workflow, result.state, result.context, decision(result))
    return result


async def lives(
    llm: FakeLLM, kept: StatePersistence, sink: Callable[[dict[str, Any]], None]
) -> WorkflowExecutionResult:
    try:
        return await one_life(executor(llm, persistence=kept, event_sink=sink), kept, conference())
    except Crash:
        return await one_life(executor(llm, persistence=kept), kept, conference())


def model() -> FakeLLM:
    """One that must be corrected once, and asks once, in the middle of an iteration; whoever asks twice hears the same."""

    def outline(prompt: str) -> Any:
        story = {"storyline": f"the story of {item(prompt)}"}
        if item(prompt) != "t2" or "# Clarification Answers" in prompt:
            return story
        return questions("How many talks are there?") if "## Original Task" in prompt else "no JSON"

    return FakeLLM({**CONFERENCE, "track_outline": outline})


ONCE = [*DOCUMENTS[:6], "track_outline:t2", "track_outline:t2", *DOCUMENTS[6:]]


def undisturbed() -> tuple[list[Any], int, int]:
    llm, kept, sink = model(), Saving(), Sink()
    result = asyncio.run(lives(llm, kept, sink))
    assert (result.state.status, llm.order) == (WorkflowStatus.COMPLETED, ONCE)
    assert [each["number"] for each in sink.heard] == list(range(1, len(sink.heard) + 1))
    assert sink.heard == result.state.events
    return documents(result), kept.saves, len(sink.heard)


MADE, SAVES, EVENTS = undisturbed()


@pytest.mark.parametrize("nth", range(1, SAVES + 1))
def test_a_crash_after_any_save_asks_nothing_again(nth: int) -> None:
    llm, kept = model(), Saving(nth, written=True)
    result = asyncio.run(lives(llm, kept, Sink()))
    assert (result.state.status, documents(result), llm.order) == (WorkflowStatus.COMPLETED, MADE, ONCE)
    check_bookkeeping(result)


@pytest.mark.parametrize("nth", range(1, SAVES + 1))
def test_a_crash_before_any_save_repeats_at_most_the_answer_that_was_not_saved(nth: int) -> None:
    llm, kept = model(), Saving(nth)
    result = asyncio.run(lives(llm, kept, Sink()))
    assert (result.state.status, documents(result)) == (WorkflowStatus.COMPLETED, MADE)
    assert len(llm.asked) == len(ONCE) + ("llm_called" in kept.lost)
    check_bookkeeping(result)


@pytest.mark.parametrize("nth", range(1, EVENTS + 1, 5))
def test_a_crash_of_who_hears_of_an_event_asks_nothing_again(nth: int) -> None:
    llm = model()
    result = asyncio.run(lives(llm, Saving(), Sink(nth)))
    assert (result.state.status, documents(result), llm.order) == (WorkflowStatus.COMPLETED, MADE, ONCE)
    check_bookkeeping(result)


def check_bookkeeping(result: WorkflowExecutionResult) -> None:
    """The state at the end is that of an execution nobody disturbed."""
    state = result.state
    kinds = [each["event_type"] for each in state.events]
    for kind, count in {
        "step_completed": 13,
        "iteration_started": 3,
        "iteration_item_completed": 6,
        "completed": 1,
    }.items():
        assert kinds.count(kind) == count, kind
    assert kinds.count("iteration_item_started") == 6
    assert [each["number"] for each in state.events] == list(range(1, len(kinds) + 1))
    assert (len(state.completed_instances), len(state.completed_steps)) == (13, 7)
    assert all(each.is_complete for each in state.iteration_progress.values())
    assert (state.run_stack, result.context.scope_depth(), state.current_step_id) == ([], 0, None)


def test_every_pause_survives_in_files_with_new_objects(tmp_path: Path) -> None:
    async def run() -> tuple[WorkflowExecutionResult, int]:
        llms = [FakeLLM(CONFERENCE)]
        result = await executor(llms[-1]).start(conference(), "p1")
        while result.paused:
            kept = FileStatePersistence(tmp_path)
            await kept.save(result.state, result.context)
            workflow, llm = conference(), FakeLLM(CONFERENCE)
            found = await FileStatePersistence(tmp_path).load("conference_programme", "p1", workflow)
            assert found is not None
            llms.append(llm)
            again = executor(llm)
            before = (found[0].to_dict(), found[1].to_dict())
            result = await again.resume(workflow, *found)
            assert (result.paused, (result.state.to_dict(), result.context.to_dict())) == (True, before)
            result = await again.process_acceptance(workflow, result.state, result.context, decision(result))
        return result, sum(len(each.asked) for each in llms)

    result, calls = asyncio.run(run())
    assert (result.state.status, calls, len(documents(result))) == (WorkflowStatus.COMPLETED, 10, 10)


def test_what_is_saved_while_waiting_stands_where_it_was() -> None:
    async def run() -> WorkflowExecutionResult:
        ready = executor(FakeLLM(CONFERENCE))
        result = await ready.start(WORKFLOW, "p1")
        return await ready.process_acceptance(WORKFLOW, result.state, result.context, decision(result))

    result = asyncio.run(run())
    assert [(each.step_id, each.index, each.entity_id) for each in result.state.run_stack] == [("per_track", 0, "t1")]
    assert result.context.get_scope_chain() == {"track": "t1"}
    assert result.state.current_step_id == "list_talks"


def test_a_cancelled_caller_leaves_the_execution_as_it_was() -> None:
    async def run() -> tuple[WorkflowExecutionResult, FakeLLM]:
        reached, kept = asyncio.Event(), InMemoryStatePersistence()

        async def never(prompt: str) -> str:
            reached.set()
            await asyncio.Event().wait()
            return prompt

        class Stuck(FakeLLM):
            async def complete(self, system_prompt: str, user_prompt: str, **options: Any) -> str:
                return await never(user_prompt)

        task = asyncio.ensure_future(executor(Stuck(CONFERENCE), persistence=kept).start(WORKFLOW, "p1"))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        llm = FakeLLM(CONFERENCE)
        return await one_life(executor(llm, persistence=kept), kept, WORKFLOW), llm

    result, llm = asyncio.run(run())
    assert (result.state.status, llm.order) == (WorkflowStatus.COMPLETED, DOCUMENTS)


@pytest.mark.parametrize("change", ["revision", "content"])
def test_another_definition_is_refused_unless_forced(change: str) -> None:
    async def run() -> None:
        ready, other = executor(FakeLLM(CONFERENCE)), conference()
        result = await ready.start(WORKFLOW, "p1")
        if change == "revision":
            other.revision = "r2"
        else:
            other.document_types["talk_list"].accepted_by.append("editor")
        before = result.state.to_dict()
        for call in (
            ready.resume(other, result.state, result.context),
            ready.run_until_pause(other, result.state, result.context),
            ready.process_acceptance(other, result.state, result.context, decision(result)),
        ):
            with pytest.raises(ValueError, match="another definition"):
                await call
        assert result.state.to_dict() == before
        again = await ready.resume(other, result.state, result.context, force=True)
        assert again.paused
        await ready.resume(other, result.state, result.context)

    asyncio.run(run())
