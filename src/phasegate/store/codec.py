"""Facts and records to JSON and back. Dictionaries begin and end here."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from pathlib import PurePath
from typing import Any

import orjson

from phasegate.core.facts import KINDS, Fact
from phasegate.core.run import PhaseRun, RunStatus, Scope, Subject, Vote
from phasegate.errors import InputError

_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z
#: What most instances have, kept out of the encoder.
TOP = "[]"


def dump(value: Any) -> str:
    """A value as JSON text. Raises ``InputError`` when it has no JSON form."""
    try:
        return orjson.dumps(value, default=_jsonable, option=_OPTIONS).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"not representable as JSON: {error}") from error


def canonical(value: Any) -> tuple[str, str]:
    """A value as JSON text with sorted keys, and its sha256. Raises ``InputError`` when it has no JSON form."""
    try:
        body = orjson.dumps(value, default=_jsonable, option=_OPTIONS | orjson.OPT_SORT_KEYS)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"not representable as JSON: {error}") from error
    return body.decode(), hashlib.sha256(body).hexdigest()


def load(text: str | bytes | None) -> Any:
    """The value of a JSON text; None for None."""
    return None if text is None else orjson.loads(text)


def _jsonable(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} is not JSON serializable")


def dump_scope(scope: Scope) -> str:
    """A scope as JSON text."""
    return orjson.dumps(scope).decode() if scope else TOP


def load_scope(text: str) -> Scope:
    """The scope of a JSON text."""
    return tuple(orjson.loads(text)) if text != TOP else ()


# --- facts ----------------------------------------------------------------------------------------------------------


_FIELDS: dict[type[Any], tuple[tuple[str, ...], tuple[Any, ...], Callable[[Any], tuple[Any, ...]]]] = {}
for _cls in KINDS.values():
    _names = tuple(field.name for field in dataclasses.fields(_cls))
    # Every fact has at least two fields but those about the run that carry only their time.
    _getter = attrgetter(*_names) if len(_names) > 1 else (lambda fact: (fact.at,))
    _FIELDS[_cls] = (_names, tuple(field.default for field in dataclasses.fields(_cls)), _getter)


def encode_fact(fact: Fact) -> dict[str, Any]:
    """A fact as a dictionary: its kind and every field that is not at its default."""
    names, defaults, values_of = _FIELDS[type(fact)]
    body: dict[str, Any] = {"kind": fact.kind}
    for name, default, value in zip(names, defaults, values_of(fact), strict=True):
        if value is not default and value != default:
            body[name] = value
    return body


def dump_facts(facts: tuple[Fact, ...]) -> str:
    """Facts as a JSON list."""
    return dump([encode_fact(fact) for fact in facts])


def decode_fact(body: Mapping[str, Any]) -> Fact:
    """The fact of a dictionary that ``encode_fact`` made."""
    cls = KINDS[body["kind"]]
    values = {
        name: _FROM_JSON[name](value) if name in _FROM_JSON else value for name, value in body.items() if name != "kind"
    }
    return cls(**values)  # type: ignore[no-any-return]


def load_facts(text: str) -> list[Fact]:
    """The facts of a JSON list."""
    return [decode_fact(body) for body in orjson.loads(text)]


def _feedback(value: Any) -> tuple[str, Scope, int] | None:
    return (value[0], tuple(value[1]), value[2]) if value else None


_FROM_JSON: dict[str, Callable[[Any], Any]] = {
    "at": datetime.fromisoformat,
    "due_at": datetime.fromisoformat,
    "until": datetime.fromisoformat,
    "scope": tuple,
    "items": tuple,
    "aim": frozenset,
    "pressed": frozenset,
    "subject": lambda value: Subject(**value),
    "status": RunStatus,
    "feedback": _feedback,
}


# --- what a phase instance holds besides its columns ----------------------------------------------------------------

_DETAIL = ("items", "shown", "questions", "answers", "feedback")


def dump_detail(instance: PhaseRun) -> str | None:
    """The fields of an instance that most do not have, as JSON text; None when it has none of them."""
    if instance.items is None and instance.shown is None and not instance.votes and instance.questions is None \
            and instance.answers is None and instance.feedback is None:  # fmt: skip
        return None
    detail = {name: value for name in _DETAIL if (value := getattr(instance, name)) is not None}
    if instance.votes:
        detail["votes"] = [dataclasses.asdict(vote) for vote in instance.votes]
    return dump(detail)


def load_detail(text: str | None) -> dict[str, Any]:
    """The fields that ``dump_detail`` wrote."""
    if text is None:
        return {}
    detail: dict[str, Any] = orjson.loads(text)
    for name in ("items", "feedback"):
        if name in detail:
            detail[name] = _FROM_JSON[name](detail[name])
    if "votes" in detail:
        detail["votes"] = tuple(
            Vote(**{**vote, "at": datetime.fromisoformat(vote["at"]) if vote["at"] else None})
            for vote in detail["votes"]
        )
    return detail
