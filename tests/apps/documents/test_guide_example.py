"""The usage example of the guide, as written there, with the example workflow in place of the guide's."""

from __future__ import annotations

import asyncio
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import phasegate.apps.documents
from phasegate.apps.documents import (
    AcceptanceDecision,
    ClarificationGate,
    FileStatePersistence,
    PromptLoader,
    QAGate,
    StepExecutor,
    WorkflowExecutionResult,
    WorkflowExecutor,
    WorkflowLoader,
    WorkflowStatus,
)
from tests.apps.documents.definitions import EXAMPLE
from tests.apps.documents.fake_llm import CONFERENCE, PROMPTS, FakeLLM


async def guide(my_llm_service: Any, folder: Path) -> WorkflowExecutionResult:
    step_executor = StepExecutor(
        prompt_loader=PromptLoader(PROMPTS),
        clarification_gate=ClarificationGate(),
        qa_gate=QAGate(),
        llm_service=my_llm_service,
    )
    workflow_executor = WorkflowExecutor(step_executor)
    persistence = FileStatePersistence(folder)

    loader = WorkflowLoader()
    workflow = loader.load(EXAMPLE)

    result = await workflow_executor.start(workflow, "project_123")

    while result.state.status == WorkflowStatus.WAITING_ACCEPTANCE:
        await persistence.save(result.state, result.context)
        assert result.state.pending_acceptance is not None
        decision = AcceptanceDecision(
            doc_type=result.state.pending_acceptance,
            scope_id=result.state.pending_acceptance_scope_id,
            accepted=True,
            decided_by="user@example.com",
            comment="Approved",
        )
        loaded = await persistence.load(workflow.workflow_id, "project_123", workflow)
        assert loaded is not None
        state, context = loaded
        result = await workflow_executor.resume(workflow, state, context)
        result = await workflow_executor.process_acceptance(workflow, result.state, result.context, decision)

    if result.state.status == WorkflowStatus.COMPLETED:
        await persistence.delete(workflow.workflow_id, "project_123")
    assert persistence.list_all() == []
    return result


def test_the_guide(tmp_path: Path) -> None:
    llm = FakeLLM(CONFERENCE)
    result = asyncio.run(guide(llm, tmp_path))
    assert (result.state.status, len(llm.asked)) == (WorkflowStatus.COMPLETED, 10)


def test_a_model_needs_no_more_than_complete(tmp_path: Path) -> None:
    class Service:
        def __init__(self) -> None:
            self.inner = FakeLLM(CONFERENCE)

        async def complete(self, system_prompt: str, user_prompt: str, **kwargs: Any) -> str:
            return await self.inner.complete(system_prompt, user_prompt, **kwargs)

    assert asyncio.run(guide(Service(), tmp_path)).state.status == WorkflowStatus.COMPLETED


@pytest.mark.parametrize("name", phasegate.apps.documents.__all__)
def test_every_public_name_is_there(name: str) -> None:
    found = getattr(phasegate.apps.documents, name)
    assert found.__module__.startswith("phasegate.apps.documents.")
    assert name in dir(phasegate.apps.documents)


def test_no_other_name_is() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        importlib.import_module("phasegate.apps.documents").Nothing  # noqa: B018


def test_importing_the_package_imports_nothing_else() -> None:
    program = (
        "import sys, json, phasegate\nbefore = set(sys.modules)\nimport phasegate.apps.documents\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["phasegate.apps", "phasegate.apps.documents", "phasegate.apps.lazily"]


def test_the_executor_needs_no_database() -> None:
    program = "import sys\nfrom phasegate.apps.documents import WorkflowExecutor\nprint('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
