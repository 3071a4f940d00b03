"""Check what a phase asks for before anything costs money, and whether it is its turn at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from phasegate import Context, Outcome
from phasegate.apps.build import statements as q
from phasegate.apps.build.columns import load
from phasegate.apps.build.errors import ApprovalError, PhaseExecutorError, SpecError
from phasegate.apps.build.flow import BASELINE, DONE, KEPT, SKIP, UNFIT, stage
from phasegate.apps.build.health import commands
from phasegate.apps.build.health.baseline import Baseline
from phasegate.apps.build.health.commands import is_installed
from phasegate.apps.build.health.testing import report_of
from phasegate.apps.build.paths.protection import Protection
from phasegate.apps.build.risk import MOST
from phasegate.apps.build.schema import PhaseSpec
from phasegate.apps.build.spec import read_spec
from phasegate.apps.build.spec_rules import check_on_disk, missing_programs, unknown_phases
from phasegate.apps.build.stages.applying import health_context
from phasegate.apps.build.stages.common import Stage, as_error, unfit
from phasegate.apps.build.workshop import Workshop

_PAID_BEFORE = {
    "token_usage": 0, "duration": 0.0, "attempt_ids": [], "health": None,
    "tokens": {"prompt": 0, "completion": 0, "total": 0, "calls": 0, "estimated": False},
}  # fmt: skip


@dataclass(frozen=True)
class Check(Stage):
    """Gives ``spec``, ``attempts`` (how many there may be) and ``carry``: what one phase hands on to the next."""

    def work(self, context: Context) -> Outcome:
        """``done``, ``unfit``, ``skip`` when something before keeps the phase from beginning, or ``kept`` when the run that
        this one goes on with has done it."""
        shop = self.shop(context)
        shop.begin(context.run.id, self.number)
        carry = carried(context, self.number)
        raw = context.input["plan"][self.number - 1]
        protected = raw.get("protected_paths") if isinstance(raw, Mapping) else None
        named = {"phase_id": id_of(raw, self.number), "name": name_of(raw, self.number), "carry": carry}
        if carry["stop"] is not None:
            return Outcome(SKIP, {**named, "reason": carry["stop"]})
        sick = (context.inputs.get(BASELINE) or {}).get("errors")
        if sick:  # before anything costs money
            return Outcome(UNFIT, {**named, "errors": sick, "warnings": []})
        try:
            protection = shop.protection(context.input["protected"] if protected is None else protected)
        except SpecError as error:
            return unfit([error], **named, warnings=[])
        spec, errors, warnings = read_spec(
            raw, index=self.number - 1, protection=protection, taken=carry["statuses"], folds=shop.root.folds,
            policy=shop.policy,
        )  # fmt: skip
        if spec is not None:
            errors = [*errors, *unknown_phases(spec, carry["statuses"]), *_on_disk(spec, context, shop)]
        if spec is None or errors:
            return unfit(errors, **named, warnings=warnings)
        named |= {"phase_id": spec.phase_id, "name": spec.name}
        failed = next((each for each in spec.depends_on if carry["statuses"][each] != "succeeded"), None)
        if failed is not None:
            return Outcome(SKIP, {**named, "reason": f"it depends on {failed!r}, which has not succeeded"})
        warnings += _untested(spec, context.input["health_checks"])
        errors = [*missing_programs(spec), *_unapprovable(spec, shop)]
        if errors:
            return unfit(errors, **named, warnings=warnings)
        found = {
            **named, "spec": spec.told(), "sha256": spec.sha256, "warnings": warnings,
            "protected": list(protection.entries), "attempts": allowed_attempts(context, spec.max_attempts),
        }  # fmt: skip
        kept = self._kept(context, spec.phase_id, spec.sha256)
        if kept is not None:
            return Outcome(KEPT, {**found, "result": kept})
        return Outcome(DONE, {**found, "carry": _fresh(carry, spec, protection, shop)})

    def _kept(self, context: Context, phase_id: str, sha256: str) -> Any:
        before = context.input.get("continues")
        if before is None:
            return None
        rows = context.read(q.KEPT, {"run": before, "phase_id": phase_id, "sha256": sha256})
        # What was paid, and when, is the other run's.
        return {**load(rows[0]["result_json"]), **_PAID_BEFORE, "kept_from": before} if rows else None


def _fresh(carry: dict[str, Any], spec: PhaseSpec, protection: Protection, shop: Workshop) -> dict[str, Any]:
    """What is handed on, with what the phase's test command says now where a phase has changed files since without running it:
    what that one broke is not charged to this one."""
    command = commands.named(spec.test_cmd, shop.policy.test_timeout) if spec.test_cmd else None
    if command is None or command.name not in carry.get("stale", ()):
        return carry
    report = report_of(command, health_context(shop, spec, protection, moment="before"))
    tests = Baseline.from_told(carry["baseline"]["tests"]).advanced({command.name: report}).told()
    left = [each for each in carry["stale"] if each != command.name]
    return {**carry, "baseline": {**carry["baseline"], "tests": tests}, "stale": left}


def _untested(spec: PhaseSpec, checked: bool) -> list[str]:
    """A warning when the phase's tests will not be run."""
    if not spec.test_cmd:
        return []
    if not checked:
        return ["test_cmd is not run: the health is not checked here"]
    program = spec.test_cmd[0]
    return [] if is_installed(program) else [f"test_cmd cannot be run: there is no program {program!r}"]


def _unapprovable(spec: PhaseSpec, shop: Workshop) -> list[PhaseExecutorError]:
    """An error when somebody would have to approve and there is nobody: nobody is paid for a change like that."""
    if not spec.requires_approval or shop.policy.approval_from_risk > MOST or shop.approval_provider is not None:
        return []
    said = "there is nobody who could approve it: give an approval provider, or --approve ask"
    return [ApprovalError("E_APPROVAL_REJECTED", said)]


def _on_disk(spec: PhaseSpec, context: Context, shop: Workshop) -> Sequence[PhaseExecutorError]:
    try:
        return check_on_disk(spec, shop.root).errors
    except (PhaseExecutorError, OSError) as error:  # what cannot be looked at cannot be written either
        return [as_error(error, context)]


def carried(context: Context, number: int) -> dict[str, Any]:
    """What the phase before has handed on; at the beginning the health of the repository and nothing else."""
    if number > 1:
        before: dict[str, Any] = context.inputs[stage(number - 1, "verdict")]["carry"]
        return before
    return {"baseline": context.inputs.get(BASELINE), "statuses": {}, "stop": None, "hints": []}


def allowed_attempts(context: Context, own: object) -> int:
    """How many attempts a phase has: those of the run, or fewer if it says so itself."""
    most = int(context.input["max_retries"]) + 1
    return max(1, min(most, own)) if isinstance(own, int) and not isinstance(own, bool) else most


def id_of(raw: object, number: int) -> str:
    """What a phase calls itself, as long as nobody has read it; otherwise by its number."""
    given = raw.get("phase_id") if isinstance(raw, Mapping) else None
    if isinstance(given, int) and not isinstance(given, bool):
        given = str(given)
    return (given.strip() if isinstance(given, str) else "") or f"phase-{number}"


def name_of(raw: object, number: int) -> str:
    """The name of a phase that nobody has read yet."""
    given = raw.get("name") or raw.get("description") if isinstance(raw, Mapping) else None
    return given.strip().splitlines()[0][:80] if isinstance(given, str) and given.strip() else f"phase {number}"
