"""How well flows are, on a real engine: every class as it comes about, and putting right what can be put right."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from phasegate import Engine
from phasegate.apps.discovery import AgentPool, Discovery, Tenant, build_registry, open_engine
from phasegate.apps.discovery.agents.protocol import Agent, AgentConfig
from phasegate.apps.discovery.phases import importing
from phasegate.apps.discovery.phases.common import load
from phasegate.apps.discovery.rules.health import STALLS
from phasegate.apps.discovery.rules.profile import measure_columns
from tests.apps.discovery.steps import begun, host, hosts, made, mapped, write
from tests.waiting import wait_for

OWN = Tenant("northwind", "q4", "ann")
HOUR = timedelta(hours=1)


class Clock:
    """The time, as much later as a test wants it to be."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine(address: str, clock: Clock) -> Iterator[Engine]:
    with open_engine(address, clock=clock) as found:
        yield found


@pytest.fixture
def discovery(engine: Engine) -> Discovery:
    return Discovery(engine, OWN)


def only(discovery: Discovery) -> Mapping[str, Any]:
    """The one flow that there is."""
    (flow,) = discovery.health()["flows"]
    return dict(flow)


def failed(discovery: Discovery, folder: Path) -> str:
    """A flow whose file is gone."""
    file = write(folder / "gone.csv", hosts(2))
    flow = discovery.create(file).flow_id
    file.rename(folder / "kept.csv")
    discovery.work()
    return flow


# --- telling ----------------------------------------------------------------------------------------------------------


def test_without_flows_all_is_well(discovery: Discovery) -> None:
    told = discovery.health()
    assert (told["health"], told["flows"], told["alarms"], told["agents"]) == ("healthy", [], [], None)
    assert told["counts"] == {"healthy": 0, "warning": 0, "critical": 0, "hanging": 0, "failed": 0}
    assert (told["metrics"]["flows"], told["metrics"]["phases"]) == (0, {})


def test_a_flow_is_told_from_its_beginning_to_its_end(discovery: Discovery, clock: Clock, tmp_path: Path) -> None:
    flow = discovery.create(write(tmp_path / "a.csv", hosts(3))).flow_id
    assert only(discovery)["health"] == "healthy"
    discovery.work()
    clock.ahead += 500 * HOUR  # people may take their time
    waiting = only(discovery)
    assert (waiting["health"], waiting["why"]) == ("healthy", "it waits for a person: field_mapping")
    assert waiting["since"] < datetime.now(UTC)
    discovery.pause(flow, "lunch")
    clock.ahead += 500 * HOUR
    assert (only(discovery)["health"], "lunch" in only(discovery)["why"]) == ("healthy", True)
    discovery.resume(flow)
    made(discovery, mapped(discovery, flow))
    assert (only(discovery)["health"], only(discovery)["why"]) == ("healthy", "it is completed")
    discovery.delete(flow)
    assert discovery.health()["flows"] == []


def test_a_failed_flow_stands_first_and_is_counted_where_it_failed(discovery: Discovery, tmp_path: Path) -> None:
    made(discovery, mapped(discovery, begun(discovery, write(tmp_path / "a.csv", hosts(2)))))
    flow = failed(discovery, tmp_path)
    told = discovery.health()
    assert (told["health"], [each["health"] for each in told["flows"]]) == ("failed", ["failed", "healthy"])
    assert told["flows"][0]["flow_id"] == flow
    assert "retry" in told["flows"][0]["next"]
    metrics = told["metrics"]
    assert metrics["flows_by_status"] == {"completed": 1, "failed": 1}
    assert metrics["failures_by_phase"] == {"data_import": 1}
    phases = metrics["phases"]
    assert {name: each["flows"] for name, each in phases.items()} == {
        "data_import": 2, "data_validation": 1, "field_mapping": 1, "data_cleansing": 1, "asset_inventory": 1,
    }  # fmt: skip
    assert phases["data_import"]["failed"] == 1
    assert all(0 < each["mean_seconds"] <= each["longest_seconds"] < 60 for each in phases.values())


def test_what_nobody_works_on_hangs_until_somebody_does(discovery: Discovery, clock: Clock, tmp_path: Path) -> None:
    discovery.create(write(tmp_path / "a.csv", hosts(2)))
    clock.ahead += timedelta(minutes=2)
    told = discovery.health()
    assert (told["health"], told["workers"]["living"]) == ("hanging", 0)
    assert "nobody works" in only(discovery)["why"]
    assert "phasegate worker" in only(discovery)["next"]
    discovery.work()
    assert discovery.health()["health"] == "healthy"


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """An import that does not come to an end before a test says so: it has begun, and it may go on."""
    reached, go_on = threading.Event(), threading.Event()
    measure = measure_columns

    def slowly(*given: Any, **named: Any) -> Any:
        reached.set()
        assert go_on.wait(60)
        return measure(*given, **named)

    monkeypatch.setattr(importing, "measure_columns", slowly)
    yield reached, go_on
    go_on.set()


def test_a_worker_that_comes_to_no_end_is_seen_and_the_phase_is_begun_anew(
    discovery: Discovery, clock: Clock, tmp_path: Path, stuck: tuple[threading.Event, threading.Event]
) -> None:
    reached, go_on = stuck
    discovery.create(write(tmp_path / "a.csv", hosts(2)))
    thread = threading.Thread(target=discovery.work)
    thread.start()
    try:
        assert reached.wait(60)
        wait_for(lambda: only(discovery)["why"] == "data_import is at work", "the beginning in the log")
        assert only(discovery)["health"] == "healthy"
        clock.ahead += STALLS["data_import"] + timedelta(minutes=1)
        # Its lease is of the time before; when it has renewed that, it lives and yet nothing comes of it.
        wait_for(lambda: "nothing has come of it" in only(discovery)["why"], "the renewal of the lease")
        assert only(discovery)["health"] == "hanging"
        assert discovery.repair()["actions"] == []  # only when somebody asks for it
        (action,) = discovery.repair(again=True)["actions"]
        assert (action["action"], action["done"]) == ("restart", True)
        assert only(discovery)["health"] == "healthy"
    finally:
        go_on.set()
        thread.join()
    discovery.work()
    assert only(discovery)["why"] == "it waits for a person: field_mapping"
    assert {"pause", "resume", "repair"} <= {each["operation"] for each in discovery.audit()}


def test_a_flow_whose_worker_is_gone_is_told_until_another_one_takes_it(
    discovery: Discovery, clock: Clock, tmp_path: Path, stuck: tuple[threading.Event, threading.Event]
) -> None:
    reached, go_on = stuck
    discovery.create(write(tmp_path / "a.csv", hosts(2)))
    thread = threading.Thread(target=discovery.work)
    thread.start()
    try:
        assert reached.wait(60)
        wait_for(lambda: only(discovery)["why"] == "data_import is at work", "the beginning in the log")
        (worker,) = discovery.engine.workers()
        discovery.engine.store.bury([worker.id])  # as if its process had died
        found = only(discovery)
        assert (found["health"], "lives no more" in found["why"]) == ("hanging", True)
        assert "phasegate worker" in found["next"]
    finally:
        go_on.set()
        thread.join()
    discovery.work()
    assert only(discovery)["why"] == "it waits for a person: field_mapping"


def test_agents_are_told_of_the_tenant_alone_and_short_memory_is_an_alarm(address: str) -> None:
    used = [10.0]

    def make(config: AgentConfig) -> Agent:
        return Silent()

    pool = AgentPool(make, memory_limit_mb=100, memory=lambda: used[0])
    with open_engine(address, registry=build_registry(agents=pool)) as engine:
        found, other = Discovery(engine, OWN), Discovery(engine, Tenant("fabrikam", "q4"))
        pool.get(OWN.key, "field_mapper")
        assert (found.health()["agents"]["agents"], other.health()["agents"]["agents"]) == (1, 0)
        assert found.health()["health"] == "healthy"
        used[0] = 101.0
        told = found.health()
        assert (told["health"], told["agents"]["memory_alarm"]) == ("warning", True)
        assert "101 MB of 100" in told["alarms"][0]["why"]


class Silent(Agent):
    async def run(self, task: Any) -> Any:
        raise AssertionError("nobody asks it")


# --- putting right ----------------------------------------------------------------------------------------------------


def rows_of(discovery: Discovery, flow: str) -> dict[str, Any]:
    (row,) = discovery.engine.read(
        "SELECT d.*, m.flow_status FROM discovery_flows d JOIN master_flows m ON m.flow_id = d.flow_id"
        " WHERE d.flow_id = :flow", {"flow": flow},
    )  # fmt: skip
    return {name: value for name, value in row.items() if name != "updated_at"}


_DAMAGE = {
    "status": "UPDATE master_flows SET flow_status = 'running'",
    "progress": "UPDATE discovery_flows SET status = 'failed', progress_percentage = 7, error_message = 'x'",
    "flags": "UPDATE discovery_flows SET data_import_completed = NOT data_import_completed",
    "state": "UPDATE discovery_flows SET phase_state = '{}', awaiting_user_approval = NOT awaiting_user_approval",
}


@pytest.mark.parametrize("stage", ["waiting", "failed", "completed"])
def test_rows_that_somebody_has_changed_are_written_from_the_log(
    discovery: Discovery, tmp_path: Path, stage: str
) -> None:
    make: dict[str, Callable[[], str]] = {
        "waiting": lambda: begun(discovery, write(tmp_path / "a.csv", hosts(2))),
        "failed": lambda: failed(discovery, tmp_path),
        "completed": lambda: made(discovery, mapped(discovery, begun(discovery, write(tmp_path / "a.csv", hosts(2))))),
    }
    flow = make[stage]()
    assert discovery.repair()["actions"] == []
    before = rows_of(discovery, flow)
    for name, damage in _DAMAGE.items():
        discovery.engine.write([(damage + " WHERE flow_id = :flow", {"flow": flow})])
        damaged = rows_of(discovery, flow)
        assert damaged != before, name
        if stage != "completed" or name == "status":  # of what has ended, health looks at the status alone
            assert (only(discovery)["health"], "repair" in only(discovery)["next"]) == ("critical", True), name
        (planned,) = discovery.repair(dry_run=True)["actions"]
        assert (planned["action"], planned["done"], planned["flow_id"]) == ("rebuild", False, flow)
        assert rows_of(discovery, flow) == damaged
        (action,) = discovery.repair()["actions"]
        assert (action["action"], action["done"], action["error"]) == ("rebuild", True, None)
        assert rows_of(discovery, flow) == before, name
    assert discovery.repair()["actions"] == []
    assert [each["operation"] for each in discovery.audit(flow)].count("repair") == len(_DAMAGE)


def test_a_flow_in_the_midst_of_its_pieces_gets_its_progress_back(
    discovery: Discovery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "PIECE", 2)
    flow = discovery.create(write(tmp_path / "a.csv", hosts(9))).flow_id
    measure, pieces = measure_columns, []

    def until_the_third(*given: Any, **named: Any) -> Any:
        pieces.append(1)
        if len(pieces) == 3:
            discovery.pause(flow)
        return measure(*given, **named)

    monkeypatch.setattr(importing, "measure_columns", until_the_third)
    discovery.work()
    before = rows_of(discovery, flow)
    assert before["status"] == "paused"
    assert load(before["phase_state"])
    assert discovery.repair()["actions"] == []
    discovery.engine.write([("UPDATE discovery_flows SET phase_state = '{}', progress_percentage = 0", {})])
    assert [each["action"] for each in discovery.repair()["actions"]] == ["rebuild"]
    assert rows_of(discovery, flow) == before
    discovery.resume(flow)
    discovery.work()
    assert only(discovery)["why"] == "it waits for a person: field_mapping"


def test_what_has_failed_is_tried_again_when_that_is_asked_for(discovery: Discovery, tmp_path: Path) -> None:
    flow = failed(discovery, tmp_path)
    assert discovery.repair()["actions"] == []
    (planned,) = discovery.repair(dry_run=True, again=True)["actions"]
    assert (planned["action"], planned["done"]) == ("retry", False)
    assert discovery.status(flow)["status"] == "failed"
    (tmp_path / "kept.csv").rename(tmp_path / "gone.csv")
    assert discovery.repair(again=True)["actions"][0]["done"]
    discovery.work()
    assert discovery.status(flow)["status"] == "paused"


def test_a_run_whose_rows_are_gone_is_ended(discovery: Discovery, tmp_path: Path) -> None:
    flow = begun(discovery, write(tmp_path / "a.csv", [host(1)]))
    run = discovery.flow(flow).run
    discovery.engine.write([("DELETE FROM master_flows WHERE flow_id = :flow", {"flow": flow})])
    assert discovery.health()["flows"] == []
    (action,) = discovery.repair()["actions"]
    assert (action["flow_id"], action["action"], action["done"]) == (flow, "cancel", True)
    assert discovery.engine.get(run.id, tenant=OWN.name).status.value == "cancelled"
    assert discovery.repair()["actions"] == []


def test_a_purged_flow_is_no_concern(discovery: Discovery, clock: Clock, tmp_path: Path) -> None:
    flow = failed(discovery, tmp_path)
    clock.ahead += 24 * HOUR
    discovery.engine.purge(older_than=HOUR, tenant=OWN.name)
    found = only(discovery)
    assert (found["flow_id"], found["health"], "purged" in found["why"]) == (flow, "healthy", True)
    assert discovery.repair(again=True)["actions"] == []


def test_an_action_that_cannot_be_done_says_so_and_keeps_none_of_the_others(
    discovery: Discovery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flows = [failed(discovery, tmp_path) for _ in range(2)]
    first = discovery.repair(dry_run=True, again=True)["actions"][0]["flow_id"]
    planned = list(discovery._repairs(again=True))
    discovery.retry(first)  # somebody else was faster
    monkeypatch.setattr(discovery, "_repairs", lambda **_: planned)
    told = discovery.repair(again=True)["actions"]
    assert sorted(each["flow_id"] for each in told) == sorted(flows)
    assert [(each["done"], bool(each["error"])) for each in told] == [(False, True), (True, False)]
