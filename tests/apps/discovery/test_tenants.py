"""Two tenants on one engine: whatever one of them asks for with the ids of the other, it gets nothing and changes nothing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from phasegate import Engine
from phasegate.apps.discovery import Discovery, Resolution, Tenant
from phasegate.apps.discovery.errors import FlowNotFound, ValidationFailed
from phasegate.apps.discovery.service.base import Flow
from phasegate.apps.discovery.tables import metadata
from phasegate.errors import InputError, PhasegateError
from tests.apps.discovery.steps import begun, host, hosts, made, mapped, names, waits_for, write

OWNER = Tenant("northwind", "q4", "ann")
#: One that shares the engagement's name, and one that shares the client account.
OTHERS = (Tenant("fabrikam", "q4", "eve"), Tenant("northwind", "q5", "eve"))
UNKNOWN = "00000000-0000-4000-8000-000000000001"


@dataclass(frozen=True)
class Ids:
    """What one tenant knows of another, or makes up."""

    flow: str
    mapping: str = UNKNOWN
    record: str = UNKNOWN
    conflict: str = UNKNOWN
    asset: str = UNKNOWN


#: Every method that takes the id of a flow or of an asset. None of them knows those of somebody else.
REFUSED: dict[str, Callable[[Discovery, Ids], object]] = {
    "flow": lambda found, ids: found.flow(ids.flow),
    "live_flow": lambda found, ids: found.live_flow(ids.flow),
    "waiting_flow": lambda found, ids: found.waiting_flow(ids.flow, "field_mapping"),
    "status": lambda found, ids: found.status(ids.flow, details=True),
    "skipped": lambda found, ids: found.skipped(ids.flow),
    "profile": lambda found, ids: found.profile(ids.flow),
    "open_questions": lambda found, ids: found.open_questions(ids.flow),
    "mappings": lambda found, ids: found.mappings(ids.flow),
    "proposal": lambda found, ids: found.proposal(ids.flow),
    "preview": lambda found, ids: found.preview(ids.flow),
    "conflicts": lambda found, ids: found.conflicts(ids.flow),
    "asset": lambda found, ids: found.asset(ids.asset),
    "pause": lambda found, ids: found.pause(ids.flow, "for fun"),
    "resume": lambda found, ids: found.resume(ids.flow),
    "retry": lambda found, ids: found.retry(ids.flow),
    "execute": lambda found, ids: found.execute(ids.flow, "data_cleansing"),
    "decide_data": lambda found, ids: found.decide_data(ids.flow, {"Location": "skip"}),
    "approve": lambda found, ids: found.approve(ids.flow, [ids.mapping]),
    "reject": lambda found, ids: found.reject(ids.flow, [ids.mapping]),
    "edit": lambda found, ids: found.edit(ids.flow, ids.mapping, "description"),
    "keep_the_rest": lambda found, ids: found.keep_the_rest(ids.flow),
    "propose_again": lambda found, ids: found.propose_again(ids.flow),
    "approve_assets": lambda found, ids: found.approve_assets(ids.flow, [ids.record]),
    "reject_assets": lambda found, ids: found.reject_assets(ids.flow),
    "preview_again": lambda found, ids: found.preview_again(ids.flow),
    "resolve": lambda found, ids: found.resolve(ids.flow, [Resolution(ids.conflict, "keep_existing")]),
    "resolve_all": lambda found, ids: found.resolve_all(ids.flow, "replace_with_new"),
    "cancel": lambda found, ids: found.cancel(ids.flow),
    "delete": lambda found, ids: found.delete(ids.flow),
}
#: Every method that lists: none of them has anything of somebody else.
EMPTY: dict[str, Callable[[Discovery, Path], object]] = {
    "flows": lambda found, _: found.flows(),
    "blocking": lambda found, _: found.blocking(),
    "assets": lambda found, _: found.assets(),
    "assets_by_type": lambda found, _: found.assets_by_type(),
    "dependencies": lambda found, _: found.dependencies(),
    "debts": lambda found, _: found.debts(),
    "health": lambda found, _: found.health()["flows"],
    "export": lambda found, folder: found.export(folder / "theirs.csv"),
}


def _audited(found: Discovery, ids: Ids) -> None:
    with found.audited("look", ids.flow):
        pass


#: Every method that may do something for the one who calls it, and nothing to anybody else.
OF_ONES_OWN: dict[str, Callable[[Discovery, Ids, Path], object]] = {
    "create": lambda found, _, folder: _forgotten(found, found.create(write(folder / "own.csv", hosts(2))).flow_id),
    "create_from_records": lambda found, _, __: _forgotten(found, found.create_from_records([host(1)]).flow_id),
    "work": lambda found, _, __: found.work(),
    "repair": lambda found, _, __: found.repair(again=True)["actions"],
    "audit": lambda found, ids, _: [each for each in found.audit(ids.flow) if each["user_id"] != "eve"],
    "audited": lambda found, ids, _: _audited(found, ids),
    "now": lambda found, _, __: found.now(),
}


#: Methods that are given a flow as ``flow`` found it. Also with somebody else's they do nothing.
WITH_A_FLOW: dict[str, Callable[[Discovery, Flow], object]] = {"settle": lambda found, flow: found.settle(flow)}


def _forgotten(found: Discovery, flow: str) -> None:
    found.work()
    found.delete(flow)


def test_every_public_method_has_a_case_here() -> None:
    public = {name for name, _ in inspect.getmembers(Discovery) if not name.startswith("_")}
    cases = [*REFUSED, *EMPTY, *OF_ONES_OWN, *WITH_A_FLOW]
    assert public == set(cases)
    assert len(cases) == len(set(cases))


def rows_of(engine: Engine, tenant: Tenant) -> dict[str, list[str]]:
    """Everything that a tenant has, in all tables; and every fact of its runs."""
    where = "WHERE client_account_id = :client AND engagement_id = :engagement"
    found = {
        table.name: sorted(map(_text, engine.read(f"SELECT * FROM {table.name} {where}", tenant.where)))
        for table in metadata.sorted_tables
    }
    runs = [row["run_id"] for row in engine.read(f"SELECT run_id FROM master_flows {where}", tenant.where)]
    facts = {run: [str(each) for each in engine.history(run, tenant=tenant.name)] for run in runs}
    return found | facts


def _text(row: Mapping[str, Any]) -> str:
    return str(dict(row))


def ids_of(engine: Engine, flow: str) -> Ids:
    """What there is of a flow, whoever asks."""

    def one(table: str, where: str) -> str:
        rows = engine.read(f"SELECT id FROM {table} WHERE {where}", {"flow": flow})
        return str(rows[0]["id"]) if rows else UNKNOWN

    of_import = "data_import_id = (SELECT id FROM data_imports WHERE master_flow_id = :flow)"
    return Ids(
        flow,
        one("import_field_mappings", "master_flow_id = :flow"),
        one("raw_import_records", of_import),
        one("asset_conflict_resolutions", "discovery_flow_id = :flow"),
        one("assets", "client_account_id = 'northwind' AND engagement_id = 'q4'"),
    )


def stages(owner: Discovery, folder: Path) -> Iterator[tuple[str, str]]:
    """The owner's flows in every state in which something could be done with them: its name, and the flow."""
    rows = [host(1, Location="x" * 300, Depends_On="web-002"), host(2, Name="web-002"), host(3) | {"Kiste": "k"}]
    file = write(folder / "a.csv", [{"Kiste": "", **row} for row in rows] + [dict.fromkeys(rows[0], "")])
    flow = owner.create(file, configuration={"analysis": True}).flow_id
    yield "initialized", flow
    owner.work()
    yield "data_validation", flow
    owner.decide_data(flow, {"Location": "truncate"})
    owner.pause(flow)
    yield "paused", flow
    owner.resume(flow)
    owner.work()
    yield "field_mapping", flow
    mapped(owner, flow)
    yield "asset_preview", flow
    made(owner, flow)
    yield "completed", flow
    again = made(owner, mapped(owner, begun(owner, write(folder / "b.csv", [rows[1] | {"RAM": "64 GB"}]))))
    yield "conflict_resolution", again
    owner.resolve_all(again, "keep_existing")
    owner.work()
    gone = owner.create(file).flow_id
    file.unlink()
    owner.work()
    yield "failed", gone


def test_nothing_of_another_tenant_is_found_shown_or_changed_in_any_state(engine: Engine, tmp_path: Path) -> None:
    owner = Discovery(engine, OWNER)
    states = []
    for state, flow in stages(owner, tmp_path):
        states.append(state)
        assert state in (waits_for(owner, flow), owner.status(flow)["status"])
        before, ids = rows_of(engine, OWNER), ids_of(engine, flow)
        for found in (Discovery(engine, other) for other in OTHERS):
            for ask in REFUSED.values():
                with pytest.raises(FlowNotFound) as refused:
                    ask(found, ids)
                assert refused.value.status == 404
            for name, look in EMPTY.items():
                assert not look(found, tmp_path), name
            for give in WITH_A_FLOW.values():
                with suppress(PhasegateError):
                    give(found, owner.flow(flow))
            OF_ONES_OWN["audited"](found, ids, tmp_path)
            assert OF_ONES_OWN["audit"](found, ids, tmp_path) == []
            assert found.audit() != []  # it is written down that somebody tried
        assert rows_of(engine, OWNER) == before, state
    assert states == [
        "initialized", "data_validation", "paused", "field_mapping", "asset_preview", "completed", "conflict_resolution",
        "failed",
    ]  # fmt: skip
    # Every table had something that could have been met.
    assert [name for name, rows in rows_of(engine, OWNER).items() if not rows] == []


def test_not_even_that_something_exists_is_told(engine: Engine, tmp_path: Path) -> None:
    owner = Discovery(engine, OWNER)
    flow = made(owner, mapped(owner, begun(owner, write(tmp_path / "a.csv", hosts(2)))))
    ids = ids_of(engine, flow)
    for found in (Discovery(engine, other) for other in OTHERS):
        for name, ask in REFUSED.items():
            with pytest.raises(FlowNotFound) as theirs:
                ask(found, ids)
            with pytest.raises(FlowNotFound) as nobodys:
                ask(found, Ids(UNKNOWN))
            said = str(theirs.value).replace(ids.flow, UNKNOWN).replace(ids.asset, UNKNOWN)
            assert (said, theirs.value.hint) == (str(nobodys.value), nobodys.value.hint), name


def test_flows_of_ones_own_change_nothing_of_another_tenants(engine: Engine, tmp_path: Path) -> None:
    owner = Discovery(engine, OWNER)
    flow = mapped(owner, begun(owner, write(tmp_path / "a.csv", hosts(3))))
    before, ids = rows_of(engine, OWNER), ids_of(engine, flow)
    for found in (Discovery(engine, other) for other in OTHERS):
        for act in OF_ONES_OWN.values():
            act(found, ids, tmp_path)
        made(found, mapped(found, begun(found, write(tmp_path / "b.csv", hosts(2)))))
        assert names(found) == ["web-000", "web-001"]
    assert rows_of(engine, OWNER) == before


@pytest.mark.parametrize("other", OTHERS, ids=["another client", "another engagement"])
def test_ids_of_another_tenant_do_not_fit_into_a_flow_of_ones_own(
    engine: Engine, tmp_path: Path, other: Tenant
) -> None:
    owner, found = Discovery(engine, OWNER), Discovery(engine, other)
    file = write(tmp_path / "a.csv", [host(1), host(1)])  # a conflict in itself
    theirs, own = begun(owner, file), begun(found, file)
    ids = ids_of(engine, theirs)
    for act in (found.approve, found.reject):
        with pytest.raises(FlowNotFound):
            act(own, [ids.mapping])
    with pytest.raises(FlowNotFound):
        found.edit(own, ids.mapping, "description")
    for each, flow in ((owner, theirs), (found, own)):
        mapped(each, flow)
    for approved, edits in (([ids.record], {}), ("all", {ids.record: {"name": "x"}})):
        with pytest.raises(ValidationFailed, match="no asset of this preview"):
            found.approve_assets(own, approved, edits=edits)
    for each, flow in ((owner, theirs), (found, own)):
        made(each, flow)
    ids, (first,) = ids_of(engine, theirs), found.conflicts(own)
    before = rows_of(engine, OWNER)
    assert UNKNOWN not in (ids.mapping, ids.record, ids.conflict, ids.asset)
    told = found.resolve(own, [Resolution(ids.conflict, "keep_existing")])
    assert (told["resolved_count"], told["errors"][0]["error"]) == (0, "there is no such conflict in this flow")
    both = {"name": "beside", "dependency_type": "replica", "parent_asset_id": ids.asset}
    told = found.resolve(own, [Resolution(first["id"], "create_both_with_dependency", {}, both)])
    assert (told["resolved_count"], told["errors"][0]["error"]) == (0, f"there is no asset {ids.asset}")
    assert rows_of(engine, OWNER) == before


def test_the_same_file_gives_each_tenant_assets_of_its_own(engine: Engine, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", hosts(2))
    tenants = [Discovery(engine, each) for each in (OWNER, *OTHERS)]
    flows = [begun(each, file) for each in tenants]  # none is in the way of another
    for each, flow in zip(tenants, flows, strict=True):
        made(each, mapped(each, flow))
        assert (each.status(flow)["status"], each.conflicts(flow)) == ("completed", [])
        assert [row["flow_id"] for row in each.flows()] == [flow]
        assert names(each) == ["web-000", "web-001"]
    assert len({asset["id"] for each in tenants for asset in each.assets()}) == 6
    tenants[0].delete(flows[0])
    assert [len(each.flows()) for each in tenants] == [0, 1, 1]


def test_what_one_tenant_teaches_the_others_do_not_know(engine: Engine, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", [{"Name": "a", "Kiste": "b"}])
    owner = Discovery(engine, OWNER)
    flow = begun(owner, file)
    owner.edit(flow, "Kiste", "rack_location")
    owner.approve(flow)
    owner.cancel(flow)
    guessed = []
    for found in (Discovery(engine, each) for each in (OWNER, *OTHERS)):
        targets = {each["source_field"]: each["target_field"] for each in found.mappings(begun(found, file))}
        guessed.append(targets["Kiste"] == "rack_location")
    assert guessed == [True, False, False]


# --- names of tenants -------------------------------------------------------------------------------------------------

#: Characters of which hardly any is like another, so that no database can store them in less space.
_LONG = "".join(chr(0x1F300 + number * 37 % 701) for number in range(200))
#: Pairs that would be one if names were put together or compared carelessly.
ALIKE: list[tuple[tuple[str, str], tuple[str, str]]] = [
    (("a/b", "c"), ("a", "b/c")),
    (("a%2Fb", "c"), ("a", "b%2Fc")),
    (("a'b", "c"), ('a"b', "c")),
    (("' OR '1'='1", "x"), ("x", "' OR '1'='1")),
    (("a; DROP TABLE assets; --", "c"), ("a", "c")),
    (("Acme", "c"), ("acme", "c")),
    (("a b", "c"), ("a  b", "c")),
    (("a_b", "c"), ("a%b", "c")),
    (("M\u00fcller & S\u00f6hne", "\u65e5\u672c"), ("Mu\u0308ller & So\u0308hne", "\u65e5\u672c")),
    ((_LONG, _LONG[::-1]), (_LONG[::-1], _LONG)),
]


def test_odd_names_keep_tenants_apart(engine: Engine, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", hosts(1))
    tenants = [Discovery(engine, Tenant(client, name, "ann")) for pair in ALIKE for client, name in pair]
    assert len({each.tenant.name for each in tenants}) == len(tenants)
    flows = [each.create(file).flow_id for each in tenants]
    tenants[0].work()
    for found, own in zip(tenants, flows, strict=True):
        assert [each["flow_id"] for each in found.flows()] == [own]
        assert {each["operation"] for each in found.audit()} == {"create"}
        assert waits_for(found, own) == "field_mapping"
        for flow in flows:
            if flow != own:
                with pytest.raises(FlowNotFound):
                    found.flow(flow)


@pytest.mark.parametrize("pair", [ALIKE[0], ALIKE[-1]], ids=["slashes", "long"])
def test_odd_names_have_assets_of_their_own(engine: Engine, tmp_path: Path, pair: Any) -> None:
    for client, engagement in pair:
        found = Discovery(engine, Tenant(client, engagement, "ann"))
        made(found, mapped(found, begun(found, write(tmp_path / "a.csv", hosts(1)))))
        assert (names(found), found.flows()[0]["status"]) == (["web-000"], "completed")


@pytest.mark.parametrize(
    ("client", "engagement", "missing"),
    [
        ("", "q4", "client_account_id"),
        ("acme", "", "engagement_id"),
        ("  ", "q4", "client_account_id"),
        (None, "q4", "client_account_id"),
        ("acme", None, "engagement_id"),
        ("None", "q4", "client_account_id"),
        ("acme", "x" * 201, "engagement_id"),
        ("a\nb", "q4", "client_account_id"),
        ("a\x00b", "q4", "client_account_id"),
        ("acme", "\x1b[31m", "engagement_id"),
        ("acme", "\ud800", "engagement_id"),
        ("acme", "\u202eq4", "engagement_id"),
    ],
)
def test_without_a_tenant_nothing_is_anybodys(client: Any, engagement: Any, missing: str) -> None:
    with pytest.raises(InputError, match=missing):
        Tenant(client, engagement)
