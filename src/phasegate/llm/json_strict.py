"""JSON read strictly: nothing that Python lets pass and others do not, and every refusal with its line and column."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any, Literal

from phasegate.errors import PhasegateError

#: How deeply lists and objects may stand in one another, unless the caller says otherwise.
DEEPEST = 50
#: How many bytes of UTF-8 a text may have, unless the caller says otherwise.
LONGEST = 20 << 20
#: Digits of a whole number. Reading more takes more than linear time.
MOST_DIGITS = 1_000

#: What is wrong: the spelling; a key twice in one object; NaN or Infinity; a number beyond measure; nested too deeply; too long;
#: half of a surrogate pair; the text ends inside of the value; there is no value of the kind that is sought.
Problem = Literal["syntax", "duplicate", "constant", "number", "depth", "size", "surrogate", "open", "missing"]

#: What may stand around a JSON value, and a byte order mark.
SPACE = " \t\r\n\ufeff"
_TOKEN = re.compile(
    r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{}]|-?Infinity|NaN|-?\d[\d.eE+-]*+',
    re.DOTALL,
)
_COLON = re.compile(r"[ \t\r\n]*+:")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class JSONTextError(PhasegateError, ValueError):
    """A text that is not the JSON it should be.

    ``problem`` says what is wrong in one word and ``reason`` in a few; ``position`` counts characters from 0, ``line`` and
    ``column`` from 1. ``start`` is where the part begins that was most likely meant, and ``tried`` names the repairs that were
    tried on it.
    """

    status = 502

    def __init__(
        self, problem: Problem, reason: str, text: str, position: int = 0, *, start: int = 0, tried: Iterable[str] = ()
    ) -> None:
        self.problem: Problem = problem
        self.reason, self.position, self.start, self.tried = reason, position, start, tuple(tried)
        self.line, self.column = place(text, position)
        super().__init__(f"invalid JSON in line {self.line}, column {self.column}: {reason}")


def place(text: str, position: int) -> tuple[int, int]:
    """The line and the column of a position, both counted from 1."""
    before = text[:position]
    return before.count("\n") + 1, position - before.rfind("\n")


def loads(text: str, *, deepest: int = DEEPEST, longest: int = LONGEST) -> Any:
    """The value of a text that is JSON from beginning to end; a byte order mark and space around it do not matter.

    Raises ``JSONTextError`` when it is not, and for a key that stands twice in one object, NaN, infinite numbers, half
    surrogates, more than ``deepest`` levels and more than ``longest`` bytes.
    """
    check_size(text, longest)
    body = text.lstrip(SPACE)
    offset = len(text) - len(body)
    try:
        value = _DECODER.decode(body)
        _check_value(value, body, deepest)
    except json.JSONDecodeError as error:
        raise JSONTextError("syntax", error.msg, text, offset + error.pos) from None
    except RecursionError:
        raise JSONTextError("depth", _DEPTH.format(deepest), text, offset + _where(body, "depth", deepest)) from None
    except _Refused as error:
        position = offset + _where(body, error.problem, deepest)
        raise JSONTextError(error.problem, error.reason.format(deepest), text, position) from None
    return value


def check_size(text: str, longest: int) -> None:
    """Raise ``JSONTextError`` when a text is too long, or cannot be written as UTF-8."""
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise JSONTextError("surrogate", _HALF, text, error.start) from None
    if size > longest:
        raise JSONTextError("size", f"the text has {size} bytes; at most {longest} are read", text)


class _Refused(ValueError):
    """JSON for Python, and not for us."""

    def __init__(self, problem: Problem, reason: str) -> None:
        self.problem: Problem = problem
        self.reason = reason
        super().__init__(reason)


_HALF = "half of a surrogate pair is no character"
_DEPTH = "nested more than {} levels deep"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Refused("duplicate", "a key stands twice in one object")
    return found


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _Refused("number", "a number is too large")
    return number


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise _Refused("number", "a number has too many digits")
    return int(digits)


def _constant(name: str) -> None:
    raise _Refused("constant", f"{name} is no JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_finite, parse_int=_whole, parse_constant=_constant)


def decode_at(text: str, position: int, *, deepest: int = DEEPEST) -> tuple[Any, int] | None:
    """The value that begins at a position, as strictly as ``loads`` reads one, and where it ends; None when it is not whole."""
    try:
        value, end = _DECODER.raw_decode(text, position)
        _check_value(value, text[position:end], deepest)
    except (ValueError, RecursionError):
        return None
    return value, end


def _check_value(value: Any, text: str, deepest: int) -> None:
    if _deeper_than(deepest, value):
        raise _Refused("depth", _DEPTH)
    if _SURROGATE.search(text) is not None:
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise _Refused("surrogate", _HALF) from None


def _deeper_than(limit: int, value: Any) -> bool:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(limit):
        if not level:
            return False
        level = [child for each in level for child in _children(each) if isinstance(child, dict | list)]
    return bool(level)


def _children(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def _where(text: str, problem: Problem, deepest: int) -> int:
    """The position of the first thing in a text that is the problem."""
    keys: list[set[str]] = []
    for token in _TOKEN.finditer(text):
        found = token[0]
        if found in {"{", "["}:
            keys.append(set())
            wrong = problem == "depth" and len(keys) > deepest
        elif found in {"}", "]"}:
            del keys[-1:]
            wrong = False
        elif found[0] == '"':
            wrong = _wrong_string(found, problem, keys if _COLON.match(text, token.end()) else [])
        else:
            wrong = _wrong_number(found, problem)
        if wrong:
            return token.start()
    return 0


def _wrong_string(token: str, problem: Problem, keys: list[set[str]]) -> bool:
    if problem == "surrogate":
        return _SURROGATE.search(token) is not None and any("\ud800" <= c <= "\udfff" for c in _unescaped(token))
    if problem != "duplicate" or not keys:
        return False
    name = _unescaped(token)
    twice = name in keys[-1]
    keys[-1].add(name)
    return twice


def _unescaped(token: str) -> str:
    try:
        return str(json.loads(token, strict=False))
    except ValueError:
        return token


def _wrong_number(token: str, problem: Problem) -> bool:
    if problem == "constant":
        return token.endswith(("Infinity", "NaN"))
    return problem == "number" and (len(token) > MOST_DIGITS or ("e" in token.lower() and _infinite(token)))


def _infinite(token: str) -> bool:
    try:
        return math.isinf(float(token))
    except ValueError:
        return False
