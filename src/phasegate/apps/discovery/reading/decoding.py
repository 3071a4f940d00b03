"""Bytes to text: which encoding a text file has, and what becomes of bytes that do not fit it."""

from __future__ import annotations

import codecs
import re

# UTF-32 comes before UTF-16: the mark of the one begins with the mark of the other.
_MARKS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDE = ("utf-16", "utf-32")
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1a\x1b\0")) + b"\x7f"
_ASCII = bytes(range(32, 127)) + b"\t\r\n"
# A byte that could not be decoded is carried as one of these, which no text of its own has.
_ESCAPED = re.compile("[\udc80-\udcff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def is_wide(codec: str) -> bool:
    """Whether each character takes two or four bytes, so that a line end is no single byte."""
    return codec.startswith(_WIDE)


def handling(codec: str) -> str:
    """The error handler under which every text has as many bytes again when it is encoded as it was decoded from."""
    return "replace" if is_wide(codec) else "surrogateescape"


def mend(text: str) -> str:
    """The text with Windows-1252 characters in place of bytes that ``handling`` has carried through."""
    text = _ESCAPED.sub(lambda found: bytes([ord(found[0]) - 0xDC00]).decode("cp1252", "replace"), text)
    return _SURROGATE.sub("\ufffd", text)


def encoding_of(head: bytes, foreign: bytes) -> tuple[str, int]:
    """The encoding of a file, and how many bytes its mark takes.

    ``head`` is its beginning; ``foreign`` is a part with the first bytes that are not ASCII, empty when there are none.
    Text that is UTF-8 for a good part is UTF-8.
    """
    for mark, codec in _MARKS:
        if head.startswith(mark):
            return codec, len(mark)
    return _unmarked_wide(head) or (_foreign_encoding(foreign) if foreign else "utf-8"), 0


def is_binary(head: bytes, codec: str) -> bool:
    """Whether the beginning of a file holds more control characters than any text does."""
    if is_wide(codec):
        text = head.decode(codec, "replace")
        return _too_many(text.count("\0"), text.count("\ufffd"), len(text))
    controls = len(head) - len(head.translate(None, _CONTROLS))
    return _too_many(head.count(0), controls, len(head))


def _too_many(nuls: int, controls: int, length: int) -> bool:
    return nuls > 0.3 * length or (controls > 2 and controls > 0.08 * length)


def _unmarked_wide(head: bytes) -> str | None:
    """Text in UTF-16 has a zero beside each Latin letter, digit and line end, always on the same side of it."""
    head = head[: len(head) // 2 * 2]
    before, after = head[0::2].count(0), head[1::2].count(0)
    if max(before, after) < 0.05 * len(head) or min(before, after) > 0.05 * max(before, after):
        return None
    codec = "utf-16-le" if after > before else "utf-16-be"
    text = head.decode(codec, "replace")
    readable = sum(map(str.isprintable, text)) + sum(map(text.count, "\t\r\n"))
    line_ends = "\n" in text or "\r" in text
    return codec if line_ends and readable > 0.95 * len(text) else None


def _foreign_encoding(sample: bytes) -> str:
    # A character that is cut off where the sample ends is left out.
    text = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(sample)
    escaped = len(_ESCAPED.findall(text))
    foreign = sum(1 for character in text if character > "\x7f") - escaped
    # Other encodings look like UTF-8 now and then, Japanese ones in up to one character for five bytes that do not.
    return "utf-8" if foreign * 2 >= escaped else _legacy_encoding(sample)


def _legacy_encoding(sample: bytes) -> str:
    """Windows-1252 where it reads as text, otherwise what the detector finds.

    The detector alone cannot tell the single-byte encodings of short texts apart, and the exports of western office
    programs are Windows-1252 nearly always; Latin-1 text is the same bytes.
    """
    # Imported here because nearly every file is UTF-8 and the detector's tables are slow to load.
    from charset_normalizer import from_bytes

    text = b"\n".join(line for line in sample.splitlines() if not line.isascii())
    if from_bytes(text, cp_isolation=["cp1252"]).best() is not None:
        return "cp1252"
    match = from_bytes(text).best()
    # Whatever is not ASCII with something added would be cut into lines at the wrong bytes.
    return match.encoding if match is not None and _extends_ascii(match.encoding) else "cp1252"


def _extends_ascii(codec: str) -> bool:
    return _decodes(_ASCII, codec) and _ASCII.decode(codec) == _ASCII.decode("ascii")


def _decodes(line: bytes, codec: str) -> bool:
    try:
        line.decode(codec)
    except UnicodeDecodeError:
        return False
    return True
