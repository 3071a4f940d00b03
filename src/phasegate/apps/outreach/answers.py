"""What people ask of the pipeline at the command line: each answer as data for programs and as tables to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from phasegate import Subject, UnknownName
from phasegate.apps.outreach import reports
from phasegate.apps.outreach.catalogue import CATALOGUE
from phasegate.apps.outreach.entries import PhaseEntry
from phasegate.apps.outreach.rules.phase_ids import display_phase_id
from phasegate.apps.outreach.summary import PipelineSummary, summarise

if TYPE_CHECKING:
    from phasegate import Engine

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table: its title, its columns, its rows."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Answer:
    """``data`` for programs; ``lines`` and ``sheets`` for people."""

    data: dict[str, Any]
    sheets: tuple[Sheet, ...] = ()
    lines: tuple[str, ...] = field(default=())


def phases(*, check: bool = False) -> Answer:
    """All phases; with ``check`` also whether their code can be loaded."""
    entries = CATALOGUE.list_all()
    data: dict[str, Any] = {"phases": [entry.to_dict() for entry in entries], **CATALOGUE.status_summary()}
    rows = [
        (e.number, e.phase_name, _ids(CATALOGUE.dependencies(e.phase_id)), e.status, e.description) for e in entries
    ]
    lines: tuple[str, ...] = ()
    if check:
        data["problems"] = CATALOGUE.self_check()
        lines = tuple(data["problems"]) or ("every phase can be loaded",)
    return Answer(data, (Sheet("", ("id", "name", "needs", "status", "what it does"), rows),), lines)


def status(engine: Engine) -> Answer:
    """Where the companies are, and how the phases did over the last days."""
    now, tenant = engine.store.now(), engine.tenant
    found = summarise(engine, tenant=tenant)
    durations = _plain(engine.read(reports.durations_per_phase(now, tenant=tenant)))
    failed = _plain(engine.read(reports.failures_per_phase(now, tenant=tenant)))
    data = {**found.as_dict(), "durations": durations, "failures_24_hours": failed}
    if not found.companies:
        return Answer(data, lines=("No companies yet: phasegate outreach load --companies FILE",))
    timings = Sheet(
        "Completed within 7 days",
        ("phase", "name", "average s", "longest s"),
        [(d["phase_id"], d["phase_name"], round(d["avg_duration"] or 0, 3), d["max_duration"]) for d in durations],
    )
    sheets = [*summary_sheets(found), timings]
    if failed:
        rows = [(f["phase_id"], f["phase_name"], f["failures"]) for f in failed]
        sheets.append(Sheet("Failed within 24 hours", ("phase", "name", "attempts"), rows))
    return Answer(data, tuple(sheets))


def summary_sheets(found: PipelineSummary) -> list[Sheet]:
    """The summary of the pipeline for people."""
    companies, people = found.companies_by_validation, found.people_by_validation
    ready = sum(count for stop, count in found.stops.items() if stop == "promoted" or stop.startswith("ready"))
    verdicts = [
        ("companies", found.companies, *_verdicts(companies), ready, found.promoted_companies),
        ("people", sum(people.values()), *_verdicts(people), None, found.promoted_people),
    ]
    return [
        Sheet("Companies by the highest phase they have completed", ("phase", "name", "companies"),
              [(phase, _name(phase), count) for phase, count in found.companies_by_phase.items()]),
        Sheet("Verdicts", ("", "total", "valid", "invalid", "pending", "ready", "promoted"), verdicts),
        Sheet("Where the companies came to rest", ("", "companies", "most frequent reasons"),
              [(stop, count, _why(found, stop)) for stop, count in found.stops.items()]),
    ]  # fmt: skip


def companies(engine: Engine, phase: str | None, *, ready_for_3: bool = False, limit: int = 20) -> Answer:
    """Companies by what they have completed."""
    if ready_for_3:
        statement = reports.ready_for_phase_3(tenant=engine.tenant, limit=limit)
    else:
        number = CATALOGUE.find(phase).phase_id if phase is not None else 0
        statement = reports.companies_in_phase(number, tenant=engine.tenant, limit=limit)
    return _company_list(engine.read(statement))


def stuck(engine: Engine, hours: float, phase: str | None) -> Answer:
    """Companies that have completed nothing for so long."""
    number = CATALOGUE.find(phase).phase_id if phase is not None else None
    now = engine.store.now()
    rows = engine.read(
        reports.stuck_companies(now, tenant=engine.tenant, longer_than=timedelta(hours=hours), phase_id=number)
    )
    return _company_list(rows, "last_completed_at")


def failed(engine: Engine, days: float, *, solved: bool = False) -> Answer:
    """Failures of the last days that nothing has solved since, or with ``solved`` all of them."""
    since = engine.store.now() - timedelta(days=days)
    rows = engine.read(reports.failures(engine.store.now(), tenant=engine.tenant, within=timedelta(days=days)))
    if not solved:
        open_ones = {row["log_id"] for row in engine.read("SELECT log_id FROM v_failed_phases")}
        query = (
            "SELECT log_id, company_unique_id, phase_id, completed_at FROM phase_completion_log WHERE status = 'failed'"
        )
        kept = {
            (row["company_unique_id"], float(row["phase_id"]))
            for row in engine.read(query)
            if row["log_id"] in open_ones
        }
        rows = [row for row in rows if (row["company_unique_id"], float(row["phase_id"])) in kept]
    found = _plain(rows)
    columns = ("company", "phase", "name", "error", "failed at")
    return Answer(
        {"failures": found, "since": since},
        (Sheet("", columns, [tuple(row.values()) for row in found]),) if found else (),
        () if found else ("No failures.",),
    )


def orphans(engine: Engine, limit: int) -> Answer:
    """People without a company, and why none was certain enough."""
    people = [dict(row) for row in engine.read(reports.orphan_people(tenant=engine.tenant))]
    held = Counter(each["hold_reason"] or "not compared" for each in people)
    data = {"total": len(people), "held": dict(held.most_common()), "people": people[:limit]}
    if not people:
        return Answer(data, lines=("Everybody has a company.",))
    columns = ("person", "name", "company in the file", "why none", "best score")
    rows = [
        (
            p["unique_id"],
            p["full_name"],
            p["company_name"] or p["company_unique_id"],
            p["hold_reason"],
            p["match_score"],
        )
        for p in people[:limit]
    ]
    lines = (f"{len(people)} without a company: {', '.join(f'{why} {count}' for why, count in held.most_common())}",)
    return Answer(data, (Sheet("", columns, rows),), lines)


def history(engine: Engine, words: str) -> Answer:
    """Every row of a company's log, newest first."""
    company = find_company(engine, words)
    rows = _plain(engine.read(reports.company_history(company["company_unique_id"], tenant=engine.tenant)))
    shown = ("phase_id", "phase_name", "status", "duration_seconds", "completed_at", "error_message", "result_summary")
    sheet = Sheet(_title(company), ("phase", "name", "status", "s", "completed", "error", "summary"),
                  [tuple(row[name] for name in shown) for row in rows])  # fmt: skip
    return Answer({"company": dict(company), "history": rows}, (sheet,))


def why(engine: Engine, words: str) -> Answer:
    """Why a company is where it is, and what could run for it now."""
    company = find_company(engine, words)
    subject = Subject("company", company["company_unique_id"])
    run = next(iter(engine.find("outreach", subject=subject, limit=1)), None)
    reasons = engine.why(run.id) if run is not None else ()
    runnable = CATALOGUE.runnable(engine, subject.id)
    lines = [_title(company), *(f"  {_reason(each)}" for each in reasons)]
    lines.append(f"  can run now: {_ids(runnable) or 'nothing'}")
    data = {
        "company": dict(company),
        "run": run.id if run is not None else None,
        "reasons": list(reasons),
        "can_run": [entry.number for entry in runnable],
    }
    return Answer(data, lines=tuple(lines))


def find_company(engine: Engine, words: str) -> Row:
    """The company with this id, or the only one with this name. Raises ``UnknownName``."""
    query = (
        "SELECT company_unique_id, company_name, state, validation_status, outreach_ready, current_phase "
        "FROM company_master WHERE tenant = :tenant AND (company_unique_id = :words OR name_key = :key) LIMIT 2"
    )
    rows = engine.read(query, {"tenant": engine.tenant, "words": words, "key": words.strip().lower()})
    if len(rows) == 1:
        return {**rows[0], "current_phase": _number(rows[0]["current_phase"])}
    error = UnknownName("company", words)
    error.hint = "write its id" if rows else "write its id or its name; phasegate outreach companies lists them"
    raise error


# --- helpers --------------------------------------------------------------------------------------------------------


def _company_list(rows: Sequence[Row], time: str = "last_phase_completed_at") -> Answer:
    found = _plain(rows)
    wanted = ("company_unique_id", "company_name", "current_phase", time)
    columns = ("company", "name", "phase", "last completed")
    sheet = Sheet("", columns, [tuple(row[name] for name in wanted) for row in found])
    return Answer({"companies": found}, (sheet,) if found else (), () if found else ("No companies.",))


def _plain(rows: Iterable[Row]) -> list[dict[str, Any]]:
    phase_columns = ("phase_id", "current_phase")
    return [{k: _number(v) if k in phase_columns else v for k, v in row.items()} for row in rows]


def _number(value: Any) -> int | float | None:
    from phasegate.apps.outreach.rules.phase_ids import parse_phase_id

    return None if value is None else display_phase_id(parse_phase_id(value))


def _name(phase: str) -> str:
    return CATALOGUE.get(phase).phase_name if phase != "none" else ""


def _ids(entries: Iterable[PhaseEntry]) -> str:
    return ", ".join(str(entry.number) for entry in entries)


def _verdicts(counts: Mapping[str, int]) -> tuple[int, int, int]:
    return counts.get("valid", 0), counts.get("invalid", 0), counts.get("pending", 0)


def _title(company: Row) -> str:
    ready = "ready for outreach" if company["outreach_ready"] else "not ready"
    return (
        f"{company['company_name']} ({company['company_unique_id']}): {company['validation_status']}, {ready}, "
        f"highest completed phase {company['current_phase']}"
    )


def _reason(reason: Any) -> str:
    phase = f"{reason.phase}: " if reason.phase else ""
    due = f" (until {reason.due_at:%Y-%m-%d %H:%M} UTC)" if reason.due_at else ""
    return f"{phase}{reason.text}{due}"


def _why(found: PipelineSummary, stop: str) -> str:
    reasons = {
        "invalid": found.company_rules,
        "waiting for slots": {f"no {missing}": count for missing, count in found.missing_slots.items()},
        "not ready": {k: v for k, v in found.readiness_reasons.items() if k != "Company is not valid"},
    }.get(stop, {})
    return ", ".join(f"{reason} {count}" for reason, count in list(reasons.items())[:4])
