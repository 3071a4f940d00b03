"""A phase's function with what its configuration puts around it: handlers before, validators, handlers after.

In pieces or not, a phase is checked once, before its first piece. A validator that crashes is a validator that refuses. An error
handler is told of an error and cannot hide it; that a phase waits, or was stopped, is none.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from phasegate import Context, Fatal, Outcome, Snooze
from phasegate.apps.discovery.configs import FlowTypeConfig, PhaseConfig
from phasegate.apps.discovery.phases.common import MORE, WARNINGS, Place, load, settings
from phasegate.apps.discovery.registries import FlowTypeRegistry, HandlerResult, ValidationResult
from phasegate.apps.discovery.results import PhaseOutcome, outcome_of
from phasegate.apps.discovery.statements.flows import FLOW


def guarded(step: str, phase: PhaseConfig, config: FlowTypeConfig, registries: FlowTypeRegistry) -> Callable[..., Any]:
    """The function of one step of a phase, with everything around it."""
    guard = _Guard(step, phase, config, registries)
    function = registries.executors.get(step)
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def whole(context: Context) -> Any:
            with guard.watching(context):
                remarks = guard.before(context)
                return guard.after(context, await function(context), remarks)

        return whole

    @functools.wraps(function)
    def plain(context: Context) -> Any:
        with guard.watching(context):
            remarks = guard.before(context)
            return guard.after(context, function(context), remarks)

    return plain


class _Guard:
    def __init__(self, step: str, phase: PhaseConfig, config: FlowTypeConfig, registries: FlowTypeRegistry) -> None:
        self.step, self.phase, self.config, self._registries = step, phase, config, registries
        steps = phase.executors
        # What is put before a phase is for its first step, what is put behind it for its last.
        self._first, self._last = step == steps[0], step == steps[-1]
        self._begins = self._first and phase == config.phases[0]
        self._end = _last_step([each for each in config.phases if not each.can_skip])
        self._end_of_analysis = _last_step(config.phases)

    def before(self, context: Context) -> list[str]:
        """What validators had to remark on the phase, though they let it go on; also when that was before an earlier piece of
        it. Raises ``Fatal`` with everything that speaks against the phase."""
        if not self._first or context.feedback is not None or context.answers is not None:
            return _remarked(context.feedback) or _remarked(context.questions)
        given = phase_input(context, self.phase.name)
        names = (*(self.config.initialization_handlers if self._begins else ()), *self.phase.pre_handlers)
        for name in names:
            self._handle(name, given)
        state = flow_state(context)
        overrides = (state.get("configuration") or {}).get("validation_overrides", {}).get(self.phase.name, [])
        errors: list[str] = []
        remarks: list[str] = []
        for name in self._registries.validators.of(self.config, self.phase):
            if name not in overrides:
                found = self._validated(name, given, state, {"skipped": overrides})
                errors += [f"{name}{each}" for each in found.errors]
                remarks += [f"{name}: {each}" for each in found.warnings]
        if errors:
            raise Fatal("VALIDATION_FAILED: " + "; ".join(errors))
        return remarks

    def after(self, context: Context, result: Any, remarks: Sequence[str]) -> Any:
        """What the function gave, with the validators' remarks if it is a mapping. Raises ``Fatal`` when it says failure, or when
        a handler behind the phase fails."""
        result = _with_remarks(context, result, remarks)
        value = result.value if isinstance(result, Outcome) else result
        outcome, error = outcome_of(value)
        if outcome is PhaseOutcome.FAILED:
            raise Fatal(str(error))
        if isinstance(result, type(context.ask(None))) or (isinstance(result, Outcome) and result.word == MORE):
            return result  # the phase is not at its end
        names = (
            *(self.phase.post_handlers if self._last else ()),
            *(self.config.finalization_handlers if self._ends(context) else ()),
        )
        for name in names:
            self._handle(name, {**phase_input(context, self.phase.name), "result": value})
        return result

    def _ends(self, context: Context) -> bool:
        return self.step == (self._end_of_analysis if settings(context).get("analysis") else self._end)

    def watching(self, context: Context) -> Any:
        """Tells error handlers of what is raised within."""
        return _Watch(self, context)

    def tell(self, context: Context, error: BaseException) -> None:
        """Call the error handlers; what they do themselves cannot hide the error."""
        for name in self.config.error_handlers:
            with suppress(Exception):
                told = {
                    **phase_input(context, self.phase.name),
                    "error": str(error),
                    "error_type": type(error).__name__,
                }
                self._registries.handlers.get(name)(told)

    def _validated(
        self, name: str, given: Mapping[str, Any], state: Mapping[str, Any], overrides: Mapping[str, Any]
    ) -> ValidationResult:
        """What a validator says. Its errors begin with what stands between them and its name."""
        try:
            found = self._registries.validators.get(name)(given, state, overrides)
        except Exception as error:
            return ValidationResult.of([f" crashed: {type(error).__name__}: {error}"])
        if not isinstance(found, ValidationResult):
            return ValidationResult.of([f" gives {type(found).__name__}, which is no ValidationResult"])
        refused = [] if found.valid else [f": {each}" for each in found.errors or ("it refuses without a reason",)]
        return ValidationResult.of(refused, found.warnings)

    def _handle(self, name: str, given: Mapping[str, Any]) -> None:
        try:
            found = self._registries.handlers.get(name)(given)
        except Exception as error:
            raise Fatal(f"handler {name} crashed: {type(error).__name__}: {error}") from None
        if not isinstance(found, HandlerResult):
            raise Fatal(f"handler {name} gives {type(found).__name__}, which is no HandlerResult")
        if not found.success:
            raise Fatal(f"handler {name} failed: {found.error or 'it does not say why'}")


def _remarked(value: Any) -> list[str]:
    return list(value.get(WARNINGS, ())) if isinstance(value, Mapping) else []


def _with_remarks(context: Context, result: Any, remarks: Sequence[str]) -> Any:
    """What a function gave, or asks, with what the validators had to remark."""
    if not remarks:
        return result
    if isinstance(result, Outcome):
        return Outcome(result.word, _with_remarks(context, result.value, remarks))
    if isinstance(result, type(context.ask(None))):
        return context.ask(_with_remarks(context, result.questions, remarks))
    return {**result, WARNINGS: list(remarks)} if isinstance(result, Mapping) else result


def _last_step(phases: Sequence[PhaseConfig]) -> str | None:
    return next((each.executors[-1] for each in reversed(phases) if each.executors), None)


class _Watch:
    def __init__(self, guard: _Guard, context: Context) -> None:
        self._guard, self._context = guard, context

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, Snooze) and not self._context.cancelled:
            self._guard.tell(self._context, error)


def phase_input(context: Context, phase: str) -> dict[str, Any]:
    """What validators and handlers are told of the phase: the ids as text, the configuration, what phases above gave."""
    place = Place.of(context)
    return {
        "phase": phase, "flow_id": place.flow_id, "master_flow_id": place.flow_id, "data_import_id": place.import_id,
        "client_account_id": place.tenant.client_account_id, "engagement_id": place.tenant.engagement_id,
        "user_id": place.tenant.user_id, "configuration": dict(context.input.get("configuration") or {}),
        "inputs": dict(context.inputs),
    }  # fmt: skip


def flow_state(context: Context) -> dict[str, Any]:
    """The flow's row, and ``read``: a query's rows, for validators that count."""
    place = Place.of(context)
    rows = context.read(FLOW, {**place.tenant.where, "flow_id": place.flow_id})
    row = dict(rows[0]) if rows else {}
    configuration = load(row.get("flow_configuration")) or {}
    return {**row, "configuration": configuration, "read": context.read, "where": place.where}
