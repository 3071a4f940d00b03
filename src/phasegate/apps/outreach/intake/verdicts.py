"""The words a row is judged with, shared by companies and people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

# A report that lists every error of a broken file helps nobody; the count says how many there are.
_ERRORS_SHOWN = 10


class Verdict(StrEnum):
    """What becomes of a row."""

    VALID = "valid"
    INVALID = "invalid"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class DuplicateOf:
    """What a row repeats: an earlier line of the same file, or a record already in the table."""

    #: ``id``, ``name``, ``domain`` or ``content``: what both have in common.
    by: str
    line: int | None = None
    known_id: str | None = None


class Judged(Protocol):
    """A row with its verdict."""

    @property
    def line(self) -> int: ...
    @property
    def verdict(self) -> Verdict: ...
    @property
    def errors(self) -> tuple[str, ...]: ...


def statistics(rows: Sequence[Judged]) -> dict[str, Any]:
    """Counts by verdict, the number of errors and the first ten of them with their lines. All zero for no rows."""
    errors = [f"line {row.line}: {error}" for row in rows for error in row.errors]
    verdicts = [row.verdict for row in rows]
    return {
        "total_rows": len(rows),
        "valid_rows": verdicts.count(Verdict.VALID),
        "invalid_rows": verdicts.count(Verdict.INVALID),
        "duplicate_rows": verdicts.count(Verdict.DUPLICATE),
        "error_count": len(errors),
        "errors": errors[:_ERRORS_SHOWN],
    }
