"""Every way in which a phase function can end becomes one fact."""

from __future__ import annotations

import asyncio
import functools
import math
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from phasegate import Context, Fatal, Limits, Outcome, Phase, PhaseStatus, Retry, RunStatus, Skip, Snooze
from phasegate.testing import FakeClock, Scripted, drain
from tests.engines import temporary_engine
from tests.runtime.flows import ACME, finished, flow, kinds, one, outcome, subjects


def plain(_ctx: Context) -> Any:
    return {"done": True}


async def awaited(_ctx: Context) -> Any:
    await asyncio.sleep(0)
    return {"done": True}


class PlainCallable:
    def __call__(self, _ctx: Context) -> Any:
        return {"done": True}


class AsyncCallable:
    async def __call__(self, _ctx: Context) -> Any:
        return {"done": True}


class Odd(BaseException):  # as test frameworks raise them
    """Not an Exception."""


@pytest.mark.parametrize(
    "function",
    [
        plain,
        awaited,
        PlainCallable(),
        AsyncCallable(),
        functools.partial(plain),
        functools.partial(awaited),
        lambda _ctx: {"done": True},
    ],
)
def test_a_function_of_any_kind_is_called(function: Any) -> None:
    with temporary_engine(one(function)) as engine:
        run = finished(engine)
        assert run.status is RunStatus.SUCCEEDED
        assert engine.outputs(run.id) == {"work": {"done": True}}


def test_plain_functions_run_in_threads_and_async_ones_on_the_loop() -> None:
    async def on_the_loop(_ctx: Context) -> str:
        return threading.current_thread().name

    with temporary_engine(
        flow(Phase("plain", lambda _ctx: threading.current_thread().name), Phase("awaited", on_the_loop))
    ) as engine:
        found = engine.outputs(finished(engine).id)
        assert found["plain"].startswith("phasegate-phase")
        assert not found["awaited"].startswith("phasegate")


@pytest.mark.parametrize(
    ("result", "status", "word", "output"),
    [
        (None, PhaseStatus.SUCCEEDED, "done", None),
        (0, PhaseStatus.SUCCEEDED, "done", 0),
        ([], PhaseStatus.SUCCEEDED, "done", []),
        (Outcome("rejected", {"why": "thin"}), PhaseStatus.SUCCEEDED, "rejected", {"why": "thin"}),
        (Outcome("rejected"), PhaseStatus.SUCCEEDED, "rejected", None),
        (Skip("nothing to do"), PhaseStatus.SKIPPED, "skipped", None),
    ],
)
def test_what_is_returned_ends_the_phase(result: Any, status: PhaseStatus, word: str, output: Any) -> None:
    with temporary_engine(one(Scripted(result))) as engine:
        run = finished(engine)
        ended = run.at("work")
        assert (ended.status, ended.outcome) == (status, word)
        assert engine.outputs(run.id).get("work") == output
        assert run.status is RunStatus.SUCCEEDED


def test_a_skip_keeps_its_reason() -> None:
    with temporary_engine(one(Scripted(Skip("no domain")))) as engine:
        assert outcome(engine).reason == "no domain"


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even that")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("boom"), "ValueError: boom"),
        (ValueError(), "ValueError: ValueError"),
        (Fatal("of no use"), "Fatal: of no use"),
        (Unspeakable(), "Unspeakable: Unspeakable"),
        (ValueError("half a character: \ud800"), "ValueError: half a character: ?"),
        (ValueError("nul: \x00"), "ValueError: nul: ?"),
        (ValueError("x" * 10_000), "ValueError: " + "x" * 2_000),
        (SystemExit(3), "SystemExit: 3"),
        (Odd("not even an Exception"), "Odd: not even an Exception"),
        (StopIteration("empty"), "RuntimeError: the function raised StopIteration"),
        (KeyError("name"), "KeyError: 'name'"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("is_async", [False, True])
def test_what_is_raised_fails_the_phase(error: BaseException, reason: str, is_async: bool) -> None:
    def fail(_ctx: Context) -> None:
        raise error

    async def fail_later(_ctx: Context) -> None:
        raise error

    with temporary_engine(one(fail_later if is_async else fail)) as engine:
        run = finished(engine)
        failed = run.at("work")
        assert failed.status is PhaseStatus.FAILED
        if isinstance(error, StopIteration) and is_async:
            reason = "RuntimeError: coroutine raised StopIteration"
        assert failed.reason == reason
        assert run.status is RunStatus.FAILED
        (row,) = engine.read("SELECT trace FROM phasegate_attempts")
        assert "Traceback" in row["trace"]


@pytest.mark.parametrize(
    "result",
    [
        object(), {"x": object()}, b"bytes", 2**70, "\ud800", {"\ud800"}, Outcome(""), Outcome(7), Outcome("\ud800"),  # type: ignore[arg-type]
        Outcome("done", object()),
    ],
    ids=[
        "object", "inner object", "bytes", "large number", "half character", "half in a set", "no word", "number for a word",
        "half word", "outcome with object",
    ],
)  # fmt: skip
def test_what_cannot_be_stored_fails_the_phase_for_good(result: Any) -> None:
    script = Scripted(result, result)
    with temporary_engine(one(script, retry=Retry(attempts=2, base=0))) as engine:
        failed = outcome(engine)
        assert failed.status is PhaseStatus.FAILED
        assert str(failed.reason).startswith("Fatal: ")
        assert len(script.calls) == 1


@pytest.mark.parametrize(
    ("result", "stored"),
    [
        ({"score": math.nan, "top": math.inf}, {"score": None, "top": None}),
        ((1, 2), [1, 2]),
        ({3: "three"}, {"3": "three"}),
        (Decimal("1.5"), 1.5),
        ({"b", "a"}, ["a", "b"]),
        (datetime(2030, 1, 1, tzinfo=UTC), "2030-01-01T00:00:00Z"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_next_phase_gets_what_is_stored_whether_or_not_somebody_restarted(result: Any, stored: Any) -> None:
    seen: list[Any] = []
    second = Scripted(lambda ctx: seen.append(ctx.inputs["first"]))
    with temporary_engine(flow(Phase("first", Scripted(result)), Phase("second", second, needs=("first",)))) as engine:
        run = finished(engine)
        assert seen == [stored]
        assert engine.outputs(run.id)["first"] == stored


@pytest.mark.parametrize(
    "items", ["text", 7, {"items": "text"}, [{"id": 1}, {"id": "1"}], [{("a", "b"): 1}], [{1: 1, "1": 2}]], ids=repr
)
def test_what_cannot_be_repeated_over_fails_the_phase(items: Any) -> None:
    with temporary_engine(flow(Phase("list", Scripted(items)), Phase("work", Scripted(1), each="list"))) as engine:
        failed = finished(engine).at("list")
        assert failed.status is PhaseStatus.FAILED
        assert str(failed.reason).startswith("Fatal: ")


def test_a_snoozed_phase_runs_again_then_without_counting_a_failure() -> None:
    clock = FakeClock()
    later = clock() + timedelta(hours=1)
    script = Scripted(Snooze(later, "not yet"), Snooze(later + timedelta(hours=1)), "done")
    with temporary_engine(one(script), clock=clock) as engine:
        run = finished(engine)
        snoozed = run.at("work")
        assert (snoozed.status, snoozed.due_at, snoozed.reason, snoozed.failures) == (
            PhaseStatus.WAITING,
            later,
            "not yet",
            0,
        )
        assert run.status is RunStatus.WAITING
        drain(engine, clock=clock)
        ended = engine.get(run.id)
        assert (ended.status, ended.at("work").attempt, ended.at("work").failures) == (RunStatus.SUCCEEDED, 3, 0)
        assert clock() == later + timedelta(hours=1)


def test_a_snooze_without_a_time_zone_is_a_mistake() -> None:
    naive = datetime(2030, 1, 1)  # noqa: DTZ001
    with temporary_engine(one(Scripted(Snooze(naive)))) as engine:
        assert outcome(engine).reason == "Fatal: Snooze needs a time with zone, not 2030-01-01T00:00:00"


def test_questions_park_the_phase_and_their_answers_come_with_the_next_attempt() -> None:
    script = Scripted(
        lambda ctx: ctx.ask(["Which?"]),
        lambda ctx: ctx.ask([*ctx.questions, "Sure?", ctx.answers]),
        lambda ctx: [ctx.questions, ctx.answers],
    )
    with temporary_engine(one(script)) as engine:
        run = finished(engine)
        assert (run.status, run.at("work").questions) == (RunStatus.WAITING, ["Which?"])
        engine.answer(run.id, "work", {"choice": "b"}, by="ann")
        engine.drain()
        (again,) = [run.at("work") for run in [engine.get(run.id)]]
        assert (again.asked, again.questions) == (True, ["Which?", "Sure?", {"choice": "b"}])
        engine.answer(run.id, "work", None, by="ann")
        engine.drain()
        assert engine.outputs(run.id) == {"work": [["Which?", "Sure?", {"choice": "b"}], {}]}
        assert engine.get(run.id).status is RunStatus.SUCCEEDED
        assert len(script.calls) == 3


def test_questions_that_cannot_be_stored_fail_the_phase() -> None:
    with temporary_engine(one(Scripted(lambda ctx: ctx.ask(object())))) as engine:
        assert outcome(engine).status is PhaseStatus.FAILED


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ({"status": "failed"}, "ReportedFailure: the phase reported a failure"),
        ({"status": "error", "error": "no such page"}, "ReportedFailure: no such page"),
        ({"success": False, "error_message": "too slow"}, "ReportedFailure: too slow"),
        ({"error": "gone"}, "ReportedFailure: gone"),
    ],
)
def test_a_mapping_that_reports_a_failure_is_one_where_the_phase_says_so(result: Any, reason: str) -> None:
    with temporary_engine(one(Scripted(result), reports_failure=True)) as engine:
        assert outcome(engine).reason == reason
    with temporary_engine(one(Scripted(result))) as engine:
        assert outcome(engine).status is PhaseStatus.SUCCEEDED


@pytest.mark.parametrize(
    "result", [{"status": "complete"}, {"success": True}, {"error": ""}, {"error": None}, ["failed"]]
)
def test_other_results_report_no_failure(result: Any) -> None:
    with temporary_engine(one(Scripted(result), reports_failure=True)) as engine:
        assert outcome(engine).status is PhaseStatus.SUCCEEDED


# --- time -----------------------------------------------------------------------------------------------------------


def test_an_async_function_that_takes_too_long_is_cancelled() -> None:
    told: list[str] = []

    async def forever(_ctx: Context) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    with temporary_engine(one(forever, timeout=0.05)) as engine:
        assert outcome(engine).reason == "TimedOut: took longer than 0.05 seconds"
        assert told == ["cancelled"]


def test_a_plain_function_that_takes_too_long_is_given_up_and_its_answer_goes_nowhere() -> None:
    go_on, ended = threading.Event(), threading.Event()
    seen: list[bool] = []

    def slow(ctx: Context) -> str:
        go_on.wait(20)
        seen.append(ctx.cancelled)
        ctx.write("INSERT INTO nowhere VALUES (1)", {})
        ended.set()
        return "too late"

    with temporary_engine(one(slow, timeout=0.05)) as engine:
        run = finished(engine)
        assert run.at("work").reason == "TimedOut: took longer than 0.05 seconds"
        before = kinds(engine, run)
        go_on.set()
        assert ended.wait(20)
        engine.drain()
        assert seen == [True]
        assert kinds(engine, run) == before
        assert engine.outputs(run.id) == {}


def test_waiting_for_a_free_thread_does_not_count_as_taking_long() -> None:
    occupies = Phase("occupies", lambda _ctx: threading.Event().wait(0.1))
    quick = Phase("quick", lambda _ctx: None, timeout=0.5)
    with temporary_engine(flow(occupies, quick), limits=Limits(threads=1)) as engine:
        runs = engine.start_many("story", subjects(8))
        engine.drain()
        assert {engine.get(run.id).status for run in runs} == {RunStatus.SUCCEEDED}


def test_a_timeout_is_retried_like_any_failure() -> None:
    async def slow_at_first(ctx: Context) -> int:
        if ctx.attempt == 1:
            await asyncio.Event().wait()
        return ctx.attempt

    with temporary_engine(one(slow_at_first, timeout=0.05, retry=Retry(attempts=2, base=0))) as engine:
        run = finished(engine)
        assert engine.outputs(run.id) == {"work": 2}


def test_a_timeout_of_the_functions_own_is_its_failure() -> None:
    async def inner(_ctx: Context) -> None:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()

    with temporary_engine(one(inner, timeout=30)) as engine:
        assert str(outcome(engine).reason).startswith("TimeoutError")


def test_a_cancellation_inside_the_function_is_its_failure() -> None:
    async def cancels(_ctx: Context) -> None:
        raise asyncio.CancelledError("from within")

    with temporary_engine(one(cancels)) as engine:
        assert outcome(engine).reason == "CancelledError: from within"


def test_a_function_may_use_the_context_for_what_it_says() -> None:
    def look(ctx: Context) -> Any:
        ctx.progress(1, 2)
        ctx.heartbeat()
        ctx.log.debug("looking", secret="not shown")
        return [
            ctx.tenant, str(ctx.subject), ctx.phase, ctx.label, ctx.attempt, ctx.input, ctx.deps, ctx.dry_run,
            ctx.now().isoformat(), ctx.cancelled, list(ctx.scope),
        ]  # fmt: skip

    clock = FakeClock()
    with temporary_engine(one(look, label="1.1"), deps={"dep": 1}, tenant="t", clock=clock) as engine:
        run = finished(engine, {"size": 1})
        assert engine.outputs(run.id)["work"] == [
            "t", str(ACME), "work", "1.1", 1, {"size": 1}, {"dep": 1}, False, clock().isoformat(), False, [],
        ]  # fmt: skip


def test_endless_recursion_fails_the_phase() -> None:
    def deeper(ctx: Context) -> Any:
        return deeper(ctx)

    with temporary_engine(one(deeper)) as engine:
        assert str(outcome(engine).reason).startswith("RecursionError: maximum recursion depth")
