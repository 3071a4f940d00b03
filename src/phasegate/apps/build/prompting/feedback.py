"""What the model is told about its last attempt: what was wrong, and how to put it right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from phasegate.apps.build.context.tokens import estimate
from phasegate.apps.build.errors import one_line
from phasegate.apps.build.prompting.delimiting import block, shown_name
from phasegate.llm import redact

#: Of a program's output so many of the last lines are told; and so much of anything that a message contains.
OUTPUT_LINES, _OUTPUT_CHARS, _LINE_CHARS = 80, 6_000, 240
_ERRORS, _TESTS, _EARLIER, _SUMMARY_CHARS, _EXCERPT_CHARS = 15, 20, 10, 500, 400
#: Previous contents are repeated only if they take no more than this part of the room for the context.
CONTENTS_SHARE = 0.25

#: By code, what the rule is, in words.
_RULES = {
    "E_EMPTY_RESPONSE": "the answer must not be empty",
    "E_DIFF_RESPONSE": "the answer must have the form that is asked for, not that of a patch",
    "E_JSON_INVALID": "the answer must be valid JSON",
    "E_JSON_SHAPE": "the answer must have exactly the shape that is asked for",
    "E_FILES_MISSING": "the list of changes must be there",
    "E_FILES_NOT_ARRAY": "the changes must be a list",
    "E_FILES_EMPTY": "the answer must contain changes",
    "E_ENTRY_INVALID": "every change must have the fields that are asked for",
    "E_MODE_UNKNOWN": "the mode is one of create, modify and delete",
    "E_CONTENT_MISSING": "a file that is written must have its content",
    "E_TRUNCATED": "the answer was cut short; it must be complete",
    "E_EDIT_RANGE": "edits must lie within the file and must not overlap; lines count from 1 in the file as it was shown",
    "E_EDIT_CONTEXT": "the context of an edit must be the lines that are really there",
    "E_ANCHOR": "the text that an edit looks for must be in the file exactly once",
    "E_PATH_UNSAFE": "paths must be relative, with forward slashes, and stay in the repository",
    "E_SYMLINK": "nothing is written through symbolic links",
    "E_PROTECTED": "protected paths must not be changed, created or deleted",
    "E_SCOPE": "only what the phase may write may be changed",
    "E_READ_ONLY": "files that are given to be read must not be changed",
    "E_DUPLICATE": "every path may appear only once",
    "E_PATH_NESTED": "no path may lie below the path of another change",
    "E_STRUCTURE": "every change must have the structure that is asked for",
    "E_TOO_LARGE": "files and answers have a largest size",
    "E_DELETE_MISSING": "only a file that exists can be deleted",
    "E_CREATE_EXISTS": "a file that exists must be modified, and only after it was shown whole",
    "E_MODIFY_MISSING": "only a file that exists can be modified",
    "E_MODIFY_UNSEEN": "a file must be shown whole before it may be replaced; it is shown now if there is room for it",
    "E_CONCURRENT_EDIT": "the file was changed meanwhile; it is shown as it is now",
    "E_SHRUNK": "a file must not lose most of its lines",
    "E_GROWN": "a small task must not make a file several times as long",
    "E_SYMBOLS_REMOVED": "public names that others may use must stay",
    "E_PLACEHOLDER": "contents must be complete, without placeholders for text that is left out",
    "E_CONFLICT_MARKERS": "contents must not contain the marks of a merge conflict",
    "E_SYNTAX": "files must be valid in their language",
    "E_DELIVERABLE_MISSING": "every deliverable must be in the answer, at exactly its path",
    "E_DELIVERABLE_EMPTY": "deliverables must not be empty",
}


@dataclass(frozen=True, slots=True)
class Feedback:
    """What was wrong with the last attempt.

    ``attempt`` is the one that is made now, from 1, of ``attempts``. ``errors`` are as ``PhaseExecutorError.told`` gives them.
    ``earlier`` has one line for each attempt before the last, ``output`` what a failing program wrote, ``newly_failing`` the
    tests that failed only after the change, ``delivered`` what of the deliverables the answer had, ``contents`` its files.
    """

    attempt: int = 2
    attempts: int = 2
    errors: tuple[Mapping[str, Any], ...] = ()
    summary: str = ""
    earlier: tuple[str, ...] = ()
    output: str = ""
    newly_failing: tuple[str, ...] = ()
    delivered: Mapping[str, bool] = field(default_factory=dict)
    contents: Mapping[str, str] = field(default_factory=dict)

    def told(self) -> dict[str, Any]:
        """As JSON; ``from_told`` is the inverse."""
        return {
            "attempt": self.attempt, "attempts": self.attempts, "errors": [dict(each) for each in self.errors],
            "summary": self.summary, "earlier": list(self.earlier), "output": self.output,
            "newly_failing": list(self.newly_failing), "delivered": dict(self.delivered), "contents": dict(self.contents),
        }  # fmt: skip

    @classmethod
    def from_told(cls, told: object) -> Feedback:
        """The inverse of ``told``. Whatever else it is given it makes the best of: errors may be mere text, ``max_attempts`` is
        another name of ``attempts``, and what makes no sense is left out."""
        given: Mapping[Any, Any] = told if isinstance(told, Mapping) else {}
        attempt = _number(given.get("attempt"), 2)
        return cls(
            attempt, max(attempt, _number(given.get("attempts", given.get("max_attempts")), attempt)),
            tuple(_error(each) for each in _list(given.get("errors"))), _text(given.get("summary")),
            tuple(_text(each) for each in _list(given.get("earlier"))), _text(given.get("output")),
            tuple(_text(each) for each in _list(given.get("newly_failing"))),
            {_text(k): v is True for k, v in _mapping(given.get("delivered")).items()},
            {_text(k): v for k, v in _mapping(given.get("contents")).items() if isinstance(v, str)},
        )  # fmt: skip


def feedback_lines(feedback: Feedback, token: str, room: int) -> list[str]:
    """The feedback as lines of a prompt. ``token`` marks the ends of blocks; ``room`` are the tokens that may be used to repeat
    the contents of the last answer. No secrets are in it, and never more than so many lines of anything."""
    left = feedback.attempts - feedback.attempt
    lines = [f"This is attempt {feedback.attempt} of {feedback.attempts}; {_count(left, 'more')} may follow."]
    if feedback.earlier:
        lines += ["Before the last attempt:", *_bullets(feedback.earlier[-_EARLIER:])]
    errors = _each(feedback.errors)
    if errors:
        lines.append("What was wrong with the last attempt:")
        for number, error in enumerate(errors[:_ERRORS], 1):
            lines += _error_lines(number, error, token)
        lines += _more(len(errors) - _ERRORS, "errors")
    lines += _test_lines(feedback, token)
    if feedback.delivered:
        lines.append("Deliverables in the last answer:")
        lines += [f"{'✓' if has else '✗'} {shown_name(path)}" for path, has in feedback.delivered.items()]
    extra = _extra(errors)
    if extra:
        lines.append(f"Also in the last answer, which is fine: {_short(', '.join(extra))}")
    if feedback.summary:
        lines.append(f"Summary of the last answer: {_short(feedback.summary, _SUMMARY_CHARS)}")
    lines += _content_lines(feedback.contents, token, room)
    lines.append(
        "Nothing of the failed attempt is on disk: the files are as they are shown here. Give all changes again, corrected."
    )
    return lines


def latest_hints(hints: Sequence[str], most: int = 5) -> list[str]:
    """The latest hints, the latest first; of those that differ only in numbers, the latest. They are given in order of time."""
    chosen: dict[str, str] = {}
    for hint in reversed(hints):
        text = _short(_text(hint))
        if text:
            chosen.setdefault("".join("#" if c.isdigit() else c for c in text), text)
    return list(chosen.values())[:most]


def _each(errors: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The errors, with those in the place of one that stands for several."""
    found: list[Mapping[str, Any]] = []
    for error in errors:
        problems = [_error(each) for each in _list(_mapping(error.get("details")).get("problems"))]
        found += problems or [error]
    return found


def _error_lines(number: int, error: Mapping[str, Any], token: str) -> list[str]:
    code, message = _text(error.get("code")), _text(error.get("message"))
    details = _mapping(error.get("details"))
    path = _text(error.get("path"))
    about = f" {shown_name(path)}:" if path and path not in message else ""
    lines = [f"{number}. {code}:{about} {_short(message)}" if code else f"{number}.{about} {_short(message)}"]
    if code in _RULES:
        lines.append(f"   Rule: {_RULES[code]}.")
    correction = _correction(path, details)
    if correction:
        lines.append(f"   Correction: {correction}.")
    excerpt = _excerpt(error)
    if excerpt:
        lines += ["   There it reads:", block(token, "EXCERPT", excerpt).rstrip("\n")]
    return lines


def _correction(path: str, details: Mapping[str, Any]) -> str:
    """How to put it right, as far as the details say so."""
    parts = []
    found, expected = details.get("found"), details.get("expected", path)
    if found and isinstance(expected, str) and expected:
        parts.append(f"found {_short(_joined(found))}, expected {_short(expected)}")
    if isinstance(details.get("entry"), str):
        parts.append(f"leave out everything that '{_short(details['entry'])}' covers")
    if isinstance(details.get("line"), int):
        column = f", column {details['column']}" if isinstance(details.get("column"), int) else ""
        parts.append(f"look at line {details['line']}{column}")
    return "; ".join(parts)


def _extra(errors: Iterable[Mapping[str, Any]]) -> list[str]:
    """Files that were changed besides what had to be delivered, but for those in the wrong place."""
    details = [_mapping(each.get("details")) for each in errors]
    wrong = {_text(path) for each in details for path in _list(each.get("found"))}
    others = dict.fromkeys(_text(path) for each in details for path in _list(each.get("extra")))
    return [path for path in others if path and path not in wrong]


def _excerpt(error: Mapping[str, Any]) -> str:
    """The text around the place of an error in an answer."""
    given = _mapping(error.get("details")).get("excerpt")
    return redact(given)[:_EXCERPT_CHARS] if isinstance(given, str) else ""


def _test_lines(feedback: Feedback, token: str) -> list[str]:
    lines = []
    if feedback.newly_failing:
        lines += [
            "These tests fail with your changes and did not fail before:",
            *_bullets(feedback.newly_failing[:_TESTS]),
        ]
        lines += _more(len(feedback.newly_failing) - _TESTS, "tests")
    tail = last_lines(feedback.output)
    if tail:
        lines += ["The end of what the program wrote:", block(token, "OUTPUT", tail).rstrip("\n")]
    return lines


def last_lines(output: str) -> str:
    """The end of a program's output: at most 80 lines, none of them very long, without secrets."""
    lines = [line.rstrip()[:_LINE_CHARS] for line in redact(output).splitlines()[-OUTPUT_LINES:]]
    return "\n".join(lines)[-_OUTPUT_CHARS:].strip("\n")


def _content_lines(contents: Mapping[str, str], token: str, room: int) -> list[str]:
    if not contents:
        return []
    blocks = [block(token, "ANSWERED", redact(text), shown_name(path)).rstrip("\n") for path, text in contents.items()]
    if sum(estimate(each) + 1 for each in blocks) > room:
        return []
    return ["The files of the last answer, which are not on disk:", *blocks]


def _more(count: int, what: str) -> list[str]:
    return [f"... and {count} more {what}."] if count > 0 else []


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number > 0 else f"no {what}"


def _bullets(lines: Iterable[str]) -> list[str]:
    return [f"- {_short(line)}" for line in lines]


def _short(text: str, most: int = _LINE_CHARS) -> str:
    line = one_line(text)
    return line if len(line) <= most else f"{line[: most - 3]}..."


def _joined(value: object) -> str:
    return ", ".join(_text(each) for each in value) if isinstance(value, list | tuple) else _text(value)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _list(value: object) -> Sequence[Any]:
    if isinstance(value, str):
        return [value]
    return value if isinstance(value, list | tuple) else ()


def _mapping(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: object, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else default


def _error(value: object) -> Mapping[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {"message": _text(value)}
