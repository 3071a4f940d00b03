"""Parquet files, batch by batch. Going on in the middle begins with the row group in which the row is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from phasegate.apps.discovery.errors import InventoryError
from phasegate.apps.discovery.reading.flattening import Flattener
from phasegate.apps.discovery.reading.headings import check_headings, heading_notes, unique_headings
from phasegate.apps.discovery.reading.records import EMPTY_ROW, Gathering, Inventory, Piece, Reader, library

_BATCH = 1_024


def describe_parquet(found: Inventory) -> Inventory:
    """The inventory with the columns, those nested in others under dotted names."""
    with _refusing(found.path), _open(found.path) as file:
        names, rows = _flat(_arrow(found.path), file.schema_arrow.empty_table()).column_names, file.metadata.num_rows
    if not rows:
        raise InventoryError(f"{found.path} has columns but no rows: export it again with its data")
    check_headings(found.path, names)
    notes = (*found.notes, *heading_notes(names))
    return replace(found, headings=unique_headings(names), notes=notes, start={"record": 0})


class ParquetReader(Reader):
    """Reads rows; a value is text, a number, a boolean or None."""

    def __init__(self, inventory: Inventory, cursor: dict[str, Any]) -> None:
        self._path, self._headings = inventory.path, inventory.headings
        self._record: int = cursor["record"]
        self._flattener = Flattener()
        with _refusing(self._path):
            self._file = _open(self._path)
            self._rows = self._read(self._record)
            self._upcoming = next(self._rows, None)

    def piece(self, limit: int) -> Piece:
        gathering = Gathering(limit)
        with _refusing(self._path):
            while self._upcoming is not None and not gathering.full:
                self._record += 1
                self._add(gathering, self._upcoming)
                self._upcoming = next(self._rows, None)
        return gathering.finish(None if self._upcoming is None else {"record": self._record})

    def close(self) -> None:
        self._file.close()

    def _add(self, gathering: Gathering, values: tuple[Any, ...]) -> None:
        if all(value is None or value == "" for value in values):
            gathering.skip(self._record, EMPTY_ROW)
            return
        gathering.rows.append(dict(zip(self._headings, values, strict=True)))
        gathering.numbers.append(self._record)

    def _read(self, first: int) -> Iterator[tuple[Any, ...]]:
        group = 0
        while group < self._file.num_row_groups and first >= self._file.metadata.row_group(group).num_rows:
            first -= self._file.metadata.row_group(group).num_rows
            group += 1
        groups = list(range(group, self._file.num_row_groups))
        for batch in self._file.iter_batches(_BATCH, row_groups=groups):
            if first < batch.num_rows:
                yield from self._rows_of(batch.slice(first))
            first = max(0, first - batch.num_rows)

    def _rows_of(self, batch: Any) -> Iterator[tuple[Any, ...]]:
        arrow = _arrow(self._path)
        table = _flat(arrow, arrow.Table.from_batches([batch]))
        value = self._flattener.value
        columns = [[value(each) for each in _values(column)] for column in table.columns]
        return zip(*columns, strict=True)


def _arrow(path: Path) -> Any:
    return library("pyarrow", path, "a Parquet file")


def _open(path: Path) -> Any:
    # Without buffering ahead, so that memory is bounded by a batch and not by a row group.
    return library("pyarrow.parquet", path, "a Parquet file").ParquetFile(path, pre_buffer=False)


def _flat(arrow: Any, table: Any) -> Any:
    """The table with a column for each field of a nested one."""
    while any(arrow.types.is_struct(each.type) for each in table.schema):
        table = table.flatten()
    return table


def _values(column: Any) -> list[Any]:
    """The values as Python has them, and as text those that it does not, such as nanoseconds and the year 50,000."""
    try:
        values: list[Any] = column.to_pylist()
    except Exception:  # each kind of value has its own exceptions
        return [_value(each) for each in column]
    return values


def _value(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except Exception:
        return _text(scalar)


def _text(scalar: Any) -> str:
    try:
        text: str = scalar.cast("string").as_py()
    except Exception:  # not all kinds have a text
        return repr(scalar)
    return text.replace(" ", "T", 1) if str(scalar.type).startswith("timestamp") else text


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Whatever the library raises over a broken file is an InventoryError."""
    try:
        yield
    except InventoryError:
        raise
    except Exception as error:  # Arrow's own, and those of the operating system and of Python's conversions
        reason = " ".join(f"{error}"[:200].split())
        raise InventoryError(f"{path} is a broken Parquet file ({reason}): export it again") from error
