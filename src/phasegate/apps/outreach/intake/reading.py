"""One file to one table: rows of text with their line numbers. What the columns mean is decided elsewhere."""

from __future__ import annotations

import csv
import io
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from phasegate.apps.outreach.intake.decoding import decode
from phasegate.errors import InputError

#: The longest cell accepted, in characters.
CELL_LIMIT = 1_000_000
#: The largest file accepted, in bytes. A table is held in memory as a whole.
FILE_LIMIT = 256 * 1024 * 1024
#: What may stand between two cells, most likely first.
DELIMITERS = ",;\t|"

# The header decides the delimiter; a longer first line than this is no header.
_HEADER_SAMPLE = 100_000
_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the line of the file it begins on (the first line is 1), and its cells by column name."""

    line: int
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    """A file that could be read: at least one column and one row, every row with a cell for every column."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    encoding: str
    delimiter: str


def read_table(
    path: str | Path,
    *,
    encoding: str | None = None,
    cell_limit: int = CELL_LIMIT,
    file_limit: int = FILE_LIMIT,
) -> Table:
    """Read a delimited text file whose first line names the columns.

    Encoding (UTF-8, marked UTF-32, UTF-16, Windows-1252 and other legacy ones) and delimiter (comma, semicolon, tab,
    bar) are found out; ``encoding`` overrules. Cells are given exactly as written. Blank lines are passed over, missing
    cells at the end of a row are empty, a column without a name is called ``column_<position>``.

    Raises InputError, of one line that says what to do, for every file that is not such a table.
    """
    source = Path(path)
    text, used = decode(source, _content(source, file_limit), encoding)
    delimiter = _delimiter_of(text)
    records = _records(source, text, delimiter, cell_limit)
    columns = _columns(source, records)
    rows = tuple(Row(line, _cells(source, line, columns, values)) for line, values in records)
    if not rows:
        raise InputError(f"{source} has a header but no rows: export it again with its data")
    return Table(source, columns, rows, used, delimiter)


def _content(path: Path, limit: int) -> bytes:
    """The bytes of the file, read once; never more than the limit."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"{path} is a directory: name a CSV file in it")
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path} is not an ordinary file: save the data to a CSV file first")
        _refuse_large(path, status.st_size, limit)
        with path.open("rb") as handle:
            content = handle.read(limit + 1)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: check the path") from error
    except PermissionError as error:
        raise InputError(f"{path} may not be read by this user: change its permissions") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{str(path)!r} cannot be read ({reason}): check the path") from error
    _refuse_large(path, len(content), limit)  # again, because it may have grown in between
    if not content.strip():
        raise InputError(f"{path} is empty: export it again with its header and data")
    return content


def _refuse_large(path: Path, size: int, limit: int) -> None:
    if size > limit:
        raise InputError(f"{path} is larger than {limit:,} bytes: split it into several files")


def _delimiter_of(text: str) -> str:
    """The candidate that stands most often in the header outside quotes; a comma when none does."""
    counts = dict.fromkeys(DELIMITERS, 0)
    quoted, at_cell_start, seen = False, True, False
    for character in text[:_HEADER_SAMPLE]:
        if character == '"' and (quoted or at_cell_start):
            quoted = not quoted
        elif not quoted and character in counts:
            counts[character] += 1
        elif not quoted and character in "\r\n":
            if seen:
                break
            continue
        seen = True
        at_cell_start = not quoted and character in counts
    return max(DELIMITERS, key=counts.__getitem__)


def _records(path: Path, text: str, delimiter: str, limit: int) -> Iterator[tuple[int, list[str]]]:
    """Every record that is not a blank line, with the line it begins on.

    Strict parsing, because the lenient kind joins all rows from an unclosed quote to the next quote into one cell.
    """
    # The module's own limit is one for the whole process and names no column; the check below replaces it.
    csv.field_size_limit(max(csv.field_size_limit(), 2**31 - 1))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for values in reader:
            if values:
                _refuse_long_cells(path, line, values, limit)
                yield line, values
            line = reader.line_num + 1
    except csv.Error as error:
        raise _quote_error(path, text, delimiter) or InputError(
            f"{path}: line {line} cannot be read as CSV ({error}): export the file again"
        ) from error


def _refuse_long_cells(path: Path, line: int, values: Sequence[str], limit: int) -> None:
    if max(map(len, values)) > limit:
        position = next(index for index, value in enumerate(values, 1) if len(value) > limit)
        raise InputError(
            f"{path}: line {line}, column {position} holds more than {limit:,} characters: shorten it or leave it out"
        )


def _quote_error(path: Path, text: str, delimiter: str) -> InputError | None:
    """The first quote that does not close, or that closes in the middle of a cell."""
    cell_end = re.compile(f"[{re.escape(delimiter)}\r\n]")
    position = 0
    while position < len(text):
        if text[position] == '"':
            opened, closed = position, _closing_quote(text, position + 1)
            line = _line_at(text, opened)
            if closed < 0:
                return InputError(f"{path}: the quote opened on line {line} never closes: close it or remove it")
            if text[closed + 1 : closed + 2] not in ("", delimiter, "\r", "\n"):
                return InputError(
                    f"{path}: the quote opened on line {line} ends on line {_line_at(text, closed)} in the middle of "
                    f"a cell: close it where the cell ends, and double every quote inside a cell"
                )
            position = closed + 1
        end = cell_end.search(text, position)
        position = end.end() if end else len(text)
    return None


def _closing_quote(text: str, position: int) -> int:
    """Where the quoted cell ends, passing over doubled quotes; -1 when it does not."""
    while True:
        position = text.find('"', position)
        if position < 0 or text[position + 1 : position + 2] != '"':
            return position
        position += 2


def _line_at(text: str, offset: int) -> int:
    return sum(1 for _ in _LINE_END.finditer(text, 0, offset)) + 1


def _columns(path: Path, records: Iterator[tuple[int, list[str]]]) -> tuple[str, ...]:
    line, header = next(records, (1, []))
    names = [name.strip() for name in header]
    if not any(names):
        raise InputError(f"{path}: line {line} names no columns: put the column names in the first line")
    seen: set[str] = set()
    for name in filter(None, names):
        if name in seen:
            raise InputError(f"{path}: line {line} has two columns named {_short(name)}: rename one of them")
        seen.add(name)
    return tuple(name or _unused_name(f"column_{position}", seen) for position, name in enumerate(names, 1))


def _short(name: str) -> str:
    return repr(name if len(name) <= 60 else name[:57] + "...")


def _unused_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _cells(path: Path, line: int, columns: Sequence[str], values: list[str]) -> dict[str, str]:
    """A cell for every column; empty cells beyond the last one are what spreadsheets leave behind, and are dropped."""
    missing = len(columns) - len(values)
    if missing > 0:
        values += [""] * missing
    elif missing < 0 and any(values[len(columns) :]):
        raise InputError(
            f"{path}: line {line} has {len(values)} cells for {len(columns)} columns: "
            f"quote the cells that hold the delimiter"
        )
    return dict(zip(columns, values, strict=False))
