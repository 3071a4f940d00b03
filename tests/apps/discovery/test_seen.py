"""Decisions are bound to what was shown: to mappings as people have made them, to what is asked of long values."""

from __future__ import annotations

from pathlib import Path

import pytest

from phasegate.apps.discovery import Discovery, Tenant
from phasegate.errors import Stale
from tests.apps.discovery.steps import begun, host, hosts, mapped, waits_for, write


def statuses(discovery: Discovery, flow: str) -> set[str]:
    return {each["status"] for each in discovery.mappings(flow)}


def test_an_approval_of_mappings_that_somebody_has_edited_since_is_refused(
    discovery: Discovery, tmp_path: Path
) -> None:
    flow = begun(discovery, write(tmp_path / "a.csv", hosts(2)))
    seen = discovery.proposal(flow)["seen"]
    Discovery(discovery.engine, Tenant("northwind", "q4", "bob")).edit(flow, "Owner", "support_group")
    with pytest.raises(Stale, match="has changed since you saw it"):
        discovery.approve(flow, seen=seen)
    with pytest.raises(Stale, match="has changed since you saw it"):
        discovery.approve(flow, ["Owner"], seen=seen)
    with pytest.raises(Stale, match="has changed since you saw it"):
        discovery.reject(flow, ["Owner"], seen=seen)
    assert statuses(discovery, flow) == {"suggested"}
    assert discovery.approve(flow, seen=discovery.proposal(flow)["seen"])["complete"]


def test_an_approval_of_mappings_that_somebody_has_decided_on_since_is_refused(
    discovery: Discovery, tmp_path: Path
) -> None:
    flow = begun(discovery, write(tmp_path / "a.csv", hosts(2)))
    seen = [discovery.proposal(flow)["seen"]]
    discovery.reject(flow, ["CPU"], seen=seen[-1])
    seen.append(discovery.proposal(flow)["seen"])
    discovery.approve(flow, ["CPU"], seen=seen[-1])
    seen.append(discovery.proposal(flow)["seen"])
    assert len(set(seen)) == 3
    for old in seen[:-1]:
        with pytest.raises(Stale):
            discovery.approve(flow, seen=old)
    assert discovery.approve(flow, seen=seen[-1])["complete"]


def test_what_nobody_has_changed_has_the_same_digest_as_the_gate(discovery: Discovery, tmp_path: Path) -> None:
    flow = begun(discovery, write(tmp_path / "a.csv", hosts(2)))
    proposal = discovery.proposal(flow)
    run = discovery.flow(flow).run
    assert proposal["mappings"] == discovery.mappings(flow)
    assert proposal["seen"] == run.at("field_mapping_approval").shown
    discovery.edit(flow, "Owner", "support_group")
    assert discovery.proposal(flow)["seen"] != proposal["seen"]
    discovery.edit(flow, "Owner", "business_owner")
    assert discovery.proposal(flow)["seen"] == proposal["seen"]


def test_without_what_was_seen_an_approval_is_of_what_there_is(discovery: Discovery, tmp_path: Path) -> None:
    flow = begun(discovery, write(tmp_path / "a.csv", hosts(2)))
    discovery.edit(flow, "Owner", "support_group")
    assert discovery.approve(flow)["complete"]
    discovery.work()
    proposal = discovery.proposal(flow)
    assert (proposal["seen"], proposal["remaining"], proposal["problems"]) == (None, [], [])


def test_a_decision_on_long_values_is_bound_to_what_was_asked(discovery: Discovery, tmp_path: Path) -> None:
    rows = [host(1, Rack="x" * 80, Zeta="z" * 120), host(2, Rack="r1", Zeta="z1")]
    flow = begun(discovery, write(tmp_path / "a.csv", rows))
    with pytest.raises(Stale):
        discovery.decide_data(flow, {"Rack": "keep"}, seen="abc")
    discovery.decide_data(flow, {"Rack": "keep"}, seen=discovery.status(flow)["phase_state"]["seen"])
    discovery.work()
    discovery.edit(flow, "Zeta", "datacenter")
    mapped(discovery, flow)
    assert waits_for(discovery, flow) == "cleansing_decisions"
    seen = discovery.status(flow)["phase_state"]["seen"]
    with pytest.raises(Stale, match="has changed since you saw it"):
        discovery.decide_data(flow, {"Zeta": "skip"}, seen="abc")
    assert waits_for(discovery, flow) == "cleansing_decisions"
    discovery.decide_data(flow, {"Zeta": "skip"}, seen=seen)
    discovery.work()
    assert [each.get("datacenter") for each in discovery.preview(flow)] == [None, "z1"]


def skipped(discovery: Discovery, rows: list[dict[str, str]], folder: Path, target: str) -> str:
    """A flow of these rows in which what is too long for an OS was skipped, before the column got another target."""
    flow = discovery.create(write(folder / "a.csv", rows)).flow_id
    discovery.work()
    discovery.decide_data(flow, {"OS": "skip"})
    discovery.work()
    discovery.edit(flow, "OS", target)
    mapped(discovery, flow)
    return flow


def test_values_that_were_not_too_long_stay_when_their_column_is_for_no_field(
    discovery: Discovery, tmp_path: Path
) -> None:
    rows = [host(1, OS="x" * 300), host(2), host(3, OS="y" * 100)]
    flow = skipped(discovery, rows, tmp_path, "custom_attributes")
    kept = [each["custom_attributes"].get("OS") for each in discovery.preview(flow)]
    assert kept == ["x" * 300, "Ubuntu 22.04", "y" * 100]


def test_values_that_were_not_too_long_stay_when_their_column_is_for_a_shorter_field(
    discovery: Discovery, tmp_path: Path
) -> None:
    rows = [host(1, OS="x" * 300), host(2, OS="y" * 60), host(3)]
    flow = skipped(discovery, rows, tmp_path, "os_version")
    kept = [each.get("os_version") for each in discovery.preview(flow)]
    assert kept == [None, "y" * 50, "Ubuntu 22.04"]
