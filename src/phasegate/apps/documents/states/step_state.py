"""How far one instance of a production step has come."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from phasegate.apps.documents.errors import InvalidTransitionError, PersistenceError
from phasegate.apps.documents.gates import questions as gate
from phasegate.apps.documents.gates.qa import QAResult


class StepStatus(StrEnum):
    """Where a step stands. Only ``completed`` and ``failed`` are final."""

    PENDING = "pending"
    EXECUTING = "executing"
    CLARIFYING = "clarifying"
    QA_CHECKING = "qa_checking"
    REMEDIATING = "remediating"
    COMPLETED = "completed"
    FAILED = "failed"


_OPEN = frozenset(StepStatus) - {StepStatus.COMPLETED, StepStatus.FAILED}

#: From which states a step may come into each. What is final stays so; to end it the same way again changes nothing.
TRANSITIONS: dict[StepStatus, frozenset[StepStatus]] = {
    StepStatus.EXECUTING: _OPEN,
    StepStatus.CLARIFYING: _OPEN,
    StepStatus.QA_CHECKING: _OPEN,
    StepStatus.REMEDIATING: _OPEN,
    StepStatus.COMPLETED: _OPEN | {StepStatus.COMPLETED},
    StepStatus.FAILED: _OPEN | {StepStatus.FAILED},
}


@dataclass(frozen=True, slots=True)
class ClarificationQuestion:
    """A question in its short form; the gate has one of the same name that says more."""

    question_id: str
    question: str
    context: str | None = None
    options: list[str] | None = None
    required: bool = True

    def as_asked(self) -> gate.ClarificationQuestion:
        """The question as the gate has it, so that answers can be checked."""
        return gate.ClarificationQuestion(
            id=self.question_id,
            text=self.question,
            intent=self.context or "",
            answer_type="single_choice" if self.options else "free_text",
            required=self.required,
            choices=[{"value": each, "label": each} for each in self.options] if self.options else None,
        )


#: What a step may hold as a question.
Question = ClarificationQuestion | gate.ClarificationQuestion


@dataclass(frozen=True, slots=True)
class AnsweredQuestion:
    """A question with its answer, and the round of questions they belong to."""

    round: int
    question_id: str
    question: str
    answer: Any


@dataclass(frozen=True, slots=True)
class LLMCall:
    """One answer of the model: whose, for which prompt, how many tokens, how long it took, and what it cost in USD.

    Tokens are None where the provider did not say; ``estimated`` ones are guessed from the lengths of the texts.
    """

    model: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int | None = None
    tokens_total: int | None = None
    estimated: bool = False
    ms: float = 0.0
    cost: float | None = None
    prompt_sha256: str = ""
    at: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        """The call as JSON."""
        return asdict(self) | {"at": _iso(self.at)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LLMCall:
        """The call that ``to_dict`` wrote."""
        return cls(**{**data, "at": _time(data.get("at"))})


@dataclass(frozen=True, slots=True)
class StepTransition:
    """One change of a step's status."""

    before: StepStatus
    after: StepStatus
    at: datetime
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The change as JSON."""
        return {"from": self.before.value, "to": self.after.value, "at": self.at.isoformat(), "reason": self.reason}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StepTransition:
        """The change that ``to_dict`` wrote."""
        at = datetime.fromisoformat(data["at"])
        return cls(StepStatus(data["from"]), StepStatus(data["to"]), at, data.get("reason", ""))


@dataclass
class StepState:
    """How far one instance of a step has come; every instance has its own.

    ``attempt`` counts the answers asked for. The methods that change the status take the time from ``now``, or else from the
    clock, keep a record in ``transitions``, and raise ``InvalidTransitionError`` when the step has already ended otherwise.
    """

    step_id: str
    status: StepStatus = StepStatus.PENDING
    attempt: int = 0
    max_attempts: int = 3
    clarification_questions: list[Question] | None = None
    clarification_answers: dict[str, Any] | None = None
    output_document: Any = None
    raw_llm_response: str | None = None
    qa_result: QAResult | None = None
    qa_history: list[QAResult] = field(default_factory=list)
    started_at: datetime | None = None
    completed_at: datetime | None = None
    error: str | None = None
    error_details: Any = None
    scope_path: str | None = None
    prompt_hashes: dict[str, str] = field(default_factory=dict)
    llm_calls: list[LLMCall] = field(default_factory=list)
    transitions: list[StepTransition] = field(default_factory=list)
    clarification_rounds: int = 0
    answered: list[AnsweredQuestion] = field(default_factory=list)

    @property
    def can_retry(self) -> bool:
        """Whether there are attempts left."""
        return self.attempt < self.max_attempts

    @property
    def is_terminal(self) -> bool:
        """Whether the step has ended."""
        return self.status not in _OPEN

    @property
    def is_waiting_for_human(self) -> bool:
        """Whether a person has to answer questions first."""
        return self.status is StepStatus.CLARIFYING

    @property
    def duration_seconds(self) -> float | None:
        """How long the step took from its first start; None until it has ended, and when it never started."""
        if self.started_at is None or self.completed_at is None:
            return None
        return (self.completed_at - self.started_at).total_seconds()

    def start(self, *, now: datetime | None = None) -> None:
        """Begin the next attempt."""
        now = now or _clock()
        self._move(StepStatus.EXECUTING, now, f"attempt {self.attempt + 1}")
        self.attempt += 1
        self.started_at = self.started_at or now

    def request_clarification(self, questions: Iterable[Question], *, now: datetime | None = None) -> None:
        """Wait for a person to answer these questions."""
        self._move(StepStatus.CLARIFYING, now or _clock(), "questions asked")
        self.clarification_questions = list(questions)
        self.clarification_rounds += 1

    def provide_answers(self, answers: Mapping[str, Any], *, now: datetime | None = None) -> None:
        """Go on with these answers. Whether they fit the questions has been checked by then."""
        self._move(StepStatus.EXECUTING, now or _clock(), "questions answered")
        self.clarification_answers = dict(answers)
        texts = {each.id: each.text for each in self.asked_questions()}
        this = self.clarification_rounds
        before = [each for each in self.answered if each.round != this]
        self.answered = before + [AnsweredQuestion(this, k, texts.get(k, k), each) for k, each in answers.items()]

    def asked_questions(self) -> list[gate.ClarificationQuestion]:
        """The questions asked last, all as the gate has them, so that answers can be checked."""
        asked = self.clarification_questions or ()
        return [each.as_asked() if isinstance(each, ClarificationQuestion) else each for each in asked]

    def answered_questions(self) -> list[tuple[str, Any]]:
        """The text of every question answered so far, in all rounds, with its answer."""
        return [(each.question, each.answer) for each in self.answered]

    def check(self, *, now: datetime | None = None) -> None:
        """There is an answer, which is being checked."""
        self._move(StepStatus.QA_CHECKING, now or _clock(), "answer received")

    def record_qa_result(self, result: QAResult, *, now: datetime | None = None) -> None:
        """The check came to this: the step is complete, or asks again, or has failed when there are no attempts left."""
        now = now or _clock()
        if result.passed:
            self._end(StepStatus.COMPLETED, now, "check passed")
        elif self.can_retry:
            self._move(StepStatus.REMEDIATING, now, "check failed")
        else:
            self._end(StepStatus.FAILED, now, "check failed")
            self.error = f"QA failed after max attempts ({self.max_attempts}): {_first_error(result)}"
        self.qa_result = result
        self.qa_history.append(result)

    def complete(self, *, now: datetime | None = None) -> None:
        """The step has done its work."""
        self._end(StepStatus.COMPLETED, now or _clock(), "")

    def fail(self, message: str, details: Any = None, *, now: datetime | None = None) -> None:
        """The step cannot do its work. When it had failed already, the first reason stays."""
        failed_already = self.status is StepStatus.FAILED
        self._end(StepStatus.FAILED, now or _clock(), message)
        if not failed_already:
            self.error, self.error_details = message, details

    def to_dict(self) -> dict[str, Any]:
        """The whole state as JSON."""
        asked = self.clarification_questions
        return {name: copy.deepcopy(getattr(self, name)) for name in _PLAIN} | {
            "status": self.status.value,
            "clarification_questions": None if asked is None else [question_to_dict(each) for each in asked],
            "qa_result": None if self.qa_result is None else self.qa_result.to_dict(),
            "qa_history": [each.to_dict() for each in self.qa_history],
            "started_at": _iso(self.started_at),
            "completed_at": _iso(self.completed_at),
            "llm_calls": [each.to_dict() for each in self.llm_calls],
            "transitions": [each.to_dict() for each in self.transitions],
            "answered": [asdict(each) for each in self.answered],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StepState:
        """The state that ``to_dict`` wrote; fields this class does not know are left out."""
        known = {each.name: copy.deepcopy(data[each.name]) for each in fields(cls) if each.name in data}
        asked, checked = known.get("clarification_questions"), known.get("qa_result")
        return cls(
            **known
            | {
                "status": StepStatus(known.get("status", StepStatus.PENDING)),
                "clarification_questions": None if asked is None else [question_from_dict(each) for each in asked],
                "qa_result": None if checked is None else QAResult.from_dict(checked),
                "qa_history": [QAResult.from_dict(each) for each in known.get("qa_history", ())],
                "started_at": _time(known.get("started_at")),
                "completed_at": _time(known.get("completed_at")),
                "llm_calls": [LLMCall.from_dict(each) for each in known.get("llm_calls", ())],
                "transitions": [StepTransition.from_dict(each) for each in known.get("transitions", ())],
                "answered": [AnsweredQuestion(**each) for each in known.get("answered", ())],
            }
        )

    def _move(self, after: StepStatus, now: datetime, reason: str) -> None:
        if self.status not in TRANSITIONS[after]:
            raise InvalidTransitionError(f"step {self.step_id!r} is {self.status} and cannot become {after}")
        if self.status is not after or after in _OPEN:
            self.transitions.append(StepTransition(self.status, after, now, reason))
        self.status = after

    def _end(self, after: StepStatus, now: datetime, reason: str) -> None:
        self._move(after, now, reason)
        self.completed_at = self.completed_at or now


#: The fields that are JSON as they are.
_PLAIN = {each.name for each in fields(StepState)} - {
    "status", "clarification_questions", "qa_result", "qa_history", "started_at", "completed_at",
    "llm_calls", "transitions", "answered",
}  # fmt: skip


def question_to_dict(question: Question) -> dict[str, Any]:
    """A question of either kind as JSON; ``kind`` tells them apart."""
    kind = "short" if isinstance(question, ClarificationQuestion) else "gate"
    return {"kind": kind, **asdict(question)}


def question_from_dict(data: Mapping[str, Any]) -> Question:
    """The question that ``question_to_dict`` wrote; without a ``kind`` its fields tell which it is."""
    kind = data.get("kind", "short" if "question_id" in data else "gate")
    values = {name: value for name, value in data.items() if name != "kind"}
    if kind not in {"short", "gate"}:
        raise PersistenceError(f"unknown kind of question: {kind!r}")
    return ClarificationQuestion(**values) if kind == "short" else gate.ClarificationQuestion(**values)


def _first_error(result: QAResult) -> str:
    return next((f"{each.path}: {each.message}" for each in result.findings if each.severity == "error"), "no finding")


def _clock() -> datetime:
    return datetime.now(UTC)


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
