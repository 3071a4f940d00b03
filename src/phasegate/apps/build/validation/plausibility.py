"""Whether a file's new content looks like what somebody would write on purpose: sizes, public names, placeholders. Pure."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from phasegate.apps.build.errors import ContentError, MissingDeliverableError, PhaseExecutorError
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import Change, Found, PhaseSpec
from phasegate.apps.build.validation.public_names import removed_names

_DOCUMENTS = frozenset({".md", ".markdown", ".rst", ".txt", ".adoc"})
_DOCUMENT_CATEGORIES = frozenset({"docs", "documentation", "research"})
_GENERATED = re.compile(r"@generated|\bDO NOT EDIT\b|\bauto-?generated\b", re.IGNORECASE)
_NON_EMPTY = re.compile(r"\bnon-?empty\b|\bnot (?:be )?empty\b|\bat least one\b", re.IGNORECASE)

_DOTS = r"(?:\.{3,}|\u2026)"
_PART = (
    r"(?:file|code|class|function|method|module|content|contents|implementation|imports|document|page|section|"
    r"configuration|script|it)"
)
_SAME = r"(?:unchanged|the same|as before|as is|as-is|omitted|goes here|remains?|stays?|here|continues?)"
_COMMENT = re.compile(r"^\s*(?:#+|//+|/\*+|\*|<!--|--|;+|%+|\{#)\s*(?P<text>.*?)\s*(?:\*+/|-->|#\})?\s*$")
_BRACKETS = re.compile(r"^\s*(?:\[(?P<square>[^\[\]]*)\]|<(?P<angle>[^<>]*)>|\((?P<round>[^()]*)\))\s*$")
_LONE_DOTS = re.compile(rf"^{_DOTS}$")
_REST = rf"(?:the\s+)?(?:rest|remainder)\s+of\s+(?:the\s+|this\s+|your\s+)?(?:\w+\s+)?{_PART}"
_OTHERS = rf"(?:{_PART}|functions|methods|classes|lines|tests)"
#: What a comment says when it stands for text that was left out. The whole comment must be such a phrase.
_LEFT_OUT = re.compile(
    rf"^{_DOTS}?\s*\(?(?:"
    rf"keep\s+{_REST}"
    rf"|(?:keep\s+)?{_REST}(?:(?:\s+(?:is|are|remains|stays))?\s+{_SAME}|(?=\s*{_DOTS}))"
    rf"|(?:the\s+)?(?:existing|remaining|previous|original|other|same|all\s+other)\s+(?:\w+\s+)?{_OTHERS}"
    rf"(?:\s+(?:is|are|remains?|stays?))?\s+{_SAME}"
    rf"|(?:{_PART}\s+|the\s+rest\s+)?(?:is\s+|remains\s+|stays\s+)?unchanged"
    rf"|(?:{_PART}\s+)?omitted\s+for\s+brevity"
    rf")\)?\s*{_DOTS}?\.?$",
    re.IGNORECASE,
)
#: The same after dots, where fewer words are enough: "... existing code ...".
_AFTER_DOTS = re.compile(
    rf"^{_DOTS}(?:\s+\(?(?:the\s+)?(?:rest|remainder|same|other|as\s+before)"
    rf"|\s*\(?(?:the\s+)?(?:existing|remaining|previous|unchanged|omitted|truncated))\b"
    rf"[^.\u2026]{{0,60}}(?P<dots>{_DOTS}?)\)?$",
    re.IGNORECASE,
)


def check(change: Change, before: str | None, spec: PhaseSpec, policy: Policy) -> Found:
    """What is implausible about a change, given the text of the file it changes (None for a new file).

    Deletions are never implausible here. Lock files and generated files may change in size as they like.
    """
    if change.content is None:
        return Found()
    found = [_placeholders(change.path, before, change.content), _markers(change.path, change.content)]
    found += [_json_emptiness(change, spec), _last_line(change.path, before, change.content)]
    if before is not None:
        if not _is_generated(change.path, before, policy):
            found += [_sizes(change.path, before, change.content, spec, policy)]
        found.append(_names(change.path, before, change.content, spec, policy))
    return joined(*found)


def joined(*found: Found) -> Found:
    """All errors and all warnings, in order."""
    return Found(tuple(e for each in found for e in each.errors), tuple(w for each in found for w in each.warnings))


def line_count(text: str) -> int:
    """How many lines a text has; a last line without an end counts."""
    return text.count("\n") + (not text.endswith("\n") if text else 0)


def line_changes(before: str | None, after: str | None) -> tuple[int, int]:
    """How many lines were added and removed; lines that only moved are neither."""
    one, other = Counter((before or "").splitlines()), Counter((after or "").splitlines())
    return (other - one).total(), (one - other).total()


def has_conflict_markers(text: str) -> bool:
    """Whether the three marks of a conflict stand at beginnings of lines, in their order."""
    wanted = ["<<<<<<<", "=======", ">>>>>>>"]
    for line in text.splitlines():
        if line[:7] == wanted[0] and (len(line) == 7 or line[7] == " "):
            wanted.pop(0)
            if not wanted:
                return True
    return False


def placeholder(path: str, line: str) -> bool:
    """Whether a line stands for text that was left out: a comment, something in brackets, or words between dots.

    Documents have headings, lists and sentences that look like comments; of them only what cannot be meant counts.
    """
    is_document = PurePosixPath(path).suffix.lower() in _DOCUMENTS
    comment, brackets = _COMMENT.match(line), _BRACKETS.match(line)
    after = _AFTER_DOTS.match(comment["text"] if comment else line.strip())
    if after:
        return bool(after["dots"]) or (comment is not None and not is_document)
    if brackets and comment is None:
        said = next((each for each in brackets.groups() if each), "").strip()
        return _LEFT_OUT.match(said) is not None or _AFTER_DOTS.match(said) is not None
    if comment is None or (is_document and not line.lstrip().startswith("<!--")):
        return False
    return _LONE_DOTS.match(comment["text"]) is not None or _LEFT_OUT.match(comment["text"]) is not None


def sizes(before: int, after: int, policy: Policy) -> str | None:
    """``shrunk`` or ``grown`` when a file of so many lines may not become one of so many; the limits themselves are allowed."""
    if before - after > policy.max_shrink * before:
        return "shrunk"
    if before > policy.growth_from_lines and after > policy.max_growth * before:
        return "grown"
    return None


def _sizes(path: str, before: str, after: str, spec: PhaseSpec, policy: Policy) -> Found:
    old, new = line_count(before), line_count(after)
    outcome = sizes(old, new, policy)
    lines = {"before": old, "after": new}
    if outcome == "shrunk":
        cause = f"it would shrink from {old} to {new} lines; give the whole file, without leaving anything out"
        return _error(ContentError("E_SHRUNK", cause, path=path, details=lines), relaxed=spec.allow_mass_change)
    if outcome == "grown":
        cause = f"it would grow from {old} to {new} lines"
        relaxed = spec.allow_mass_change or spec.complexity != "low"
        return _error(ContentError("E_GROWN", cause, path=path, details=lines), relaxed=relaxed)
    return _churn(path, before, after, old, spec, policy)


def _churn(path: str, before: str, after: str, old: int, spec: PhaseSpec, policy: Policy) -> Found:
    is_document = spec.category in _DOCUMENT_CATEGORIES or PurePosixPath(path).suffix.lower() in _DOCUMENTS
    if spec.complexity != "low" or is_document or not old:
        return Found()
    share = max(line_changes(before, after)) / old
    if share <= policy.max_churn_low:
        return Found()
    return Found(warnings=(f"{path}: {share:.0%} of its lines change, which is much for a phase of low complexity",))


def _names(path: str, before: str, after: str, spec: PhaseSpec, policy: Policy) -> Found:
    removed, total = removed_names(path, before, after)
    if not removed:
        return Found()
    shown = ", ".join(removed[:10]) + (", ..." if len(removed) > 10 else "")
    cause = f"{len(removed)} of {total} public names would be gone: {shown}"
    error = ContentError("E_SYMBOLS_REMOVED", cause, path=path, details={"removed": removed[:100], "total": total})
    few = len(removed) <= policy.max_symbols_removed * total
    return _error(error, relaxed=few or spec.allow_symbol_removal)


def _placeholders(path: str, before: str | None, after: str) -> Found:
    known = set((before or "").splitlines())
    for number, line in enumerate(after.splitlines(), 1):
        if len(line) <= 300 and line not in known and placeholder(path, line):
            cause = f"line {number} stands for text that was left out ({line.strip()[:80]!r}); write the whole file"
            return _error(ContentError("E_PLACEHOLDER", cause, path=path, category="model", details={"line": number}))
    return Found()


def _markers(path: str, after: str) -> Found:
    if not has_conflict_markers(after):
        return Found()
    return _error(ContentError("E_CONFLICT_MARKERS", "it has the marks of an unresolved merge in it", path=path))


def _json_emptiness(change: Change, spec: PhaseSpec) -> Found:
    """A JSON file that must be delivered, and says nothing. Text that is no JSON is somebody else's concern."""
    path, text = change.path, change.content or ""
    if not path.lower().endswith(".json") or path not in spec.deliverables or not _says_nothing(text):
        return Found()
    cause = "it must be delivered and has nothing in it"
    error = MissingDeliverableError("E_DELIVERABLE_EMPTY", cause, path=path)
    return _error(error, relaxed=not _must_be_full(path, spec))


def _says_nothing(text: str) -> bool:
    if len(text) > 200:
        return False
    try:
        return not text.strip() or json.loads(text) in ({}, [])
    except ValueError:
        return False


def _must_be_full(path: str, spec: PhaseSpec) -> bool:
    """Whether a criterion asks for content: a check with ``non_empty``, or words that name the file."""
    name = PurePosixPath(path).name
    said = any(name in each and _NON_EMPTY.search(each) for each in spec.acceptance_criteria)
    return said or any(each.get("non_empty") and each.get("path") == path for each in spec.checks)


def _last_line(path: str, before: str | None, after: str) -> Found:
    had_end = before is None or not before or before.endswith("\n")
    if not after or after.endswith("\n") or not had_end:
        return Found()
    return Found(warnings=(f"{path}: its last line has no end",))


def _is_generated(path: str, before: str, policy: Policy) -> bool:
    name = PurePosixPath(path).name
    by_name = any(fnmatchcase(name, glob) or fnmatchcase(path, glob) for glob in policy.generated_globs)
    # What the new content says of itself does not count: it is what is being judged.
    return by_name or any(_COMMENT.match(line) and _GENERATED.search(line) for line in _head(before, 5))


def _head(text: str, count: int) -> Iterator[str]:
    yield from text.split("\n", count)[:count]


def _error(error: PhaseExecutorError, *, relaxed: bool = False) -> Found:
    return Found(warnings=(f"{error.path}: {error.cause}",)) if relaxed else Found((error,))
