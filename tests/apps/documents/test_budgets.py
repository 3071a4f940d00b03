"""Budgets of model calls on the engine: exact amounts, refusals, raises, many workers, deaths.

A call of these tests may cost 0.01 USD, and costs 0.001.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from phasegate import Engine, Run, RunStatus
from phasegate.apps.documents import projects, studio
from phasegate.apps.documents.errors import ClarificationError, WorkflowError
from phasegate.apps.documents.projects import Waiting
from phasegate.apps.documents.spending import charging as spending
from phasegate.apps.documents.spending.ledger import Account, Ledger, Place
from phasegate.errors import StoreUnavailable
from phasegate.llm import LLMError
from phasegate.llm.budget import NANO, Budget, Budgets, Cost
from tests import postgres
from tests.apps.documents.paying import CALL, Model, begin

MILLI = NANO // 1000
TOGETHER = (  # in one statement, for others settle between two
    "SELECT b.spent + coalesce((SELECT sum(r.amount) FROM document_reservations r), 0) AS n FROM document_budgets b"
)
RESERVED = "SELECT count(*) AS n FROM document_reservations"


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/documents.db" if request.param == "sqlite" else postgres.database_of(tmp_path)


@pytest.fixture
def engine(address: str) -> Iterator[Engine]:
    with studio.open_engine(address, None) as opened:
        opened.registry.deps.patience = 0
        yield opened


def step(engine: Engine, run: Run) -> tuple[Run, list[Waiting]]:
    """Do what can be done; the run, and what waits for a person."""
    engine.drain()
    found = engine.get(run.id)
    return found, projects.waiting(found, projects.workflow_of(found))


def accounts(engine: Engine) -> dict[tuple[str, str], tuple[int, int]]:
    """What is allowed and spent by kind of budget and unit; nothing is reserved any more."""
    assert engine.read(RESERVED)[0]["n"] == 0
    rows = engine.read("SELECT * FROM document_budgets")
    return {(row["per"], row["unit"]): (row["allowed"], row["spent"]) for row in rows}


def usd(limit: float) -> Budgets:
    return Budgets.of(usd=limit)


# --- amounts ----------------------------------------------------------------------------------------------------------


def test_what_is_spent_is_exactly_what_the_calls_cost(engine: Engine, tmp_path: Path) -> None:
    limits = usd(1).with_limits(Budgets.of(tokens=100_000))
    run, waiting = step(engine, begin(engine, tmp_path, Model(), limits, parts=3))
    assert (run.status, waiting) == (RunStatus.SUCCEEDED, [])
    assert accounts(engine) == {("run", "usd"): (NANO, 4 * MILLI), ("run", "tokens"): (100_000, 4 * 150)}
    told = engine.read("SELECT sum(cost) AS cost, sum(total_tokens) AS tokens FROM document_calls")[0]
    assert round(told["cost"] * NANO) == 4 * MILLI
    assert told["tokens"] == 600


def test_a_model_without_a_price_keeps_to_a_budget_in_tokens(engine: Engine, tmp_path: Path) -> None:
    model = Model(name="nobody-sells-it")
    begun = begin(engine, tmp_path, model, Budgets.of(tokens=1_150), models=("nobody-sells-it",))
    run, (waiting,) = step(engine, begun)
    assert waiting.kind == "budget"
    assert waiting.budget is not None
    assert (waiting.budget["unit"], waiting.budget["spent"], waiting.budget["limit"]) == ("tokens", 150, 1_150)
    run, _ = step(engine, projects.answer(engine, run, waiting, {"LIMIT": "5000"}, by="ann"))
    assert (run.status, model.asked) == (RunStatus.SUCCEEDED, 2)
    assert accounts(engine) == {("run", "tokens"): (5_000, 300)}


def test_money_without_prices_is_refused_before_anything_begins(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(WorkflowError, match="there is no price for new-model"):
        begin(engine, tmp_path, Model(), usd(1), models=("new-model",))
    assert engine.find() == []


def test_a_tenants_budget_in_money_stops_a_model_without_a_price(engine: Engine, tmp_path: Path) -> None:
    begin(engine, tmp_path, Model(), Budgets.of("tenant", usd=1), project="first")
    model = Model()
    run, _ = step(engine, begin(engine, tmp_path, model, None, models=("new-model",), project="second"))
    assert (run.status, model.asked) == (RunStatus.FAILED, 0)
    assert "nobody has named a price for new-model" in str(run.phases["make_plan", ()].reason)


def test_what_was_spent_before_there_was_a_budget_counts(engine: Engine, tmp_path: Path) -> None:
    model = Model()
    run, _ = step(engine, begin(engine, tmp_path, model, None))
    assert (run.status, model.asked) == (RunStatus.SUCCEEDED, 2)
    begin(
        engine,
        tmp_path,
        model,
        usd(1).with_limits(Budgets.of("phase", usd=1)).with_limits(Budgets.of("tenant", tokens=999)),
    )
    rows = engine.read("SELECT per, spent FROM document_budgets ORDER BY per, key")
    assert [(row["per"], row["spent"]) for row in rows] == [
        ("phase", MILLI), ("phase", MILLI), ("run", 2 * MILLI), ("tenant", 300),
    ]  # fmt: skip


# --- no room ----------------------------------------------------------------------------------------------------------


def test_a_call_without_room_parks_and_a_raise_goes_on_with_one_more_call(engine: Engine, tmp_path: Path) -> None:
    model = Model()
    run, (waiting,) = step(engine, begin(engine, tmp_path, model, usd(0.0105)))
    assert (run.status, model.asked) == (RunStatus.WAITING, 1)
    assert (waiting.kind, waiting.step, waiting.scope) == ("budget", "make_note", ("p0",))
    assert waiting.questions[0]["id"] == "LIMIT"
    assert waiting.questions[0]["text"] == (
        "The budget of this run has no room for the next call of 'make_note': 0.001 USD of 0.0105 USD are spent, and the call "
        "may cost up to 0.01 USD. What is the new limit in US dollars? With 0.011 USD it can go on."
    )
    assert waiting.budget == {
        "per": "run", "tenant": "default", "key": run.id, "unit": "usd", "limit": 0.0105, "spent": 0.001, "reserved": 0.0,
        "next": 0.01,
    }  # fmt: skip
    step(engine, run)
    assert model.asked == 1
    run, left = step(engine, projects.answer(engine, run, waiting, {"LIMIT": 0.011}, by="ann"))
    assert (run.status, left, model.asked) == (RunStatus.SUCCEEDED, [], 2)
    assert accounts(engine) == {("run", "usd"): (11 * MILLI, 2 * MILLI)}


@pytest.mark.parametrize("answer", [0.001, 0, -5, "nan", float("nan"), float("inf"), "much", "", None, True, 1e12])
def test_an_answer_that_is_no_limit_changes_nothing(answer: Any, engine: Engine, tmp_path: Path) -> None:
    run, (waiting,) = step(engine, begin(engine, tmp_path, Model(), usd(0.0105)))
    with pytest.raises(ClarificationError, match="LIMIT"):
        projects.answer(engine, run, waiting, {"LIMIT": answer}, by="ann")
    assert engine.get(run.id).seq == run.seq


def test_a_bad_answer_that_came_past_the_check_is_asked_about_again(engine: Engine, tmp_path: Path) -> None:
    model = Model()
    run, _ = step(engine, begin(engine, tmp_path, model, usd(0.0105)))
    for bad in ({"LIMIT": -3}, "much", None):
        engine.answer(run.id, "make_note", bad, by="ann", scope=("p0",))
        run, (waiting,) = step(engine, run)
        assert waiting.questions[0]["text"].partition(" The budget of this run ")[0].endswith(".")
        assert "LIMIT" in waiting.questions[0]["text"] or "answers are a mapping" in waiting.questions[0]["text"]
    assert model.asked == 1
    run, _ = step(engine, projects.answer(engine, run, waiting, {"LIMIT": 1}, by="ann"))
    assert (run.status, model.asked) == (RunStatus.SUCCEEDED, 2)


def test_an_answer_below_the_limit_lowers_nothing(engine: Engine, tmp_path: Path) -> None:
    run, (waiting,) = step(engine, begin(engine, tmp_path, Model(), usd(0.0105)))
    _, (again,) = step(engine, projects.answer(engine, run, waiting, {"LIMIT": 0.005}, by="ann"))
    assert again.budget is not None
    assert again.budget["limit"] == 0.0105


def test_an_unfit_answer_is_not_asked_for_again_after_a_raise(engine: Engine, tmp_path: Path) -> None:
    model = Model(say=lambda number, request: "nothing of use" if number == 1 else None)
    run, (waiting,) = step(engine, begin(engine, tmp_path, model, usd(0.0105)))
    assert (waiting.step, model.asked) == ("make_plan", 1)
    step(engine, projects.answer(engine, run, waiting, {"LIMIT": 1}, by="ann"))
    assert model.asked == 3
    assert "Previous Output" in model.requests[1].user
    assert "nothing of use" in model.requests[1].user
    assert accounts(engine) == {("run", "usd"): (NANO, 3 * MILLI)}
    (row,) = engine.read("SELECT attempts FROM document_versions WHERE step = 'make_plan'")
    assert row["attempts"] == 2


def test_answers_to_a_models_questions_survive_a_raise(engine: Engine, tmp_path: Path) -> None:
    from tests.apps.documents.test_on_the_engine import QUESTIONS

    model = Model(say=lambda number, request: json.dumps(QUESTIONS) if number == 1 else None)
    run, (waiting,) = step(engine, begin(engine, tmp_path, model, usd(0.0105)))
    assert (waiting.kind, waiting.budget) == ("clarification", None)
    assert accounts(engine) == {("run", "usd"): (10_500_000, MILLI)}  # settled although nobody has answered
    run, (waiting,) = step(engine, projects.answer(engine, run, waiting, {"ROOMS": 31}, by="ann"))
    assert (waiting.kind, waiting.step, model.asked) == ("budget", "make_plan", 1)
    run, _ = step(engine, projects.answer(engine, run, waiting, {"LIMIT": 1}, by="ann"))
    assert (run.status, model.asked) == (RunStatus.SUCCEEDED, 3)
    assert "How many rooms are there?\n  31" in model.requests[1].user


# --- whose budget -----------------------------------------------------------------------------------------------------


def test_runs_of_a_tenant_share_its_budget(engine: Engine, address: str, tmp_path: Path) -> None:
    limits = Budgets.of("tenant", usd=0.0125)
    model = Model()
    step(engine, begin(engine, tmp_path, model, limits, project="first"))
    assert model.asked == 2
    run, (waiting,) = step(engine, begin(engine, tmp_path, model, None, project="second"))  # bound without naming it
    assert model.asked == 3
    assert "The budget of tenant 'default' has no room" in waiting.questions[0]["text"]
    with studio.open_engine(address, "other") as elsewhere:
        other, _ = step(elsewhere, begin(elsewhere, tmp_path, model, limits, project="third"))
        assert other.status is RunStatus.SUCCEEDED
    run, _ = step(engine, projects.answer(engine, run, waiting, {"LIMIT": 0.02}, by="ann"))
    assert run.status is RunStatus.SUCCEEDED
    rows = engine.read("SELECT tenant, allowed, spent FROM document_budgets ORDER BY tenant")
    assert [tuple(row.values()) for row in rows] == [
        ("default", 20 * MILLI, 4 * MILLI),
        ("other", 12_500_000, 2 * MILLI),
    ]


def test_items_of_a_phase_share_its_budget_and_runs_do_not(engine: Engine, tmp_path: Path) -> None:
    limits = Budgets.from_dict({"phase": {"usd": 0.01}, "phases": {"make_note": {"usd": 0.0105}}})
    for project in ("first", "second"):
        model = Model()
        _, waiting = step(engine, begin(engine, tmp_path, model, limits, parts=2, project=project))
        assert [each.step for each in waiting] == ["make_note"]
        assert "The budget of phase 'make_note' in this run has no room" in waiting[0].questions[0]["text"]
        assert model.asked == 2


def test_a_budget_for_a_step_that_is_none_is_refused(engine: Engine, tmp_path: Path) -> None:
    limits = Budgets.from_dict({"phases": {"make_nite": {"tokens": 1}}})
    with pytest.raises(WorkflowError, match="'make_nite', which is no step") as refused:
        begin(engine, tmp_path, Model(), limits)
    assert refused.value.hint == "did you mean 'make_note'?"


def test_of_several_budgets_none_is_charged_when_one_has_no_room(engine: Engine, tmp_path: Path) -> None:
    limits = usd(1).with_limits(Budgets.of("tenant", usd=0.0105))
    _, (waiting,) = step(engine, begin(engine, tmp_path, Model(), limits))
    assert waiting.budget is not None
    assert waiting.budget["per"] == "tenant"
    assert accounts(engine) == {("tenant", "usd"): (10_500_000, MILLI), ("run", "usd"): (NANO, MILLI)}


# --- set again --------------------------------------------------------------------------------------------------------


def test_a_higher_limit_for_a_run_that_waits_lets_it_go_on(engine: Engine, tmp_path: Path) -> None:
    model = Model()
    step(engine, begin(engine, tmp_path, model, usd(0.0105)))
    _, (waiting,) = step(engine, begin(engine, tmp_path, model, usd(0.0105)))
    assert waiting.kind == "budget"
    run, _ = step(engine, begin(engine, tmp_path, model, usd(0.02)))
    assert (run.status, model.asked) == (RunStatus.SUCCEEDED, 2)


def test_a_raise_stands_until_another_limit_is_configured(engine: Engine, tmp_path: Path) -> None:
    model = Model()
    run, (waiting,) = step(engine, begin(engine, tmp_path, model, usd(0.0105)))
    step(engine, projects.answer(engine, run, waiting, {"LIMIT": 1}, by="ann"))
    begin(engine, tmp_path, model, usd(0.0105))
    assert accounts(engine)["run", "usd"][0] == NANO
    begin(engine, tmp_path, model, usd(0.02))
    assert accounts(engine)["run", "usd"][0] == 20 * MILLI


def test_a_studio_remembers_its_budgets(engine: Engine, tmp_path: Path) -> None:
    limits = Budgets.from_dict({"run": {"usd": 0.1}, "phases": {"make_note": {"tokens": 5}}, "output_tokens": 77})
    run = begin(engine, tmp_path, Model(), limits)
    assert studio.Studio.of(engine, engine.get(run.id)).budgets == limits
    assert studio.Studio.of(engine, begin(engine, tmp_path, Model(), None, project="other")).budgets is None


# --- many at once -----------------------------------------------------------------------------------------------------


def test_eight_phases_at_once_never_go_beyond_the_limit(engine: Engine, tmp_path: Path) -> None:
    model = Model()

    async def meanwhile(number: int) -> None:
        """Keep those that found room until the others have been refused."""
        while number > 1 and len([each for each in engine.get(run.id).phases.values() if each.asked]) < 5:
            await asyncio.sleep(0.01)
        seen.append(int(engine.read(TOGETHER)[0]["n"]))

    seen: list[int] = []
    model.meanwhile = meanwhile
    run = begin(engine, tmp_path, model, usd(0.035), parts=8)
    found, waiting = step(engine, run)
    assert model.asked == 1 + 3
    assert max(seen) == 31 * MILLI
    assert [each.kind for each in waiting] == ["budget"] * 5
    assert "0.03 USD are reserved for calls under way" in waiting[0].questions[0]["text"]
    model.meanwhile = None
    # One answer is for all who wait for the same.
    run, left = step(engine, projects.answer(engine, found, waiting[0], {"LIMIT": 1}, by="ann"))
    assert (run.status, left, model.asked) == (RunStatus.SUCCEEDED, [], 9)
    assert accounts(engine) == {("run", "usd"): (NANO, 9 * MILLI)}


def test_room_that_is_only_reserved_is_waited_for(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spending, "LOOK", 0.01)
    engine.registry.deps.patience = 60
    model = Model()
    run, _ = step(engine, begin(engine, tmp_path, model, usd(0.021), parts=8))
    assert (run.status, model.asked) == (RunStatus.SUCCEEDED, 9)
    assert accounts(engine) == {("run", "usd"): (21 * MILLI, 9 * MILLI)}


def test_nobody_waits_for_room_that_another_budget_will_never_have(engine: Engine, tmp_path: Path) -> None:
    limits = usd(0.005).with_limits(Budgets.of("tenant", usd=0.015)).with_limits(Budgets.of("phase", usd=0.015))
    run = begin(engine, tmp_path, Model(), limits)
    there = Place("default", run.id, "make_plan", ("another",))
    ledger = engine.registry.deps
    tenant, _, phase = ledger.accounts(there)
    assert ledger.reserve("other", there, [tenant, phase], Cost(0, CALL))
    ledger.patience = 10
    _, (waiting,) = step(engine, run)
    assert waiting.budget is not None
    assert waiting.budget["per"] == "run"


def test_eight_workers_at_once_never_reserve_more_than_there_is(address: str) -> None:
    there, rounds = Place("default", "run", "step", ()), 20
    with ExitStack() as stack, ThreadPoolExecutor(8) as threads:
        ledgers = [Ledger(stack.enter_context(studio.open_engine(address, None))) for _ in range(8)]
        ledgers[0].open(there, [Budget("tenant", "usd", 35), Budget("run", "tokens", 1000)])
        (tenant, mine) = ledgers[0].accounts(there)
        start = threading.Barrier(8)

        def work(number: int, round_: int) -> bool:
            start.wait()
            return ledgers[number].reserve(f"{round_}/{number}", there, [tenant, mine], Cost(10, 10))

        def give_back(number: int, round_: int) -> None:
            start.wait()
            ledgers[number].settle(f"{round_}/{number}", [tenant, mine], Cost(2, 0))

        for round_ in range(rounds):
            granted = list(threads.map(work, range(8), [round_] * 8))
            assert sum(granted) == 3
            assert [each.reserved for each in ledgers[0].accounts(there)] == [30, 30]
            list(threads.map(give_back, range(8), [round_] * 8))
        assert [(each.spent, each.reserved) for each in ledgers[0].accounts(there)] == [(0, 0), (rounds * 3 * 2, 0)]


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_process_that_dies_in_a_call_leaves_no_reservation(address: str, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tests.apps.documents.paying", address, str(tmp_path)]
    dead = subprocess.run(words, timeout=100, capture_output=True, cwd=Path(__file__).parents[3])
    assert dead.returncode == -signal.SIGKILL, dead.stderr
    with studio.open_engine(address, None) as engine:
        assert engine.read(RESERVED)[0]["n"] == 1
        model = Model()
        run, _ = step(engine, begin(engine, tmp_path, model, usd(1)))
        assert (run.status, model.asked) == (RunStatus.SUCCEEDED, 2)
        # The lost call may have been paid for: it counts with all it may have cost.
        assert accounts(engine) == {("run", "usd"): (NANO, CALL + 2 * MILLI)}


def test_a_settlement_that_comes_late_or_twice_counts_nothing(engine: Engine) -> None:
    ledger, there = Ledger(engine), Place("default", "run", "step", ("a",))
    ledger.open(there, [Budget("run", "usd", 100)])
    found = ledger.accounts(there)
    assert ledger.reserve("one", there, found, Cost(0, 40))
    ledger.bury(replace(there, scope=("b",)))  # another item's
    assert ledger.accounts(there)[0].reserved == 40
    ledger.bury(there)  # the next attempt does not know what became of the first
    ledger.settle("one", found, Cost(0, 7))
    assert ledger.reserve("two", there, found, Cost(0, 60))
    ledger.settle("two", found, Cost(0, 5))
    ledger.settle("two", found, Cost(0, 5))
    assert ledger.accounts(there) == [Account("default", "run", "run", "usd", 100, 45, 0)]


def test_an_attempt_that_is_given_up_half_way_counts_as_reserved(engine: Engine, tmp_path: Path) -> None:
    model = Model()
    run = begin(engine, tmp_path, model, usd(1))

    async def meanwhile(number: int) -> None:
        await asyncio.to_thread(engine.cancel, run.id)
        await asyncio.Event().wait()

    model.meanwhile = meanwhile
    engine.drain()
    assert engine.get(run.id).status is RunStatus.CANCELLED
    assert accounts(engine) == {("run", "usd"): (NANO, CALL)}


def test_a_loop_that_ends_does_not_keep_a_call_from_being_settled(engine: Engine, tmp_path: Path) -> None:
    model = Model()
    run = begin(engine, tmp_path, model, usd(1))

    async def meanwhile(number: int) -> None:
        loop = asyncio.get_running_loop()
        before = asyncio.all_tasks()
        # Before any task can begin that giving the call up makes: so a loop ends.
        loop.call_soon(lambda: [each.cancel() for each in asyncio.all_tasks(loop) - before])
        engine.cancel(run.id)
        raise asyncio.CancelledError

    model.meanwhile = meanwhile
    engine.drain()
    assert engine.get(run.id).status is RunStatus.CANCELLED
    assert accounts(engine) == {("run", "usd"): (NANO, CALL)}


@pytest.mark.parametrize(("kind", "costs"), [("auth", 0), ("content", CALL)])
def test_a_failed_call_counts_unless_it_was_refused(kind: Any, costs: int, engine: Engine, tmp_path: Path) -> None:
    async def meanwhile(number: int) -> None:
        raise LLMError(kind, "no")

    model = Model()
    model.meanwhile = meanwhile
    run, _ = step(engine, begin(engine, tmp_path, model, usd(1)))
    assert run.status is RunStatus.FAILED
    assert accounts(engine) == {("run", "usd"): (NANO, costs)}


def test_an_answer_that_cannot_be_settled_at_once_is_settled_with_the_document(engine: Engine, tmp_path: Path) -> None:
    class Broken(Ledger):
        def settle(self, *_: Any) -> None:
            raise StoreUnavailable("gone")

    engine.registry.deps = Broken(engine)
    model = Model()
    run, _ = step(engine, begin(engine, tmp_path, model, usd(1)))
    assert (run.status, model.asked) == (RunStatus.SUCCEEDED, 2)
    assert accounts(engine) == {("run", "usd"): (NANO, 2 * MILLI)}


def test_a_call_waits_for_a_database_that_cannot_reserve(engine: Engine, tmp_path: Path) -> None:
    class Broken(Ledger):
        def reserve(self, *_: Any) -> bool:
            raise StoreUnavailable("gone")

    engine.registry.deps = Broken(engine)
    model = Model()
    run, _ = step(engine, begin(engine, tmp_path, model, usd(1)))
    assert (run.status, model.asked) == (RunStatus.WAITING, 0)
    assert run.phases["make_plan", ()].due_at is not None
    assert run.phases["make_plan", ()].failures == 0


def test_without_a_ledger_a_run_with_budgets_asks_nothing(engine: Engine, tmp_path: Path) -> None:
    model = Model()
    begun = begin(engine, tmp_path, model, usd(1))
    engine.registry.deps = None
    run, _ = step(engine, begun)
    assert (run.status, model.asked) == (RunStatus.FAILED, 0)
    assert "the engine has no ledger" in str(run.phases["make_plan", ()].reason)


def test_a_dry_run_with_budgets_asks_nothing(engine: Engine, tmp_path: Path) -> None:
    model = Model()
    begun = begin(engine, tmp_path, model, usd(1))
    with engine.rehearsal() as twin:
        twin.drain()
        assert twin.get(begun.id).status is RunStatus.FAILED
    assert model.asked == 0
