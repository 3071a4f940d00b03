"""Who sits in the three slots of a company: choosing people for them, and the gate that asks for all three."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from phasegate.apps.outreach.rules.fields import Row, as_row, first_present, flag, moment, number
from phasegate.apps.outreach.rules.intent import has_verified_email
from phasegate.apps.outreach.rules.seats import occupant_of, rows_by_person, rows_by_slot
from phasegate.apps.outreach.rules.titles import SLOTS, Slot, classify_title, title_match

#: A sitting person is replaced only by somebody at least this many seniority points higher.
REPLACE_MARGIN = 10
#: The theme of the message for each slot.
MESSAGING = {Slot.CEO: "ceo_cost_roi", Slot.CFO: "cfo_budget_finance", Slot.HR: "hr_service_efficiency"}


@dataclass(frozen=True, slots=True)
class SlotChoice:
    """What to do with one slot: ``fill``, ``replace``, ``keep``, ``vacate`` (the sitting person is gone
    or belongs in another slot) or ``empty``."""

    slot: Slot
    action: str
    person_id: str | None
    confidence: float | None
    previous_person_id: str | None

    def to_result(self) -> dict[str, object]:
        """``slot_type, action, person_id, confidence_score, previous_person_id``."""
        return {
            "slot_type": self.slot.value,
            "action": self.action,
            "person_id": self.person_id,
            "confidence_score": self.confidence,
            "previous_person_id": self.previous_person_id,
        }


def choose_slots(people: Iterable[object], slots: Iterable[object] = ()) -> tuple[SlotChoice, ...]:
    """The choice for CEO, CFO and HR, computed in full so that the caller can swap in one transaction.

    ``people`` are all present people of the company, sitting ones included; ``slots`` its slot rows. The highest
    confidence takes a slot, among equals the earlier row. Seniority is ``seniority_score`` of the person, otherwise the
    confidence of the title times 100. Nobody is given two slots.
    """
    candidates = _candidates(people)
    sitting = _sitting(slots)
    seated = {person for slot, person in sitting.items() if _points(candidates.get(person), slot) is not None}
    return tuple(_choose(slot, sitting.get(slot), candidates, seated) for slot in SLOTS)


@dataclass(frozen=True, slots=True)
class SlotStatus:
    """One slot as the gate sees it; ``filled`` only with a person id."""

    slot: Slot
    exists: bool
    filled: bool
    person_id: str | None
    person: Row
    last_enriched_at: datetime | None

    def to_result(self) -> dict[str, object]:
        """``slot_type, exists, is_filled, person_id, person_name, email, email_verified, linkedin_url,
        last_enriched_at, messaging_template``.
        """
        return {
            "slot_type": self.slot.value,
            "exists": self.exists,
            "is_filled": self.filled,
            "person_id": self.person_id,
            "person_name": self.person.get("full_name"),
            "email": self.person.get("email"),
            "email_verified": has_verified_email(self.person),
            "linkedin_url": self.person.get("linkedin_url"),
            "last_enriched_at": self.last_enriched_at.isoformat() if self.last_enriched_at else None,
            "messaging_template": MESSAGING[self.slot],
        }


@dataclass(frozen=True, slots=True)
class SlotGate:
    """Whether a company may pass: only with CEO, CFO and HR filled. ``status`` is pass, wait or error."""

    company_id: object
    company_name: object
    status: str
    slots: tuple[SlotStatus, ...]
    evaluated_at: datetime

    @property
    def passed(self) -> bool:
        """Whether all three slots are filled."""
        return self.status == "pass"

    @property
    def slots_filled(self) -> int:
        """How many of the three slots are filled."""
        return sum(status.filled for status in self.slots)

    @property
    def missing_slots(self) -> tuple[Slot, ...]:
        """The slots that are not filled, in the order in which they should be enriched."""
        return tuple(status.slot for status in self.slots if not status.filled)

    @property
    def next_action(self) -> str:
        """What to do now: write, enrich the first missing slot, or look at the company record."""
        if self.status == "error":
            return "check_company_record"
        return "proceed_to_outreach" if self.passed else f"enrich_{self.missing_slots[0].value.lower()}"

    def to_result(self) -> dict[str, object]:
        """``company_id, company_name, status, passed, slots_filled, slots_required, slot_statuses, missing_slots,
        ready_for_outreach, next_action, timestamp``.
        """
        return {
            "company_id": self.company_id,
            "company_name": self.company_name,
            "status": self.status,
            "passed": self.passed,
            "slots_filled": self.slots_filled,
            "slots_required": len(SLOTS),
            "slot_statuses": [status.to_result() for status in self.slots],
            "missing_slots": [slot.value for slot in self.missing_slots],
            "ready_for_outreach": self.passed,
            "next_action": self.next_action,
            "timestamp": self.evaluated_at.isoformat(),
        }


def evaluate_slot_gate(company: object, slots: Iterable[object], people: Iterable[object], now: datetime) -> SlotGate:
    """Judge one company from its slot rows; a company without an id is an error, never a pass."""
    row = as_row(company)
    company_id = first_present(row, "company_unique_id", "company_id")
    rows = rows_by_slot(slots)
    by_id = rows_by_person(people)
    statuses = tuple(_status(slot, rows.get(slot), by_id) for slot in SLOTS)
    if company_id is None:
        status = "error"
    else:
        status = "pass" if all(each.filled for each in statuses) else "wait"
    return SlotGate(company_id, row.get("company_name"), status, statuses, now)


def slot_gate_statistics(gates: Iterable[SlotGate]) -> dict[str, object]:
    """``total_checked, passed, waiting, errors, slots_breakdown``; zeros for nothing."""
    found = tuple(gates)
    required = len(SLOTS)
    return {
        "total_checked": len(found),
        "passed": sum(gate.status == "pass" for gate in found),
        "waiting": sum(gate.status == "wait" for gate in found),
        "errors": sum(gate.status == "error" for gate in found),
        "slots_breakdown": {
            f"{filled} of {required}": sum(gate.slots_filled == filled for gate in found if gate.status != "error")
            for filled in range(required + 1)
        },
    }


@dataclass(frozen=True, slots=True)
class _Candidate:
    person_id: str
    title: object
    seniority: float | None
    suits: Slot | None


def _candidates(people: Iterable[object]) -> dict[str, _Candidate]:
    found: dict[str, _Candidate] = {}
    for person_id, row in rows_by_person(people).items():
        match = classify_title(row.get("title"))
        seniority = number(row.get("seniority_score"))
        found[person_id] = _Candidate(person_id, row.get("title"), seniority, match.slot if match else None)
    return found


def _sitting(slots: Iterable[object]) -> dict[Slot, str]:
    found: dict[Slot, str] = {}
    for slot, row in rows_by_slot(slots).items():
        person_id = occupant_of(row)
        if flag(row.get("is_filled")) and person_id:
            found[slot] = person_id
    return found


def _choose(slot: Slot, sitting: str | None, candidates: Mapping[str, _Candidate], seated: set[str]) -> SlotChoice:
    best = _best(slot, [each for each in candidates.values() if each.suits is slot and each.person_id not in seated])
    sitter = candidates.get(sitting) if sitting else None
    if sitter and sitter.suits and _points(sitter, slot) is None:
        sitter = None  # sits on a chair that is another's: free to be chosen for the slot that suits
    if sitting is None:
        return _choice(slot, "fill", best, None) if best else _choice(slot, "empty", None, None)
    if sitter is None:
        return _choice(slot, "replace" if best else "vacate", best, sitting)
    if best and (_points(best, slot) or 0.0) >= (_points(sitter, slot) or 0.0) + REPLACE_MARGIN:
        return _choice(slot, "replace", best, sitting)
    return _choice(slot, "keep", sitter, sitting)


def _best(slot: Slot, rivals: list[_Candidate]) -> _Candidate | None:
    # max() keeps the first of equals, so the order of the rows decides and a second run chooses the same.
    return max(rivals, key=lambda each: _confidence(each, slot) or 0.0, default=None)


def _choice(slot: Slot, action: str, person: _Candidate | None, previous: str | None) -> SlotChoice:
    person_id = person.person_id if person else None
    return SlotChoice(slot, action, person_id, _confidence(person, slot), previous)


def _confidence(person: _Candidate | None, slot: Slot) -> float | None:
    match = title_match(person.title, slot) if person else None
    return match.confidence if match else None


def _points(person: _Candidate | None, slot: Slot) -> float | None:
    """Seniority points in one slot, or None for somebody who is gone or whose title does not fit it."""
    confidence = _confidence(person, slot)
    if person is None or confidence is None:
        return None
    return person.seniority if person.seniority is not None else round(confidence * 100, 1)


def _status(slot: Slot, row: Row | None, people: Mapping[str, Row]) -> SlotStatus:
    seat = row or {}
    person_id = occupant_of(seat) or None
    person = people.get(person_id or "", {})
    enriched = moment(first_present(seat, "last_enriched_at", "last_refreshed_at"))
    filled = flag(seat.get("is_filled")) and person_id is not None
    return SlotStatus(slot, row is not None, filled, person_id, person, enriched)
