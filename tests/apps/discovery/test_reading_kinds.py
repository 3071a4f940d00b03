from __future__ import annotations

import importlib
import math
import sys
import zipfile
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from phasegate.apps.discovery.errors import InventoryError
from phasegate.apps.discovery.reading import workbooks
from phasegate.apps.discovery.reading.opening import inspect, open_reader
from tests.apps.discovery.files import (
    HEADINGS,
    ROWS,
    read,
    read_restarting,
    write_bytes,
    write_csv,
    write_json,
    write_json_lines,
    write_parquet,
    write_workbook,
)

EXPECTED = [dict(zip(HEADINGS, row, strict=True)) for row in ROWS]


def file_of(kind: str, folder: Path, times: int = 1) -> Path:
    if kind == "csv":
        return write_csv(folder, [HEADINGS, *ROWS * times])
    if kind == "json":
        return write_json(folder, EXPECTED * times)
    if kind == "jsonl":
        return write_json_lines(folder, EXPECTED * times)
    if kind == "xlsx":
        return write_workbook(folder, {"Servers": [HEADINGS, *ROWS * times]})
    columns = {name: [row[place] for row in ROWS] * times for place, name in enumerate(HEADINGS)}
    return write_parquet(folder, columns, group=10)


KINDS = ("csv", "json", "jsonl", "xlsx", "parquet")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_same_rows(tmp_path: Path, kind: str) -> None:
    path = file_of(kind, tmp_path)
    found = inspect(path)
    assert (found.format, found.headings, found.notes) == (kind, HEADINGS, ())
    everything = read(path)
    assert everything.rows == EXPECTED
    assert everything.numbers == [1, 2, 3]
    assert (everything.skipped, everything.notes) == ([], [])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [1, 7, 30, 31])
def test_every_kind_goes_on_after_each_piece(tmp_path: Path, kind: str, limit: int) -> None:
    path = file_of(kind, tmp_path, 10)
    everything = read_restarting(path, limit)
    assert everything.rows == EXPECTED * 10
    assert everything.numbers == list(range(1, 31))


@pytest.mark.parametrize("kind", KINDS)
def test_the_content_of_every_kind_overrules_its_name(tmp_path: Path, kind: str) -> None:
    path = file_of(kind, tmp_path).rename(tmp_path / ("inventory.json" if kind != "json" else "inventory.csv"))
    found = inspect(path)
    assert found.format == kind
    assert [note.startswith("The file is named") for note in found.notes] == [True]
    assert read(path).rows == EXPECTED


def test_cells_of_a_workbook_become_text_numbers_and_booleans(tmp_path: Path) -> None:
    cells: dict[str, Any] = {
        "Date": date(2024, 1, 31), "Moment": datetime(2024, 1, 31, 12, 30),  # noqa: DTZ001  # a sheet has no zones
        "Time": time(8, 15), "Whole": 4, "Number": 1.5, "Flag": True, "Text": "=x", "Span": timedelta(hours=30),
    }  # fmt: skip
    path = write_workbook(tmp_path, {"Servers": [list(cells), list(cells.values())]})
    (row,) = read(path).rows
    assert row == {
        "Date": "2024-01-31", "Moment": "2024-01-31T12:30:00", "Time": "08:15:00", "Whole": 4, "Number": 1.5,
        "Flag": True, "Text": "=x", "Span": "1 day, 6:00:00",
    }  # fmt: skip


def test_the_first_sheet_with_rows_is_read_and_the_others_are_named(tmp_path: Path) -> None:
    sheets: dict[str, Any] = {
        "Cover": [("Inventory of the year",)],
        "Blank": [],
        "Servers": [(), HEADINGS, (), *ROWS],
        "More": ROWS,
    }
    path = write_workbook(tmp_path, sheets)
    found = inspect(path)
    assert found.place == "Servers"
    assert found.notes == ("The workbook has several sheets; 'Servers' is read, and not 'Cover', 'More'.",)
    everything = read(path)
    assert everything.rows == EXPECTED
    assert everything.numbers == [2, 3, 4]
    assert [(each.line, each.reason) for each in everything.skipped] == [(3, "an empty row")]
    assert read_restarting(path, 1) == read(path, 1)


def test_cells_beyond_the_header_of_a_sheet_are_kept(tmp_path: Path) -> None:
    path = write_workbook(tmp_path, {"A": [("Name", None, "Name", None), ("a", 1, 2, None, 3), ("b",)]})
    assert inspect(path).headings == ("Name", "Column 2", "Name (2)")
    assert read(path).rows[0] == {"Name": "a", "Column 2": 1, "Name (2)": 2, "Column 5": 3}
    assert len(read(path).notes) == 1


@pytest.mark.parametrize(
    ("sheets", "reason"),
    [
        ({"A": []}, "no rows in any sheet"),
        ({"A": [HEADINGS]}, "a header but no rows"),
        ({"A": [(1, 2, 3), ("a", "b", "c")]}, "corrupted"),
    ],
    ids=["empty", "header only", "numbers for headings"],
)
def test_a_workbook_without_a_table_is_refused(tmp_path: Path, sheets: Any, reason: str) -> None:
    with pytest.raises(InventoryError, match=reason):
        inspect(write_workbook(tmp_path, sheets))


def test_a_workbook_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file_of("xlsx", tmp_path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/media/zeros.bin", b"\0" * 3_000_000)
    assert path.stat().st_size < 100_000
    monkeypatch.setattr(workbooks, "UNPACKED_LIMIT", 2_000_000)
    with pytest.raises(InventoryError, match="unpacks to"):
        inspect(path)


def test_a_workbook_with_a_password_and_other_archives_are_told_apart(tmp_path: Path) -> None:
    header = bytearray(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 504)
    header[30], header[48] = 9, 2  # sectors of 512 bytes, the directory in the third
    content = bytes(header) + b"\0" * 1_024 + "EncryptedPackage".encode("utf-16-le") + b"\0" * 512
    with pytest.raises(InventoryError, match="password"):
        inspect(write_bytes(tmp_path, "a.xlsx", content))
    for member, reason in {
        "word/document.xml": "Word",
        "content.xml": "OpenDocument",
        "xl/workbook.bin": "binary Excel",
        "a.txt": "zip",
    }.items():
        with zipfile.ZipFile(tmp_path / "b.xlsx", "w") as archive:
            archive.writestr(member, "x")
        with pytest.raises(InventoryError, match=reason):
            inspect(tmp_path / "b.xlsx")


def test_values_of_parquet_become_text_numbers_and_booleans(tmp_path: Path) -> None:
    pyarrow: Any = importlib.import_module("pyarrow")
    moment = datetime(2024, 1, 31, 12, 30, tzinfo=UTC)
    columns = {
        "name": ["alpha", None],
        "os": [{"name": "linux", "version": {"major": 5}}, None],
        "tags": [["a", "b"], []],
        "seen": pyarrow.array([moment, None], pyarrow.timestamp("us", "UTC")),
        "nanos": pyarrow.array([1, None], pyarrow.timestamp("ns")),
        "day": [date(2024, 1, 31), None],
        "price": [Decimal("1.50"), Decimal("2.00")],
        "load": [math.nan, math.inf],
        "raw": [b"abc", b"\xff\x00"],
    }
    path = write_parquet(tmp_path, columns)
    first, second = read(path).rows
    assert first == {
        "name": "alpha", "os.name": "linux", "os.version.major": 5, "tags": "a; b", "seen": "2024-01-31T12:30:00+00:00",
        "nanos": "1970-01-01T00:00:00.000000001", "day": "2024-01-31", "price": 1.5, "load": None, "raw": "abc",
    }  # fmt: skip
    assert (second["os.name"], second["tags"], second["price"], second["load"], second["raw"]) == (
        None, None, 2, None, "ff00",
    )  # fmt: skip
    assert inspect(path).headings == tuple(first)


def test_parquet_without_rows_is_refused_and_its_empty_rows_are_counted(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match="columns but no rows"):
        inspect(write_parquet(tmp_path, {"name": []}))
    everything = read(write_parquet(tmp_path, {"name": ["a", None, "b"], "x": [1, None, None]}))
    assert everything.numbers == [1, 3]
    assert [(each.line, each.reason) for each in everything.skipped] == [(2, "an empty row")]


@pytest.mark.parametrize("kind", ["xlsx", "parquet"])
def test_a_missing_library_is_named_with_the_command(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file_of(kind, tmp_path)
    found = inspect(path)
    for module in ("openpyxl", "pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, module, None)
    for attempt in (lambda: inspect(path), lambda: open_reader(found)):
        with pytest.raises(InventoryError, match=r'pip install "phasegate\[files\]"'):
            attempt()


def write_sheet_xml(path: Path, rows: str) -> None:
    """Put other XML in place of the rows of the first sheet."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    (name,) = (name for name in members if name.endswith("sheet1.xml"))
    before, _, rest = members[name].partition(b"<sheetData>")
    members[name] = before + b"<sheetData>" + rows.encode() + b"</sheetData>" + rest.partition(b"</sheetData>")[2]
    with zipfile.ZipFile(path, "w") as archive:
        for each, content in members.items():
            archive.writestr(each, content)


def test_a_formula_gives_its_value_and_without_one_its_text(tmp_path: Path) -> None:
    path = file_of("xlsx", tmp_path)
    write_sheet_xml(
        path,
        '<row r="1"><c r="A1" t="inlineStr"><is><t>Name</t></is></c><c r="B1" t="inlineStr"><is><t>Sum</t></is></c></row>'
        '<row r="2"><c r="A2"><v>1</v></c><c r="B2"><f>A2+1</f><v>2</v></c></row>'
        '<row r="3"><c r="A3"><v>3</v></c><c r="B3"><f>A3+1</f></c></row>',
    )
    assert read(path).rows == [{"Name": 1, "Sum": 2}, {"Name": 3, "Sum": "=A3+1"}]
    assert read_restarting(path, 1) == read(path, 1)


def test_a_row_number_that_no_sheet_can_have_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbooks, "_ROW_LIMIT", 5_000)
    path = file_of("xlsx", tmp_path)
    cell = '<c t="inlineStr"><is><t>Name</t></is></c>'
    write_sheet_xml(path, f'<row r="1">{cell}</row><row r="2">{cell}</row><row r="99999999">{cell}</row>')
    with pytest.raises(InventoryError, match="more than 5,000 rows"):
        read(path, 100_000)
