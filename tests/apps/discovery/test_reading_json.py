from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phasegate.apps.discovery.errors import InventoryError
from phasegate.apps.discovery.reading import json_text, records
from phasegate.apps.discovery.reading.opening import inspect
from tests.apps.discovery.files import (
    HEADINGS,
    ROWS,
    read,
    read_restarting,
    write_bytes,
    write_json,
    write_json_lines,
    write_text,
)

EXPECTED = [dict(zip(HEADINGS, row, strict=True)) for row in ROWS]


@pytest.mark.parametrize("wrapper", ["data", "records", "items", "results", "rows"])
def test_records_within_a_mapping_are_found(tmp_path: Path, wrapper: str) -> None:
    value = {"total": 3, "next": None, "meta": {"rows": [1]}, "items" if wrapper != "items" else "data": ["x"]}
    path = write_json(tmp_path, {**value, wrapper: EXPECTED, "page": {"size": 3}})
    found = inspect(path)
    assert found.place == wrapper
    assert any("not imported" in note for note in found.notes)
    assert read(path).rows == read_restarting(path, 1).rows == EXPECTED


def test_a_mapping_without_records_is_a_record(tmp_path: Path) -> None:
    path = write_text(tmp_path, "a.json", json.dumps({"name": "alpha", "items": ["a", 1, None]}, indent=2))
    everything = read(path)
    assert everything.rows == [{"name": "alpha", "items": "a; 1"}]


def test_nested_values_become_dotted_names(tmp_path: Path) -> None:
    record = {
        "os": {"name": "linux", "version": {"major": 5}},
        "os.name": "again",
        " tags ": ["a", True, 2, None],
        "disks": [{"gb": 1}, {"gb": 2}],
        "none": {},
        "": "unnamed",
        "flag": False,
        "big": 2**70,
        "size": 1.5,
    }
    path = write_json(tmp_path, [record])
    row = {
        "os.name": "linux",
        "os.version.major": 5,
        "os.name (2)": "again",
        "tags": "a; true; 2",
        "disks": '[{"gb": 1}, {"gb": 2}]',
        "none": None,
        "Column 7": "unnamed",
        "flag": False,
        "big": str(2**70),
        "size": 1.5,
    }
    assert read(path).rows == [row]
    assert inspect(path).headings == tuple(row)
    assert read(path).rows[0]["flag"] is False


@pytest.mark.parametrize("form", ["[%s]", "%s\n%s"], ids=["document", "lines"])
def test_what_json_has_not_is_none_and_what_it_has_twice_is_kept_twice(tmp_path: Path, form: str) -> None:
    record = '{"name": "a\\u0000b\\ud800", "x": NaN, "y": -Infinity, "z": 1e999, "x": 2, "list": [NaN, {"v": NaN}]}'
    everything = read(write_text(tmp_path, "a.jsonl", form.replace("%s", record)))
    assert everything.rows[0] == {
        "name": "ab\ufffd", "x": None, "y": None, "z": None, "x (2)": 2, "list": '[null, {"v": null}]',
    }  # fmt: skip
    assert any("cannot be stored" in note for note in everything.notes)


def test_numbers_of_thousands_of_digits_are_text(tmp_path: Path) -> None:
    path = write_text(tmp_path, "a.json", '[{"n": %s, "m": 7}]' % ("9" * 5_000))
    assert read(path).rows == [{"n": "9" * 5_000, "m": 7}]


@pytest.mark.parametrize("kind", ["json", "jsonl"])
def test_records_that_are_none_are_counted_with_their_reason(tmp_path: Path, kind: str) -> None:
    values = [{"a": 1}, 5, "text", [1], None, True, {}, {"a": None, "b": ""}, {"a": 2}]
    path = write_json(tmp_path, values) if kind == "json" else write_json_lines(tmp_path, values)
    everything = read(path)
    assert everything.rows == [{"a": 1}, {"a": 2}]
    assert everything.numbers == [1, 9]
    what = ["a number", "a text", "a list", "null", "a truth value"]
    assert [each.reason for each in everything.skipped] == [f"not a record but {each}" for each in what] + [
        "an empty row"
    ] * 2
    assert [each.line for each in everything.skipped] == [2, 3, 4, 5, 6, 7, 8]


def test_a_broken_line_costs_that_line_only(tmp_path: Path) -> None:
    lines = [
        '{"a": 1',
        '{"a": 2}',
        "",
        '{"a": 3} {"a": 4}',
        "x" * 500,
        '{"a": 5}',
        '{"a": ' + "[" * 100_000,
        '{"a": 6}',
    ]
    everything = read(write_text(tmp_path, "a.jsonl", "\n".join(lines)))
    assert everything.rows == [{"a": 2}, {"a": 5}, {"a": 6}]
    assert everything.numbers == [2, 6, 8]
    assert [each.line for each in everything.skipped] == [1, 3, 4, 5, 7]
    assert all(each.reason and len(each.sample) <= records.SAMPLE_LIMIT for each in everything.skipped)


@pytest.mark.parametrize(
    "text",
    [
        '[{"a": 1}, {"a": 2',
        '[{"a": 1} {"a": 2}]',
        '[{"a": 1}, {"a": x}]',
        '[{"a": 1}][{"a": 2}]',
        '[{"a": 1}',
        '[{"a": 1},',
        "[]",
        "[1, 2]",
        '{"data": []}',
        '{"data": [{"a": 1}',
        '{"a": 1',
        '{"a" 1}',
        "[" * 100_000,
        '{"a":' * 100_000,
    ],
)
def test_a_broken_document_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(InventoryError) as raised:
        read(write_text(tmp_path, "a.json", text))
    assert str(tmp_path) in str(raised.value)


def test_json_in_other_encodings_and_with_foreign_bytes_is_read(tmp_path: Path) -> None:
    text = json.dumps([{"name": "Zürich"}, {"name": "日本 😀"}], ensure_ascii=False)
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-32"):
        path = write_text(tmp_path, "a.json", text + "\n", encoding)
        assert [row["name"] for row in read_restarting(path, 1).rows] == ["Zürich", "日本 😀"], encoding
    mixed = write_bytes(tmp_path, "b.json", '[{"name": "Zürich"}, {"name": "K'.encode() + b'\xf6ln"}, {"name": "Ulm"}]')
    assert [row["name"] for row in read_restarting(mixed, 1).rows] == ["Zürich", "Köln", "Ulm"]
    assert len(read(mixed).notes) == 1


def test_large_records_are_read_and_too_large_ones_refused(tmp_path: Path) -> None:
    path = write_json(tmp_path, [{"a": "x" * 10_000_000}, {"a": "y" * 10_000_000}, {"a": 1}])
    assert [len(str(row["a"])) for row in read(path).rows] == [10_000_000, 10_000_000, 1]
    path = write_text(tmp_path, "b.json", '[{"a": 1}, {"a": "' + "x" * (records.RECORD_LIMIT + 10_000_000) + '"}]')
    with pytest.raises(InventoryError, match=r"record 2 .*does not end"):
        read(path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(st.dictionaries(st.text(max_size=4), VALUES, max_size=4) | VALUES, max_size=6),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 2]),
    block=st.sampled_from([1, 3, 64]),
    limit=st.integers(1, 4),
)
def test_a_document_read_through_any_window_loses_nothing(
    tmp_path: Path, values: list[Any], ascii_only: bool, indent: int | None, block: int, limit: int
) -> None:
    values = [{"name": "first"}, *values]
    text = json.dumps(values, ensure_ascii=ascii_only, indent=indent)
    path = write_bytes(tmp_path, "a.json", text.encode("utf-8", "replace"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_text, "_BLOCK", block)
        patch.setattr(json_text, "_LARGEST_BLOCK", block)
        whole = read(path)
        assert read_restarting(path, limit) == read(path, limit)
    assert len(whole.rows) + len(whole.skipped) == len(values)
    assert sorted([*whole.numbers, *(each.line for each in whole.skipped)]) == list(range(1, len(values) + 1))
    for row in whole.rows:
        json.dumps(row, allow_nan=False).encode()
        assert all(value is None or isinstance(value, str | int | float) for value in row.values())
