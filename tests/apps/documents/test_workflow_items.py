"""What the items of an iteration may be, and what they stay."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phasegate.apps.documents import (
    IterationHandler,
    IterationInstance,
    WorkflowExecutionResult,
    WorkflowStatus,
    WorkflowStep,
)
from tests.apps.documents.definitions import detailed, small
from tests.apps.documents.fake_llm import (
    Answer,
    FakeLLM,
    documents,
    item,
    parts,
    ready,
    small_workflow,
    start,
    to_the_end,
    workflow,
)

COMPLETED, FAILED = WorkflowStatus.COMPLETED, WorkflowStatus.FAILED


@pytest.mark.parametrize(
    ("items", "keys"),
    [
        ([], []),
        ([{"id": "only"}], ["only"]),
        ([{"title": "x"}, {"title": "y"}], ["part_0_", "part_1_"]),
        ([{"id": "Ä/ö=%[1]"}, {"id": "日本"}, {"id": "a b"}], ["Ä/ö=%[1]", "日本", "a b"]),
        ([{"id": "part=x"}, {"id": "x"}], ["part=x", "x"]),
        ([{"id": 1}, {"part_id": "two"}], ["1", "two"]),
    ],
)
def test_items(items: list[Any], keys: list[str]) -> None:
    llm = FakeLLM(parts(*items))
    result = start(small_workflow(), llm)
    assert (result.state.status, result.state.error) == (COMPLETED, None)
    ids = result.state.iteration_progress["per_part"].entity_ids
    assert [each[: len(key)] for each, key in zip(ids, keys, strict=True)] == keys
    assert len(documents(result)) == 1 + len(keys)
    assert len({each for each in result.state.completed_instances if each.startswith("make_note[")}) == len(keys)
    assert "per_part" in result.state.completed_steps
    assert result.context.list_entities("part") == ids


def test_the_same_id_may_stand_under_different_parents() -> None:
    flow = workflow(detailed(("document_types.text.acceptance_required", True)))
    answers: dict[str, Answer] = {
        **parts({"id": "a"}, {"id": "b"}),
        "note": lambda prompt: {"details": [{"id": "x"}], "of": item(prompt)},
        "text": '{"same": "everywhere"}',
    }

    async def run() -> tuple[WorkflowExecutionResult, list[str]]:
        found = ready(llm)
        return await to_the_end(found, flow, await found.start(flow, "p1"))

    llm = FakeLLM(answers)
    result, waited = asyncio.run(run())
    assert waited == ["text:part=a/detail=x", "text:part=b/detail=x"]
    assert (result.state.status, len(llm.asked)) == (COMPLETED, 5)
    assert set(result.state.acceptance_decisions) == set(waited)
    done = {each["data"]["instance"] for each in result.state.events if each["event_type"] == "acceptance_recorded"}
    assert done == {"make_text[part=a/detail=x]", "make_text[part=b/detail=x]"}
    assert done < set(result.state.completed_instances)


def test_what_a_handler_raises_fails_the_step() -> None:
    class Broken(IterationHandler):
        def expand(self, step: WorkflowStep, context: Any) -> list[IterationInstance]:
            raise KeyError("parts")

    result = asyncio.run(ready(FakeLLM(parts()), iteration_handler_factory=Broken).start(small_workflow(), "p1"))
    assert (result.state.status, result.state.error) == (FAILED, "Step per_part failed: KeyError: 'parts'")


@pytest.mark.parametrize(
    ("document", "error"),
    [
        (None, "Step per_part failed: iteration source missing: there is no document 'plan'"),
        ({"other": 1}, "Step per_part failed: iteration source missing: 'plan' has no list 'parts'"),
        ({"parts": [{"id": "a"}, {"id": "a"}]}, "Step per_part failed: items of 'plan' have the same id: a"),
        ({"parts": [{"id": ["a"]}]}, "Step per_part failed: 'id' must be a text or a whole number"),
        ({"parts": list(range(201))}, "Step per_part failed: 'plan' has 201 items, more than the 200"),
        ({"parts": ["one", 2]}, None),
    ],
)
def test_lists_that_no_step_has_made(document: dict[str, Any] | None, error: str | None) -> None:
    flow = small_workflow(("steps", small()["steps"][1:]))
    given = {} if document is None else {"plan": document}
    result = start(flow, FakeLLM(parts()), initial_documents=given)
    assert result.state.status is (FAILED if error else COMPLETED)
    assert str(result.state.error).startswith(error or "None")


def test_ids_are_frozen_even_if_the_handler_draws_them_anew() -> None:
    drawn = iter(range(100))

    class Random(IterationHandler):
        def expand(self, step: WorkflowStep, context: Any) -> list[IterationInstance]:
            found = super().expand(step, context)
            return [
                IterationInstance(each.entity_type, str(next(drawn)), each.entity_data, each.scope, "", each.steps)
                for each in found
            ]

    async def run() -> WorkflowExecutionResult:
        found = ready(llm, iteration_handler_factory=Random)
        return (await to_the_end(found, flow, await found.start(flow, "p1")))[0]

    flow = small_workflow(("document_types.note.acceptance_required", True))
    llm = FakeLLM(parts({"title": "x"}, {"title": "y"}))
    result = asyncio.run(run())
    assert (result.state.status, len(llm.asked)) == (COMPLETED, 3)
    assert result.state.iteration_progress["per_part"].entity_ids == ["0", "1"]


def test_items_stay_what_they_were_when_the_iteration_began() -> None:
    async def run() -> WorkflowExecutionResult:
        found = ready(llm)
        result = await found.start(flow, "p1")
        assert result.context.list_entities("part") == ["a", "b"]
        result.context.store_document("plan", {"parts": [{"id": "c"}]})
        return (await to_the_end(found, flow, result))[0]

    flow = small_workflow(
        ("document_types.note.acceptance_required", True),
        ("steps.1.steps.0.inputs", [{"entity_type": "part", "scope": "part", "context": True}]),
    )
    llm = FakeLLM(parts({"id": "a"}, {"id": "b", "title": "kept"}))
    result = asyncio.run(run())
    assert (result.state.status, len(llm.asked)) == (COMPLETED, 3)
    assert '"title": "kept"' in llm.asked[2].user
