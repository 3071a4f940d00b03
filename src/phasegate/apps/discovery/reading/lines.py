"""The lines of a text file from any byte on, with the exact byte at which each ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from phasegate.apps.discovery.errors import InventoryError
from phasegate.apps.discovery.reading.decoding import handling, is_wide, mend
from phasegate.apps.discovery.reading.records import RECORD_LIMIT

_BLOCK = 256 * 1024
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


class Lines:
    """An iterator over lines with their ends, which may be those of Unix, Windows and old Macs in one file.

    ``offset`` is the byte after the last line given, ``number`` the lines given since the beginning of the file, ``last``
    the last of them; ``exhausted`` says that one more was asked for than there are. ``mended`` counts lines with bytes that
    are not in the encoding, ``nuls`` those from which NUL characters were taken. The owner calls ``begin_record`` where a
    record begins; the record may then take RECORD_LIMIT bytes and no more, whatever its quotes say.
    """

    def __init__(self, path: Path, handle: BinaryIO, codec: str, *, offset: int = 0, number: int = 0) -> None:
        self.offset = self.record = offset
        self.number = self.record_number = number
        self.last = ""
        self.exhausted = False
        self.mended = self.nuls = 0
        self._path, self._handle, self._codec = path, handle, codec
        self._lines = self._read()

    def __iter__(self) -> Iterator[str]:
        return self._lines

    def begin_record(self) -> None:
        self.record, self.record_number = self.offset, self.number

    def _read(self) -> Iterator[str]:
        codec = self._codec
        for parts in self._blocks():
            for part in parts:
                self.offset += len(part)
                self.number += 1
                if self.offset - self.record > RECORD_LIMIT:
                    raise self._too_long(self.record_number + 1)
                try:
                    line = part.decode(codec)
                except UnicodeDecodeError:
                    self.mended += 1
                    line = mend(part.decode(codec, handling(codec)))
                if "\0" in line:
                    self.nuls += 1
                    line = line.replace("\0", "")
                self.last = line
                yield line
        self.exhausted = True

    def _blocks(self) -> Iterator[list[bytes]]:
        """Whole lines, as many as a block has. The last line of a block is completed by the next block."""
        self._handle.seek(self.offset)
        rest: list[bytes] = []
        length = 0
        while block := self._handle.read(_BLOCK):
            rest.append(block)
            length += len(block)
            # A line is put together once, when its end has come, so that a long one costs no more than its length.
            if b"\n" in block or b"\r" in block:
                parts = self._split(b"".join(rest))
                # A carriage return at the end may be half of a line end.
                last = parts.pop()
                yield parts
                rest, length = [last], len(last)
            if length > RECORD_LIMIT:
                raise self._too_long(self.number + 1)
        yield self._split(b"".join(rest))

    def _split(self, block: bytes) -> list[bytes]:
        if not is_wide(self._codec):
            return block.splitlines(keepends=True)
        unit = 2 if self._codec.startswith("utf-16") else 4
        whole = len(block) // unit * unit
        parts, start = [], 0
        for line in _LINE.findall(block[:whole].decode(self._codec, "replace")):
            end = start + len(line.encode(self._codec, "replace"))
            parts.append(block[start:end])
            start = end
        if start < len(block):  # the bytes of half a character
            unfinished = parts.pop() if parts and not _ended(parts[-1], unit) else b""
            parts.append(unfinished + block[start:])
        return parts

    def _too_long(self, number: int) -> InventoryError:
        return InventoryError(
            f"{self._path}: the record that begins on line {number} takes more than {RECORD_LIMIT:,} bytes: "
            f"most likely a quote opens there that never closes; close it or remove it"
        )


def _ended(line: bytes, unit: int) -> bool:
    return line[-unit:].strip(b"\0") in (b"\n", b"\r")
