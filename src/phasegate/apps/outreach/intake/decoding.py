"""Bytes to text: what kind of file this is, and in which encoding its text was written. No CSV in here."""

from __future__ import annotations

import codecs
from pathlib import Path

from phasegate.errors import InputError

# UTF-32 comes before UTF-16: the mark of the one begins with the mark of the other.
_MARKS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an old Excel workbook: export it as CSV"),
    (b"\x1f\x8b", "is a gzip archive: unpack it first"),
    (b"BZh", "is a bzip2 archive: unpack it first"),
    (b"\xfd7zXZ\x00", "is an xz archive: unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive: unpack it first"),
    (b"SQLite format 3\x00", "is an SQLite database: export the table as CSV"),
    (b"%PDF-", "is a PDF document: export the table as CSV"),
    (b"PAR1", "is a Parquet file: export it as CSV"),
)

_SAMPLE = 4096
# The detector reads the whole input, and its cost grows with it; so much text shows its encoding.
_DETECTION_SAMPLE = 64 * 1024


def decode(path: Path, content: bytes, encoding: str | None) -> tuple[str, str]:
    """The text of the file without its byte order mark, and the encoding it was read with.

    Raises InputError for a file that is not text, whose encoding cannot be told, or that holds NUL characters.
    """
    _refuse_known_binary(path, content)
    used = encoding or _encoding_of(path, content)
    text = _strict(path, content, used).removeprefix("\ufeff")
    nul = text.find("\0")
    if nul >= 0:
        line = text.count("\n", 0, nul) + 1
        raise InputError(f"{path}: line {line} holds a NUL character: remove it or export the file again")
    return text, used


def _refuse_known_binary(path: Path, content: bytes) -> None:
    for magic, advice in _MAGIC:
        if content.startswith(magic):
            raise InputError(f"{path} {advice}")
    if content.startswith(b"PK\x03\x04"):
        if b"xl/" in content:
            raise InputError(f"{path} is an Excel workbook: export it as CSV")
        if b"opendocument.spreadsheet" in content[:_SAMPLE]:
            raise InputError(f"{path} is an OpenDocument spreadsheet: export it as CSV")
        raise InputError(f"{path} is a zip archive: unpack it first")


def _encoding_of(path: Path, content: bytes) -> str:
    for mark, name in _MARKS:
        if content.startswith(mark):
            return name
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return _unmarked_utf_16(content) or _legacy_encoding(path, content)
    # ASCII text written as UTF-16 is valid UTF-8 with a NUL beside every letter.
    return _unmarked_utf_16(content) or "utf-8"


def _unmarked_utf_16(content: bytes) -> str | None:
    """Western text in UTF-16 has a zero in nearly every second byte, and nearly never in the others."""
    sample = content[:_SAMPLE]
    if len(content) % 2 or b"\0" not in sample:
        return None
    even, odd = sample[0::2], sample[1::2]
    zeros_even, zeros_odd = even.count(0) / len(even), odd.count(0) / len(odd)
    if zeros_odd > 0.5 and zeros_even < 0.05:
        return "utf-16-le"
    if zeros_even > 0.5 and zeros_odd < 0.05:
        return "utf-16-be"
    return None


def _legacy_encoding(path: Path, content: bytes) -> str:
    """Windows-1252 where it reads as text, otherwise what the detector finds.

    The detector alone cannot tell the single-byte encodings of short texts apart, and the exports of western office
    programs are Windows-1252 nearly always; Latin-1 text is the same bytes.
    """
    # Imported here because nearly every file is UTF-8 and the detector's tables are slow to load.
    from charset_normalizer import from_bytes

    if b"\0" in content:
        raise InputError(f"{path} is a binary file, not a table of text: export it as CSV")
    sample = _sample_of_legacy_text(content)
    if from_bytes(sample, cp_isolation=["cp1252"]).best() is not None and _decodes(content, "cp1252"):
        return "cp1252"
    match = from_bytes(sample).best()
    if match is None:
        raise InputError(f"{path}: the encoding of its text cannot be told: save it as UTF-8, or name the encoding")
    return match.encoding


def _sample_of_legacy_text(content: bytes) -> bytes:
    """The part of the file that shows its encoding: around the first byte that is not ASCII, cut at line ends."""
    if len(content) <= _DETECTION_SAMPLE:
        return content
    first = next(index for index, byte in enumerate(content) if byte > 0x7F)
    start = content.rfind(b"\n", 0, first) + 1
    return content[start : start + _DETECTION_SAMPLE]


def _decodes(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _strict(path: Path, content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}: line {line} cannot be read as {encoding}: save it as UTF-8, or name the encoding it has"
        ) from error
    except (LookupError, ValueError) as error:
        raise InputError(f"{path}: there is no text encoding {encoding!r}: name another, such as utf-8") from error
