"""Whether what a person answers fits the questions."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date, datetime
from typing import Any
from uuid import UUID

from phasegate.apps.documents.digests import digest
from phasegate.apps.documents.errors import ClarificationError, WorkflowError
from phasegate.apps.documents.gates.questions import ClarificationQuestion
from phasegate.apps.documents.json_answers import DEEPEST, JSONAnswerError, deeper_than, parse_json

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_YES = frozenset({"yes", "y", "true", "1"})
_NO = frozenset({"no", "n", "false", "0"})


def validate_answers(
    questions: Iterable[ClarificationQuestion], answers: Mapping[str, Any], must_answer: Collection[str] = ()
) -> dict[str, Any]:
    """The answers by question id, in the order of the questions, each in one form.

    An answer may be text, as a web form gives it, or the JSON value itself. Numbers become numbers, yes and no become ``yes``
    and ``no``, several choices become a list, a JSON object becomes one. A question that nobody answers, or answers with blank
    text, has its default if there is one and is left out otherwise.

    Raises ``ClarificationError``, which names every problem: an answer to a question that was not asked, one that is missing
    although required and blocking or in ``must_answer``, one of the wrong kind.
    """
    if not isinstance(answers, Mapping):
        raise ClarificationError(f"answers are a mapping of question ids, not {type(answers).__name__}")
    asked = {each.id: each for each in questions}
    problems = [f"there is no question {each!r}" for each in answers if each not in asked]
    found: dict[str, Any] = {}
    missing = []
    for name, question in asked.items():
        given = answers.get(name)
        if not _is_blank(given):
            try:
                found[name] = _reader(question)(question, given)
            except ValueError as error:
                problems.append(f"the answer to {name} {error}")
        elif (question.required and question.blocking) or name in must_answer:
            missing.append(name)
        elif question.default is not None:
            found[name] = question.default
    if missing:
        problems.append(f"answers are missing: {', '.join(missing)}")
    if problems:
        raise ClarificationError("; ".join(problems))
    return found


def _reader(question: ClarificationQuestion) -> Callable[[ClarificationQuestion, Any], Any]:
    return _READERS.get(question.answer_type, _text)


def _is_blank(value: Any) -> bool:
    return value is None or value == [] or (isinstance(value, str) and not value.strip())


def _text(question: ClarificationQuestion, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("has characters that cannot be written") from None
    return value


def _choice(question: ClarificationQuestion, value: Any) -> str:
    known = [str(each.get("value")) for each in question.choices or ()]
    chosen = _text(question, value)
    for each in (chosen, chosen.strip()):
        if each in known:
            return each
    raise ValueError(f"must be one of {', '.join(known)}, not {chosen!r}")


def _choices(question: ClarificationQuestion, value: Any) -> list[str]:
    if isinstance(value, str):
        value = _listed(question, value)
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list of choices, not {type(value).__name__}")
    return list(dict.fromkeys(_choice(question, each) for each in value))


def _listed(question: ClarificationQuestion, text: str) -> Any:
    """The choices in a text: one of them as it stands, a JSON list, or several with commas between."""
    if text.strip() in {str(each.get("value")) for each in question.choices or ()}:
        return [text]
    if text.lstrip().startswith("["):
        return parse_json(text)
    return [each for each in text.split(",") if each.strip()]


def _yes_no(question: ClarificationQuestion, value: Any) -> str:
    said = str(value).strip().lower() if isinstance(value, str | bool) else ""
    if said not in _YES | _NO:
        raise ValueError("must be yes or no")
    return "yes" if said in _YES else "no"


def _number(question: ClarificationQuestion, value: Any) -> int | float:
    text = value.strip() if isinstance(value, str) else ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = value
    elif _WHOLE.fullmatch(text):
        number = int(text)
    elif _NUMBER.fullmatch(text):
        number = float(text)
    else:
        raise ValueError("must be a number")
    # What does not fit into 64 bits cannot be stored as a whole number.
    if isinstance(number, int) and number.bit_length() > 63:
        raise ValueError("is too large a number")
    if not math.isfinite(number):
        raise ValueError("must be a finite number")
    return number


def _date(question: ClarificationQuestion, value: Any) -> str:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    text = _text(question, value).strip()
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text).isoformat()
    except ValueError:
        pass  # a day that no calendar has is said like any other wrong date
    raise ValueError("must be a date such as 2026-01-31")


def _uuid(question: ClarificationQuestion, value: Any) -> str:
    try:
        return str(value if isinstance(value, UUID) else UUID(_text(question, value).strip()))
    except ValueError:
        raise ValueError("must be a UUID") from None


def _json_object(question: ClarificationQuestion, value: Any) -> dict[str, Any]:
    try:
        found = parse_json(value) if isinstance(value, str) else value
    except JSONAnswerError as error:
        raise ValueError(f"must be a JSON object; {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"must be a JSON object, not {type(found).__name__}")
    if deeper_than(DEEPEST, found):
        raise ValueError(f"must not be nested more than {DEEPEST} levels deep")
    try:
        digest(found)
    except WorkflowError:
        raise ValueError("has something in it that is not JSON") from None
    return found


_READERS: Mapping[str, Callable[[ClarificationQuestion, Any], Any]] = {
    "single_choice": _choice,
    "multi_choice": _choices,
    "yes_no": _yes_no,
    "number": _number,
    "date": _date,
    "uuid": _uuid,
    "json_object": _json_object,
}
