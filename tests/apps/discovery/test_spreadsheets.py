from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.discovery.spreadsheets import CELL_LENGTH, safe_cell, write_csv
from phasegate.errors import InputError
from tests.apps.discovery.test_conversion import json_values

STARTS = ["=", "+", "-", "@", "\t", "\r", " =", '"=', "'=", "\u00a0+", "\uff1d", "\t -", "\ufeff="]


@pytest.mark.parametrize("start", STARTS, ids=[start.encode("unicode_escape").decode() for start in STARTS])
def test_what_a_spreadsheet_would_run_begins_with_an_apostrophe(start: str) -> None:
    assert safe_cell(f"{start}SUM(A1)") == f"'{start}SUM(A1)"


@pytest.mark.parametrize(
    "text", ["-5", "+5", "-1,234.50", "-1.5E-3", "+4930123456", "web01", "a=b", "", "'quoted'", "x-1"]
)
def test_numbers_and_ordinary_text_stay_as_they_are(text: str) -> None:
    assert safe_cell(text) == text


@pytest.mark.parametrize("text", ["+49-30-1234", "+49 30 1234", "-", "-5+1", "+1(2)", "\t5"])
def test_what_only_looks_like_a_number_gets_an_apostrophe(text: str) -> None:
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""), (float("nan"), ""), (float("inf"), ""), (True, "true"), (-5, "-5"), (1.5, "1.5"), (["a", "b"], "a; b"),
        ({"a": 1}, '{"a": 1}'), ([1, 2], "[1, 2]"), ("a\x00b", "ab"), ("\x00=1", "'=1"), (["=1"], "'=1"),
    ],
    ids=str,
)  # fmt: skip
def test_every_value_has_its_text(value: object, text: str) -> None:
    assert safe_cell(value) == text


def test_a_cell_is_no_longer_than_a_spreadsheet_s() -> None:
    assert len(safe_cell("=" * 100_000)) == CELL_LENGTH


@given(json_values | st.text(alphabet="=+-@\t\r\n\"' \x00\ufeffab1", max_size=12))
def test_no_cell_begins_like_a_formula(value: Any) -> None:
    cell = safe_cell(value)
    try:
        float(cell.replace(",", ""))
    except ValueError:
        assert cell.lstrip(' \t\r\n\v\f\u00a0\u200b\ufeff"')[:1] not in list("=+-@") or cell.startswith("'")
    assert not cell.startswith(("\t", "\r"))


def read(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def test_a_file_has_a_mark_a_heading_and_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "assets.csv"
    rows = [{"name": "Z\u00fcrich, 1", "note": '=cmd|"x"'}, {"name": "line\nbreak", "other": "left out"}]
    assert write_csv(path, ("name", "note"), rows) == 2
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    assert read(path) == [["name", "note"], ["Z\u00fcrich, 1", '\'=cmd|"x"'], ["line\nbreak", ""]]
    assert [each.name for each in tmp_path.iterdir()] == ["assets.csv"]


def test_headings_are_cells_too(tmp_path: Path) -> None:
    write_csv(str(tmp_path / "a.csv"), ("=1+1",), [{"=1+1": "x"}])
    assert read(tmp_path / "a.csv") == [["'=1+1"], ["x"]]


def test_an_open_file_gets_the_text_as_it_comes() -> None:
    file = io.StringIO()
    assert write_csv(file, ("a",), iter([{"a": 1}])) == 1
    assert file.getvalue() == '"a"\r\n"1"\r\n'


def test_semicolons_cannot_begin_a_cell_of_their_own(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ("a",), [{"a": "x;=1+1"}])
    with (tmp_path / "a.csv").open(encoding="utf-8-sig", newline="") as file:
        assert list(csv.reader(file, delimiter=";"))[1] == ["x;=1+1"]


def test_half_a_surrogate_pair_spoils_no_file(tmp_path: Path) -> None:
    assert write_csv(tmp_path / "a.csv", ("a",), [{"a": "\ud83d"}]) == 1
    assert read(tmp_path / "a.csv")[1] == ["?"]


def test_rows_that_fail_leave_the_old_file_as_it_was(tmp_path: Path) -> None:
    def failing() -> Iterator[dict[str, Any]]:
        yield {"a": "new"}
        raise LookupError("gone")

    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(LookupError):
        write_csv(path, ("a",), failing())
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "advice"),
    [("none/a.csv", "make it"), ("folder", "name a file"), ("file/a.csv", "another place"), ("", "name a file"),
     ("a\0b", "name a file")],
    ids=["no-folder", "folder", "below-a-file", "nameless", "nul"],
)  # fmt: skip
def test_what_cannot_be_written_says_what_to_do(tmp_path: Path, name: str, advice: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=advice):
        write_csv(f"{tmp_path}/{name}" if name else "", ("a",), [])
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_full_disk_is_told() -> None:
    file = Path("/dev/full").open("w", encoding="utf-8")  # noqa: SIM115 - closing it fails as well, on some versions
    with pytest.raises(InputError, match="free some space"):
        write_csv(file, ("a",), ({"a": "x" * 1000} for _ in range(100)))
    with suppress(OSError):
        file.close()
