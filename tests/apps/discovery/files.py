"""Writes inventory files of every kind, and reads them as an import does."""

from __future__ import annotations

import csv
import importlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from phasegate.apps.discovery.reading.opening import inspect, open_reader
from phasegate.apps.discovery.reading.records import Inventory, Skipped

HEADINGS = ("Hostname", "IP Address", "Status")
ROWS = (("alpha", "192.0.2.1", "active"), ("beta", "192.0.2.2", "error"), ("gamma", "192.0.2.3", "=A1"))


@dataclass
class Everything:
    """All that a file has given."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def write_bytes(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def write_text(folder: Path, name: str, content: str, encoding: str = "utf-8") -> Path:
    return write_bytes(folder, name, content.encode(encoding))


def csv_text(rows: Iterable[Sequence[Any]], delimiter: str = ",", line_end: str = "\r\n") -> str:
    text = io.StringIO(newline="")
    # The writer leaves carriage returns bare where they are no part of its own line ends.
    quoted: Literal[0, 1] = csv.QUOTE_MINIMAL if line_end == "\r\n" else csv.QUOTE_ALL
    csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=quoted).writerows(rows)
    return text.getvalue()


def write_csv(folder: Path, rows: Iterable[Sequence[Any]], name: str = "inventory.csv") -> Path:
    return write_text(folder, name, csv_text(rows))


def write_json(folder: Path, value: Any, name: str = "inventory.json") -> Path:
    return write_text(folder, name, json.dumps(value))


def write_json_lines(folder: Path, records: Iterable[Any], name: str = "inventory.jsonl") -> Path:
    return write_text(folder, name, "".join(json.dumps(record) + "\n" for record in records))


def write_workbook(folder: Path, sheets: Mapping[str, Iterable[Sequence[Any]]], name: str = "inventory.xlsx") -> Path:
    book = importlib.import_module("openpyxl").Workbook()
    book.remove(book.worksheets[0])
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(list(row))
    path = folder / name
    book.save(path)
    book.close()
    return path


def write_parquet(
    folder: Path, columns: Mapping[str, Any], name: str = "inventory.parquet", group: int = 1_000
) -> Path:
    pyarrow: Any = importlib.import_module("pyarrow")
    path = folder / name
    importlib.import_module("pyarrow.parquet").write_table(pyarrow.table(dict(columns)), path, row_group_size=group)
    return path


def read(path: Path, limit: int = 1_000) -> Everything:
    """Everything in the file, with one reader."""
    found, everything = inspect(path), Everything()
    with open_reader(found) as reader:
        while True:
            piece = reader.piece(limit)
            assert len(piece.rows) + len(piece.skipped) <= limit
            _add(everything, piece)
            if piece.cursor is None:
                return everything


def read_restarting(path: Path, limit: int) -> Everything:
    """Everything in the file, with a new reader and everything remembered as JSON after each piece."""
    found, everything = json.dumps(inspect(path).to_dict()), Everything()
    cursor: str | None = None
    while True:
        inventory = Inventory.from_dict(json.loads(found))
        with open_reader(inventory, None if cursor is None else json.loads(cursor)) as reader:
            piece = reader.piece(limit)
        _add(everything, piece)
        if piece.cursor is None:
            return everything
        cursor = json.dumps(piece.cursor)


def _add(everything: Everything, piece: Any) -> None:
    assert len(piece.rows) == len(piece.numbers)
    everything.rows += piece.rows
    everything.numbers += piece.numbers
    everything.skipped += piece.skipped
    everything.notes += piece.notes
