"""The single-record forms: one company or person given as a mapping, or a stored person named by id.

They apply the rules with whatever can be loaded, and record nothing about the company: a mapping need not be one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from phasegate.apps.outreach import single
from phasegate.apps.outreach.asked import Asked, BadContext
from phasegate.apps.outreach.catalogue import CATALOGUE
from phasegate.apps.outreach.entries import PhaseEntry

if TYPE_CHECKING:
    from phasegate import Engine

Row = Mapping[str, Any]


def judge_record(engine: Engine, entry: PhaseEntry, asked: Asked) -> dict[str, Any] | None:
    """The result for the one record that ``asked`` names; None when it names a stored company, or nobody.

    Raises ``BadContext`` for a record the phase cannot judge.
    """
    if asked.person is not None:
        return _person(engine, entry, asked)
    if not isinstance(asked.company, Mapping):
        return None
    if entry.flow_phase != "company_validation":
        raise BadContext(
            f"phase {entry.number} needs a stored company", hint="give company_id, or load the company first"
        )
    return single.judge_company(asked.company, _slot_rows(engine, asked, asked.company))


def _slot_rows(engine: Engine, asked: Asked, company: Row) -> Sequence[Row] | None:
    """The slot rows given, or those of the stored company with this id; None when there is nothing to check."""
    if asked.slot_rows is not None:
        return asked.slot_rows
    stored = _stored(engine, company.get("company_unique_id"))
    return stored.slots if stored is not None else None


def _person(engine: Engine, entry: PhaseEntry, asked: Asked) -> dict[str, Any]:
    given, company, rows = asked.person, asked.company, None
    if isinstance(given, str):
        rows = _home(engine, given)
        given = single.stored_person(rows, given) if rows is not None else _orphan(engine, given)
        if given is None:
            raise BadContext(f"there is no person {asked.person}", hint="people get their ids when they are loaded")
        company = rows.company if rows is not None else None
        _check_needs(engine, entry, asked, company)
    elif isinstance(company, str):
        rows = _stored(engine, company)
        company = rows.company if rows is not None else None
    person: Row = given or {}
    home: Row | None = company if isinstance(company, Mapping) else None
    return _judged(engine, entry, person, home, _known(asked, rows))


def _judged(
    engine: Engine, entry: PhaseEntry, person: Row, company: Row | None, known: Collection[str] | None
) -> dict[str, Any]:
    now = engine.store.now()
    if entry.flow_phase == "people_validation":
        return single.judge_person(person, known)
    if entry.flow_phase == "trigger":
        return single.judge_trigger(person, now)
    if entry.flow_phase == "score":
        return single.judge_score(person, company, now)
    return single.judge_promotion(person, company, now, getattr(engine.registry.deps, "campaigns", None))


def _known(asked: Asked, rows: Any) -> Collection[str] | None:
    if asked.known_companies is not None:
        return asked.known_companies
    return None if rows is None else [rows.company["company_unique_id"]]


def _check_needs(engine: Engine, entry: PhaseEntry, asked: Asked, company: Row | None) -> None:
    from phasegate.apps.outreach.execution import PhaseFailed, unmet_message
    from phasegate.apps.outreach.selection import company as subject_of

    if company is None or not asked.check_needs:
        return
    subject = subject_of(company["company_unique_id"])
    unmet = CATALOGUE.unmet(entry.phase_id, engine.plan("outreach", [subject], tenant=engine.tenant)[subject])
    if unmet:
        raise PhaseFailed(unmet_message(entry, {each.phase_id for each in unmet}))


def _home(engine: Engine, person_id: str) -> Any:
    """The rows of the company a stored person belongs to."""
    row = _row_of(engine, person_id)
    return None if row is None else _stored(engine, row["company_unique_id"])


def _orphan(engine: Engine, person_id: str) -> Row | None:
    return _row_of(engine, person_id)


def _row_of(engine: Engine, person_id: str) -> Row | None:
    query = "SELECT * FROM people_master WHERE unique_id = :id AND tenant = :tenant"
    return next(iter(engine.read(query, {"id": person_id, "tenant": engine.tenant})), None)


def _stored(engine: Engine, company_id: Any) -> Any:
    if not isinstance(company_id, str):
        return None
    return single.read_company(engine, company_id, tenant=engine.tenant)
