"""Excel workbooks, row by row: the first sheet that has rows."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from phasegate.apps.discovery.errors import InventoryError
from phasegate.apps.discovery.reading.delimited import LONGER, add_further
from phasegate.apps.discovery.reading.flattening import Flattener
from phasegate.apps.discovery.reading.headings import check_headings, heading_notes, unique_headings
from phasegate.apps.discovery.reading.records import EMPTY_ROW, Gathering, Inventory, Piece, Reader
from phasegate.apps.discovery.reading.sheets import Book, Cells, open_book, sheet_rows

#: The largest workbook unpacked, in bytes.
UNPACKED_LIMIT = 2 * 1024**3
#: The most bytes of shared texts, which the library holds in memory as a whole at about twice their size.
TEXTS_LIMIT = 160 * 1024**2
_ROW_LIMIT = 1_048_576


def describe_workbook(found: Inventory) -> Inventory:
    """The inventory with the sheet that is read, and its headings."""
    _refuse_large(found.path)
    with found.path.open("rb") as handle, _refusing(found.path):
        book = open_book(found.path, handle)
        beginnings = {title: _beginning(book, title) for title in book.sheets}
        filled = [title for title, rows in beginnings.items() if rows]
        sheet = next((title for title in filled if len(beginnings[title]) > 1), None)
        if sheet is None:
            what = "has a header but no rows" if filled else "has no rows in any sheet"
            raise InventoryError(f"{found.path} {what}: export it again with its data")
        number, header = beginnings[sheet][0]
    names = ["" if cell is None else str(cell) for cell in header]
    check_headings(found.path, names)
    notes = [*found.notes, *heading_notes(names)]
    if len(filled) > 1:
        others = ", ".join(repr(title) for title in filled if title != sheet)
        notes.append(f"The workbook has several sheets; {sheet!r} is read, and not {others}.")
    start = {"row": number + 1, "record": 0}
    return replace(found, headings=unique_headings(names), notes=tuple(notes), place=sheet, start=start)


class WorkbookReader(Reader):
    """Reads the rows of a sheet. Going on in the middle passes through the rows before, which only costs time."""

    def __init__(self, inventory: Inventory, cursor: dict[str, Any]) -> None:
        self._path, self._headings = inventory.path, inventory.headings
        self._row: int = cursor["row"]
        self._record: int = cursor["record"]
        self._flattener = Flattener()
        self._handle = inventory.path.open("rb")
        try:
            with _refusing(self._path):
                book = open_book(inventory.path, self._handle)
                self._rows = sheet_rows(book, str(inventory.place), self._row)
                self._upcoming = self._next()
        except InventoryError:
            self._handle.close()
            raise

    def piece(self, limit: int) -> Piece:
        gathering = Gathering(limit)
        with _refusing(self._path):
            while self._upcoming is not None and not gathering.full:
                self._record += 1
                self._add(gathering, self._upcoming)
                self._row += 1
                self._upcoming = self._next()
        ended = self._upcoming is None
        return gathering.finish(None if ended else {"row": self._row, "record": self._record})

    def close(self) -> None:
        self._handle.close()

    def _next(self) -> Cells | None:
        if self._row > _ROW_LIMIT:
            raise InventoryError(f"{self._path} has more than {_ROW_LIMIT:,} rows in a sheet: export it as CSV")
        return next(self._rows, None)

    def _add(self, gathering: Gathering, cells: Cells) -> None:
        values = [self._cell(value) for value in cells]
        if all(value is None or not str(value).strip() for value in values):
            gathering.skip(self._row, EMPTY_ROW)
            return
        row = dict(zip(self._headings, values, strict=False))
        if len(values) > len(self._headings):
            gathering.odd[LONGER] += add_further(row, self._headings, values)
        gathering.rows.append(row)
        gathering.numbers.append(self._record)

    def _cell(self, value: Any) -> Any:
        if value.__class__ is datetime and value.time() == time.min:
            return value.date().isoformat()  # a cell with a date and no time
        if value.__class__ is timedelta:
            return str(value)
        return self._flattener.value(value)


def _beginning(book: Book, title: str) -> list[tuple[int, Cells]]:
    """The first two rows with something in them, with their numbers and without empty cells at their end."""
    numbered = enumerate(islice(sheet_rows(book, title), _ROW_LIMIT), 1)
    return list(islice(((number, cells) for number, row in numbered if (cells := _trimmed(row))), 2))


def _trimmed(cells: Sequence[Any]) -> Cells:
    width = len(cells)
    while width and (cells[width - 1] is None or not str(cells[width - 1]).strip()):
        width -= 1
    return tuple(cells[:width])


def _refuse_large(path: Path) -> None:
    """Refuse workbooks that unpack to more than memory or patience holds."""
    with _refusing(path), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    unpacked = sum(member.file_size for member in members)
    texts = sum(member.file_size for member in members if member.filename.lower().endswith("sharedstrings.xml"))
    if unpacked > UNPACKED_LIMIT or texts > TEXTS_LIMIT:
        raise InventoryError(f"{path} unpacks to {unpacked:,} bytes, more than can be read: export it as CSV")


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Whatever the libraries raise over a broken workbook is an InventoryError."""
    try:
        yield
    except InventoryError:
        raise
    # Zip, XML, and every kind of slip of the library in a file that is not as it expects.
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}"[:200].split())
        raise InventoryError(f"{path} is a broken workbook ({reason}): save it again, or export it as CSV") from error
