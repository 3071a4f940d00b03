"""From what a model answered to one ``Answer`` with changes of whole files, whatever form was asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from phasegate.apps.build.answers.formats import SOUGHT
from phasegate.apps.build.answers.head import answer
from phasegate.apps.build.answers.json_lines import Lines, read_meta, read_operation, split_lines
from phasegate.apps.build.answers.line_edits import read_line_edits
from phasegate.apps.build.answers.notes import Notes
from phasegate.apps.build.answers.truncation import cut_lines, cut_object
from phasegate.apps.build.answers.whole_files import read_whole_files
from phasegate.apps.build.errors import Category, InvalidJSONError, LLMResponseError
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import Answer, Change, Format
from phasegate.llm import StopReason, redact
from phasegate.llm.json_strict import SPACE, JSONTextError
from phasegate.llm.json_text import find

#: Characters of the answer that are told around the place where it cannot be read.
EXCERPT = 200

_DIFF = re.compile(r"^(?:diff --git |@@ -\d|--- [^\n]*\n\+\+\+ )", re.MULTILINE)
# In a diff every line begins with a mark, so that an object at the beginning of one is not part of it.
_OBJECT = re.compile(r"^[{\[]", re.MULTILINE)
_CUT_BY_LIMIT = "the answer reached the most tokens it may have before it was complete"
_STOPPED = "the model stopped because it had reached the most tokens it may use; the answer is complete all the same"


def parse(
    text: str, format: Format, *, stop_reason: StopReason = "unknown", policy: Policy, originals: Mapping[str, str],
    allow_empty: bool = False,
) -> Answer:  # fmt: skip
    """The answer in a text.

    ``originals`` has the texts of the files that were shown, by their normalised paths; edits are applied to them.
    ``allow_empty`` accepts an answer without changes that does not say why.

    Raises the family of ``LLMResponseError`` and nothing else: ``TruncatedResponseError`` for an answer that was cut, with what
    is complete in ``details["salvaged"]`` and the path the cut fell into in ``details["cut"]``; ``RefusedError``;
    ``InvalidJSONError`` with ``line``, ``column``, ``excerpt`` and ``repairs`` in its details. When there are several problems
    ``details["problems"]`` has all of them.
    """
    body = text.strip(SPACE)
    if not body.strip():
        # A model that has used up its tokens before the first word needs more of them, not other words.
        category: Category = "capacity" if stop_reason == "max_tokens" else "model"
        raise LLMResponseError("E_EMPTY_RESPONSE", "the answer is empty", category=category)
    if _DIFF.search(body) is not None and _OBJECT.search(body) is None:
        raise _diff()
    notes = Notes()
    if stop_reason == "max_tokens":
        notes.warn(_STOPPED)
    try:
        if format == "lines":
            return _lines(text, stop_reason, notes, policy, originals, allow_empty=allow_empty)
        return _object(text, format, stop_reason, notes, policy, originals, allow_empty=allow_empty)
    except JSONTextError as error:
        raise _unreadable(text, format, error, stop_reason, policy) from None


def merge(answers: Sequence[Answer]) -> Answer:
    """One answer of several that continue one another, to be checked as one.

    A change that was given twice in the same words counts once. Two different changes of one file both stay, so that the check
    finds them.
    """
    if len(answers) == 1:
        return answers[0]
    changes: dict[Change, None] = dict.fromkeys(change for each in answers for change in each.changes)
    summaries = dict.fromkeys(each.summary for each in answers if each.summary)
    methods = dict.fromkeys(each.repair_method for each in answers)
    reason = next((each.no_changes_reason for each in answers if each.no_changes_reason), None)
    return Answer(
        " ".join(summaries)[: Policy().max_summary_chars],
        tuple(changes),
        reason if not changes else None,
        tuple(dict.fromkeys(path for each in answers for path in each.already_satisfied)),
        next((each.refusal for each in answers if each.refusal is not None), None),
        tuple(dict.fromkeys(warning for each in answers for warning in each.warnings)),
        ", ".join(methods) or "direct",
    )


def _object(
    text: str, format: Format, stop_reason: StopReason, notes: Notes, policy: Policy, originals: Mapping[str, str], *,
    allow_empty: bool,
) -> Answer:  # fmt: skip
    # What may have been cut is not repaired.
    repair = stop_reason != "max_tokens"
    found = find(
        text, SOUGHT[format], deepest=policy.max_answer_depth, longest=policy.max_answer_bytes, repair=repair
    )  # fmt: skip
    if found.others:
        notes.warn(f"the text has {found.others} further part(s) that look like an answer; they were ignored")
    if format == "files":
        head, changes = read_whole_files(found.value, notes, policy)
    else:
        head, changes = read_line_edits(found.value, notes, policy, originals)
    return answer(head, changes, notes, policy, method=found.method, allow_empty=allow_empty)


def _lines(
    text: str, stop_reason: StopReason, notes: Notes, policy: Policy, originals: Mapping[str, str], *, allow_empty: bool
) -> Answer:  # fmt: skip
    lines = split_lines(text, policy, repair=stop_reason != "max_tokens")
    if not lines.objects:
        raise lines.broken or JSONTextError("missing", "the text does not begin with an object", text)
    head, total = read_meta(lines.objects[0], notes, policy)
    if head.refusal is None:
        notes.check()
        _check_whole(lines, total or 0, stop_reason, policy, originals)
    if lines.rest:
        notes.warn("text after the last line was ignored")
    read = [read_operation(each, originals, notes, f"lines[{at}]") for at, each in enumerate(lines.objects[1:], 1)]
    changes = [change for change in read if change is not None]
    return answer(head, changes, notes, policy, method=lines.method, allow_empty=allow_empty)


def _check_whole(
    lines: Lines, total: int, stop_reason: StopReason, policy: Policy, originals: Mapping[str, str]
) -> None:
    """Raise when not exactly as many operations are there as the first line says."""
    count = len(lines.objects) - 1
    if lines.broken is not None and lines.broken.problem != "open" and stop_reason != "max_tokens":
        raise lines.broken
    if lines.broken is not None:
        cause = _CUT_BY_LIMIT if stop_reason == "max_tokens" else "the answer ends inside of a line"
        raise cut_lines(lines, cause, policy, originals)
    if count != total:
        cause = f"the answer has {count} operations and its first line says {total}"
        raise cut_lines(lines, cause, policy, originals)


def _unreadable(
    text: str, format: Format, error: JSONTextError, stop_reason: StopReason, policy: Policy
) -> LLMResponseError:
    """The error for a text in which no answer was found."""
    told = {
        "line": error.line, "column": error.column, "excerpt": excerpt(text, error.position), "repairs": list(error.tried)
    }  # fmt: skip
    cut = error.problem == "open" or (stop_reason == "max_tokens" and error.problem in ("syntax", "missing"))
    if cut:
        cause = _CUT_BY_LIMIT if stop_reason == "max_tokens" else "the answer ends before its JSON is closed"
        truncated = cut_object(text, error.start, format, cause, policy)
        truncated.details.update(told)
        return truncated
    if error.problem == "missing":
        return InvalidJSONError("E_JSON_SHAPE", error.reason, details=told)
    cause = f"line {error.line}, column {error.column}: {error.reason}"
    return InvalidJSONError("E_JSON_INVALID", cause, details=told)


def excerpt(text: str, position: int) -> str:
    """What stands around a position, without secrets."""
    start = max(0, position - EXCERPT // 2)
    return redact(text[start : start + EXCERPT].encode("utf-8", "replace").decode())


def _diff() -> LLMResponseError:
    cause = "the answer is a patch; give the complete contents of the files in the form that was asked for"
    return InvalidJSONError("E_DIFF_RESPONSE", cause)
