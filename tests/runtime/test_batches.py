"""Batches: ready attempts of one phase, across runs, in one call."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from phasegate import Batch, Context, Fatal, Limits, Outcome, Phase, PhaseStatus, Retry, RunStatus, Skip
from phasegate.testing import FakeClock, Scripted, drain
from tests.engines import temporary_engine
from tests.runtime.flows import ENTER, assert_sound, entries, flow, metadata, one, subjects

WIDE = Batch(size=500, within=30)  # longer than any test: only the size, or that no more will come, may fire it


class Calls:
    """A batch function that keeps the sizes of its calls."""

    def __init__(self, answer: Any = None) -> None:
        self.sizes: list[int] = []
        self._answer = answer or (lambda contexts: [ctx.subject.id for ctx in contexts])

    def __call__(self, contexts: list[Context]) -> Any:
        self.sizes.append(len(contexts))
        return self._answer(contexts)


def test_attempts_of_many_runs_come_in_one_call() -> None:
    calls = Calls()
    with temporary_engine(one(calls, batch=WIDE)) as engine:
        runs = engine.start_many("story", subjects(40))
        engine.drain()
        assert calls.sizes == [40]
        assert [engine.outputs(run.id)["work"] for run in runs] == [run.subject.id for run in runs]


def test_a_batch_is_never_larger_than_its_size() -> None:
    calls = Calls()
    with temporary_engine(one(calls, batch=Batch(size=16, within=30))) as engine:
        engine.start_many("story", subjects(40))
        engine.drain()
        assert calls.sizes == [16, 16, 8]


def test_a_batch_does_not_wait_longer_than_it_may() -> None:
    calls, go_on = Calls(), threading.Event()

    def slow(_ctx: Context) -> None:
        go_on.wait(20)

    def batched(contexts: list[Context]) -> Any:
        go_on.set()  # with the other phase under way, only its time can have fired the batch
        return calls(contexts)

    with temporary_engine(flow(Phase("slow", slow), Phase("work", batched, batch=Batch(within=0.01)))) as engine:
        engine.start_many("story", subjects(1))
        engine.drain()
        assert calls.sizes == [1]


def test_a_batch_waits_for_those_that_are_still_under_way() -> None:
    calls = Calls()
    with temporary_engine(
        flow(Phase("first", Scripted(1)), Phase("work", calls, needs=("first",), batch=WIDE))
    ) as engine:
        engine.start_many("story", subjects(30))
        engine.drain()
        assert calls.sizes == [30]


def test_every_member_has_its_own_ending() -> None:
    def answer(contexts: list[Context]) -> list[Any]:
        endings = [1, ValueError("not this one"), Skip("no need"), Outcome("odd", 2), Fatal("no"), object()]
        return [endings[int(ctx.subject.id[1:])] for ctx in contexts]

    with temporary_engine(one(Calls(answer), batch=WIDE)) as engine:
        runs = engine.start_many("story", subjects(6))
        engine.drain()
        ended = [engine.get(run.id).at("work") for run in runs]
        assert [(each.status.value, each.outcome) for each in ended] == [
            ("succeeded", "done"), ("failed", "failed"), ("skipped", "skipped"), ("succeeded", "odd"), ("failed", "failed"),
            ("failed", "failed"),
        ]  # fmt: skip
        assert ended[1].reason == "ValueError: not this one"


def test_only_the_failed_members_are_tried_again() -> None:
    clock, script = FakeClock(), Scripted(ValueError("boom"), "ok")
    calls = Calls(lambda contexts: [script._try(ctx) if ctx.subject.id < "c003" else "ok" for ctx in contexts])
    with temporary_engine(one(calls, batch=WIDE, retry=Retry(attempts=2, jitter=False)), clock=clock) as engine:
        runs = engine.start_many("story", subjects(10))
        drain(engine, clock=clock)
        assert calls.sizes == [10, 3]
        assert {engine.get(run.id).status for run in runs} == {RunStatus.SUCCEEDED}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda contexts: contexts[1:], "Fatal: the batch function was given 5 contexts and returned 4 results"),
        (lambda contexts: [1] * 6, "Fatal: the batch function was given 5 contexts and returned 6 results"),
        (lambda contexts: None, "Fatal: the batch function was given 5 contexts and returned NoneType"),
        (lambda contexts: "abcde", "Fatal: the batch function was given 5 contexts and returned str"),
        (lambda contexts: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda contexts: next(iter(())), "RuntimeError: the function raised StopIteration"),
    ],
)
def test_a_batch_function_that_fails_fails_them_all(answer: Any, reason: str) -> None:
    with temporary_engine(one(Calls(answer), batch=WIDE)) as engine:
        runs = engine.start_many("story", subjects(5))
        engine.drain()
        assert {engine.get(run.id).at("work").reason for run in runs} == {reason}
        assert {engine.get(run.id).status for run in runs} == {RunStatus.FAILED}


def test_an_async_batch_function_is_cancelled_when_it_takes_too_long() -> None:
    async def forever(_contexts: list[Context]) -> None:
        await asyncio.Event().wait()

    with temporary_engine(one(forever, batch=WIDE, timeout=0.05)) as engine:
        runs = engine.start_many("story", subjects(3))
        engine.drain()
        assert {engine.get(run.id).at("work").reason for run in runs} == {"TimedOut: took longer than 0.05 seconds"}


def test_a_failing_write_fails_one_member_only() -> None:
    def write(contexts: list[Context]) -> list[str]:
        for ctx in contexts:
            ctx.write(ENTER, {"entry": ctx.subject.id, "amount": 0 if ctx.subject.id == "c007" else 1})
        return [ctx.subject.id for ctx in contexts]

    with temporary_engine(one(write, batch=WIDE)) as engine:
        engine.create_tables(metadata)
        runs = engine.start_many("story", subjects(20))
        engine.drain()
        failed = [run.subject.id for run in runs if engine.get(run.id).at("work").status is PhaseStatus.FAILED]
        assert failed == ["c007"]
        assert sorted(entries(engine)) == [run.subject.id for run in runs if run.subject.id != "c007"]


def test_items_of_one_run_are_batched_too() -> None:
    calls = Calls(lambda contexts: [ctx.item * 2 for ctx in contexts])
    phases = flow(Phase("list", Scripted(list(range(100)))), Phase("work", calls, each="list", batch=WIDE))
    with temporary_engine(phases) as engine:
        run = engine.start("story", subjects(1)[0])
        engine.drain()
        assert calls.sizes == [100]
        assert sorted(engine.outputs(run.id)["work"].values()) == list(range(0, 200, 2))
        assert_sound(engine, [run])


def test_more_members_than_may_run_at_once_come_in_several_calls() -> None:
    calls = Calls()
    with temporary_engine(one(calls, batch=Batch(size=500, within=0.01)), limits=Limits(concurrency=8)) as engine:
        runs = engine.start_many("story", subjects(30))
        engine.drain()
        assert max(calls.sizes) <= 8
        assert sum(calls.sizes) == 30
        assert_sound(engine, runs)


def test_different_phases_do_not_share_a_batch() -> None:
    seen: list[set[str]] = []

    def note(contexts: list[Context]) -> list[None]:
        seen.append({ctx.phase for ctx in contexts})
        return [None] * len(contexts)

    with temporary_engine(flow(Phase("a", note, batch=WIDE), Phase("b", note, batch=WIDE))) as engine:
        engine.start_many("story", subjects(5))
        engine.drain()
        assert sorted(map(sorted, seen)) == [["a"], ["b"]]
