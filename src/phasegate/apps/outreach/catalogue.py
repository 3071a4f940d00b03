"""The registry of the phases: look them up, check them, ask what may run.

A phase is named by its id as int, float, Decimal or text, or by its name. The entries are data (``entries``); a catalogue is
built of them and checked while it is built.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from phasegate import Subject, UnknownName, UsageError
from phasegate.apps.outreach.entries import ENTRIES, IMPLEMENTED, PIPELINE_DOCTRINE_ID, PLANNED, PhaseEntry
from phasegate.apps.outreach.rules.phase_ids import display_phase_id, parse_phase_id

if TYPE_CHECKING:
    from phasegate import Engine

__all__ = [
    "CATALOGUE",
    "PIPELINE_DOCTRINE_ID",
    "Catalogue",
    "CatalogueError",
    "PhaseEntry",
    "UnknownPhase",
    "WrongOrder",
]


class UnknownPhase(UnknownName, ValueError):
    """There is no phase with this id or name."""


class WrongOrder(UsageError, ValueError):
    """Phase ids that are not strictly ascending."""


class CatalogueError(UsageError, ValueError):
    """Entries that contradict each other, or that name code which does not exist."""


class Catalogue:
    """Phases in the order of their ids. Raises ``CatalogueError``, with every problem, for entries that cannot be."""

    def __init__(self, entries: Iterable[PhaseEntry] = ENTRIES) -> None:
        given = tuple(entries)
        self._entries = tuple(sorted(given, key=lambda each: each.phase_id))
        self._by_id = {entry.phase_id: entry for entry in self._entries}
        problems = list(_problems(self._entries))
        if problems:
            raise CatalogueError("the phases cannot be: " + "; ".join(problems))

    # --- looking up ---

    def get(self, phase_id: object) -> PhaseEntry:
        """The phase with this id. Raises ``UnknownPhase``, a ValueError that names the id."""
        try:
            number = parse_phase_id(phase_id)
        except ValueError:
            raise UnknownPhase("phase", str(phase_id), self._words()) from None
        if number not in self._by_id:
            raise UnknownPhase("phase", str(display_phase_id(number)), self._words())
        return self._by_id[number]

    def by_name(self, name: str) -> PhaseEntry:
        """The phase with this name, in any case. Raises ``UnknownPhase``."""
        wanted = name.strip().casefold()
        for entry in self._entries:
            if wanted in (entry.phase_name.casefold(), entry.flow_phase if entry.number != 2 else None):
                return entry
        raise UnknownPhase("phase", name, [entry.phase_name for entry in self._entries])

    def find(self, words: str) -> PhaseEntry:
        """The phase with this id or this name. Raises ``UnknownPhase``."""
        try:
            parse_phase_id(words)
        except ValueError:
            return self.by_name(words)
        return self.get(words)

    def list_all(self) -> list[PhaseEntry]:
        """All phases, by id."""
        return list(self._entries)

    def list_implemented(self) -> list[PhaseEntry]:
        """The phases that can run, by id."""
        return [entry for entry in self._entries if entry.status == IMPLEMENTED]

    def list_planned(self) -> list[PhaseEntry]:
        """The phases that are only planned, by id."""
        return [entry for entry in self._entries if entry.status == PLANNED]

    def _words(self) -> list[str]:
        return [str(entry.number) for entry in self._entries]

    # --- order and dependencies ---

    def dependencies(self, phase_id: object) -> list[PhaseEntry]:
        """The phases that this one needs directly."""
        return [self._by_id[each] for each in self.get(phase_id).dependencies]

    def all_dependencies(self, phase_id: object) -> list[PhaseEntry]:
        """The phases that this one needs, and those they need, by id."""
        found: set[Decimal] = set()
        todo = list(self.get(phase_id).dependencies)
        while todo:
            each = todo.pop()
            if each not in found:
                found.add(each)
                todo.extend(self._by_id[each].dependencies)
        return [self._by_id[each] for each in sorted(found)]

    def next_phase(self, phase_id: object) -> PhaseEntry | None:
        """The phase that follows this one in the order of the ids; None after the last."""
        place = self._entries.index(self.get(phase_id))
        return self._entries[place + 1] if place + 1 < len(self._entries) else None

    def validate_sequence(self, phase_ids: Sequence[object]) -> bool:
        """Whether the ids are strictly ascending; true for none. Raises ``UnknownPhase`` for ids that do not exist."""
        numbers = [self.get(each).phase_id for each in phase_ids]
        return all(earlier < later for earlier, later in pairwise(numbers))

    def sequence(self, phase_ids: Sequence[object]) -> list[PhaseEntry]:
        """The phases of a sequence. Raises ``UnknownPhase``, or ``WrongOrder`` when the ids are not strictly ascending."""
        if not self.validate_sequence(phase_ids):
            said = ", ".join(str(self.get(each).number) for each in phase_ids)
            raise WrongOrder(f"the phases {said} are not in ascending order", hint="each phase once, lowest id first")
        return [self.get(each) for each in phase_ids]

    # --- what there is, and what of it works ---

    def status_summary(self) -> dict[str, Any]:
        """``total, implemented, planned, completion_pct`` (one decimal)."""
        total, implemented = len(self._entries), len(self.list_implemented())
        share = round(100 * implemented / total, 1) if total else 0.0
        return {
            "total": total,
            "implemented": implemented,
            "planned": len(self.list_planned()),
            "completion_pct": share,
        }

    def load_function(self, phase_id: object) -> Any:
        """The function of a phase. Raises ``CatalogueError`` when the entry names code that does not exist."""
        entry = self.get(phase_id)
        module = entry.file.removesuffix(".py").replace("/", ".")
        try:
            found = getattr(import_module(module), entry.function)
        except (ImportError, AttributeError) as error:
            raise CatalogueError(f"phase {entry.number} names {entry.file}:{entry.function}: {error}") from error
        if not callable(found):
            raise CatalogueError(f"phase {entry.number} names {entry.file}:{entry.function}, which is not a function")
        return found

    def self_check(self) -> list[str]:
        """What is wrong with the implemented phases, one sentence each; nothing when all of them can be loaded."""
        problems = []
        for entry in self.list_implemented():
            try:
                self.load_function(entry.phase_id)
            except CatalogueError as error:
                problems.append(str(error))
        return problems

    # --- per company ---

    def unmet(self, phase_id: object, missing: Collection[str]) -> list[PhaseEntry]:
        """The dependencies of a phase that are among these phases of the flow."""
        return [entry for entry in self.dependencies(phase_id) if entry.flow_phase in missing]

    def runnable(self, engine: Engine, company_id: str) -> list[PhaseEntry]:
        """What can run now for a company: the phases whose dependencies it has completed and that it has not."""
        subject = Subject("company", company_id)
        planned = engine.plan("outreach", [subject], tenant=engine.tenant)[subject]
        open_phases = set(planned)
        return [
            entry
            for entry in self.list_implemented()
            if entry.flow_phase in open_phases and not self.unmet(entry.phase_id, open_phases)
        ]


def _problems(entries: Sequence[PhaseEntry]) -> Iterable[str]:
    ids = [entry.phase_id for entry in entries]
    for earlier, later in pairwise(ids):
        if earlier == later:
            yield f"phase {display_phase_id(later)} is there twice"
    for entry in entries:
        if entry.status not in (IMPLEMENTED, PLANNED):
            yield f"phase {entry.number} is {entry.status!r}, which is neither {IMPLEMENTED} nor {PLANNED}"
        for each in entry.dependencies:
            if each not in ids:
                yield f"phase {entry.number} needs phase {display_phase_id(each)}, which does not exist"
            elif each >= entry.phase_id:  # that also rules out cycles
                yield f"phase {entry.number} needs phase {display_phase_id(each)}, which does not come before it"


#: The phases of the outreach pipeline.
CATALOGUE = Catalogue()
