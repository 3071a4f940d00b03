"""Whether mappings can be used, and what values look like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.discovery.rules.mapping_checks import (
    RECOMMENDED,
    REQUIRED_BY_TYPE,
    MappingProblem,
    check_mappings,
    check_target,
    field_type,
    missing_for_type,
    value_type,
)
from phasegate.apps.discovery.schema import CUSTOM, FIELDS, UNMAPPED

GOOD = {"Host": "hostname", "Kind": "asset_type", "Env": "environment", "IP": "ip_address"}


def codes(problems: tuple[MappingProblem, ...], *, critical: bool | None = None) -> list[str]:
    return [each.code for each in problems if critical is None or each.critical == critical]


class TestTarget:
    @pytest.mark.parametrize("target", [*FIELDS, CUSTOM])
    def test_every_field_and_custom_attributes_can_be_a_target(self, target: str) -> None:
        assert check_target("Column", target) is None

    @pytest.mark.parametrize(
        "target",
        ["", " ", "x", "null", "None", "undefined", "{hostname}", "hostname[0]", "[]", "{}", "fields[name", "<name>"],
    )
    def test_a_target_that_is_no_field_name_is_malformed(self, target: str) -> None:
        problem = check_target("Column", target)
        assert problem is not None
        assert (problem.code, problem.source_field, problem.critical) == ("malformed_target", "Column", True)

    def test_unmapped_can_never_be_approved(self) -> None:
        problem = check_target("Column", UNMAPPED)
        assert problem is not None
        assert problem.code == "unmapped_target"
        assert "custom_attributes" in problem.message

    def test_a_field_that_assets_do_not_have_is_named_with_the_nearest_one(self) -> None:
        problem = check_target("Column", "host_name")
        assert problem is not None
        assert (problem.code, problem.critical) == ("unknown_target", True)
        assert "did you mean 'hostname'?" in problem.message
        assert check_target("Column", "Hostname") is not None
        assert check_target("Column", " hostname ") is not None

    @given(st.text(), st.text())
    def test_any_text_is_a_field_or_a_problem(self, source: str, target: str) -> None:
        problem = check_target(source, target)
        assert (problem is None) == (target in FIELDS or target == CUSTOM)

    def test_a_long_target_is_cut_in_the_message(self) -> None:
        problem = check_target("s" * 10_000, "t" * 10_000)
        assert problem is not None
        assert len(problem.message) < 400


class TestMappings:
    def test_good_mappings_have_no_problems(self) -> None:
        assert check_mappings(GOOD, dict.fromkeys(GOOD, 0.9), dict.fromkeys(GOOD, "empty")) == ()

    @pytest.mark.parametrize("naming", ["name", "hostname", "asset_name"])
    def test_one_name_is_enough(self, naming: str) -> None:
        assert "missing_name" not in codes(check_mappings({"A": naming}))

    def test_without_a_name_nothing_goes_on(self) -> None:
        problems = check_mappings({"A": "fqdn"})
        assert codes(problems, critical=True) == ["missing_name"]
        assert problems[0].source_field is None
        assert codes(check_mappings({}), critical=True) == ["missing_name"]

    def test_two_columns_cannot_fill_one_field(self) -> None:
        problems = check_mappings({**GOOD, "Server": "hostname", "Box": "hostname"})
        assert [(each.code, each.source_field, each.critical) for each in problems] == [
            ("target_taken", "Server", True),
            ("target_taken", "Box", True),
        ]
        assert "'Host'" in problems[0].message

    def test_any_number_of_columns_can_be_custom_attributes(self) -> None:
        assert check_mappings({**GOOD, "A": CUSTOM, "B": CUSTOM}) == ()

    def test_what_is_recommended_is_a_warning(self) -> None:
        problems = check_mappings({"A": "name"})
        assert codes(problems) == ["recommended_missing"] * len(RECOMMENDED)
        assert not any(each.critical for each in problems)

    def test_every_target_is_checked_and_the_critical_problems_come_first(self) -> None:
        problems = check_mappings({"A": "name", "B": UNMAPPED, "C": "nul{", "D": "shoe_size", "E": UNMAPPED})
        assert codes(problems, critical=True) == [
            "unmapped_target", "malformed_target", "unknown_target", "unmapped_target",
        ]  # fmt: skip
        assert codes(problems)[4:] == ["recommended_missing"] * 3

    @pytest.mark.parametrize(
        ("target", "found", "fits"),
        [
            ("memory_gb", "text", False), ("memory_gb", "date", False), ("memory_gb", "number", True),
            ("memory_gb", "whole", True), ("memory_gb", "empty", True), ("cpu_cores", "text", False),
            ("cpu_cores", "whole", True), ("last_seen", "text", False), ("last_seen", "date", True),
            ("pii_flag", "flag", True), ("pii_flag", "whole", True), ("pii_flag", "date", False),
            ("ip_address", "text", False), ("ip_address", "ip", True), ("mac_address", "ip", False),
            ("mac_address", "mac", True), ("description", "number", True), ("asset_type", "text", True),
            (CUSTOM, "text", True),
        ],
    )  # fmt: skip
    def test_values_of_another_type_are_a_warning(self, target: str, found: str, fits: bool) -> None:
        problems = check_mappings({"N": "name", "X": target}, {}, {"X": found, "Y": "text"})
        assert ("type_mismatch" in codes(problems, critical=False)) == (not fits)


class TestConfidences:
    def test_a_low_mean_is_a_warning(self) -> None:
        assert "low_mean_confidence" in codes(check_mappings(GOOD, dict.fromkeys(GOOD, 0.59)))
        assert "low_mean_confidence" not in codes(check_mappings(GOOD, dict.fromkeys(GOOD, 0.6)))

    def test_more_than_half_low_is_a_warning(self) -> None:
        half = {"Host": 0.9, "Kind": 0.9, "Env": 0.69, "IP": 0.69}
        assert codes(check_mappings(GOOD, half)) == []
        assert codes(check_mappings(GOOD, {**half, "Kind": 0.69})) == ["mostly_low_confidence"]

    def test_a_very_low_one_is_a_warning_that_names_it(self) -> None:
        problems = check_mappings(GOOD, {"Host": 0.9, "Kind": 0.9, "Env": 0.29})
        assert [(each.code, each.source_field) for each in problems] == [("low_minimum_confidence", "Env")]
        assert codes(check_mappings(GOOD, {"Host": 0.9, "Kind": 0.9, "Env": 0.3})) == []

    @pytest.mark.parametrize("confidence", [float("nan"), float("inf"), -0.1, 1.1])
    def test_a_confidence_outside_of_its_range_is_a_warning_and_not_counted(self, confidence: float) -> None:
        assert codes(check_mappings(GOOD, {"Host": confidence, "Kind": 0.9})) == ["invalid_confidence"]

    def test_columns_that_are_not_approved_or_kept_as_they_are_do_not_count(self) -> None:
        assert check_mappings({**GOOD, "Other": CUSTOM}, {"Other": 0.0, "Gone": 0.0}) == ()


_TEXT = st.one_of(st.text(max_size=12), st.sampled_from([*FIELDS, CUSTOM, UNMAPPED, "null", "{}"]))


@given(
    st.dictionaries(_TEXT, _TEXT, max_size=8),
    st.dictionaries(_TEXT, st.floats(), max_size=4),
    st.dictionaries(_TEXT, st.sampled_from(["text", "whole", "odd", ""]), max_size=4),
)
def test_no_mappings_raise_and_a_taken_target_never_passes(
    approved: dict[str, str], confidences: dict[str, float], types: dict[str, str]
) -> None:
    problems = check_mappings(approved, confidences, types)
    used = [target for target in approved.values() if target in FIELDS]
    assert codes(problems).count("target_taken") == len(used) - len(set(used))
    assert all(each.message for each in problems)


class TestRequiredByType:
    def test_every_required_field_is_a_field(self) -> None:
        assert {field for fields in REQUIRED_BY_TYPE.values() for field in fields} <= FIELDS.keys()

    @pytest.mark.parametrize(
        ("asset_type", "missing"),
        [
            ("server", ("hostname", "asset_name", "asset_type", "environment", "operating_system")),
            ("application", ("asset_name", "asset_type", "environment", "business_owner")),
            ("database", ("asset_name", "asset_type", "environment", "database_type")),
            ("network", ("asset_name", "asset_type", "environment", "ip_address", "location")),
            ("storage", ("asset_name", "asset_type", "environment", "storage_gb", "location")),
            (" Server ", ("hostname", "asset_name", "asset_type", "environment", "operating_system")),
            ("other", ()),
        ],
    )
    def test_each_type_needs_its_own_fields(self, asset_type: str, missing: tuple[str, ...]) -> None:
        assert missing_for_type(asset_type, []) == missing
        assert missing_for_type(asset_type, missing) == ()

    def test_a_name_is_the_asset_s_name(self) -> None:
        assert missing_for_type("application", ["name", "asset_type", "environment"]) == ("business_owner",)


class TestTypes:
    @pytest.mark.parametrize(
        ("value", "found"),
        [
            ("", "empty"), (" n/a ", "empty"), ("-", "empty"), ("NULL", "empty"), ("Unknown", "empty"),
            ("yes", "flag"), ("FALSE", "flag"), ("12", "whole"), ("-3", "whole"), ("1,234,567", "whole"),
            ("1.234.567", "whole"), ("1.5", "number"), ("16 GB", "number"), ("16GiB", "number"), ("85%", "number"),
            ("$1,200.50", "number"), ("4 vCPU", "number"), ("1e5", "number"), ("10 Gbps", "number"),
            ("192.0.2.1", "ip"), ("192.168.100.200", "ip"), ("2001:db8::1", "ip"), ("192.0.2.1, 192.0.2.2", "ip"),
            ("00:00:5E:00:53:01", "mac"), ("00-00-5e-00-53-01", "mac"), ("0000.5e00.5301", "mac"),
            ("2021-03-04", "date"), ("2021-03-04T05:06:07Z", "date"), ("04.03.2021", "date"), ("3/4/21", "date"),
            ("3/4/2021 5:06 PM", "date"), ("04-Mar-2021", "date"), ("March 4, 2021", "date"),
            ("10.0.17763", "text"), ("web-01", "text"), ("192.0.2.0/24", "text"), ("192.0.2.999", "text"),
            ("00:00:5e:00:53", "text"), ("GB", "text"), ("7" * 101, "text"), ("two", "text"), ("1-2", "text"),
        ],
    )  # fmt: skip
    def test_a_value_is_told_by_its_shape(self, value: str, found: str) -> None:
        assert value_type(value) == found

    def test_a_column_without_values_is_empty(self) -> None:
        assert field_type([]) == "empty"
        assert field_type(["", "n/a"]) == "empty"

    def test_whole_numbers_and_others_together_are_numbers(self) -> None:
        assert field_type(["1", "2", "3"]) == "whole"
        assert field_type(["1", "2.5", "3"]) == "number"
        assert field_type(["16 GB", "32"]) == "number"

    def test_a_stray_remark_does_not_hide_the_type(self) -> None:
        assert field_type([*map(str, range(9)), "ask Kim"]) == "whole"
        assert field_type([*map(str, range(8)), "ask Kim"]) == "text"
        assert field_type(["192.0.2.1", "", "dhcp"]) == "text"

    @given(st.lists(st.text()))
    def test_any_values_have_a_type(self, values: list[str]) -> None:
        assert field_type(values) in {"text", "whole", "number", "flag", "date", "ip", "mac", "empty"}

    @pytest.mark.parametrize("piece", ["1", "1 ", "1,", "1.", ":", "00:", "1-", " ", "a.", "jan "])
    def test_a_long_value_is_text(self, piece: str) -> None:
        assert value_type("x" + piece * 50_000) == "text"
