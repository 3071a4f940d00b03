"""Flows that are begun at the same time, and what is left of a beginning that did not come to its end: nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from phasegate import Engine
from phasegate.apps.discovery import Discovery, Tenant, open_engine, projection
from phasegate.apps.discovery.service.creating import Blocked, Created, Creating
from phasegate.apps.discovery.tables import metadata
from tests.apps.discovery.steps import DEVICES, begun, host, hosts, made, mapped, names, write

TIMES = 20


def counts(engine: Engine, tenant: Tenant) -> dict[str, int]:
    """How many rows a tenant has in every table in which it has some."""
    where = "WHERE client_account_id = :client AND engagement_id = :engagement"
    found = {
        table: engine.read(f"SELECT count(*) AS n FROM {table} {where}", tenant.where)[0]["n"]
        for table in metadata.tables
    }
    return {table: count for table, count in found.items() if count}


def test_of_two_who_begin_at_the_same_time_one_is_told_that_the_other_is_in_the_way(
    engine: Engine, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both look whether anything is in the way before either begins."""
    check = Creating._check_free
    here = threading.local()
    together = threading.Barrier(2)

    def check_together(found: Creating) -> None:
        check(found)
        if not getattr(here, "looked", False):
            here.looked = True
            together.wait(60)

    monkeypatch.setattr(Creating, "_check_free", check_together)

    def create(found: Discovery, records: bool) -> Created | Blocked:
        here.looked = False
        try:
            return found.create_from_records([host(1), "none"]) if records else found.create(DEVICES)
        except Blocked as blocked:
            return blocked

    with open_engine(address) as other, ThreadPoolExecutor(2) as threads:
        for time in range(TIMES):
            tenant, records = Tenant("northwind", f"time {time}", "ann"), bool(time % 2)
            both = [threads.submit(create, Discovery(each, tenant), records) for each in (engine, other)]
            won, lost = sorted((each.result(60) for each in both), key=lambda each: isinstance(each, Blocked))
            assert isinstance(won, Created), lost
            assert isinstance(lost, Blocked)
            assert [each["flow_id"] for each in lost.blocking] == [won.flow_id]
            one = {"master_flows": 1, "discovery_flows": 1, "data_imports": 1, "flow_audit": 1}
            assert counts(engine, tenant) == one | (
                {"raw_import_records": 1, "skipped_records": 1} if records else {}
            ), time
            assert len(engine.find(tenant=tenant.name)) == 1


def test_flows_follow_one_another_also_when_what_was_before_is_gone(discovery: Discovery, tmp_path: Path) -> None:
    engine, file = discovery.engine, write(tmp_path / "a.csv", hosts(2))
    flows = [made(discovery, mapped(discovery, begun(discovery, file)))]
    discovery.delete(flows[0])
    flows.append(begun(discovery, write(tmp_path / "b.csv", [host(7)])))
    discovery.cancel(flows[1])
    for table in reversed(metadata.sorted_tables):
        engine.write([(f"DELETE FROM {table.name}", {})])
    flows.append(begun(discovery, file))  # the runs of the others are still there
    discovery.cancel(flows[2])
    for table in reversed(metadata.sorted_tables):
        engine.write([(f"DELETE FROM {table.name}", {})])
    assert engine.purge(0, tenant=discovery.tenant.name).runs == 3
    flows.append(made(discovery, mapped(discovery, begun(discovery, file))))
    assert len(set(flows)) == 4
    assert (discovery.status(flows[3])["status"], names(discovery)) == ("completed", ["web-000", "web-001"])


@pytest.mark.parametrize("records", [False, True], ids=["a file", "records"])
def test_whoever_dies_before_the_flow_begins_leaves_nothing(
    discovery: Discovery, monkeypatch: pytest.MonkeyPatch, records: bool
) -> None:
    class Died(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Died

    create: Callable[[Any], object] = discovery.create_from_records if records else discovery.create
    monkeypatch.setattr(Engine, "start", die)
    with pytest.raises(Died):
        create([host(1), "none"] if records else DEVICES)
    assert counts(discovery.engine, discovery.tenant) == {}


def test_a_flow_of_records_begins_with_all_of_them_or_not_at_all(
    discovery: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(projection, "ADD_CHILD", "INSERT INTO nowhere VALUES (1)")
        with pytest.raises(Exception, match="nowhere"):
            discovery.create_from_records([host(1), "none"])
    assert counts(discovery.engine, discovery.tenant) == {}
    assert discovery.engine.find(tenant=discovery.tenant.name) == []
    created = discovery.create_from_records([host(number) for number in range(3)])
    assert counts(discovery.engine, discovery.tenant)["raw_import_records"] == 3
    discovery.work()
    assert discovery.status(created.flow_id)["phase_state"]["waits_for"] == "field_mapping"
