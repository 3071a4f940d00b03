"""What reaches a phase function: inputs, joins, items, feedback, answers; also after a restart, and for many items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from phasegate import Context, Engine, Gate, Outcome, Phase, PhaseStatus, Registry, RunStatus
from phasegate.testing import Scripted
from tests.engines import address_in, temporary_engine
from tests.runtime.flows import ACME, assert_sound, finished, flow, kinds


def inputs(ctx: Context) -> Any:
    return ctx.inputs


def test_inputs_come_by_the_names_of_the_phases_above() -> None:
    phases = flow(
        Phase("a", Scripted({"x": 1})), Phase("b", Scripted(None)), Phase("c", Scripted(3)),
        Phase("work", inputs, needs=("a", "b", "c"), when={"c": "done"}),
    )  # fmt: skip
    with temporary_engine(phases) as engine:
        assert engine.outputs(finished(engine).id)["work"] == {"a": {"x": 1}, "b": None, "c": 3}


def test_a_phase_that_was_skipped_gives_none() -> None:
    phases = flow(
        Phase("a", Scripted(Outcome("bad", 1))), Phase("b", Scripted(2), needs=("a",), when={"a": "good"}),
        Phase("work", inputs, needs=("b",)),
    )  # fmt: skip
    with temporary_engine(phases) as engine:
        assert engine.outputs(finished(engine).id)["work"] == {"b": None}


ITEMS = [{"id": "x", "size": 1}, {"id": "y", "size": 2}]


def test_an_iteration_gets_its_item_the_broadcast_and_its_own_branch() -> None:
    phases = flow(
        Phase("list", Scripted(ITEMS)), Phase("settings", Scripted("blue")),
        Phase("first", lambda ctx: ctx.item["size"] * 10, each="list"),
        Phase(
            "second",
            lambda ctx: [ctx.item["id"], ctx.inputs["first"], ctx.inputs["settings"]],
            each="list",
            needs=("first", "settings"),
        ),
        Phase("joined", inputs, needs=("first", "second")),
    )  # fmt: skip
    with temporary_engine(phases) as engine:
        run = finished(engine)
        found = engine.outputs(run.id)
        assert found["second"] == {"x": ["x", 10, "blue"], "y": ["y", 20, "blue"]}
        assert found["joined"] == {"first": [10, 20], "second": [["x", 10, "blue"], ["y", 20, "blue"]]}
        assert_sound(engine, [run])


def test_nested_iterations_get_the_inner_item_and_join_where_they_leave() -> None:
    phases = flow(
        Phase("books", Scripted([{"id": "a", "pages": [1, 2]}, {"id": "b", "pages": []}])),
        Phase("pages", lambda ctx: [{"id": f"p{page}", "page": page} for page in ctx.item["pages"]], each="books"),
        Phase("read", lambda ctx: [ctx.item["page"], list(ctx.scope)], each="pages"),
        Phase("sum", inputs, each="books", needs=("read",)),
        Phase("all", lambda ctx: ctx.inputs["read"], needs=("read",)),
    )  # fmt: skip
    with temporary_engine(phases) as engine:
        run = finished(engine)
        assert run.status is RunStatus.SUCCEEDED
        found = engine.outputs(run.id)
        first, second = [1, ["a", "p1"]], [2, ["a", "p2"]]
        assert found["read"] == {"a/p1": first, "a/p2": second}
        assert found["sum"] == {
            "a": {"books": [{"id": "a", "pages": [1, 2]}, {"id": "b", "pages": []}], "read": [first, second]},
            "b": {"books": [{"id": "a", "pages": [1, 2]}, {"id": "b", "pages": []}], "read": []},
        }
        assert found["all"] == [first, second]
        assert_sound(engine, [run])


def test_no_items_are_fine() -> None:
    phases = flow(
        Phase("list", Scripted([])), Phase("work", Scripted(), each="list"), Phase("end", inputs, needs=("work",))
    )
    with temporary_engine(phases) as engine:
        run = finished(engine)
        assert (run.status, engine.outputs(run.id)["end"]) == (RunStatus.SUCCEEDED, {"work": []})


def test_a_thousand_items_in_two_nested_phases() -> None:
    phases = flow(
        Phase("list", Scripted([{"id": str(n), "n": n} for n in range(1000)])),
        Phase("first", lambda ctx: ctx.item["n"], each="list"),
        Phase("second", lambda ctx: ctx.inputs["first"] + 1, each="list", needs=("first",)),
        Phase("total", lambda ctx: sum(ctx.inputs["second"]), needs=("second",)),
    )  # fmt: skip
    with temporary_engine(phases) as engine:
        run = finished(engine)
        assert run.status is RunStatus.SUCCEEDED
        assert engine.outputs(run.id)["total"] == sum(range(1, 1001))
        assert kinds(engine, run).count("attempt.succeeded") == 2002
        assert_sound(engine, [run])
        progress = engine.progress(run.id)
        assert (progress.done, progress.total) == (2002, 2002)


def test_feedback_reaches_the_phase_that_was_sent_back() -> None:
    seen: list[Any] = []

    def draft(ctx: Context) -> int:
        seen.append(ctx.feedback)
        return ctx.attempt

    check = Scripted(Outcome("again", "too thin"), Outcome("again", "too thick"), "fine")
    phases = flow(Phase("draft", draft), Phase("check", check, needs=("draft",), redo={"again": "draft"}))
    with temporary_engine(phases) as engine:
        run = finished(engine)
        assert run.status is RunStatus.SUCCEEDED
        assert seen == [None, "too thin", "too thick"]
        assert engine.outputs(run.id) == {"draft": 3, "check": "fine"}
        assert_sound(engine, [run])


def test_a_rejection_comes_back_with_its_comment() -> None:
    seen: list[Any] = []
    draft = Scripted(lambda ctx: seen.append(ctx.feedback), lambda ctx: seen.append(ctx.feedback))
    phases = flow(Phase("draft", draft), Phase("release", needs=("draft",), gate=Gate(), redo={"rejected": "draft"}))
    with temporary_engine(phases) as engine:
        run = finished(engine)
        engine.decide(run.id, "release", "rejected", by="ann", comment="shorter", answers={"lines": 3})
        engine.drain()
        assert seen == [None, {"outcome": "rejected", "by": ["ann"], "comment": "shorter", "answers": {"lines": 3}}]
        engine.decide(run.id, "release", "approved", by="ann")
        assert engine.get(run.id).status is RunStatus.SUCCEEDED


def test_outputs_are_read_again_by_an_engine_that_did_not_make_them(tmp_path: Path) -> None:
    phases = flow(
        Phase("list", Scripted(ITEMS)), Phase("first", lambda ctx: ctx.item["size"], each="list"),
        Phase("release", gate=Gate(), needs=("first",)),
        Phase("work", lambda ctx: [ctx.inputs["first"], ctx.inputs["release"]["by"]], needs=("first", "release")),
        Phase("again", lambda ctx: [ctx.item["id"], ctx.inputs["first"]], each="list", needs=("release", "first")),
    )  # fmt: skip
    address = address_in(tmp_path)
    with Engine(address, Registry(phases)) as before:
        run = finished(before)
        assert run.status is RunStatus.WAITING
    with Engine(address, Registry(phases)) as after:
        after.decide(run.id, "release", "approved", by="ann")
        after.drain()
        found = after.outputs(run.id)
        assert found["work"] == [[1, 2], ["ann"]]
        assert found["again"] == {"x": ["x", 1], "y": ["y", 2]}
        assert_sound(after, [run])


def test_undoing_gets_what_the_phase_gave() -> None:
    undone: list[Any] = []
    phases = flow(
        Phase("book", Scripted({"seat": 7}), compensate=lambda ctx: undone.append((ctx.phase, ctx.inputs["book"]))),
        Phase("pay", Scripted(ValueError("no money")), needs=("book",)),
    )
    with temporary_engine(phases) as engine:
        run = finished(engine)
        assert run.status is RunStatus.FAILED
        assert undone == [("undo:book", {"seat": 7})]
        assert run.at("undo:book").status is PhaseStatus.SUCCEEDED
        assert_sound(engine, [run])


def test_runs_of_many_subjects_keep_apart() -> None:
    phases = flow(
        Phase("a", lambda ctx: ctx.subject.id), Phase("b", lambda ctx: ctx.inputs["a"] + ctx.input, needs=("a",))
    )
    with temporary_engine(phases) as engine:
        from tests.runtime.flows import subjects

        runs = engine.start_many("story", subjects(300), inputs=[f"/{n}" for n in range(300)])
        engine.drain()
        assert [engine.outputs(run.id)["b"] for run in runs] == [f"c{n:03}/{n}" for n in range(300)]
        assert engine.outputs(runs[0].id)["b"] == "c000/0"
        assert ACME not in {run.subject for run in runs}
