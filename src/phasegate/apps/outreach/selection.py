"""Whom a batch is about: the companies of a state that the phase has still to look at, in the order of their ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from phasegate import Subject
from phasegate.apps.outreach import reports
from phasegate.apps.outreach.asked import Asked
from phasegate.apps.outreach.entries import PhaseEntry

if TYPE_CHECKING:
    from phasegate import Engine


@dataclass(frozen=True, slots=True)
class Selection:
    """The companies of a batch. ``population`` is how many there are in the state; ``excluded`` are those that were left out
    only because they are not validated."""

    companies: tuple[str, ...]
    population: int
    excluded: tuple[str, ...] = ()

    @property
    def subjects(self) -> list[Subject]:
        """The companies as the engine names them."""
        return [company(each) for each in self.companies]


def company(company_id: str) -> Subject:
    """A company as the engine names it."""
    return Subject("company", company_id)


def select(engine: Engine, entry: PhaseEntry, asked: Asked) -> Selection:
    """The companies that ``asked`` names for a phase.

    With a limit only companies in which the phase is not complete are taken, so that a limited batch goes on where the last
    one ended; ``revalidate`` takes the others too. For people phases the limit counts people, and a company is taken whole.
    """
    population = engine.read(reports.count_companies(tenant=engine.tenant, state=asked.state))[0]["count"]
    if asked.limit == 0 or not population:
        return Selection((), population)
    by_people = entry.flow_phase == "people_validation"
    unsettled = _logged(entry) if asked.limit is not None and not asked.revalidate else None
    statement = reports.select_companies(
        tenant=engine.tenant,
        state=asked.state,
        limit=None if by_people else asked.limit,
        only_pending=asked.only_pending and not by_people,
        only_validated=asked.only_validated,
        unsettled=unsettled,
        failed=_logged(entry) if asked.retrying else None,
    )
    if by_people and (asked.limit is not None or asked.only_pending):
        rows = engine.read(reports.with_people(statement, only_pending=asked.only_pending))
        wanted = [row for row in rows if row["people"] or not asked.only_pending]
        chosen = reports.take_people(wanted, asked.limit)
    else:
        chosen = [row["company_unique_id"] for row in engine.read(statement)]
    return Selection(tuple(chosen), population, () if chosen else _excluded(engine, asked))


def _excluded(engine: Engine, asked: Asked) -> tuple[str, ...]:
    if not asked.only_validated or asked.retrying:
        return ()
    statement = reports.select_companies(tenant=engine.tenant, state=asked.state)
    return tuple(row["company_unique_id"] for row in engine.read(statement))


def _logged(entry: PhaseEntry) -> object:
    """The id under which the log has the phase: phase 2 is recorded by 1.1, which provides it."""
    return "1.1" if entry.flow_phase == "people_validation" else entry.phase_id
