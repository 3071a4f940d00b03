"""Which kind of file this is. The content decides; a name that says otherwise is a note."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from phasegate.apps.discovery.errors import InventoryError
from phasegate.apps.discovery.reading.decoding import encoding_of, is_binary
from phasegate.apps.discovery.reading.lines import Lines

_EXTENSIONS = {
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".xlsx": "xlsx", ".xlsm": "xlsx", ".xltx": "xlsx", ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
_NAMES = {
    "csv": "CSV", "tsv": "tab-separated values", "json": "JSON", "jsonl": "JSON lines", "xlsx": "an Excel workbook",
    "parquet": "Parquet",
}  # fmt: skip
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "is a gzip archive: unpack it first"),
    (b"BZh", "is a bzip2 archive: unpack it first"),
    (b"\xfd7zXZ\x00", "is an xz archive: unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive: unpack it first"),
    (b"SQLite format 3\x00", "is an SQLite database: export the table as CSV"),
    (b"%PDF-", "is a PDF document: export the table as CSV"),
    (b"{\\rtf", "is a text document: export the table as CSV"),
)
_ZIPPED = (
    ("xl/workbook.bin", "is a binary Excel workbook: save it as .xlsx"),
    ("word/document.xml", "is a Word document: export the table as CSV"),
    ("ppt/presentation.xml", "is a presentation: export the table as CSV"),
    ("content.xml", "is an OpenDocument file: save it as .xlsx or CSV"),
)
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MARKUP = re.compile(r"\s*<(?:\?xml|!doctype|!--|html|head|body|table|[a-z][\w:.-]*[\s>/])", re.IGNORECASE)
_JSON_LIST = re.compile(r'\s*\[\s*(?:[{\["\]]|-?\d|(?:true|false|null|NaN)\b)')
_JSON_MAPPING = re.compile(r'\s*\{\s*["}]')
_FIRST_LINES = 20


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file is: its format ("csv" also where cells stand apart by tabs), its encoding, the bytes of its mark."""

    format: str
    encoding: str | None = None
    mark: int = 0


def kind_of(path: Path, handle: BinaryIO, head: bytes, foreign: bytes) -> Kind:
    """The kind of a file by its beginning; InventoryError, which says what it is instead, for any that is no inventory."""
    for magic, advice in _MAGIC:
        if head.startswith(magic):
            raise InventoryError(f"{path} {advice}")
    if head.startswith(_OLD_OFFICE):
        raise InventoryError(f"{path} {_old_office(handle, head)}")
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zipped(path)
    if head.startswith(b"PAR1"):
        return Kind("parquet")
    codec, mark = encoding_of(head, foreign)
    text = head[mark:]
    if is_binary(text, codec):
        raise InventoryError(f"{path} is a binary file, not an inventory: export it as CSV, JSON, XLSX or Parquet")
    beginning = text.decode(codec, "replace").replace("\0", "")
    if not beginning.strip():
        raise InventoryError(f"{path} is empty: export it again with its header and data")
    if _MARKUP.match(beginning):
        raise InventoryError(
            f"{path} is a web page or an XML document, perhaps of an error or a login: export it as CSV"
        )
    return Kind(_text_format(path, handle, beginning, Lines(path, handle, codec, offset=mark)), codec, mark)


def format_note(path: Path, found: str) -> str | None:
    """What to say about a file whose name promises another kind."""
    promised = _EXTENSIONS.get(path.suffix.lower())
    if promised in (None, found):
        return None
    return f"The file is named {path.name!r}, but it holds {_NAMES[found]} and is read as that."


def promised_format(path: Path) -> str | None:
    """The kind that the name of the file says."""
    return _EXTENSIONS.get(path.suffix.lower())


def _old_office(handle: BinaryIO, head: bytes) -> str:
    """Workbooks with a password are wrapped in the format of old Office files, whose directory names the wrapping."""
    size = 1 << min(int.from_bytes(head[30:32], "little"), 16)
    handle.seek((1 + int.from_bytes(head[48:52], "little")) * size)
    if "EncryptedPackage".encode("utf-16-le") in head + handle.read(16 * 1024):
        return "is protected by a password: save it without one"
    return "is an old Office file (.xls): save it as .xlsx or CSV"


def _zipped(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InventoryError(f"{path} is a broken workbook or archive ({error}): save or download it again") from error
    if "xl/workbook.xml" in names or any(name.endswith("/workbook.xml") for name in names):
        return Kind("xlsx")
    for member, advice in _ZIPPED:
        if member in names:
            raise InventoryError(f"{path} {advice}")
    raise InventoryError(f"{path} is a zip archive: unpack it first")


def _text_format(path: Path, handle: BinaryIO, beginning: str, lines: Lines) -> str:
    mapping = _JSON_MAPPING.match(beginning) is not None
    if (mapping or promised_format(path) in ("json", "jsonl")) and _is_json_lines(path, lines):
        return "jsonl"
    return "json" if mapping or _JSON_LIST.match(beginning) else "csv"


def _is_json_lines(path: Path, lines: Lines) -> bool:
    """Whether each line is a record. Broken ones among them do not make the file another kind."""
    try:
        first = [line for line in _some_lines(lines) if line.strip()]
    except InventoryError:  # a line without end: one document, and not one line for each record
        return False
    records = sum(map(_is_record, first))
    if promised_format(path) == "jsonl":
        return records > 0
    return len(first) > 1 and 0 < len(first) <= records * 2


def _some_lines(lines: Lines) -> Iterator[str]:
    for number, line in enumerate(lines):
        lines.begin_record()
        yield line
        # The first lines of a document with long ones show enough.
        if number + 1 >= _FIRST_LINES or lines.offset > 1024 * 1024:
            return


def _is_record(line: str) -> bool:
    try:
        return isinstance(json.loads(line, strict=False), dict)
    except (ValueError, RecursionError):
        return False
