"""The questions people ask of the pipeline, as statements for ``engine.read``.

Every statement asks about one tenant. Times that a question depends on are arguments, aware UTC. Phase ids may be given as
text, int, float or Decimal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from phasegate.apps.outreach.rules.phase_ids import parse_phase_id
from phasegate.apps.outreach.tables import (
    company_master,
    company_slot,
    failure_outbox,
    outreach_log,
    people_master,
    people_raw_intake,
    phase_completion_log,
    pipeline_errors,
    pipeline_events,
)

Statement = sa.Select[Any]

DAY, WEEK = timedelta(hours=24), timedelta(days=7)
#: The last phase; who has completed it is not stuck.
LAST_PHASE = Decimal(6)
#: Most values in one list of a statement.
CHUNK = 500

_company, _log, _person = company_master.c, phase_completion_log.c, people_master.c
# Ids of one length sort as their numbers do, longer ones after them.
_IN_ORDER = (sa.func.length(_company.company_unique_id), _company.company_unique_id)
_BRIEF = (_company.company_unique_id, _company.company_name, _company.current_phase, _company.last_phase_completed_at)


# --- where companies are --------------------------------------------------------------------------------------------


def companies_in_phase(phase_id: object, *, tenant: str = "default", limit: int = 20) -> Statement:
    """The companies whose highest completed phase is this one, latest completion first."""
    return (
        sa.select(*_BRIEF)
        .where(_company.tenant == tenant, _company.current_phase == parse_phase_id(phase_id))
        .order_by(_company.last_phase_completed_at.desc(), *_IN_ORDER)
        .limit(limit)
    )


def companies_per_phase(*, tenant: str = "default") -> Statement:
    """How many companies have which highest completed phase: ``current_phase, count``."""
    count = sa.func.count().label("count")
    return (
        sa.select(_company.current_phase, count)
        .where(_company.tenant == tenant)
        .group_by(_company.current_phase)
        .order_by(_company.current_phase)
    )


def ready_for_phase_3(*, tenant: str = "default", limit: int | None = None) -> Statement:
    """The companies that have completed 1 and, with 1.1, also 2, and have not completed 3, in the order of their ids.

    The log decides: a company that failed 1.1 after having completed it is not ready.
    """
    people = sa.or_(completed("1.1"), completed("2"))
    return (
        sa.select(*_BRIEF)
        .where(_company.tenant == tenant, completed("1"), people, sa.not_(completed("3")))
        .order_by(*_IN_ORDER)
        .limit(limit)
    )


def stuck_companies(
    now: datetime, *, tenant: str = "default", longer_than: timedelta = DAY, phase_id: object = None
) -> Statement:
    """The companies, longest first, that have completed nothing for so long and have not completed the last phase.

    The log decides, because a company's own ``last_phase_completed_at`` keeps the time of the first completion.
    ``last_completed_at`` is when it last completed any phase, or was created.
    """
    done = sa.select(_log.company_unique_id, sa.func.max(_log.completed_at).label("at"))
    latest = done.where(_log.status == "complete").group_by(_log.company_unique_id).subquery()
    at = sa.func.coalesce(latest.c.at, _company.created_at, type_=_company.created_at.type)
    statement = (
        sa.select(*_BRIEF, at.label("last_completed_at"))
        .outerjoin_from(company_master, latest, latest.c.company_unique_id == _company.company_unique_id)
        .where(_company.tenant == tenant, at < now - longer_than)
        .order_by(at, *_IN_ORDER)
    )
    if phase_id is not None:
        return statement.where(_company.current_phase == parse_phase_id(phase_id))
    return statement.where(sa.func.coalesce(_company.current_phase, 0) < LAST_PHASE)


# --- what happened --------------------------------------------------------------------------------------------------


def company_history(company_id: str, *, tenant: str = "default") -> Statement:
    """Every row of a company's log, newest first; a running one comes before all that have ended."""
    wanted = (_log.log_id, _log.phase_id, _log.phase_name, _log.status, _log.started_at, _log.completed_at,
              _log.duration_seconds, _log.error_message, _log.result_summary, _log.run_id, _log.attempt)  # fmt: skip
    return (
        sa.select(*wanted)
        .where(_log.company_unique_id == company_id, _log.tenant == tenant)
        .order_by(_log.completed_at.is_(None).desc(), _log.completed_at.desc(), _log.log_id.desc())
    )


def failures(now: datetime, *, tenant: str = "default", within: timedelta = DAY) -> Statement:
    """The attempts that failed within this time, newest first, whether or not they succeeded later."""
    return (
        sa.select(_log.company_unique_id, _log.phase_id, _log.phase_name, _log.error_message, _log.completed_at)
        .where(*_ended("failed", now - within, tenant))
        .order_by(_log.completed_at.desc(), _log.log_id.desc())
    )


def failures_per_phase(now: datetime, *, tenant: str = "default", within: timedelta = DAY) -> Statement:
    """How many attempts failed within this time: ``phase_id, phase_name, failures``."""
    return (
        sa.select(_log.phase_id, _log.phase_name, sa.func.count().label("failures"))
        .where(*_ended("failed", now - within, tenant))
        .group_by(_log.phase_id, _log.phase_name)
        .order_by(_log.phase_id)
    )


def durations_per_phase(now: datetime, *, tenant: str = "default", within: timedelta = WEEK) -> Statement:
    """How long completed attempts took: ``phase_id, phase_name, avg_duration, max_duration``, in seconds."""
    average = sa.func.avg(_log.duration_seconds).label("avg_duration")
    return (
        sa.select(_log.phase_id, _log.phase_name, average, sa.func.max(_log.duration_seconds).label("max_duration"))
        .where(*_ended("complete", now - within, tenant))
        .group_by(_log.phase_id, _log.phase_name)
        .order_by(_log.phase_id)
    )


def _ended(status: str, since: datetime, tenant: str) -> tuple[sa.ColumnElement[bool], ...]:
    return _log.status == status, _log.completed_at >= since, _log.tenant == tenant


# --- whom a batch is about ------------------------------------------------------------------------------------------


def completed(phase_id: object) -> sa.ColumnElement[bool]:
    """Whether the company of the surrounding statement has completed this phase and not failed it since."""
    return _stands("complete", phase_id, unless="failed")


def failing(phase_id: object = None) -> sa.ColumnElement[bool]:
    """Whether the company of the surrounding statement has failed this phase, or any, and not completed it since."""
    return _stands("failed", phase_id, unless="complete")


def _stands(status: str, phase_id: object, *, unless: str) -> sa.ColumnElement[bool]:
    row, other = phase_completion_log.alias().c, phase_completion_log.alias().c
    same = sa.and_(other.company_unique_id == row.company_unique_id, other.phase_id == row.phase_id)
    later = sa.tuple_(other.completed_at, other.log_id) > sa.tuple_(row.completed_at, row.log_id)
    undone = sa.exists().where(same, other.status == unless, later)
    mine = [row.company_unique_id == _company.company_unique_id, row.status == status]
    if phase_id is not None:
        mine.append(row.phase_id == parse_phase_id(phase_id))
    return sa.exists().where(*mine, ~undone)


def count_companies(*, tenant: str = "default", state: str | None = None) -> Statement:
    """How many companies there are in a state, or altogether: ``count``."""
    return sa.select(sa.func.count().label("count")).select_from(company_master).where(*_in_state(tenant, state))


def select_companies(
    *, tenant: str = "default", state: str | None = None, limit: int | None = None, only_pending: bool = False,
    only_validated: bool = False, unsettled: object = None, failed: object = None,
) -> Statement:  # fmt: skip
    """The companies of a batch in the order of their ids: ``company_unique_id``.

    ``unsettled`` names a phase that must not be complete yet, so that a limited batch goes on where the last one ended;
    ``failed`` names one with an outstanding failure.
    """
    statement = sa.select(_company.company_unique_id).where(*_in_state(tenant, state))
    if only_pending:
        statement = statement.where(_company.validation_status == "pending")
    if only_validated:
        statement = statement.where(_company.validation_status == "valid")
    if unsettled is not None:
        statement = statement.where(~completed(unsettled))
    if failed is not None:
        statement = statement.where(failing(failed))
    return statement.order_by(*_IN_ORDER).limit(limit)


def with_people(companies: Statement, *, only_pending: bool = False) -> Statement:
    """How many people the companies of ``select_companies`` have: ``company_unique_id, people``, in the same order."""
    chosen = companies.subquery()
    mine = [_person.company_unique_id == chosen.c.company_unique_id]
    if only_pending:
        mine.append(_person.validation_status == "pending")
    people = sa.select(sa.func.count()).select_from(people_master).where(*mine).scalar_subquery()
    order = (sa.func.length(chosen.c.company_unique_id), chosen.c.company_unique_id)
    return sa.select(chosen.c.company_unique_id, people.label("people")).order_by(*order)


def take_people(rows: Iterable[Mapping[str, Any]], limit: int | None) -> list[str]:
    """The ids of the first companies of ``with_people`` that have at most ``limit`` people together.

    A company is taken whole or not at all; the first that has people is always taken, or a small limit would never get on.
    """
    taken: list[str] = []
    total = 0
    for row in rows:
        if limit is not None and total and total + row["people"] > limit:
            break
        taken.append(row["company_unique_id"])
        total += row["people"]
    return taken


def orphan_people(*, tenant: str = "default", only_pending: bool = False) -> Statement:
    """The people whose company does not exist: ``unique_id, full_name``, ``company_unique_id, company_name`` as the file had
    them, and ``hold_reason, match_score`` of the company that comes closest. The last two are empty without a row of a file.
    """
    known = sa.exists().where(_company.company_unique_id == _person.company_unique_id, _company.tenant == tenant)
    raw = people_raw_intake.c
    # Written out, since the index of valid rows does not serve a value that is bound.
    is_valid = raw.verdict == sa.literal_column("'valid'", sa.String)
    of_file = sa.and_(raw.tenant == _person.tenant, raw.record_key == _person.record_key, is_valid)
    told = (_person.unique_id, _person.full_name, _person.company_unique_id, _person.company_name)
    statement = (
        sa.select(*told, raw.hold_reason, raw.match_score)
        .outerjoin_from(people_master, people_raw_intake, of_file)
        .where(_person.tenant == tenant, ~known)
    )
    if only_pending:
        statement = statement.where(_person.validation_status == "pending")
    return statement.order_by(sa.func.length(_person.unique_id), _person.unique_id)


def _in_state(tenant: str, state: str | None) -> list[sa.ColumnElement[bool]]:
    mine: list[sa.ColumnElement[bool]] = [_company.tenant == tenant]
    if state is not None:
        mine.append(sa.func.upper(_company.state) == state.strip().upper())
    return mine


# --- what came of it ------------------------------------------------------------------------------------------------


def validation_counts(table: sa.Table, *, tenant: str = "default") -> Statement:
    """``validation_status, count`` of ``company_master`` or ``people_master``."""
    status = table.c.validation_status
    return sa.select(status, sa.func.count().label("count")).where(table.c.tenant == tenant).group_by(status)


def promotion_counts(*, tenant: str = "default") -> Statement:
    """How many were promoted: ``people, companies``."""
    counted = {"people": outreach_log.c.person_unique_id, "companies": outreach_log.c.company_unique_id}
    counts: list[Any] = [sa.func.count(column.distinct()).label(name) for name, column in counted.items()]
    return sa.select(*counts).where(outreach_log.c.tenant == tenant)


#: Where a company can have come to rest, in the order in which the questions are asked.
STOPS = ("promoted", "failed", "invalid", "not validated", "waiting for slots", "not ready", "ready, nobody promoted",
         "ready, not finished")  # fmt: skip


def _stop() -> sa.ColumnElement[str]:
    promoted = sa.exists().where(outreach_log.c.company_unique_id == _company.company_unique_id)
    tests = (
        promoted,
        failing(),
        _company.validation_status == "invalid",
        _company.validation_status == "pending",
        _waits_at_gate(),
        sa.not_(_company.outreach_ready),
        completed("6"),
    )
    return sa.case(*zip(tests, STOPS, strict=False), else_=STOPS[-1])


def stops(*, tenant: str = "default") -> Statement:
    """Where the companies have come to rest, each counted once: ``stop, count``, one of ``STOPS``."""
    each = sa.select(_stop().label("stop")).where(_company.tenant == tenant).subquery()
    return sa.select(each.c.stop, sa.func.count().label("count")).group_by(each.c.stop)


def missing_slots(*, tenant: str = "default") -> Statement:
    """What the companies that wait at the slot gate lack: ``ceo, cfo, hr`` (1 when filled) and ``count``."""

    def filled(slot: str) -> sa.ColumnElement[int]:
        mine = sa.and_(company_slot.c.slot_type == slot, company_slot.c.is_filled)
        return sa.func.coalesce(sa.func.max(sa.case((mine, 1), else_=0)), 0).label(slot.lower())

    each = (
        sa.select(filled("CEO"), filled("CFO"), filled("HR"))
        .outerjoin_from(company_master, company_slot, company_slot.c.company_unique_id == _company.company_unique_id)
        .where(_company.tenant == tenant, _waits_at_gate())
        .group_by(_company.company_unique_id)
        .subquery()
    )
    slots = (each.c.ceo, each.c.cfo, each.c.hr)
    count = sa.func.count().label("count")
    wanted: Statement = sa.select(*slots, count).group_by(*slots)
    return wanted.order_by(count.desc(), *slots)


def _waits_at_gate() -> sa.ColumnElement[bool]:
    log, gate = phase_completion_log.alias().c, parse_phase_id("2.5")
    mine = (log.company_unique_id == _company.company_unique_id, log.phase_id == gate, log.status == "skipped")
    return sa.and_(sa.exists().where(*mine), ~completed(gate))


def broken_rules(record_type: str, *, tenant: str = "default") -> Statement:
    """Which rules make how many records of a type (``company`` or ``person``) invalid now: ``reason, count``, most frequent
    first. A record that breaks two rules is counted under both."""
    error = pipeline_errors.c
    invalid = (error.record_type == record_type, error.tenant == tenant, error.severity.in_(("CRITICAL", "ERROR")))
    count = sa.func.count(error.record_id.distinct()).label("count")
    reason = error.rule.label("reason")
    wanted: Statement = sa.select(reason, count).where(*invalid).group_by(reason)
    return wanted.order_by(count.desc(), reason)


def unready_reasons(*, tenant: str = "default") -> Statement:
    """Why companies that were judged are not ready, by their latest ``outreach_readiness_check``: ``reason, count``.

    The event's payload has ``company_unique_id`` and ``reason``.
    """
    event = pipeline_events.c
    company = event.payload["company_unique_id"].as_string()
    about = event.event_type == "outreach_readiness_check"
    latest = sa.select(sa.func.max(event.id)).where(about, event.tenant == tenant).group_by(company)
    unready = sa.select(_company.company_unique_id).where(_company.tenant == tenant, sa.not_(_company.outreach_ready))
    reason, count = event.payload["reason"].as_string().label("reason"), sa.func.count().label("count")
    wanted: Statement = sa.select(reason, count).where(event.id.in_(latest), company.in_(unready)).group_by(reason)
    return wanted.order_by(count.desc(), reason)


# --- the outbox -----------------------------------------------------------------------------------------------------


def undelivered(
    *, tenant: str = "default", include_failed: bool = False, limit: int | None = None
) -> Statement:  # fmt: skip
    """The keys of what is to be delivered, oldest first: ``dedup_key``."""
    statuses = ("pending", "failed") if include_failed else ("pending",)
    box = failure_outbox.c
    wanted = sa.select(box.dedup_key).where(box.tenant == tenant, box.status.in_(statuses))
    return wanted.order_by(box.id).limit(limit)


def outbox_rows(keys: Sequence[str]) -> Statement:
    """The rows of at most ``CHUNK`` keys, oldest first."""
    box = failure_outbox.c
    wanted = (box.dedup_key, box.tenant, box.payload, box.status, box.attempts, box.last_error)
    return sa.select(*wanted).where(box.dedup_key.in_(list(keys))).order_by(box.id)


def outbox_counts(*, tenant: str = "default") -> Statement:
    """``status, count`` of the outbox."""
    box = failure_outbox.c
    return sa.select(box.status, sa.func.count().label("count")).where(box.tenant == tenant).group_by(box.status)


#: Marks a failure delivered; parameters ``key`` and ``at``.
MARK_DELIVERED = (
    sa.update(failure_outbox)
    .where(failure_outbox.c.dedup_key == sa.bindparam("key"))
    .values(
        status="delivered",
        delivered_at=sa.bindparam("at"),
        last_error=None,
        attempts=failure_outbox.c.attempts + 1,
    )
)
