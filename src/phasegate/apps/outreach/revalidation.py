"""Validating again what waits for it: the batch tools for companies and people, with the reports they save.

What is selected is what is pending; what is reported is counted from the rows afterwards, never estimated.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from phasegate import Engine, PhaseReport, Subject
from phasegate.apps.outreach import reports
from phasegate.apps.outreach import statements as sql
from phasegate.apps.outreach.orphans import judge_orphans
from phasegate.apps.outreach.outbox import deliver_outbox
from phasegate.apps.outreach.phases.batch import read_many
from phasegate.apps.outreach.routing import pipeline_id

#: The state that is validated when the caller names none.
DEFAULT_STATE = "WV"


@dataclass(slots=True)
class _Counts:
    """How many records of one kind were judged, and how."""

    total: int = 0
    valid: int = 0
    invalid: int = 0
    routed_to_sheets: int = 0

    def as_dict(self) -> dict[str, int]:
        return {
            "total": self.total,
            "valid": self.valid,
            "invalid": self.invalid,
            "routed_to_sheets": self.routed_to_sheets,
        }


@dataclass(slots=True)
class _Work:
    """One call of a tool."""

    engine: Engine
    pipeline: str
    event: str
    component: str
    finished: str
    events: list[dict[str, Any]] = field(default_factory=list)


def revalidate(
    engine: Engine, state: str | None = DEFAULT_STATE, limit: int | None = None, *, dry_run: bool = False,
    output: str | Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Validate the pending companies of a state (None: of all), then their pending people.

    ``limit`` is the most companies, and the most people (a company's people are taken whole). Returns
    ``companies{total, valid, invalid, routed_to_sheets}, people{the same}, webhooks{success, failed}, duration_seconds,
    timestamp`` with ``state, dry_run, pipeline_id``. With ``output``, a file or a directory, the report is saved there.
    A dry run judges everything and leaves nothing. Invalid records are delivered when the registry has a sink.
    """
    if dry_run and not engine.dry_run:
        with engine.rehearsal() as rehearsed:
            return _saved(_revalidate(rehearsed, state, limit), output, "retro_validation_report")
    return _saved(_revalidate(engine, state, limit), output, "retro_validation_report")


def revalidate_people(
    engine: Engine, state: str | None = None, limit: int | None = None, *, dry_run: bool = False,
    output: str | Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Validate pending people only; people whose company does not exist are among them, whatever the state.

    Returns ``total, valid, invalid, routed_to_sheets, webhooks{success, failed}, duration_seconds, timestamp`` with
    ``state, dry_run, pipeline_id``.
    """
    if dry_run and not engine.dry_run:
        with engine.rehearsal() as rehearsed:
            return _saved(_revalidate_people(rehearsed, state, limit), output, "people_validation_report")
    return _saved(_revalidate_people(engine, state, limit), output, "people_validation_report")


def _revalidate(engine: Engine, state: str | None, limit: int | None) -> dict[str, Any]:
    began, now = time.perf_counter(), engine.store.now()
    work = _Work(engine, pipeline_id("revalidation", now), "validation_check", "retro_validator", "retro_validation")
    with _Audited(work, state):
        companies = _companies(work, state, limit)
        people = _people(work, state, limit)
    routed = _deliver(engine, companies, people)
    return {
        "companies": companies.as_dict(),
        "people": people.as_dict(),
        "webhooks": routed,
        **_frame(work, state, began),
    }


def _revalidate_people(engine: Engine, state: str | None, limit: int | None) -> dict[str, Any]:
    began, now = time.perf_counter(), engine.store.now()
    work = _Work(
        engine, pipeline_id("people_validation", now), "people_validation", "people_validator", "people_validation"
    )
    with _Audited(work, state):
        people = _people(work, state, limit)
    routed = _deliver(engine, _Counts(), people)
    return {**people.as_dict(), "webhooks": routed, **_frame(work, state, began)}


def _frame(work: _Work, state: str | None, began: float) -> dict[str, Any]:
    return {
        "state": state,
        "dry_run": work.engine.dry_run,
        "pipeline_id": work.pipeline,
        "duration_seconds": round(time.perf_counter() - began, 3),
        "timestamp": work.engine.store.now().isoformat(),
    }


# --- companies and people -------------------------------------------------------------------------------------------


def _companies(work: _Work, state: str | None, limit: int | None) -> _Counts:
    engine = work.engine
    wanted = reports.select_companies(tenant=engine.tenant, state=state, limit=limit, only_pending=True)
    ids = [row["company_unique_id"] for row in engine.read(wanted)]
    if not ids:
        return _Counts()
    report = _run(engine, "company_validation", ids)
    judged = {each.subject.id: each.output for each in report.succeeded}
    for identity, result in judged.items():
        work.events.append(_event(work, "company", identity, bool(result["valid"]), result["reason"]))
    valid = sum(bool(result["valid"]) for result in judged.values())
    return _Counts(total=len(ids), valid=valid, invalid=len(judged) - valid)


def _people(work: _Work, state: str | None, limit: int | None) -> _Counts:
    engine = work.engine
    companies = reports.select_companies(tenant=engine.tenant, state=state)
    rows = engine.read(reports.with_people(companies, only_pending=True))
    ids = [row["company_unique_id"] for row in rows if row["people"]]
    ids = reports.take_people([row for row in rows if row["people"]], limit) if limit is not None else ids
    pending = [row["unique_id"] for row in read_many(engine.read, sql.PENDING_PEOPLE, engine.tenant, ids)]
    orphans = [row["unique_id"] for row in engine.read(reports.orphan_people(tenant=engine.tenant, only_pending=True))]
    if ids:
        _run(engine, "people_validation", ids)
    if orphans:
        judge_orphans(engine)
    return _judged_people(work, [*pending, *orphans])


def _run(engine: Engine, phase: str, ids: Sequence[str]) -> PhaseReport:
    # These tools judge by what is pending: a company that was brought in by other means has no history to ask for.
    subjects = [Subject("company", identity) for identity in ids]
    return engine.run_phase("outreach", phase, subjects, check_needs=False, by="revalidation")


def _judged_people(work: _Work, ids: Sequence[str]) -> _Counts:
    """The counts from the rows themselves: a person whose validation failed to be recorded is still pending."""
    counts = _Counts(total=len(ids))
    reasons = _reasons(work.engine, ids)
    for row in read_many(work.engine.read, sql.PEOPLE_STATUSES, work.engine.tenant, ids):
        status, identity = row["validation_status"], row["unique_id"]
        counts.valid += status == "valid"
        counts.invalid += status == "invalid"
        if status != "pending":
            work.events.append(_event(work, "person", identity, status == "valid", reasons.get(identity)))
    return counts


def _reasons(engine: Engine, ids: Sequence[str]) -> dict[str, str]:
    """What is wrong with each of these people now: ``field: message``, joined."""
    found: dict[str, list[str]] = {}
    for row in read_many(engine.read, sql.FAILURES_OF_PEOPLE, engine.tenant, ids):
        found.setdefault(row["record_id"], []).append(f"{row['field']}: {row['message']}")
    return {identity: "; ".join(each) for identity, each in found.items()}


# --- records --------------------------------------------------------------------------------------------------------


def _event(work: _Work, kind: str, identity: str, passed: bool, reason: str | None) -> dict[str, Any]:
    payload = {
        "record_type": kind,
        "record_id": identity,
        "passed": passed,
        "reason": reason,
        "pipeline_id": work.pipeline,
    }
    return {
        "tenant": work.engine.tenant,
        "event_type": work.event,
        "phase_id": 1 if kind == "company" else 1.1,
        "payload": payload,
        "status": "processed",
        "created_at": work.engine.store.now(),
    }


class _Audited:
    """Puts the start and the end, or the error, of a tool on record, and its events with the end."""

    def __init__(self, work: _Work, state: str | None) -> None:
        self._work, self._state = work, state

    def __enter__(self) -> None:
        self._work.engine.write([(sql.ADD_AUDIT, self._entry("start"))])

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        events = [(sql.ADD_EVENT, event) for event in self._work.events]
        entry = self._entry("end") if error is None else self._entry("error", error=f"{type(error).__name__}: {error}")
        self._work.engine.write([*events, (sql.ADD_AUDIT, entry)])

    def _entry(self, stage: str, **more: Any) -> dict[str, Any]:
        work = self._work
        return {
            "tenant": work.engine.tenant,
            "component": work.component,
            "event_type": work.finished,
            "event_data": {"stage": stage, "state": self._state, "records": len(work.events), **more},
            "barton_id": work.pipeline,
            "created_at": work.engine.store.now(),
        }


def _deliver(engine: Engine, companies: _Counts, people: _Counts) -> dict[str, int]:
    """Deliver what is in the outbox, when there is somebody to deliver to; success and failure are those of this call."""
    if engine.dry_run or engine.registry.deps is None or engine.registry.deps.sink is None:
        return {"success": 0, "failed": 0}
    before = {row["dedup_key"]: row["sheet_tab"] for row in engine.read(sql.UNDELIVERED, {"tenant": engine.tenant})}
    report = deliver_outbox(engine)
    left = {row["dedup_key"] for row in engine.read(sql.UNDELIVERED, {"tenant": engine.tenant})}
    tabs = [tab for key, tab in before.items() if key not in left]
    companies.routed_to_sheets = tabs.count("Invalid_Companies")
    people.routed_to_sheets = tabs.count("Invalid_People")
    return {"success": report.delivered, "failed": report.pending + report.failed}


def report_name(stem: str, at: datetime) -> str:
    """The file name of a report: the stem, date and time."""
    return f"{stem}_{at:%Y%m%d}_{at:%H%M%S}.json"


def _saved(report: Mapping[str, Any], output: str | Path | None, stem: str) -> dict[str, Any]:
    if output is not None:
        path = Path(output)
        if path.suffix != ".json":
            path = path / report_name(stem, datetime.fromisoformat(report["timestamp"]))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return dict(report)
