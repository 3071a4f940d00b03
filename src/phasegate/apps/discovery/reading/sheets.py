"""The rows of a worksheet, as a stream.

openpyxl opens the workbook: it knows its sheets, texts, styles and dates. Its own way through the rows takes three times as
long as this one, and reads a sheet that does not state its size once from end to end beforehand. The cells are those that
openpyxl gives, which tests compare; whatever is rare is left to its function for a cell.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree.ElementTree import Element, TreeBuilder, XMLParser

from phasegate.apps.discovery.errors import InventoryError
from phasegate.apps.discovery.reading.records import RECORD_LIMIT, library

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_DATA, _VALUE, _FORMULA, _INLINE, _TEXT = (f"{_MAIN}{tag}" for tag in ("sheetData", "v", "f", "is", "t"))
# Small, so that few elements live at a time: they stay in the processor's cache, and the cycle collector has little to look at.
_BLOCK = 16 * 1024
_DIGITS = tuple("123456789")
#: No cell has it in its name.
_NO_NUMBER = "\0"
Cells = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Book:
    """An open workbook: the members of its archive by the titles of their sheets, and what its cells refer to."""

    path: Path
    archive: Any
    sheets: dict[str, str]
    parser: Any
    from_excel: Any
    column_of: Any


def open_book(path: Path, handle: BinaryIO) -> Book:
    """The workbook without its rows. Of its members it reads those that describe it, and the shared texts."""
    library("openpyxl", path, "an Excel workbook")
    reading = library("openpyxl.reader.excel", path, "an Excel workbook")
    # It warns of styles and the like that it does not read. Setting this again changes nothing, and is safe in threads.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"openpyxl\.")
    reader = reading.ExcelReader(handle, read_only=True, data_only=True, keep_links=False)
    # The steps of its read() except the sheets, of which that wants to know the size.
    reader.read_manifest()
    reader.read_strings()
    reader.read_workbook()
    reading.apply_stylesheet(reader.archive, reader.wb)
    sheets: dict[str, str] = {}
    for sheet, relation in reader.parser.find_sheets():
        if relation.target in reader.valid_files and "chartsheet" not in relation.Type:
            sheets.setdefault(sheet.name, relation.target)
    return _book(path, reader, sheets)


def _book(path: Path, reader: Any, sheets: dict[str, str]) -> Book:
    parser = library("openpyxl.worksheet._reader", path, "an Excel workbook").WorkSheetParser(
        None,
        reader.shared_strings,
        data_only=True,
        epoch=reader.wb.epoch,
        date_formats=reader.wb._date_formats,
        timedelta_formats=reader.wb._timedelta_formats,
    )
    utilities = library("openpyxl.utils", path, "an Excel workbook")
    return Book(path, reader.archive, sheets, parser, utilities.datetime.from_excel, utilities.coordinate_to_tuple)


def sheet_rows(book: Book, title: str, first: int = 1) -> Iterator[Cells]:
    """The values of the rows from number ``first``; missing rows are empty, missing cells None.

    What a sheet says about its size is not asked: it is wrong in many exports. A formula gives its value, and its text
    when it was never calculated. May raise anything over a broken sheet.
    """
    book.parser.shared_formulae.clear()
    reader, number, expected = _CellReader(book), 0, first
    with book.archive.open(book.sheets[title]) as source:
        for element in _row_elements(book.path, source):
            name = element.get("r")
            number = number + 1 if name is None else _row_number(name)
            # Also of rows that are passed over: they may hold the formula that later ones share.
            cells = reader.cells(element)
            while expected < number:
                expected += 1
                yield ()
            if expected == number:
                expected += 1
                yield cells


def _row_elements(path: Path, source: BinaryIO) -> Iterator[Element]:
    """The rows of a sheet, each let go of once it was given. Nothing after them is parsed, but all is unpacked."""
    builder = TreeBuilder()
    parser, data, seen, waiting = XMLParser(target=builder), None, 0, 0
    while block := source.read(_BLOCK):
        parser.feed(block)
        # The tree so far. Events would name its elements as well, and cost as much again as building them.
        root: Element | None = builder.close()
        if root is None:
            continue
        if data is None:
            data, seen = next((each for each in root[seen:] if each.tag == _DATA), None), len(root)
        ended = data is not None and root[-1] is not data
        finished = _taken(data, every=ended)
        yield from finished
        if ended:
            break
        waiting = 0 if finished else waiting + len(block)
        if waiting > RECORD_LIMIT:
            raise InventoryError(f"{path} has a row of more than {RECORD_LIMIT:,} bytes: export it as CSV")
    else:
        parser.close()
        yield from _taken(data, every=True)
    while source.read(_BLOCK):  # to the end, where the checksum is compared
        pass


def _taken(data: Element | None, *, every: bool) -> list[Element]:
    """The rows that are complete, taken out of the tree; the last may not be before what follows it is known."""
    if data is None:
        return []
    count = len(data) if every else len(data) - 1
    finished = data[: max(count, 0)]
    del data[: len(finished)]
    return finished


def _row_number(name: str) -> int:
    try:
        return int(name)
    except ValueError:
        number = float(name)
        if not number.is_integer():
            raise
        return int(number)


class _CellReader:
    """Makes values of the cells of a sheet."""

    def __init__(self, book: Book) -> None:
        self._parser, self._from_excel, self._column_of = book.parser, book.from_excel, book.column_of
        self._texts, self._dates = book.parser.shared_strings, frozenset(book.parser.date_formats)
        self._columns: dict[str, int] = {}
        self._kinds = {
            None: self._number,
            "n": self._number,
            "s": self._shared,
            "inlineStr": self._inline,
            "b": self._flag,
            "str": self._text,
            "e": self._text,
        }

    def cells(self, row: Element) -> Cells:
        number = row.get("r", "")
        if not number.startswith(_DIGITS):
            number = _NO_NUMBER
        values: list[Any] = []
        column = 0
        for cell in row:
            column = self._column(cell.get("r"), number, column)
            value = self._kinds.get(cell.get("t"), self._other)(cell)
            if len(cell) > 1 or (value is None and len(cell)):
                value = self._calculated(cell, value)
            if column > len(values):
                values.extend([None] * (column - 1 - len(values)))
                values.append(value)
            else:
                values[column - 1] = value
        return tuple(values[:column])

    def _column(self, name: str | None, number: str, before: int) -> int:
        """The column of a cell, from 1, by its name: the column's letters and the row's number."""
        if not name:
            return before + 1
        if not name.endswith(number):
            return int(self._column_of(name)[1])
        letters = name[: -len(number)]
        found = self._columns.get(letters)
        if found is None:
            found = int(self._column_of(name)[1])
            if letters.isalpha():
                self._columns[letters] = found
        return found

    def _number(self, cell: Element) -> Any:
        text = cell.findtext(_VALUE)
        if not text:
            return None
        number = float(text) if "." in text or "E" in text or "e" in text else int(text)
        style = int(cell.get("s") or 0)
        return self._moment(number, style) if style in self._dates else number

    def _moment(self, number: float, style: int) -> Any:
        try:
            return self._from_excel(number, self._parser.epoch, timedelta=style in self._parser.timedelta_formats)
        except (OverflowError, ValueError):  # no calendar has this day
            return "#VALUE!"

    def _shared(self, cell: Element) -> Any:
        text = cell.findtext(_VALUE)
        return self._texts[int(text)] if text else None

    def _inline(self, cell: Element) -> Any:
        inline = cell.find(_INLINE)
        if inline is not None and len(inline) == 1 and inline[0].tag == _TEXT:
            return inline[0].text or ""
        return self._other(cell)

    def _flag(self, cell: Element) -> bool | None:
        text = cell.findtext(_VALUE)
        return bool(int(text)) if text else None

    def _text(self, cell: Element) -> str | None:
        return cell.findtext(_VALUE) or None

    def _other(self, cell: Element) -> Any:
        return self._parser.parse_cell(cell)["value"]

    def _calculated(self, cell: Element, value: Any) -> Any:
        """The value, or the text of the formula when there is none. Formulas that others share are remembered."""
        formula = cell.find(_FORMULA)
        if formula is None:
            return value
        shared = formula.get("t") == "shared" and formula.get("si") not in self._parser.shared_formulae
        if value is not None and not shared:
            return value
        parsed = self._parser.parse_formula(cell)
        return _formula_text(parsed) if value is None else value


def _formula_text(formula: Any) -> str | None:
    """The text of a formula, also of one that fills several cells."""
    text = getattr(formula, "text", formula)
    return text if isinstance(text, str) and text.startswith("=") else None
