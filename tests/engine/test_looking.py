"""Looking at runs: what there is, what happened, what hinders."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from phasegate import Engine, Gate, Phase, PhaseStatus, Registry, RunStatus, UnknownName
from phasegate.testing import Scripted
from tests.engines import address_in, temporary_engine
from tests.runtime.flows import ACME, finished, flow, one, subjects

PHASES = flow(
    Phase("a", Scripted("x")),
    Phase("release", gate=Gate(), needs=("a",)),
    Phase("b", Scripted(1), needs=("release",)),
)


@pytest.fixture
def engine() -> Iterator[Engine]:
    with temporary_engine(PHASES) as opened:
        yield opened


def test_a_run_is_found_by_the_beginning_of_its_id(engine: Engine) -> None:
    run = engine.start("story", ACME)
    assert engine.get(run.id[:12]) == engine.get(run.id)
    engine.start("story", subjects(1)[0])
    for few in (run.id[:3], run.id[:4], "nobody", "", "%"):
        with pytest.raises(UnknownName):
            engine.get(few)


def test_find_knows_flow_subject_and_status(engine: Engine) -> None:
    runs = engine.start_many("story", subjects(5))
    engine.drain()
    engine.decide(runs[0].id, "release", "approved", by="ann")
    engine.drain()
    assert [run.id for run in engine.find(status=[RunStatus.SUCCEEDED])] == [runs[0].id]
    assert len(engine.find("story", status=["waiting"])) == 4
    assert [run.id for run in engine.find(subject=subjects(5)[2])] == [runs[2].id]
    assert len(engine.find(limit=2)) == 2
    assert engine.find("other") == []
    with pytest.raises(ValueError, match="complete"):
        engine.find(status=["complete"])


def test_the_history_has_every_fact_numbered(engine: Engine) -> None:
    run = finished(engine)
    history = engine.history(run.id)
    assert [entry.seq for entry in history] == list(range(1, run.seq + 1))
    assert [entry.fact.kind for entry in history] == [
        "run.started", "phase.readied", "attempt.started", "attempt.succeeded", "gate.opened", "run.parked",
    ]  # fmt: skip
    assert all(entry.at == entry.fact.at for entry in history)


def test_watching_gives_every_commit_once_in_order(engine: Engine) -> None:
    first = finished(engine)
    seen = list(engine.watch())
    assert [commit.run_id for commit in seen] == [first.id] * len(seen)
    assert list(engine.watch(after=seen[-1].position)) == []
    second = engine.start("story", subjects(1)[0])
    assert [commit.run_id for commit in engine.watch(after=seen[-1].position)] == [second.id]


def test_following_waits_for_what_comes(engine: Engine) -> None:
    run = engine.start("story", ACME)
    watching = engine.watch(follow=True)
    assert next(watching).run_id == run.id
    thread = threading.Thread(target=engine.drain)
    thread.start()
    kinds = [fact.kind for fact in next(watching).facts]
    thread.join()
    assert "attempt.started" in kinds


def test_the_plan_says_what_is_still_to_be_done(engine: Engine) -> None:
    finished(engine)
    unknown = subjects(1)[0]
    assert engine.plan("story", [ACME, unknown]) == {ACME: ["release", "b"], unknown: ["a", "release", "b"]}
    assert len(engine.find()) == 1


def test_progress_counts_phases(engine: Engine) -> None:
    run = finished(engine)
    progress = engine.progress(run.id)
    assert (progress.done, progress.total) == (1, 3)
    assert progress.statuses[PhaseStatus.WAITING] == progress.statuses[PhaseStatus.PENDING] == 1


def test_why_names_the_gate(engine: Engine) -> None:
    run = finished(engine)
    reasons = engine.why(run.id)
    assert any("release" in str(reason) for reason in reasons)


def test_waiting_for_a_run_ends_when_it_parks_or_time_is_up(engine: Engine) -> None:
    run = engine.start("story", ACME)
    assert engine.wait(run.id, timeout=0.01).status is RunStatus.PENDING
    thread = threading.Thread(target=engine.drain)
    thread.start()
    assert engine.wait(run.id, timeout=20).status is RunStatus.WAITING
    thread.join()


def test_an_engine_without_the_flows_code_shows_and_moves_runs(tmp_path: Path) -> None:
    address = address_in(tmp_path)
    with Engine(address, Registry(PHASES)) as working:
        run = finished(working)
    with Engine(address) as looking:
        assert [each.name for each in looking.flows()] == ["story"]
        assert looking.progress(run.id).total == 3
        looking.decide(run.id, "release", "approved", by="ann")
        looking.drain()
        assert looking.get(run.id).at("b").status is PhaseStatus.READY
    with Engine(address, Registry(PHASES)) as working:
        working.drain()
        assert working.get(run.id).status is RunStatus.SUCCEEDED


def test_outputs_of_phases_that_repeat_come_by_item() -> None:
    phases = flow(
        Phase("list", Scripted([{"id": "x"}, {"id": "y"}])), Phase("work", lambda ctx: ctx.item["id"], each="list")
    )
    with temporary_engine(phases) as engine:
        run = finished(engine)
        assert engine.outputs(run.id) == {"list": [{"id": "x"}, {"id": "y"}], "work": {"x": "x", "y": "y"}}


def test_one_output_is_looked_up_by_itself(engine: Engine) -> None:
    run = finished(engine)
    assert engine.output(run.id, "a") == "x"
    assert engine.output(run.id[:12], "a") == "x"
    assert [engine.output(run.id, name) for name in ("b", "release", "nothing")] == [None, None, None]
    for about in (("nobody", None), (run.id, "other")):
        with pytest.raises(UnknownName):
            engine.output(about[0], "a", tenant=about[1])


def test_one_output_of_a_phase_that_repeats_is_that_of_an_item() -> None:
    phases = flow(
        Phase("list", Scripted([{"id": "x"}, {"id": "y"}])), Phase("work", lambda ctx: ctx.item["id"], each="list")
    )
    with temporary_engine(phases) as engine:
        run = finished(engine)
        assert engine.output(run.id, "work", ("y",)) == engine.output(run.id, "work", ["y"]) == "y"
        assert (engine.output(run.id, "work"), engine.output(run.id, "work", ("z",))) == (None, None)


# --- what the log tells ---------------------------------------------------------------------------------------------


def test_no_secret_reaches_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    from phasegate import Context
    from phasegate.logs import log_to_stderr

    secrets = [f"hush-{number}" for number in range(8)]

    def work(ctx: Context) -> str:
        ctx.log.warning("working")
        ctx.write("INSERT INTO nowhere VALUES (:secret)", {"secret": secrets[2]})
        if ctx.subject != ACME:
            raise ValueError(
                f"password={secrets[3]} token: '{secrets[4]}' Authorization: Bearer {secrets[5]} https://ann:{secrets[6]}@a.example/"
            )
        return secrets[1]

    log_to_stderr(verbose=True)
    try:
        with temporary_engine(one(work), deps={"key": secrets[0]}) as engine:
            engine.start_many("story", [ACME, *subjects(1)], inputs=[secrets[7], secrets[7]])
            engine.drain()
    finally:
        log_to_stderr()
    said = capfd.readouterr().err
    assert "attempt.failed" in said
    assert "working" in said
    assert "https://ann:***@a.example/" in said
    assert [secret for secret in secrets if secret in said] == []
    assert all("timestamp=" in line for line in said.splitlines())
