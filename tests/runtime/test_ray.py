"""Phases that run on Ray, on a real cluster of this machine; one of its nodes is killed under load."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import ray
from ray import cloudpickle
from ray.cluster_utils import Cluster

from phasegate import Batch, Context, Engine, Phase, PhaseStatus, Registry, Retry, Run, RunStatus
from phasegate.core import facts as f
from phasegate.runtime import calls, worker
from phasegate.runtime import ray as running
from phasegate.runtime.worker import Worker
from phasegate.testing import FakeClock, drain, temporary_engine
from tests import engines
from tests.runtime import ray_phases as phases
from tests.runtime.flows import (
    ACME,
    ENTER,
    assert_sound,
    entries,
    facts,
    finished,
    flow,
    kinds,
    metadata,
    one,
    outcome,
    serve,
    subjects,
)
from tests.waiting import wait_for

STORE = 80 * 2**20  # the least that Ray takes


@pytest.fixture(autouse=True)
def database() -> str:
    """On SQLite alone: where a function runs has nothing to do with the database."""
    engines.use("sqlite")
    return "sqlite"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """The head of a cluster, with two places; started as in a script's background, where SIGINT is ignored."""
    quick = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 200, "health_check_failure_threshold": 3}
    options = {"num_cpus": 2, "object_store_memory": STORE, "include_dashboard": False, "_system_config": quick}
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        found = Cluster(initialize_head=True, head_node_args=options)
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        yield found
    finally:
        ray.shutdown()
        found.shutdown()


@pytest.fixture
def connected(cluster: Any) -> Any:
    """This program is connected to the cluster by itself: engines use that, and keep it."""
    if not ray.is_initialized():
        ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    return cluster


@pytest.fixture
def disconnected() -> None:
    ray.shutdown()


def on_ray(run: Any, **options: Any) -> Any:
    return one(run, runs_on="ray", **options)


def failure(engine: Engine, run: Run) -> f.AttemptFailed:
    """How the only attempt of a run failed."""
    (failed,) = (fact for fact in facts(engine, run) if isinstance(fact, f.AttemptFailed))
    return failed


def gone(pid: int) -> bool:
    """Whether a process has ended, though perhaps nobody has asked how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


# --- connecting -----------------------------------------------------------------------------------------------------


# First: tasks that are generators hang in Ray when a program has gone from one cluster to another and back again.
def test_without_an_address_a_local_ray_is_started_and_stopped_with_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    init = ray.init

    def small(**options: Any) -> Any:
        asked.update(options)
        return init(**options, num_cpus=1, object_store_memory=STORE)

    monkeypatch.setattr(ray, "init", small)
    with temporary_engine(
        flow(Phase("here", lambda _: os.getpid()), Phase("there", phases.end, runs_on="ray"))
    ) as engine:
        engine.start("story", ACME, input="outcome", aim=["here"])
        engine.drain()
        assert not asked, "no phase has asked for it yet"
        run = engine.start("story", subjects(1)[0], input="outcome")
        engine.drain()
        assert engine.get(run.id).status is RunStatus.SUCCEEDED
        assert asked["address"] == "local"
        assert ray.is_initialized()
    assert not ray.is_initialized()


@pytest.mark.usefixtures("disconnected")
def test_an_address_that_does_not_answer_loses_nothing_and_says_what_to_change(
    cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
    clock, registry = FakeClock(), Registry(on_ray(phases.end))
    file = f"sqlite:///{tmp_path / 'runs.db'}"
    with Engine(file, registry, clock=clock, ray_address=address) as engine:
        runs = [engine.start("story", subject, input="outcome") for subject in subjects(3)]
        drain(engine, clock, until=lambda: clock() >= LATER_BY_A_MINUTE)
        work = engine.get(runs[0].id).at("work")
    assert (work.status, work.failures, work.losses) == (PhaseStatus.WAITING, 0, 0)
    assert f"no Ray cluster answers at {address}" in (work.reason or "")
    assert "PHASEGATE_RAY_ADDRESS" in (work.reason or "")
    # One line a try, and not one a phase; the tries become rare: after 0, 5, 15, 35 and 75 seconds.
    assert capsys.readouterr().err.count("ray.trouble") == 5
    with Engine(file, registry, clock=clock, ray_address=cluster.address) as engine:
        drain(engine, clock)
        assert {engine.get(run.id).status for run in runs} == {RunStatus.SUCCEEDED}
        assert ray.is_initialized()
    assert not ray.is_initialized(), "the engine ends the connection that it has made"


LATER_BY_A_MINUTE = FakeClock().advance(60)


@pytest.mark.usefixtures("disconnected")
def test_without_ray_the_phase_waits_and_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with temporary_engine(on_ray(phases.end)) as engine:
        work = outcome(engine)
    assert (work.status, work.failures) == (PhaseStatus.WAITING, 0)
    assert "pip install 'phasegate[ray]'" in (work.reason or "")


@pytest.mark.usefixtures("disconnected")
def test_a_cluster_that_is_mute_does_not_hold_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "PATIENCE", 0.1)
    let_go = threading.Event()
    monkeypatch.setattr(ray, "init", lambda **_: let_go.wait(20) and pytest.fail("nobody there"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        with temporary_engine(on_ray(phases.end), ray_address=address) as engine:
            work = outcome(engine)
        let_go.set()
    assert work.status is PhaseStatus.WAITING
    assert "no answer in 0.1 seconds" in (work.reason or "")


# --- what a function sees, and how it ends --------------------------------------------------------------------------


@pytest.mark.usefixtures("connected")
def test_the_function_runs_elsewhere_and_sees_what_it_would_see_here(capsys: pytest.CaptureFixture[str]) -> None:
    big = "x" * 300_000  # more than Ray sends without its object store
    story = flow(
        Phase("given", lambda _: {"big": big, "list": ["a"]}),
        Phase("described", phases.describe, needs=("given",), runs_on="ray", resources={"num_cpus": 0.5}),
        Phase("doubled", phases.twice, needs=("given",), runs_on="ray"),
    )
    with temporary_engine(story, deps={"shared": 1}, clock=FakeClock(), tenant="t1") as engine:
        run = finished(engine, {"some": "input"})
        found = engine.outputs(run.id)
    assert run.status is RunStatus.SUCCEEDED
    described = found["described"]
    assert described.pop("pid") != os.getpid()
    assert described == {
        "tenant": "t1", "subject": "company:acme", "run": run.id, "attempt": 1, "scope": [], "input": {"some": "input"},
        "big": 300_000, "deps": {"shared": 1}, "dry_run": False, "cancelled": False, "year": 2030, "item": None,
    }  # fmt: skip
    assert found["doubled"]["big"] == big * 2
    logged = capsys.readouterr().err
    assert "ValueError: not so bad" in logged
    line = next(line for line in logged.splitlines() if "event='described'" in line)
    assert f"run='{run.id}'" in line
    assert "size=300000" in line


@pytest.mark.usefixtures("connected")
def test_words_and_control_results_mean_what_they_mean_here() -> None:
    with temporary_engine(on_ray(phases.end), clock=FakeClock()) as engine:
        odd, skipped, snoozed = (
            finished(engine, word, subject).at("work")
            for word, subject in zip(("outcome", "skip", "snooze"), subjects(3), strict=True)
        )
    assert (odd.status, odd.outcome) == (PhaseStatus.SUCCEEDED, "odd")
    assert (skipped.status, skipped.reason) == (PhaseStatus.SKIPPED, "nothing to do")
    assert (snoozed.status, snoozed.due_at, snoozed.reason) == (PhaseStatus.WAITING, phases.LATER, "not yet")


@pytest.mark.usefixtures("connected")
def test_questions_park_the_phase_and_the_answers_reach_the_next_attempt() -> None:
    with temporary_engine(on_ray(phases.ask)) as engine:
        run = finished(engine)
        engine.answer(run.id, "work", ["this one"], by="ann")
        engine.drain()
        assert engine.outputs(run.id) == {"work": ["this one"]}


@pytest.mark.parametrize(
    ("ending", "error", "message"),
    [
        ("fatal", "Fatal", "no use"),
        ("value", "ValueError", "wrong value"),
        ("refused", "Refused", "4: not today"),
        ("exit", "SystemExit", "3"),
        ("interrupt", "RuntimeError", "the function raised KeyboardInterrupt"),
        ("stop", "RuntimeError", "the function raised StopIteration"),
        ("read", "Fatal", "ctx.read needs the worker's database"),
        ("unpicklable", "Fatal", "cannot be sent back to the worker: cannot pickle '_thread.lock' object"),
        ("not json", "Fatal", "object"),
    ],
)
@pytest.mark.usefixtures("connected")
def test_an_exception_comes_back_as_itself(ending: str, error: str, message: str) -> None:
    with temporary_engine(on_ray(phases.end)) as engine:
        failed = failure(engine, finished(engine, ending))
    assert failed.error == error
    assert message in failed.message
    if ending in ("fatal", "value", "refused", "exit", "interrupt", "stop"):
        assert "ray_phases.py" in (failed.trace or ""), "the trace is that of the function"


@pytest.mark.usefixtures("connected")
def test_the_types_of_exceptions_decide_about_a_retry() -> None:
    retry = Retry(attempts=2, base=0, retry_on=(phases.Refused, ValueError), fatal_on=(ValueError,))
    with temporary_engine(on_ray(phases.end, retry=retry), clock=FakeClock()) as engine:
        refused = finished(engine, "refused", subjects(1)[0])
        fatal = finished(engine, "value", subjects(2)[1])
    assert (refused.at("work").attempt, fatal.at("work").attempt) == (2, 1)


@pytest.mark.usefixtures("connected")
def test_writes_are_part_of_the_commit() -> None:
    with temporary_engine(on_ray(phases.write)) as engine:
        engine.create_tables(metadata)
        runs = [engine.start("story", s, input=n) for n, s in enumerate(subjects(3))]
        engine.drain()
        # The amount must be more than 0: one write is refused, with its attempt, and not the others.
        assert [engine.get(run.id).status.value for run in runs] == ["failed", "succeeded", "succeeded"]
        assert entries(engine) == {"c001": 1, "c002": 2}


def test_the_same_statement_is_one_object_for_many_attempts() -> None:
    sent = calls.Ended(None, (cloudpickle.dumps(ENTER),), (((0, {"entry": "a", "amount": 1}),),))
    first, second = SimpleNamespace(writes=[]), SimpleNamespace(writes=[])
    for attempt in (first, second):
        calls.unpack(sent, [cast(Context, attempt)], cloudpickle)
    assert first.writes[0].statement is second.writes[0].statement
    assert first.writes[0].params == {"entry": "a", "amount": 1}


@pytest.mark.usefixtures("connected")
def test_a_dry_run_knows_that_it_is_one_and_keeps_nothing() -> None:
    with temporary_engine(on_ray(phases.write)) as engine:
        engine.create_tables(metadata)
        with engine.rehearsal() as rehearsal:
            assert finished(rehearsal, 5).status is RunStatus.SUCCEEDED
            assert entries(rehearsal) == {"acme": 5}
        assert entries(engine) == {}


@pytest.mark.usefixtures("connected")
def test_a_function_that_cannot_be_sent_fails_with_advice() -> None:
    lock = threading.Lock()

    def holding(_ctx: Context) -> bool:
        return lock.locked()

    with temporary_engine(on_ray(holding, retry=Retry(attempts=3))) as engine:
        failed = failure(engine, finished(engine))
    assert failed.fatal
    assert "the function of phase 'work' cannot be sent" in failed.message
    assert "take runs_on off the phase" in failed.message


@pytest.mark.usefixtures("connected")
def test_deps_that_cannot_be_sent_are_missed_only_by_who_asks_for_them() -> None:
    with temporary_engine(on_ray(phases.end), deps=threading.Lock()) as engine:
        assert finished(engine, "outcome").status is RunStatus.SUCCEEDED
        failed = failure(engine, finished(engine, "deps", subjects(1)[0]))
    assert "deps cannot be sent to Ray" in failed.message


@pytest.mark.usefixtures("connected")
def test_a_batch_is_one_task() -> None:
    with temporary_engine(on_ray(phases.every, batch=Batch(size=3))) as engine:
        engine.create_tables(metadata)
        runs = [engine.start("story", subject) for subject in subjects(3)]
        engine.drain()
        assert [engine.get(run.id).status.value for run in runs] == ["succeeded", "failed", "succeeded"]
        assert engine.outputs(runs[0].id) == {"work": 3}
        assert entries(engine) == {"c000": 1, "c002": 1}
        failed = failure(engine, runs[1])
    assert (failed.error, failed.message) == ("ValueError", "the second")


@pytest.mark.usefixtures("connected")
def test_resources_that_no_node_has_are_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with temporary_engine(on_ray(phases.begun, resources={"telescope": 2}, timeout=5)) as engine:

        def body(_worker: Worker) -> None:
            run = engine.start("story", ACME, input={"folder": str(tmp_path)})
            wait_for(lambda: "telescope" in capsys.readouterr().err)
            engine.cancel(run.id, by="ann")

        serve(engine, body)


# --- stopping -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", ["cancel", "pause"])
@pytest.mark.parametrize("function", [phases.wait_until_told, phases.wait_for_ever])
@pytest.mark.usefixtures("connected")
def test_cancel_and_pause_reach_the_task(function: Any, stop: str, tmp_path: Path) -> None:
    with temporary_engine(on_ray(function)) as engine:

        def body(_worker: Worker) -> None:
            run = engine.start("story", ACME, input={"folder": str(tmp_path)})
            wait_for((tmp_path / "acme-1").exists)
            getattr(engine, stop)(run.id, by="ann")
            wait_for((tmp_path / "acme-1.told").exists)

        serve(engine, body)


@pytest.mark.usefixtures("connected")
def test_a_batch_is_cancelled_with_its_last_member(tmp_path: Path) -> None:
    with temporary_engine(on_ray(phases.wait_together, batch=Batch(size=2, within=5))) as engine:

        def body(_worker: Worker) -> None:
            runs = [engine.start("story", s, input={"folder": str(tmp_path)}) for s in subjects(2)]
            wait_for(lambda: len(list(tmp_path.glob("c00?-1"))) == 2)
            for run in runs:
                engine.cancel(run.id, by="ann")
            wait_for((tmp_path / "told").exists)

        serve(engine, body)


@pytest.mark.usefixtures("connected")
def test_a_task_that_takes_too_long_and_does_not_listen_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "GRACE", 0.1)
    with temporary_engine(on_ray(phases.wait_stubbornly, timeout=0.5)) as engine:
        failed = failure(engine, finished(engine, {"folder": str(tmp_path)}))
        pid = int((tmp_path / "acme-1").read_text().split()[0])
        wait_for(lambda: gone(pid))
    assert (failed.error, failed.message) == ("TimedOut", "took longer than 0.5 seconds")


@pytest.mark.usefixtures("connected")
def test_signs_of_life_reach_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beats: list[int] = []
    announced: list[dict[str, Any]] = []
    monkeypatch.setattr(Context, "heartbeat", lambda ctx: beats.append(ctx.attempt))
    monkeypatch.setattr(worker, "announce", lambda kind, **values: announced.append({"kind": kind, **values}))
    with temporary_engine(on_ray(phases.beat_until_enough)) as engine:

        def body(_worker: Worker) -> None:
            run = engine.start("story", ACME, input={"folder": str(tmp_path)})
            wait_for(lambda: len(beats) > 3)
            (tmp_path / "enough").touch()
            wait_for(lambda: engine.get(run.id).finished)

        serve(engine, body)
    progress = [(each["done"], each["total"]) for each in announced if each["kind"] == "phase.progress"]
    assert progress == [(1, 2), (2, 2)]


# --- dying ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("connected")
def test_a_task_that_dies_is_a_lost_attempt_and_is_repeated_as_often_as_losses_allow() -> None:
    with temporary_engine(on_ray(phases.end, retry=Retry(losses=1))) as engine:
        run = finished(engine, "dies")
        lost = [fact for fact in facts(engine, run) if isinstance(fact, f.AttemptLost)]
    assert run.status is RunStatus.FAILED
    assert len(lost) == 2
    assert "WorkerCrashedError" in lost[0].reason


def test_a_node_that_is_killed_under_load_costs_attempts_and_nothing_else(connected: Any, tmp_path: Path) -> None:
    node = connected.add_node(num_cpus=2, object_store_memory=STORE)
    given = {"folder": str(tmp_path), "doomed": node.node_id}
    with temporary_engine(on_ray(phases.survive)) as engine:
        engine.create_tables(metadata)

        def body(_worker: Worker) -> None:
            runs = [engine.start("story", subject, input=given) for subject in subjects(50)]
            stuck = wait_for(lambda: on_node(tmp_path, node.node_id, at_least=2), within=60)
            connected.remove_node(node, allow_graceful=False)
            for pid in stuck:
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: all(engine.get(run.id).finished for run in runs), within=60)

        serve(engine, body)
        runs = engine.find()
        assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
        assert entries(engine) == {subject.id: 1 for subject in subjects(50)}
        assert_sound(engine, runs)
        lost = [kind for run in runs for kind in kinds(engine, run) if kind == "attempt.lost"]
        assert len(lost) >= 2
        assert len(runs) == 50


def on_node(folder: Path, node: str, *, at_least: int) -> list[int]:
    """The processes of the attempts that have begun on a node, once there are enough."""
    told = [place.read_text().split() for place in folder.iterdir() if not place.suffix]
    found = [int(pid) for pid, where in told if where == node]
    return found if len(found) >= at_least else []
