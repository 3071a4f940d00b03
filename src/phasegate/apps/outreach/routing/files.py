"""Sinks that write files: one CSV file per sheet tab, or one file of JSON lines. They work without any network."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from phasegate.apps.outreach.routing.appending import AppendOnlyFile
from phasegate.apps.outreach.routing.payloads import SHEET_COLUMNS, Payload, sheet_row
from phasegate.apps.outreach.routing.sinks import Delivery, DeliveryOutcome
from phasegate.errors import InputError

_KEY_COLUMN = "Dedup Key"
# What spreadsheets take for the beginning of a formula, in both widths.
_FORMULA_START = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# The longest cell of the common spreadsheets, in characters.
_CELL_LENGTH = 32_767
_KEY = re.compile(r"[0-9a-f]{64}")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)*")


class CsvSink:
    """One CSV file per sheet tab in a directory, the columns of the tab and the key of the payload.

    Rows are appended and never changed; a payload whose key is in the file counts as delivered and is not written
    again. Cells that a spreadsheet would run as a formula begin with an apostrophe, line breaks in cells become spaces,
    and what a spreadsheet cell cannot hold is cut off.
    """

    def __init__(self, directory: str | Path) -> None:
        """The directory and the files are made with the first delivery."""
        self._directory = Path(directory)
        self._tabs: dict[str, _Log] = {}

    def deliver(self, payloads: Sequence[Payload]) -> list[Delivery]:
        """As ``Sink`` says. A tab is written as a whole or not at all."""
        by_tab: dict[str, list[Payload]] = {}
        for payload in payloads:
            by_tab.setdefault(payload.sheet_tab, []).append(payload)
        delivered = {tab: iter(self._log(tab).deliver(batch)) for tab, batch in by_tab.items()}
        return [next(delivered[payload.sheet_tab]) for payload in payloads]

    def _log(self, tab: str) -> _Log:
        if tab not in self._tabs:
            name = re.sub(r"[^\w-]+", "_", tab) or "untitled"
            self._tabs[tab] = _Log(self._directory / f"{name}.csv", _CsvLines)
        return self._tabs[tab]


class JsonLinesSink:
    """One file with a JSON object per line, each a payload as ``Payload.to_json`` gives it.

    Lines are appended and never changed; a payload whose key is in the file counts as delivered and is not written
    again.
    """

    def __init__(self, path: str | Path) -> None:
        """The file and its directory are made with the first delivery."""
        self._log = _Log(Path(path), _JsonLines)

    def deliver(self, payloads: Sequence[Payload]) -> list[Delivery]:
        """As ``Sink`` says. The payloads are written together or not at all."""
        return self._log.deliver(payloads)


class _Lines(Protocol):
    """How payloads stand in a file."""

    def keys(self, text: str) -> Iterable[str]:
        """The keys in a further piece of the file; raises InputError when the file is not one of these."""

    def torn(self, tail: str) -> bool:
        """Whether the end of the file is a piece of a line of ours; InputError when it is somebody else's."""

    def lines(self, payloads: Sequence[Payload]) -> str:
        """The text to append, with a header when the file has none yet."""


class _Log:
    """An append-only file of payloads that knows which keys it holds; the file is read once, then only what is new."""

    def __init__(self, path: Path, kind: Callable[[], _Lines]) -> None:
        self._file = AppendOnlyFile(path)
        self._kind = kind
        self._lines = kind()
        self._keys: set[str] = set()

    def deliver(self, payloads: Sequence[Payload]) -> list[Delivery]:
        try:
            written = self._append(payloads)
        except InputError as error:
            return _all(payloads, DeliveryOutcome.PERMANENT, f"{self._file.path} {error}")
        except OSError as error:
            reason = error.strerror or type(error).__name__
            return _all(payloads, DeliveryOutcome.RETRYABLE, f"{self._file.path} cannot be written: {reason}")
        path = self._file.path
        return [
            Delivery(
                payload.dedup_key,
                DeliveryOutcome.DELIVERED,
                f"{'written to' if written[payload.dedup_key] is payload else 'already in'} {path}",
            )
            for payload in payloads
        ]

    def _append(self, payloads: Sequence[Payload]) -> dict[str, Payload | None]:
        """The payload written for each key; None for a key that was there before."""
        with self._file.locked() as file:
            if self._file.replaced(file):
                self._lines, self._keys = self._kind(), set()
            text, tail = self._file.new_text(file)
            self._keys.update(self._lines.keys(text))
            torn = bool(tail) and self._lines.torn(tail)
            if not torn:
                self._keys.update(self._lines.keys(tail))
            written: dict[str, Payload | None] = {}
            for payload in payloads:
                written.setdefault(payload.dedup_key, None if payload.dedup_key in self._keys else payload)
            new = [payload for payload in written.values() if payload is not None]
            if new:
                separator = "\n" if tail and not torn else ""
                self._file.append(file, separator + self._lines.lines(new), drop_tail=torn)
        self._keys.update(written)
        return written


class _JsonLines:
    def keys(self, text: str) -> Iterable[str]:
        for line in text.split("\n"):
            try:
                content = json.loads(line)
            except ValueError:
                continue  # not a line of ours; it is left as it is
            if isinstance(content, dict) and isinstance(content.get("dedup_key"), str):
                yield content["dedup_key"]

    def torn(self, tail: str) -> bool:
        try:
            json.loads(tail)
        except ValueError:
            if not _same_beginning(tail, '{"type": "'):
                raise InputError("ends in a line that was not written by this sink: move it away") from None
            return True
        return False

    def lines(self, payloads: Sequence[Payload]) -> str:
        return "".join(json.dumps(payload.to_json()) + "\n" for payload in payloads)


class _CsvLines:
    """Every record is one line, so that the end of the last line is the end of the last whole record."""

    def __init__(self) -> None:
        self._header: list[str] = []

    def keys(self, text: str) -> Iterable[str]:
        try:
            for values in csv.reader(io.StringIO(text, newline="")):
                if values and not self._header:
                    self._header = self._checked(values)
                elif len(values) == len(self._header):
                    yield values[-1]
        except csv.Error as error:
            raise InputError(f"cannot be read as CSV ({error}): move it away") from error

    def torn(self, tail: str) -> bool:
        if self._header:
            values = next(csv.reader([tail]), [])
            return len(values) != len(self._header) or not _KEY.fullmatch(values[-1])
        if not any(_same_beginning(tail, ",".join(columns)) for columns in SHEET_COLUMNS.values()):
            raise InputError("was not written by this sink: move it away")
        return True

    def lines(self, payloads: Sequence[Payload]) -> str:
        rows = [sheet_row(payload) for payload in payloads]
        columns = [*rows[0], _KEY_COLUMN]
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer)
        if not self._header:
            writer.writerow(columns)
        elif self._header != columns:
            raise InputError("has other columns than its sheet tab: move it away")
        for payload, row in zip(payloads, rows, strict=True):
            writer.writerow([*map(spreadsheet_cell, row.values()), payload.dedup_key])
        return buffer.getvalue()

    def _checked(self, header: list[str]) -> list[str]:
        if header[-1] != _KEY_COLUMN:
            raise InputError("was not written by this sink: move it away")
        return [header[0].removeprefix("\ufeff"), *header[1:]]


def _same_beginning(text: str, expected: str) -> bool:
    """Whether the two agree as far as both go."""
    return text.startswith(expected) or expected.startswith(text)


def spreadsheet_cell(value: str) -> str:
    """The value in one line, not longer than a spreadsheet's cell, and never a formula."""
    line = " ".join(value[:_CELL_LENGTH].split())
    return f"'{line}" if line.startswith(_FORMULA_START) and not _NUMBER.fullmatch(line) else line


def _all(payloads: Sequence[Payload], outcome: DeliveryOutcome, message: str) -> list[Delivery]:
    return [Delivery(payload.dedup_key, outcome, message) for payload in payloads]
