"""Company validation: five rules in a fixed order, and a postal check that only ever warns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from phasegate.apps.outreach.rules.failures import Failure, RuleBook, Severity, highest, invalidating, sentence
from phasegate.apps.outreach.rules.fields import Row, as_row, first_present, is_present, shown, text, whole_number
from phasegate.apps.outreach.rules.titles import SLOTS, Slot, parse_slot

#: A company name has at least this many characters after trimming.
SHORTEST_NAME = 3
#: A company must have more employees than this.
EMPLOYEES_ABOVE = 50
#: What a company's LinkedIn address contains, in any case.
LINKEDIN_COMPANY = "linkedin.com/company/"

#: Every company rule with its severity.
RULES = RuleBook(
    {
        "company_unique_id_required": Severity.CRITICAL,
        "company_name_required": Severity.CRITICAL,
        "company_name_min_length": Severity.CRITICAL,
        "website_required": Severity.ERROR,
        "website_protocol": Severity.ERROR,
        "website_domain": Severity.ERROR,
        "employee_count_required": Severity.ERROR,
        "employee_count_numeric": Severity.ERROR,
        "employee_count_positive": Severity.ERROR,
        "employee_count_minimum": Severity.ERROR,
        "linkedin_url_required": Severity.ERROR,
        "linkedin_url_format": Severity.ERROR,
        "slot_CEO_missing": Severity.ERROR,
        "slot_CFO_missing": Severity.ERROR,
        "slot_HR_missing": Severity.ERROR,
        "slots_not_checked": Severity.WARNING,
        "postal_code_required": Severity.WARNING,
        "postal_code_format": Severity.WARNING,
        "postal_code_wv_format": Severity.WARNING,
    }
)

_REQUIRED = ("company_name", "website", "employee_count", "linkedin_url", *(f"slot_{slot}" for slot in SLOTS))
_SCHEME = re.compile(r"https?://", re.IGNORECASE)
_HOST_END = re.compile(r"[/?#]")
_POSTAL = re.compile(r"[0-9]{5}(?:-[0-9]{4})?")
_WEST_VIRGINIA = frozenset({"WV", "WEST VIRGINIA"})


@dataclass(frozen=True, slots=True)
class CompanyValidation:
    """What the rules say of one company; failures stand in the order of evaluation, warnings among them."""

    failures: tuple[Failure, ...]
    slots_checked: bool
    slots_present: tuple[Slot, ...]
    required_fields: tuple[str, ...] = _REQUIRED

    @property
    def valid(self) -> bool:
        """True when nothing CRITICAL and no ERROR was found."""
        return not invalidating(self.failures)

    @property
    def missing_fields(self) -> tuple[str, ...]:
        """The fields that make the company invalid; a missing slot appears as ``slot_CEO`` and so on."""
        return tuple(dict.fromkeys(failure.field for failure in invalidating(self.failures)))

    def to_result(self) -> dict[str, object]:
        """The single form: ``valid, reason, severity, missing_fields, failures, slots_checked, slots_present``.

        ``reason`` is the text of the first failure that invalidates, or None. ``severity`` is INFO for a valid company
        and otherwise the highest over all failures.
        """
        broken = invalidating(self.failures)
        return {
            "valid": self.valid,
            "reason": broken[0].message if broken else None,
            "severity": (highest(broken) if broken else Severity.INFO).value,
            "missing_fields": list(self.missing_fields),
            "failures": [failure.to_result() for failure in self.failures],
            "slots_checked": self.slots_checked,
            "slots_present": [slot.value for slot in self.slots_present],
        }

    def to_record_result(self) -> dict[str, object]:
        """The record form of the batch tools: ``reason`` is "Valid" or every failure as ``field: message``."""
        return {
            "valid": self.valid,
            "reason": sentence(invalidating(self.failures)) or "Valid",
            "required_fields": list(self.required_fields),
            "missing_fields": list(self.missing_fields),
            "failures": [failure.to_result() for failure in self.failures],
            "slots_checked": self.slots_checked,
            "slots_present": [slot.value for slot in self.slots_present],
            "phase": 1,
        }


def validate_company(company: object, slot_rows: object = None) -> CompanyValidation:
    """Judge one company; never raises, whatever the values are.

    ``website`` or ``website_url``, ``state`` or ``address_state``, ``postal_code`` or ``address_zip`` are read. Without
    slot rows the slot rule cannot be judged: it becomes a warning and the company may still be valid.
    """
    row = as_row(company)
    present = _slots_present(slot_rows)
    checks = (_name(row), _website(row), _employee_count(row), _linkedin_url(row))
    failures = tuple(failure for failure in checks if failure is not None)
    return CompanyValidation(
        failures=failures + _slot_failures(present) + check_postal_code(row),
        slots_checked=present is not None,
        slots_present=tuple(slot for slot in SLOTS if slot in (present or ())),
    )


def validate_company_record(company: object, slot_rows: object = None) -> CompanyValidation:
    """Judge one stored company: the same rules, and its ``company_unique_id`` must be present (CRITICAL, first)."""
    checked = validate_company(company, slot_rows)
    found = as_row(company).get("company_unique_id")
    missing = RULES.broken("company_unique_id_required", "company_unique_id", "company id is missing", found)
    return CompanyValidation(
        failures=checked.failures if is_present(found) else (missing, *checked.failures),
        slots_checked=checked.slots_checked,
        slots_present=checked.slots_present,
        required_fields=("company_unique_id", *_REQUIRED),
    )


def check_postal_code(company: Row, *, required: bool = False) -> tuple[Failure, ...]:
    """Warn of a postal code that is not five digits or five-dash-four, or does not begin with 24 or 25 in WV.

    A missing code is a warning only when ``required``.
    """
    value = first_present(company, "postal_code", "address_zip")
    if value is None:
        missing = RULES.broken("postal_code_required", "postal_code", "postal code is missing")
        return (missing,) if required else ()
    number = whole_number(value) if isinstance(value, int) else None
    code = text(value) if number is None else str(number)
    if not _POSTAL.fullmatch(code):
        message = "postal code must be five digits, or five digits, a dash and four digits"
        return (RULES.broken("postal_code_format", "postal_code", message, value),)
    state = text(first_present(company, "state", "address_state")).upper()
    if state in _WEST_VIRGINIA and not code.startswith(("24", "25")):
        message = "postal code of West Virginia must begin with 24 or 25"
        return (RULES.broken("postal_code_wv_format", "postal_code", message, value),)
    return ()


def is_company_profile(value: object) -> bool:
    """Whether a value is the address of a company page on LinkedIn."""
    return LINKEDIN_COMPANY in text(value).casefold()


def _name(row: Row) -> Failure | None:
    value = row.get("company_name")
    if not is_present(value):
        return RULES.broken("company_name_required", "company_name", "company name is missing", value)
    if not isinstance(value, str):
        return RULES.broken("company_name_required", "company_name", "company name must be text", value)
    if len(value.strip()) < SHORTEST_NAME:
        message = f"company name must have at least {SHORTEST_NAME} characters"
        return RULES.broken("company_name_min_length", "company_name", message, value)
    return None


def _website(row: Row) -> Failure | None:
    value = first_present(row, "website", "website_url")
    if value is None:
        return RULES.broken("website_required", "website", "website is missing")
    scheme = _SCHEME.match(text(value))
    if scheme is None:
        return RULES.broken("website_protocol", "website", "website must start with http:// or https://", value)
    # The dot must stand in the host: "http://localhost/index.html" leads nowhere.
    host = _HOST_END.split(text(value)[scheme.end() :], maxsplit=1)[0]
    if "." not in host.strip("."):
        return RULES.broken("website_domain", "website", "website must contain a domain with a dot", value)
    return None


def _employee_count(row: Row) -> Failure | None:
    value = row.get("employee_count")
    if not is_present(value):
        return RULES.broken("employee_count_required", "employee_count", "employee count is missing", value)
    count = whole_number(value)
    if count is None:
        message = f"employee count must be a whole number, not {shown(value)}"
        return RULES.broken("employee_count_numeric", "employee_count", message, value)
    if count <= 0:
        message = f"employee count must be positive, not {count}"
        return RULES.broken("employee_count_positive", "employee_count", message, value)
    if count <= EMPLOYEES_ABOVE:
        message = f"employee count must be more than {EMPLOYEES_ABOVE}, not {count}"
        return RULES.broken("employee_count_minimum", "employee_count", message, value)
    return None


def _linkedin_url(row: Row) -> Failure | None:
    value = row.get("linkedin_url")
    if not is_present(value):
        return RULES.broken("linkedin_url_required", "linkedin_url", "LinkedIn URL is missing", value)
    if not is_company_profile(value):
        message = f"LinkedIn URL must contain {LINKEDIN_COMPANY}"
        return RULES.broken("linkedin_url_format", "linkedin_url", message, value)
    return None


def _slots_present(slot_rows: object) -> frozenset[Slot] | None:
    """The slot types that have a row, filled or not; None when no rows were supplied."""
    if not isinstance(slot_rows, Iterable) or isinstance(slot_rows, (str, bytes, Mapping)):
        return None
    found = (parse_slot(as_row(row).get("slot_type")) for row in slot_rows)
    return frozenset(slot for slot in found if slot is not None)


def _slot_failures(present: frozenset[Slot] | None) -> tuple[Failure, ...]:
    if present is None:
        message = "slot rows were not supplied, so the slot rule was not checked"
        return (RULES.broken("slots_not_checked", "slots", message),)
    return tuple(
        RULES.broken(f"slot_{slot}_missing", f"slot_{slot}", f"company has no {slot} slot")
        for slot in SLOTS
        if slot not in present
    )
