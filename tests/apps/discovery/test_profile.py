from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.discovery.errors import ValidationFailed
from phasegate.apps.discovery.rules.profile import LIMITS, UNIQUE_CAP, FieldProfile, Profile, measure, merge
from phasegate.apps.discovery.rules.profile_report import critical_fields, report, undecided

Rows = list[dict[str, Any]]

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

texts = st.one_of(
    st.sampled_from(
        ["", "  ", "a", " a ", "1", "true", "192.0.2.1", "2026-03-01", "a, b, c", "a;b;c", "a|b|", ",,x,", "a\nb"]
    ),
    st.text(alphabet="ab,;|\n ", max_size=12),
    st.text(max_size=12),
    st.builds(lambda letter, length: letter * length, st.sampled_from("ab,é"), st.integers(15, 300)),
    st.just("\ud800"),
)
values = st.one_of(texts, st.none(), st.booleans(), st.integers(), st.floats(), st.just(10**5_000))
rows = st.lists(st.dictionaries(st.sampled_from(["name", "owner", "tags", "size"]), values), max_size=12)


def column(*cells: Any) -> FieldProfile:
    return measure([{"field": cell} for cell in cells]).fields["field"]


def judged(cells: list[Any], limit: int | None = None, name: str = "field") -> dict[str, Any]:
    limits = {} if limit is None else {name: limit}
    return report(measure([{name: cell} for cell in cells]), limits, NOON)


def naive_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return hex(value) if value == 10**5_000 else str(value).strip()


def naive_list(text: str) -> str | None:
    for delimiter in ",;|":
        if len([part for part in text.split(delimiter) if part.strip()]) >= 3:
            return delimiter
    return None


def naive(cells: list[str]) -> dict[str, Any]:
    present = [cell for cell in cells if cell]
    lengths = [len(cell) for cell in present]
    lists = [naive_list(cell) for cell in present]
    over = {limit: sum(length > limit for length in lengths) for limit in LIMITS}
    return {
        "nulls": len(cells) - len(present),
        "values": len(present),
        "shortest": min(lengths, default=0),
        "longest": max(lengths, default=0),
        "total_length": sum(lengths),
        "unique_count": len(set(present)),
        "over": {limit: count for limit, count in over.items() if count},
        "lists": {each: lists.count(each) for each in lists if each},
    }


# ---------------------------------------------------------------- measuring


@settings(max_examples=150)
@given(rows)
def test_every_figure_is_that_of_counting_one_by_one(rows: Rows) -> None:
    profile = measure(rows)
    assert profile.rows == len(rows)
    assert list(profile.fields) == list(dict.fromkeys(name for row in rows for name in row))
    for name, found in profile.fields.items():
        expected = naive([naive_text(row.get(name)) for row in rows])
        assert {key: getattr(found, key) for key in expected} == expected
        assert sum(found.looks.values()) == found.values


@settings(max_examples=150)
@given(rows, rows, rows)
def test_a_profile_of_pieces_is_that_of_all_rows(first: Rows, second: Rows, third: Rows) -> None:
    a, b, c = measure(first), measure(second), measure(third)
    whole = measure(first + second + third)
    assert merge(merge(a, b), c) == whole
    assert merge(a, merge(b, c)) == whole
    assert list(merge(a, merge(b, c)).fields) == list(whole.fields)


@settings(max_examples=200)
@given(rows)
def test_a_profile_comes_back_from_json(rows: Rows) -> None:
    profile = measure(rows)
    assert Profile.from_dict(orjson.loads(orjson.dumps(profile.to_dict()))) == profile
    assert merge(Profile(), profile) == merge(profile, Profile()) == profile


def test_fields_keep_their_order_whatever_a_database_does_with_keys() -> None:
    stored = orjson.dumps(measure([{"b": 1, "a": 2}]).to_dict(), option=orjson.OPT_SORT_KEYS)
    assert list(Profile.from_dict(orjson.loads(stored)).fields) == ["b", "a"]


def test_a_field_that_one_piece_lacks_is_null_there() -> None:
    both = merge(measure([{"a": "x"}] * 3), measure([{"b": "y"}] * 2))
    assert (both.fields["a"].nulls, both.fields["b"].nulls, both.rows) == (2, 3, 5)


def test_different_values_are_counted_up_to_the_cap() -> None:
    full = column(*range(UNIQUE_CAP))
    assert (full.unique_count, full.unique is None) == (UNIQUE_CAP, False)
    above = column(*range(UNIQUE_CAP + 1))
    assert (above.unique_count, above.unique) == (UNIQUE_CAP, None)


def test_the_cap_holds_over_pieces() -> None:
    low, high = ([{"a": f"server {n}"} for n in range(start, start + 600)] for start in (0, 500))
    assert merge(measure(low), measure(low)).fields["a"].unique_count == 600
    assert merge(measure(low), measure(high)) == measure(low + high)
    capped = merge(measure(low), measure(high))
    assert capped.fields["a"].unique is None
    assert merge(capped, measure(low)).fields["a"].unique is None
    one_more = measure([{"a": "server 1000"}])
    assert merge(measure([{"a": f"server {n}"} for n in range(UNIQUE_CAP)]), one_more).fields["a"].unique is None


def test_a_stored_piece_stays_small() -> None:
    piece = measure([{f"field {n}": f"value {n} of row {row % 500}" for n in range(15)} for row in range(2_000)])
    assert len(orjson.dumps(piece.to_dict())) < 100_000


@pytest.mark.parametrize(
    ("look", "text"),
    [
        ("flag", "Yes"), ("flag", "FALSE"), ("whole", "4711"), ("whole", "-5"), ("whole", "1,234,567"), ("number", "3.14"),
        ("number", "1.234,5"), ("number", "2e-5"), ("date", "2026-03-01"), ("date", "3/1/2026"), ("date", "1 Mar 2026"),
        ("date", "2026-03-01T12:00:00.5Z"), ("ip", "192.0.2.17"), ("ip", "2001:db8::1"), ("ip", "198.51.100.0/24"),
        ("text", "web-01"), ("text", "8 GB"), ("text", "00:00:5e:00:53:01"), ("text", "10.0.17763.1"), ("text", "2026-03/01"),
    ],
)  # fmt: skip
def test_values_are_told_apart_by_how_they_look(look: str, text: str) -> None:
    assert column(text).looks == {look: 1}


def test_values_of_several_lines_look_like_themselves() -> None:
    assert column("a\nb", "1", "2\n3").looks == {"text": 2, "whole": 1}


def test_the_first_delimiter_that_gives_three_parts_makes_the_list() -> None:
    found = column("a,b;c;d", "a,b,c;d;e", "a, ,b", "x|y|z", "x|y|z")
    assert found.lists == {";": 1, ",": 1, "|": 2}
    assert found.list_samples == ("a,b;c;d", "a,b,c;d;e", "x|y|z")


def test_samples_are_the_longest_values_cut_to_what_can_be_shown() -> None:
    found = column("a" * 300, "b" * 20, "c" * 301, "d" * 19, "short", "c" * 301)
    assert found.long_samples == ((301, "c" * 80), (300, "a" * 80), (20, "b" * 20))


# ---------------------------------------------------------------- judging


@given(st.lists(st.integers(0, 120), max_size=30), st.sampled_from([17, 20, 45, 50, 100]))
def test_affected_values_are_counted_exactly(lengths: list[int], limit: int) -> None:
    found = judged(["x" * length for length in lengths], limit)["critical_issues"]
    over = [length for length in lengths if length > limit]
    assert [issue["affected"] for issue in found] == ([len(over)] if over else [])
    assert [issue["excess"] for issue in found] == ([max(over) - limit] if over else [])


def test_a_value_over_its_limit_is_critical() -> None:
    found = judged(["x" * 60, "y" * 51, "z"], 50)
    [issue] = found["critical_issues"]
    assert issue == {
        "type": "length_exceeded",
        "field": "field",
        "label": "field",
        "limit": 50,
        "longest": 60,
        "excess": 10,
        "affected": 2,
        "samples": ["x" * 60, "y" * 51],
        "recommendations": ["truncate", "skip", "keep"],
    }
    assert (found["requires_user_decision"], found["blocking_issue_count"], found["compliance"]) == (True, 1, 0.0)


def test_a_field_without_a_target_has_no_limit() -> None:
    found = judged(["x" * 5_000])
    assert (found["critical_issues"], found["requires_user_decision"], found["compliance"]) == ([], False, 100.0)


def test_a_long_list_is_split_rather_than_cut() -> None:
    [issue] = judged([", ".join(["tag"] * 20)], 50)["critical_issues"]
    assert issue["recommendations"][0] == "split"


def test_lists_are_a_warning_and_mostly_null_fields_are_mentioned() -> None:
    found = judged(["a,b,c", "d", None, "", " "])
    assert [(each["type"], each["affected"]) for each in found["warnings"]] == [("multi_value", 1)]
    assert [(each["type"], each["affected"]) for each in found["info"]] == [("mostly_null", 3)]
    assert judged(["a", None])["info"] == []


def test_scores_are_computed() -> None:
    profile = measure(
        [{"size": "1", "name": "a"}, {"size": "2.5", "name": "b"}, {"size": "big", "name": ""}, {"size": "4"}]
    )
    found = report(profile, {"name": 255}, NOON)
    assert found["completeness"] == 75.0
    assert found["consistency"] == round(100 * 5 / 6, 2)
    assert found["compliance"] == 100.0
    assert found["overall"] == round((75 + 100 * 5 / 6 + 100) / 3, 2)


def test_an_empty_inventory_has_nothing_wrong() -> None:
    found = report(Profile(), {}, NOON)
    assert (found["total_records"], found["total_fields"], found["overall"]) == (0, 0, 100.0)


@settings(max_examples=200)
@given(rows, st.dictionaries(st.sampled_from(["name", "owner", "other"]), st.sampled_from(LIMITS)))
def test_every_report_is_json_with_scores_in_range(rows: Rows, limits: Mapping[str, int]) -> None:
    found = report(measure(rows), limits, NOON)
    assert orjson.loads(orjson.dumps(found)) == found
    assert all(0 <= found[score] <= 100 for score in ("completeness", "consistency", "compliance", "overall"))
    assert found["blocking_issue_count"] == len(critical_fields(found)) == len(undecided(found, {}))


def test_samples_of_personal_fields_and_values_are_masked() -> None:
    by_name = judged(["0" * 60], 50, "Phone Number")["critical_issues"][0]["samples"]
    by_value = judged(["ann@example.com, bob@example.com, cy@example.com"])["warnings"][0]["samples"]
    assert by_name == ["0" + "*" * 58 + "0"]
    assert by_value == ["a**@*******.***, ***@*******.***, **@*******.**m"]


def test_labels_are_what_fields_are_called_for_people() -> None:
    found = report(measure([{"dsc": "x" * 60}]), {"dsc": 50}, NOON, {"dsc": "Description"})
    assert [(each["field"], each["label"]) for each in found["critical_issues"]] == [("dsc", "Description")]


def test_the_time_of_a_report_is_in_utc() -> None:
    found = report(Profile(), {}, NOON.astimezone(timezone(timedelta(hours=2))))
    assert found["generated_at"] == "2026-03-01T12:00:00+00:00"


def test_a_limit_that_nothing_is_counted_for_is_refused() -> None:
    with pytest.raises(ValidationFailed, match="limit of 33, for which no values are counted: use one of 17"):
        judged(["x"], 33)


def test_every_critical_field_needs_a_decision() -> None:
    found = report(measure([{"a": "x" * 60, "b": "y" * 60, "c": "z"}]), {"a": 50, "b": 50, "c": 50}, NOON)
    assert critical_fields(found) == ("a", "b")
    assert undecided(found, {"b": "truncate", "c": "keep"}) == ("a",)
    assert undecided(found, {"a": "split", "b": "skip"}) == ()


def test_decisions_that_mean_nothing_are_refused_all_at_once() -> None:
    found = report(measure([{"owner": "x" * 60, "b": "y"}]), {"owner": 50}, NOON)
    with pytest.raises(ValidationFailed) as refused:
        undecided(found, {"owners": "keep", "owner": "cut", "b": "Keep"})
    assert refused.value.errors == [
        "there is no field 'owners' to decide about: did you mean 'owner'?",
        "field 'owner' has the decision 'cut': use one of split, truncate, skip, keep",
        "field 'b' has the decision 'Keep': use one of split, truncate, skip, keep",
    ]
