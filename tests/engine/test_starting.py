"""Starting runs: once per subject, whoever asks, and only what can be."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from phasegate import (
    Engine,
    FlowError,
    InputError,
    Phase,
    Registry,
    RunStatus,
    StoreUnavailable,
    Subject,
    UnknownName,
)
from phasegate.testing import Scripted
from tests.engines import address_in, temporary_engine
from tests.runtime import program
from tests.runtime.flows import ACME, assert_sound, flow, one, subjects


def test_starting_twice_gives_the_same_run() -> None:
    with temporary_engine(one(Scripted(1))) as engine:
        first = engine.start("story", ACME, input={"a": 1}, by="ann")
        assert engine.start("story", ACME, input={"a": 2}).id == first.id
        engine.drain()
        again = engine.start("story", ACME)
        assert (again.id, again.status, again.input, again.started_by) == (
            first.id,
            RunStatus.SUCCEEDED,
            {"a": 1},
            "ann",
        )
        assert len(engine.find()) == 1


def test_another_key_or_tenant_or_asking_for_it_again_gives_another_run() -> None:
    with temporary_engine(one(Scripted(1))) as engine:
        first = engine.start("story", ACME)
        keyed = engine.start("story", ACME, key="2")
        foreign = engine.start("story", ACME, tenant="other")
        assert engine.start("story", ACME, again=True).id == first.id  # the first has not ended
        engine.drain()
        second = engine.start("story", ACME, again=True)
        assert len({first.id, keyed.id, foreign.id, second.id}) == 4
        assert engine.start("story", ACME).id == second.id
        assert engine.start("story", ACME, key="2").id == keyed.id


def test_many_are_started_in_one_commit_in_the_order_asked_for() -> None:
    with temporary_engine(one(Scripted(1))) as engine:
        known = engine.start("story", subjects(3)[1])
        asked = [*subjects(3), subjects(3)[0]]
        runs = engine.start_many("story", asked, inputs=[0, 1, 2, 3])
        assert [run.subject for run in runs] == asked
        assert runs[1].id == known.id
        assert runs[0] == runs[3]
        assert [run.input for run in runs] == [0, None, 2, 0]
        assert engine.start_many("story", []) == []


def test_racing_threads_start_one_run() -> None:
    with temporary_engine(one(Scripted(1))) as engine:
        together, ids = threading.Barrier(8), set[str]()

        def start() -> None:
            together.wait()
            ids.add(engine.start("story", ACME).id)

        threads = [threading.Thread(target=start) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(ids) == len(engine.find()) == 1


def test_racing_processes_start_one_run_in_a_database_they_create(tmp_path: Path) -> None:
    address = address_in(tmp_path)
    with (
        program.running("start", address, "story", "acme") as first,
        program.running("start", address, "story", "acme") as second,
        program.running("start", address, "story", "acme") as third,
    ):
        said = [process.communicate(timeout=60)[0] for process in (first, second, third)]
        assert [process.returncode for process in (first, second, third)] == [0, 0, 0]
    assert len(set(said)) == 1
    with program.opened(address) as engine:
        assert [run.id for run in engine.find()] == [said[0].strip()]


def test_a_run_may_aim_at_some_phases_only() -> None:
    phases = flow(Phase("a", Scripted(1)), Phase("b", Scripted(2), label="1.2"), Phase("c", Scripted(3)))
    with temporary_engine(phases) as engine:
        run = engine.start("story", ACME, aim=["a", "1.2"])
        engine.drain()
        assert engine.get(run.id).status is RunStatus.SUCCEEDED
        assert engine.outputs(run.id) == {"a": 1, "b": 2}


def test_an_unknown_flow_or_phase_is_named_with_the_nearest_known() -> None:
    with temporary_engine(one(Scripted(1))) as engine:
        with pytest.raises(UnknownName, match="unknown flow 'stori'") as flow_error:
            engine.start("stori", ACME)
        assert flow_error.value.hint == "did you mean 'story'?"
        with pytest.raises(UnknownName, match="unknown phase 'wrok'") as phase_error:
            engine.start("story", ACME, aim=["wrok"])
        assert phase_error.value.hint == "did you mean 'work'?"
        assert engine.find() == []


def test_an_input_that_cannot_be_stored_is_refused_and_the_others_are_started() -> None:
    with temporary_engine(one(Scripted(1))) as engine:
        with pytest.raises(InputError, match="not representable as JSON"):
            engine.start("story", ACME, input=object())
        assert engine.find() == []
        engine.start("story", ACME, input={"fine": True})
        engine.drain()
        assert_sound(engine, engine.find())


def test_the_same_version_with_other_phases_is_refused() -> None:
    with (
        temporary_engine(one(Scripted(1))) as engine,
        pytest.raises(FlowError, match="registered already with other phases"),
    ):
        engine.start(flow(Phase("other", Scripted(1))), ACME)


def test_a_closed_engine_refuses_instead_of_hanging() -> None:
    with temporary_engine(one(Scripted(1))) as engine:
        run = engine.start("story", ACME)
    engine.close()
    for ask in (lambda: engine.start("story", Subject("company", "other")), engine.drain, lambda: engine.pause(run.id)):
        with pytest.raises(StoreUnavailable):
            ask()


def test_closing_right_after_asking_keeps_what_was_answered(tmp_path: Path) -> None:
    address = address_in(tmp_path)
    for number in range(10):
        with Engine(address, Registry(one(Scripted(1)))) as engine:
            engine.start("story", subjects(10)[number])
    with Engine(address, Registry(one(Scripted(1)))) as engine:
        assert len(engine.find()) == 10


# --- settings -------------------------------------------------------------------------------------------------------


def test_settings_come_from_arguments_then_the_environment_then_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Engine(registry=Registry(one(Scripted(1)))) as engine:
        assert engine.tenant == "default"
    assert (tmp_path / "phasegate.db").exists()
    monkeypatch.setenv("PHASEGATE_DATABASE", f"sqlite:///{tmp_path / 'other.db'}")
    monkeypatch.setenv("PHASEGATE_TENANT", "theirs")
    with Engine(registry=Registry(one(Scripted(1)))) as engine:
        assert engine.start("story", ACME).tenant == "theirs"
    assert (tmp_path / "other.db").exists()
    with Engine(tmp_path / "third.db", Registry(one(Scripted(1))), tenant="mine") as engine:
        assert engine.tenant == "mine"
    assert (tmp_path / "third.db").exists()


@pytest.mark.parametrize(("name", "value"), [("LEASE", "soon"), ("CONCURRENCY", "0"), ("BUSY", "-1")])
def test_a_setting_that_makes_no_sense_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"PHASEGATE_{name}", value)
    with pytest.raises(InputError, match=f"PHASEGATE_{name}"):
        Engine("sqlite://")


@pytest.mark.parametrize("address", ["mysql://localhost/x", "http://a.example/x"])
def test_an_address_of_another_kind_is_refused(address: str) -> None:
    with pytest.raises(InputError, match=f"cannot open {address.partition(':')[0]}:// databases"):
        Engine(address)
