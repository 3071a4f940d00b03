"""Apply the changes, check the health, keep them or put everything back."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from phasegate import Context, Outcome
from phasegate.apps.build import deliverables
from phasegate.apps.build.applying.transaction import Recovered
from phasegate.apps.build.errors import (
    ApprovalError,
    HealthCheckError,
    PhaseExecutorError,
    SpecError,
    UnsafePathError,
    told,
)
from phasegate.apps.build.flow import DONE, UNDONE, UNFIT
from phasegate.apps.build.health import commands, manifest
from phasegate.apps.build.health.baseline import Baseline
from phasegate.apps.build.health.checking import Health as Checked
from phasegate.apps.build.health.checking import check_health, take_baseline
from phasegate.apps.build.health.context import HealthContext, Moment
from phasegate.apps.build.health.manifest import Manifest
from phasegate.apps.build.paths.names import normalise
from phasegate.apps.build.paths.protection import Protection
from phasegate.apps.build.schema import Command, Found, PhaseSpec, Planned
from phasegate.apps.build.spec import read_spec
from phasegate.apps.build.stages.common import Stage, runner
from phasegate.apps.build.stages.validating import change_sha256, replanned
from phasegate.apps.build.workshop import Workshop

#: Of what tests leave behind so much is named.
_MOST_LEFT = 20
#: What tests had changed before the first phase is remembered of so many files.
_MOST_STIRRED = 1_000
#: What is checked after every change, also when nobody asked for health checks: they read what was written, and run nothing.
POST_APPLY = ("deliverables_present", "syntax", "conflict_markers")


_DURATION = re.compile(r"\bin \d+(?:\.\d+)?s(?:econds)?\b")


@dataclass(frozen=True)
class TakeBaseline(Stage):
    """What the tests say before anything is changed, and whether the machine is fit. Gives ``tests`` and ``checks``."""

    def work(self, context: Context) -> Outcome:
        """``done``, whatever it finds: a phase is judged by what is worse after it."""
        shop = self.shop(context)
        if not context.input["health_checks"]:
            return Outcome(DONE, {"tests": {}, "checks": []})
        protection = shop.protection(None)
        plain = PhaseSpec("baseline", "baseline", "The repository before the first phase")
        specs = _specs(context, shop)
        before = health_context(shop, plain, protection, moment="before", commands=_test_commands(specs, shop))
        checked = check_health(before, clock=shop.seconds)
        if not checked.passed:
            return Outcome(DONE, {**checked.told(), "tests": {}, "errors": told(checked.errors)})
        watched = [path for spec in specs for path in (*(spec.context_files or ()), *spec.deliverables)]
        watched += context.input["context_files"] or ()
        calm = _looked(shop, protection, watched)
        baseline = take_baseline(before)
        after = _looked(shop, protection, watched) if baseline.reports else calm
        stirred = sorted(manifest.stirred(calm, after) | manifest.stirred_in_git(calm, after))[:_MOST_STIRRED]
        return Outcome(DONE, {**checked.told(), "tests": baseline.told(), "stirred": stirred, "errors": []})

    def ending(self, context: Context, outcome: Outcome) -> Outcome:
        """As it is: it belongs to no attempt."""
        self.tell(context, outcome)
        return outcome


@dataclass(frozen=True)
class Apply(Stage):
    """Puts the changes on disk, all or none. Gives ``transaction``, by which they are kept or undone later."""

    def work(self, context: Context) -> Outcome:
        """``done``, or ``unfit`` when nothing was changed."""
        shop, validated = self.shop(context), self.given(context, "validate")
        planned = replanned(validated, shop)
        sha256 = change_sha256(validated["changes"], [each["sha256"] for each in validated["before"]])
        if sha256 != validated["sha256"]:
            raise ApprovalError("E_APPROVAL_MISMATCH", "the stored change is not the one that was validated and shown")
        with context.deps.changing(context):
            unsettled(context.deps.recover(shop), planned)
        before = observed(self, context, shop)
        with context.deps.changing(context):
            id = put_on_disk(self, context, shop, planned, str(context.attempt))
        return Outcome(DONE, {"transaction": id, "before": before, "files": [each.path for each in planned]})


@dataclass(frozen=True)
class CheckHealth(Stage):
    """Checks the repository as it is after the change. Gives the ``health``, and the ``tests`` as the next phase compares with
    them."""

    def work(self, context: Context) -> Outcome:
        """``done``, ``unfit`` when it is not healthy, ``undone`` when the change is not on disk any more."""
        shop, applied, check = self.shop(context), self.given(context, "apply"), self.given(context, "check")
        transaction = shop.applier.open(applied["transaction"])
        if transaction is None or transaction.state != "applied":
            return Outcome(UNDONE, {})
        spec = self.spec(context)
        planned = tuple(replanned(self.given(context, "validate"), shop))
        now = observed(self, context, shop)
        ran = _checked(self, context, shop, spec, planned, applied["before"], now, check["carry"]["baseline"])
        criteria = deliverables.check_criteria(spec, shop.root, runner(shop))
        stirred = (check["carry"]["baseline"] or {}).get("stirred", ())
        left = _left_behind(now, observed(self, context, shop), planned, stirred, shop)
        errors: list[PhaseExecutorError] = [*ran.errors, *criteria.errors, *left.errors]
        warnings = [*ran.warnings, *criteria.warnings, *left.warnings]
        tests = next((each.details for each in ran.checks if each.name == "tests"), {})
        found = {
            "health": {**ran.told(), "passed": not errors}, "tests": Baseline().advanced(ran.reports).told(),
            "warnings": warnings, "newly_failing": list(ran.regressions),
            "output": _steady(_output(tests, criteria.errors), shop),
        }  # fmt: skip
        return Outcome(UNFIT if errors else DONE, {**found, "errors": told(errors)})


@dataclass(frozen=True)
class Accept(Stage):
    """The commit of this stage is what makes the change final; what was kept to undo it is removed after the verdict."""

    def work(self, context: Context) -> Outcome:
        """``done``, or ``unfit`` when the change is not on disk any more and cannot be put there again: whoever went on with the
        run has undone what was not accepted yet."""
        id = self.given(context, "apply")["transaction"]
        with context.deps.changing(context) as shop:
            transaction = shop.applier.open(id)
            if transaction is None or transaction.state != "applied":
                planned = replanned(context.deps.validated(context.run.id, self.number), shop)
                unsettled(context.deps.recover(shop), planned)
                id = put_on_disk(self, context, shop, planned, f"accept{context.attempt}")
        return Outcome(DONE, {"transaction": id})


@dataclass(frozen=True)
class Restore(Stage):
    """Puts back every byte."""

    def work(self, context: Context) -> Outcome:
        """``done``, or ``unfit`` when something could not be put back."""
        with context.deps.changing(context) as shop:
            transaction = shop.applier.open(self.given(context, "apply")["transaction"])
            if transaction is not None:
                transaction.rollback()
        return Outcome(DONE, {})


def put_on_disk(stage: Stage, context: Context, shop: Workshop, planned: list[Planned], suffix: str) -> str:
    """Change the files; gives the id of the transaction, by which ``Workshops`` knows whose it is."""
    id = f"{context.run.id}-{stage.number}-{suffix}"
    about = {"run": context.run.id, "phase": stage.number, "attempt": context.attempt}
    shop.applier.begin(id, planned, about=about).commit()
    return id


def unsettled(recovered: Sequence[Recovered], planned: Sequence[Planned]) -> None:
    """Raises ``RollbackError`` when one of the files could not be put back after an earlier change: changed once more, it could
    be taken for that one's later, and be undone."""
    paths = {each.path for each in planned}
    for each in recovered:
        if each.error is not None and (not each.paths or paths & set(each.paths)):
            raise each.error


def health_context(
    shop: Workshop, spec: PhaseSpec, protection: Protection, *, moment: Moment, **more: Any
) -> HealthContext:  # fmt: skip
    """What the checks of a moment are given. The whole history is only read before the first phase."""
    problem = shop.history_problem
    history = None if problem is None else partial(problem, moment == "before")
    return HealthContext(
        shop.root, spec, shop.policy, protection, runner(shop), moment=moment, client=shop.client.ready, history=history, **more,
    )  # fmt: skip


def observed(stage: Stage, context: Context, shop: Workshop) -> dict[str, Any] | None:
    """What the repository looks like now, when its health is to be checked."""
    if not context.input["health_checks"]:
        return None
    spec = stage.spec(context)
    watched = [*(context.input["context_files"] or ()), *(spec.context_files or ()), *spec.deliverables]
    return _looked(shop, stage.protection(context), watched).told()


def _looked(shop: Workshop, protection: Protection, watched: Iterable[str]) -> Manifest:
    """The manifest, with these files watched; what is no path in the repository was not shown to anybody and is left out."""
    paths = []
    for each in watched:
        with suppress(UnsafePathError):
            paths.append(normalise(each, directory=True).rstrip("/"))
    return manifest.take(shop.root, protection, paths, runner(shop), shop.policy, own=shop.floor)


def _checked(
    stage: Stage, context: Context, shop: Workshop, spec: PhaseSpec, planned: tuple[Planned, ...],
    before: Mapping[str, Any] | None, now: Mapping[str, Any] | None, baseline: Mapping[str, Any] | None,
) -> Checked:  # fmt: skip
    tests = (baseline or {}).get("tests") or {}
    after = health_context(
        shop, spec, stage.protection(context), moment="after", planned=planned,
        manifest=Manifest.from_told(before) if before is not None else None,
        now=Manifest.from_told(now) if now is not None else None,
        unreadable=tuple(stage.given(context, "validate").get("unreadable", ())),
        baseline=Baseline.from_told(tests) if tests else None,
    )  # fmt: skip
    full = context.input["health_checks"]
    return check_health(
        after, phase_index=stage.number, attempt=stage.past(context).index, custom=shop.checks if full else (),
        only=None if full else POST_APPLY, clock=shop.seconds,
    )  # fmt: skip


def _left_behind(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, planned: tuple[Planned, ...],
    stirred: Collection[str], shop: Workshop,
) -> Found:  # fmt: skip
    """What the tests and criteria that were run have done to the repository: changed what was there, which is an error, or made
    what was not. Nothing of it can be put back, since nobody knew before. What the tests had changed already before the first
    phase (``stirred``) is not charged to any."""
    if before is None or after is None:
        return Found()
    one, other = Manifest.from_told(before), Manifest.from_told(after)
    made = {path for path in manifest.stirred_in_git(one, other) if (other.git or {}).get(path, "").endswith("|??")}
    changed = manifest.stirred(one, other) | (manifest.stirred_in_git(one, other) - made)
    changed -= set(stirred)
    changed |= {each.path for each in planned if shop.root.facts(each.path).sha256 != each.sha256_after}
    said = "was changed while the tests ran, by them or by somebody else; it cannot be put back"
    errors = [HealthCheckError("E_HEALTH_SIDE_EFFECTS", said, path=path) for path in sorted(changed)]
    return Found(tuple(errors), tuple(f"{path} was left behind by the tests" for path in sorted(made)[:_MOST_LEFT]))


def _specs(context: Context, shop: Workshop) -> list[PhaseSpec]:
    """The phases of the plan that can be read."""
    found = []
    for index, raw in enumerate(context.input["plan"]):
        given = raw.get("protected_paths") if isinstance(raw, Mapping) else None
        try:
            protection = shop.protection(context.input["protected"] if given is None else given)
        except SpecError:  # the phase will be refused
            continue
        spec, _, _ = read_spec(raw, index=index, protection=protection, policy=shop.policy)
        found += [spec] if spec is not None else []
    return found


def _test_commands(specs: Iterable[PhaseSpec], shop: Workshop) -> tuple[Command, ...]:
    """Every test command of the plan, once: what they say before the first phase is what the phases are compared with."""
    wanted = dict.fromkeys(spec.test_cmd for spec in specs if spec.test_cmd)
    return tuple(commands.named(each, shop.policy.test_timeout) for each in wanted)


def _steady(text: str, shop: Workshop) -> str:
    """The text without what is different each time it is said: how long it took, and where the repository lies. So the same
    failure gives the same prompt, and no path of the machine leaves it."""
    return _DURATION.sub("in ...s", text.replace(str(shop.root.path), "."))


def _output(tests: Mapping[str, Any], unmet: Iterable[PhaseExecutorError]) -> str:
    said = [each["output"] for each in tests.get("commands", {}).values()]
    said += [str(each.details.get("output", "")) for each in unmet]
    return "\n".join(each for each in said if each)
