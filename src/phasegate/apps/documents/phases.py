"""The functions behind a workflow's phases: produce a document, list the items of a collection.

A function asks the model once. What it came to is what the phase gives: the document; or, with the outcome ``unfit``, the state
of the step, with which the phase is done again; or questions, with the state beside them. So every answer of the model is on
disk before the next one is asked for. When a budget has no room for the call, nothing is asked, and the question is how much
more may be spent.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import orjson

from phasegate import Context, Fatal, Outcome
from phasegate.apps.documents.definition.models import WorkflowStep
from phasegate.apps.documents.digests import digest
from phasegate.apps.documents.errors import ClarificationError, WorkflowError
from phasegate.apps.documents.executors import Executors
from phasegate.apps.documents.flow import MOST_ITEMS, REVISIONS, UNFIT, attempts_of, gate_name
from phasegate.apps.documents.iteration import as_entity, item_key
from phasegate.apps.documents.layout import Layout
from phasegate.apps.documents.prompting import Revision
from phasegate.apps.documents.run_documents import RunDocuments
from phasegate.apps.documents.spending import budgets
from phasegate.apps.documents.spending.budgets import Exceeded
from phasegate.apps.documents.spending.charging import client_of
from phasegate.apps.documents.spending.ledger import Ledger
from phasegate.apps.documents.statements import (
    LAST_DECISION,
    LAST_DOCUMENT,
    LAST_DOCUMENT_BODY,
    RECORD_CALL,
    RECORD_DOCUMENT,
)
from phasegate.apps.documents.states.step_state import AnsweredQuestion, LLMCall, StepState, StepStatus
from phasegate.apps.documents.step_executor import ExecutionResult, Place, StepExecutor
from phasegate.errors import PhasegateError
from phasegate.llm import LLMError

#: Characters of an answer that are kept when it is not fit: enough to see what was wrong.
KEPT = 100_000


class Produce:
    """Produces the document of one step."""

    def __init__(self, layout: Layout, step: WorkflowStep, executors: Executors) -> None:
        self._layout, self._step, self.executors = layout, step, executors

    async def __call__(self, context: Context) -> Any:
        """The document; or ``Outcome("unfit")``, or questions: the model's, or one about a budget.

        Raises ``Fatal`` when another attempt is of no use.
        """
        try:
            executor = self.executors.of(context)
        except PhasegateError as error:  # its prompts, its prices, its recordings are not here
            raise Fatal(str(error)) from None
        documents = RunDocuments(self._layout, context, self._step)
        state, revision, recorded = self._state(context, executor)
        ids = list(documents.ids.values())
        place = Place(self._step, self._layout.workflow, documents, ids[-1] if ids else None, documents.ids)
        try:
            client = client_of(context, executor)
            result = await executor.attempt(place, state, revision, client=client)
        except Exceeded as error:
            refused = budgets.refusal(context.questions, context.answers)
            return context.ask({**error.question(context.phase, refused), **_left(state, revision, recorded)})
        except LLMError as error:
            if error.retryable:
                raise
            raise Fatal(f"{error}" + (f" ({error.hint})" if error.hint else "")) from None
        if result.state.status in (StepStatus.FAILED, StepStatus.CLARIFYING):
            # The engine keeps no writes of an attempt that fails or asks; what was paid has to be known all the same.
            await asyncio.to_thread(_record_now, context, result.state, recorded)
            recorded = len(result.state.llm_calls)
        return self._ending(context, result, documents, revision, recorded)

    def _state(self, context: Context, executor: StepExecutor) -> tuple[StepState, Revision | None, int]:
        """The state the step goes on from, the revision it is about, and how many of the state's calls are on record: what the
        last attempt left behind."""
        sent_back: Mapping[str, Any] = context.feedback if isinstance(context.feedback, Mapping) else {}
        left = context.questions if context.answers is not None else sent_back.get(UNFIT)
        if left is not None:
            state = StepState.from_dict(left["state"])
            revision = Revision(**left["revision"]) if left["revision"] else None
            if context.answers is not None:
                _take_answers(executor, state, context.answers)
            return state, revision, left["recorded"]
        state = StepState(self._step.step_id, max_attempts=attempts_of(self._step))
        return state, self._revision(context, state), 0

    def _revision(self, context: Context, state: StepState) -> Revision | None:
        """What is to be revised, when the last version was rejected and no other has come about since; the state then knows what
        was answered for it. Raises ``Fatal`` when it has been revised often enough."""
        decision = self._last_decision(context)
        before = _first(context, LAST_DOCUMENT, step=context.phase) if decision is not None else None
        if before is None or decision is None or decision["version"] <= before["decision"]:
            return None
        decided = orjson.loads(decision["body"])
        if decided["outcome"] != "rejected":
            return None
        if before["revision"] >= REVISIONS:
            raise Fatal(f"rejected after {REVISIONS} revisions: {decided['comment']}")
        state.answered = [AnsweredQuestion(**each) for each in orjson.loads(before["answers"])]
        rejected = _first(context, LAST_DOCUMENT_BODY, step=context.phase)
        document = orjson.loads(rejected["body"]) if rejected is not None else None
        return Revision(document, decided["comment"], ", ".join(decided["by"]), before["revision"] + 1)

    def _last_decision(self, context: Context) -> Mapping[str, Any] | None:
        """What was decided last about this document; without a query where nobody decides."""
        kind = self._layout.workflow.document_types[self._step.produces or ""]
        return _first(context, LAST_DECISION, gate=gate_name(context.phase)) if kind.acceptance_required else None

    def _ending(
        self, context: Context, result: ExecutionResult, documents: RunDocuments, revision: Revision | None,
        recorded: int,
    ) -> Any:  # fmt: skip
        state = result.state
        if state.status is StepStatus.FAILED:
            raise Fatal(state.error or "the step failed")
        if state.status is StepStatus.COMPLETED:
            self._record_document(context, state, documents, revision)
            _record_calls(context, state, recorded)
            return state.output_document
        if state.status is StepStatus.CLARIFYING:
            left = _left(state, revision, recorded)
            return context.ask({"questions": left["state"]["clarification_questions"], **left})
        _record_calls(context, state, recorded)
        return Outcome(UNFIT, {UNFIT: _left(state, revision, len(state.llm_calls))})

    def _record_document(
        self, context: Context, state: StepState, documents: RunDocuments, revision: Revision | None
    ) -> None:
        warnings = [each.to_dict() for each in state.qa_result.findings] if state.qa_result else []
        hashes = state.prompt_hashes
        context.write(
            RECORD_DOCUMENT,
            {
                **_common(context), "version": context.attempt, "doc_type": self._step.produces, "path": documents.path,
                "sha256": digest(state.output_document), "role_sha256": hashes["role"], "task_sha256": hashes["task"],
                "prompt_sha256": hashes["user"], "model": state.llm_calls[-1].model, "attempts": state.attempt,
                "inputs": _text(self._made_from(context)), "findings": _text(warnings), "produced_at": context.now(),
                "answers": _text([asdict(each) for each in state.answered]),
                "revision": revision.number if revision is not None else 0,
                "decision": decision["version"] if (decision := self._last_decision(context)) is not None else 0,
            },
        )  # fmt: skip

    def _made_from(self, context: Context) -> list[list[str | None]]:
        """The steps whose documents this one was made from, each with the sha256 of the version that was there."""
        found = []
        for name in (each for each in self._layout.sources(self._step) if each in context.inputs):
            source = self._layout.workflow.get_step(name)
            depth = len(self._layout.standing(source)) if source is not None else 0
            found.append([name, context.run.at(name, context.scope[:depth]).sha256])
        return found


class ListItems:
    """Lists the items of the collection that an iteration goes through."""

    def __init__(self, layout: Layout, step: WorkflowStep) -> None:
        self._layout, self._step = layout, step

    def __call__(self, context: Context) -> list[dict[str, Any]]:
        """The items in order, each with the id under which it is worked on. Raises ``Fatal`` when they cannot be used."""
        over = self._step.iterate_over
        assert over is not None
        scope = self._layout.workflow.document_types[over.doc_type].scope
        document = RunDocuments(self._layout, context, self._step).get_document(over.doc_type, scope)
        if document is None:
            raise Fatal(f"iteration source missing: there is no document {over.doc_type!r}")
        items = document.get(over.collection_field) if isinstance(document, Mapping) else None
        if not isinstance(items, list):
            raise Fatal(f"iteration source missing: {over.doc_type!r} has no list {over.collection_field!r}")
        most = int(self._step.extra.get("max_items", MOST_ITEMS))
        if len(items) > most:
            raise Fatal(f"{over.doc_type!r} has {len(items)} items, more than the {most} that this iteration may have")
        try:
            keys = [item_key(item, index, over.entity_type) for index, item in enumerate(items)]
        except WorkflowError as error:
            raise Fatal(f"an item of {over.doc_type!r} cannot be used: {error}") from None
        twice = [key for key, count in Counter(keys).items() if count > 1]
        if twice:
            raise Fatal(f"items of {over.doc_type!r} have the same id: {', '.join(twice)}")
        return [{"id": key, "entity": as_entity(item)} for key, item in zip(keys, items, strict=True)]


def _row(call: LLMCall) -> dict[str, Any]:
    return {
        "model": call.model, "prompt_tokens": call.tokens_in, "completion_tokens": call.tokens_out,
        "cached_tokens": call.tokens_cached, "total_tokens": call.tokens_total, "estimated": call.estimated,
        "cost": call.cost, "seconds": call.ms / 1000, "prompt_sha256": call.prompt_sha256, "at": call.at,
    }  # fmt: skip


def _take_answers(executor: StepExecutor, state: StepState, answers: Any) -> None:
    if state.status is StepStatus.CLARIFYING:
        try:
            executor.give_answers(state, answers)
        except ClarificationError as error:
            raise Fatal(f"the answers do not fit the questions: {error}") from None


def _common(context: Context) -> dict[str, Any]:
    """What every row of a step has."""
    return {
        "run_id": context.run.id, "step": context.phase, "scope": _scope(context), "tenant": context.tenant,
        "workflow": context.run.flow, "project": context.subject.id,
    }  # fmt: skip


def _record_calls(context: Context, state: StepState, recorded: int) -> None:
    """Write down what the model was asked since the calls that are on record."""
    for row in _calls(context, state, recorded):
        context.write(RECORD_CALL, row)


def _record_now(context: Context, state: StepState, recorded: int) -> None:
    """The same in a commit of its own."""
    rows = _calls(context, state, recorded)
    if rows and isinstance(context.deps, Ledger) and not context.dry_run:
        context.deps.write([(RECORD_CALL, row) for row in rows])


def _calls(context: Context, state: StepState, recorded: int) -> list[dict[str, Any]]:
    common = {**_common(context), "attempt": context.attempt}
    fresh = enumerate(state.llm_calls[recorded:], recorded + 1)
    return [{**common, "number": number, **_row(call)} for number, call in fresh]


def _left(state: StepState, revision: Revision | None, recorded: int) -> dict[str, Any]:
    """What the next attempt goes on from."""
    return {"state": _shortened(state), "revision": _told(revision), "recorded": recorded}


def _shortened(state: StepState) -> dict[str, Any]:
    told = state.to_dict()
    if state.raw_llm_response is not None:
        told["raw_llm_response"] = state.raw_llm_response[:KEPT]
    return told


def _told(revision: Revision | None) -> dict[str, Any] | None:
    if revision is None:
        return None
    return asdict(revision)


def _scope(context: Context) -> str:
    return _text(list(context.scope))


def _first(context: Context, statement: Any, **named: str) -> Mapping[str, Any] | None:
    """The row of a query about this instance of the step."""
    rows = context.read(statement, {"run": context.run.id, "scope": _scope(context), **named})
    return rows[0] if rows else None


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()
