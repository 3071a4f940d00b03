"""Exports that are safe to open in a spreadsheet: no cell is run as a formula, and no file is half written."""

from __future__ import annotations

import csv
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from math import isfinite
from pathlib import Path
from typing import Any, TextIO

from phasegate.errors import InputError

#: The longest cell of the common spreadsheets; they carry the rest over into other cells, where it would be a formula.
CELL_LENGTH = 32_767

# What spreadsheets take for the beginning of a formula, in both widths.
_FORMULA_START = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_LEADING = " \t\r\n\v\f\u00a0\u200b\ufeff\"'"
_NUMBER = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)*(?:[eE][+-]?[0-9]+)?")


def safe_cell(value: object) -> str:
    """The text of a cell, with an apostrophe before it when a spreadsheet would run it as a formula.

    None, NaN and infinity are empty. A sign and digits are a number and stay, also those of a telephone number written
    without gaps: they cannot run, and other programs read them back. "+49-30-1234" gets an apostrophe, because a
    spreadsheet computes it. NUL characters go, and text is cut at ``CELL_LENGTH``.
    """
    text = _plain(value).replace("\x00", "")[: CELL_LENGTH - 1]
    if text.startswith(("\t", "\r")):
        return f"'{text}"
    if text.lstrip(_LEADING).startswith(_FORMULA_START) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text


def _plain(value: object) -> str:
    if value is None or (isinstance(value, float) and not isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return "; ".join(value)
    try:
        return (
            json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, dict | list | tuple) else str(value)
        )
    except (TypeError, ValueError, RecursionError):  # a number of thousands of digits, or a value that holds itself
        return "(cannot be shown)"


def write_csv(target: str | Path | TextIO, headings: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> int:
    """Write one line of headings and one per row, every cell made safe and quoted; returns the number of rows.

    A path is written as UTF-8 with a byte order mark, without which spreadsheets take it for another encoding. It appears,
    or is replaced, only when everything is written. A file that is open already gets the text as it comes, and should be
    opened with ``newline=""``. Values that have no heading are left out. Raises InputError when it cannot be written.
    """
    if not isinstance(target, str | Path):
        with _explained(getattr(target, "name", "the file")):
            return _write(target, headings, rows)
    path = Path(target)
    if not path.name or "\x00" in path.name:
        raise InputError(f"{str(target)!r} is not the name of a file: name a file")
    # Beside the file, because a rename is all or nothing only within a file system.
    beside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.tmp")
    with _explained(path):
        try:
            with beside.open("x", encoding="utf-8-sig", errors="replace", newline="") as file:
                count = _write(file, headings, rows)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            _remove(beside)
    return count


def _write(file: TextIO, headings: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> int:
    # Every cell is quoted: where lists are separated by semicolons, "a;=b" would be two cells otherwise.
    writer = csv.writer(file, quoting=csv.QUOTE_ALL)
    writer.writerow([safe_cell(heading) for heading in headings])
    count = 0
    for row in rows:
        writer.writerow([safe_cell(row.get(heading)) for heading in headings])
        count += 1
    return count


@contextmanager
def _explained(name: object) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{name} cannot be written: its folder does not exist; make it, or name another") from error
    except PermissionError as error:
        raise InputError(
            f"{name} may not be written by this user: name another place, or change permissions"
        ) from error
    except IsADirectoryError as error:
        raise InputError(f"{name} is a folder: name a file in it") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{name} cannot be written ({reason}): free some space, or name another place") from error


def _remove(path: Path) -> None:
    """Take away what was written so far; after the rename there is nothing."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
