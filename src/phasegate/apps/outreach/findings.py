"""Doubts, rule checks and intent for the command line: each as data for programs and as tables to look at."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phasegate.apps.outreach.answers import Answer, Sheet
from phasegate.apps.outreach.doubts import find_doubts
from phasegate.apps.outreach.intents import find_intent
from phasegate.apps.outreach.rule_checks import RuleCheck, write_failures
from phasegate.apps.outreach.rule_checks import check_rules as check

if TYPE_CHECKING:
    from phasegate import Engine

#: How much of a digest people are shown.
_DIGEST = 12


def doubts(engine: Engine, state: str | None, bay: str | None, limit: int) -> Answer:
    """What is doubtful, and the totals per bay."""
    found = find_doubts(engine, state=state, bay=bay, limit=limit)
    totals = {kind: asdict(counts) for kind, counts in found.totals.items()}
    data: dict[str, Any] = {"doubts": [each.to_result() for each in found.doubts], "more": found.more, "totals": totals}
    columns = ("record", "id", "name", "bay", "chronic", "attempts", "reasons", "content hash")
    rows = [
        (each["record_type"], each["record_id"], each["name"], each["garage_bay"], "yes" if each["is_chronic"] else "no",
         each["attempt"], "; ".join(each["reasons"]), each["last_hash"][:_DIGEST])
        for each in data["doubts"]
    ]  # fmt: skip
    counted = Sheet("Totals", ("", "looked at", "bay_a: missing", "bay_b: contradictory", "chronic"),
                    [(kind, *counts.values()) for kind, counts in totals.items()])  # fmt: skip
    sheets = (Sheet("", columns, rows), counted) if rows else (counted,)
    return Answer(data, sheets, _notes("No doubts.", bool(rows), found.more, limit))


def check_rules(
    engine: Engine, rules: Path, table: str, state: str | None, limit: int | None, output: Path | None
) -> Answer:
    """Which records break which rules; with ``output`` the failures go to that file."""
    found = check(engine, rules, table=table, state=state, limit=limit)
    data = {**found.to_result(), "output": None}
    if output is not None:
        write_failures(found, output)
        data["output"] = str(output)
        return Answer(data, lines=(*_said(found), f"the failures are in {output}"))
    columns = ("record", "field", "rule", "message", "severity", "value")
    rows = [tuple(each.values()) for each in data["failures"]]
    return Answer(data, (Sheet("", columns, rows),) if rows else (), _said(found))


def _said(found: RuleCheck) -> tuple[str, ...]:
    looked = f"looked at {found.looked_at} of {found.population} records of {found.table} (rules: {found.rules})"
    counts = f"failing records: {found.failed}, failures: {len(found.failures)}"
    early = (f"stopped early: {found.stopped}; the records behind them were not looked at",) if found.stopped else ()
    return (looked, counts, *early)


def intent(engine: Engine, state: str | None, tier: str | None, limit: int) -> Answer:
    """The companies by the intent they show, and how many are in which tier."""
    found = find_intent(engine, state=state, tier=tier, limit=limit)
    data: dict[str, Any] = {
        "companies": [each.to_result() for each in found.companies],
        "more": found.more,
        "tiers": dict(found.tiers),
    }
    columns = ("company", "name", "score", "tier", "signals", "without weight", "latest signal", "at", "overview")
    rows = [tuple(each.values()) for each in data["companies"]]
    counted = Sheet("Tiers", tuple(found.tiers), [tuple(found.tiers.values())])
    sheets = (Sheet("", columns, rows), counted) if rows else (counted,)
    return Answer(data, sheets, _notes("No companies with signals.", bool(rows), found.more, limit))


def _notes(nothing: str, some: bool, more: bool, limit: int) -> tuple[str, ...]:
    if not some:
        return (nothing,)
    return (f"More than {limit}: see them with --limit.",) if more else ()
