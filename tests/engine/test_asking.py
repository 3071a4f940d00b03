"""What people ask of one run: decide, answer, retry, reset, skip, pause, resume, cancel."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from phasegate import (
    AlreadyDecided,
    Gate,
    InputError,
    NotAllowed,
    Phase,
    PhaseStatus,
    RunStatus,
    Stale,
    UnknownName,
)
from phasegate.testing import FakeClock, Scripted, drain
from tests.engines import temporary_engine
from tests.runtime.flows import ACME, assert_sound, finished, flow, kinds, one, subjects

FORM = {
    "type": "object",
    "properties": {"copies": {"type": "integer", "minimum": 1}, "paper": {"enum": ["white", "blue"]}},
    "required": ["copies"],
    "additionalProperties": False,
}


def gated(**options: Any) -> Any:
    return flow(
        Phase("draft", lambda ctx: {"text": f"draft {ctx.attempt}"}),
        Phase("release", needs=("draft",), gate=Gate(**options)),
        Phase("print", lambda ctx: ctx.inputs["release"], needs=("release",)),
    )


# --- gates ----------------------------------------------------------------------------------------------------------


def test_a_decision_opens_the_gate_and_reaches_the_next_phase() -> None:
    with temporary_engine(gated(form=FORM)) as engine:
        run = finished(engine)
        engine.decide(run.id, "release", "approved", by="ann", role="chair", answers={"copies": 2}, comment="fine")
        engine.drain()
        assert engine.outputs(run.id)["print"] == {
            "outcome": "approved", "by": ["ann"], "comment": "fine", "answers": {"copies": 2},
        }  # fmt: skip
        (row,) = engine.read("SELECT decided_by, role, comment, answers FROM phasegate_decisions")
        assert tuple(row.values()) == ("ann", "chair", "fine", '{"copies":2}')
        assert_sound(engine, [run])


@pytest.mark.parametrize(
    ("answers", "complaint"),
    [
        (None, "answers: 'copies' is a required property"),
        ({"copies": 0}, "copies: 0 is less than the minimum of 1"),
        ({"copies": "two"}, "copies: 'two' is not of type 'integer'"),
        ({"copies": 1, "paper": "red"}, "paper: 'red' is not one of"),
        ({"copies": 1, "colour": 1}, "Additional properties are not allowed"),
        ([1], "is not of type 'object'"),
    ],
)
def test_answers_that_do_not_fit_the_form_are_refused(answers: Any, complaint: str) -> None:
    with temporary_engine(gated(form=FORM)) as engine:
        run = finished(engine)
        with pytest.raises(InputError, match="do not fit the form of 'release'") as error:
            engine.decide(run.id, "release", "approved", by="ann", answers=answers)
        assert complaint in str(error.value)
        assert engine.get(run.id).at("release").status is PhaseStatus.WAITING


def test_answers_without_a_json_form_are_refused() -> None:
    with temporary_engine(gated()) as engine:
        run = finished(engine)
        with pytest.raises(InputError, match="JSON"):
            engine.decide(run.id, "release", "approved", by="ann", answers={"x": object()})
        assert engine.get(run.id).at("release").votes == ()


def test_what_was_seen_must_still_be_what_is_shown() -> None:
    with temporary_engine(gated(shows=("draft",))) as engine:
        run = finished(engine)
        shown = run.at("release").shown
        with pytest.raises(NotAllowed, match="say which state of it you have seen"):
            engine.decide(run.id, "release", "approved", by="ann")
        engine.reset(run.id, "draft", by="bob")
        engine.drain()
        with pytest.raises(Stale, match="has changed since you saw it"):
            engine.decide(run.id, "release", "approved", by="ann", seen=shown)
        engine.decide(run.id, "release", "approved", by="ann", seen=engine.get(run.id).at("release").shown)
        engine.drain()
        assert engine.get(run.id).status is RunStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("gate", "decision", "refusal"),
    [
        ({"roles": ("chair",)}, {"by": "ann"}, "ann may not answer gate 'release'"),
        ({"users": ("bob",)}, {"by": "ann"}, "ann may not answer gate 'release'"),
        ({"no_self_approval": True}, {"by": "starter"}, "starter started this run"),
        ({}, {"by": ""}, "who decides"),
    ],
)
def test_who_may_not_decide_is_refused(gate: Any, decision: Any, refusal: str) -> None:
    with temporary_engine(gated(**gate)) as engine:
        run = engine.start("story", ACME, by="starter")
        engine.drain()
        with pytest.raises(NotAllowed, match=refusal):
            engine.decide(run.id, "release", "approved", **decision)


def test_an_unknown_outcome_or_phase_is_named() -> None:
    with temporary_engine(gated()) as engine:
        run = finished(engine)
        with pytest.raises(UnknownName, match="unknown outcome 'aproved'"):
            engine.decide(run.id, "release", "aproved", by="ann")
        with pytest.raises(NotAllowed, match="'draft' is not a gate"):
            engine.decide(run.id, "draft", "approved", by="ann")
        with pytest.raises(UnknownName, match="unknown run"):
            engine.decide("nobody", "release", "approved", by="ann")


def race(count: int, ask: Any) -> list[Any]:
    """``ask(n)`` in many threads at once; what each answered or raised."""
    together, answers = threading.Barrier(count), [None] * count

    def one_of_them(number: int) -> None:
        together.wait()
        try:
            answers[number] = ask(number)
        except Exception as error:
            answers[number] = error  # type: ignore[call-overload]

    threads = [threading.Thread(target=one_of_them, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_of_racing_decisions_exactly_one_wins_and_the_others_hear_who() -> None:
    with temporary_engine(gated()) as engine:
        run = finished(engine)
        answers = race(8, lambda n: engine.decide(run.id, "release", ("approved", "rejected")[n % 2], by=f"p{n}"))
        lost = [answer for answer in answers if isinstance(answer, Exception)]
        assert len(lost) == 7
        assert all(isinstance(error, AlreadyDecided | NotAllowed) for error in lost)
        settled = engine.get(run.id).at("release")
        (vote,) = settled.votes
        assert all(vote.by in str(error) for error in lost if isinstance(error, AlreadyDecided))
        assert kinds(engine, run).count("gate.settled") == kinds(engine, run).count("decision.made") == 1


def test_a_quorum_of_racing_decisions_is_counted_once() -> None:
    with temporary_engine(gated(quorum=3)) as engine:
        run = finished(engine)
        race(8, lambda n: engine.decide(run.id, "release", "approved", by=f"p{n}"))
        assert len(engine.get(run.id).at("release").votes) == 3
        engine.drain()
        assert engine.get(run.id).status is RunStatus.SUCCEEDED
        assert_sound(engine, [run])


def test_an_answer_before_the_gate_opens_is_kept() -> None:
    with temporary_engine(gated()) as engine:
        run = engine.start("story", ACME)
        engine.decide(run.id, "release", "approved", by="ann")
        engine.drain()
        assert engine.get(run.id).status is RunStatus.SUCCEEDED


def test_a_deadline_settles_the_gate_with_its_default_and_a_decision_comes_too_late() -> None:
    clock = FakeClock()
    with temporary_engine(gated(deadline=3600, default="approved"), clock=clock) as engine:
        run = finished(engine)
        assert engine.next_due() == clock() + timedelta(hours=1)
        drain(engine, clock=clock)
        assert engine.get(run.id).status is RunStatus.SUCCEEDED
        with pytest.raises(AlreadyDecided, match="by its deadline"):
            engine.decide(run.id, "release", "rejected", by="ann")


def test_a_decision_ends_the_timer() -> None:
    clock = FakeClock()
    with temporary_engine(gated(deadline=3600), clock=clock) as engine:
        run = finished(engine)
        engine.decide(run.id, "release", "approved", by="ann")
        drain(engine, clock=clock)
        assert (engine.get(run.id).status, engine.next_due()) == (RunStatus.SUCCEEDED, None)


def test_many_gates_are_answered_in_one_go() -> None:
    with temporary_engine(gated()) as engine:
        runs = engine.start_many("story", subjects(50))
        engine.drain()
        decisions = [(run.id, "release", "approved") for run in runs]
        answers = engine.decide_many(
            [*decisions, ("nobody", "release", "approved"), (runs[0].id, "draft", "approved")], by="ann"
        )
        assert answers[:50] == [None] * 50
        assert [type(answer) for answer in answers[50:]] == [UnknownName, NotAllowed]
        engine.drain()
        assert len(engine.find(status=["succeeded"])) == 50
        assert [type(answer) for answer in engine.decide_many(decisions[:2], by="bob")] == [AlreadyDecided] * 2


# --- other requests -------------------------------------------------------------------------------------------------


def test_a_failed_phase_may_be_retried_or_skipped_or_reset() -> None:
    script = Scripted(ValueError("1"), ValueError("2"), "third", "fourth")
    with temporary_engine(flow(Phase("work", script), Phase("after", Scripted(1, 1), needs=("work",)))) as engine:
        run = finished(engine)
        assert run.status is RunStatus.FAILED
        engine.retry(run.id, "work", by="ann")
        engine.drain()
        assert engine.get(run.id).status is RunStatus.FAILED
        engine.retry(run.id, by="ann")
        engine.drain()
        assert engine.outputs(run.id) == {"work": "third", "after": 1}
        engine.reset(run.id, "work", by="ann", reason="again")
        engine.drain()
        assert engine.outputs(run.id) == {"work": "fourth", "after": 1}
        assert engine.get(run.id).at("work").attempt == 4
        assert_sound(engine, [run])


def test_a_skipped_phase_lets_the_run_go_on() -> None:
    with temporary_engine(
        flow(Phase("work", Scripted(ValueError("1"))), Phase("after", Scripted(1), needs=("work",)))
    ) as engine:
        run = finished(engine)
        engine.skip(run.id, "work", by="ann", reason="by hand")
        engine.drain()
        ended = engine.get(run.id)
        assert (ended.status, ended.at("work").status, ended.at("work").reason) == (
            RunStatus.SUCCEEDED, PhaseStatus.SKIPPED, "by hand",
        )  # fmt: skip


def test_a_paused_run_stands_still_until_it_is_resumed() -> None:
    with temporary_engine(one(Scripted(1))) as engine:
        run = engine.start("story", ACME)
        engine.pause(run.id, by="ann", reason="holiday")
        engine.drain()
        assert (engine.get(run.id).status, engine.get(run.id).reason) == (RunStatus.PAUSED, "holiday")
        with pytest.raises(NotAllowed, match="is paused and cannot be paused"):
            engine.pause(run.id)
        engine.resume(run.id)
        engine.drain()
        assert engine.get(run.id).status is RunStatus.SUCCEEDED
        with pytest.raises(NotAllowed, match="not paused"):
            engine.resume(run.id)


def test_a_cancelled_run_undoes_what_it_did() -> None:
    undone: list[str] = []
    phases = flow(
        Phase("a", Scripted(1), compensate=lambda ctx: undone.append("a")),
        Phase("b", Scripted(2), needs=("a",), compensate=lambda ctx: undone.append("b")),
        Phase("release", needs=("b",), gate=Gate()),
    )
    with temporary_engine(phases) as engine:
        run = finished(engine)
        engine.cancel(run.id, by="ann", reason="changed our mind")
        engine.drain()
        ended = engine.get(run.id)
        assert (ended.status, ended.reason, undone) == (RunStatus.CANCELLED, "changed our mind", ["b", "a"])
        with pytest.raises(NotAllowed, match="cancelled already"):
            engine.cancel(run.id)
        assert_sound(engine, [run])


def test_racing_requests_of_different_kinds_leave_a_sound_run() -> None:
    script = Scripted(*range(40))
    with temporary_engine(flow(Phase("work", script), Phase("release", gate=Gate(), needs=("work",)))) as engine:
        run = finished(engine)
        requests: list[Callable[[str], Any]] = [
            engine.pause,
            engine.resume,
            lambda run_id: engine.reset(run_id, "work"),
            lambda _id: engine.drain(),
        ]
        for _ in range(3):
            race(8, lambda number: requests[number % 4](run.id))
        if engine.get(run.id).status is RunStatus.PAUSED:
            engine.resume(run.id)
        engine.drain()
        assert engine.get(run.id).status is RunStatus.WAITING
        assert_sound(engine, [run])


def test_the_requests_of_a_tenant_do_not_reach_another() -> None:
    with temporary_engine(gated()) as engine:
        run = engine.start("story", ACME, tenant="theirs")
        requests: list[Any] = [
            engine.get, engine.pause, engine.resume, engine.cancel, engine.retry, engine.history, engine.outputs, engine.why,
            engine.progress, lambda i: engine.decide(i, "release", "approved", by="ann"), lambda i: engine.reset(i, "draft"),
            lambda i: engine.skip(i, "draft"), lambda i: engine.answer(i, "draft", 1, by="ann"),
            lambda i: engine.wait(i, timeout=0), lambda i: engine.get(i[:10]), engine.aim,
        ]  # fmt: skip
        for ask in requests:
            with pytest.raises(UnknownName, match="unknown run"):
                ask(run.id)
        assert engine.find() == []
        assert list(engine.watch()) == []
        (answer,) = engine.decide_many([(run.id, "release", "approved")], by="ann")
        assert isinstance(answer, UnknownName)
        assert engine.get(run.id, tenant="theirs").seq == run.seq
