"""CSV and its relatives. The place after each record is known to the byte, so that reading starts again anywhere."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from phasegate.apps.discovery.errors import InventoryError
from phasegate.apps.discovery.reading.headings import check_headings, heading_notes, unique_headings
from phasegate.apps.discovery.reading.kinds import promised_format
from phasegate.apps.discovery.reading.lines import Lines
from phasegate.apps.discovery.reading.records import (
    COLUMN_LIMIT,
    EMPTY_ROW,
    PIECE_BYTES,
    RECORD_LIMIT,
    Gathering,
    Inventory,
    Piece,
    Reader,
)

LONGER = 'Rows longer than the header, whose further cells are kept under "Column" and their number: {}.'
MENDED = "Lines with bytes that are not in the encoding of the file, which were read as Windows-1252: {}."
NULS = "Lines from which NUL characters were removed: {}."
_QUOTES = "Lines with a quote in the middle of a quoted cell, whose cells may be other than they look: {}."

# In the order in which they are taken when the first lines allow several. A comma stands inside of cells most often.
_DELIMITERS = ";\t|,"
_SAMPLE_LINES = 50
_SAMPLE_BYTES = 1024 * 1024


def describe_delimited(found: Inventory) -> Inventory:
    """The inventory with what its first lines say: delimiter, headings, and where the rows begin."""
    path, start = found.path, dict(found.start)
    with path.open("rb") as handle:
        declared, delimiter = _delimiter(_first_lines(_lines(found, start, handle)), path)
        records = Records(path, _lines(found, start, handle), delimiter)
        if declared:
            next(iter(records.lines))
        names = records.next_filled()
        if names is None:
            raise InventoryError(f"{path} is empty: export it again with its header and data")
        check_headings(path, names)
        start |= {"offset": records.lines.offset, "line": records.lines.number}
        if records.next_filled() is None:
            raise InventoryError(f"{path} has a header but no rows: export it again with its data")
    form = "tsv" if delimiter == "\t" else "csv"
    notes = (*found.notes, *heading_notes(names))
    return replace(found, format=form, delimiter=delimiter, headings=unique_headings(names), notes=notes, start=start)


class Records:
    """The records of a delimited file. ``mended`` counts those whose quotes were not as they should be."""

    def __init__(self, path: Path, lines: Lines, delimiter: str) -> None:
        # The limit is one for the whole process, and here the lines bound a record already.
        csv.field_size_limit(max(csv.field_size_limit(), RECORD_LIMIT))
        self.lines = lines
        self.mended = 0
        self._path, self._delimiter = path, delimiter
        # Strict parsing, because the lenient kind joins all rows from an unclosed quote to the next quote.
        self._reader = csv.reader(lines, delimiter=delimiter, strict=True)

    def next(self) -> list[str] | None:
        """The cells of the next record, None after the last."""
        self.lines.begin_record()
        try:
            return next(self._reader, None)
        except csv.Error as error:
            return self._leniently(error)

    def next_filled(self) -> list[str] | None:
        """The next record that is not empty."""
        while (values := self.next()) is not None and is_empty(values):
            pass
        return values

    def _leniently(self, error: csv.Error) -> list[str]:
        """A line that strict parsing refuses, as lenient parsing takes it.

        A record of several lines gets no second chance: one whose quotes do not match has most likely swallowed the
        records after it.
        """
        lines = self.lines
        if lines.exhausted:
            raise self._unclosed("never closes") from error
        if lines.number > lines.record_number + 1:
            raise self._unclosed(f"closes on line {lines.number} in the middle of a cell") from error
        source = iter([lines.last, "\n"])
        values: list[str] = next(csv.reader(source, delimiter=self._delimiter))
        if next(source, None) is None:
            raise self._unclosed("does not match the others of its line") from error
        self.mended += 1
        return values

    def _unclosed(self, fate: str) -> InventoryError:
        return InventoryError(
            f"{self._path}: a quote opened in the record on line {self.lines.record_number + 1} {fate}: "
            f"close it where the cell ends, or remove it"
        )


class DelimitedReader(Reader):
    """Reads rows of text, exactly as they are written."""

    def __init__(self, inventory: Inventory, cursor: dict[str, Any]) -> None:
        self._size, self._headings = inventory.size, inventory.headings
        self._delimiter = inventory.delimiter or ","
        self._handle = inventory.path.open("rb")
        self._records = Records(inventory.path, _lines(inventory, cursor, self._handle), self._delimiter)
        self._record: int = cursor["record"]

    def piece(self, limit: int) -> Piece:
        gathering, records = Gathering(limit), self._records
        lines = records.lines
        before = lines.offset, lines.mended, lines.nuls, records.mended
        while not gathering.full and lines.offset - before[0] < PIECE_BYTES:
            values = records.next()
            if values is None:
                break
            self._record += 1
            self._add(gathering, values)
        gathering.odd[MENDED] += lines.mended - before[1]
        gathering.odd[NULS] += lines.nuls - before[2]
        gathering.odd[_QUOTES] += records.mended - before[3]
        return gathering.finish(self._cursor())

    def close(self) -> None:
        self._handle.close()

    def _add(self, gathering: Gathering, values: list[str]) -> None:
        if is_empty(values):
            gathering.skip(self._line(), EMPTY_ROW)
            return
        if len(values) > COLUMN_LIMIT:
            gathering.skip(self._line(), f"more than {COLUMN_LIMIT:,} cells", self._delimiter.join(values[:80]))
            return
        row = dict(zip(self._headings, values, strict=False))
        if len(values) > len(self._headings):
            gathering.odd[LONGER] += add_further(row, self._headings, values)
        gathering.rows.append(row)
        gathering.numbers.append(self._record)

    def _line(self) -> int:
        return self._records.lines.record_number + 1

    def _cursor(self) -> dict[str, Any] | None:
        lines = self._records.lines
        if lines.exhausted or lines.offset >= self._size:
            return None
        return {"offset": lines.offset, "line": lines.number, "record": self._record}


def is_empty(values: Sequence[str]) -> bool:
    """Whether nothing stands in any cell."""
    return not any(map(str.strip, values))


def add_further(row: dict[str, Any], headings: Sequence[str], values: Sequence[Any]) -> bool:
    """Add the cells beyond the header that are not empty to the row, under names that the header does not have."""
    width = len(headings)
    further = {
        f"Column {place}": value
        for place, value in enumerate(values[width:], width + 1)
        if value is not None and str(value).strip()
    }
    row.update(zip(unique_headings(list(further), headings), further.values(), strict=True))
    return bool(further)


def _lines(inventory: Inventory, cursor: dict[str, Any], handle: BinaryIO) -> Lines:
    codec = inventory.encoding or "utf-8"
    return Lines(inventory.path, handle, codec, offset=cursor["offset"], number=cursor["line"])


def _first_lines(lines: Lines) -> list[str]:
    first = []
    for line in islice(lines, _SAMPLE_LINES):
        first.append(line)
        lines.begin_record()
        if lines.offset > _SAMPLE_BYTES:
            break
    return first


def _delimiter(lines: Sequence[str], path: Path) -> tuple[bool, str]:
    """What stands between cells, and whether the first line does nothing but say so, as Excel's "sep=;" does."""
    first = lines[0].strip() if lines else ""
    if len(first) == 5 and first.lower().startswith("sep=") and first[4] in _DELIMITERS:
        return True, first[4]
    preferred = "\t" if promised_format(path) == "tsv" else ""
    scores = {each: _score(lines, each) for each in preferred + _DELIMITERS}
    best = max(scores, key=lambda each: scores[each])
    return False, best if scores[best] else preferred or ","


def _score(lines: Sequence[str], delimiter: str) -> float:
    """How wide the table is with that delimiter, the less the more rows differ in width from the first."""
    csv.field_size_limit(max(csv.field_size_limit(), RECORD_LIMIT))
    widths = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
    if not widths:
        return 0.0
    return (widths[0] - 1) * widths.count(widths[0]) / len(widths)
