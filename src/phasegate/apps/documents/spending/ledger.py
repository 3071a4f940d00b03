"""The accounts behind budgets: what is allowed, spent and reserved, kept in the database for all workers together.

Nothing here decides; every method is one short transaction of its own, which stands whatever becomes of the phase that asked for
it: money that was spent stays spent.

A reservation goes through only while the budgets have room for it. Who reserves or settles locks the budgets' rows first, always
in the same order, so that no two see the same room; the check on ``document_reservations.remaining`` then refuses what is too
much, and takes the whole transaction back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from phasegate import Engine
from phasegate.apps.documents.statements import (
    ACCOUNTS,
    ALLOW,
    BEFORE,
    CONFIGURE,
    FORGET,
    LEFT,
    LOCK,
    OPEN,
    REFUSED,
    RESERVE,
    SPEND,
)
from phasegate.core.run import Scope
from phasegate.llm.budget import NANO, PERS, UNITS, Budget, Cost, Per, Unit


@dataclass(frozen=True, slots=True)
class Place:
    """Whose call it is: one instance of a step."""

    tenant: str
    run_id: str
    step: str
    scope: Scope

    def key(self, per: Per) -> str:
        """The budget that a call here belongs to, among a tenant's of this kind."""
        return {"tenant": "", "run": self.run_id, "phase": f"{self.run_id}/{self.step}"}[per]

    @property
    def where(self) -> dict[str, str]:
        """What reservations say of it, for the statements below."""
        return {"its_run": self.run_id, "its_step": self.step, "its_scope": orjson.dumps(list(self.scope)).decode()}


@dataclass(frozen=True, slots=True)
class Account:
    """One budget as it stands. What is reserved is for calls under way, and for those that nobody has heard of again."""

    tenant: str
    per: Per
    key: str
    unit: Unit
    allowed: int
    spent: int
    reserved: int = 0

    def has_room(self, amount: int) -> bool:
        """Whether a call of this size may begin now."""
        return self.spent + self.reserved + amount <= self.allowed

    @property
    def owner(self) -> str:
        """Whose budget it is, as the beginning of a sentence."""
        phase = self.key.partition("/")[2]
        whose = {"tenant": f"tenant {self.tenant!r}", "run": "this run", "phase": f"phase {phase!r} in this run"}
        return f"The budget of {whose[self.per]}"

    @property
    def where(self) -> dict[str, str]:
        """Its row, for the statements below."""
        return {"its_tenant": self.tenant, "its_per": self.per, "its_key": self.key, "its_unit": self.unit}


class Ledger:
    """The accounts in the database of an engine. ``patience`` is how many seconds a call waits for others to settle when it is
    only their reservations that leave it no room. Safe to use from any thread."""

    def __init__(self, engine: Engine, patience: float = 60.0) -> None:
        self._engine, self.patience = engine, patience

    def write(self, rows: Sequence[tuple[Any, Mapping[str, Any]]]) -> None:
        """Commit rows at once, which stand whatever becomes of the attempt they are about."""
        self._engine.write(rows)

    def accounts(self, place: Place) -> list[Account]:
        """Every budget that a call has to keep to, in the order in which they are locked."""
        keys = {f"its_{per}_key": place.key(per) for per in PERS}
        rows = self._engine.read(ACCOUNTS, {"its_tenant": place.tenant, **keys})
        return sorted((Account(**row) for row in rows), key=lambda each: (PERS.index(each.per), UNITS.index(each.unit)))

    def open(self, place: Place, budgets: Iterable[Budget]) -> None:
        """Have these budgets from now on; those that exist stay as they are. What was spent before counts."""
        rows = [self._opened(place, each) for each in budgets]
        if rows:
            self._engine.write([(OPEN, row) for row in rows])

    def configure(self, place: Place, budgets: Sequence[Budget]) -> None:
        """Have these budgets with these limits. A limit that was configured before, and raised by a person since, stays raised
        as long as the same is configured again."""
        self.open(place, budgets)
        rows = [{**_where(place, each), "its_limit": each.limit} for each in budgets]
        if rows:
            self._engine.write([(CONFIGURE, row) for row in rows])

    def allow(self, account: Account, limit: int) -> None:
        """Raise the limit of a budget; one that is as high already stays."""
        self._engine.write([(ALLOW, {**account.where, "its_limit": limit})])

    def reserve(self, id: str, place: Place, accounts: Sequence[Account], cost: Cost) -> bool:
        """Set aside what a call may cost from all of its budgets, or from none; whether there was room."""
        rows = [{**each.where, **place.where, "its_id": id, "its_amount": cost.amount(each.unit)} for each in accounts]
        if not rows:
            return True
        try:
            self._engine.write([*_locks(accounts), *((RESERVE, row) for row in rows)])
        except REFUSED:
            return False
        return True

    def settle(self, id: str, accounts: Sequence[Account], cost: Cost) -> None:
        """Put what a call has cost in the place of its reservation. A reservation that is gone was settled before: nothing is
        counted twice."""
        self._engine.write(settling(id, accounts, cost))

    def bury(self, place: Place) -> None:
        """Settle what earlier attempts of an instance have left behind, at what was reserved: they died or were given up while a
        model worked for them, and whether that was paid for nobody knows."""
        for row in self._engine.read(LEFT, place.where):
            account = Account(row["tenant"], row["per"], row["key"], row["unit"], 0, 0)
            self.settle(row["id"], [account], Cost(row["amount"], row["amount"]))

    def _opened(self, place: Place, budget: Budget) -> dict[str, Any]:
        where = _where(place, budget)
        before = self._engine.read(
            BEFORE[budget.per], {"its_tenant": place.tenant, "its_run": place.run_id, "its_step": place.step}
        )
        spent = round((before[0]["dollars"] or 0) * NANO) if budget.unit == "usd" else int(before[0]["tokens"] or 0)
        return {**where, "its_limit": budget.limit, "its_spent": spent}


def settling(id: str, accounts: Sequence[Account], cost: Cost) -> list[tuple[Any, Mapping[str, Any]]]:
    """The writes that settle a call; harmless when they are done again."""
    rows = [{**each.where, "its_id": id, "its_amount": cost.amount(each.unit)} for each in accounts]
    gone = [{"its_id": id, "its_per": each.per, "its_unit": each.unit} for each in accounts]
    return [*_locks(accounts), *((SPEND, row) for row in rows), *((FORGET, row) for row in gone)]


def _locks(accounts: Sequence[Account]) -> list[tuple[Any, Mapping[str, Any]]]:
    return [(LOCK, each.where) for each in accounts]


def _where(place: Place, budget: Budget) -> dict[str, str]:
    return {
        "its_tenant": place.tenant,
        "its_per": budget.per,
        "its_key": place.key(budget.per),
        "its_unit": budget.unit,
    }
