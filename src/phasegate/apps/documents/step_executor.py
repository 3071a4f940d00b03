"""One step: from its prompts and inputs, by way of a model and the gates, to a document that is fit or the reason why not.

Every call of ``attempt`` asks the model once at most; what it came to stands in the step's state, from which the next one goes
on. So whoever keeps the state loses nothing when the process dies, and asks nothing twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from phasegate.apps.documents.definition.models import Workflow, WorkflowStep
from phasegate.apps.documents.errors import PromptNotFoundError, WorkflowError
from phasegate.apps.documents.flow import attempts_of
from phasegate.apps.documents.gates.answers import validate_answers
from phasegate.apps.documents.gates.clarification import (
    ClarificationGate,
    ClarificationResult,
    mixes_questions_and_work,
)
from phasegate.apps.documents.gates.qa import QAFinding, QAGate, QAResult, check_document
from phasegate.apps.documents.inputs import DocumentStore, InputResolver
from phasegate.apps.documents.json_answers import JSONAnswerError, parse_json_answer
from phasegate.apps.documents.prompting import Revision, user_prompt
from phasegate.apps.documents.prompts import PromptLoader, prompt_sha256
from phasegate.apps.documents.remediation import RemediationLoop
from phasegate.apps.documents.states.step_state import LLMCall, StepState, StepStatus
from phasegate.llm import Client, LLMError, Prices, Request, Response, Retrying, as_client

#: How often a step may ask before it has to go on with assumptions.
CLARIFICATION_ROUNDS = 2


@dataclass
class ExecutionResult:
    """Where a step stands: its state, and what led there. ``output`` is the document once it is fit."""

    state: StepState
    clarification_result: ClarificationResult | None = None
    qa_result: QAResult | None = None
    output: Any = None


@dataclass(frozen=True, slots=True)
class Place:
    """Which instance of which step, and what it may read."""

    step: WorkflowStep
    workflow: Workflow
    store: DocumentStore
    scope_id: str | None = None
    parent_scope_ids: Mapping[str, str] | None = None


class StepExecutor:
    """Executes production steps. ``llm_service`` is anything that can answer (see ``phasegate.llm.as_client``).

    ``models`` names those that may answer, so that it can be reckoned what an answer may cost.

    ``max_remediation_attempts`` bounds the answers a step asks for until one is fit, the first included; a step may allow
    fewer. Failures of transport are retried by themselves and count for nothing here.
    """

    def __init__(
        self, prompt_loader: PromptLoader, clarification_gate: ClarificationGate, qa_gate: QAGate, llm_service: Any,
        max_remediation_attempts: int = 3, *, prices: Prices | None = None, models: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.prompts, self.clarification, self.qa = prompt_loader, clarification_gate, qa_gate
        client = as_client(llm_service)
        # A client of the package brings its own way of trying again.
        self.client: Client = client if client is llm_service else Retrying(client)
        self._loop = RemediationLoop(max_remediation_attempts)
        self.prices, self.models = prices, tuple(models)

    def register_schemas(self, workflow: Workflow) -> None:
        """Check the documents of a definition against the schema files it names."""
        for name, document in workflow.document_types.items():
            if isinstance(document.schema, str):
                self.qa.register_schema(name, document.schema)

    async def execute(
        self, step: WorkflowStep, workflow: Workflow, store: DocumentStore, state: StepState,
        scope_id: str | None = None, parent_scope_ids: Mapping[str, str] | None = None,
    ) -> ExecutionResult:  # fmt: skip
        """Ask until the document is fit, the model has questions, or the attempts are used up.

        Nothing is asked when a prompt or a required input is missing. It does not raise: whatever goes wrong fails the state.
        """
        place = Place(step, workflow, store, scope_id, parent_scope_ids)
        while True:
            try:
                result = await self.attempt(place, state)
            except Exception as error:
                self.give_up(state, error)
                return ExecutionResult(state)
            if state.status is not StepStatus.REMEDIATING:
                return result

    async def continue_after_clarification(
        self, step: WorkflowStep, workflow: Workflow, store: DocumentStore, state: StepState, answers: Mapping[str, Any],
        scope_id: str | None = None, parent_scope_ids: Mapping[str, str] | None = None,
    ) -> ExecutionResult:  # fmt: skip
        """Go on with the answers to the questions. Raises ``ClarificationError``, and changes nothing, when they do not fit."""
        self.give_answers(state, answers)
        return await self.execute(step, workflow, store, state, scope_id, parent_scope_ids)

    def give_answers(self, state: StepState, answers: Mapping[str, Any]) -> None:
        """Put a person's answers into the state. Raises ``ClarificationError``, and changes nothing, when they do not fit."""
        state.provide_answers(validate_answers(state.asked_questions(), answers))

    def give_up(self, state: StepState, error: Exception) -> None:
        """Fail the state for what an attempt raised."""
        kind = type(error).__name__
        state.fail(
            f"the model could not be asked: {error}" if isinstance(error, LLMError) else f"{kind}: {error}", kind
        )

    async def attempt(
        self, place: Place, state: StepState, revision: Revision | None = None, *, client: Client | None = None
    ) -> ExecutionResult:
        """Ask once, and check what comes; ``client`` is asked instead of the executor's own.

        Raises ``LLMError`` when nothing came, and whatever else the client raises; the state is as before then.
        """
        step, workflow = place.step, place.workflow
        try:
            role, task = self.prompts.load_role(step.role or ""), self.prompts.load_task(step.task_prompt or "")
        except (PromptNotFoundError, WorkflowError) as error:
            state.fail(str(error))
            return ExecutionResult(state)
        resolved = InputResolver(workflow, place.store).resolve(
            step, place.scope_id, dict(place.parent_scope_ids or {})
        )
        if not resolved.success:
            state.fail("Input resolution failed: " + "; ".join(resolved.errors))
            return ExecutionResult(state)
        document = workflow.document_types[step.produces or ""]
        whole = user_prompt(
            task, resolved.to_dict(), step.produces or "", document, self._schema_of(place), state.answered_questions(),
            revision, state.clarification_rounds >= CLARIFICATION_ROUNDS,
        )  # fmt: skip
        prompt = self._with_findings(whole, state)
        response = await self._ask(client or self.client, place, role, prompt)
        state.max_attempts = min(state.max_attempts, self._loop.max_attempts, attempts_of(step))
        state.start()
        state.raw_llm_response = response.text
        state.prompt_hashes = {"role": prompt_sha256(role), "task": prompt_sha256(task), "user": prompt_sha256(prompt)}
        state.llm_calls.append(self._call(response, state.prompt_hashes["user"]))
        return self._judged(place, state, response)

    async def _ask(self, client: Client, place: Place, role: str, prompt: str) -> Response:
        extra = place.step.extra
        request = Request(
            system=role, user=prompt, model=extra.get("model"), max_output_tokens=extra.get("max_tokens"),
            temperature=extra.get("temperature"), timeout=extra.get("timeout_s"),
        )  # fmt: skip
        return await client.generate(request)

    def _call(self, response: Response, prompt_hash: str) -> LLMCall:
        cost = self.prices.cost(response) if self.prices is not None else None
        return LLMCall(
            model=response.model, tokens_in=response.prompt_tokens, tokens_out=response.completion_tokens,
            tokens_cached=response.cached_tokens, tokens_total=response.total_tokens, estimated=response.estimated,
            ms=(response.seconds or 0.0) * 1000, cost=cost, prompt_sha256=prompt_hash, at=datetime.now(UTC),
        )  # fmt: skip

    def _with_findings(self, whole: str, state: StepState) -> str:
        """The whole request, and what was wrong with the answer before, if that was checked."""
        if state.status is not StepStatus.REMEDIATING or state.qa_result is None:
            return whole
        told = self._loop.build_context(whole, state, state.qa_result)
        return self._loop.build_remediation_prompt(replace(told, max_attempts=state.max_attempts))

    def _judged(self, place: Place, state: StepState, response: Response) -> ExecutionResult:
        """Questions, a document that is fit, or findings."""
        text = response.text
        asked = self.clarification.check(text)
        if asked.needs_clarification or mixes_questions_and_work(text):
            problems = self._why_not_asked(place, state, asked, text)
            if not problems:
                state.request_clarification(asked.questions)
                return ExecutionResult(state, asked)
            return self._recorded(state, QAResult.of(problems), asked)
        state.check()
        try:
            value = parse_json_answer(text)
        except JSONAnswerError as error:
            cut = " (the answer was cut at the limit of tokens)" if response.stop_reason == "max_tokens" else ""
            return self._recorded(state, QAResult.of([_finding(f"Invalid JSON: {error}{cut}", "json_parse")]))
        return self._recorded(state, self._checked(place, value), value=value)

    def _why_not_asked(self, place: Place, state: StepState, asked: ClarificationResult, text: str) -> list[QAFinding]:
        if mixes_questions_and_work(text):
            return [
                _finding("questions and a document in one answer: give either the one or the other", "questions_only")
            ]
        if not place.step.extra.get("allow_clarification", True):
            return [
                _finding("this step may not ask: produce the document with stated assumptions", "questions_allowed")
            ]
        if state.clarification_rounds >= CLARIFICATION_ROUNDS:
            return [_finding("no more questions: produce the document with stated assumptions", "questions_allowed")]
        return [_finding(each, "question_set") for each in asked.validation_errors]

    def _checked(self, place: Place, value: Any) -> QAResult:
        name = place.step.produces or ""
        shape = check_document(value, place.workflow.document_types[name], self._schema_of(place))
        if any(each.severity == "error" for each in shape):
            return QAResult.of(shape)
        found = self.qa.check(value, name)
        return QAResult.of([*shape, *found.findings], found.schema_used)

    def _schema_of(self, place: Place) -> Mapping[str, Any] | None:
        """The schema that stands in the definition; a file is the gate's matter."""
        found = place.workflow.document_types[place.step.produces or ""].schema
        return found if isinstance(found, Mapping) else None

    def _recorded(
        self, state: StepState, qa: QAResult, asked: ClarificationResult | None = None, value: Any = None
    ) -> ExecutionResult:
        state.record_qa_result(qa)
        if qa.passed:
            state.output_document = value
        return ExecutionResult(state, asked, qa, state.output_document)


def _finding(message: str, rule: str) -> QAFinding:
    return QAFinding("$", message, "error", rule)
