"""What a broken rule looks like: the severity scale and the failure record every validator returns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from phasegate.apps.outreach.rules.fields import plain


class Severity(StrEnum):
    """How bad a failure is, mildest first. CRITICAL and ERROR make a record invalid, WARNING and INFO do not."""

    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"

    @property
    def invalidates(self) -> bool:
        """Whether one failure of this severity makes the record invalid."""
        return self in (Severity.ERROR, Severity.CRITICAL)


_RANK = {severity: rank for rank, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Failure:
    """One broken rule on one field."""

    field: str
    rule: str
    message: str
    severity: Severity
    current_value: object = None

    def to_result(self) -> dict[str, object]:
        """``field, rule, message, severity, current_value``; the value is a JSON scalar or a short description."""
        return {
            "field": self.field,
            "rule": self.rule,
            "message": self.message,
            "severity": self.severity.value,
            "current_value": plain(self.current_value),
        }


@dataclass(frozen=True, slots=True)
class RuleBook:
    """Rule ids with their severities; the one place from which failures of a validator are made."""

    severities: Mapping[str, Severity]

    def broken(self, rule: str, field: str, message: str, value: object = None) -> Failure:
        """The failure of a declared rule; an undeclared id is a KeyError, hence a defect in the caller."""
        return Failure(field, rule, message, self.severities[rule], value)


def invalidating(failures: Iterable[Failure]) -> tuple[Failure, ...]:
    """The failures that make a record invalid, in order."""
    return tuple(failure for failure in failures if failure.severity.invalidates)


def highest(failures: Iterable[Failure]) -> Severity:
    """The highest severity among the failures; INFO when there is none."""
    return max((failure.severity for failure in failures), key=_RANK.__getitem__, default=Severity.INFO)


def sentence(failures: Iterable[Failure]) -> str:
    """All failures as ``field: message`` joined by ``; ``."""
    return "; ".join(f"{failure.field}: {failure.message}" for failure in failures)
