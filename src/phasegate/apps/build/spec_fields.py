"""Reading one field of a phase's description at a time: the value in its final form, or an error that says what it must be."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from phasegate.apps.build.errors import PhaseExecutorError, SpecError


class Fields:
    """The fields of a mapping. What is wrong with them gathers in ``errors`` and ``warnings``, which the parts of one description
    share. A field that is None counts as absent."""

    def __init__(
        self, given: Mapping[Any, Any], errors: list[PhaseExecutorError], warnings: list[str], *, within: str = ""
    ) -> None:
        """``within`` stands before the names in messages, as ``scope.``."""
        self._given = {key: value for key, value in given.items() if value is not None}
        self._names = tuple(given)
        self._within = within
        self._asked: dict[str, None] = {}
        self.errors, self.warnings = errors, warnings

    def take(self, name: str) -> Any:
        """The value as it was given, None when there is none."""
        self._asked[name] = None
        return self._given.get(name)

    def text(self, *names: str) -> str | None:
        """A text, trimmed, of the first name that has one; None for a blank one."""
        found = [(name, value) for name in names if (value := self.take(name)) is not None]
        if not found:
            return None
        name, value = found[0]
        if not isinstance(value, str):
            self.wrong(name, "text", value)
            return None
        return writable(value).strip() or None

    def texts(self, name: str, *, wrap: bool = True, numbers: bool = False) -> tuple[str, ...] | None:
        """A list of texts, trimmed, without blank ones and repetitions; None when there is none. A single text counts as a list
        of one with ``wrap``, a whole number as text with ``numbers``."""
        value = self.take(name)
        if value is None:
            return None
        entries = [value] if isinstance(value, str) and wrap else value
        if not is_list(entries):
            self.wrong(name, "a list of text", value)
            return None
        read = [self._entry(name, entry, numbers) for entry in entries]
        return tuple(dict.fromkeys(each for each in read if each))

    def _entry(self, name: str, entry: object, numbers: bool) -> str:
        if numbers and isinstance(entry, int) and not isinstance(entry, bool):
            return str(entry)
        if isinstance(entry, str):
            return writable(entry).strip()
        self.wrong(f"{name}[]", "text", entry)
        return ""

    def flag(self, name: str, default: bool) -> bool:
        """True or false; words that sound like it are refused, so that "false" never counts as true."""
        value = self.take(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.wrong(name, "true or false", value)
            return default
        return value

    def whole(self, name: str) -> int | None:
        """A whole number from 1 upwards."""
        value = self.take(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            self.wrong(name, "a whole number from 1 upwards", value)
            return None
        return value

    def number(self, name: str, *, zero: bool) -> float | None:
        """A finite number from 0 upwards, 0 itself only with ``zero``."""
        value = self.take(name)
        if value is None:
            return None
        number = _finite(value)
        if number is None or number < 0 or (number == 0 and not zero):
            self.wrong(name, "a number from 0 upwards" if zero else "a number above 0", value)
            return None
        return number

    def wrong(self, name: str, wanted: str, value: object) -> None:
        """Note that a field is of the wrong type."""
        self.error("E_SPEC_TYPE", f"{self._within}{name} must be {wanted}, not {described(value)}")

    def error(self, code: str, cause: str, *, path: str | None = None, **details: Any) -> None:
        """Note anything else that is wrong."""
        self.errors.append(SpecError(code, cause, path=path, details=details))

    def warn_of_unknown(self, ignored: Collection[str] = ()) -> None:
        """One warning for each key that nobody has asked for."""
        for name in self._names:
            if name not in self._asked and name not in ignored:
                likely = difflib.get_close_matches(str(name)[:100], self._asked, n=1)
                meant = f"; did you mean {likely[0]!r}?" if likely else ""
                self.warnings.append(f"unknown key {self._within}{writable(str(name))[:100]!r} is ignored{meant}")


def is_list(value: object) -> bool:
    """Whether a value is a list or tuple, and not a text."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview)


def writable(text: str) -> str:
    """The text without halves of surrogate pairs and NUL characters, which neither a database nor a model can be given."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if not text.isascii() else text


def is_json(value: object) -> bool:
    """Whether a value can be stored."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def described(value: object) -> str:
    """A value as an error names it: short, and without its content where that is no plain number or word."""
    if isinstance(value, str):
        return f"the text {writable(value)[:40]!r}"
    if isinstance(value, bool) or (isinstance(value, int | float) and abs(value) < 1e15):
        return repr(value)
    return type(value).__name__


def _finite(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
