"""What can be done with a flow as a whole, and what every operation refuses."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phasegate import Engine
from phasegate.apps.discovery import Discovery, Tenant, open_engine, working
from phasegate.apps.discovery.errors import DiscoveryError, InvalidFlowState, UnknownPhase
from phasegate.apps.discovery.phases import cleansing, common, importing, inventory, previewing
from phasegate.apps.discovery.rules.profile import measure_columns
from phasegate.apps.discovery.statements.flows import DELETE_MASTER
from phasegate.cli import main
from phasegate.errors import AlreadyDecided
from tests.apps.discovery.steps import DEVICES, begun, hosts, made, mapped, names, waits_for, write
from tests.waiting import wait_for


def test_a_flow_begins_by_itself_and_needs_nobody_who_holds_on_to_it(engine: Engine) -> None:
    with working(engine):
        flow = Discovery(engine, Tenant("northwind", "q4", "ann")).create(DEVICES).flow_id
        gc.collect()
        fresh = Discovery(engine, Tenant("northwind", "q4"))
        wait_for(lambda: waits_for(fresh, flow) == "field_mapping", "the proposal")
    assert fresh.status(flow)["status"] == "paused"


def test_pause_stops_the_work_and_resume_goes_on_with_no_row_twice(
    discovery: Discovery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "PIECE", 10)
    flow = discovery.create(write(tmp_path / "a.csv", hosts(200))).flow_id
    reached, go_on = threading.Event(), threading.Event()
    measure = measure_columns

    def slowly(columns: Any, rows: int) -> Any:
        if discovery.engine.read("SELECT count(*) AS n FROM raw_import_records")[0]["n"] >= 50:
            reached.set()
            assert go_on.wait(30)
        return measure(columns, rows)

    monkeypatch.setattr(importing, "measure_columns", slowly)
    thread = threading.Thread(target=discovery.work)
    thread.start()
    assert reached.wait(30)
    assert discovery.pause(flow, "lunch")["status"] == "paused"
    go_on.set()
    thread.join()
    monkeypatch.setattr(importing, "measure_columns", measure)
    status = discovery.status(flow)
    assert (status["status"], status["current_phase"]) == ("paused", "data_import")
    assert discovery.engine.read("SELECT count(*) AS n FROM raw_import_records")[0]["n"] == 50
    assert discovery.pause(flow)["status"] == "already_paused"
    assert discovery.resume(flow)["status"] == "resumed"
    discovery.work()
    rows = discovery.engine.read("SELECT row_number FROM raw_import_records ORDER BY row_number")
    assert [row["row_number"] for row in rows] == list(range(1, 201))
    assert discovery.profile(flow)["total_records"] == 200


def test_resume_says_what_is_waited_for_and_what_runs(discovery: Discovery) -> None:
    created = discovery.create(DEVICES)
    assert discovery.resume(created.flow_id)["status"] == "already_running"
    discovery.work()
    told = discovery.resume(created.flow_id)
    assert (told["status"], told["waits_for"]) == ("waiting_for_approval", "field_mapping")


def test_a_failed_phase_is_done_again_and_its_history_stays(discovery: Discovery, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", hosts(2))
    flow = discovery.create(file).flow_id
    file.rename(tmp_path / "elsewhere.csv")
    discovery.work()
    assert discovery.status(flow)["error_message"]
    assert [each["status"] for each in discovery.flows()] == ["failed"]  # failed flows are listed
    (tmp_path / "elsewhere.csv").rename(file)
    with pytest.raises(InvalidFlowState, match="field_mapping has not failed"):
        discovery.retry(flow, "attribute_mapping")
    discovery.retry(flow, "data_import")
    discovery.work()
    run = discovery.flow(flow).run
    assert run.at("data_import").attempt == 2
    kinds = [entry.fact.kind for entry in discovery.engine.history(run.id, tenant=run.tenant)]
    assert kinds.count("attempt.failed") == 1
    with pytest.raises(InvalidFlowState, match="has not failed"):
        discovery.retry(flow)
    assert discovery.status(flow)["error_message"] is None


def test_cancel_and_delete_leave_nothing_under_way(discovery: Discovery) -> None:
    flow = begun(discovery, DEVICES)
    assert discovery.cancel(flow, "no need")["status"] == "cancelled"
    assert discovery.engine.read("SELECT status FROM discovery_flows")[0]["status"] == "cancelled"
    assert discovery.delete(flow)["status"] == "deleted"
    assert discovery.delete(flow)["status"] == "already_deleted"
    assert (discovery.flows(), discovery.status(flow)["status"]) == ([], "deleted")
    live = begun(discovery, DEVICES)
    told = discovery.delete(live, "a mistake")
    assert (told["status"], told["was"]) == ("deleted", "paused")
    assert discovery.flow(live).run.status == "cancelled"
    assert discovery.blocking() == []
    (audited, *_) = discovery.audit(live)
    assert (audited["operation"], audited["details"]["reason"], audited["details"]["records"]) == (
        "delete",
        "a mistake",
        72,
    )


@pytest.mark.parametrize("end", ["cancel", "delete", "complete"])
def test_what_has_ended_takes_no_new_work(discovery: Discovery, tmp_path: Path, end: str) -> None:
    flow = mapped(discovery, begun(discovery, write(tmp_path / "a.csv", hosts(2))))
    if end == "complete":
        made(discovery, flow)
    else:
        getattr(discovery, end)(flow)
    before = discovery.engine.read("SELECT * FROM discovery_flows")
    operations: tuple[Callable[[], object], ...] = (
        lambda: discovery.pause(flow), lambda: discovery.resume(flow), lambda: discovery.retry(flow),
        lambda: discovery.execute(flow, "data_cleansing"), lambda: discovery.approve(flow),
        lambda: discovery.propose_again(flow), lambda: discovery.resolve(flow, []), lambda: discovery.cancel(flow),
        lambda: discovery.decide_data(flow, {}), lambda: discovery.reject_assets(flow),
    )  # fmt: skip
    for operation in operations:
        with pytest.raises(InvalidFlowState):
            operation()
    assert discovery.engine.read("SELECT * FROM discovery_flows") == before
    if end == "complete":
        assert discovery.approve_assets(flow, "all")["status"] == "assets_already_created"


def test_a_row_that_was_deleted_is_never_written_to_again(discovery: Discovery) -> None:
    """Whatever still happens to the run of a deleted flow leaves its rows alone."""
    flow = begun(discovery, DEVICES)
    now = discovery.now()
    where = {**discovery.tenant.where, "the_flow": flow}
    discovery.engine.write(
        [(DELETE_MASTER, {**where, "new_flow_status": "deleted", "new_updated_at": now, "new_deleted_at": now})]
    )
    run = discovery.flow(flow).run
    discovery.engine.cancel(run.id, tenant=run.tenant)
    assert discovery.engine.read("SELECT flow_status FROM master_flows")[0]["flow_status"] == "deleted"


def test_a_run_that_is_changed_by_the_generic_commands_keeps_its_rows_in_step(
    discovery: Discovery, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flow = begun(discovery, DEVICES)
    words = ["--database", address, "--tenant", discovery.tenant.name, "pause", f"import:{flow}", "--by", "kim"]
    assert main(words) == 0, capsys.readouterr().err
    rows = discovery.engine.read("SELECT status, awaiting_user_approval FROM discovery_flows")
    assert (rows[0]["status"], bool(rows[0]["awaiting_user_approval"])) == ("paused", True)


# --- one phase ---------------------------------------------------------------------------------------------------------


def test_a_phase_is_executed_when_it_is_its_turn(discovery: Discovery) -> None:
    flow = discovery.create(DEVICES).flow_id
    result = discovery.execute(flow, "initialization")  # an older name of data_import
    assert (result["phase"], result["status"], result["success"]) == ("data_import", "completed", True)
    result = discovery.execute(flow, "attribute_mapping")
    assert (result["status"], result["data"]) == ("waiting_for_approval", {"waits_for": "field_mapping"})
    result = discovery.execute(flow, "asset_inventory")
    assert (result["status"], result["error_code"], result["success"]) == ("failed", "CLEANSING_REQUIRED", False)
    with pytest.raises(InvalidFlowState, match="complete already"):
        discovery.execute(flow, "data_import")
    with pytest.raises(UnknownPhase, match="analysis_of_moods"):
        discovery.execute(flow, "analysis_of_moods")
    with pytest.raises(DiscoveryError, match="has no phase"):
        discovery.execute(flow, "dependencies")
    assert names(discovery) == []


def test_of_two_who_execute_a_phase_one_is_told_that_it_runs(
    discovery: Discovery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = discovery.create(write(tmp_path / "a.csv", hosts(3))).flow_id
    reached, go_on = threading.Event(), threading.Event()
    measure = measure_columns
    calls = []

    def slowly(columns: Any, rows: int) -> Any:
        calls.append(rows)
        reached.set()
        assert go_on.wait(30)
        return measure(columns, rows)

    monkeypatch.setattr(importing, "measure_columns", slowly)
    results: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: results.append(discovery.execute(flow, "data_import")))
    thread.start()
    assert reached.wait(30)
    wait_for(lambda: discovery.execute(flow, "data_import", work=False)["status"] == "already_running", "the start")
    go_on.set()
    thread.join()
    assert (results[0]["status"], calls) == ("completed", [3])


def test_only_validators_of_the_phase_can_be_left_out_and_it_is_audited(discovery: Discovery) -> None:
    flow = discovery.create(DEVICES).flow_id
    with pytest.raises(DiscoveryError, match="no validator cleansing_quality"):
        discovery.execute(flow, "data_import", validation_overrides=["cleansing_quality"])
    discovery.execute(flow, "data_import", validation_overrides=["file_format_validation"])
    entry = next(each for each in discovery.audit(flow) if each["operation"] == "execute" and each["success"])
    assert entry["details"]["validation_overrides"] == ["file_format_validation"]


def test_every_operation_is_audited_also_when_it_is_refused(discovery: Discovery) -> None:
    flow = begun(discovery, DEVICES)
    with pytest.raises(InvalidFlowState):
        discovery.retry(flow)
    discovery.pause(flow, "lunch")
    found = [(each["operation"], bool(each["success"]), each["user_id"]) for each in discovery.audit(flow)]
    assert found == [("pause", True, "ann"), ("retry", False, "ann"), ("create", True, "ann")]
    assert "has not failed" in discovery.audit(flow)[1]["error"]


def test_what_was_decided_and_the_opening_of_the_gate_are_one_commit(
    discovery: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = begun(discovery, DEVICES)
    seen = discovery.status(flow)["phase_state"]["seen"]
    monkeypatch.setattr(Discovery, "waiting_flow", lambda self, flow_id, _waits: self.flow(flow_id))
    run = discovery.flow(flow).run
    discovery.engine.decide(run.id, "field_mapping_approval", "approved", by="kim", seen=seen, tenant=run.tenant)
    with pytest.raises(AlreadyDecided):  # somebody was faster, and what this person decided is not half there
        discovery.approve(flow)
    assert {each["status"] for each in discovery.mappings(flow)} == {"suggested"}


def test_resume_opens_a_gate_at_which_everything_is_decided(discovery: Discovery) -> None:
    flow = begun(discovery, DEVICES)
    decided = "UPDATE import_field_mappings SET status = 'approved' WHERE client_account_id = :client"
    discovery.engine.write([(decided, {"client": "northwind"})])  # by two people at once, of whom neither saw the other
    assert discovery.resume(flow)["status"] == "resumed"
    discovery.work()
    assert waits_for(discovery, flow) == "asset_preview"


# --- crashes -----------------------------------------------------------------------------------------------------------


def test_another_process_goes_on_where_one_stopped(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (importing, cleansing, previewing):
        monkeypatch.setattr(module, "PIECE", 7)
    monkeypatch.setattr(inventory, "MADE_AT_ONCE", 7)
    monkeypatch.setattr(common.rows_after, "__defaults__", (7,))
    file = write(tmp_path / "a.csv", hosts(50))
    tenant = Tenant("northwind", "q4", "ann")
    with open_engine(address) as engine:
        flow = Discovery(engine, tenant).create(file).flow_id
    acts: list[Callable[[Discovery], object]] = [
        lambda _: None, lambda found: found.approve(flow), lambda found: found.approve_assets(flow, "all")
    ]  # fmt: skip
    for act in acts:
        with open_engine(address) as engine:
            act(Discovery(engine, tenant))
        with open_engine(address) as engine:
            Discovery(engine, tenant).work()
    with open_engine(address) as engine:
        found = Discovery(engine, tenant)
        assert found.status(flow)["status"] == "completed"
        assert len(names(found)) == 50
