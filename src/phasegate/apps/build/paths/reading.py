"""What there is to know of a file's content, found while it streams by."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

#: A zero byte in so much of the beginning means that a file is no text.
LOOKED_AT = 8_192
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Content:
    """Size and kind of what was read, in the words of ``FileFacts``, and its first bytes."""

    sha256: str
    size: int
    lines: int
    encoding: str
    newline: str
    data: bytes
    big_endian: bool = False


def read_content(chunks: Iterable[bytes], *, limit: int | None = None) -> Content:
    """Read to the end and keep at most ``limit`` bytes (all, if None). The first chunk must be long enough to tell what it is."""
    digest, text, kept, size = hashlib.sha256(), None, bytearray(), 0
    for chunk in chunks:
        digest.update(chunk)
        text = text or _Text(chunk)
        text.feed(chunk)
        if limit is None or len(kept) < limit:
            kept += chunk if limit is None else chunk[: limit - len(kept)]
        size += len(chunk)
    text = text or _Text(b"")
    text.finish()
    return Content(digest.hexdigest(), size, text.lines, text.encoding, text.newline, bytes(kept), text.big_endian)


class _Text:
    """Decodes, and counts the line ends, until something shows that it is no text."""

    def __init__(self, start: bytes) -> None:
        self.encoding = _encoding(start)
        self.big_endian = start.startswith(codecs.BOM_UTF16_BE)
        name = "utf-8" if self.encoding == "binary" else self.encoding
        self._decoder = codecs.getincrementaldecoder(name)()
        self._ends: dict[str, int] = {"\n": 0, "\r\n": 0, "\r": 0}
        self._held = ""
        self._open_line = False

    def feed(self, chunk: bytes, *, final: bool = False) -> None:
        if self.encoding == "binary":
            return
        try:
            text = self._held + self._decoder.decode(chunk, final)
        except UnicodeDecodeError:
            self.encoding = "binary"
            return
        # A return at the end may be half of a line end.
        self._held = "\r" if text.endswith("\r") and not final else ""
        self._count(text[: len(text) - len(self._held)])

    def finish(self) -> None:
        self.feed(b"", final=True)

    @property
    def newline(self) -> str:
        kinds = [end for end, count in self._ends.items() if count]
        if self.encoding == "binary" or not kinds:
            return ""
        return kinds[0] if len(kinds) == 1 and kinds[0] != "\r" else "mixed"

    @property
    def lines(self) -> int:
        return 0 if self.encoding == "binary" else self._ends["\n"] + self._ends["\r\n"] + self._open_line

    def _count(self, text: str) -> None:
        if not text:
            return
        if self.encoding == "utf-16" and "\0" in text:
            self.encoding = "binary"
        pairs = text.count("\r\n")
        self._ends["\r\n"] += pairs
        self._ends["\n"] += text.count("\n") - pairs
        self._ends["\r"] += text.count("\r") - pairs
        self._open_line = not text.endswith("\n")


def _encoding(start: bytes) -> str:
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "binary"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in start[:LOOKED_AT]:
        return "binary"
    return "utf-8-sig" if start.startswith(codecs.BOM_UTF8) else "utf-8"
