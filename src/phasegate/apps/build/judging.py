"""What follows from an attempt: done, again, or the end. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

#: How an attempt ended, as far as it decides what follows. ``TOKEN_ESCALATION``: the answer needs more room, not other words.
AttemptStatus = Literal["COMPLETE", "FAILED", "BLOCKED", "TOKEN_ESCALATION"]

#: Errors that are not of one phase: whoever goes on meets them again, or makes them worse.
STOP_THE_RUN = frozenset(
    {"E_LLM_AUTH", "E_LLM_CREDIT_EXHAUSTED", "E_DISK_FULL", "E_HISTORY", "E_ROLLBACK_CONFLICT", "E_ROLLBACK", "E_LOCKED",
     "E_BUDGET_RUN", "E_RUN_TIMEOUT"}
)  # fmt: skip


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
    against the limit; ``growth`` is the factor on the output's room, ``share`` that on the context's."""

    index: int = 0
    used: int = 0
    level: int = 0
    growth: float = 1.0
    share: float = 1.0
    signatures: Mapping[str, int] = field(default_factory=dict)
    extra: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    feedback: Mapping[str, Any] | None = None

    def told(self) -> dict[str, Any]:
        """As JSON; ``from_told`` is the inverse."""
        return {
            "index": self.index, "used": self.used, "level": self.level, "growth": self.growth, "share": self.share,
            "signatures": dict(self.signatures), "extra": list(self.extra), "earlier": list(self.earlier),
            "feedback": None if self.feedback is None else dict(self.feedback),
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

    One fatal error ends the phase. An infrastructure that did not work does so, too, but costs no attempt. Lack of room is
    mended once without one. The same error for the ``same_error_limit``-th time ends it. ``levels`` is how many models there
    are to climb."""
    categories = {each["category"] for each in errors}
    if not all(each["retryable"] for each in errors) or "fatal" in categories:
        return Verdict(replace(past, used=past.used + 1), again=False)
    if categories == {"transient"}:
        return Verdict(past, again=False, reason="transient")
    if categories == {"capacity"} and past.growth == 1.0 and past.share == 1.0:
        roomier = replace(past, index=past.index + 1, growth=growth, share=0.75, feedback=None)
        return Verdict(roomier, again=True)
    counted = dict(past.signatures)
    for signature in {each["signature"] for each in errors}:
        counted[signature] = counted.get(signature, 0) + 1
    used = past.used + 1
    known = replace(past, used=used, signatures=counted)
    if max(counted.values()) >= same_error_limit:
        return Verdict(known, again=False, reason="no_progress")
    status: AttemptStatus = "TOKEN_ESCALATION" if categories == {"capacity"} else "FAILED"
    repeated = any(counted[each["signature"]] > 1 for each in errors)
    step = next_step(used - 1, max_attempts, status, escalate=used >= 2 or repeated)
    if step.terminal:
        return Verdict(known, again=False)
    level = min(past.level + 1, levels - 1) if step.escalate else past.level
    unseen = [
        each["path"] for each in errors if each["code"] in ("E_MODIFY_UNSEEN", "E_CREATE_EXISTS") and each["path"]
    ]
    extra = tuple(dict.fromkeys([*past.extra, *unseen]))
    return Verdict(replace(known, index=past.index + 1, level=level, extra=extra), again=True)
