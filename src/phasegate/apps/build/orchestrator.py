"""``PhaseOrchestrator``: several phases in a row, with retries and health checks, by any executor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from phasegate.apps.build.executor import PhaseExecutor
from phasegate.apps.build.foreign import ForeignPlan
from phasegate.errors import InputError


class AnyExecutor(Protocol):
    """Whatever can execute a phase."""

    def execute_phase(self, phase_spec: Any, context_files: Any, protected_paths: Any = None) -> Any:
        """A result: a mapping with at least ``success``."""


class PhaseOrchestrator:
    """Has phases executed one after another, each again while it fails and may."""

    def __init__(self, executor: AnyExecutor, max_retries: int = 3, enable_health_checks: bool = True) -> None:
        """``max_retries`` are those after the first attempt. Raises ``InputError`` for an executor without ``execute_phase``."""
        if not callable(getattr(executor, "execute_phase", None)):
            raise InputError(
                "the executor has no execute_phase", hint="give a PhaseExecutor, or an object with that method"
            )
        given: object = max_retries
        if not isinstance(given, int) or isinstance(given, bool) or given < 0:
            raise InputError(f"max_retries is {max_retries!r}; it must be a whole number from 0 upwards")
        self.executor, self.max_retries, self.enable_health_checks = executor, max_retries, bool(enable_health_checks)

    def run_phases(
        self, phases: Sequence[Any], stop_on_failure: bool = True, *, run_id: str | None = None
    ) -> dict[str, Any]:
        """Execute the phases in their order. With ``stop_on_failure`` those after one that failed are skipped. ``run_id`` is an
        earlier run to go on with: what has succeeded there with the same specification is kept.

        The result has a phase's result for each one that was executed. Raises ``LockError`` when another process works on the
        repository, ``HistoryError`` when the database cannot be used, and ``InputError``; whatever an executor raises is a
        result."""
        if not isinstance(phases, list | tuple):
            raise InputError("phases must be a list of phase specifications")
        if (
            isinstance(self.executor, PhaseExecutor)
            and type(self.executor).execute_phase is PhaseExecutor.execute_phase
        ):
            return self.executor.run_plan(
                phases, max_retries=self.max_retries, health_checks=self.enable_health_checks,
                stop_on_failure=stop_on_failure, continues=run_id,
            )  # fmt: skip
        if run_id is not None:
            raise InputError(
                "there is no run of this executor to go on with", hint="only those of a PhaseExecutor are kept"
            )
        return ForeignPlan(self.executor, self.max_retries, self.enable_health_checks).run(phases, stop_on_failure)
