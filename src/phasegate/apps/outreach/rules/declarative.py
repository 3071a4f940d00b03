"""Rules that stand as rows in a table: a field is required, has a format, or lies in a range."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from phasegate.apps.outreach.rules.failures import Failure, Severity
from phasegate.apps.outreach.rules.fields import Row, as_row, first_present, is_present, shown, text
from phasegate.errors import InputError

#: The three kinds of rule.
KINDS = ("field_required", "field_format", "field_range")
#: The columns of a table of rules.
COLUMNS = (
    "rule_id", "rule_type", "field", "field_name", "pattern", "min_value", "max_value", "severity", "error_message",
)  # fmt: skip
#: A batch stops when more failures than this have been found.
MOST_FAILURES = 100
#: A router stops when more than this share of its records fail.
HIGHEST_ERROR_RATE = 0.5

_LONGEST_NUMBER = 40


@dataclass(frozen=True, slots=True)
class FieldRule:
    """One compiled row. ``pattern`` is set for a format, ``lowest`` or ``highest`` for a range (both inclusive)."""

    rule: str
    kind: str
    field: str
    severity: Severity
    message: str
    pattern: re.Pattern[str] | None = None
    lowest: Decimal | None = None
    highest: Decimal | None = None

    def check(self, record: object) -> Failure | None:
        """The failure of one record, or None; never raises. Only ``field_required`` minds a missing value."""
        value = as_row(record).get(self.field)
        if is_present(value):
            broken = not self._accepts(value)
        else:
            broken = self.kind == "field_required"
        return Failure(self.field, self.rule, self.message, self.severity, value) if broken else None

    def _accepts(self, value: object) -> bool:
        if self.kind == "field_required":
            return True
        if self.pattern is not None:
            return isinstance(value, str) and self.pattern.fullmatch(value) is not None
        number = _decimal(value)
        if number is None:
            return False
        above = self.lowest is None or number >= self.lowest
        return above and (self.highest is None or number <= self.highest)


def compile_rule(row: object) -> FieldRule:
    """Compile one row; InputError names the rule and everything that is wrong with it.

    Columns: ``rule_id``; ``rule_type``, one of the three kinds; ``field`` or ``field_name``; ``pattern`` for a format,
    matched over the whole value; ``min_value`` and ``max_value`` for a range; ``severity`` (default ERROR);
    ``error_message`` (default made from the rule). A pattern is code of whoever writes the table, not of a user.
    """
    compiled, problems = _compile(as_row(row))
    if compiled is None:
        raise InputError(_complaint(as_row(row), problems))
    return compiled


def compile_rules(rows: Iterable[object]) -> tuple[FieldRule, ...]:
    """Compile a whole table in its order; InputError lists every wrong row and every repeated rule id at once."""
    rules: list[FieldRule] = []
    complaints: list[str] = []
    for row in map(as_row, rows):
        compiled, problems = _compile(row)
        if compiled is None:
            complaints.append(_complaint(row, problems))
        elif any(compiled.rule == each.rule for each in rules):
            complaints.append(_complaint(row, ["rule_id is used twice"]))
        else:
            rules.append(compiled)
    if complaints:
        raise InputError("; ".join(complaints))
    return tuple(rules)


def check_record(rules: Iterable[FieldRule], record: object) -> tuple[Failure, ...]:
    """Every failure of one record, in the order of the rules; never raises."""
    return tuple(failure for rule in rules if (failure := rule.check(record)) is not None)


def must_stop(failures: int, failed: int, total: int) -> str | None:
    """Why a batch must stop now, or None: more than 100 failures, or more than half of the records fail.

    A record may have several failures; ``failed`` is how many of all the ``total`` records of the batch have one.
    """
    if failures > MOST_FAILURES:
        return f"more than {MOST_FAILURES} failures"
    if total > 0 and failed / total > HIGHEST_ERROR_RATE:
        return f"more than {HIGHEST_ERROR_RATE:.0%} of the records fail"
    return None


def _complaint(row: Row, problems: list[str]) -> str:
    return f"rule {shown(row.get('rule_id'))}: {', '.join(problems)}"


def _compile(row: Row) -> tuple[FieldRule | None, list[str]]:
    """The rule, or None and what is wrong with the row."""
    rule, kind, field = text(row.get("rule_id")), text(row.get("rule_type")), _field(row)
    problems = [f"{name} is missing" for name, value in (("rule_id", rule), ("field", field)) if not value]
    if kind not in KINDS:
        problems.append(f"rule_type {shown(row.get('rule_type'))} is not one of {', '.join(KINDS)}")
    severity = _severity(row, problems)
    pattern = _pattern(row, problems) if kind == "field_format" else None
    lowest, highest = _limits(row, problems) if kind == "field_range" else (None, None)
    if problems:
        return None, problems
    message = text(row.get("error_message")) or _message(kind, field, lowest, highest)
    return FieldRule(rule, kind, field, severity, message, pattern, lowest, highest), problems


def _field(row: Row) -> str:
    return text(first_present(row, "field", "field_name"))


def _severity(row: Row, problems: list[str]) -> Severity:
    value = row.get("severity")
    name = text(value).upper() if is_present(value) else Severity.ERROR.value
    if name in Severity.__members__:
        return Severity(name)
    problems.append(f"severity {shown(value)} is not one of {', '.join(Severity)}")
    return Severity.ERROR


def _pattern(row: Row, problems: list[str]) -> re.Pattern[str] | None:
    value = row.get("pattern")
    if not isinstance(value, str) or not value:
        problems.append("pattern is missing")
        return None
    try:
        return re.compile(value)
    except (re.error, OverflowError, RecursionError) as error:
        problems.append(f"pattern {shown(value)} is not a regular expression: {error}")
        return None


def _limits(row: Row, problems: list[str]) -> tuple[Decimal | None, Decimal | None]:
    lowest, highest = (_limit(row, name, problems) for name in ("min_value", "max_value"))
    if not is_present(row.get("min_value")) and not is_present(row.get("max_value")):
        problems.append("min_value and max_value are both missing")
    if lowest is not None and highest is not None and lowest > highest:
        problems.append(f"min_value {lowest} is above max_value {highest}")
    return lowest, highest


def _limit(row: Row, name: str, problems: list[str]) -> Decimal | None:
    value = row.get(name)
    limit = _decimal(value)
    if limit is None and is_present(value):
        problems.append(f"{name} {shown(value)} is not a number")
    return limit


def _decimal(value: object) -> Decimal | None:
    """The finite number a value stands for, digits in text included, or None."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        return None
    if isinstance(value, int) and abs(value) >= 10**_LONGEST_NUMBER:
        return None
    written = value if isinstance(value, Decimal) else str(value).strip()
    if isinstance(written, str) and len(written) > _LONGEST_NUMBER:
        return None
    try:
        number = Decimal(written)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _message(kind: str, field: str, lowest: Decimal | None, highest: Decimal | None) -> str:
    if kind == "field_required":
        return f"{field} is missing"
    if kind == "field_format":
        return f"{field} does not have the required format"
    if lowest is not None and highest is not None:
        return f"{field} must lie between {lowest} and {highest}"
    return f"{field} must be at least {lowest}" if lowest is not None else f"{field} must be at most {highest}"
