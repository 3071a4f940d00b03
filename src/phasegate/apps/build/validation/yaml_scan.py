"""The commonest mistakes in YAML, found without a YAML library. What it reports is wrong; what it does not report may be, too."""

from __future__ import annotations

import re

_BLOCK = re.compile(r"(?:^|[\s:-])[|>][-+0-9]*\s*(?:#.*)?$")
_KEY = re.compile(r"^(?:[\w./$<*&@-][^\s#:{}\[\],\"']*)\s*:(?:\s|$)")
_OPEN = {"{": "}", "[": "]"}


def problem(text: str) -> str | None:
    """The first mistake, with its line; None if there is none to be seen.

    Seen are tabs that indent, quotes and brackets that nobody closes, and keys that are indented less than their neighbours but
    not as far as any mapping above.
    """
    return _Scan().problem(text)


class _Scan:
    def __init__(self) -> None:
        self._closers: list[str] = []
        self._quote, self._begun = "", 0
        #: Below this indentation a block of literal text is over.
        self._block: int | None = None
        self._levels: list[int] = []

    def problem(self, text: str) -> str | None:
        for number, line in enumerate(text.split("\n"), 1):
            found = self._line(line.rstrip("\r"), number)
            if found:
                return f"line {number}: {found}"
        if self._quote or self._closers:
            what = "the quotes" if self._quote else f"'{self._closers[-1]}'"
            return f"line {self._begun}: {what} opened here {'are' if self._quote else 'is'} never closed"
        return None

    def _line(self, line: str, number: int) -> str | None:
        bare = line.strip()
        if self._is_open():
            return self._walk(line, number)
        indent = len(line) - len(line.lstrip(" "))
        if self._block is not None:
            if not bare or indent > self._block:
                return None
            self._block = None
        if bare[:1] in ("", "#", "%"):
            return None
        if bare.startswith(("---", "...")) and indent == 0:
            self._levels = []
            return None
        if line[indent : indent + 1] == "\t":
            return "a tab in the indentation"
        found = self._key(line, indent) or self._walk(line, number)
        if not self._is_open() and _BLOCK.search(line):
            self._block = indent
        return found

    def _is_open(self) -> bool:
        return bool(self._quote or self._closers)

    def _key(self, line: str, indent: int) -> str | None:
        """Whether a key stands where a mapping above began, or deeper than all of them."""
        rest = line[indent:]
        while rest.startswith("- "):
            self._levels = [each for each in self._levels if each <= indent]
            shorter = rest[1:].lstrip(" ")
            indent, rest = indent + len(rest) - len(shorter), shorter
        if not _KEY.match(rest):
            return None
        deeper = [each for each in self._levels if each > indent]
        self._levels = [each for each in self._levels if each <= indent]
        if deeper and indent not in self._levels and not line.lstrip().startswith("- "):
            return "a key is indented unlike the keys above it"
        if indent not in self._levels:
            self._levels.append(indent)
        return None

    def _walk(self, line: str, number: int) -> str | None:
        """Follow quotes and brackets through the line."""
        at, previous = 0, " "
        while at < len(line):
            c = line[at]
            if self._quote:
                at += self._in_quotes(line, at)
            elif c == "#" and previous.isspace():
                return None
            elif c in "\"'" and (previous.isspace() or previous in "[{,:(-"):
                self._quote, self._begun = c, number
            elif c in _OPEN and (self._closers or previous.isspace() or previous in ":-"):
                self._closers.append(_OPEN[c])
                self._begun = number
            elif self._closers and c in "}]" and self._closers.pop() != c:
                return f"'{c}' closes something else"
            previous = c
            at += 1
        return None

    def _in_quotes(self, line: str, at: int) -> int:
        """How many characters to skip; the quotes may end here."""
        c = line[at]
        if c == "\\" and self._quote == '"':
            return 1
        if c == self._quote:
            if c == "'" and line[at + 1 : at + 2] == "'":
                return 1
            self._quote = ""
        return 0
