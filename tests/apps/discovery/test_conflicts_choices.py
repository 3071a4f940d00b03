"""What people decide about assets is checked when they say it, and what cannot be done any more is put to them again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from phasegate.apps.discovery import Discovery, Resolution
from phasegate.apps.discovery.errors import ValidationFailed
from phasegate.apps.discovery.rules.names import normalised_name
from tests.apps.discovery.steps import begun, host, hosts, made, mapped, names, waits_for, write

#: For what does not depend on the kind of database.
on_sqlite = pytest.mark.parametrize("address", ["sqlite"], indirect=True)


def conflicting(discovery: Discovery, tmp_path: Path, count: int = 2) -> tuple[str, list[dict[str, Any]]]:
    """A flow whose rows all meet the assets of a flow before, and its conflicts."""
    made(discovery, mapped(discovery, begun(discovery, write(tmp_path / "a.csv", hosts(count)))))
    changed = [each | {"RAM": "64 GB"} for each in hosts(count)]
    flow = made(discovery, mapped(discovery, begun(discovery, write(tmp_path / "b.csv", changed))))
    return flow, discovery.conflicts(flow)


def previewed(discovery: Discovery, tmp_path: Path, *rows: Mapping[str, Any]) -> str:
    """A flow of these rows, as far as its preview."""
    return mapped(discovery, begun(discovery, write(tmp_path / "c.csv", rows)))


def beside(conflict: Mapping[str, Any], name: Any, **more: Any) -> Resolution:
    """The choice to create both."""
    return Resolution(
        conflict["id"], "create_both_with_dependency", {}, {"name": name, "dependency_type": "replica"} | more
    )


def renamed(discovery: Discovery, before: str, after: str) -> None:
    """Somebody gives an asset another name, behind the back of every flow."""
    values = {"before": before, "after": after, "key": normalised_name(after)}
    discovery.engine.write([("UPDATE assets SET name = :after, normalised_name = :key WHERE name = :before", values)])


def deleted(discovery: Discovery, name: str) -> None:
    """Somebody deletes an asset, behind the back of every flow."""
    values = {"at": datetime(2026, 1, 1, tzinfo=UTC), "name": name}
    discovery.engine.write([("UPDATE assets SET deleted_at = :at WHERE name = :name", values)])


def memory(discovery: Discovery) -> dict[str, float]:
    return {each["name"]: each["memory_gb"] for each in discovery.assets()}


# --- choices that are refused at once ---------------------------------------------------------------------------------


@on_sqlite
def test_a_new_asset_that_could_not_be_created_is_refused_when_it_is_asked_for(
    discovery: Discovery, tmp_path: Path
) -> None:
    flow, (first, second) = conflicting(discovery, tmp_path)
    wrong: tuple[tuple[Any, dict[str, Any], str], ...] = (
        ("WEB_001", {}, "name of another asset already"),
        ("x" * 256, {}, "name cannot be"),
        ("web\0nine", {}, "name cannot be"),
        (17, {}, "needs a name of its own"),
        ("  ", {}, "needs a name of its own"),
        ("web-9", {"dependency_type": 4}, "say what connects them"),
        ("web-9", {"dependency_type": "a\0b"}, "one line"),
        ("web-9", {"dependency_type": "y" * 101}, "one line"),
        ("web-9", {"parent_asset_id": "nothing"}, "no asset nothing"),
    )
    for name, more, said in wrong:
        (error,) = discovery.resolve(flow, [beside(first, name, **more)])["errors"]
        assert said in error["error"]
    told = discovery.resolve(flow, [beside(first, "web-001"), Resolution(second["id"], "keep_existing")])
    assert (told["resolved_count"], told["pending"], waits_for(discovery, flow)) == (1, 1, "conflict_resolution")


@on_sqlite
def test_a_new_name_is_given_once_in_a_flow(discovery: Discovery, tmp_path: Path) -> None:
    flow, (first, second, third) = conflicting(discovery, tmp_path, 3)
    told = discovery.resolve(flow, [beside(first, "web-9"), beside(second, "Web 9")])
    assert (told["resolved_count"], told["errors"][0]["conflict_id"]) == (1, second["id"])
    told = discovery.resolve(flow, [beside(third, "WEB-9")])
    assert "chosen for another conflict" in told["errors"][0]["error"]
    # Whoever has a name may give it up, and others may have it then.
    told = discovery.resolve(flow, [beside(first, "web-10"), beside(second, "web-9"), beside(third, "web-11")])
    assert (told["errors"], told["pending"]) == ([], 0)
    discovery.work()
    assert discovery.status(flow)["status"] == "completed"
    assert names(discovery) == ["web-000", "web-001", "web-002", "web-10", "web-11", "web-9"]


# --- choices that cannot be carried out any more ----------------------------------------------------------------------


def test_a_name_that_was_taken_meanwhile_opens_its_conflict_again(discovery: Discovery, tmp_path: Path) -> None:
    flow, (first, second, third) = conflicting(discovery, tmp_path, 3)
    discovery.resolve(flow, [beside(first, "web-9"), Resolution(second["id"], "replace_with_new")])
    discovery.resolve(flow, [Resolution(third["id"], "keep_existing")])
    renamed(discovery, "web-002", "web-9")
    discovery.work()
    assert waits_for(discovery, flow) == "conflict_resolution"
    (still,) = discovery.conflicts(flow, pending=True)
    assert (still["id"], still["resolution_action"], still["resolved_by"]) == (first["id"], None, None)
    assert "'web-9' is the name of another asset" in still["problem"]
    assert memory(discovery) == {"web-000": 16, "web-001": 64, "web-9": 16}  # the other choices are carried out
    told = discovery.resolve(flow, [Resolution(second["id"], "keep_existing")])
    assert "done already" in told["errors"][0]["error"]
    assert discovery.resolve(flow, [beside(first, "web-9")])["pending"] == 1
    assert discovery.resolve(flow, [beside(first, "web-10")])["pending"] == 0
    discovery.work()
    assert discovery.status(flow)["status"] == "completed"
    assert memory(discovery) == {"web-000": 16, "web-001": 64, "web-9": 16, "web-10": 64}
    assert [each["problem"] for each in discovery.conflicts(flow)] == [None] * 3


@pytest.mark.parametrize("action", ["keep_existing", "merge"])
def test_an_asset_that_was_deleted_meanwhile_can_be_made_of_its_row(
    discovery: Discovery, tmp_path: Path, action: str
) -> None:
    flow, (first, second) = conflicting(discovery, tmp_path)
    chosen = Resolution(first["id"], action, {"memory_gb": "new"})
    discovery.resolve(flow, [chosen, Resolution(second["id"], "keep_existing")])
    deleted(discovery, "web-000")
    discovery.work()
    (still,) = discovery.conflicts(flow, pending=True)
    assert "'web-000' has been deleted" in still["problem"]
    assert "has been deleted" in discovery.resolve(flow, [chosen])["errors"][0]["error"]
    assert discovery.resolve_all(flow, "replace_with_new")["pending"] == 0
    discovery.work()
    assert discovery.status(flow)["status"] == "completed"
    assert memory(discovery) == {"web-000": 64, "web-001": 16}


@on_sqlite
def test_a_row_whose_asset_was_deleted_and_that_meets_another_is_asked_about_again(
    discovery: Discovery, tmp_path: Path
) -> None:
    flow, (first, _) = conflicting(discovery, tmp_path)
    deleted(discovery, "web-000")
    renamed(discovery, "web-001", "web-000")
    discovery.resolve(flow, [Resolution(each["id"], "replace_with_new") for each in discovery.conflicts(flow)])
    discovery.work()
    (still,) = discovery.conflicts(flow, pending=True)
    assert (still["id"], "meets 'web-000'" in still["problem"]) == (first["id"], True)
    discovery.resolve(flow, [beside(first, "web-9")])
    discovery.work()
    assert (discovery.status(flow)["status"], discovery.dependencies()) == ("completed", [])
    assert names(discovery) == ["web-000", "web-9"]


# --- rows that meet several assets ------------------------------------------------------------------------------------


def test_every_asset_that_a_row_meets_is_shown_and_none_loses_its_address(discovery: Discovery, tmp_path: Path) -> None:
    made(discovery, mapped(discovery, begun(discovery, write(tmp_path / "a.csv", hosts(2)))))
    row = host(0) | {"IP Address": hosts(2)[1]["IP Address"], "RAM": "64 GB"}
    flow = made(discovery, previewed(discovery, tmp_path, row))
    (conflict,) = discovery.conflicts(flow)
    first, second = conflict["matches"]
    assert (first["asset_id"], first["name"], first["conflict_type"]) == (
        conflict["existing_asset_id"], "web-000", "name",
    )  # fmt: skip
    assert (second["name"], second["conflict_type"], second["conflict_key"]) == (
        "web-001", "ip_address", row["IP Address"],
    )  # fmt: skip
    assert "matches" not in conflict["existing"]
    both_new = {"memory_gb": "new", "ip_address": "new"}
    for choice in (
        Resolution(conflict["id"], "replace_with_new"), Resolution(conflict["id"], "merge", both_new),
    ):  # fmt: skip
        (error,) = discovery.resolve(flow, [choice])["errors"]
        assert f"{row['IP Address']} is the ip_address of another asset, 'web-001'" in error["error"]
    discovery.resolve(flow, [Resolution(conflict["id"], "merge", both_new | {"ip_address": "existing"})])
    discovery.work()
    assert discovery.status(flow)["status"] == "completed"
    assert memory(discovery) == {"web-000": 64, "web-001": 16}


# --- the preview ------------------------------------------------------------------------------------------------------


@on_sqlite
def test_an_edit_that_cannot_be_read_is_refused_and_erases_nothing(discovery: Discovery, tmp_path: Path) -> None:
    flow = previewed(discovery, tmp_path, *hosts(2))
    second = discovery.preview(flow)[1]["id"]
    wrong: tuple[tuple[str, Any, str], ...] = (
        ("memory_gb", "lots", "'lots': 'lots' is not a number"),
        ("memory_gb", float("nan"), "nan: holds neither text nor a number"),
        ("environment", "Moon", "'Moon': 'Moon' is none of Production"),
        ("ip_address", "300.1.1.1", "'300.1.1.1' is not the IP address"),
        ("cpu_cores", 2.5, "2.5: '2.5' is not a whole number"),
        ("cpu_cores", -1, "'-1' is below nought"),
        ("pii_flag", "perhaps", "neither yes nor no"),
        ("purchase_date", "31 June 2024", "not a date"),
        ("mac_address", "zz", "not the MAC address"),
        ("location", "x" * 101, "...: cut from 101 to 100"),
        ("name", {"a": 1}, "an object is no value"),
        ("asset_type", "moon", "'moon' is none of server"),
    )
    for field, value, said in wrong:
        with pytest.raises(ValidationFailed) as refused:
            discovery.approve_assets(flow, "all", edits={second: {field: value, "os_version": "22.04"}})
        (error,) = refused.value.errors
        assert error.startswith(f"row 2: {field}")
        assert said in error
    assert waits_for(discovery, flow) == "asset_preview"
    made(discovery, flow)
    assert {(each["environment"], each["memory_gb"]) for each in discovery.assets()} == {("Production", 16)}


@on_sqlite
def test_every_wrong_edit_is_told_at_once(discovery: Discovery, tmp_path: Path) -> None:
    flow = previewed(discovery, tmp_path, *hosts(2))
    first, second = (each["id"] for each in discovery.preview(flow))
    with pytest.raises(ValidationFailed) as refused:
        discovery.approve_assets(flow, "all", edits={first: {"memory_gb": "lots"}, second: {"environment": "Moon"}})
    assert [each.split()[1] for each in refused.value.errors] == ["1:", "2:"]


@on_sqlite
def test_an_edit_is_read_as_a_value_of_the_file_is_and_may_empty_a_field(discovery: Discovery, tmp_path: Path) -> None:
    flow = previewed(discovery, tmp_path, host(1))
    (shown,) = discovery.preview(flow)
    edits = {"memory_gb": "32,768 MB", "environment": "dr", "location": "", "business_owner": None}
    discovery.approve_assets(flow, "all", edits={shown["id"]: edits})
    discovery.work()
    (asset,) = discovery.assets()
    assert (asset["memory_gb"], asset["environment"]) == (32, "Disaster Recovery")
    assert (asset["location"], asset["business_owner"]) == (None, None)


@on_sqlite
def test_what_became_of_a_row_when_it_was_cleansed_is_a_warning_of_the_preview(
    discovery: Discovery, tmp_path: Path
) -> None:
    rows = (host(1, Location="x" * 300), host(2, Owner="<script>alert(1)</script>"), host(3))
    flow = begun(discovery, write(tmp_path / "c.csv", rows))
    discovery.decide_data(flow, {"Location": "truncate"})
    discovery.work()
    mapped(discovery, flow)
    cut, bad, fine = (each["warnings"] for each in discovery.preview(flow))
    assert cut == ["'Location' cut from 300 to 100 characters"]
    assert bad == ["in quarantine, malicious content: Owner: script tag"]
    assert fine == []
    shown = discovery.engine.outputs(discovery.flow(flow).run.id, tenant=discovery.tenant.name)["asset_preview"]
    assert (shown["warnings"], [each["warnings"] for each in shown["assets_preview"]]) == (2, [cut, bad, fine])


# --- rows that fail ---------------------------------------------------------------------------------------------------


@on_sqlite
def test_rows_that_fail_are_told_with_their_reasons(discovery: Discovery, tmp_path: Path) -> None:
    flow = previewed(discovery, tmp_path, *hosts(120))
    # What no check foresees: the database itself refuses an asset.
    refuse = "SELECT RAISE(ABORT, 'CHECK constraint failed: refused')"
    discovery.engine.write(
        [(f"CREATE TRIGGER refusal BEFORE INSERT ON assets WHEN NEW.name <> 'web-004' BEGIN {refuse}; END", {})]
    )
    made(discovery, flow)
    assert (discovery.status(flow)["status"], names(discovery)) == ("completed", ["web-004"])
    outputs = discovery.engine.outputs(discovery.flow(flow).run.id, tenant=discovery.tenant.name)
    for step in ("asset_inventory", "asset_inventory_result"):
        told = outputs[step]
        assert (told["assets_created"], told["assets_failed"], len(told["errors"])) == (1, 119, 100)
        assert told["errors"][0] == {"row_number": 1, "error": "web-000: IntegrityError"}
