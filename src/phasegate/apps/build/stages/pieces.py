"""Answers in pieces: what has been delivered, and what is still to be asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from phasegate.apps.build.errors import UnsafePathError
from phasegate.apps.build.paths.names import normalise
from phasegate.apps.build.schema import Answer


@dataclass(frozen=True, slots=True)
class Rest:
    """``only`` are the deliverables that this call is to give (empty: all), ``batches`` those of the calls after it;
    ``answers`` is what earlier calls gave. ``continuations`` counts the calls that went on after a cut."""

    answers: tuple[Answer, ...] = ()
    only: tuple[str, ...] = ()
    batches: tuple[tuple[str, ...], ...] = ()
    continuations: int = 0

    @property
    def done(self) -> tuple[str, ...]:
        """What has been delivered."""
        return tuple(_path(change.path) for answer in self.answers for change in answer.changes)

    def told(self) -> dict[str, Any]:
        """As JSON; ``from_told`` is the inverse."""
        return {
            "answers": [each.told() for each in self.answers], "only": list(self.only),
            "batches": [list(each) for each in self.batches], "continuations": self.continuations,
        }  # fmt: skip

    @classmethod
    def from_told(cls, told: Mapping[str, Any]) -> Rest:
        """The inverse of ``told``."""
        return cls(
            tuple(Answer.from_told(each) for each in told["answers"]), tuple(told["only"]),
            tuple(tuple(each) for each in told["batches"]), told["continuations"],
        )  # fmt: skip

    def in_batches(self, batches: Sequence[Sequence[str]]) -> Rest:
        """One call for each batch; as it is when there is only one."""
        if len(batches) < 2:
            return self
        return replace(self, only=tuple(batches[0]), batches=tuple(tuple(each) for each in batches[1:]))

    def after(self, answer: Answer) -> Rest | None:
        """What is left when the call was answered; None when that is nothing."""
        if not self.batches:
            return None
        return replace(self, answers=(*self.answers, answer), only=self.batches[0], batches=self.batches[1:])

    def after_cut(self, salvaged: Answer, deliverables: Sequence[str], cut: object = None) -> Rest | None:
        """What is left when the answer was cut: of what this call was to give all that is not among what was whole, and the file
        that the cut fell into. None when nobody can say what is missing, so that it cannot be asked for."""
        given = replace(self, answers=(*self.answers, salvaged), continuations=self.continuations + 1)
        have = {*given.done, *map(_path, salvaged.already_satisfied)}
        wanted = [*(self.only or deliverables), *([_path(cut)] if isinstance(cut, str) and deliverables else [])]
        left = tuple(each for each in dict.fromkeys(wanted) if each not in have)
        return replace(given, only=left) if left else None


def _path(given: str) -> str:
    """A path as deliverables are written; one that is none stays as it is, for the validation to find."""
    try:
        return normalise(given)
    except UnsafePathError:
        return given
