from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.discovery.rules.conversion import LARGEST_WHOLE, convert
from phasegate.apps.discovery.schema import ENVIRONMENTS, FIELDS, Kind

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
written = st.text(alphabet="0123456789.,-+eE/: '%$GMTBbitcores;|AFuz\u00a0", max_size=24)


def converted(field: str, given_value: object) -> Any:
    """The value alone; a doubt fails the test."""
    values, doubts = convert({field: given_value})
    assert doubts == ()
    return values.get(field)


def doubted(field: str, given_value: object) -> tuple[Any, str]:
    values, doubts = convert({field: given_value})
    (doubt,) = doubts
    assert doubt.field == field
    return values.get(field), doubt.message


@pytest.mark.parametrize(
    ("field", "text", "number"),
    [
        ("memory_gb", "65,536 MB", 64.0),
        ("memory_gb", "16", 16.0),
        ("memory_gb", "32 GB", 32.0),
        ("memory_gb", "32GiB", 32.0),
        ("memory_gb", "1 048 576 KB", 1.0),
        ("memory_gb", "1,5", 1.5),
        ("memory_gb", "0,512", 0.512),
        ("storage_gb", "2 TB", 2048.0),
        ("storage_gb", "2 terabytes", 2048.0),
        ("storage_gb", "1 PB", 1024.0**2),
        ("storage_gb", "1.234,5", 1234.5),
        ("storage_gb", "1,234.5", 1234.5),
        ("storage_gb", "1 024", 1024.0),
        ("storage_gb", "1\u00a0024", 1024.0),
        ("storage_gb", "1'024'000", 1_024_000.0),
        ("storage_gb", "1.234.567", 1_234_567.0),
        ("storage_gb", "1,00,000.5", 100_000.5),
        ("storage_gb", "1.5E+03", 1500.0),
        ("storage_gb", 2048, 2048.0),
        ("cpu_utilization_percent", "85 %", 85.0),
        ("network_throughput_mbps", "10 Gbit/s", 10_000.0),
        ("network_throughput_mbps", "10 MB/s", 80.0),
        ("network_throughput_mbps", "10 Mb/s", 10.0),
        ("cpu_cores", "4 cores", 4),
        ("cpu_cores", "8 vCPU", 8),
        ("cpu_cores", "4.0", 4),
        ("cpu_cores", 8.0, 8),
        ("migration_priority", "P1", 1),
        ("migration_wave", "Wave 2", 2),
    ],
)
def test_a_number_is_read_in_the_unit_of_its_field(field: str, text: object, number: float) -> None:
    assert converted(field, text) == number


@pytest.mark.parametrize(
    "text", ["lots", "NaN", "Infinity", "1e999", "10 20", "4 apples", "1,2,3", "-4", "2 x 8", "true"]
)
@pytest.mark.parametrize("field", ["cpu_cores", "memory_gb"])
def test_what_is_no_number_is_left_out_with_a_doubt(field: str, text: str) -> None:
    value, message = doubted(field, text)
    assert value is None
    assert text in message


@pytest.mark.parametrize("field", ["cpu_cores", "memory_gb", "name"])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")], ids=["nan", "inf", "minus-inf"])
def test_numbers_that_are_none_are_left_out_with_a_doubt(field: str, number: float) -> None:
    assert doubted(field, number)[0] is None


def test_a_whole_number_is_whole_and_fits_the_database() -> None:
    assert doubted("cpu_cores", "3.5")[0] is None
    assert converted("cpu_cores", LARGEST_WHOLE) == LARGEST_WHOLE
    assert doubted("cpu_cores", LARGEST_WHOLE + 1)[0] is None
    assert doubted("cpu_cores", 10**5000)[0] is None


def test_the_currency_of_a_cost_is_doubted_because_it_is_not_kept() -> None:
    assert doubted("current_monthly_cost", "1.234,50 \u20ac") == (
        1234.5,
        "only the number of '1.234,50 \u20ac' is kept",
    )
    assert converted("current_monthly_cost", "1,234.50") == 1234.5


@pytest.mark.parametrize("text", ["true", "YES", "y", "1", "ja", "oui", True, 1, 1.0])
def test_flags_are_true_in_several_languages(text: object) -> None:
    assert converted("pii_flag", text) is True


@pytest.mark.parametrize("text", ["False", "no", "N", "0", "nein", "non", False, 0])
def test_flags_are_false_in_several_languages(text: object) -> None:
    assert converted("pii_flag", text) is False


def test_a_flag_of_another_word_is_left_out_with_a_doubt() -> None:
    assert doubted("pii_flag", "perhaps")[0] is None


@pytest.mark.parametrize(
    ("field", "text", "word"),
    [
        ("environment", "prod", "Production"),
        ("environment", "PROD", "Production"),
        ("environment", "live", "Production"),
        ("environment", "prd", "Production"),
        ("environment", "dev", "Development"),
        ("environment", "tst", "Test"),
        ("environment", "Pre-Prod", "Staging"),
        ("environment", "stg", "Staging"),
        ("environment", "DR", "Disaster Recovery"),
        ("environment", "disaster_recovery", "Disaster Recovery"),
        ("environment", "sandbox", "Sandbox"),
        ("criticality", "High", "High"),
        ("criticality", "P1", "Critical"),
        ("criticality", "Tier 1", "Critical"),
        ("criticality", 1, "Critical"),
        ("criticality", "1 - most critical", "Critical"),
        ("business_criticality", "Mission Critical", "Critical"),
        ("business_criticality", "medium", "Medium"),
        ("business_criticality", "LOW", "Low"),
        ("six_r_strategy", "Re-Host", "rehost"),
        ("asset_type", "Load Balancer", "load_balancer"),
        ("asset_type", "VM", "virtual_machine"),
        ("status", "Discovered", "discovered"),
    ],
)
def test_a_category_is_one_of_its_words_whatever_its_spelling(field: str, text: object, word: str) -> None:
    assert converted(field, text) == word


@pytest.mark.parametrize("status", ["active", "In Service"])
def test_a_status_of_the_source_is_not_one_of_an_asset(status: str) -> None:
    value, message = doubted("status", status)
    assert value is None
    assert "discovered" in message


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_an_empty_value_is_absent_without_a_doubt(field: str) -> None:
    for empty in (None, "", "  ", "\t\n", [], [None]):
        assert convert({field: empty}) == ({}, ())


@pytest.mark.parametrize(
    ("given_value", "tags"),
    [
        ("web; tier 1; web", ["web", "tier 1"]),
        ("b, a, B", ["b", "a"]),
        ("a,b;c", ["a,b", "c"]),
        (["x", "y", 3], ["x", "y", "3"]),
    ],
)
def test_tags_are_split_at_semicolons_or_else_at_commas(given_value: object, tags: list[str]) -> None:
    assert converted("asset_tags", given_value) == tags


def test_the_tags_of_one_record_are_not_those_of_the_next() -> None:
    first = convert({"asset_tags": "a;b"})[0]["asset_tags"]
    first.append("changed")
    assert convert({"asset_tags": "a;b"})[0]["asset_tags"] == ["a", "b"]


@pytest.mark.parametrize(
    "text",
    [
        "2024-12-31", "2024-12-31T10:00:00Z", "2024-12-31 23:59:59+02:00", "20241231", "31.12.2024", "31.12.24 10:00",
        "12/31/2024", "31/12/2024", "2024/12/31", "31-Dec-2024", "31 December 2024", "Dec 31, 2024 10:00 PM", "31. Dez 2024",
        "45657", "45657.75", 45657, 45657.5, 20241231,
    ],
)  # fmt: skip
def test_a_date_is_read_in_many_formats(text: object) -> None:
    assert converted("purchase_date", text) == "2024-12-31"


def test_a_date_whose_day_may_be_its_month_is_read_with_a_doubt() -> None:
    value, message = doubted("purchase_date", "03/04/2024")
    assert value == "2024-03-04"
    assert value in message
    assert converted("purchase_date", "04/04/2024") == "2024-04-04"
    assert converted("purchase_date", "03.04.2024") == "2024-04-03"


@pytest.mark.parametrize(
    "text", ["soon", "31.06.2024", "2024", "202411", "9999-12-31", "0001-01-01", "2024-13-01", 5, "1.5.2"]
)
def test_what_is_no_date_is_left_out_with_a_doubt(text: object) -> None:
    assert doubted("warranty_end", text)[0] is None


def test_text_loses_what_surrounds_it_and_control_characters() -> None:
    assert converted("name", "  web\x00 01\ufeff\n") == "web 01"
    assert converted("description", "two\r\nlines") == "two lines"
    assert converted("description", "half \ud83d a pair") == "half  a pair"


def test_long_text_is_cut_and_never_dropped() -> None:
    value, message = doubted("operating_system", "x" * 300)
    assert value == "x" * 100
    assert message == "cut from 300 to 100 characters"


def test_a_serial_number_keeps_its_spelling() -> None:
    assert converted("serial_number", "00123") == "00123"
    assert converted("serial_number", 12345.0) == "12345"
    assert converted("serial_number", ["a", "b"]) == "a; b"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1/24", "192.0.2.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_an_address_has_its_usual_spelling(text: str, address: str) -> None:
    assert converted("ip_address", text) == address


def test_of_several_addresses_the_first_is_taken_with_a_doubt() -> None:
    assert doubted("ip_address", "192.0.2.1, 192.0.2.2")[0] == "192.0.2.1"
    assert doubted("mac_address", "AA-BB-CC-DD-EE-01; AA-BB-CC-DD-EE-02")[0] == "aa:bb:cc:dd:ee:01"


@pytest.mark.parametrize("text", ["DHCP", "192.0.2.256", "0.0.0.0", "127.0.0.1", "192.0.2"])
def test_what_is_no_address_of_a_host_is_left_out_and_shown(text: str) -> None:
    value, message = doubted("ip_address", text)
    assert value is None
    assert text in message


@pytest.mark.parametrize(
    "text", ["AABB.CCDD.EEFF", "aa-bb-cc-dd-ee-ff", "AA:BB:CC:DD:EE:FF", "aabbccddeeff", "aa bb cc dd ee ff"]
)
def test_a_mac_address_has_one_spelling(text: str) -> None:
    assert converted("mac_address", text) == "aa:bb:cc:dd:ee:ff"


@pytest.mark.parametrize("text", ["00:00:00:00:00:00", "gg:bb:cc:dd:ee:ff", "aa:bb:cc"])
def test_what_is_no_mac_address_of_a_device_is_left_out(text: str) -> None:
    assert doubted("mac_address", text)[0] is None


def test_keys_that_are_no_fields_are_passed_over() -> None:
    assert convert({"Favourite colour": "blue", "custom_attributes": {"a": 1}, "name": "web01"}) == (
        {"name": "web01"},
        (),
    )


@settings(max_examples=400)
@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), json_values | written, max_size=8))
def test_whatever_the_record_the_result_is_what_the_schema_says(record: dict[str, Any]) -> None:
    values, doubts = convert(record)
    json.dumps(values, allow_nan=False).encode()
    for name, value in values.items():
        field = FIELDS[name]
        if field.kind in (Kind.TEXT, Kind.DATE):
            assert isinstance(value, str)
            assert 0 < len(value) <= field.limit
            value.encode()
        elif field.kind is Kind.CATEGORY:
            assert value in field.words
        else:
            kinds = {Kind.WHOLE: int, Kind.NUMBER: float, Kind.FLAG: bool, Kind.TAGS: list}
            assert type(value) is kinds[field.kind]
    assert {doubt.field for doubt in doubts} <= set(record)


@given(
    st.sampled_from(sorted(FIELDS)),
    written | st.sampled_from(["prod", "high", "1;2", "yes", "3 cores", "VM", *ENVIRONMENTS]),
)
def test_what_was_converted_converts_to_itself(field: str, text: str) -> None:
    once, _ = convert({field: text})
    assert convert(once)[0] == once


@given(st.floats(min_value=0, max_value=1e12), st.sampled_from(["", " GB", "GiB"]))
def test_a_written_number_is_read_as_it_was_meant(number: float, unit: str) -> None:
    assert convert({"storage_gb": f"{number:,.3f}{unit}"})[0]["storage_gb"] == pytest.approx(number, abs=0.001)


@pytest.mark.parametrize("nested", [{"a": [1]}, [[1], [2]], [{"a": 1}]])
def test_nested_values_become_text(nested: object) -> None:
    assert converted("description", nested) == json.dumps(nested)


def test_endless_nesting_is_a_doubt() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert doubted("name", deep)[0] is None
