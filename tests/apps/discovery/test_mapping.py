"""Which field each column of an inventory means."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.discovery.rules.headings import BY_VALUES, CLEAR, LOOSE
from phasegate.apps.discovery.rules.mapping import (
    BANDS,
    CERTAIN,
    KEPT,
    LEARNED,
    Learned,
    Suggestion,
    band,
    heading_unit,
    needs_clarification,
    suggest,
)
from phasegate.apps.discovery.schema import CUSTOM, FIELDS, IDENTIFIERS, UNMAPPED
from tests.apps.discovery.quality_headings import accuracy, judged_headings, report


def suggestion(heading: str, *samples: str, learned: Sequence[Learned] = ()) -> Suggestion:
    return suggest([heading], {heading: samples}, learned)[0]


def target(heading: str, *samples: str) -> str:
    return suggestion(heading, *samples).target_field


def targets(*headings: str) -> list[str]:
    return [each.target_field for each in suggest(headings)]


class TestHeadings:
    @pytest.mark.parametrize("field", [*FIELDS, CUSTOM])
    def test_the_name_of_a_field_means_the_field_however_it_is_written(self, field: str) -> None:
        spoken = field.replace("_", " ")
        for heading in (field, spoken, spoken.title(), field.upper(), f"  {field.replace('_', '-')} "):
            found = suggestion(heading)
            assert (found.target_field, found.confidence, found.match_type) == (field, 1.0, "direct")

    @pytest.mark.parametrize("field", CLEAR)
    def test_every_clear_variant_is_known(self, field: str) -> None:
        for variant in CLEAR[field]:
            found = suggestion(variant)
            assert (found.target_field, found.confidence) == (field, 0.95), variant
            assert found.match_type == "inferred"

    @pytest.mark.parametrize("field", LOOSE)
    def test_a_loose_variant_is_never_certain_about_what_tells_assets_apart(self, field: str) -> None:
        for variant in LOOSE[field]:
            found = suggestion(variant)
            assert found.target_field != UNMAPPED, variant
            surely_known = variant.replace(" ", "_") in FIELDS or variant in CLEAR["hostname"] + CLEAR["asset_name"]
            assert found.target_field not in IDENTIFIERS or found.confidence < CERTAIN or surely_known

    def test_no_variant_stands_twice(self) -> None:
        for table in (CLEAR, LOOSE, BY_VALUES):
            for field, variants in table.items():
                assert field in FIELDS
                assert len(set(variants)) == len(variants), field
        clear = [variant for variants in CLEAR.values() for variant in variants]
        assert len(set(clear)) == len(clear)

    @pytest.mark.parametrize(
        ("heading", "field"),
        [
            ("ServerName", "hostname"), ("Host Names", "hostname"), ("IP Addr.", "ip_address"),
            ("Serial #", "serial_number"), ("S/N", "serial_number"), ("# of vCPUs", "cpu_cores"),
            ("numCpu", "cpu_cores"), ("Purchase Dt", "purchase_date"), ("Warranty Expires", "warranty_end"),
            ("Env. Name", "environment"), ("u_environment", "environment"), ("ENV_CD", "environment"),
            ("Server IP", "ip_address"), ("VM IP", "ip_address"), ("IP Address 1", "ip_address"),
            ("Dependencies", "depends_on"), ("Owner of the Business", "business_owner"),
            ("OS according to the installed tools", "operating_system"), ("6R", "six_r_strategy"),
            ("6-R Strategy", "six_r_strategy"), ("dnsHostName", "fqdn"), ("Total vCPU count", "cpu_cores"),
        ],
    )  # fmt: skip
    def test_short_forms_plurals_and_words_that_add_nothing_change_nothing(self, heading: str, field: str) -> None:
        assert target(heading) == field

    @pytest.mark.parametrize(
        ("heading", "field"),
        [
            ("Betriebssystem", "operating_system"), ("Anzahl Kerne", "cpu_cores"), ("Gewährleistung", UNMAPPED),
            ("Adresse MAC", "mac_address"), ("Numéro de série", "serial_number"),
            ("Propietario del negocio", "business_owner"),
        ],
    )  # fmt: skip
    def test_some_german_french_and_spanish_is_known(self, heading: str, field: str) -> None:
        assert target(heading) == field

    @pytest.mark.parametrize(
        ("heading", "field"),
        [
            ("Enviroment", "environment"), ("Hostnmae", "hostname"), ("Seral Number", "serial_number"),
            ("Opreating System", "operating_system"), ("Manufcaturer", "manufacturer"),
        ],
    )  # fmt: skip
    def test_a_misspelt_heading_is_understood_and_not_certain(self, heading: str, field: str) -> None:
        found = suggestion(heading)
        assert found.target_field == field
        assert KEPT < found.confidence < CERTAIN
        assert "like" in found.reasoning

    @pytest.mark.parametrize(
        "heading",
        [
            "Backup IP", "Gateway", "Default Gateway", "Gateway IP", "IP of the Gateway", "Manager Name", "Cluster Name",
            "Parent Name", "Old Hostname", "Virtual IP", "Cluster IP", "Switch MAC", "DNS Server", "Backup Server",
            "Primary Server Name", "Contact Name", "Company Name", "User Name", "File Name", "Email Address",
            "Street Address", "Ticket ID", "Contract ID", "Monitor Serial Number", "Serial Port", "MAC Vendor",
            "Target Hostname", "License Server", "Hostname (Backup)",
        ],
    )  # fmt: skip
    def test_what_belongs_to_another_thing_is_not_the_asset_s_own(self, heading: str) -> None:
        assert target(heading) not in IDENTIFIERS

    def test_the_owner_of_a_host_is_an_owner(self) -> None:
        assert target("Hostname Owner") == "technical_owner"

    @pytest.mark.parametrize(
        "heading", ["Contract", "Reason", "Power", "Planet", "Mode", "Contrast", "Sever Rack Door"]
    )
    def test_a_word_that_resembles_a_known_one_is_not_taken_for_it(self, heading: str) -> None:
        assert target(heading) == UNMAPPED

    @pytest.mark.parametrize("heading", ["error", "success", "mappings", "true", "timestamp", "", " ", "???", "null"])
    def test_a_column_that_no_field_is_for_stays_and_is_unmapped(self, heading: str) -> None:
        unknown = Suggestion(heading, UNMAPPED, 0.0, "none", "no field is known for it", (), "empty")
        assert suggest([heading, "status"]) == (unknown, suggestion("status"))
        assert target("status") == "status"


class TestUnits:
    def test_the_field_s_unit_in_a_heading_changes_nothing(self) -> None:
        for heading in ("RAM (GB)", "ram_gb", "Memory in GB", "RAM [GiB]"):
            assert suggestion(heading).target_field == "memory_gb"
            assert suggestion(heading).confidence >= 0.9

    @pytest.mark.parametrize(("heading", "unit"), [("Memory (MB)", "mb"), ("Disk_TB", "tb"), ("Total RAM KiB", "kib")])
    def test_another_unit_of_the_kind_is_said_and_makes_less_certain(self, heading: str, unit: str) -> None:
        found = suggestion(heading)
        assert found.target_field in ("memory_gb", "storage_gb")
        assert found.confidence < CERTAIN
        assert f"in {unit} and must be converted" in found.reasoning
        assert (heading_unit(heading), heading_unit("Environment")) == (unit, None)

    @pytest.mark.parametrize("heading", ["CPU (MHz)", "Storage (%)", "OS (GB)", "Warranty (months)", "Memory (USD)"])
    def test_a_unit_of_another_kind_makes_it_another_thing(self, heading: str) -> None:
        assert target(heading) == UNMAPPED

    def test_percentages_are_the_use_and_not_the_size(self) -> None:
        assert targets("CPU %", "Memory (%)", "CPU", "Memory") == [
            "cpu_utilization_percent", "memory_utilization_percent", "cpu_cores", "memory_gb",
        ]  # fmt: skip

    def test_costs_may_name_their_currency(self) -> None:
        assert targets("Monthly Cost ($)", "Cloud Cost (€)") == ["current_monthly_cost", "estimated_cloud_cost"]


class TestValues:
    def test_an_address_is_what_its_values_are(self) -> None:
        assert target("Address") == UNMAPPED
        assert target("Address", "192.0.2.1", "198.51.100.7") == "ip_address"
        assert target("Address", "2001:db8::1", "2001:db8::2") == "ip_address"
        assert target("Address", "00:00:5E:00:53:01", "00-00-5e-00-53-02") == "mac_address"
        assert target("Address", "1 Example Street", "2 Example Street") == UNMAPPED

    def test_values_never_make_an_open_heading_certain_about_what_tells_assets_apart(self) -> None:
        for heading in ("Address", "Private IP", "Host IP"):
            assert KEPT < suggestion(heading, "192.0.2.1").confidence < CERTAIN

    @pytest.mark.parametrize(
        ("heading", "fitting", "other"),
        [
            ("IP", "192.0.2.1", "yes"), ("MAC", "0000.5e00.5301", "desk 4"), ("OS", "Windows Server 2019", "12"),
            ("Env", "prod", "green"), ("CPU", "8", "Fast brand"), ("RAM", "16 GB", "two bars"),
            ("Purchased", "2021-03-04", "long ago"), ("Server Name", "web-01", "192.0.2.1"),
            ("Serial", "ABC123", "not known yet"),
        ],
    )  # fmt: skip
    def test_values_that_do_not_fit_make_less_certain(self, heading: str, fitting: str, other: str) -> None:
        assert suggestion(heading, fitting).confidence >= suggestion(heading).confidence
        assert suggestion(heading, other).confidence < suggestion(heading).confidence

    def test_a_platform_without_operating_systems_is_something_else(self) -> None:
        assert target("Platform", "Ubuntu 22.04", "Windows 2019") == "operating_system"
        assert target("Platform", "x86", "arm") == UNMAPPED

    def test_a_state_of_running_machines_is_how_they_run(self) -> None:
        assert target("State", "running", "stopped") == "operational_status"
        assert target("State", "planned", "migrated") == "status"

    def test_values_for_nothing_say_nothing(self) -> None:
        assert suggestion("IP", "n/a", "", " - ").confidence == suggestion("IP").confidence

    def test_the_field_s_own_name_outweighs_its_values(self) -> None:
        assert suggestion("ip_address", "dhcp").confidence == 1.0

    def test_the_type_of_the_values_comes_with_the_suggestion(self) -> None:
        assert suggestion("RAM", "16 GB", "32").field_type == "number"
        assert suggestion("RAM").field_type == "empty"


def approved(source: str, field: str, count: int = 1) -> Learned:
    return Learned(source, field, True, count)


def rejected(source: str, field: str, count: int = 1) -> Learned:
    return Learned(source, field, False, count)


class TestLearned:
    def test_what_people_approved_comes_first_even_before_the_field_s_own_name(self) -> None:
        found = suggestion("Name", learned=[approved("NAME ", "hostname")])
        assert (found.target_field, found.confidence, found.match_type) == ("hostname", LEARNED, "learned")
        assert ("name", 1.0) in found.alternatives

    def test_what_people_rejected_is_never_suggested_nor_an_alternative(self) -> None:
        found = suggestion("Server", learned=[rejected("server", "hostname")])
        assert found.target_field == UNMAPPED
        assert "hostname" not in dict(found.alternatives)
        assert suggestion("hostname", learned=[rejected("Hostname", "hostname")]).target_field == UNMAPPED

    def test_several_decisions_on_one_column_are_weighed(self) -> None:
        several = [approved("Box", "hostname", 2), approved("Box", "name", 5), approved("box", "hostname", 4)]
        found = suggestion("Box", learned=several)
        assert found.target_field == "hostname"
        assert [field for field, _ in found.alternatives] == ["name"]
        assert target_after("Box", approved("Box", "name", 2), rejected("Box", "name", 2)) == UNMAPPED
        assert target_after("Box", approved("Box", "name", 3), rejected("Box", "name", 2)) == "name"

    def test_only_its_own_column_is_learned_be_it_without_letters(self) -> None:
        assert target_after("Crate", approved("Box", "hostname")) == UNMAPPED
        assert target_after("???", approved("???", "name")) == "name"
        assert target_after("!!!", approved("???", "name")) == UNMAPPED

    def test_a_field_that_there_is_no_longer_is_passed_over(self) -> None:
        assert target_after("Box", approved("Box", "shoe_size"), approved("Box", UNMAPPED)) == UNMAPPED

    def test_several_columns_can_be_learned_as_custom_attributes(self) -> None:
        found = suggest(["Box", "Crate"], learned=[approved("Box", CUSTOM), approved("Crate", CUSTOM)])
        assert [(each.target_field, each.match_type) for each in found] == [(CUSTOM, "learned")] * 2

    def test_a_decision_outweighs_a_guess_about_another_column_but_not_the_field_s_name(self) -> None:
        learned = [approved("Box", "hostname")]
        assert [each.target_field for each in suggest(["Server Name", "Box"], learned=learned)] == ["name", "hostname"]
        assert [each.target_field for each in suggest(["Hostname", "Box"], learned=learned)] == ["hostname", UNMAPPED]


def target_after(heading: str, *learned: Learned) -> str:
    return suggestion(heading, learned=learned).target_field


class TestOneFieldForOneColumn:
    def test_the_more_certain_column_keeps_the_field_and_the_other_takes_its_next(self) -> None:
        assert targets("Server Name", "Hostname") == ["name", "hostname"]
        assert targets("Hostname", "Server Name") == ["hostname", "name"]

    def test_a_column_with_nothing_else_is_unmapped_and_shows_what_it_may_be(self) -> None:
        found = suggest(["IP", "ip_address"])[0]
        assert (found.target_field, found.confidence, found.match_type) == (UNMAPPED, 0.0, "none")
        assert found.alternatives == (("ip_address", 0.95),)

    def test_the_first_of_two_equal_columns_keeps_the_field(self) -> None:
        assert targets("Hostname", "Hostname") == ["hostname", UNMAPPED]

    def test_a_column_that_loses_may_take_a_field_from_a_less_certain_one(self) -> None:
        assert targets("Device Name", "Server Name", "Hostname", "Name") == [UNMAPPED, UNMAPPED, "hostname", "name"]


@pytest.mark.parametrize(
    ("confidence", "name"),
    [(1.0, "high"), (0.9, "high"), (0.89, "medium"), (0.7, "medium"), (0.69, "low"), (0.5, "low"), (0.49, "none"),
     (0.0, "none"), (float("nan"), "none")],
)  # fmt: skip
def test_confidences_fall_into_bands(confidence: float, name: str) -> None:
    assert band(confidence) == name
    assert [each for each, _ in BANDS] == ["high", "medium", "low"]


def test_what_is_less_certain_than_six_in_ten_is_asked() -> None:
    assert needs_clarification(suggestion("mappings"))
    assert needs_clarification(suggestion("IP", "dhcp"))
    assert not needs_clarification(suggestion("Hostname"))


_HEADING = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [*FIELDS, "IP", "Server Name", "Owner", "RAM (MB)", "Address", "CPU %", "Enviroment", "error", "\x00"]
    ),
    st.lists(st.sampled_from(["server", "ip", "name", "os", "virtual", "1", "of", "gb", "%"]), max_size=5).map(
        " ".join
    ),
)
_VALUE = st.one_of(st.text(max_size=20), st.sampled_from(["192.0.2.1", "8 GB", "n/a", "yes", "2021-01-02", "prod"]))
_TARGET = st.one_of(st.sampled_from([*FIELDS, CUSTOM, UNMAPPED]), st.text(max_size=5))
_LEARNED = st.builds(Learned, _HEADING, _TARGET, st.booleans(), st.integers(-2, 9))


@settings(max_examples=300)
@given(
    st.lists(_HEADING, max_size=12),
    st.dictionaries(_HEADING, st.lists(_VALUE, max_size=5), max_size=6),
    st.lists(_LEARNED, max_size=6),
)
def test_every_column_has_one_suggestion_and_no_field_has_two(
    headings: list[str], samples: dict[str, list[str]], learned: list[Learned]
) -> None:
    found = suggest(headings, samples, learned)
    assert [each.source_field for each in found] == headings
    fields = [each.target_field for each in found if each.target_field not in (UNMAPPED, CUSTOM)]
    assert len(set(fields)) == len(fields)
    assert found == suggest(headings, samples, learned)
    for each in found:
        assert each.target_field in {*FIELDS, CUSTOM, UNMAPPED}
        assert (each.confidence == 0.0) if each.target_field == UNMAPPED else (KEPT < each.confidence <= 1.0)
        assert len(each.alternatives) <= 3
        assert each.target_field not in dict(each.alternatives)
        assert each.reasoning


@pytest.mark.parametrize("piece", ["x", "hostname ", "\x00", "\u0301", "9", "GB ", "%", "🖥", "of "], ids=ascii)
def test_headings_and_values_of_any_length_are_borne(piece: str) -> None:
    long = (piece * 10_000)[:10_000]
    found = suggest([long, "IP"], {long: [long] * 3, "IP": [long]})
    assert found[0].source_field == long
    assert found[1].target_field == "ip_address"


class TestQuality:
    def test_nine_in_ten_labelled_columns_are_right(self) -> None:
        judged = judged_headings()
        assert len(judged) >= 150
        assert accuracy(judged) >= 0.9, report(judged)

    def test_no_column_that_tells_assets_apart_is_confidently_wrong(self) -> None:
        judged = judged_headings()
        assert not [each for each in judged if each.confidently_wrong], report(judged)

    def test_the_report_has_the_figures_and_every_miss(self) -> None:
        judged = judged_headings()
        assert report(judged).startswith(f"{len(judged)} columns, ")
        assert len(report(judged).splitlines()) == 1 + sum(not each.right for each in judged)
