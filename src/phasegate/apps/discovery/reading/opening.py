"""From a path to an inventory, and from an inventory to a reader."""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from phasegate.apps.discovery.errors import InventoryError
from phasegate.apps.discovery.reading.delimited import DelimitedReader, describe_delimited
from phasegate.apps.discovery.reading.json_files import (
    DocumentReader,
    JsonLinesReader,
    describe_document,
    describe_json_lines,
)
from phasegate.apps.discovery.reading.kinds import format_note, kind_of
from phasegate.apps.discovery.reading.parquet_files import ParquetReader, describe_parquet
from phasegate.apps.discovery.reading.records import Inventory, Reader
from phasegate.apps.discovery.reading.workbooks import WorkbookReader, describe_workbook

_BLOCK = 1024 * 1024
_HEAD = 64 * 1024
_FOREIGN = 32 * 1024
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_DESCRIBE: dict[str, Callable[[Inventory], Inventory]] = {
    "csv": describe_delimited,
    "json": describe_document,
    "jsonl": describe_json_lines,
    "xlsx": describe_workbook,
    "parquet": describe_parquet,
}
_READERS: dict[str, Callable[[Inventory, dict[str, Any]], Reader]] = {
    "csv": DelimitedReader,
    "tsv": DelimitedReader,
    "json": DocumentReader,
    "jsonl": JsonLinesReader,
    "xlsx": WorkbookReader,
    "parquet": ParquetReader,
}


def inspect(path: Path) -> Inventory:
    """What the file is, read once from end to end, without its rows.

    Raises InventoryError, which says what to do, for every file from which no row can be had.
    """
    path = Path(path)
    try:
        return _inspect(path)
    except OSError as error:
        raise _unreadable(path, error) from error


def open_reader(inventory: Inventory, cursor: dict[str, Any] | None = None) -> Reader:
    """A reader of the file from its first record, or from where the piece with that cursor ended.

    Raises InventoryError when the file is gone or is not the same any more. From the beginning its whole content is
    compared, with a cursor only its size and first 64 KB.
    """
    path = inventory.path
    try:
        _check_ordinary(path)
        with path.open("rb") as handle:
            same = path.stat().st_size == inventory.size and _digest(handle.read(_HEAD)) == inventory.head
            if same and cursor is None:
                handle.seek(0)
                same = _scan(handle)[0] == inventory.sha256
        if not same:
            raise InventoryError(f"{path} has changed since it was inspected: import it again as a new file")
        return _READERS[inventory.format](inventory, inventory.start if cursor is None else cursor)
    except OSError as error:
        raise _unreadable(path, error) from error


def _inspect(path: Path) -> Inventory:
    size = _check_ordinary(path)
    if not size:
        raise InventoryError(f"{path} is empty: export it again with its header and data")
    with path.open("rb") as handle:
        head = handle.read(_HEAD)
        handle.seek(0)
        sha256, foreign = _scan(handle)
        kind = kind_of(path, handle, head, _part(handle, foreign))
    start = {"offset": kind.mark, "line": 0, "record": 0}
    notes = () if kind.encoding in (None, "utf-8") else (f"The text is not UTF-8; it is read as {kind.encoding}.",)
    found = Inventory(path, kind.format, kind.encoding, None, (), notes, size, sha256, _digest(head), None, start)
    described = _DESCRIBE[kind.format](found)
    note = format_note(path, described.format)
    return replace(described, notes=(note, *described.notes)) if note else described


def _check_ordinary(path: Path) -> int:
    """The size of the file; InventoryError for whatever is no file."""
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise InventoryError(f"{path} does not exist: check the path") from error
    except ValueError as error:  # a NUL in the path
        raise _unreadable(path, error) from error
    if stat.S_ISDIR(status.st_mode):
        raise InventoryError(f"{path} is a folder: name a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise InventoryError(f"{path} is not an ordinary file: save the data to a file first")
    return status.st_size


def _scan(handle: BinaryIO) -> tuple[str, int | None]:
    """The SHA-256 of a file, and where its first line with a byte that is not ASCII begins."""
    digest, foreign, before = hashlib.sha256(), None, 0
    while block := handle.read(_BLOCK):
        digest.update(block)
        if foreign is None and (found := _NOT_ASCII.search(block)):
            # Not too far before it, and what is before it is ASCII, where any place is a good one.
            line = block.rfind(b"\n", 0, found.start()) + 1
            foreign = before + max(line, found.start() - _FOREIGN // 2)
        before += len(block)
    return digest.hexdigest(), foreign


def _part(handle: BinaryIO, start: int | None) -> bytes:
    if start is None:
        return b""
    handle.seek(start)
    return handle.read(_FOREIGN)


def _digest(head: bytes) -> str:
    return hashlib.sha256(head).hexdigest()


def _unreadable(path: Path, error: Exception) -> InventoryError:
    reason = getattr(error, "strerror", None) or error
    return InventoryError(f"{str(path)!r} cannot be read ({reason}): check the path and its permissions")
