"""Phases executed in a program's own transaction, which the program commits or undoes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from phasegate import Engine
from phasegate.apps.discovery import (
    AssetInventoryExecutor,
    DataCleansingExecutor,
    Discovery,
    PhaseExecutor,
    Tenant,
    UnifiedDiscoveryFlowState,
    open_engine,
)
from phasegate.apps.discovery.results import PhaseOutcome, outcome_of
from phasegate.apps.discovery.tables import (
    asset_conflict_resolutions,
    assets,
    data_imports,
    discovery_flows,
    raw_import_records,
)
from tests import postgres
from tests.apps.discovery.steps import begun, host, hosts, made, mapped, names, write

UNKNOWN = "00000000-0000-4000-8000-000000000001"
POSTGRESQL = pytest.mark.parametrize("address", ["postgresql"], indirect=True)
_numbers = itertools.count()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One database of each kind for all of these tests; each has a tenant of its own."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('executors')}/discovery.db"
    else:
        where = postgres.new_database(lasting=True)
        yield where
        postgres.drop_database(where)


@pytest.fixture(scope="module")
def engine(address: str) -> Iterator[Engine]:
    with open_engine(address) as found:
        yield found


@pytest.fixture
def discovery(engine: Engine) -> Discovery:
    return Discovery(engine, Tenant("northwind", f"engagement {next(_numbers)}", "ann"))


def driver_of(address: str) -> tuple[sa.URL, dict[str, Any]]:
    """What a program gives SQLAlchemy to get at the tables."""
    url = sa.make_url(address)
    if url.get_backend_name() == "sqlite":
        return url, {}
    options = {"connect_args": {"options": "-c search_path=discovery,phasegate"}}
    return url.set(drivername="postgresql+psycopg"), options


@contextmanager
def own_session(address: str) -> Iterator[Session]:
    url, options = driver_of(address)
    database = sa.create_engine(url, **options)
    try:
        with Session(database) as session:
            yield session
    finally:
        database.dispose()


def in_async_session(address: str, work: Callable[[AsyncSession], Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        url, options = driver_of(address)
        database = create_async_engine(url, **options)
        try:
            async with AsyncSession(database) as session:
                return await work(session)
        finally:
            await database.dispose()

    return asyncio.run(whole())


def context_of(discovery: Discovery, flow: str, session: Any, **more: Any) -> dict[str, Any]:
    """What a program knows of a flow, its ids as it has them: UUIDs."""
    return {
        "flow_id": UUID(flow), "master_flow_id": UUID(flow), "data_import_id": UUID(discovery.flow(flow).import_id),
        "client_account_id": discovery.tenant.client_account_id, "engagement_id": discovery.tenant.engagement_id,
        "user_id": "ann", "db_session": session, **more,
    }  # fmt: skip


def execute(executor: PhaseExecutor, flow_context: dict[str, Any]) -> dict[str, Any]:
    return asyncio.run(executor.execute_phase(flow_context))


def inventory() -> AssetInventoryExecutor:
    return AssetInventoryExecutor(UnifiedDiscoveryFlowState(), crew_manager=None, flow_bridge=None)


def cleansed(discovery: Discovery, folder: Path, rows: list[dict[str, str]] | None = None) -> str:
    """A flow whose rows are cleansed, and of which nobody has approved any asset yet."""
    return mapped(discovery, begun(discovery, write(folder / "a.csv", rows or hosts(3))))


def raw(discovery: Discovery, folder: Path, rows: list[dict[str, str]] | None = None) -> str:
    """A flow whose mapping is approved, and whose rows nobody has cleansed yet."""
    flow = begun(discovery, write(folder / "a.csv", rows or hosts(3)))
    if not discovery.approve(flow)["complete"]:
        discovery.keep_the_rest(flow)
    return flow


def completed(flow: str) -> sa.Update:
    """What a program writes down itself when a phase is complete."""
    return (
        sa.update(discovery_flows)
        .where(discovery_flows.c.master_flow_id == flow)
        .values(asset_inventory_completed=True)
    )


def is_complete(discovery: Discovery, flow: str) -> bool:
    query = sa.select(discovery_flows.c.asset_inventory_completed).where(discovery_flows.c.flow_id == flow)
    return bool(discovery.engine.read(query)[0]["asset_inventory_completed"])


def count(discovery: Discovery, table: sa.Table, *where: Any) -> int:
    mine = table.c.engagement_id == discovery.tenant.engagement_id
    return int(
        discovery.engine.read(sa.select(sa.func.count().label("n")).select_from(table).where(mine, *where))[0]["n"]
    )


# --- the way programs do it -------------------------------------------------------------------------------------------


class Service:
    """A program's phase: state, executor, its own completion flag, and the commit."""

    def __init__(self, session: AsyncSession, tenant: Tenant) -> None:
        self.session, self.tenant = session, tenant

    async def execute_discovery_phase(self, phase_input: dict[str, Any]) -> dict[str, Any]:
        state = UnifiedDiscoveryFlowState()
        state.flow_id = phase_input.get("flow_id") or phase_input.get("master_flow_id")
        state.client_account_id = self.tenant.client_account_id
        state.engagement_id = self.tenant.engagement_id
        state.current_phase = "asset_inventory"
        executor = PhaseExecutor(state, crew_manager=None, flow_bridge=None)
        data_import_id = phase_input.get("data_import_id")
        flow_context = {
            "flow_id": phase_input.get("flow_id"),
            "master_flow_id": phase_input.get("master_flow_id") or phase_input.get("flow_id"),
            "data_import_id": str(data_import_id) if data_import_id else None,
            "client_account_id": self.tenant.client_account_id,
            "engagement_id": self.tenant.engagement_id,
            "user_id": self.tenant.user_id,
            "db_session": self.session,
        }
        result = await executor.execute_phase(flow_context)
        await self.session.flush()
        if result.get("status") == "success":
            await self.session.execute(completed(str(phase_input["master_flow_id"])))
            await self.session.commit()
        return {"phase": "asset_inventory", "status": "completed", "crew_results": result, "agent": "inventory"}


@POSTGRESQL
def test_a_program_executes_a_phase_and_commits_it_with_what_it_writes_itself(
    discovery: Discovery, address: str, tmp_path: Path
) -> None:
    flow = cleansed(discovery, tmp_path)
    given = {
        "flow_id": UUID(flow), "master_flow_id": UUID(flow), "data_import_id": UUID(discovery.flow(flow).import_id),
    }  # fmt: skip

    async def work(session: AsyncSession) -> dict[str, Any]:
        return await Service(session, discovery.tenant).execute_discovery_phase(given)

    told = in_async_session(address, work)
    assert told["crew_results"]["assets_created"] == 3
    assert outcome_of(told) == (PhaseOutcome.COMPLETED, None)
    assert names(discovery) == ["web-000", "web-001", "web-002"]
    assert is_complete(discovery, flow)


@POSTGRESQL
@pytest.mark.parametrize("missing", [None, "", "None", UNKNOWN], ids=["nothing", "empty", "the word None", "unknown"])
def test_a_program_that_wraps_whatever_it_gets_is_still_told_of_the_failure(
    discovery: Discovery, address: str, tmp_path: Path, missing: Any
) -> None:
    flow = cleansed(discovery, tmp_path)
    given = {"flow_id": UUID(flow), "master_flow_id": UUID(flow), "data_import_id": missing}

    async def work(session: AsyncSession) -> dict[str, Any]:
        return await Service(session, discovery.tenant).execute_discovery_phase(given)

    outcome, error = outcome_of(in_async_session(address, work))
    assert outcome is PhaseOutcome.FAILED
    assert "import" in str(error)
    assert (names(discovery), is_complete(discovery, flow)) == ([], False)


def test_the_same_in_a_plain_session(discovery: Discovery, address: str, tmp_path: Path) -> None:
    flow = cleansed(discovery, tmp_path)
    with own_session(address) as session:
        told = execute(inventory(), context_of(discovery, flow, session))
        assert (told["status"], told["phase"], told["mode"]) == ("success", "asset_inventory", "direct")
        assert (told["assets_created"], told["assets_duplicates"], told["assets_failed"]) == (3, 0, 0)
        assert names(discovery) == []  # nobody else sees anything before the caller commits
        session.execute(completed(flow))
        session.commit()
    assert names(discovery) == ["web-000", "web-001", "web-002"]
    assert is_complete(discovery, flow)
    assert count(discovery, raw_import_records, raw_import_records.c.is_processed) == 3
    assert {each["master_flow_id"] for each in discovery.assets()} == {flow}


def test_a_callers_rollback_leaves_nothing(discovery: Discovery, address: str, tmp_path: Path) -> None:
    flow = cleansed(discovery, tmp_path, [*hosts(3), host(7, Name="web 001")])
    with own_session(address) as session:
        told = execute(inventory(), context_of(discovery, flow, session))
        assert (told["assets_created"], told["conflict_count"]) == (3, 1)
        session.execute(completed(flow))
        session.rollback()
    assert (names(discovery), is_complete(discovery, flow)) == ([], False)
    assert count(discovery, asset_conflict_resolutions) == 0
    assert count(discovery, raw_import_records, raw_import_records.c.asset_id.is_not(None)) == 0


@POSTGRESQL
def test_a_rollback_of_an_async_session_leaves_nothing(discovery: Discovery, address: str, tmp_path: Path) -> None:
    flow = cleansed(discovery, tmp_path)

    async def work(session: AsyncSession) -> Any:
        told = await inventory().execute_asset_creation(context_of(discovery, flow, session))
        await session.rollback()
        return told

    assert in_async_session(address, work)["assets_created"] == 3
    assert names(discovery) == []


def test_it_works_in_a_transaction_that_is_under_way(discovery: Discovery, address: str, tmp_path: Path) -> None:
    flow = cleansed(discovery, tmp_path)
    rename = sa.update(data_imports).where(data_imports.c.id == discovery.flow(flow).import_id)
    with own_session(address) as session, session.begin():
        session.execute(rename.values(import_name="written before"))
        told = execute(inventory(), context_of(discovery, flow, session))
        assert told["status"] == "success"
        assert session.in_transaction()
    assert len(names(discovery)) == 3
    assert count(discovery, data_imports, data_imports.c.import_name == "written before") == 1


# --- making assets ----------------------------------------------------------------------------------------------------


def test_assets_are_made_of_the_rows_that_are_approved_with_their_edits(
    discovery: Discovery, address: str, tmp_path: Path
) -> None:
    flow = cleansed(discovery, tmp_path)
    first, second, _ = (each["id"] for each in discovery.preview(flow))
    with own_session(address) as session:
        chosen = {"approved": [UUID(first), second], "edits": {UUID(second): {"memory_gb": 99}}}
        told = asyncio.run(inventory().execute_asset_creation(context_of(discovery, flow, session, **chosen)))
        session.commit()
    assert (told["status"], told["success"], told["assets_created"]) == ("completed", True, 2)
    assert {each["name"]: each["memory_gb"] for each in discovery.assets()} == {"web-000": 16, "web-001": 99}
    with own_session(address) as session:  # the others afterwards, and none twice
        told = asyncio.run(inventory().execute_asset_creation(context_of(discovery, flow, session)))
        session.commit()
    assert told["assets_created"] == 1
    assert len(names(discovery)) == 3


@pytest.mark.parametrize(
    "approved", [[], None, [UNKNOWN], ["nothing"], "everything"], ids=["none", "nothing", "unknown", "no id", "a word"]
)
def test_what_is_not_approved_is_not_made(discovery: Discovery, address: str, tmp_path: Path, approved: Any) -> None:
    flow = cleansed(discovery, tmp_path)
    with own_session(address) as session:
        given = context_of(discovery, flow, session, approved=approved)
        told = asyncio.run(inventory().execute_asset_creation(given))
        session.commit()
    assert (told["status"], told["success"]) == ("failed", False)
    assert told["error"]
    assert names(discovery) == []


def test_rows_that_meet_assets_are_conflicts_and_the_phase_is_not_complete(
    discovery: Discovery, address: str, tmp_path: Path
) -> None:
    made(discovery, cleansed(discovery, tmp_path, hosts(2)))
    flow = cleansed(discovery, tmp_path, [*hosts(3), host(7, Name="WEB 002")])
    with own_session(address) as session:
        told = asyncio.run(inventory().execute_asset_creation(context_of(discovery, flow, session)))
        session.commit()
    assert (told["status"], told["success"]) == ("paused", False)
    assert (told["assets_created"], told["conflict_count"], told["assets_failed"]) == (1, 3, 0)
    assert outcome_of({"status": "completed", "crew_results": told}) == (PhaseOutcome.PAUSED, None)
    assert names(discovery) == ["web-000", "web-001", "web-002"]
    assert count(discovery, asset_conflict_resolutions) == 3
    assert count(discovery, raw_import_records, raw_import_records.c.is_processed) == 2 + 1


def test_assets_are_made_of_cleansed_rows_and_of_nothing_else(
    discovery: Discovery, address: str, tmp_path: Path
) -> None:
    flow = raw(discovery, tmp_path)
    with own_session(address) as session:
        told = asyncio.run(inventory().execute_asset_creation(context_of(discovery, flow, session)))
        assert (told["status"], told["success"], told["error_code"]) == ("failed", False, "CLEANSING_REQUIRED")
        assert "0 of 3" in told["error"]
        assert count(discovery, assets) == 0
        # One that is cleansed is not enough.
        some = sa.update(raw_import_records).where(raw_import_records.c.row_number == 1)
        session.execute(some.values(cleansed_data='{"data": {"name": "a"}, "custom": {}}'))
        assert "of 3" in execute(inventory(), context_of(discovery, flow, session))["error"]
    assert names(discovery) == []


# --- cleansing and judging --------------------------------------------------------------------------------------------


def test_cleansing_and_inventory_in_one_transaction(discovery: Discovery, address: str, tmp_path: Path) -> None:
    flow = raw(discovery, tmp_path)
    with own_session(address) as session:
        given = context_of(discovery, flow, session)
        told = execute(DataCleansingExecutor(None), given)
        assert (told["status"], told["phase"], told["data"]["cleaned_count"]) == ("success", "data_cleansing", 3)
        assert execute(inventory(), given)["assets_created"] == 3
        assert count(discovery, raw_import_records, raw_import_records.c.cleansed_data.is_not(None)) == 0
        session.commit()
    assert names(discovery) == ["web-000", "web-001", "web-002"]
    assert {each["memory_gb"] for each in discovery.assets()} == {16}


@POSTGRESQL
def test_cleansing_in_an_async_session(discovery: Discovery, address: str, tmp_path: Path) -> None:
    flow = raw(discovery, tmp_path)

    async def work(session: AsyncSession) -> Any:
        async with session.begin():
            return await DataCleansingExecutor(None).execute_phase(context_of(discovery, flow, session))

    assert in_async_session(address, work)["status"] == "success"
    assert count(discovery, raw_import_records, raw_import_records.c.cleansed_data.is_not(None)) == 3


def test_cleansing_asks_what_to_do_with_long_values_and_takes_the_answer(
    discovery: Discovery, address: str, tmp_path: Path
) -> None:
    flow = begun(discovery, write(tmp_path / "a.csv", [host(1) | {"Kiste": "y" * 60}]))
    discovery.edit(flow, "Kiste", "rack_location")  # 50 characters
    assert discovery.approve(flow)["complete"]
    with own_session(address) as session:
        given = context_of(discovery, flow, session)
        told = execute(DataCleansingExecutor(None), given)
        assert (told["status"], told["data"]["fields"]) == ("paused", ["Kiste"])
        decided = {"data_decisions": {"answers": {"decisions": {"Kiste": "truncate"}}}}
        assert execute(DataCleansingExecutor(None), given | {"inputs": decided})["status"] == "success"
        assert execute(inventory(), given)["status"] == "success"
        session.commit()
    assert discovery.assets()[0]["rack_location"] == "y" * 50


def test_cleansing_without_an_approved_mapping_fails(discovery: Discovery, address: str, tmp_path: Path) -> None:
    flow = begun(discovery, write(tmp_path / "a.csv", hosts(2)))
    with own_session(address) as session:
        told = execute(DataCleansingExecutor(None), context_of(discovery, flow, session))
    assert (told["status"], told["error_type"], told["error_code"]) == ("failed", "Fatal", "PHASE_FAILED")
    assert "no mapping is approved" in told["error"]


@pytest.mark.parametrize(("long", "status"), [(False, "success"), (True, "paused")], ids=["fine", "long values"])
def test_the_data_is_judged(discovery: Discovery, address: str, tmp_path: Path, long: bool, status: str) -> None:
    rows = [host(1, Location="x" * 300 if long else "Halle 3"), host(2)]
    flow = begun(discovery, write(tmp_path / "a.csv", rows))
    with own_session(address) as session:
        told = execute(PhaseExecutor(None), context_of(discovery, flow, session, phase="data_validation"))
    assert (told["status"], told["data"]["total_records"]) == (status, 2)
    assert bool(told["data"]["critical_issues"]) == long


# --- what is missing, wrong or somebody else's ------------------------------------------------------------------------


@pytest.mark.parametrize("executor", [AssetInventoryExecutor, DataCleansingExecutor])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data_import_id": None}, "None is no import id"),
        ({"data_import_id": ""}, "'' is no import id"),
        ({"data_import_id": "None"}, "'None' is no import id"),
        ({"data_import_id": 17}, "17 is no import id"),
        ({"data_import_id": UUID(UNKNOWN)}, "there is no import"),
        ({"flow_id": None, "master_flow_id": None}, "None is no flow id"),
        ({"flow_id": "None"}, "'None' is no flow id"),
        ({"flow_id": UNKNOWN}, "is not that of flow"),
        ({"client_account_id": None}, "there is no client_account_id"),
        ({"engagement_id": "None"}, "there is no engagement_id"),
        ({"client_account_id": "fabrikam"}, "there is no import"),
        ({"engagement_id": "another"}, "there is no import"),
        ({"db_session": None}, "no db_session"),
    ],
    ids=[
        "no import", "empty import", "the word None", "a number", "unknown import", "no flow", "the word None as flow",
        "another flow", "no client", "no engagement", "another client", "another engagement", "no session",
    ],
)  # fmt: skip
def test_nothing_is_guessed(
    discovery: Discovery, address: str, tmp_path: Path, executor: Any, changes: dict[str, Any], said: str
) -> None:
    flow = begun_of(discovery, tmp_path)
    state = UnifiedDiscoveryFlowState()
    with own_session(address) as session:
        told = execute(executor(state, None), context_of(discovery, flow, session) | changes)
        session.commit()
    assert told["status"] == "failed"
    assert said in told["error"]
    assert told["error_code"] in ("INVALID_INPUT", "NOT_FOUND", "DISCOVERY_ERROR")
    assert [each["error"] for each in state.errors] == [told["error"]]
    assert count(discovery, assets) == 0


_begun: dict[int, tuple[Tenant, str]] = {}


def begun_of(discovery: Discovery, folder: Path) -> str:
    """A flow with cleansed rows that tests of refusals share, since none of them may change it."""
    tenant, flow = _begun.get(id(discovery.engine), (discovery.tenant, ""))
    discovery.tenant = tenant
    if not flow:
        flow = cleansed(discovery, folder)
        _begun[id(discovery.engine)] = tenant, flow
    return flow


def test_keys_that_are_not_there_are_as_good_as_nothing(discovery: Discovery, address: str) -> None:
    with own_session(address) as session:
        told = execute(inventory(), {"db_session": session})
    assert (told["status"], told["error"]) == ("failed", "there is no client_account_id")
    assert execute(inventory(), {})["status"] == "failed"


def test_the_flow_may_be_named_as_the_master_flow_alone(discovery: Discovery, address: str, tmp_path: Path) -> None:
    flow = cleansed(discovery, tmp_path)
    with own_session(address) as session:
        given = context_of(discovery, flow, session)
        del given["flow_id"]
        assert execute(inventory(), given)["assets_created"] == 3


@pytest.mark.parametrize("phase", ["asset_inventory", "data_cleansing", "data_validation"])
def test_an_import_that_nobody_has_brought_in_yet_is_told(
    discovery: Discovery, address: str, tmp_path: Path, phase: str
) -> None:
    flow = discovery.create(write(tmp_path / "a.csv", hosts(2))).flow_id
    with own_session(address) as session:
        told = execute(PhaseExecutor(None), context_of(discovery, flow, session, phase=phase))
    assert (told["status"], told["phase"]) == ("failed", phase)
    assert "have not been brought in" in told["error"]


@pytest.mark.parametrize(
    ("phase", "code"),
    [("asset_inventry", "UNKNOWN_PHASE"), ("", "UNKNOWN_PHASE"), ("field_mapping", "UNKNOWN_PHASE"), (7, "UNKNOWN_PHASE")],
    ids=["misspelled", "none", "one that waits for people", "a number"],
)  # fmt: skip
def test_a_phase_that_cannot_be_executed_is_refused(discovery: Discovery, phase: Any, code: str) -> None:
    told = execute(PhaseExecutor(None), {"phase": phase})
    assert (told["status"], told["error_code"]) == ("failed", code)


def test_a_phase_may_be_called_by_its_other_names(discovery: Discovery, address: str, tmp_path: Path) -> None:
    flow = cleansed(discovery, tmp_path)
    for name in ("inventory", "Asset Inventory", "asset_creation"):
        with own_session(address) as session:
            state = UnifiedDiscoveryFlowState(current_phase=name)
            told = execute(PhaseExecutor(state), context_of(discovery, flow, session))
        assert (told["status"], told["phase"]) == ("success", "asset_inventory")
