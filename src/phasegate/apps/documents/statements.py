"""The statements with which steps write their rows, read what they gave before, and keep to budgets; built once, so that writes
are joined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from phasegate.apps.documents.tables import (
    document_budgets,
    document_calls,
    document_reservations,
    document_versions,
)
from phasegate.llm.budget import PERS, Per

RECORD_DOCUMENT = sa.insert(document_versions)
RECORD_CALL = sa.insert(document_calls)

#: The last version of a document, as JSON text; what was not fit is an output of the step too, and no document.
LAST_DOCUMENT_BODY = sa.text(
    "SELECT o.body FROM document_versions d JOIN phasegate_outputs o"
    " ON o.run_id = d.run_id AND o.phase = d.step AND o.scope = d.scope AND o.version = d.version"
    " WHERE d.run_id = :run AND d.step = :step AND d.scope = :scope ORDER BY d.version DESC LIMIT 1"
)
#: The last version of a document: what people answered for it, which revision it was, and the last decision made before it.
LAST_DOCUMENT = sa.text(
    "SELECT answers, revision, decision FROM document_versions WHERE run_id = :run AND step = :step AND scope = :scope"
    " ORDER BY version DESC LIMIT 1"
)
#: The last decision about a step's document: its number and what was decided, as JSON text.
LAST_DECISION = sa.text(
    "SELECT version, body FROM phasegate_outputs WHERE run_id = :run AND phase = :gate AND scope = :scope"
    " ORDER BY version DESC LIMIT 1"
)
#: One version of it.
OUTPUT = sa.text(
    "SELECT body FROM phasegate_outputs WHERE run_id = :run AND phase = :step AND scope = :scope AND version = :version"
)
#: Every version of every document of a run.
DOCUMENTS = sa.select(document_versions).where(document_versions.c.run_id == sa.bindparam("run"))
#: What the model was asked for a run.
CALLS = sa.select(document_calls).where(document_calls.c.run_id == sa.bindparam("run"))

#: The studio that a run was given last, if that is another one than it was begun with.
STUDIO = sa.text("SELECT told FROM document_studios WHERE run_id = :run")
REMEMBER_STUDIO = sa.text(
    "INSERT INTO document_studios (run_id, told) VALUES (:run, :told)"
    " ON CONFLICT (run_id) DO UPDATE SET told = excluded.told"
)


# --- budgets; parameters have names that no column has, for else they would be set -----------------------------------


def _text(name: str) -> sa.BindParameter[str]:
    return sa.bindparam(name, type_=sa.String)


def _whole(name: str) -> sa.BindParameter[int]:
    return sa.bindparam(name, type_=sa.BigInteger)


#: What the database raises at a reservation that there is no room for.
REFUSED = sa.exc.IntegrityError

_budgets, _reservations, _calls = document_budgets.c, document_reservations.c, document_calls.c

_THIS = sa.and_(
    _budgets.tenant == _text("its_tenant"), _budgets.per == _text("its_per"), _budgets.key == _text("its_key"),
    _budgets.unit == _text("its_unit"),
)  # fmt: skip
_RESERVED = (
    sa.select(sa.func.coalesce(sa.func.sum(_reservations.amount), 0))
    .where(
        _reservations.tenant == _budgets.tenant, _reservations.per == _budgets.per, _reservations.key == _budgets.key,
        _reservations.unit == _budgets.unit,
    )
    .correlate(document_budgets)
    .scalar_subquery()
)  # fmt: skip
_HELD = (
    _reservations.id == _text("its_id"),
    _reservations.per == _text("its_per"),
    _reservations.unit == _text("its_unit"),
)

ACCOUNTS = sa.select(
    _budgets.tenant, _budgets.per, _budgets.key, _budgets.unit, _budgets.allowed, _budgets.spent,
    sa.cast(_RESERVED, sa.BigInteger).label("reserved"),
).where(
    _budgets.tenant == _text("its_tenant"),
    sa.or_(*(sa.and_(_budgets.per == per, _budgets.key == _text(f"its_{per}_key")) for per in PERS)),
)  # fmt: skip

#: Both kinds of database spell this the same, and SQLAlchemy has it once for each.
OPEN = sa.text(
    "INSERT INTO document_budgets (tenant, per, key, unit, allowed, configured, spent)"
    " VALUES (:its_tenant, :its_per, :its_key, :its_unit, :its_limit, :its_limit, :its_spent) ON CONFLICT DO NOTHING"
)
CONFIGURE = (
    sa.update(document_budgets)
    .where(_THIS, _budgets.configured != _whole("its_limit"))
    .values(allowed=_whole("its_limit"), configured=_whole("its_limit"))
)
ALLOW = (
    sa.update(document_budgets).where(_THIS, _budgets.allowed < _whole("its_limit")).values(allowed=_whole("its_limit"))
)

#: A write that changes nothing: what follows in the transaction sees everything that others have done to the row before, and
#: nobody does anything to it until the end.
LOCK = sa.update(document_budgets).where(_THIS).values(spent=_budgets.spent)
RESERVE = sa.insert(document_reservations).values(
    id=_text("its_id"), per=_text("its_per"), unit=_text("its_unit"), tenant=_text("its_tenant"), key=_text("its_key"),
    run_id=_text("its_run"), step=_text("its_step"), scope=_text("its_scope"), amount=_whole("its_amount"),
    # Without a budget's row this is null, which the column refuses too.
    remaining=sa.select(_budgets.allowed - _budgets.spent - _RESERVED - _whole("its_amount")).where(_THIS).scalar_subquery(),
)  # fmt: skip
SPEND = (
    sa.update(document_budgets)
    .where(_THIS, sa.exists().where(*_HELD).correlate(document_budgets))
    .values(spent=_budgets.spent + _whole("its_amount"))
)
FORGET = sa.delete(document_reservations).where(*_HELD)
LEFT = sa.select(document_reservations).where(
    _reservations.run_id == _text("its_run"),
    _reservations.step == _text("its_step"),
    _reservations.scope == _text("its_scope"),
)

_SUMS = sa.select(
    sa.func.sum(_calls.cost).label("dollars"),
    sa.func.sum(sa.func.coalesce(_calls.total_tokens, _calls.prompt_tokens + _calls.completion_tokens)).label("tokens"),
)
#: What the model was asked before there was a budget.
BEFORE: Mapping[Per, Any] = {
    "tenant": _SUMS.where(_calls.tenant == _text("its_tenant")),
    "run": _SUMS.where(_calls.run_id == _text("its_run")),
    "phase": _SUMS.where(_calls.run_id == _text("its_run"), _calls.step == _text("its_step")),
}
