"""What an answer says beside its changes: the summary, why nothing had to be done, and that it could not be done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from phasegate.apps.build.answers.notes import Notes
from phasegate.apps.build.errors import RefusedError
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import Answer, Change, Refusal

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Head:
    """The parts that every form has. A missing summary is empty here."""

    summary: str = ""
    no_changes_reason: str | None = None
    already_satisfied: tuple[str, ...] = ()
    refusal: Refusal | None = None

    @property
    def explains_nothing_to_do(self) -> bool:
        """Whether an answer without changes makes sense."""
        return self.no_changes_reason is not None or bool(self.already_satisfied)


def read_head(value: Mapping[str, Any], notes: Notes, policy: Policy) -> Head:
    """The head of an answer."""
    return Head(
        _summary(value.get("summary"), notes, policy),
        _sentence(value, "no_changes_reason", notes, policy),
        _paths(value.get("already_satisfied"), notes),
        _refusal(value.get("refusal"), notes, policy),
    )


def answer(
    head: Head, changes: Sequence[Change], notes: Notes, policy: Policy, *, method: str, allow_empty: bool
) -> Answer:
    """The answer with these changes.

    Raises the problems that were noted, ``RefusedError`` when the model refused, and ``E_FILES_EMPTY`` when there are no changes
    and nobody says why, unless ``allow_empty``.
    """
    if head.refusal is not None:
        # Whatever else is wrong with it: there is nothing to apply.
        needs = f"; it needs: {head.refusal.needs}" if head.refusal.needs else ""
        told = {"reason": head.refusal.reason, "needs": head.refusal.needs, "summary": head.summary}
        raise RefusedError("E_REFUSED", f"{head.refusal.reason}{needs}", details=told)
    notes.check()
    if not changes and not head.explains_nothing_to_do and not allow_empty:
        notes.wrong("E_FILES_EMPTY", "there are no changes, and no 'no_changes_reason' says why")
        notes.check()
    summary = head.summary
    if not summary:
        notes.warn("the answer has no summary; one was made from its changes")
        summary = generated_summary(changes, head.no_changes_reason)
    return Answer(
        summary, tuple(changes), head.no_changes_reason, head.already_satisfied, None, notes.warnings, method
    )  # fmt: skip


def generated_summary(changes: Sequence[Change], reason: str | None = None) -> str:
    """A sentence about changes, for a model that gave none."""
    if not changes:
        return f"No changes: {reason}" if reason else "No changes."
    named = ", ".join(f"{change.mode} {change.path}" for change in changes[:_NAMED])
    more = f" and {len(changes) - _NAMED} more" if len(changes) > _NAMED else ""
    return f"Changes {len(changes)} file{'s' if len(changes) > 1 else ''}: {named}{more}."


def _summary(value: Any, notes: Notes, policy: Policy) -> str:
    if value is not None and not isinstance(value, str):
        notes.warn(f"the summary is not text but {_kind(value)}, and was ignored")
        return ""
    return _shortened(value or "", "the summary", notes, policy)


def _sentence(value: Mapping[str, Any], name: str, notes: Notes, policy: Policy) -> str | None:
    found = value.get(name)
    if found is not None and not isinstance(found, str):
        notes.wrong("E_JSON_SHAPE", f"{name!r} must be text, not {_kind(found)}")
        return None
    return _shortened(found or "", name, notes, policy) or None


def _paths(value: Any, notes: Notes) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        notes.wrong("E_JSON_SHAPE", "'already_satisfied' must be a list of paths")
        return ()
    return tuple(dict.fromkeys(each for each in value if each.strip()))


def _refusal(value: Any, notes: Notes, policy: Policy) -> Refusal | None:
    if value is None:
        return None
    if isinstance(value, str):
        reason, needs = value, ""
    elif isinstance(value, Mapping):
        reason, needs = _words(value.get("reason")), _words(value.get("needs"))
    else:
        notes.wrong("E_JSON_SHAPE", f"'refusal' must be an object with 'reason' and 'needs', not {_kind(value)}")
        return None
    if not reason.strip() and not needs.strip():
        # Some models fill in every key they were told of.
        notes.warn("an empty 'refusal' was ignored")
        return None
    return Refusal(
        _shortened(reason, "the refusal", notes, policy) or "no reason given",
        _shortened(needs, "the refusal", notes, policy),
    )


def _words(value: Any) -> str:
    """Text, or several as one; nothing for anything else."""
    if isinstance(value, list):
        return ", ".join(each for each in value if isinstance(each, str))
    return value if isinstance(value, str) else ""


def _shortened(text: str, what: str, notes: Notes, policy: Policy) -> str:
    clean = "".join(c if c.isprintable() or c in "\n\t" else " " for c in text).strip()
    if len(clean) <= policy.max_summary_chars:
        return clean
    notes.warn(f"{what} was cut to {policy.max_summary_chars} characters")
    return clean[: policy.max_summary_chars].rstrip()


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), type(value).__name__)
