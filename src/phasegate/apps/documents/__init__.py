"""Document workflows: JSON documents produced step by step with a language model, checked, clarified and accepted.

Every public name is imported on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phasegate.apps.lazily import lazily

if TYPE_CHECKING:
    from phasegate.apps.documents.definition.loader import WorkflowLoader
    from phasegate.apps.documents.definition.models import (
        DocumentTypeConfig,
        EntityTypeConfig,
        InputReference,
        IterationConfig,
        ScopeConfig,
        Workflow,
        WorkflowStep,
    )
    from phasegate.apps.documents.definition.registry import WorkflowRegistry
    from phasegate.apps.documents.definition.scopes import ScopeHierarchy
    from phasegate.apps.documents.definition.validator import (
        ValidationError,
        ValidationErrorCode,
        ValidationResult,
        WorkflowValidator,
    )
    from phasegate.apps.documents.errors import (
        AcceptanceError,
        ClarificationError,
        ConcurrentUpdateError,
        ExecutionNotFoundError,
        InvalidExecutionStateError,
        InvalidTransitionError,
        PersistenceError,
        PromptNotFoundError,
        ScopeHierarchyError,
        WorkflowError,
        WorkflowLoadError,
        WorkflowNotFoundError,
    )
    from phasegate.apps.documents.executor.workflow_executor import WorkflowExecutionResult, WorkflowExecutor
    from phasegate.apps.documents.gates.acceptance import AcceptanceGate
    from phasegate.apps.documents.gates.answers import validate_answers
    from phasegate.apps.documents.gates.clarification import ClarificationGate, ClarificationResult
    from phasegate.apps.documents.gates.qa import QAFinding, QAGate, QAResult
    from phasegate.apps.documents.gates.questions import ClarificationQuestion
    from phasegate.apps.documents.inputs import DocumentStore, InputResolutionResult, InputResolver, ResolvedInput
    from phasegate.apps.documents.iteration import IterationHandler, IterationInstance
    from phasegate.apps.documents.prompts import PromptLoader
    from phasegate.apps.documents.remediation import RemediationContext, RemediationLoop
    from phasegate.apps.documents.states.context import (
        AmbiguousIdError,
        ScopeInstance,
        StoredDocument,
        UnknownPlaceError,
        WorkflowContext,
    )
    from phasegate.apps.documents.states.persistence import (
        FileStatePersistence,
        InMemoryStatePersistence,
        StatePersistence,
    )
    from phasegate.apps.documents.states.step_state import LLMCall, StepState, StepStatus, StepTransition
    from phasegate.apps.documents.states.workflow_state import (
        AcceptanceDecision,
        Frame,
        IterationProgress,
        WorkflowState,
        WorkflowStatus,
    )
    from phasegate.apps.documents.step_executor import ExecutionResult, StepExecutor

#: Which module has which names.
_MODULES = {
    "states.context": (
        "AmbiguousIdError",
        "ScopeInstance",
        "StoredDocument",
        "UnknownPlaceError",
        "WorkflowContext",
    ),
    "errors": (
        "AcceptanceError",
        "ClarificationError",
        "ConcurrentUpdateError",
        "ExecutionNotFoundError",
        "InvalidExecutionStateError",
        "InvalidTransitionError",
        "PersistenceError",
        "PromptNotFoundError",
        "ScopeHierarchyError",
        "WorkflowError",
        "WorkflowLoadError",
        "WorkflowNotFoundError",
    ),
    "gates.acceptance": ("AcceptanceGate",),
    "gates.answers": ("validate_answers",),
    "gates.clarification": (
        "ClarificationGate",
        "ClarificationResult",
    ),
    "gates.qa": (
        "QAFinding",
        "QAGate",
        "QAResult",
    ),
    "gates.questions": ("ClarificationQuestion",),
    "inputs": (
        "DocumentStore",
        "InputResolutionResult",
        "InputResolver",
        "ResolvedInput",
    ),
    "iteration": (
        "IterationHandler",
        "IterationInstance",
    ),
    "definition.loader": ("WorkflowLoader",),
    "definition.models": (
        "DocumentTypeConfig",
        "EntityTypeConfig",
        "InputReference",
        "IterationConfig",
        "ScopeConfig",
        "Workflow",
        "WorkflowStep",
    ),
    "states.persistence": (
        "FileStatePersistence",
        "InMemoryStatePersistence",
        "StatePersistence",
    ),
    "prompts": ("PromptLoader",),
    "definition.registry": ("WorkflowRegistry",),
    "remediation": (
        "RemediationContext",
        "RemediationLoop",
    ),
    "definition.scopes": ("ScopeHierarchy",),
    "step_executor": (
        "ExecutionResult",
        "StepExecutor",
    ),
    "states.step_state": (
        "LLMCall",
        "StepState",
        "StepStatus",
        "StepTransition",
    ),
    "definition.validator": (
        "ValidationError",
        "ValidationErrorCode",
        "ValidationResult",
        "WorkflowValidator",
    ),
    "executor.workflow_executor": (
        "WorkflowExecutionResult",
        "WorkflowExecutor",
    ),
    "states.workflow_state": (
        "AcceptanceDecision",
        "Frame",
        "IterationProgress",
        "WorkflowState",
        "WorkflowStatus",
    ),
}
_LATER = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "AcceptanceDecision",
    "AcceptanceError",
    "AcceptanceGate",
    "AmbiguousIdError",
    "ClarificationError",
    "ClarificationGate",
    "ClarificationQuestion",
    "ClarificationResult",
    "ConcurrentUpdateError",
    "DocumentStore",
    "DocumentTypeConfig",
    "EntityTypeConfig",
    "ExecutionNotFoundError",
    "ExecutionResult",
    "FileStatePersistence",
    "Frame",
    "InMemoryStatePersistence",
    "InputReference",
    "InputResolutionResult",
    "InputResolver",
    "InvalidExecutionStateError",
    "InvalidTransitionError",
    "IterationConfig",
    "IterationHandler",
    "IterationInstance",
    "IterationProgress",
    "LLMCall",
    "PersistenceError",
    "PromptLoader",
    "PromptNotFoundError",
    "QAFinding",
    "QAGate",
    "QAResult",
    "RemediationContext",
    "RemediationLoop",
    "ResolvedInput",
    "ScopeConfig",
    "ScopeHierarchy",
    "ScopeHierarchyError",
    "ScopeInstance",
    "StatePersistence",
    "StepExecutor",
    "StepState",
    "StepStatus",
    "StepTransition",
    "StoredDocument",
    "UnknownPlaceError",
    "ValidationError",
    "ValidationErrorCode",
    "ValidationResult",
    "Workflow",
    "WorkflowContext",
    "WorkflowError",
    "WorkflowExecutionResult",
    "WorkflowExecutor",
    "WorkflowLoadError",
    "WorkflowLoader",
    "WorkflowNotFoundError",
    "WorkflowRegistry",
    "WorkflowState",
    "WorkflowStatus",
    "WorkflowStep",
    "WorkflowValidator",
    "validate_answers",
]


__getattr__ = lazily(__name__, _LATER)


def __dir__() -> list[str]:
    return sorted(__all__)
