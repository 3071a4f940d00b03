"""How far one execution of a workflow has come."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from phasegate.apps.documents.errors import InvalidTransitionError, PersistenceError
from phasegate.apps.documents.states.step_state import StepState

SCHEMA_VERSION = "workflow_state.v1"


class WorkflowStatus(StrEnum):
    """Where an execution stands."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING_ACCEPTANCE = "waiting_acceptance"
    WAITING_CLARIFICATION = "waiting_clarification"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


_S = WorkflowStatus
_WAITING = frozenset({_S.WAITING_ACCEPTANCE, _S.WAITING_CLARIFICATION})

#: (verb, status) -> the status after it; what is not here raises ``InvalidTransitionError``.
TRANSITIONS: dict[tuple[str, WorkflowStatus], WorkflowStatus] = {
    ("start", _S.PENDING): _S.RUNNING,
    **{("resume", status): _S.RUNNING for status in (_S.PENDING, _S.RUNNING, *_WAITING)},
    **{("wait_for_acceptance", status): _S.WAITING_ACCEPTANCE for status in (_S.PENDING, _S.RUNNING)},
    **{("wait_for_clarification", status): _S.WAITING_CLARIFICATION for status in (_S.PENDING, _S.RUNNING)},
    ("complete", _S.RUNNING): _S.COMPLETED,
    **{("fail", status): _S.FAILED for status in (_S.PENDING, _S.RUNNING, *_WAITING)},
    # To cancel what is cancelled changes nothing.
    **{("cancel", status): _S.CANCELLED for status in (_S.PENDING, _S.RUNNING, *_WAITING, _S.CANCELLED)},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptanceDecision:
    """What a person decided on a document. ``sha256`` is that of the version the person saw."""

    doc_type: str
    scope_id: str | None = None
    accepted: bool
    comment: str | None = None
    decided_by: str
    decided_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    decided_by_role: str | None = None
    sha256: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON."""
        return asdict(self) | {"decided_at": self.decided_at.isoformat()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AcceptanceDecision:
        """The decision that ``to_dict`` wrote."""
        known = {each.name: data[each.name] for each in fields(cls) if each.name in data}
        return cls(**known | {"decided_at": datetime.fromisoformat(data["decided_at"])})


@dataclass
class IterationProgress:
    """How far an iteration has come. ``entity_ids`` are fixed when it begins."""

    step_id: str
    total: int
    completed: int = 0
    current_index: int = 0
    entity_ids: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether every item is done; an iteration over nothing is."""
        return self.completed >= self.total

    @property
    def remaining(self) -> int:
        """How many items are not done."""
        return max(0, self.total - self.completed)


@dataclass(frozen=True, slots=True)
class Frame:
    """One level of the place where an execution is: which item of which iteration."""

    step_id: str
    index: int
    entity_id: str


@dataclass
class WorkflowState:
    """How far an execution has come.

    Step states, iteration progress and completed instances go by instance: the id of the step at the root, and below it with
    the path of its scope, as in ``write[epic=e1/story=s1]``. ``completed_steps`` has plain ids. ``acceptance_decisions`` has
    the decision that counts, ``decision_history`` every one. ``version`` is what persistence compares before it overwrites.

    The methods that change the status take the time from ``now``, or else from the clock.
    """

    workflow_id: str
    project_id: str
    status: WorkflowStatus = WorkflowStatus.PENDING
    current_step_id: str | None = None
    completed_steps: list[str] = field(default_factory=list)
    step_states: dict[str, StepState] = field(default_factory=dict)
    iteration_progress: dict[str, IterationProgress] = field(default_factory=dict)
    pending_acceptance: str | None = None
    pending_acceptance_scope_id: str | None = None
    acceptance_decisions: dict[str, AcceptanceDecision] = field(default_factory=dict)
    pending_clarification_step_id: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    error: str | None = None
    execution_id: str | None = None
    run_stack: list[Frame] = field(default_factory=list)
    completed_instances: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    revision: str | None = None
    schema_version: str = SCHEMA_VERSION
    pending_clarification_scope: str | None = None
    llm_usage: dict[str, Any] = field(default_factory=dict)
    decision_history: list[AcceptanceDecision] = field(default_factory=list)
    version: int = 0

    @property
    def is_terminal(self) -> bool:
        """Whether the execution has ended."""
        return self.status in {_S.COMPLETED, _S.FAILED, _S.CANCELLED}

    @property
    def is_waiting(self) -> bool:
        """Whether the execution waits for a person."""
        return self.status in _WAITING

    @property
    def duration(self) -> float | None:
        """How many seconds the execution took; None until it has ended, and when it never started."""
        if self.started_at is None or self.completed_at is None:
            return None
        return (self.completed_at - self.started_at).total_seconds()

    def start(self, *, now: datetime | None = None) -> None:
        """Begin."""
        self._move("start")
        self.started_at = now or _clock()

    def complete(self, *, now: datetime | None = None) -> None:
        """Everything is done."""
        self._end("complete", now)
        self.current_step_id = None

    def fail(self, error: str, *, now: datetime | None = None) -> None:
        """It cannot go on."""
        self._end("fail", now)
        self.error = error

    def cancel(self, *, now: datetime | None = None) -> None:
        """Somebody does not want it any more. To cancel once more changes nothing."""
        self._end("cancel", now)

    def wait_for_acceptance(self, doc_type: str, scope_id: str | None = None) -> None:
        """A person has to decide on this document first."""
        self._move("wait_for_acceptance")
        self.pending_acceptance, self.pending_acceptance_scope_id = doc_type, scope_id

    def wait_for_clarification(self, step_id: str, scope: str | None = None) -> None:
        """A person has to answer the questions of this step first; ``scope`` is the path of its instance."""
        self._move("wait_for_clarification")
        self.pending_clarification_step_id, self.pending_clarification_scope = step_id, scope

    def resume(self) -> None:
        """Go on; nothing is waited for any more."""
        self._move("resume")
        self._clear_pending()

    def record_decision(self, key: str, decision: AcceptanceDecision) -> None:
        """From now on this decision counts for the document; earlier ones stay in the history."""
        self.acceptance_decisions[key] = decision
        self.decision_history.append(decision)

    def mark_step_complete(self, step_id: str) -> None:
        """The step is done, with all its instances."""
        if step_id not in self.completed_steps:
            self.completed_steps.append(step_id)

    def is_step_complete(self, step_id: str) -> bool:
        """Whether the step is done, with all its instances."""
        return step_id in self.completed_steps

    def mark_instance_complete(self, instance: str) -> None:
        """One instance of a step is done."""
        if instance not in self.completed_instances:
            self.completed_instances.append(instance)

    def get_step_state(self, instance: str) -> StepState | None:
        """How far an instance of a step has come; None when it has not begun."""
        return self.step_states.get(instance)

    def set_step_state(self, instance: str, state: StepState) -> None:
        """Keep how far an instance of a step has come."""
        self.step_states[instance] = state

    def to_dict(self) -> dict[str, Any]:
        """The whole state as JSON."""
        return {name: copy.deepcopy(getattr(self, name)) for name in _PLAIN} | {
            "status": self.status.value,
            "step_states": {key: each.to_dict() for key, each in self.step_states.items()},
            "iteration_progress": {key: asdict(each) for key, each in self.iteration_progress.items()},
            "acceptance_decisions": {key: each.to_dict() for key, each in self.acceptance_decisions.items()},
            "decision_history": [each.to_dict() for each in self.decision_history],
            "run_stack": [asdict(each) for each in self.run_stack],
            "started_at": None if self.started_at is None else self.started_at.isoformat(),
            "completed_at": None if self.completed_at is None else self.completed_at.isoformat(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> WorkflowState:
        """The state that ``to_dict`` wrote; fields this class does not know are left out.

        Raises ``PersistenceError`` when a later version of this class wrote it.
        """
        if data.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
            raise PersistenceError(f"the state has the unknown schema version {data['schema_version']!r}")
        known = {each.name: copy.deepcopy(data[each.name]) for each in fields(cls) if each.name in data}
        decided, progress = known.get("acceptance_decisions", {}), known.get("iteration_progress", {})
        return cls(
            **known
            | {
                "status": WorkflowStatus(known.get("status", WorkflowStatus.PENDING)),
                "step_states": {key: StepState.from_dict(each) for key, each in known.get("step_states", {}).items()},
                "iteration_progress": {key: IterationProgress(**each) for key, each in progress.items()},
                "acceptance_decisions": {key: AcceptanceDecision.from_dict(each) for key, each in decided.items()},
                "decision_history": [AcceptanceDecision.from_dict(each) for each in known.get("decision_history", ())],
                "run_stack": [Frame(**each) for each in known.get("run_stack", ())],
                "started_at": _time(known.get("started_at")),
                "completed_at": _time(known.get("completed_at")),
            }
        )

    def _move(self, verb: str) -> None:
        after = TRANSITIONS.get((verb, self.status))
        if after is None:
            raise InvalidTransitionError(
                f"execution {self.execution_id or self.workflow_id!r} is {self.status}: no {verb.replace('_', ' ')}"
            )
        self.status = after

    def _end(self, verb: str, now: datetime | None) -> None:
        self._move(verb)
        self._clear_pending()
        self.completed_at = self.completed_at or now or _clock()

    def _clear_pending(self) -> None:
        self.pending_acceptance = self.pending_acceptance_scope_id = None
        self.pending_clarification_step_id = self.pending_clarification_scope = None


#: The fields that are JSON as they are.
_PLAIN = {each.name for each in fields(WorkflowState)} - {
    "status", "step_states", "iteration_progress", "acceptance_decisions", "decision_history", "run_stack",
    "started_at", "completed_at",
}  # fmt: skip


def _clock() -> datetime:
    return datetime.now(UTC)


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
