"""Making the checks of a moment and saying whether the repository is well."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from phasegate.apps.build.errors import HealthCheckError, one_line
from phasegate.apps.build.health.baseline import Baseline
from phasegate.apps.build.health.checks import CHECKS
from phasegate.apps.build.health.context import Check, CheckResult, HealthContext
from phasegate.apps.build.health.testing import report_of
from phasegate.apps.build.health.testreports import Report

#: Checks that concern the machine and not the change: another answer of the model does not help.
_NOT_THE_CHANGE = frozenset({"workspace", "history_db"})


@dataclass(frozen=True, slots=True)
class Health:
    """What the checks of one phase found. ``reports`` are what the test commands said, for the next baseline."""

    phase_id: str
    passed: bool
    checks: tuple[CheckResult, ...]
    phase_index: int = 0
    attempt: int = 0
    regressions: tuple[str, ...] = ()
    baseline_id: str | None = None
    duration: float = 0.0
    reports: Mapping[str, Report] = field(default_factory=dict)

    def told(self) -> dict[str, Any]:
        """The shape of ``health_check_results``."""
        return {
            "phase_index": self.phase_index, "phase_id": self.phase_id, "attempt": self.attempt, "passed": self.passed,
            "checks": [each.told() for each in self.checks], "regressions": list(self.regressions),
            "baseline_id": self.baseline_id, "duration": self.duration,
        }  # fmt: skip

    @property
    def errors(self) -> list[HealthCheckError]:
        """An error for every check that the phase cannot be accepted with: E_HEALTH_ and the check's name."""
        return [_error(each) for each in self.checks if each.harmful]

    @property
    def warnings(self) -> list[str]:
        """What else is worth saying: checks that warn, or that fail without being critical."""
        doubtful = (each for each in self.checks if not each.harmful and _is_telling(each))
        return [f"{each.name}: {each.message}" for each in doubtful]


def check_health(
    context: HealthContext, *, phase_index: int = 0, attempt: int = 0, custom: Sequence[Check] = (),
    only: Sequence[str] | None = None, clock: Callable[[], float] = time.monotonic,
) -> Health:  # fmt: skip
    """Make the checks of the context's moment, then the caller's own. Never raises for what a check does.

    ``only`` names the checks to make, of those that are ours; ``clock`` counts seconds.
    """
    begun = clock()
    ours = [(name, check) for name, check, moments in CHECKS if context.moment in moments]
    theirs = [(getattr(check, "__name__", "custom"), check) for check in custom]
    made = [make(name, check, context, clock) for name, check in ours if only is None or name in only]
    made += [make(name, check, context, clock) for name, check in theirs]
    regressions = sorted({name for each in made for name in each.details.get("regressions", ())})
    return Health(
        context.spec.phase_id, passed(made), tuple(made), phase_index, attempt, tuple(regressions),
        context.baseline.id if context.baseline else None, clock() - begun, dict(context.reports),
    )  # fmt: skip


def _is_telling(check: CheckResult) -> bool:
    """Whether a check is worth a warning: also tests that are wanted, and could not be run."""
    return check.status in ("warn", "fail") or (check.status == "skip" and bool(check.details.get("commands")))


def passed(checks: Iterable[CheckResult]) -> bool:
    """Whether no critical check failed."""
    return not any(each.harmful for each in checks)


def make(name: str, check: Check, context: HealthContext, clock: Callable[[], float] = time.monotonic) -> CheckResult:
    """The result of one check with the time it took. A check that raises, or gives something else, has failed, critically."""
    begun = clock()
    try:
        result = check(context)
        if not _is_result(result):
            result = CheckResult(name, "fail", f"the check gave {type(result).__name__} instead of a result")
    except (Exception, SystemExit) as error:  # a gate that does not work must not open
        result = CheckResult(
            name, "fail", f"the check failed itself: {type(error).__name__}: {one_line(str(error))[:500]}"
        )
    return replace(result, duration_ms=round((clock() - begun) * 1000))


def _is_result(result: object) -> bool:
    return isinstance(result, CheckResult) and result.status in ("pass", "warn", "fail", "skip")


def take_baseline(context: HealthContext) -> Baseline:
    """What every test command says now."""
    return Baseline({each.name: report_of(each, context) for each in context.all_commands})


def _error(check: CheckResult) -> HealthCheckError:
    code = f"E_HEALTH_{''.join(c if c.isalnum() else '_' for c in check.name).upper()}"
    fatal = check.name in _NOT_THE_CHANGE
    details = {"check": check.name, **check.details}
    return HealthCheckError(
        code, f"{check.name}: {check.message}", category="fatal" if fatal else None, details=details
    )
