"""Outreach readiness of one company: three slots, and for each whether its person can be written to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from phasegate.apps.outreach.rules.fields import Row, as_row, first_present, flag, moment, text
from phasegate.apps.outreach.rules.seats import occupant_of, person_id_of, rows_by_person, rows_by_slot
from phasegate.apps.outreach.rules.titles import SLOTS, Slot, title_fits

#: Three slots with five counted checks each; that the person belongs to the company is judged beside them.
TOTAL_CHECKS = 15
#: The checks that are counted, in order; when one of the first two fails, the rest of the slot is not executed.
COUNTED_CHECKS = ("is_filled", "exists_in_people", "enriched", "email_verified", "title_matches")
#: Failed check -> the bucket it is counted in.
BUCKETS = {
    "is_filled": "slot_not_filled",
    "exists_in_people": "person_not_found",
    "enriched": "enrichment_missing",
    "email_verified": "email_not_verified",
    "title_matches": "title_mismatch",
    "belongs_to_company": "wrong_company",
}
#: The words for a successful enrichment.
ENRICHED = frozenset({"success", "completed"})

_SENTENCES = {
    "is_filled": "{slot} slot is not filled",
    "exists_in_people": "{slot} slot names a person who does not exist",
    "enriched": "{slot} person has no successful enrichment",
    "email_verified": "{slot} email is not verified",
    "title_matches": "{slot} title does not fit the slot",
    "belongs_to_company": "{slot} person belongs to another company",
}
_EARLIEST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SlotReadiness:
    """The checks of one slot. ``executed`` names those that were reached; one not reached counts as not passed."""

    slot: Slot
    person_id: str | None
    executed: tuple[str, ...]
    passed_checks: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether all six checks passed."""
        return len(self.passed_checks) == len(BUCKETS)

    @property
    def failed_checks(self) -> tuple[str, ...]:
        """The executed checks that did not pass, in order."""
        return tuple(check for check in self.executed if check not in self.passed_checks)

    @property
    def failures(self) -> tuple[str, ...]:
        """The buckets of the failed checks, in order."""
        return tuple(BUCKETS[check] for check in self.failed_checks)

    def to_result(self) -> dict[str, object]:
        """``slot_type, person_id, checks, failures, passed``; ``failures`` holds bucket names."""
        return {
            "slot_type": self.slot.value,
            "person_id": self.person_id,
            "checks": {check: check in self.passed_checks for check in BUCKETS},
            "failures": list(self.failures),
            "passed": self.passed,
        }


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a company may be written to, and the first reason why not."""

    company_unique_id: object
    company_name: object
    problem: str | None
    slots: tuple[SlotReadiness, ...]
    missing_slots: tuple[Slot, ...]

    @property
    def outreach_ready(self) -> bool:
        """True when the company is valid, has its three slots and every check of each passed."""
        return self.reason == "All checks passed"

    @property
    def reason(self) -> str:
        """ "All checks passed", or the first failure: the company's, then the slots' in the order CEO, CFO, HR."""
        if self.problem is not None:
            return self.problem
        for slot in self.slots:
            for check in slot.failed_checks:
                return _SENTENCES[check].format(slot=slot.slot.value)
        return "All checks passed"

    @property
    def failures(self) -> tuple[str, ...]:
        """The buckets of every failed check, for counting."""
        return tuple(bucket for slot in self.slots for bucket in slot.failures)

    def to_result(self) -> dict[str, object]:
        """``company_unique_id, company_name, outreach_ready, reason, slot_results, missing_slots, total_checks,
        executed_checks, passed_checks``; the three numbers speak of the five counted checks per slot.
        """
        counted = frozenset(COUNTED_CHECKS)
        return {
            "company_unique_id": self.company_unique_id,
            "company_name": self.company_name,
            "outreach_ready": self.outreach_ready,
            "reason": self.reason,
            "slot_results": [slot.to_result() for slot in self.slots],
            "missing_slots": [slot.value for slot in self.missing_slots],
            "total_checks": TOTAL_CHECKS,
            "executed_checks": sum(len(counted.intersection(slot.executed)) for slot in self.slots),
            "passed_checks": sum(len(counted.intersection(slot.passed_checks)) for slot in self.slots),
        }


def evaluate_readiness(
    company: object,
    slots: Iterable[object],
    people: Iterable[object],
    enrichments: Iterable[object],
    verifications: Iterable[object],
) -> Readiness:
    """Judge one company from its rows; the rows of other companies and people do no harm.

    A missing or not valid company is judged no further. With slot rows missing the present ones are still judged. A
    person or a slot row that appears twice counts as its first row.
    """
    row = as_row(company)
    problem = _company_problem(row)
    if problem is not None:
        return _readiness(row, problem, (), ())
    seats = rows_by_slot(slots)
    missing = tuple(slot for slot in SLOTS if slot not in seats)
    evidence = _Evidence(
        company_id=text(row.get("company_unique_id")),
        people=rows_by_person(people),
        enrichments=tuple(as_row(each) for each in enrichments),
        verifications=tuple(as_row(each) for each in verifications),
    )
    judged = tuple(_judge(slot, seats[slot], evidence) for slot in SLOTS if slot in seats)
    return _readiness(row, f"Missing slots: {', '.join(missing)}" if missing else None, judged, missing)


@dataclass(frozen=True, slots=True)
class _Evidence:
    company_id: str
    people: dict[str, Row]
    enrichments: tuple[Row, ...]
    verifications: tuple[Row, ...]


def _readiness(
    row: Row, problem: str | None, judged: tuple[SlotReadiness, ...], missing: tuple[Slot, ...]
) -> Readiness:
    return Readiness(row.get("company_unique_id"), row.get("company_name"), problem, judged, missing)


def _company_problem(row: Row) -> str | None:
    if not text(row.get("company_unique_id")):
        return "Company does not exist"
    return None if row.get("validation_status") == "valid" else "Company is not valid"


def _judge(slot: Slot, seat: Row, evidence: _Evidence) -> SlotReadiness:
    person_id = occupant_of(seat)
    executed, passed = ["is_filled"], []
    if flag(seat.get("is_filled")) and person_id:
        passed.append("is_filled")
        executed.append("exists_in_people")
        if person_id in evidence.people:
            passed.append("exists_in_people")
            for check, test in _PERSON_CHECKS.items():
                executed.append(check)
                if test(slot, seat, evidence.people[person_id], evidence):
                    passed.append(check)
    return SlotReadiness(slot, person_id or None, tuple(executed), tuple(passed))


def _enriched(_slot: Slot, seat: Row, person: Row, evidence: _Evidence) -> bool:
    return any(
        text(first_present(row, "enrichment_status", "status")).casefold() in ENRICHED and _enriches(row, seat, person)
        for row in evidence.enrichments
    )


def _enriches(row: Row, seat: Row, person: Row) -> bool:
    """Whether an enrichment is the person's; one that names only a slot counts for the person who sits there."""
    owner = occupant_of(row)
    if owner:
        return owner == person_id_of(person)
    seat_id = text(seat.get("company_slot_unique_id"))
    return bool(seat_id) and text(row.get("company_slot_unique_id")) == seat_id


def _email_verified(_slot: Slot, _seat: Row, person: Row, evidence: _Evidence) -> bool:
    latest: Row | None = None
    latest_at = _EARLIEST
    for row in evidence.verifications:
        at = moment(row.get("verified_at")) or _EARLIEST
        if _verifies(row, person) and at >= latest_at:
            latest, latest_at = row, at
    status = first_present(latest or {}, "verification_status", "email_status", "status")
    return text(status).casefold() == "valid"


def _verifies(row: Row, person: Row) -> bool:
    """Whether a verification speaks of the person's present address; that of a former address proves nothing."""
    address, present = text(row.get("email")).casefold(), text(person.get("email")).casefold()
    if address and address != present:
        return False
    owner = occupant_of(row)
    return owner == person_id_of(person) if owner else bool(address)


def _title_matches(slot: Slot, _seat: Row, person: Row, _evidence: _Evidence) -> bool:
    return title_fits(person.get("title"), slot)


def _belongs(_slot: Slot, _seat: Row, person: Row, evidence: _Evidence) -> bool:
    return text(person.get("company_unique_id")) == evidence.company_id


_PERSON_CHECKS: dict[str, Callable[[Slot, Row, Row, _Evidence], bool]] = {
    "enriched": _enriched,
    "email_verified": _email_verified,
    "title_matches": _title_matches,
    "belongs_to_company": _belongs,
}
