from __future__ import annotations

import functools
import importlib
import io
import itertools
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from phasegate.apps.discovery.errors import InventoryError
from phasegate.apps.discovery.reading import sheets
from phasegate.apps.discovery.reading.opening import inspect
from tests.apps.discovery.files import Everything, read, read_restarting

SHEET = "xl/worksheets/sheet1.xml"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
TEXTS = (
    f'<sst xmlns="{MAIN}"><si><t>Name</t></si><si><t xml:space="preserve"> plain </t></si><si><r><rPr><b/></rPr><t>rich </t></r>'
    '<r><t>text</t></r></si><si><t/></si><si><t>R&amp;D</t><phoneticPr fontId="1"/></si></sst>'
)


@functools.cache
def members() -> dict[str, bytes]:
    """A workbook whose cell styles 1 to 4 are a date, a moment, a span and a number, and that has shared texts."""
    book = importlib.import_module("openpyxl").Workbook()
    book.active.title = "Servers"
    book.active.append([datetime(2024, 1, 31), 1, timedelta(hours=30), 1.5])  # noqa: DTZ001  # a sheet has no zones
    for cell, number_format in zip(book.active[1], ("yyyy-mm-dd", "dd.mm.yy hh:mm", "[h]:mm:ss", "0.00"), strict=True):
        cell.number_format = number_format
    book.create_sheet("Texts").append(["text"])
    content = io.BytesIO()
    book.save(content)
    with zipfile.ZipFile(content) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    types, texts = found["[Content_Types].xml"], b"/xl/sharedStrings.xml"
    if texts not in types:
        kind = b"application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
        types = types.replace(b"</Types>", b'<Override PartName="%s" ContentType="%s"/></Types>' % (texts, kind))
    return found | {"[Content_Types].xml": types, "xl/sharedStrings.xml": TEXTS.encode()}


def write_sheet(folder: Path, data: str, *, before: str = "", after: str = "", whole: str | None = None) -> Path:
    sheet = f'<worksheet xmlns="{MAIN}">{before}<sheetData>{data}</sheetData>{after}</worksheet>'
    path = folder / "inventory.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (members() | {SHEET: (sheet if whole is None else whole).encode()}).items():
            archive.writestr(name, content)
    return path


@contextmanager
def their_book(path: Path, *, data_only: bool) -> Iterator[Any]:
    book = importlib.import_module("openpyxl").load_workbook(path, read_only=True, data_only=data_only)
    sheet = book.worksheets[0]
    sheet.reset_dimensions()
    yield sheet
    book.close()


def theirs(path: Path, first: int) -> list[tuple[Any, ...]]:
    """The rows by openpyxl alone: values, and the texts of formulas where there are none."""
    with their_book(path, data_only=True) as values, their_book(path, data_only=False) as formulas:
        pairs = zip(
            values.iter_rows(min_row=first, values_only=True),
            formulas.iter_rows(min_row=first, values_only=True),
            strict=True,
        )
        return [
            tuple(
                sheets._formula_text(formula) if value is None else value for value, formula in zip(*pair, strict=True)
            )
            for pair in pairs
        ]


def ours(path: Path, first: int) -> list[tuple[Any, ...]]:
    with path.open("rb") as handle:
        return list(sheets.sheet_rows(sheets.open_book(path, handle), "Servers", first))


def kinds(rows: list[tuple[Any, ...]]) -> list[list[tuple[type, Any]]]:
    """The cells with their types, because 1, 1.0 and True are equal otherwise."""
    return [[(type(value), value) for value in row] for row in rows]


NUMBERS = st.sampled_from(
    [
        *("0", "1", "-7", "1.0", "1.5", "2.5E3", "1e-3", "45322", "45322.75", "0.25", "59", "60", "61.5", "-1"),
        *("99999999", "12345678901234567", "1e400"),
    ]
)
FORMULAS = st.sampled_from(
    [
        "<f>A1+1</f>",
        "<f/>",
        '<f t="shared" ref="A1:C9" si="0">$B9*2</f>',
        '<f t="shared" si="0"/>',
        '<f t="shared" si="1"/>',
        '<f t="array" ref="A1:A2">SUM(A1:A2)</f>',
        '<f t="dataTable" ref="A1:A2" dt2D="1" dtr="1" r1="A1" r2="A2"/>',
    ]
)
INLINE = st.sampled_from(
    [
        "<is><t>text</t></is>",
        "<is><t/></is>",
        "<is/>",
        "",
        "<is><r><t>rich </t></r><r><t>text</t></r></is>",
        '<is><t xml:space="preserve"> a &lt;b&gt; &#228;\n</t></is>',
        "<is><t><![CDATA[<row>]]></t></is>",
        '<is><t>text</t><phoneticPr fontId="1"/></is>',
    ]
)
CONTENTS = st.one_of(
    st.tuples(st.sampled_from(["", ' t="n"']), NUMBERS.map("<v>{}</v>".format)),
    st.tuples(st.just(' t="s"'), st.integers(0, 4).map("<v>{}</v>".format)),
    st.tuples(st.just(' t="b"'), st.sampled_from(["<v>0</v>", "<v>1</v>", ""])),
    st.tuples(st.just(' t="e"'), st.sampled_from(["<v>#N/A</v>", "<v>#DIV/0!</v>"])),
    st.tuples(st.just(' t="str"'), st.sampled_from(["<v>text</v>", "<v> =x </v>", "<v/>", "<v>1<!-- 2 -->3</v>"])),
    st.tuples(st.just(' t="d"'), st.sampled_from(["<v>2024-01-31T12:30:00</v>", "<v>2024-01-31</v>"])),
    st.tuples(st.just(' t="inlineStr"'), INLINE),
    st.tuples(st.sampled_from(["", ' t="n"', ' t="s"']), st.just("")),
)
STYLES = st.sampled_from(["", "", "", ' s="0"', ' s="1"', ' s="2"', ' s="3"', ' s="4"'])
CELLS = st.lists(
    st.tuples(st.sampled_from(["", "A", "B", "C", "D", "AB"]), STYLES, CONTENTS, st.one_of(st.just(""), FORMULAS)),
    max_size=5,
)
ROWS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 1, 1, 1, 3, -1]), st.sampled_from(["", ' hidden="1"', ' ht="3" spans="1:9"']), CELLS
    ),
    max_size=8,
)


def sheet_xml(rows: list[Any]) -> str:
    """Rows with their distance from the row before, those with a distance of 0 without a number."""
    text, number = [], 0
    for distance, attributes, cells in rows:
        number = max(1, number + (distance or 1))
        name = f' r="{number}"' if distance else ""
        text.append(f"<row{name}{attributes}>{''.join(cell_xml(number, *cell) for cell in cells)}</row>\n")
    return "".join(text)


def cell_xml(number: int, column: str, style: str, content: tuple[str, str], formula: str) -> str:
    name = f' r="{column}{number}"' if column or "shared" in formula else ""
    name = name.replace(f'"{number}"', f'"E{number}"')
    return f"<c{name}{style}{content[0]}>{formula}{content[1]}</c>"


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(ROWS, st.integers(1, 4), st.sampled_from([1, 40, 16_384]))
def test_the_cells_are_those_of_openpyxl(tmp_path: Path, rows: list[Any], first: int, block: int) -> None:
    path = write_sheet(
        tmp_path,
        sheet_xml(rows),
        before='<dimension ref="A1:A1"/><cols><col min="1" max="2" width="9"/></cols>',
        after='<mergeCells count="1"><mergeCell ref="A1:B2"/></mergeCells>',
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sheets, "_BLOCK", block)
        assert kinds(ours(path, first)) == kinds(theirs(path, first))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.sampled_from(["A1", "A", "A01", "A0", "$B$1", "1", "b1", "ZZZ1", "A12", "?1", "Ä1", "A1 "]), max_size=3
    ),
    st.sampled_from(["1", "01", "1.0", "x", "+1", "", "12"]),
)
@example(["A1", "A"], "1")
@example(["A1", "A01"], "01")
def test_odd_names_of_cells_and_rows_are_taken_as_openpyxl_takes_them(
    tmp_path: Path, names: list[str], number: str
) -> None:
    cells = "".join(f'<c r="{name}"><v>1</v></c>' for name in names)
    path = write_sheet(tmp_path, f'<row r="{number}">{cells}</row>')
    try:
        expected = theirs(path, 1)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            ours(path, 1)
    else:
        assert ours(path, 1) == expected


HEADER = '<row r="1"><c r="A1" t="s"><v>0</v></c></row>'
ROW = '<row><c t="inlineStr"><is><t>alpha</t></is></c></row>'


def test_a_sheet_that_does_not_state_its_size_and_one_that_lies_about_it_give_all_rows(tmp_path: Path) -> None:
    for before in ("", '<dimension ref="A1"/>', '<dimension ref="A1:XFD1048576"/>'):
        path = write_sheet(tmp_path, HEADER + ROW * 3_000, before=before)
        assert read(path).rows == [{"Name": "alpha"}] * 3_000


def test_a_shared_formula_is_known_after_a_restart(tmp_path: Path) -> None:
    formula = '<row r="2"><c r="A2"><f t="shared" ref="A2:A4" si="0">B2+1</f><v>5</v></c></row>'
    users = "".join(f'<row r="{number}"><c r="A{number}"><f t="shared" si="0"/></c></row>' for number in (3, 4))
    path = write_sheet(tmp_path, HEADER + formula + users)
    assert read(path).rows == [{"Name": 5}, {"Name": "=B3+1"}, {"Name": "=B4+1"}]
    assert read_restarting(path, 1) == read(path, 1)


def entities() -> str:
    """A few hundred bytes that stand for gigabytes."""
    names = "abcdefghijk"
    pairs = itertools.pairwise(names)
    definitions = "".join(f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in pairs)
    return f'<!DOCTYPE worksheet [<!ENTITY a "{"x" * 10}">{definitions}]>'


BROKEN = {
    "cut off": f'<worksheet xmlns="{MAIN}"><sheetData>{HEADER}{ROW}',
    "cut off after the rows": f'<worksheet xmlns="{MAIN}"><sheetData>{HEADER}{ROW}</sheetData>',
    "no XML": "Name,Status",
    "empty": "",
    "entities": f'{entities()}<worksheet xmlns="{MAIN}"><sheetData>{HEADER}'
    "<row><c><v>&k;</v></c></row></sheetData></worksheet>",
    "other namespace": f'<worksheet xmlns="urn:x"><sheetData>{HEADER}{ROW}</sheetData></worksheet>',
    "no rows": f'<worksheet xmlns="{MAIN}"><cols/></worksheet>',
    "deep": f'<worksheet xmlns="{MAIN}"><sheetData>{HEADER}{"<row>" * 100_000}',
}


@pytest.mark.parametrize("case", sorted(BROKEN))
def test_a_broken_sheet_is_an_inventory_error(tmp_path: Path, case: str) -> None:
    with pytest.raises(InventoryError, match=r"workbook|no rows"):
        read(write_sheet(tmp_path, "", whole=BROKEN[case]))


@pytest.mark.parametrize("part", ["row", "before"])
def test_what_never_ends_is_not_held_in_memory(tmp_path: Path, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "RECORD_LIMIT", 100_000)
    endless = "<c/>" * 50_000
    data = HEADER + ROW + f"<row>{endless}</row>" if part == "row" else HEADER + ROW
    path = write_sheet(tmp_path, data, before=endless if part == "before" else "")
    with pytest.raises(InventoryError, match="more than 100,000 bytes"):
        read(path)


def test_what_follows_the_rows_is_not_parsed_but_its_checksum_is_compared(tmp_path: Path) -> None:
    path = write_sheet(tmp_path, HEADER + ROW, after="<extLst>" + "<ext/>" * 20_000)
    assert read(path) == Everything(rows=[{"Name": "alpha"}], numbers=[1])
    found = inspect(path)
    assert found.headings == ("Name",)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        stored = archive.getinfo(SHEET)
        content[content.index(stored.CRC.to_bytes(4, "little"), archive.start_dir)] ^= 255
    path.write_bytes(content)
    with pytest.raises(InventoryError, match="CRC"):
        read(path)
