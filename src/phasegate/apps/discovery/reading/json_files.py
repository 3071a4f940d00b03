"""JSON documents and JSON lines, record by record. A document is never in memory as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from phasegate.apps.discovery.errors import InventoryError
from phasegate.apps.discovery.reading.delimited import MENDED, NULS
from phasegate.apps.discovery.reading.flattening import Flattener
from phasegate.apps.discovery.reading.headings import check_headings
from phasegate.apps.discovery.reading.json_text import Document, decode_value
from phasegate.apps.discovery.reading.lines import Lines
from phasegate.apps.discovery.reading.records import (
    COLUMN_LIMIT,
    EMPTY_ROW,
    PIECE_BYTES,
    Gathering,
    Inventory,
    Piece,
    Reader,
)

_REMOVED = "Texts with characters that cannot be stored or are not in the encoding, which were replaced or removed: {}."
_WRAPPERS = ("data", "records", "items", "results", "rows")
_SAMPLE_RECORDS = 1_000
_KINDS = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "a truth value", type(None): "null"}


def describe_document(found: Inventory) -> Inventory:
    """The inventory with the place of its records and the headings of the first ones."""
    with found.path.open("rb") as handle:
        document = Document(found.path, handle, found.encoding or "utf-8", found.start["offset"])
        place, start = None, {"offset": document.offset(), "record": 0, "single": False}
        if document.peek() == "[":
            document.at += 1
            start["offset"] = document.offset()
        elif wrapped := _find_records(document):
            place, start["offset"] = wrapped
        else:
            start["single"] = True
    notes = found.notes
    if place is not None:
        notes += (f"The records are those under {place!r}; what else the file says beside them is not imported.",)
    return _with_headings(replace(found, place=place, notes=notes, start=start), DocumentReader)


def describe_json_lines(found: Inventory) -> Inventory:
    """The inventory with the headings of its first records."""
    return _with_headings(found, JsonLinesReader)


class DocumentReader(Reader):
    """Reads the records of a list in a JSON document, or the one record the document is."""

    def __init__(self, inventory: Inventory, cursor: dict[str, Any]) -> None:
        self._path, self._wrapped = inventory.path, inventory.place is not None
        self._single: bool = inventory.start["single"]
        self._handle = inventory.path.open("rb")
        self._document = Document(self._path, self._handle, inventory.encoding or "utf-8", cursor["offset"])
        self._record: int = cursor["record"]
        self._flattener = Flattener()
        self._ended = False

    def piece(self, limit: int) -> Piece:
        gathering, document, removed = Gathering(limit), self._document, self._flattener.removed
        begin = document.consumed
        while not (gathering.full or self._ended) and document.consumed - begin < PIECE_BYTES:
            if document.peek() == "]":  # the list is empty, or ends with a comma
                self._finish()
                break
            document.record = self._record = self._record + 1
            value = document.value()
            self._pass_on()
            add_record(gathering, self._flattener, (self._record, self._record), value)
        gathering.odd[_REMOVED] += self._flattener.removed - removed
        return gathering.finish(self._cursor())

    def close(self) -> None:
        self._handle.close()

    def _pass_on(self) -> None:
        """Go to where the next record begins."""
        if self._single or self._document.peek() == "]":
            self._finish()
        elif self._document.peek() == ",":
            self._document.at += 1
        else:
            raise self._document.broken("no comma after it")

    def _finish(self) -> None:
        self._ended = True
        if not self._single:
            self._document.at += 1
        if not self._wrapped and self._document.peek():
            raise InventoryError(f"{self._path} goes on after the end of its records: make one list of all of them")

    def _cursor(self) -> dict[str, Any] | None:
        return None if self._ended else {"offset": self._document.offset(), "record": self._record}


class JsonLinesReader(Reader):
    """Reads one record from each line. A line that is not JSON is passed over."""

    def __init__(self, inventory: Inventory, cursor: dict[str, Any]) -> None:
        self._size = inventory.size
        self._handle = inventory.path.open("rb")
        codec, offset, line = inventory.encoding or "utf-8", cursor["offset"], cursor["line"]
        self._lines = Lines(inventory.path, self._handle, codec, offset=offset, number=line)
        self._record: int = cursor["record"]
        self._flattener = Flattener()

    def piece(self, limit: int) -> Piece:
        gathering, lines = Gathering(limit), self._lines
        before = lines.offset, lines.mended, lines.nuls, self._flattener.removed
        while not gathering.full and lines.offset - before[0] < PIECE_BYTES:
            lines.begin_record()
            line = next(iter(lines), None)
            if line is None:
                break
            self._record += 1
            self._add(gathering, line)
        gathering.odd[MENDED] += lines.mended - before[1]
        gathering.odd[NULS] += lines.nuls - before[2]
        gathering.odd[_REMOVED] += self._flattener.removed - before[3]
        ended = lines.exhausted or lines.offset >= self._size
        cursor = {"offset": lines.offset, "line": lines.number, "record": self._record}
        return gathering.finish(None if ended else cursor)

    def close(self) -> None:
        self._handle.close()

    def _add(self, gathering: Gathering, line: str) -> None:
        number = self._lines.number
        if not line.strip():
            gathering.skip(number, EMPTY_ROW)
            return
        try:
            value, end = decode_value(line)
            if line[end:].strip():
                raise ValueError("it goes on after the end of the record")
        except RecursionError:
            gathering.skip(number, "nested too deeply", line)
        except ValueError as error:
            gathering.skip(number, f"not JSON: {getattr(error, 'msg', error)}", line)
        else:
            add_record(gathering, self._flattener, (self._record, number), value)


def add_record(gathering: Gathering, flattener: Flattener, numbers: tuple[int, int], value: Any) -> None:
    """Add a row, or the reason why the value gives none. ``numbers`` are those of the record and of its line."""
    record, line = numbers
    if not isinstance(value, dict):
        gathering.skip(line, f"not a record but {_KINDS[type(value)]}", repr(value)[:200])
        return
    try:
        row = flattener.row(value)
    except RecursionError:
        gathering.skip(line, "nested too deeply")
        return
    if all(each is None or each == "" for each in row.values()):
        gathering.skip(line, EMPTY_ROW)
    elif len(row) > COLUMN_LIMIT:
        gathering.skip(line, f"more than {COLUMN_LIMIT:,} values", ", ".join(list(row)[:20]))
    else:
        gathering.rows.append(row)
        gathering.numbers.append(record)


def _find_records(document: Document) -> tuple[str, int] | None:
    """The key of a mapping under which records stand in a list, and the byte of the first; None when it is a record."""
    document.at += 1
    while document.peek() == '"':
        key = document.value()
        if document.peek() != ":":
            break
        document.at += 1
        if key in _WRAPPERS and document.peek() == "[":
            document.at += 1
            first = document.offset()
            if _has_record(document):
                return key, first
        else:
            document.value()
        if document.peek() == ",":
            document.at += 1
    return None


def _has_record(document: Document) -> bool:
    """Whether there is a mapping in a list; the place is after the list when there is none."""
    while document.peek() not in ("]", "{", ""):
        document.value()
        if document.peek() == ",":
            document.at += 1
    if document.peek() == "{":
        return True
    document.at += 1
    return False


def _with_headings(found: Inventory, kind: Callable[[Inventory, dict[str, Any]], Reader]) -> Inventory:
    """The inventory with the names in its first records, in the order in which they appear."""
    headings: dict[str, None] = {}
    reason, records, cursor = "", 0, found.start or None
    with kind(found, found.start) as reader:
        while cursor is not None and (records < _SAMPLE_RECORDS or not headings):
            piece = reader.piece(_SAMPLE_RECORDS // 2)
            records += len(piece.rows) + len(piece.skipped)
            headings.update(dict.fromkeys(name for row in piece.rows for name in row))
            reason = reason or next((f" (the first was passed over: {each.reason})" for each in piece.skipped), "")
            cursor = piece.cursor
    if not headings:
        raise InventoryError(f"{found.path} holds no records{reason}: export it again with its data")
    check_headings(found.path, list(headings))
    return replace(found, headings=tuple(headings))
