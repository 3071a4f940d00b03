"""What travels between a file and an import: the file's description, its pieces, and what was passed over."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from phasegate.apps.discovery.errors import InventoryError

#: The longest record in bytes. It holds a cell of 16 MB with room to spare, and bounds what one bad quote can cost.
RECORD_LIMIT = 32 * 1024 * 1024
#: A piece ends after so many bytes of the file even when it has fewer records than were asked for.
PIECE_BYTES = 16 * 1024 * 1024
#: The most columns of a header, and the most cells of a row: those of the widest spreadsheet.
COLUMN_LIMIT = 16_384
#: The longest sample of a record that was passed over, in characters.
SAMPLE_LIMIT = 80

EMPTY_ROW = "an empty row"


@dataclass(frozen=True, slots=True)
class Inventory:
    """A file that can be imported: its kind, its headings, and all that is needed to open it again.

    ``headings`` are stripped, not empty and unique. Records of JSON files may have more keys than are named here.
    ``place`` is the sheet of a workbook, or the key of a JSON file under which the records stand. ``start`` is the cursor
    of the first piece. ``head`` is the SHA-256 of the first 64 KB, by which a file is known again cheaply.
    """

    path: Path
    format: str
    encoding: str | None
    delimiter: str | None
    headings: tuple[str, ...]
    notes: tuple[str, ...]
    size: int
    sha256: str
    head: str
    place: str | None = None
    start: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON."""
        fields = asdict(self)
        return fields | {"path": str(self.path), "headings": list(self.headings), "notes": list(self.notes)}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Inventory:
        """The inventory that ``to_dict`` made ``fields`` of."""
        path, headings, notes = Path(fields["path"]), tuple(fields["headings"]), tuple(fields["notes"])
        return cls(**{**fields, "path": path, "headings": headings, "notes": notes, "start": dict(fields["start"])})


@dataclass(frozen=True, slots=True)
class Skipped:
    """A record that gave no row, and why. ``line`` is its line of a text file, its row of a sheet, else its number."""

    line: int
    reason: str
    sample: str


@dataclass(frozen=True, slots=True)
class Piece:
    """Some records of a file, in its order.

    ``numbers`` are the record numbers of the rows: from 1, counting every record including those passed over, and the
    same whatever the pieces are. ``notes`` speak of this piece only. ``cursor`` is where the next piece begins, None at
    the end of the file.
    """

    rows: list[dict[str, Any]]
    numbers: list[int]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]
    cursor: dict[str, Any] | None


class Reader(ABC):
    """An open file, read piece by piece. It closes itself as a context manager."""

    @abstractmethod
    def piece(self, limit: int) -> Piece:
        """The next records, at most ``limit`` of them; fewer when they are large or the file ends.

        Records passed over count as well, so that a piece may be without rows in the middle of a file; only a cursor of
        None is the end. Raises InventoryError where the file cannot be read any further.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the file. Closing twice does nothing."""

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Gathering:
    """A piece in the making."""

    def __init__(self, limit: int) -> None:
        self.rows: list[dict[str, Any]] = []
        self.numbers: list[int] = []
        self.skipped: list[Skipped] = []
        #: How often something odd was met, by the sentence that says so; ``{}`` in it is for the count.
        self.odd: Counter[str] = Counter()
        self._limit = max(1, limit)

    @property
    def full(self) -> bool:
        return len(self.rows) + len(self.skipped) >= self._limit

    def skip(self, line: int, reason: str, sample: str = "") -> None:
        self.skipped.append(Skipped(line, reason, " ".join(sample[: SAMPLE_LIMIT * 4].split())[:SAMPLE_LIMIT]))

    def finish(self, cursor: dict[str, Any] | None) -> Piece:
        notes = tuple(sentence.format(f"{count:,}") for sentence, count in self.odd.items() if count)
        return Piece(self.rows, self.numbers, tuple(self.skipped), notes, cursor)


def library(name: str, path: Path, kind: str) -> Any:
    """The optional library that reads files of that kind; InventoryError with the command to install it when missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise InventoryError(
            f'{path} is {kind}, and reading it needs {package}: pip install "phasegate[files]", or export it as CSV'
        ) from error
