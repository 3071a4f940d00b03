"""Executions that are cancelled: while the model is asked, while something is saved, while a person is waited for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phasegate.apps.documents import (
    AcceptanceError,
    InMemoryStatePersistence,
    InvalidTransitionError,
    WorkflowContext,
    WorkflowState,
    WorkflowStatus,
)
from tests.apps.documents.fake_llm import (
    CONFERENCE,
    FakeLLM,
    conference,
    decision,
    documents,
    executor,
    refused,
    run,
    to_the_end,
)

WORKFLOW = conference()


@pytest.mark.parametrize("same_object", [True, False])
def test_an_execution_is_cancelled_in_the_middle_of_a_call(same_object: bool) -> None:
    async def scenario() -> None:
        reached, stopped, kept = asyncio.Event(), asyncio.Event(), InMemoryStatePersistence()

        class Stuck:
            async def complete(self, system_prompt: str, user_prompt: str) -> str:
                reached.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    stopped.set()
                return ""

        ready = executor(Stuck(), persistence=kept)
        state, context = WorkflowState("conference_programme", "p1"), WorkflowContext(WORKFLOW, "p1")
        task = asyncio.ensure_future(ready.run_until_pause(WORKFLOW, state, context))
        await reached.wait()
        with pytest.raises(ValueError, match="under way already"):
            await ready.resume(WORKFLOW, state, context)
        loaded = await kept.load("conference_programme", "p1", WORKFLOW)
        assert loaded is not None
        given = (state, context) if same_object else loaded
        cancelled = await ready.cancel(WORKFLOW, *given, "not needed")
        result = await task
        assert stopped.is_set()
        assert cancelled.state is result.state is state
        assert (state.status, state.error, result.paused) == (WorkflowStatus.CANCELLED, "not needed", False)
        saved = await kept.load("conference_programme", "p1", WORKFLOW)
        assert saved is not None
        assert saved[0].status is WorkflowStatus.CANCELLED
        before = state.to_dict()
        assert (await ready.cancel(WORKFLOW, state, context)).state.to_dict() == before
        assert (await ready.resume(WORKFLOW, state, context)).state.to_dict() == before

    run(scenario)


def test_an_answer_that_comes_after_the_cancellation_makes_no_document() -> None:
    async def scenario() -> None:
        reached = asyncio.Event()

        class Deaf:
            async def complete(self, system_prompt: str, user_prompt: str) -> str:
                reached.set()
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    pass
                return '{"event": "PyDays"}'

        class Slow(InMemoryStatePersistence):
            async def save(self, state: WorkflowState, context: WorkflowContext) -> None:
                await asyncio.sleep(0)
                await super().save(state, context)

        ready = executor(Deaf(), persistence=Slow())
        state, context = WorkflowState("conference_programme", "p1"), WorkflowContext(WORKFLOW, "p1")
        task = asyncio.ensure_future(ready.run_until_pause(WORKFLOW, state, context))
        await reached.wait()
        await ready.cancel(WORKFLOW, state, context)
        result = await task
        assert (result.state.status, documents(result)) == (WorkflowStatus.CANCELLED, [])
        assert result.state.llm_usage["calls"] == 1

    run(scenario)


@pytest.mark.parametrize("nth", range(1, 10))
def test_who_hears_of_an_event_may_cancel(nth: int) -> None:
    async def scenario() -> None:
        state, context = WorkflowState("conference_programme", "p1"), WorkflowContext(WORKFLOW, "p1")
        heard: list[str] = []

        async def sink(event: dict[str, Any]) -> None:
            heard.append(event["event_type"])
            if len(heard) == nth:
                await ready.cancel(WORKFLOW, state, context, "enough")

        ready = executor(FakeLLM(CONFERENCE), persistence=InMemoryStatePersistence(), event_sink=sink)
        result = await ready.run_until_pause(WORKFLOW, state, context)
        assert (result.state.status, result.paused, result.state.error) == (WorkflowStatus.CANCELLED, False, "enough")
        assert heard.count("cancelled") == 1

    run(scenario)


def test_what_waits_can_be_cancelled_and_what_has_ended_cannot() -> None:
    async def scenario() -> None:
        ready = executor(FakeLLM(CONFERENCE))
        result = await ready.start(WORKFLOW, "p1")
        yes = decision(result)
        cancelled = await ready.cancel(WORKFLOW, result.state, result.context)
        assert (cancelled.state.status, cancelled.state.pending_acceptance) == (WorkflowStatus.CANCELLED, None)
        call = ready.process_acceptance(WORKFLOW, result.state, result.context, yes)
        await refused(call, result, AcceptanceError, "cancelled")
        result, _ = await to_the_end(ready, WORKFLOW, await ready.start(WORKFLOW, "p2"))
        await refused(ready.cancel(WORKFLOW, result.state, result.context), result, InvalidTransitionError, "completed")

    run(scenario)
