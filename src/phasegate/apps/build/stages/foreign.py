"""Phases of an executor that is not ours: it is asked for a result, and believed as far as its types go."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from phasegate import Context, Outcome
from phasegate.apps.build.errors import HealthCheckError, PhaseExecutorError, one_line
from phasegate.apps.build.flow import AGAIN, DONE, SKIP, UNFIT
from phasegate.apps.build.judging import Past, next_step
from phasegate.apps.build.results import of_foreign, phase_result
from phasegate.apps.build.shop import Shop
from phasegate.apps.build.stages.common import Stage

NOT_CHECKED = "the health was not checked: nobody knows where the executor works"


@dataclass(slots=True, kw_only=True)
class ForeignShop(Shop):
    """Another executor, and how the health of what it works on is checked; None: not at all."""

    executor: Any
    health: Any = None


@dataclass(frozen=True)
class ForeignStage(Stage):
    """A stage whose shop is that of another executor."""

    def foreign(self, context: Context) -> ForeignShop:
        """The shop of the run."""
        found: ForeignShop = context.deps.of(context.run, context.now())
        return found

    def past(self, context: Context) -> Past:
        """What earlier attempts decide of this one."""
        work = self.given(context, "work")
        return Past.from_told(work.get("past"))


@dataclass(frozen=True)
class ForeignBaseline(ForeignStage):
    """What the tests say before the executor has done anything."""

    def work(self, context: Context) -> Outcome:
        """``done``."""
        health = self.foreign(context).health
        tests = health.baseline(context.input["plan"]) if health is not None else {}
        return Outcome(DONE, {"tests": tests, "checks": []})


@dataclass(frozen=True)
class Work(ForeignStage):
    """Has the executor execute the phase. Gives ``result``, whatever it said."""

    def work(self, context: Context) -> Outcome:
        """``done``; an executor that raises has failed."""
        sent_back = context.feedback if isinstance(context.feedback, Mapping) else {}
        past = Past.from_told(sent_back.get("next"))
        check = self.given(context, "check")
        spec = dict(check["spec"])
        if past.used:
            spec["_retry"] = {"attempt": past.used + 1, "max_attempts": check["attempts"], **dict(past.feedback or {})}
        try:
            returned: object = self._call(context, spec)
        except Exception as error:
            returned = {"success": False, "errors": [one_line(f"The executor raised {type(error).__name__}: {error}")]}
        result = of_foreign(returned, check["phase_id"])
        return Outcome(DONE, {"index": past.index, "past": past.told(), "result": result})

    def _call(self, context: Context, spec: dict[str, Any]) -> object:
        execute = self.foreign(context).executor.execute_phase
        named = {
            "phase_spec": spec, "context_files": list(spec.get("context_files") or ()),
            "protected_paths": spec.get("protected_paths"),
        }  # fmt: skip
        try:
            inspect.signature(execute).bind(**named)
        except TypeError:  # other names, or no third one
            known = inspect.signature(execute).parameters
            return execute(*list(named.values())[: len(known)])
        except ValueError:  # it does not tell
            pass
        return execute(**named)


@dataclass(frozen=True)
class ForeignHealth(ForeignStage):
    """Checks the health after a phase that says it succeeded."""

    def work(self, context: Context) -> Outcome:
        """``done``, or ``unfit`` when it is not healthy."""
        shop, result = self.foreign(context), self.given(context, "work")["result"]
        if shop.health is None or not result["success"]:
            return Outcome(DONE, {"health": None})
        check = self.given(context, "check")
        tests = (check["carry"]["baseline"] or {}).get("tests") or {}
        health, tests = shop.health.check(check["spec"], self.number, self.past(context).index, tests)
        health["phase_id"] = check["phase_id"]
        return Outcome(DONE if health["passed"] else UNFIT, {"health": health, "tests": tests, "errors": []})


@dataclass(frozen=True)
class ForeignVerdict(ForeignStage):
    """Decides what becomes of the phase."""

    def work(self, context: Context) -> Outcome:
        """``done`` or ``again``."""
        check, shop, past = self.given(context, "check"), self.foreign(context), self.past(context)
        outcome = self.ended(context, "check")
        if outcome == SKIP:
            result = phase_result(phase_id=check["phase_id"], status="skipped", summary=f"Skipped: {check['reason']}.")
            return self._end(context, check, result)
        if outcome == UNFIT:
            result = phase_result(phase_id=check["phase_id"], error_details=list(check["errors"]))
            return self._end(context, check, result)
        result, sent = dict(self.given(context, "work")["result"]), self.given(context, "work")["past"]
        health = self.given(context, "health").get("health")
        if health is not None and not health["passed"]:
            result = _unhealthy(result, health)
        if shop.health is None and context.input["health_checks"]:
            result["warnings"] = [*result["warnings"], NOT_CHECKED]
        spent = int((sent.get("signatures") or {}).get("tokens", 0)) + result["token_usage"]
        step = next_step(past.used, check["attempts"], "COMPLETE" if result["success"] else "FAILED")
        if not step.terminal and not _is_final(result):
            following = replace(
                past, index=past.index + 1, used=step.next_index, signatures={"tokens": spent},
                feedback={"errors": result["errors"], "summary": result["summary"]},
            )  # fmt: skip
            return Outcome(AGAIN, {"next": following.told(), "attempt": _attempt(result)})
        lasted = shop.lasted(context.run.id, self.number)
        result |= {
            "token_usage": spent, "retry_count": past.used, "health": health,
            "duration": result["duration"] if lasted is None else lasted,
        }  # fmt: skip
        return self._end(context, check, result)

    def _end(self, context: Context, check: Mapping[str, Any], result: dict[str, Any]) -> Outcome:
        carry = dict(check["carry"])
        carry["statuses"] = {check["phase_id"]: result["status"], **carry["statuses"]}
        tests = self.given(context, "health").get("tests")
        if result["success"] and tests:
            carry["baseline"] = {**(carry["baseline"] or {}), "tests": tests}
        if (
            carry["stop"] is None
            and not result["success"]
            and result["status"] != "skipped"
            and context.input["stop_on_failure"]
        ):
            carry["stop"] = f"phase {check['phase_id']!r} did not succeed"
        attempt = None if result["status"] == "skipped" else _attempt(result)
        return Outcome(DONE, {"result": result, "carry": carry, "attempt": attempt})


def _unhealthy(result: Mapping[str, Any], health: Mapping[str, Any]) -> dict[str, Any]:
    failed = [each["name"] for each in health["checks"] if each["status"] == "fail" and each["critical"]]
    error = HealthCheckError("E_HEALTH", f"{', '.join(failed)} failed after the phase")
    warning = "nothing was rolled back: the executor has no way to do that"
    return {
        **result, "success": False, "status": "failed", "errors": [error.message], "error_details": [error.told()],
        "warnings": [*result["warnings"], warning],
    }  # fmt: skip


def _is_final(result: Mapping[str, Any]) -> bool:
    """Whether another attempt is of no use, as far as the executor says so."""
    details = [each for each in result["error_details"] if isinstance(each, Mapping)]
    return result["status"] in ("blocked", "rejected", "awaiting_approval", "cancelled") or any(
        each.get("retryable") is False for each in details
    )


def _attempt(result: Mapping[str, Any]) -> dict[str, Any]:
    errors = [
        each for each in result["error_details"] if isinstance(each, Mapping) and "code" in each and "category" in each
    ]
    if not errors and result["errors"]:
        errors = [PhaseExecutorError("E_EXECUTOR", each, category="validation").told() for each in result["errors"]]
    return {"status": result["status"], "errors": errors, "feedback": None, "duration": result["duration"]}
