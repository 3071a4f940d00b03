"""The validators that come with the application, each in a flow whose configuration names it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from phasegate.apps.discovery import DISCOVERY, Discovery, FlowTypeConfig, Tenant, build_registry, open_engine
from phasegate.apps.discovery.configs import PhaseConfig
from phasegate.apps.discovery.validators import BUILT_IN
from phasegate.errors import FlowError
from tests.apps.discovery.steps import begun, host, hosts, made, mapped, waits_for, write

OWN = Tenant("northwind", "q4", "ann")
NAMES = [each.__name__ for each in BUILT_IN]
SQLITE = pytest.mark.parametrize("address", ["sqlite"], indirect=True)


def naming(phase: str, *validators: str, **configuration: Any) -> FlowTypeConfig:
    """The discovery flow with these validators before one phase, behind those that it has."""

    def named(each: PhaseConfig) -> PhaseConfig:
        return replace(each, validators=(*each.validators, *validators)) if each.name == phase else each

    return replace(
        DISCOVERY, phases=tuple(map(named, DISCOVERY.phases)),
        default_configuration={**DISCOVERY.default_configuration, **configuration},
    )  # fmt: skip


@contextmanager
def opened(address: str, config: FlowTypeConfig) -> Iterator[Discovery]:
    with open_engine(address, registry=build_registry(config=config)) as engine:
        yield Discovery(engine, OWN)


def refused(discovery: Discovery, flow: str) -> str:
    """Why a validator kept the flow from going on."""
    status = discovery.status(flow)
    assert status["status"] == "failed", status
    said = str(status["error_message"])
    assert said.startswith("VALIDATION_FAILED: ")
    return said.removeprefix("VALIDATION_FAILED: ")


def test_every_name_that_a_flow_type_may_use_is_there() -> None:
    assert {
        "required_fields", "file_exists", "file_format_valid", "size_limit", "mappings_complete", "applications_exist",
        "file_format_validation", "data_quality_check", "schema_validation", "mapping_completeness", "cleansing_quality",
        "asset_completeness",
    } == set(NAMES)  # fmt: skip
    for name in NAMES:
        build_registry(config=naming("data_cleansing", name))
    with pytest.raises(FlowError, match="did you mean 'file_exists'"):
        build_registry(config=naming("data_import", "file_exist"))


def test_a_flow_that_has_everything_passes_all_of_them(address: str, tmp_path: Path) -> None:
    rows = [host(1), host(2) | {"Name": "shop", "CI Type": "Application"}]
    with opened(address, naming("dependency_analysis", *NAMES)) as discovery:
        flow = begun(discovery, write(tmp_path / "a.csv", rows), analysis=True)
        made(discovery, mapped(discovery, flow))
        assert discovery.status(flow)["status"] == "completed", discovery.status(flow)


def test_records_need_no_file(address: str) -> None:
    with opened(address, naming("data_import", "file_exists", "file_format_valid", "size_limit")) as discovery:
        flow = discovery.create_from_records([host(1)]).flow_id
        discovery.work()
        assert waits_for(discovery, flow) == "field_mapping"


@SQLITE
def test_a_file_that_is_gone_is_noticed_before_anything_is_read(address: str, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", hosts(2))
    with opened(address, naming("data_import", "file_exists")) as discovery:
        flow = discovery.create(file).flow_id
        file.rename(tmp_path / "b.csv")
        file.mkdir()
        discovery.work()
        assert refused(discovery, flow).startswith(f"file_exists: there is no file {file}: put it back")
        file.rmdir()
        (tmp_path / "b.csv").rename(file)
        discovery.retry(flow)
        discovery.work()
        assert waits_for(discovery, flow) == "field_mapping"


@SQLITE
@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "Name,OS\nweb-1,Linux\n", None),
        ("a.TSV", "Name\tOS\nweb-1\tLinux\n", None),
        ("a.csv", "Name\tOS\nweb-1\tLinux\n", None),
        ("a.json", '[{"Name": "web-1"}]', None),
        ("a.csv", '[{"Name": "web-1"}]', None),
        ("a.xml", "Name,OS\nweb-1,Linux\n", "'a.xml' is not called like one of csv, tsv"),
        ("inventory", "Name,OS\nweb-1,Linux\n", "'inventory' is not called like one of"),
    ],
    ids=["csv", "tabs", "tabs in csv", "json", "json in csv", "xml", "no ending"],
)
def test_a_file_is_called_like_a_kind_that_can_be_read(
    address: str, tmp_path: Path, name: str, content: str, said: str | None
) -> None:
    (tmp_path / name).write_text(content)
    with opened(address, naming("data_import", "file_format_valid")) as discovery:
        flow = begun(discovery, tmp_path / name)
        if said is None:
            assert waits_for(discovery, flow) == "field_mapping"
        else:
            assert said in refused(discovery, flow)


@SQLITE
@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (1, None),
        (0.0001, "size_limit: the file has 0.0 MB, and 0.0001 MB are allowed: split it"),
        (0, "size_limit_mb is 0; it must be a number above 0"),
        ("many", "size_limit_mb is 'many'"),
        (True, "size_limit_mb is True"),
        (None, "size_limit_mb is None"),
    ],
    ids=str,
)
def test_a_file_has_the_size_that_the_flow_type_allows(
    address: str, tmp_path: Path, limit: Any, said: str | None
) -> None:
    with opened(address, naming("data_import", "size_limit", size_limit_mb=limit)) as discovery:
        flow = begun(discovery, write(tmp_path / "a.csv", hosts(3)))
        if said is None:
            assert waits_for(discovery, flow) == "field_mapping"
        else:
            assert said in refused(discovery, flow)


def test_mappings_are_complete_when_people_have_decided_on_every_column(address: str, tmp_path: Path) -> None:
    with opened(address, naming("data_validation", "mappings_complete")) as discovery:
        flow = begun(discovery, write(tmp_path / "a.csv", [{"Name": "a", "OS": "Linux"}]))
        assert refused(discovery, flow) == (
            "mappings_complete: 'Name' has no mapping; mappings_complete: 'OS' has no mapping"
        )
    with opened(address, naming("data_cleansing", "mappings_complete")) as discovery:
        discovery.delete(flow)
        flow = begun(discovery, write(tmp_path / "a.csv", [{"Name": "a", "OS": "Linux"}]))
        check = next(each for each in BUILT_IN if each.__name__ == "mappings_complete")
        place = {**OWN.where, "import_id": discovery.flow(flow).import_id}
        state = {"read": discovery.engine.read, "where": place}
        assert check({}, state, {}).errors == tuple(f"{c!r} is neither approved nor rejected" for c in ("Name", "OS"))
        discovery.reject(flow, ["OS"])
        assert check({}, state, {}).errors == ("'Name' is neither approved nor rejected",)
        mapped(discovery, flow)
        assert waits_for(discovery, flow) == "asset_preview"
        elsewhere = {**state, "where": {**place, "client": "fabrikam"}}
        assert check({}, elsewhere, {}).errors == ("there is no such import",)
        discovery.engine.write([("UPDATE import_field_mappings SET status = 'rejected'", {})])
        assert check({}, state, {}).errors == ("no mapping is approved",)


def test_applications_are_those_of_the_tenants_whole_inventory(address: str, tmp_path: Path) -> None:
    with opened(address, naming("dependency_analysis", "applications_exist")) as discovery:
        other = Discovery(discovery.engine, Tenant("fabrikam", "q4", "eve"))
        shop = write(tmp_path / "shop.csv", [host(9) | {"Name": "shop", "CI Type": "Application"}])
        made(other, mapped(other, begun(other, shop)))
        flow = begun(discovery, write(tmp_path / "a.csv", hosts(1)), analysis=True)
        made(discovery, mapped(discovery, flow))
        assert "applications_exist: the inventory has no application" in refused(discovery, flow)
        made(discovery, mapped(discovery, begun(discovery, shop)))
        discovery.retry(flow)
        discovery.work()
        assert discovery.status(flow)["status"] == "completed"


@SQLITE
@pytest.mark.parametrize("name", sorted({*NAMES} - {"required_fields"}))
def test_none_of_them_sees_what_another_tenant_has(address: str, tmp_path: Path, name: str) -> None:
    """With somebody else's import, and an empty inventory of one's own, each refuses or crashes, which is a refusal, too."""
    with opened(address, DISCOVERY) as discovery:
        rows = [host(1), host(2) | {"Name": "shop", "CI Type": "Application"}]
        flow = made(discovery, mapped(discovery, begun(discovery, write(tmp_path / "a.csv", rows))))
        where = {**Tenant("fabrikam", "q4").where, "import_id": discovery.flow(flow).import_id}
        state = {"read": discovery.engine.read, "where": where, "configuration": {}}
        check = next(each for each in BUILT_IN if each.__name__ == name)
        given = {"flow_id": flow, "data_import_id": where["import_id"], "client_account_id": "x", "engagement_id": "y"}
        try:
            valid = check(given, state, {}).valid
        except ValueError:
            valid = False
        assert not valid
