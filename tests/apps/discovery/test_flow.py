"""A discovery flow from a file to the inventory: what is asked on the way, and what comes of every answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phasegate import Engine
from phasegate.apps.discovery import Discovery, Resolution, Tenant
from phasegate.apps.discovery.errors import (
    DiscoveryError,
    FlowNotFound,
    InvalidFlowState,
    InventoryError,
    ValidationFailed,
)
from phasegate.apps.discovery.service.creating import Blocked
from phasegate.apps.discovery.statements.flows import FLOW
from phasegate.apps.discovery.statements.mappings import MAPPINGS
from phasegate.errors import InputError, NotAllowed, Stale
from tests.apps.discovery.steps import DEVICES, begun, host, hosts, made, mapped, names, waits_for, write


def test_the_main_job_and_the_same_file_again(discovery: Discovery) -> None:
    flow = made(discovery, mapped(discovery, begun(discovery, DEVICES)))
    # The file has one name three times: one asset, and two conflicts.
    assert [each["conflict_key"] for each in discovery.conflicts(flow)] == ["pp:mdf", "pp:mdf"]
    assert discovery.status(flow)["progress_percentage"] == 93.33  # two thirds of the last phase
    discovery.resolve_all(flow, "keep_existing")
    discovery.work()
    status = discovery.status(flow)
    assert (status["status"], status["progress_percentage"], status["terminal"]) == ("completed", 100, True)
    assert discovery.assets_by_type() == {"network": 39, "other": 30, "server": 1}
    before = discovery.assets(limit=1_000)
    again = made(discovery, mapped(discovery, begun(discovery, DEVICES)))
    assert (waits_for(discovery, again), len(discovery.conflicts(again))) == ("conflict_resolution", 72)
    discovery.resolve_all(again, "keep_existing")
    discovery.work()
    assert discovery.status(again)["status"] == "completed"
    assert discovery.assets(limit=1_000) == before


def test_values_of_the_devices_are_converted(discovery: Discovery) -> None:
    made(discovery, mapped(discovery, begun(discovery, DEVICES)))
    found = {each["name"]: each for each in discovery.assets(limit=1_000)}
    router = found["dmi01-buffalo-rtr01"]
    assert (router["memory_gb"], router["environment"], router["asset_type"]) == (64.0, "Production", "network")
    assert (router["operational_status"], router["status"]) == ("active", "discovered")
    assert json.loads(json.dumps(router["raw_data"]))["Total RAM"] == "65,536 MB"
    assert router["custom_attributes"] is None  # every column has a field


def test_progress_moves_when_phases_or_their_records_are_done_and_only_then(
    discovery: Discovery, engine: Engine
) -> None:
    created = discovery.create(DEVICES)
    seen = [discovery.status(created.flow_id)["progress_percentage"]]
    assert discovery.status(created.flow_id)["status"] == "initialized"
    discovery.work()
    seen.append(discovery.status(created.flow_id)["progress_percentage"])
    mapped(discovery, created.flow_id)
    seen.append(discovery.status(created.flow_id)["progress_percentage"])
    made(discovery, created.flow_id)
    seen.append(discovery.status(created.flow_id)["progress_percentage"])
    discovery.resolve_all(created.flow_id, "keep_existing")
    discovery.work()
    seen.append(discovery.status(created.flow_id)["progress_percentage"])
    assert seen == [0, 40, 86.67, 93.33, 100]  # records that were looked at, and made into assets, are parts of a phase
    row = engine.read("SELECT * FROM discovery_flows")[0]
    flags = [name for name, value in row.items() if name.endswith("_completed") and value]
    assert len(flags) == 5
    assert row["completed_at"] is not None


def test_the_phases_with_analysis_find_dependencies_and_debt(discovery: Discovery, tmp_path: Path) -> None:
    rows = [
        host(1, Depends_On="db-1"),
        host(2, Name="db-1", CI_Type="Database", OS="CentOS 6", Hostname="db-1", Owner=""),
    ]
    flow = made(discovery, mapped(discovery, begun(discovery, write(tmp_path / "a.csv", rows), analysis=True)))
    status = discovery.status(flow, details=True)
    assert (status["status"], status["phases"]["tech_debt_assessment"]) == ("completed", True)
    by_id = {each["id"]: each["name"] for each in discovery.assets()}
    found = [(by_id[each["source_id"]], by_id[each["target_id"]]) for each in discovery.dependencies()]
    assert found == [("web-001", "db-1")]
    kinds = {each["kind"] for each in discovery.debts() if by_id[each["asset_id"]] == "db-1"}
    assert len(kinds) >= 2  # no owner, and a system whose support has ended


def test_one_open_mapping_keeps_the_flow_waiting_and_the_last_lets_it_go_on(discovery: Discovery) -> None:
    flow = begun(discovery, DEVICES)
    columns = [each["source_field"] for each in discovery.mappings(flow)]
    told = discovery.approve(flow, columns[:-1])
    discovery.work()
    assert (told["remaining"], waits_for(discovery, flow)) == (columns[-1:], "field_mapping")
    assert discovery.status(flow)["operational_status"] == "waiting_for_approval"
    assert discovery.approve(flow, columns[-1:])["complete"]
    status = discovery.status(flow)
    assert (status["status"], status["operational_status"]) == ("running", "processing")
    row = discovery.engine.read("SELECT flow_status FROM master_flows")[0]
    assert row["flow_status"] == "running"  # both rows in one commit


def test_an_approved_mapping_counts_for_every_field_whatever_its_column_is_called(
    discovery: Discovery, tmp_path: Path
) -> None:
    row = {"Zeile": "alpha", "Spalte": "65,536 MB", "Anlage": "Switch", "error": "none of ours", "status": "odd"}
    flow = begun(discovery, write(tmp_path / "a.csv", [row]))
    ids = {each["source_field"]: each["id"] for each in discovery.mappings(flow)}
    for column, field in (
        ("Zeile", "name"), ("Spalte", "memory_gb"), ("Anlage", "asset_type"), ("error", "custom_attributes"),
        ("status", "custom_attributes"),
    ):  # fmt: skip
        discovery.edit(flow, ids[column], field)
    assert discovery.approve(flow)["complete"]
    discovery.work()
    made(discovery, flow)
    (asset,) = discovery.assets()
    assert (asset["name"], asset["memory_gb"], asset["asset_type"]) == ("alpha", 64.0, "network")
    assert asset["custom_attributes"] == {"error": "none of ours", "status": "odd"}


def test_a_unit_in_the_heading_is_that_of_its_numbers(discovery: Discovery, tmp_path: Path) -> None:
    rows = [
        {"Name": "a", "Memory (MB)": "65,536"},
        {"Name": "b", "Memory (MB)": "2 TB"},
        {"Name": "c", "Memory (MB)": ""},
    ]
    made(discovery, mapped(discovery, begun(discovery, write(tmp_path / "a.csv", rows))))
    assert {each["name"]: each["memory_gb"] for each in discovery.assets()} == {"a": 64.0, "b": 2048.0, "c": None}


def test_what_cannot_be_approved_is_told_and_left(discovery: Discovery, tmp_path: Path) -> None:
    flow = begun(discovery, write(tmp_path / "a.csv", [{"Name": "a", "Qux Zap": "b", "Other": "c"}]))
    told = discovery.approve(flow)
    assert not told["complete"]
    assert told["failed"] >= 1  # UNMAPPED cannot be approved
    discovery.edit(flow, "Qux Zap", "name")
    with pytest.raises(ValidationFailed, match="memori_gb"):
        discovery.edit(flow, "Other", "memori_gb")
    told = discovery.approve(flow, ["Qux Zap"])
    assert "name" in told["results"][0]["error"]  # is the field of another column
    discovery.reject(flow, ["Qux Zap"])
    assert discovery.keep_the_rest(flow)["complete"]


def test_without_a_name_or_a_host_name_nothing_goes_on(discovery: Discovery, tmp_path: Path) -> None:
    flow = begun(discovery, write(tmp_path / "a.csv", [{"OS": "Linux", "Environment": "prod", "RAM": "8"}]))
    told = discovery.approve(flow)
    assert (told["complete"], told["remaining"]) == (False, [])
    assert "name" in told["problems"][0]
    assert waits_for(discovery, flow) == "field_mapping"
    discovery.edit(flow, "OS", "name")
    assert discovery.approve(flow)["complete"]


def test_guesses_begin_with_what_people_decided_before(discovery: Discovery, tmp_path: Path) -> None:
    rows = [{"Name": "a", "Kiste": "b"}]
    flow = begun(discovery, write(tmp_path / "a.csv", rows))
    discovery.edit(flow, "Kiste", "rack_location")
    made(discovery, mapped(discovery, flow))
    flow = begun(discovery, write(tmp_path / "b.csv", [{"Name": "c", "Kiste": "d"}]))
    found = {each["source_field"]: each for each in discovery.mappings(flow)}
    assert (found["Kiste"]["target_field"], found["Kiste"]["confidence"]) == ("rack_location", 0.9)


def test_approving_once_more_teaches_nothing_more(discovery: Discovery, tmp_path: Path) -> None:
    flow = begun(discovery, write(tmp_path / "a.csv", [{"Name": "a", "OS": "Linux", "Qux Zap": "b"}]))
    for _ in range(3):
        told = discovery.approve(flow, ["Name"])
        assert (told["successful"], told["failed"], told["complete"]) == (1, 0, False)
        discovery.reject(flow, ["OS"])
    approved = next(each for each in discovery.mappings(flow) if each["source_field"] == "Name")
    assert (approved["status"], approved["approved_by"]) == ("approved", "ann")
    learned = discovery.engine.read("SELECT source_field, times FROM learned_mappings ORDER BY source_field")
    assert [(row["source_field"], row["times"]) for row in learned] == [("Name", 1), ("OS", 1)]
    discovery.approve(flow, ["OS"])  # another decision
    assert discovery.engine.read("SELECT count(*) AS n FROM learned_mappings WHERE times > 1")[0]["n"] == 0
    assert discovery.engine.read("SELECT count(*) AS n FROM learned_mappings")[0]["n"] == 3


def test_a_field_that_a_person_chose_says_so(discovery: Discovery, tmp_path: Path) -> None:
    flow = begun(discovery, write(tmp_path / "a.csv", [{"Name": "a", "Qux Zap": "b", "Kiste": "c", "OS": "Linux"}]))
    before = {each["source_field"]: each for each in discovery.mappings(flow)}
    assert before["Kiste"]["agent_reasoning"] == before["Qux Zap"]["agent_reasoning"] == "no field is known for it"
    discovery.edit(flow, "Kiste", "rack_location")
    discovery.edit(flow, "OS", before["OS"]["target_field"])  # which it has already
    discovery.approve(flow, ["Name", "OS", "Kiste"])
    discovery.keep_the_rest(flow)
    found = {each["source_field"]: each for each in discovery.mappings(flow)}
    for column in ("Kiste", "Qux Zap"):
        assert (found[column]["agent_reasoning"], found[column]["match_type"]) == ("ann chose it", "manual")
    for column in ("Name", "OS"):
        assert found[column]["agent_reasoning"] == before[column]["agent_reasoning"]
        assert found[column]["match_type"] == before[column]["match_type"]


def test_a_request_looks_up_its_flow_and_its_mappings_once(
    discovery: Discovery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    read = Engine.read

    def counted(engine: Engine, statement: Any, params: Any = None) -> Any:
        asked.append(statement)
        return read(engine, statement, params)

    monkeypatch.setattr(Engine, "read", counted)
    flow = begun(discovery, write(tmp_path / "a.csv", [host(1, Location="x" * 300)]))
    acts: tuple[Callable[[], object], ...] = (
        lambda: discovery.decide_data(flow, {"Location": "skip"}), lambda: discovery.approve(flow),
        lambda: discovery.approve_assets(flow, "all"),
    )  # fmt: skip
    for act in acts:
        asked.clear()
        act()
        assert asked.count(FLOW) == 1
        assert asked.count(MAPPINGS) <= 1
        discovery.work()
    assert discovery.status(flow)["status"] == "completed"


def test_proposing_again_keeps_what_people_have_decided(discovery: Discovery) -> None:
    flow = begun(discovery, DEVICES)
    discovery.edit(flow, "Rack", "location")
    discovery.approve(flow, ["Rack", "Name"])
    seen = discovery.status(flow)["phase_state"]["seen"]
    discovery.propose_again(flow)
    discovery.work()
    found = {each["source_field"]: (each["target_field"], each["status"]) for each in discovery.mappings(flow)}
    assert found["Rack"] == ("location", "approved")
    assert found["Model"] == ("model", "suggested")
    assert len(found) == 15
    assert waits_for(discovery, flow) == "field_mapping"
    with pytest.raises(Stale):  # what was learned meanwhile has made another proposal of it
        discovery.approve(flow, seen=seen)


def test_only_what_is_approved_becomes_an_asset_with_the_changes_that_were_made(
    discovery: Discovery, tmp_path: Path
) -> None:
    flow = mapped(discovery, begun(discovery, write(tmp_path / "a.csv", hosts(5))))
    shown = discovery.preview(flow)
    chosen = [shown[1]["id"], shown[3]["id"]]
    discovery.approve_assets(flow, chosen, edits={chosen[0]: {"memory_gb": 99, "name": "renamed"}})
    discovery.work()
    assert discovery.status(flow)["status"] == "completed"
    found = {each["name"]: each["memory_gb"] for each in discovery.assets()}
    assert found == {"renamed": 99, "web-003": 16}
    rows = discovery.engine.read("SELECT row_number FROM raw_import_records WHERE is_processed ORDER BY row_number")
    assert [row["row_number"] for row in rows] == [2, 4]


@pytest.mark.parametrize(
    ("approved", "edits", "said"),
    [
        ([], {}, "these are 0"),
        (["nothing"], {}, "no asset of this preview"),
        (["00000000-0000-4000-8000-000000000001"], {}, "no asset of this preview"),
        ("all", {"nothing": {}}, "no asset of this preview"),
    ],
)
def test_an_approval_that_does_not_fit_changes_nothing(
    discovery: Discovery, tmp_path: Path, approved: Any, edits: Any, said: str
) -> None:
    flow = mapped(discovery, begun(discovery, write(tmp_path / "a.csv", hosts(2))))
    with pytest.raises(ValidationFailed, match=said):
        discovery.approve_assets(flow, approved, edits=edits)
    first = discovery.preview(flow)[0]["id"]
    with pytest.raises(ValidationFailed, match="object of fields"):
        discovery.approve_assets(flow, "all", edits={first: 1})  # type: ignore[dict-item]
    with pytest.raises(ValidationFailed, match="no field 'memory'"):
        discovery.approve_assets(flow, "all", edits={first: {"memory": 1}})
    assert waits_for(discovery, flow) == "asset_preview"


def test_an_approval_of_a_preview_that_has_changed_is_refused(discovery: Discovery, tmp_path: Path) -> None:
    flow = mapped(discovery, begun(discovery, write(tmp_path / "a.csv", hosts(2))))
    seen = discovery.status(flow)["phase_state"]["seen"]
    discovery.preview_again(flow)
    discovery.work()
    with pytest.raises(Stale):
        discovery.approve_assets(flow, "all", seen=seen)
    assert (waits_for(discovery, flow), names(discovery)) == ("asset_preview", [])


def test_a_rejected_preview_makes_no_assets(discovery: Discovery, tmp_path: Path) -> None:
    flow = mapped(discovery, begun(discovery, write(tmp_path / "a.csv", hosts(2))))
    discovery.reject_assets(flow, comment="the wrong file")
    discovery.work()
    assert (discovery.status(flow)["status"], names(discovery)) == ("failed", [])


def test_values_that_are_too_long_are_decided_on_before_the_mapping(discovery: Discovery, tmp_path: Path) -> None:
    rows = [host(1, Location="x" * 300), host(2)]
    created = discovery.create(write(tmp_path / "a.csv", rows))
    discovery.work()
    flow = created.flow_id
    assert waits_for(discovery, flow) == "data_validation"
    (issue,) = discovery.open_questions(flow)
    assert (issue["field"], issue["affected"], issue["longest"]) == ("Location", 1, 300)
    with pytest.raises(ValidationFailed, match="Location"):
        discovery.decide_data(flow, {})
    assert waits_for(discovery, flow) == "data_validation"
    discovery.decide_data(flow, {"Location": "skip"})
    discovery.work()
    made(discovery, mapped(discovery, flow))
    found = {each["name"]: each["location"] for each in discovery.assets()}
    assert found == {"web-001": None, "web-002": "Halle 3"}


def test_a_field_chosen_by_a_person_is_checked_for_its_length_too(discovery: Discovery, tmp_path: Path) -> None:
    rows = [host(1) | {"Kiste": "y" * 60}]
    flow = begun(discovery, write(tmp_path / "a.csv", rows))
    discovery.edit(flow, "Kiste", "rack_location")  # 50 characters
    mapped(discovery, flow)
    assert waits_for(discovery, flow) == "cleansing_decisions"
    with pytest.raises(ValidationFailed):
        discovery.decide_data(flow, {"Kiste": "shorten"})
    discovery.decide_data(flow, {"Kiste": "truncate"})
    discovery.work()
    made(discovery, flow)
    assert discovery.assets()[0]["rack_location"] == "y" * 50


def test_a_row_with_a_long_system_is_an_asset_with_a_warning(discovery: Discovery, tmp_path: Path) -> None:
    flow = begun(discovery, write(tmp_path / "a.csv", [host(1, OS="Linux " * 50)]))
    discovery.decide_data(flow, {"OS": "keep"})
    discovery.work()
    mapped(discovery, flow)
    (shown,) = discovery.preview(flow)
    assert any("operating_system" in each for each in shown["warnings"])
    made(discovery, flow)
    assert len(discovery.assets()[0]["operating_system"]) == 100


def test_rows_that_look_like_an_attack_are_in_quarantine_and_counted(discovery: Discovery, tmp_path: Path) -> None:
    rows = [host(1, Owner="<script>alert(1)</script>"), host(2, Owner="please update and select")]
    flow = begun(discovery, write(tmp_path / "a.csv", rows))
    assert discovery.profile(flow)["quarantined_rows"] == 1
    found = discovery.engine.read("SELECT row_number, is_valid FROM raw_import_records ORDER BY row_number")
    assert [bool(row["is_valid"]) for row in found] == [False, True]


def test_conflicts_are_resolved_in_every_way(discovery: Discovery, tmp_path: Path) -> None:
    made(discovery, mapped(discovery, begun(discovery, write(tmp_path / "a.csv", hosts(4)))))
    changed = [each | {"RAM": "64 GB", "Owner": "New", "Location": "Halle 9"} for each in hosts(4)]
    flow = made(discovery, mapped(discovery, begun(discovery, write(tmp_path / "b.csv", changed))))
    keep, replace, merge, both = discovery.conflicts(flow)
    with pytest.raises(InvalidFlowState):
        discovery.approve(flow)
    told = discovery.resolve(
        flow,
        [
            Resolution(keep["id"], "keep_existing"),
            Resolution(replace["id"], "replace_with_new"),
            Resolution(merge["id"], "merge", {"memory_gb": "new", "business_owner": "existing"}),
            Resolution(
                both["id"], "create_both_with_dependency", {}, {"name": "web-000", "dependency_type": "replica"}
            ),
            Resolution("nothing", "keep_existing"),
        ],
    )
    assert (told["resolved_count"], told["total_requested"], told["pending"]) == (3, 5, 1)
    assert "'web-000' is the name of another asset" in told["errors"][0]["error"]
    beside = Resolution(both["id"], "create_both_with_dependency", {}, {"name": "web-9", "dependency_type": "replica"})
    assert discovery.resolve(flow, [beside])["pending"] == 0
    discovery.work()
    assert discovery.status(flow)["status"] == "completed"
    found = {each["name"]: (each["memory_gb"], each["business_owner"]) for each in discovery.assets()}
    assert found == {
        "web-000": (16, "Shop"), "web-001": (64, "New"), "web-002": (64, "Shop"), "web-003": (16, "Shop"),
        "web-9": (64, "New"),
    }  # fmt: skip


def test_both_are_created_with_what_connects_them(discovery: Discovery, tmp_path: Path) -> None:
    made(discovery, mapped(discovery, begun(discovery, write(tmp_path / "a.csv", hosts(3)))))
    changed = [each | {"RAM": "64 GB", "Owner": "New"} for each in hosts(3)]
    flow = made(discovery, mapped(discovery, begun(discovery, write(tmp_path / "b.csv", changed), analysis=True)))
    replace, merge, both = discovery.conflicts(flow)
    for wrong, said in (
        (Resolution(both["id"], "create_both_with_dependency"), "a name of its own"),
        (
            Resolution(both["id"], "create_both_with_dependency", {}, {"name": "WEB 002"}),
            "is the name of one of the two",
        ),
        (Resolution(both["id"], "erase"), "no action"),
        (Resolution(merge["id"], "merge", {"name": "new"}), "cannot be merged"),
        (Resolution(merge["id"], "merge"), "at least one field"),
    ):
        assert said in discovery.resolve(flow, [wrong])["errors"][0]["error"]
    discovery.resolve(
        flow,
        [
            Resolution(replace["id"], "replace_with_new"),
            Resolution(merge["id"], "merge", {"memory_gb": "new"}),
            Resolution(
                both["id"], "create_both_with_dependency", {}, {"name": "web-002b", "dependency_type": "replica"}
            ),
        ],
    )
    discovery.work()
    assert discovery.status(flow)["status"] == "completed"
    found = {each["name"]: (each["memory_gb"], each["business_owner"]) for each in discovery.assets()}
    assert found == {
        "web-000": (64, "New"), "web-001": (64, "Shop"), "web-002": (16, "Shop"), "web-002b": (64, "New"),
    }  # fmt: skip
    (dependency,) = discovery.dependencies()  # which the analysis that follows leaves alone
    assert (dependency["dependency_type"], bool(dependency["chosen"])) == ("replica", True)


def test_two_equal_names_in_a_file_are_one_asset_and_one_conflict(discovery: Discovery, tmp_path: Path) -> None:
    rows = [host(1), host(2, Name="web 001", Hostname="other.example.com"), host(3)]
    flow = made(discovery, mapped(discovery, begun(discovery, write(tmp_path / "a.csv", rows))))
    assert names(discovery) == ["web-001", "web-003"]
    (conflict,) = discovery.conflicts(flow)
    assert (conflict["row_number"], conflict["conflict_type"]) == (2, "name")
    assert waits_for(discovery, flow) == "conflict_resolution"


def test_records_of_a_program_are_imported_without_a_file(discovery: Discovery) -> None:
    given = {"data": [host(1) | {"error": "x", "true": float("nan")}, "no record", host(2)]}
    created = discovery.create_from_records(given, name="feed", category="infra")
    assert (created.details["records_stored"], created.details["records_skipped"]) == (2, 1)
    discovery.work()
    metadata = discovery.status(created.flow_id, details=True)["import_metadata"]
    assert (metadata["total_records"], metadata["processed_records"]) == (3, 2)
    assert [(each["line"], each["reason"]) for each in discovery.skipped(created.flow_id)] == [(2, "not a record")]
    made(discovery, mapped(discovery, created.flow_id))
    assert names(discovery) == ["web-001", "web-002"]
    assert discovery.assets()[0]["custom_attributes"]["error"] == "x"
    with pytest.raises(InventoryError, match="no record"):
        discovery.create_from_records(["a", 1])
    with pytest.raises(DiscoveryError, match="no setting"):
        discovery.create_from_records(given, configuration={"mood": "direct"})
    assert discovery.engine.read("SELECT count(*) AS n FROM data_imports")[0]["n"] == 1


def test_a_very_long_heading_is_cut(discovery: Discovery, tmp_path: Path) -> None:
    long = "".join(chr(0x4E00 + number * 7919 % 20_000) for number in range(1_000))
    flow = begun(discovery, write(tmp_path / "a.csv", [{"Name": "a", long: "b"}]))
    assert [len(each["source_field"]) for each in discovery.mappings(flow)] == [4, 255]
    made(discovery, mapped(discovery, flow))
    assert discovery.assets()[0]["custom_attributes"] == {long[:255]: "b"}


def test_nobody_decides_without_a_name(discovery: Discovery) -> None:
    flow = begun(discovery, DEVICES)
    nobody = Discovery(discovery.engine, Tenant("northwind", "q4"))
    with pytest.raises(NotAllowed, match="needs a name"):
        nobody.approve(flow, ["Name"])
    assert {each["status"] for each in discovery.mappings(flow)} == {"suggested"}


def test_another_flow_of_the_tenant_is_in_the_way(discovery: Discovery, tmp_path: Path) -> None:
    flow = begun(discovery, DEVICES)
    with pytest.raises(Blocked, match=flow) as blocked:
        discovery.create(DEVICES)
    assert blocked.value.blocking[0]["current_phase"] == "field_mapping"
    assert len(discovery.flows()) == 1
    discovery.cancel(flow, "the wrong one")
    assert discovery.blocking() == []
    begun(discovery, DEVICES)
    assert discovery.engine.read("SELECT count(*) AS n FROM data_imports")[0]["n"] == 2


def test_a_bad_type_or_file_leaves_no_rows(discovery: Discovery, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "numbers.csv").write_text("1,2,3\n4,5,6\n")
    for name in ("empty.csv", "numbers.csv", "nowhere.csv"):
        with pytest.raises(InventoryError):
            discovery.create(tmp_path / name)
    with pytest.raises(DiscoveryError):
        discovery.create(DEVICES, configuration={"mood": "direct"})
    for table in ("master_flows", "discovery_flows", "data_imports", "phasegate_runs"):
        assert discovery.engine.read(f"SELECT count(*) AS n FROM {table}")[0]["n"] == 0


def test_a_file_that_is_gone_fails_the_flow_with_what_to_do(discovery: Discovery, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", hosts(2))
    flow = discovery.create(file).flow_id
    file.unlink()
    discovery.work()
    status = discovery.status(flow)
    assert (status["status"], status["error_phase"]) == ("failed", "data_import")
    assert "a.csv" in status["error_message"]
    write(file, hosts(2))
    assert discovery.retry(flow)["attempt"] >= 2
    discovery.work()
    assert waits_for(discovery, flow) == "field_mapping"


def test_unknown_ids_are_not_found(discovery: Discovery) -> None:
    with pytest.raises(FlowNotFound):
        discovery.status("00000000-0000-4000-8000-000000000001")
    with pytest.raises(InputError):
        discovery.status("17")
    with pytest.raises(FlowNotFound):
        discovery.asset("nothing")
    flow = begun(discovery, DEVICES)
    with pytest.raises(FlowNotFound, match="nothing"):
        discovery.approve(flow, ["nothing"])
