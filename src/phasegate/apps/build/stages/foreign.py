"""Phases of an executor that is not ours: it is asked for a result, and believed as far as its types go."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import Any

from phasegate import Context, Fatal, Outcome
from phasegate.apps.build.errors import HealthCheckError, PhaseExecutorError, SpecError
from phasegate.apps.build.flow import AGAIN, DONE, SKIP, UNFIT
from phasegate.apps.build.judging import Past, next_step
from phasegate.apps.build.results import of_foreign, phase_result, raised
from phasegate.apps.build.schema import digest
from phasegate.apps.build.shop import Shop
from phasegate.apps.build.spec import RETRY_KEY
from phasegate.apps.build.spec_fields import Fields
from phasegate.apps.build.stages.checking import allowed_attempts, carried, id_of, name_of
from phasegate.apps.build.stages.common import Stage, unfit

NOT_CHECKED = "the health was not checked: nobody knows where the executor works"


class Calls:
    """Calls of the executor, which are made in the thread that serves them: the one that wanted the phases executed. There an
    executor finds its connections, its thread's variables and its signals, and may run an event loop."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._answer: Future[Any] = Future()
        self._closed = False

    def make(self, call: Callable[[], Any]) -> Any:
        """Have a call made, one at a time; what it gives. Raises ``Fatal`` when nobody serves calls any more."""
        answer = self._answer = Future()
        self._asked.put((call, answer))
        if self._closed:
            answer.cancel()
        try:
            return answer.result()
        except CancelledError:
            raise Fatal("the run was interrupted") from None

    def serve(self) -> None:
        """Make calls until the end. What one raises, it raises; calls are to be closed then."""
        while (asked := self._asked.get()) is not None:
            call, answer = asked
            answer.set_result(call())

    def end(self) -> None:
        """There will be no more calls."""
        self._asked.put(None)

    def close(self) -> None:
        """Nobody serves calls any more; whoever waits for one is told."""
        self._closed = True
        self._answer.cancel()


@dataclass(slots=True, kw_only=True)
class ForeignShop(Shop):
    """Another executor, and how the health of what it works on is checked; None: not at all."""

    executor: Any
    health: Any = None
    calls: Calls = field(default_factory=Calls)


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
class ForeignCheck(ForeignStage):
    """Checks of a phase what this side of the executor has to do with; the rest is the executor's matter."""

    def work(self, context: Context) -> Outcome:
        """``done``, ``unfit`` when the phase cannot be understood, or ``skip``."""
        shop = self.foreign(context)
        shop.begin(context.run.id, self.number)
        carry = carried(context, self.number)
        raw = context.input["plan"][self.number - 1]
        named = {"phase_id": id_of(raw, self.number), "name": name_of(raw, self.number), "carry": carry, "warnings": []}
        if carry["stop"] is not None:
            return Outcome(SKIP, {**named, "reason": carry["stop"]})
        if not isinstance(raw, Mapping):
            return unfit([SpecError("E_SPEC_TYPE", "a phase is a mapping with a description")], **named)
        errors = list(shop.health.errors(raw)) if shop.health is not None else []
        wanted = Fields(raw, errors, []).texts("depends_on", numbers=True) or ()
        if errors:
            return unfit(errors, **named)
        for each in wanted:
            if carry["statuses"].get(each) != "succeeded":
                return Outcome(SKIP, {**named, "reason": f"it depends on {each!r}, which has not succeeded"})
        most = allowed_attempts(context, raw.get("max_attempts"))
        return Outcome(DONE, {**named, "spec": raw, "sha256": digest(raw), "attempts": most})


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
        check, shop = self.given(context, "check"), self.foreign(context)
        spec = deepcopy(dict(check["spec"]))  # its own, to do with as it likes
        if past.used:
            tried = {"attempt": past.used + 1, "max_attempts": check["attempts"]}
            spec[RETRY_KEY] = {**tried, **dict(past.feedback or {})}
        result = shop.calls.make(lambda: executed(shop.executor, spec, check["phase_id"]))
        spent = sent_back.get("spent", 0) + result["token_usage"]
        return Outcome(DONE, {"index": past.index, "past": past.told(), "spent": spent, "result": result})


def executed(executor: Any, spec: dict[str, Any], phase_id: str) -> dict[str, Any]:
    """The result of an executor, whatever it returns or raises; only what interrupts it is raised."""
    try:
        return of_foreign(_awaited(_returned(executor.execute_phase, spec)), phase_id)
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise
    except BaseException as error:
        return phase_result(phase_id=phase_id, errors=[f"The executor raised {raised(error)}"])


def _returned(execute: Callable[..., object], spec: dict[str, Any]) -> object:
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


def _awaited(returned: object) -> object:
    """What was promised, where a promise was returned. An event loop that runs here is in the middle of asking for this, so that
    the promise is waited for in a thread of its own."""
    if not inspect.isawaitable(returned):
        return returned

    async def kept() -> object:
        return await returned

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(kept())
    with ThreadPoolExecutor(1, "phasegate-foreign") as pool:
        return pool.submit(asyncio.run, kept()).result()


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
            result = phase_result(
                phase_id=check["phase_id"], status="skipped", summary=f"Skipped: {check['reason']}.",
                stopped=check["carry"]["stop"] is not None,
            )  # fmt: skip
            return self._end(context, check, result)
        if outcome == UNFIT:
            result = phase_result(phase_id=check["phase_id"], error_details=list(check["errors"]))
            return self._end(context, check, result)
        work, checked = self.given(context, "work"), self.given(context, "health")
        result, spent, health = dict(work["result"]), work["spent"], checked.get("health")
        if self.ended(context, "health") == UNFIT:
            result = _unhealthy(result, [_error(health)] if health is not None else checked["errors"])
        if shop.health is None and context.input["health_checks"]:
            result["warnings"] = [*result["warnings"], NOT_CHECKED]
        step = next_step(past.used, check["attempts"], "COMPLETE" if result["success"] else "FAILED")
        if not step.terminal and not _is_final(result):
            following = replace(
                past, index=past.index + 1, used=step.next_index,
                feedback={"errors": result["errors"], "summary": result["summary"]},
            )  # fmt: skip
            return Outcome(AGAIN, {"next": following.told(), "spent": spent, "attempt": _attempt(result)})
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


def _error(health: Mapping[str, Any]) -> dict[str, Any]:
    failed = [each["name"] for each in health["checks"] if each["status"] == "fail" and each["critical"]]
    return HealthCheckError("E_HEALTH", f"{', '.join(failed)} failed after the phase").told()


def _unhealthy(result: Mapping[str, Any], errors: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    warning = "nothing was rolled back: the executor has no way to do that"
    return {
        **result, "success": False, "status": "failed", "errors": [each["message"] for each in errors],
        "error_details": list(errors), "warnings": [*result["warnings"], warning],
    }  # fmt: skip


def _is_final(result: Mapping[str, Any]) -> bool:
    """Whether another attempt is of no use, as far as the executor says so."""
    return result["status"] in ("blocked", "rejected", "awaiting_approval", "cancelled") or any(
        not each["retryable"] for each in result["error_details"]
    )


def _attempt(result: Mapping[str, Any]) -> dict[str, Any]:
    errors = result["error_details"] or [
        PhaseExecutorError("E_EXECUTOR", each, category="validation").told() for each in result["errors"]
    ]
    return {"status": result["status"], "errors": errors, "feedback": None, "duration": result["duration"]}
