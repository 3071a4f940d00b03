from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.discovery.rules.names import LONGEST_NAME, asset_name, host_of, normalised_name
from phasegate.apps.discovery.schema import ASSET_TYPES, FIELDS

DEVICE = {"hostname": "lonx01", "fqdn": "lonx01.example.com", "external_id": "CI0042", "serial_number": "SN7"}


def test_the_name_comes_first_and_the_asset_name_second() -> None:
    assert asset_name({**DEVICE, "name": "Albany", "asset_name": "Other"}, 3, "server") == "Albany"
    assert asset_name({**DEVICE, "name": " ", "asset_name": "Other"}, 3, "server") == "Other"


def test_a_device_without_a_name_is_called_by_what_else_identifies_it() -> None:
    left = dict(DEVICE)
    for field, value in DEVICE.items():
        assert asset_name(left, 3, "server") == value
        del left[field]
    assert asset_name(left, 3, "server") == "Asset-3"


@pytest.mark.parametrize("asset_type", ["application", "component"])
def test_a_program_is_not_called_by_its_machine(asset_type: str) -> None:
    assert asset_name(DEVICE, 12, asset_type) == "Asset-12"
    assert asset_name({**DEVICE, "asset_name": "Payroll"}, 12, asset_type) == "Payroll"


@pytest.mark.parametrize("asset_type", ASSET_TYPES)
def test_the_name_of_an_application_is_never_the_name(asset_type: str) -> None:
    assert asset_name({"application_name": "Payroll"}, 5, asset_type) == "Asset-5"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("  lon\t web\n01 ", "lon web 01"),
        ("a\u00a0b\x00c", "a b c"),
        (4711, "4711"),
        (4711.0, "4711"),
        ("x" * 300, "x" * LONGEST_NAME),
        ("x" * 254 + " yz", "x" * 254),
    ],
)
def test_a_name_is_one_line_of_at_most_the_longest(value: object, expected: str) -> None:
    assert asset_name({"name": value}, 1, "server") == expected


@pytest.mark.parametrize(
    "value", ["", " - ", "N/A", "null", None, True, float("nan"), float("inf"), ["a"], {"a": 1}, b"a"]
)
def test_what_names_nothing_is_passed_over(value: object) -> None:
    assert asset_name({"name": value, "hostname": "lonx01"}, 1, "server") == "lonx01"


def test_a_number_too_long_to_be_written_out_is_passed_over() -> None:
    assert asset_name({"name": 10**5_000, "hostname": "lonx01"}, 1, "server") == "lonx01"


_anything = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=400), st.binary())


@given(
    st.dictionaries(st.one_of(st.sampled_from(sorted(FIELDS)), st.text()), _anything, max_size=8),
    st.integers(min_value=0),
    st.sampled_from(ASSET_TYPES),
)
def test_every_row_has_a_name_that_can_be_kept(record: dict[str, Any], row_number: int, asset_type: str) -> None:
    name = asset_name(record, row_number, asset_type)
    assert 1 <= len(name) <= LONGEST_NAME
    assert name == " ".join(name.split())
    assert name.isprintable()
    assert asset_name({"name": name}, row_number, asset_type) == name


@pytest.mark.parametrize(
    "other", ["LON-WEB_01", " lon  web 01 ", "\uff4c\uff4f\uff4e web 01", "lon\u2011web\u00a001", "Lon_-_Web-01"]
)
def test_names_that_differ_in_case_width_and_gaps_are_the_same(other: str) -> None:
    assert normalised_name(other) == "lon web 01"


@pytest.mark.parametrize("other", ["lonweb01", "lon web 1", "lon.web.01", "lon web 02"])
def test_names_that_differ_in_more_are_not(other: str) -> None:
    assert normalised_name(other) != normalised_name("lon-web-01")


@given(st.text())
def test_a_normalised_name_stays_as_it_is(text: str) -> None:
    once = normalised_name(text)
    assert normalised_name(once) == once
    assert normalised_name(f" {text}_") == once


# --- hosts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["WEB-01", "web-01.Example.com", "", "a b", "XN--", "xn--zzzzzz99999.example.com", "xn--abc-"]
)
def test_a_host_in_ascii_is_kept_as_it_was_written(host: str) -> None:
    assert host_of(host) == host


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("M\u00dcLLER-PC", "m\u00fcller-pc"),
        ("Mu\u0308ller.Example.com", "m\u00fcller.example.com"),
        ("\uff37\uff25\uff22\u00e4", "web\u00e4"),
        ("xn--mller-kva.example.com", "m\u00fcller.example.com"),
        ("XN--MLLER-KVA.example.com", "M\u00fcller.EXAMPLE.com"),
        ("\u4f8b\u3048\u3002example", "xn--r8jz45g.example"),
        ("\u0391\u03a3", "\u03b1\u03c2"),
    ],
    ids=["case", "composed", "width", "dns", "dns in capitals", "full stop", "greek"],
)
def test_hosts_that_are_one_are_kept_in_one_spelling(one: str, same: str) -> None:
    assert host_of(one) == host_of(same)
    assert not host_of(one).isascii()


@given(st.text(max_size=60) | st.text("xn-abc.123", max_size=40).map(lambda rest: f"xn--{rest}"))
def test_a_host_that_is_kept_is_kept_as_it_is_and_has_no_upper_case_beyond_ascii(host: str) -> None:
    kept = host_of(host)
    assert host_of(kept) == kept
    assert kept.isascii() or kept.lower() == kept
