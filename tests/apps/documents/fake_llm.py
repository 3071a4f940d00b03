"""A model that answers by the document it is asked for, and a conference made with it in process."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from phasegate.apps.documents import (
    AcceptanceDecision,
    ClarificationGate,
    PromptLoader,
    QAGate,
    StepExecutor,
    Workflow,
    WorkflowExecutionResult,
    WorkflowExecutor,
    WorkflowLoader,
    WorkflowStatus,
)
from tests.apps.documents.definitions import EXAMPLE, EXAMPLES, changed, small

PROMPTS = EXAMPLES / "prompts"

#: What a model says, or raises; a function of the user prompt.
Answer = str | BaseException | Callable[[str], Any]


@dataclass
class Asked:
    """One request: which document it was for, and the item that the instance is about."""

    doc_type: str
    item: str
    system: str
    user: str


class FakeLLM:
    """Answers every request with what ``answers`` has for its document, and keeps the requests.

    ``said`` are answers that come first, one for each request of a document of that type.
    """

    def __init__(self, answers: Mapping[str, Answer], **said: list[Answer]) -> None:
        self.answers, self.said = answers, said
        self.asked: list[Asked] = []

    async def complete(self, system_prompt: str, user_prompt: str, **options: Any) -> str:
        del options
        found = re.search(r" of type (\w+), and nothing else", user_prompt)
        assert found is not None, user_prompt
        doc_type = found[1]
        self.asked.append(Asked(doc_type, item(user_prompt), system_prompt, user_prompt))
        await asyncio.sleep(0)
        waiting = self.said.get(doc_type)
        answer = waiting.pop(0) if waiting else self.answers[doc_type]
        if callable(answer):
            answer = answer(user_prompt)
        if isinstance(answer, BaseException):
            raise answer
        return answer if isinstance(answer, str) else json.dumps(answer)

    @property
    def order(self) -> list[str]:
        return [f"{each.doc_type}:{each.item}" if each.item else each.doc_type for each in self.asked]


def item(prompt: str) -> str:
    """The id of the item among the inputs of a prompt; empty when there is none."""
    found = re.search(r"## (?:track|talk|part|detail)\n\n```json\n(.*?)\n```", prompt, re.DOTALL)
    return str(json.loads(found[1]).get("id", "")) if found else ""


CONFERENCE: dict[str, Answer] = {
    "event_brief": '{"event": "PyDays"}',
    "track_plan": '{"tracks": [{"id": "t1", "title": "Data"}, {"id": "t2", "title": "Web"}]}',
    "track_outline": lambda prompt: {"storyline": f"the story of {item(prompt)}"},
    "talk_list": lambda prompt: {"talks": [{"id": "k1", "of": item(prompt)}, {"id": "k2", "of": item(prompt)}]},
    "talk_abstract": lambda prompt: "```json\n" + json.dumps({"abstract": f"what {item(prompt)} says"}) + "\n```",
}
DOCUMENTS = [
    "event_brief", "track_plan",
    "track_outline:t1", "talk_list:t1", "talk_abstract:k1", "talk_abstract:k2",
    "track_outline:t2", "talk_list:t2", "talk_abstract:k1", "talk_abstract:k2",
]  # fmt: skip


def conference() -> Workflow:
    return WorkflowLoader().load(EXAMPLE)


def step_executor(llm: Any, prompts: Path = PROMPTS, **more: Any) -> StepExecutor:
    return StepExecutor(
        prompt_loader=PromptLoader(prompts), clarification_gate=ClarificationGate(), qa_gate=QAGate(), llm_service=llm,
        **more,
    )  # fmt: skip


def executor(llm: Any, **more: Any) -> WorkflowExecutor:
    return WorkflowExecutor(step_executor(llm), **more)


class AnyPrompts:
    """Every prompt exists."""

    def load_role(self, name: str) -> str:
        return f"You are {name}."

    def load_task(self, name: str) -> str:
        return f"Write: {name}."

    def role_exists(self, name: str) -> bool:
        return True

    def task_exists(self, name: str) -> bool:
        return True


def ready(llm: FakeLLM, **more: Any) -> WorkflowExecutor:
    """An executor for definitions whose prompts nobody has written."""
    steps = step_executor(llm)
    steps.prompts = AnyPrompts()  # type: ignore[assignment]  # whatever has these four methods will do
    return WorkflowExecutor(steps, **more)


def decision(result: WorkflowExecutionResult, accepted: bool = True, **more: Any) -> AcceptanceDecision:
    """The decision of a chair on what is waiting."""
    state = result.state
    assert state.pending_acceptance is not None
    return AcceptanceDecision(
        **{
            "doc_type": state.pending_acceptance,
            "scope_id": state.pending_acceptance_scope_id,
            "accepted": accepted,
            "comment": "Good" if accepted else "too thin",
            "decided_by": "chair@example.org",
            **more,
        }
    )


async def to_the_end(
    executor: WorkflowExecutor, workflow: Workflow, result: WorkflowExecutionResult
) -> tuple[WorkflowExecutionResult, list[str]]:
    """Accept whatever waits until nothing does; what waited."""
    waited = []
    while result.state.status is WorkflowStatus.WAITING_ACCEPTANCE:
        waited.append(f"{result.state.pending_acceptance}:{result.state.pending_acceptance_scope_id}")
        result = await executor.process_acceptance(workflow, result.state, result.context, decision(result))
    return result, waited


def documents(result: WorkflowExecutionResult) -> list[tuple[str, str, int, Any]]:
    """Every version of every document: its type, place, number and content."""
    told = result.context.to_dict()["documents"]
    return sorted((each["doc_type"], each["path"], each["version"], each["content"]) for each in told)


def questions(*texts: str, **more: Any) -> str:
    """An answer that asks."""
    asked = [
        {"id": f"Q_{number:02}", "text": text, "intent": "to know", "priority": "must", "answer_type": "free_text",
         "required": True, **more}
        for number, text in enumerate(texts, 1)
    ]  # fmt: skip
    counted = {"non_question_line_count": 0, "declarative_sentence_count": 0, "answer_leadin_count": 0}
    return json.dumps(
        {
            "schema_version": "clarification_question_set.v1",
            "mode": "questions_only",
            "correlation_id": str(UUID(int=7)),
            "question_set_kind": "other",
            "questions": asked,
            "qa": {**counted, "all_questions_end_with_qmark": True},
        }
    )


# --- what the tests of the executor share ---


def workflow(definition: Any) -> Workflow:
    return WorkflowLoader().load_dict(definition)


def small_workflow(*changes: tuple[str, Any]) -> Workflow:
    return workflow(changed(small(), *changes))


def parts(*items: Any) -> dict[str, Answer]:
    return {"plan": json.dumps({"parts": list(items)}), "note": lambda prompt: {"about": item(prompt) or "?"}}


def start(flow: Workflow, llm: FakeLLM, **more: Any) -> WorkflowExecutionResult:
    async def run() -> WorkflowExecutionResult:
        return await ready(llm).start(flow, "p1", **more)

    return asyncio.run(run())


def run(scenario: Callable[[], Awaitable[Any]]) -> Any:
    async def inner() -> Any:
        return await scenario()

    return asyncio.run(inner())


async def refused(call: Awaitable[Any], result: WorkflowExecutionResult, error: type[Exception], match: str) -> None:
    """It is an error, and nothing has changed."""
    before = (result.state.to_dict(), result.context.to_dict())
    with pytest.raises(error, match=match) as raised:
        await call
    assert isinstance(raised.value, ValueError)
    assert (result.state.to_dict(), result.context.to_dict()) == before
