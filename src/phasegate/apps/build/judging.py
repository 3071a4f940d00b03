"""What follows from an attempt: done, again, or the end. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

#: How an attempt ended, as far as it decides what follows. ``TOKEN_ESCALATION``: the answer needs more room, not other words.
AttemptStatus = Literal["COMPLETE", "FAILED", "BLOCKED", "TOKEN_ESCALATION"]

#: Errors that are not of one phase: whoever goes on meets them again, or makes them worse.
STOP_THE_RUN = frozenset(
    {"E_HEALTH_WORKSPACE", "E_HEALTH_HISTORY_DB", "E_LLM_AUTH", "E_LLM_CREDIT_EXHAUSTED", "E_DISK_FULL", "E_HISTORY",
     "E_ROLLBACK_CONFLICT", "E_ROLLBACK", "E_LOCKED", "E_BUDGET_RUN", "E_RUN_TIMEOUT"}
)  # fmt: skip

#: The context that is tried next when neither all of it nor half was short enough for a provider.
_SHARE_AFTER_HALF = 0.25


@dataclass(frozen=True, slots=True)
class Step:
    """What follows an attempt: the index of the next one; whether the model is told what was wrong, whether a stronger one is
    asked; whether nothing follows at all."""

    next_index: int
    diagnostics: bool
    escalate: bool
    terminal: bool


def next_step(index: int, max_attempts: int, status: AttemptStatus, *, escalate: bool = False) -> Step:
    """What follows attempt ``index`` (from 0) of at most ``max_attempts``."""
    if status == "COMPLETE":
        return Step(index, diagnostics=False, escalate=False, terminal=True)
    if index + 1 >= max_attempts:
        return Step(index + 1, diagnostics=False, escalate=False, terminal=True)
    if status == "TOKEN_ESCALATION":
        return Step(index + 1, diagnostics=False, escalate=False, terminal=False)
    return Step(index + 1, diagnostics=True, escalate=escalate, terminal=False)


@dataclass(frozen=True, slots=True)
class Past:
    """What of a phase's earlier attempts decides the next one. ``index`` counts them all from 0, ``used`` only those that count
    against the limit; ``level`` is the place of the model among those to climb; ``growth`` is the factor on the output's room,
    ``share`` that on the context's; ``left`` are how many models have been left because their providers did not work;
    ``pieces`` is whether the deliverables are asked for in batches, whatever they may take."""

    index: int = 0
    used: int = 0
    level: int = 0
    left: int = 0
    growth: float = 1.0
    share: float = 1.0
    pieces: bool = False
    signatures: Mapping[str, int] = field(default_factory=dict)
    extra: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    feedback: Mapping[str, Any] | None = None

    def told(self) -> dict[str, Any]:
        """As JSON; ``from_told`` is the inverse."""
        return {
            "index": self.index, "used": self.used, "level": self.level, "left": self.left, "growth": self.growth,
            "share": self.share, "pieces": self.pieces, "signatures": dict(self.signatures), "extra": list(self.extra),
            "earlier": list(self.earlier), "feedback": None if self.feedback is None else dict(self.feedback),
        }  # fmt: skip

    @classmethod
    def from_told(cls, told: Mapping[str, Any] | None) -> Past:
        """The inverse of ``told``; of None that of a first attempt."""
        if not told:
            return cls()
        return cls(**{**told, "extra": tuple(told["extra"]), "earlier": tuple(told["earlier"])})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a phase after a failed attempt: another one with ``past``, or none, for ``reason`` or because it was the
    last."""

    past: Past
    again: bool
    reason: str | None = None


def judge(
    past: Past, errors: Sequence[Mapping[str, Any]], *, max_attempts: int, same_error_limit: int, growth: float,
    levels: int = 1,
) -> Verdict:  # fmt: skip
    """What follows an attempt that failed with these errors (as ``PhaseExecutorError.told`` gives them; at least one).

    One fatal error ends the phase. A provider that does not work ends it, too, unless there is another model to climb to; neither
    costs an attempt. Lack of room is mended once without one. The same error for the ``same_error_limit``-th time ends it, an
    empty answer the second time. ``levels`` is how many models there are to climb."""
    categories = {each["category"] for each in errors}
    if not all(each["retryable"] for each in errors) or "fatal" in categories:
        return Verdict(replace(past, used=past.used + 1), again=False)
    if categories == {"transient"}:
        if past.level + 1 >= levels:
            return Verdict(past, again=False, reason="transient")
        return Verdict(replace(past, index=past.index + 1, level=past.level + 1, left=past.level + 1), again=True)
    is_capacity = categories == {"capacity"}
    if is_capacity and past.growth == 1.0 and past.share == 1.0:
        return Verdict(_roomier(past, errors, growth), again=True)
    used, counted = past.used + 1, _counted(past.signatures, errors)
    known = replace(past, used=used, signatures=counted, pieces=past.pieces or is_capacity)
    if any(counted[_signature(each)] >= _most(each, same_error_limit) for each in errors):
        return Verdict(known, again=False, reason="no_progress")
    repeated = any(counted[_signature(each)] > 1 for each in errors)
    status: AttemptStatus = "TOKEN_ESCALATION" if is_capacity else "FAILED"
    step = next_step(used - 1, max_attempts, status, escalate=used >= 2 or repeated)
    if step.terminal:
        return Verdict(known, again=False)
    level = max(past.level, min(past.level + 1, levels - 1)) if step.escalate else past.level
    extra = tuple(dict.fromkeys([*past.extra, *_unseen(errors)]))
    return Verdict(replace(known, index=past.index + 1, level=level, extra=extra), again=True)


def _roomier(past: Past, errors: Sequence[Mapping[str, Any]], growth: float) -> Past:
    """The next attempt after a lack of room: a shorter prompt when half of it was too long, too, otherwise a longer answer."""
    roomier = replace(past, index=past.index + 1, feedback=None)
    if any(each["code"] == "E_LLM_PROMPT_TOO_LONG" for each in errors):
        return replace(roomier, share=_SHARE_AFTER_HALF)
    return replace(roomier, growth=growth)


def _counted(signatures: Mapping[str, int], errors: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How often each error has been met, with those of this attempt."""
    counted = dict(signatures)
    for signature in set(map(_signature, errors)):
        counted[signature] = counted.get(signature, 0) + 1
    return counted


def _signature(error: Mapping[str, Any]) -> str:
    """The error's signature, in which a number is one however many digits it has: line 9 and line 10 are the same problem."""
    return re.sub("#+", "#", error["signature"])


def _most(error: Mapping[str, Any], limit: int) -> int:
    """How often an error may be met until another attempt is of no use."""
    return min(limit, 2) if error["code"] == "E_FILES_EMPTY" else limit


def _unseen(errors: Sequence[Mapping[str, Any]]) -> list[str]:
    """Files that the model wanted to change without having seen them; the next attempt shows them. An error of an answer may
    stand for several."""
    every = [each for error in errors for each in (error, *error["details"].get("problems", ()))]
    return [each["path"] for each in every if each["code"] in ("E_MODIFY_UNSEEN", "E_CREATE_EXISTS") and each["path"]]
