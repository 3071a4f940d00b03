"""Changes to a repository that a language model proposes: checked, applied whole or not at all, kept healthy or undone.

``PhaseExecutor`` has one phase done, ``PhaseOrchestrator`` a plan of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phasegate.apps.lazily import lazily

if TYPE_CHECKING:
    from phasegate.apps.build.approval import ApprovalProvider as ApprovalProvider
    from phasegate.apps.build.approval import ApprovalRequest as ApprovalRequest
    from phasegate.apps.build.errors import PhaseExecutorError as PhaseExecutorError
    from phasegate.apps.build.executor import PhaseExecutor as PhaseExecutor
    from phasegate.apps.build.health.context import CheckResult as CheckResult
    from phasegate.apps.build.health.context import HealthContext as HealthContext
    from phasegate.apps.build.orchestrator import PhaseOrchestrator as PhaseOrchestrator
    from phasegate.apps.build.policy import Policy as Policy

_HOMES = {
    "ApprovalProvider": "approval", "ApprovalRequest": "approval", "CheckResult": "health.context",
    "HealthContext": "health.context", "PhaseExecutor": "executor", "PhaseExecutorError": "errors",
    "PhaseOrchestrator": "orchestrator", "Policy": "policy",
}  # fmt: skip

__all__ = [
    "ApprovalProvider", "ApprovalRequest", "CheckResult", "HealthContext", "PhaseExecutor", "PhaseExecutorError",
    "PhaseOrchestrator", "Policy",
]  # fmt: skip

__getattr__ = lazily(__name__, _HOMES)
