from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.discovery.rules.cleansing import NULL_WORDS, TELLING, cleanse, quality
from phasegate.apps.discovery.rules.profile_report import DECISIONS
from phasegate.apps.discovery.schema import CUSTOM, FIELDS, UNMAPPED
from tests.apps.discovery.test_conversion import json_values


def test_columns_are_renamed_by_the_approved_mappings() -> None:
    row = {"Host": " web01 ", "Total RAM": "65,536 MB", "Colour": "blue", "Kept": "x"}
    cleansed = cleanse(row, {"Host": "hostname", "Total RAM": "memory_gb", "Kept": CUSTOM}, {})
    assert cleansed.data == {"hostname": "web01", "memory_gb": "65,536 MB"}
    assert cleansed.custom == {"Colour": "blue", "Kept": "x"}
    assert cleansed.errors == cleansed.warnings == ()


@pytest.mark.parametrize("word", sorted(NULL_WORDS))
def test_words_for_nothing_are_absent(word: str) -> None:
    cleansed = cleanse(
        {"a": f" {word.upper()} ", "b": word, "Host": "web01"}, {"a": "environment", "Host": "hostname"}, {}
    )
    assert (cleansed.data, cleansed.custom) == ({"hostname": "web01"}, {})


def test_columns_named_like_artefacts_are_data() -> None:
    row = {"name": "web01", "error": "none so far", "success": "true", "timestamp": "1", "mappings": "x", "": "unnamed"}
    assert cleanse(row, {"name": "name"}, {}).custom == {key: value for key, value in row.items() if key != "name"}


def test_only_the_columns_given_are_dropped() -> None:
    cleansed = cleanse({"Host": "web01", "Secret": "x", "Other": "y"}, {"Host": "hostname"}, {}, dropped=("Secret",))
    assert cleansed.custom == {"Other": "y"}


def test_the_first_of_several_sources_wins_and_the_other_is_kept_aside() -> None:
    row = {"Site": "", "City": "Akron", "Region": "North", "Town": "Akron"}
    cleansed = cleanse({"Host": "web01", **row}, {"Host": "hostname", **dict.fromkeys(row, "location")}, {})
    assert cleansed.data["location"] == "Akron"
    assert cleansed.custom == {"Region": "North"}
    (warning,) = cleansed.warnings
    assert "'Region'" in warning


def test_a_target_that_is_no_field_keeps_its_column_with_a_warning() -> None:
    cleansed = cleanse({"Host": "web01", "X": "1", "Y": "2"}, {"Host": "hostname", "X": "memroy", "Y": UNMAPPED}, {})
    assert cleansed.custom == {"X": "1", "Y": "2"}
    (warning,) = cleansed.warnings
    assert "'memroy'" in warning


def test_decisions_are_carried_out() -> None:
    mappings = {"Host": "hostname", "OS": "operating_system", "Owner": "business_owner", "Site": "location"}
    row = {"Host": "web01", "OS": "x" * 300, "Owner": "Ann; Ben; Cem", "Site": "z" * 101, "More": "y" * 300}
    decided = {"OS": "truncate", "Owner": "split", "Site": "skip", "More": "truncate"}
    cleansed = cleanse(row, mappings, decided)
    assert cleansed.data == {"hostname": "web01", "operating_system": "x" * 100, "business_owner": "Ann"}
    assert cleansed.custom == {"Owner (more)": "Ben; Cem", "More": "y" * 300}
    assert cleansed.warnings == ("'OS' cut from 300 to 100 characters", "'Site' left out: 101 characters")


def test_skip_leaves_out_what_is_too_long_and_nothing_else() -> None:
    cleansed = cleanse({"Site": "Halle 3"}, {"Site": "location"}, {"Site": "skip"})
    assert cleansed.data == {"location": "Halle 3"}


@pytest.mark.parametrize("value", ["Halle 3", "x" * 300, 7, ["a", "b"]])
def test_skip_leaves_out_nothing_of_a_column_that_no_field_is_for(value: Any) -> None:
    for target in (CUSTOM, UNMAPPED):
        cleansed = cleanse({"OS": value}, {"OS": target}, {"OS": "skip"}, (), {"OS": 100})
        assert cleansed.custom == {"OS": value}


@pytest.mark.parametrize(("length", "kept"), [(60, True), (100, True), (101, False)])
@pytest.mark.parametrize("target", ["operating_system", "os_version", "description"])
def test_skip_leaves_out_what_was_too_long_when_it_was_decided(target: str, length: int, kept: bool) -> None:
    cleansed = cleanse({"OS": "x" * length, "Host": "web01"}, {"OS": target}, {"OS": "skip"}, (), {"OS": 100})
    assert (target in cleansed.data, bool(cleansed.warnings[:-1])) == (kept, not kept)


def test_skip_leaves_numbers_that_fit() -> None:
    assert cleanse({"OS": 11}, {"OS": "operating_system"}, {"OS": "skip"}).data == {"operating_system": 11}


def test_keep_and_no_decision_leave_long_text_to_be_cut_later() -> None:
    row = {"Host": "web01", "OS": "x" * 300}
    mappings = {"Host": "hostname", "OS": "operating_system"}
    assert cleanse(row, mappings, {"OS": "keep"}) == cleanse(row, mappings, {})
    assert len(cleanse(row, mappings, {}).data["operating_system"]) == 300


def test_an_unknown_decision_keeps_the_value_with_a_warning() -> None:
    cleansed = cleanse({"Host": "web01"}, {"Host": "hostname"}, {"Host": "explode"})
    assert cleansed.data == {"hostname": "web01"}
    assert "'explode'" in cleansed.warnings[0]


def test_the_rest_of_a_split_overwrites_no_column() -> None:
    cleansed = cleanse({"Host": "a|b", "Host (more)": "own"}, {"Host": "hostname"}, {"Host": "split"})
    assert cleansed.custom == {"Host (more)": "own", "Host (more)+": "b"}


def test_a_row_without_a_name_is_a_warning_and_an_empty_row_an_error() -> None:
    nameless = cleanse({"Env": "prod"}, {"Env": "environment"}, {})
    assert nameless.errors == ()
    assert "hostname" in nameless.warnings[0]
    for empty in ({}, {"Env": "N/A", "Host": None}):
        assert cleanse(empty, {"Env": "environment"}, {}).errors == ("the row has no values",)


@pytest.mark.parametrize("field", TELLING)
def test_one_telling_column_is_enough(field: str) -> None:
    assert cleanse({"x": "value"}, {"x": field}, {}).warnings == ()


def test_nested_values_become_text() -> None:
    cleansed = cleanse(
        {"Host": "web01", "Disks": [{"gb": 1}], "Tags": ["a", " ", "b"], "Blob": {"a": 1}}, {"Host": "name"}, {}
    )
    assert cleansed.custom == {"Disks": '[{"gb": 1}]', "Tags": ["a", "b"], "Blob": '{"a": 1}'}


columns = st.sampled_from(["A", "B", "C", "A (more)", "error"])


@settings(max_examples=300)
@given(
    st.dictionaries(columns, json_values, max_size=5),
    st.dictionaries(columns, st.sampled_from([*sorted(FIELDS)[:5], "name", CUSTOM, UNMAPPED, "odd"]), max_size=5),
    st.dictionaries(columns, st.sampled_from([*DECISIONS, "odd"]), max_size=3),
)
def test_no_value_is_lost_unless_it_was_decided(
    row: dict[str, Any], mappings: dict[str, str], decided: dict[str, str]
) -> None:
    cleansed = cleanse(row, mappings, decided)
    json.dumps([cleansed.data, cleansed.custom], allow_nan=False)
    assert set(cleansed.data) <= set(FIELDS)
    for value in (*cleansed.data.values(), *cleansed.custom.values()):
        parts = value if isinstance(value, list) else [value]
        assert not any(isinstance(part, list | dict) for part in parts)
    for source, value in row.items():
        if (
            isinstance(value, str)
            and len(value.strip()) > 2
            and value.strip().lower() not in NULL_WORDS
            and source not in decided
        ):
            text = value.strip().strip("\ufeff\x00").strip()
            assert text.lower() in NULL_WORDS or text in cleansed.data.values() or cleansed.custom[source] == text


@pytest.mark.parametrize(
    ("figures", "overall", "band"),
    [
        ((10, 10, 50, 50, 10), 100.0, "high"),
        ((10, 10, 50, 50, 0), 80.0, "high"),
        ((10, 10, 49, 50, 0), 79.2, "medium"),
        ((5, 10, 50, 50, 0), 60.0, "medium"),
        ((0, 10, 50, 50, 5), 50.0, "low"),
        ((0, 0, 0, 0, 0), 0.0, "low"),
    ],
)
def test_quality_weighs_validity_completeness_and_enrichment(
    figures: tuple[int, ...], overall: float, band: str
) -> None:
    found = quality(*figures)
    assert (found["overall"], found["band"]) == (overall, band)
