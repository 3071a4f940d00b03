"""Assets come into being and change in a caller's own transaction: no doubles, and what cannot be stored costs only its row."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from phasegate.apps.discovery import AssetService, Tenant, open_engine
from phasegate.apps.discovery.asset_service import Index, Made, Result, key_of, merged
from phasegate.apps.discovery.errors import DiscoveryError
from phasegate.apps.discovery.schema import CUSTOM, MERGEABLE
from phasegate.apps.discovery.tables import assets, metadata
from tests import postgres
from tests.waiting import wait_for

NOW = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
OWN = Tenant("northwind", "q4", "ann")
FOREIGN = pytest.mark.parametrize(
    "other", [Tenant("fabrikam", "q4"), Tenant("northwind", "q5")], ids=["another client", "another engagement"]
)


@contextmanager
def database_of(address: str) -> Iterator[sa.Engine]:
    """A program's own way to the database, with nothing set up that the program would not set up itself."""
    url, options = sa.make_url(address), {}
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
        options["connect_args"] = {"options": "-c search_path=discovery,phasegate"}
    found = sa.create_engine(url, **options)
    try:
        yield found
    finally:
        found.dispose()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One database of each kind for all of these tests: they leave it empty."""
    if request.param == "sqlite":
        where = f"sqlite:///{tmp_path_factory.mktemp('assets')}/discovery.db"
        open_engine(where).close()
        yield where
    else:
        where = postgres.new_database(lasting=True)
        open_engine(where).close()
        yield where
        postgres.drop_database(where)


@pytest.fixture
def database(address: str) -> Iterator[sa.Engine]:
    with database_of(address) as found:
        yield found
        with found.begin() as connection:
            connection.execute(sa.delete(assets))


@pytest.fixture
def session(database: sa.Engine) -> Iterator[Session]:
    with Session(database) as found:
        yield found


def service(session: Session, tenant: Tenant = OWN, now: datetime = NOW) -> AssetService:
    return AssetService(session, tenant, now=now)


def host(name: str, **values: Any) -> dict[str, Any]:
    return {"name": name, "asset_type": "server", **values}


def stored(session: Session, tenant: Tenant = OWN) -> dict[str, dict[str, Any]]:
    """The live assets of a tenant by their names."""
    where = (assets.c.client_account_id == tenant.client_account_id, assets.c.engagement_id == tenant.engagement_id)
    rows = session.execute(sa.select(assets).where(*where, assets.c.deleted_at.is_(None))).mappings()
    return {row["name"]: dict(row) for row in rows}


def seen_by_others(database: sa.Engine) -> int:
    """How many assets are committed."""
    with database.connect() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(assets)).scalar_one()


def id_of(result: Result) -> str:
    assert result.asset is not None, result
    return str(result.asset["id"])


def outcomes(results: list[Result]) -> list[str]:
    return [each.outcome.value for each in results]


# --- one asset --------------------------------------------------------------------------------------------------------


def test_an_asset_is_created_once_and_then_stays_as_it_is(session: Session) -> None:
    made = service(session).create_or_update(host("web-1", memory_gb=16.0, custom_attributes={"Kiste": 7}))
    assert (made.outcome, made.matches, made.error) == (Made.CREATED, (), "")
    again = service(session, now=LATER).create_or_update(host("WEB 1", memory_gb=64.0))
    assert (again.outcome, id_of(again)) == (Made.EXISTED, id_of(made))
    row = stored(session)["web-1"]
    assert (row["memory_gb"], row["created_at"], row["updated_at"]) == (16.0, NOW, NOW)
    assert (row["client_account_id"], row["engagement_id"], row["created_by"]) == ("northwind", "q4", "ann")
    assert again.asset is not None
    assert again.asset[CUSTOM] == {"Kiste": 7}


@pytest.mark.parametrize(
    ("kind", "there", "data"),
    [
        ("name", {"name": "Web_1"}, {"name": "web-1"}),
        ("hostname", {"hostname": "Web-1.Example.com"}, {"hostname": "web-1.example.COM"}),
        ("fqdn", {"fqdn": "web-1.example.com"}, {"fqdn": "WEB-1.example.com"}),
        ("fqdn", {"fqdn": "web-1.example.com"}, {"hostname": "web-1.example.com"}),
        ("hostname", {"hostname": "web-1.example.com"}, {"fqdn": "web-1.example.com"}),
        ("hostname", {"hostname": "K\u00d6LN.example.com"}, {"hostname": "k\u00f6ln.example.com"}),
        ("ip_address", {"ip_address": "192.0.2.7"}, {"ip_address": "192.0.2.7"}),
        ("external_id", {"external_id": "CI-7"}, {"external_id": "CI-7"}),
    ],
    ids=["name", "host name", "fqdn", "fqdn by host name", "host name by fqdn", "not ascii", "address", "external id"],
)
def test_an_asset_is_known_by_a_field_of_its_own_and_the_field_is_told(
    session: Session, kind: str, there: dict[str, str], data: dict[str, str]
) -> None:
    made = service(session).create_or_update(host("one") | there)
    found = service(session).create_or_update(host("other") | data)
    assert (found.outcome, id_of(found)) == (Made.EXISTED, id_of(made))
    assert [(each.kind, each.asset["id"]) for each in found.matches] == [(kind, id_of(made))]


def test_the_surest_match_comes_first(session: Session) -> None:
    known = {"name": "alpha", "hostname": "alpha.example.com", "ip_address": "192.0.2.7", "external_id": "CI-7"}
    service(session).create_or_update(host("x") | known)
    while known:
        found = service(session).create_or_update(host("other") | known)
        assert [each.kind for each in found.matches] == [next(iter(known))]
        del known[next(iter(known))]


def test_equality_counts_and_never_containment(session: Session) -> None:
    names = ["database", "db-prod", "mydb", "d", "feedback", "db2"]
    assert set(outcomes(service(session).create_many([host(name) for name in names]))) == {"created"}
    made = service(session).create_or_update(host("db", hostname="db"))
    assert made.outcome is Made.CREATED
    assert service(session).create_or_update(host("new", hostname="db.example.com")).outcome is Made.CREATED
    assert id_of(service(session).create_or_update(host("DB"))) == id_of(made)
    # What stands for anything in a pattern stands for itself.
    assert set(outcomes(service(session).create_many([host("%"), host("_"), host("*")]))) == {"created"}


def test_what_the_service_keeps_itself_cannot_be_given_with_the_values(session: Session) -> None:
    mine = ("normalised_name", "master_flow_id", "created_by", "created_at", "updated_at", "deleted_at", "deleted_by")
    given = service(session, now=LATER).create_or_update({**dict.fromkeys(mine, "x"), **host("alpha")})
    assert given.outcome is Made.CREATED
    expected = ("alpha", None, "ann", LATER, LATER, None, None)
    assert tuple(stored(session)["alpha"][name] for name in mine) == expected


def test_the_environment_or_the_type_makes_no_two_assets_one(session: Session) -> None:
    service(session).create_or_update(host("web-1", environment="Production", location="Halle 3"))
    other = service(session).create_or_update(host("web-2", environment="Production", location="Halle 3"))
    assert other.outcome is Made.CREATED
    same = service(session).create_or_update({"name": "web-1", "asset_type": "database"})
    assert same.outcome is Made.EXISTED  # the name alone is what the database keeps unique


def test_several_that_it_could_be_are_a_conflict_with_all_of_them(session: Session) -> None:
    first = id_of(service(session).create_or_update(host("alpha", ip_address="192.0.2.1")))
    second = id_of(service(session, now=LATER).create_or_update(host("beta", hostname="beta.example.com")))
    data = host("alpha", hostname="beta.example.com", ip_address="192.0.2.1", memory_gb=64.0)
    found = service(session).create_or_update(data, upsert=True, merge_strategy="overwrite")
    assert (found.outcome, found.asset) == (Made.CONFLICT, None)
    assert [(each.kind, each.asset["id"]) for each in found.matches] == [("name", first), ("hostname", second)]
    assert [row["memory_gb"] for row in stored(session).values()] == [None, None]


def test_two_assets_at_one_address_are_both_told_the_older_first(session: Session) -> None:
    young = service(session, now=LATER).create_or_update(host("beta", ip_address="192.0.2.1"))
    old = service(session).create_beside(host("alpha", ip_address="192.0.2.1"))
    found = service(session).create_or_update(host("gamma", ip_address="192.0.2.1"), upsert=True)
    assert found.outcome is Made.CONFLICT
    assert [each.asset["id"] for each in found.matches] == [id_of(old), id_of(young)]


def test_an_asset_beside_another_needs_a_name_of_its_own(session: Session) -> None:
    made = service(session).create_or_update(host("alpha", hostname="alpha.example.com"))
    assert service(session).create_beside(host("beta", hostname="alpha.example.com")).outcome is Made.CREATED
    refused = service(session).create_beside(host("ALPHA", hostname="gamma.example.com"))
    assert (refused.outcome, refused.matches[0].asset["id"]) == (Made.CONFLICT, id_of(made))


def test_a_deleted_asset_is_not_found_and_its_name_is_free(session: Session) -> None:
    known = host(
        "alpha", hostname="alpha.example.com", ip_address="192.0.2.1", external_id="CI-1", fqdn="a.example.com"
    )
    gone = service(session).create_or_update(known)
    session.execute(sa.update(assets).where(assets.c.id == id_of(gone)).values(deleted_at=NOW))
    made = service(session).create_or_update(known, upsert=True)
    assert made.outcome is Made.CREATED
    assert id_of(made) != id_of(gone)
    assert outcomes(service(session).create_many([known])) == ["conflict"]


@FOREIGN
def test_what_another_tenant_has_is_neither_found_nor_changed(session: Session, other: Tenant) -> None:
    known = host("alpha", hostname="alpha.example.com", ip_address="192.0.2.1", external_id="CI-1")
    theirs = service(session, other).create_or_update(known)
    made = service(session).create_or_update(known | {"memory_gb": 64.0}, upsert=True, merge_strategy="overwrite")
    assert made.outcome is Made.CREATED
    assert theirs.asset is not None
    changed = service(session).update(theirs.asset, {"memory_gb": 1.0}, "overwrite")
    assert (changed.outcome, changed.asset) == (Made.FAILED, None)
    assert stored(session, other)["alpha"]["memory_gb"] is None
    # Whose it is says the service, not the row.
    foreign = service(session).create_or_update({**host("beta"), **other.columns})
    assert foreign.outcome is Made.CREATED
    assert sorted(stored(session)) == ["alpha", "beta"]


# --- changes ----------------------------------------------------------------------------------------------------------

_BEFORE = host("alpha", hostname="alpha.example.com", memory_gb=16.0, location="Halle 3", serial_number="S1")
_AFTER = host("ALPHA", memory_gb=64.0, location="", os_version="22.04", serial_number="S2", hostname="x.example.com")


@pytest.mark.parametrize(("strategy", "memory"), [("enrich", 16.0), ("overwrite", 64.0)])
def test_an_upsert_changes_what_imports_may_change(session: Session, strategy: str, memory: float) -> None:
    made = service(session).create_or_update(_BEFORE)
    changed = service(session, now=LATER).create_or_update(_AFTER, upsert=True, merge_strategy=strategy)
    assert (changed.outcome, id_of(changed)) == (Made.UPDATED, id_of(made))
    row = stored(session)["alpha"]
    assert (row["memory_gb"], row["location"], row["os_version"]) == (memory, "Halle 3", "22.04")
    assert (row["hostname"], row["serial_number"]) == ("alpha.example.com", "S1")
    assert (row["created_at"], row["updated_at"]) == (NOW, LATER)
    again = service(session).create_or_update(_AFTER, upsert=True, merge_strategy=strategy)
    assert (again.outcome, again.asset) == (Made.EXISTED, changed.asset)


def test_nothing_else_is_ever_changed(session: Session) -> None:
    made = service(session).create_or_update(host("alpha"))
    before = stored(session)["alpha"]
    fixed = {name: "x" for name, column in assets.columns.items() if name not in MERGEABLE}
    assert {"id", "name", "hostname", "client_account_id", "master_flow_id", "created_by", "deleted_at"} <= set(fixed)
    assert made.asset is not None
    for strategy in ("enrich", "overwrite"):
        assert service(session, now=LATER).update(made.asset, fixed, strategy).outcome is Made.EXISTED
    assert stored(session) == {"alpha": before}


@pytest.mark.parametrize(("strategy", "shared"), [("enrich", "old"), ("overwrite", "new")])
def test_attributes_of_ones_own_are_merged_by_their_names(session: Session, strategy: str, shared: str) -> None:
    service(session).create_or_update(host("alpha", custom_attributes={"a": 1, "both": "old"}))
    data = host("alpha", custom_attributes={"b": [2], "both": "new"})
    service(session).create_or_update(data, upsert=True, merge_strategy=strategy)
    found = service(session).create_or_update(host("alpha")).asset
    assert found is not None
    assert found[CUSTOM] == {"a": 1, "b": [2], "both": shared}


def test_a_strategy_that_there_is_not_is_refused_with_the_likely_one(session: Session) -> None:
    service(session).create_or_update(host("alpha"))
    with pytest.raises(DiscoveryError, match="'enriched'") as refused:
        service(session).create_or_update(host("alpha", memory_gb=1.0), upsert=True, merge_strategy="enriched")
    assert "'enrich'" in str(refused.value.hint)


_VALUES = st.none() | st.just("") | st.integers(0, 3) | st.text(max_size=3)
_SOME = (
    "name",
    "hostname",
    "ip_address",
    "memory_gb",
    "os_version",
    "serial_number",
    "id",
    "client_account_id",
    "raw_data",
)
_ROWS = st.dictionaries(st.sampled_from(_SOME), _VALUES)


@settings(max_examples=200)
@given(_ROWS, _ROWS, st.sampled_from(["enrich", "overwrite"]))
def test_a_merge_loses_nothing_and_stays_within_what_is_allowed(
    asset: dict[str, Any], data: dict[str, Any], strategy: str
) -> None:
    changes = merged(asset, data, strategy)
    assert set(changes) <= MERGEABLE
    assert all(changes[name] == data[name] != asset.get(name) for name in changes)
    assert not {None, ""} & set(changes.values())
    if strategy == "enrich":
        assert all(asset.get(name) is None for name in changes)
    assert merged({**asset, **changes}, data, strategy) == {}


_NAMES = st.text("aAbB-_ 1ßﬁ%", min_size=1, max_size=4)


@settings(max_examples=200)
@given(st.lists(_NAMES, max_size=8), _NAMES)
def test_a_name_meets_those_that_are_equal_and_no_other(names: list[str], name: str) -> None:
    index = Index.of([{"id": str(place), "name": each} for place, each in enumerate(names)])
    met = [each.asset["id"] for each in index.matches({"name": name})]
    assert met == [str(place) for place, each in enumerate(names) if key_of(each) == key_of(name)]


# --- many assets ------------------------------------------------------------------------------------------------------


def test_doubles_inside_of_one_list_are_one_asset_and_conflicts(session: Session) -> None:
    rows = [
        host("web 1", hostname="web-1.example.com", ip_address="192.0.2.1"),
        host("WEB_1"),
        host("web 2", fqdn="WEB-1.example.com"),
        host("web 3", ip_address="192.0.2.1"),
        host("web 4", ip_address="192.0.2.2"),
    ]
    results = service(session).create_many(rows)
    assert outcomes(results) == ["created", "conflict", "conflict", "conflict", "created"]
    assert {each.matches[0].asset["id"] for each in results[1:4]} == {id_of(results[0])}
    assert [each.matches[0].kind for each in results[1:4]] == ["name", "hostname", "ip_address"]
    assert sorted(stored(session)) == ["web 1", "web 4"]


def test_more_than_one_query_can_look_for_are_all_found(session: Session) -> None:
    rows = [host(f"web-{number}", hostname=f"web-{number}.example.com") for number in range(1_100)]
    assert set(outcomes(service(session).create_many(rows))) == {"created"}
    renamed = [row | {"name": f"new-{number}"} for number, row in enumerate(rows)]
    again = service(session).create_many(renamed)
    assert set(outcomes(again)) == {"conflict"}
    assert [each.matches[0].asset["name"] for each in again] == [row["name"] for row in rows]


def test_a_row_that_the_database_refuses_costs_only_itself(session: Session) -> None:
    service(session).create_or_update(host("before"))
    results = service(session).create_many([host("a"), {"name": "b", "asset_type": None}, host("c")])
    assert outcomes(results) == ["created", "failed", "created"]
    assert "b: " in results[1].error
    assert service(session).create_or_update({"name": "d"}).outcome is Made.FAILED
    session.commit()
    assert sorted(stored(session)) == ["a", "before", "c"]


def test_what_meets_a_row_that_was_refused_has_met_nothing(session: Session) -> None:
    rows = [{"name": "a", "hostname": "a.example.com"}, host("A"), host("b", hostname="a.example.com"), host("a")]
    results = service(session).create_many(rows)
    assert outcomes(results) == ["failed", "created", "created", "conflict"]
    assert results[3].matches[0].asset["id"] == id_of(results[1])
    assert sorted(stored(session)) == ["A", "b"]


@pytest.mark.parametrize(
    "values",
    [
        {"name": None}, {"name": "  "}, {"name": 7}, {"memroy_gb": 1.0}, {"pii_flag": "maybe"}, {"memory_gb": "16 GB"},
        {"memory_gb": float("nan")}, {"cpu_cores": 2**63}, {"cpu_cores": 1.5}, {"location": "x" * 101},
        {"location": "a\0b"}, {"hostname": "\ud800"}, {"asset_tags": "a;b"}, {"custom_attributes": "x"},
        {"custom_attributes": {"x": "\ud800"}}, {"raw_data": {"x": 2**70}}, {"ip_address": 7},
    ],
    ids=[
        "no name", "blank name", "number as name", "no field", "no flag", "text as number", "no number", "too large",
        "no whole number", "too long", "zero byte", "half a letter", "no list", "no attributes", "half a letter in JSON",
        "too large for JSON", "number as address",
    ],
)  # fmt: skip
def test_values_that_cannot_be_stored_cost_their_row_on_every_database(
    session: Session, values: dict[str, Any]
) -> None:
    odd = host("odd") | values
    results = service(session).create_many([host("a"), odd, host("b")])
    assert outcomes(results) == ["created", "failed", "created"]
    assert results[1].error
    results[1].error.encode()  # it can be shown and kept
    for one in (service(session).create_or_update(odd), service(session).create_beside(odd)):
        assert (one.outcome, bool(one.error)) == (Made.FAILED, True)
    assert sorted(stored(session)) == ["a", "b"]


def test_a_change_that_cannot_be_stored_leaves_the_asset(session: Session) -> None:
    made = service(session).create_or_update(host("alpha", memory_gb=16.0))
    for odd in ({"location": "x" * 101}, {"custom_attributes": {"x": 2**70}}):
        changed = service(session).create_or_update(
            host("alpha") | {"memory_gb": 1.0} | odd, upsert=True, merge_strategy="overwrite"
        )
        assert changed.outcome is Made.FAILED
        assert "alpha: " in changed.error
    assert made.asset is not None
    assert stored(session)["alpha"]["memory_gb"] == 16.0


def test_a_field_that_there_is_not_is_told_with_the_likely_one(session: Session) -> None:
    assert "'memory_gb'" in service(session).create_or_update(host("a", memroy_gb=1.0)).error


_POOL = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "A", "a b", "a-b", "b"])},
    optional={
        "hostname": st.sampled_from(["a.example.com", "A.example.com", "b.example.com"]),
        "fqdn": st.sampled_from(["a.example.com", "c.example.com"]),
        "ip_address": st.sampled_from(["192.0.2.1", "192.0.2.2"]),
        "asset_type": st.sampled_from(["server", None]),
    },
)


@settings(max_examples=60)
@given(st.lists(_POOL, max_size=8), st.lists(_POOL, max_size=8))
def test_whatever_is_asked_for_in_whatever_order_there_are_no_doubles(
    first: list[dict[str, Any]], second: list[dict[str, Any]]
) -> None:
    database = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool)
    metadata.create_all(database, [assets])
    with Session(database) as session:
        results = [each for rows in (first, second) for each in service(session).create_many(rows)]
        kept = Index.of(stored(session).values())
        for row, result in zip([*first, *second], results, strict=True):
            met = {each.asset["id"] for each in result.matches}
            assert (result.outcome is Made.FAILED) == (row.get("asset_type") is None and not met)
            assert met <= {each.asset["id"] for each in kept.matches(row)}  # conflicts are with what is there
            assert bool(met) == (result.outcome is Made.CONFLICT)
        created = {id_of(each) for each in results if each.outcome is Made.CREATED}
        assert created == {row["id"] for row in stored(session).values()}
        assert "created" not in outcomes(service(session).create_many([*first, *second]))
        for row in stored(session).values():
            assert [each.asset["id"] for each in kept.matches(row)] == [row["id"]]
    database.dispose()


# --- the caller's transaction -----------------------------------------------------------------------------------------


def test_it_never_commits_so_that_a_rollback_leaves_nothing(session: Session, database: sa.Engine) -> None:
    tasks: list[Callable[[AssetService], object]] = [
        lambda found: found.create_or_update(host("alpha")),
        lambda found: found.create_many([host("alpha"), {"name": "beta"}]),
        lambda found: found.create_beside(host("alpha")),
    ]
    for task in tasks:
        task(service(session))
        assert sorted(stored(session)) == ["alpha"]
        assert seen_by_others(database) == 0
        session.rollback()
        assert (stored(session), seen_by_others(database)) == ({}, 0)
        session.rollback()


def test_a_rollback_undoes_a_change(session: Session) -> None:
    service(session).create_or_update(host("alpha", memory_gb=16.0))
    session.commit()
    changed = service(session).create_or_update(host("alpha", memory_gb=1.0), upsert=True, merge_strategy="overwrite")
    assert changed.outcome is Made.UPDATED
    session.rollback()
    assert stored(session)["alpha"]["memory_gb"] == 16.0


def test_it_works_in_a_transaction_that_is_under_way_and_in_a_savepoint(database: sa.Engine, session: Session) -> None:
    with Session(database) as caller, caller.begin():
        service(caller).create_or_update(host("alpha"))
        undone = caller.begin_nested()
        service(caller).create_many([host("beta"), {"name": "refused"}])
        undone.rollback()
        with caller.begin_nested():
            service(caller).create_or_update(host("gamma"))
        assert caller.in_transaction()
    assert sorted(stored(session)) == ["alpha", "gamma"]


def test_what_the_caller_wrote_before_a_row_was_refused_stays(session: Session) -> None:
    made = service(session).create_or_update(host("alpha"))
    session.execute(sa.update(assets).where(assets.c.id == id_of(made)).values(location="Halle 9"))
    assert service(session).create_or_update({"name": "beta"}).outcome is Made.FAILED
    session.commit()
    assert stored(session)["alpha"]["location"] == "Halle 9"


@pytest.mark.parametrize("address", ["postgresql"], indirect=True)
def test_an_asset_that_somebody_else_makes_at_the_same_moment_is_a_conflict(
    database: sa.Engine, session: Session
) -> None:
    made = service(session).create_or_update(host("alpha"))
    results: list[Result] = []

    def meanwhile() -> None:
        with Session(database) as other, other.begin():
            results.extend(service(other).create_many([host("ALPHA"), host("a l p h a"), host("alpha")]))

    thread = threading.Thread(target=meanwhile)
    thread.start()
    waiting = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'")
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as watching:
        wait_for(lambda: watching.execute(waiting).scalar(), "the other one to wait for this one")
    session.commit()
    thread.join()
    assert outcomes(results) == ["conflict", "created", "conflict"]
    assert {results[0].matches[0].asset["id"], results[2].matches[0].asset["id"]} == {id_of(made)}
    assert sorted(stored(session)) == ["a l p h a", "alpha"]
