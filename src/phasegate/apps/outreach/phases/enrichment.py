"""Phase 1.5: what is missing is concluded where that is free, and bought where it is not.

Asked about are the company itself and those of its people whose title names one of the three slots, CEO before CFO before
HR: nobody else can be written to. The address pattern of a company is read off its verified addresses; a derived address
is never called verified. An address that was enriched once is not bought again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from phasegate import Context, Fatal, InputError
from phasegate.apps.outreach import statements as sql
from phasegate.apps.outreach.enrichment import Entity, WaterfallResult, cost_summary, run_waterfall
from phasegate.apps.outreach.phases.batch import CompanyRows, Row, read_companies
from phasegate.apps.outreach.phases.records import add_event
from phasegate.apps.outreach.rules.domains import mail_domain
from phasegate.apps.outreach.rules.emails import (
    CATCH_ALL_CONFIDENCE,
    PATTERNS,
    VERIFIED_CONFIDENCE,
    EmailClass,
    apply_pattern,
    classify_email,
    infer_pattern,
)
from phasegate.apps.outreach.rules.identifiers import IdKind, format_id, parse_id
from phasegate.apps.outreach.rules.titles import SLOTS, classify_title

#: Vendor look-ups under way at the same time.
CONCURRENT = 10
#: The service under which the answer of the file's own verifier is kept.
IMPORTED = "import"

TABLES = ("slots", "people", "enrichments", "verifications")
COMPANY_WANTED = ("website", "domain")
PERSON_WANTED = ("email",)

_VERIFIED = frozenset({"ok", "valid", "deliverable"})
_CATCH_ALL = frozenset({"catch-all", "catch_all", "catchall", "accept_all"})
_STATUSES = {
    **dict.fromkeys(_VERIFIED, "valid"),
    **dict.fromkeys(_CATCH_ALL, "risky"),  # the domain accepts everything: nothing is proven
    "risky": "risky",
    "invalid": "invalid",
    "undeliverable": "invalid",
    "bounced": "invalid",
    "pending": "pending",
}
_ORDER = {pattern.name: place for place, pattern in enumerate(PATTERNS)}


async def enrich(contexts: Sequence[Context]) -> list[Any]:
    """Enrich many companies and their candidates for the slots. In a dry run nobody is asked."""
    found = await asyncio.to_thread(read_companies, contexts, TABLES)
    limit = asyncio.Semaphore(CONCURRENT)
    work = [_enrich(ctx, found.get((ctx.tenant, ctx.subject.id)), limit) for ctx in contexts]
    return list(await asyncio.gather(*work, return_exceptions=True))


def latest_verification(person: Row, verifications: Sequence[Row]) -> str | None:
    """What the most recent verification says of the person's present address, or what the file said of it, or None.

    The rows stand in the order in which they were written, which decides between equal times.
    """
    address = _address(person)
    own = [
        row
        for row in verifications
        if row["person_unique_id"] == person["unique_id"] and str(row["email"]).casefold() == address.casefold()
    ]
    if not address:
        return None
    if not own:
        return person["email_verification"]  # type: ignore[no-any-return]
    latest = max(enumerate(own), key=lambda each: (each[1]["verified_at"] is not None, each[1]["verified_at"], each[0]))
    return str(latest[1]["verification_status"])


# --- one company ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Pattern:
    """How a company writes its addresses, and at which domain."""

    name: str
    domain: str
    confidence: float


@dataclass(slots=True)
class _Findings:
    """What was found for one company."""

    asked: list[WaterfallResult] = field(default_factory=list)
    derived: int = 0
    complete: int = 0


async def _enrich(ctx: Context, rows: CompanyRows | None, limit: asyncio.Semaphore) -> dict[str, Any]:
    if rows is None:
        raise Fatal(f"company {ctx.subject.id} does not exist")
    findings = _Findings()
    pattern = find_pattern(rows.people)
    site = await _enrich_site(ctx, rows.company, findings, limit)
    if pattern is not None:
        ctx.write(
            sql.SET_PATTERN, {"company": ctx.subject.id, "pattern": pattern.name, "confidence": pattern.confidence}
        )
    before = {row["person_unique_id"]: row for row in rows.enrichments}
    for person in candidates(rows.people):
        _keep_verification(ctx, person, rows.verifications)
        await _enrich_person(ctx, rows, person, (pattern, site, before.get(person["unique_id"])), findings, limit)
    return _result(ctx, rows.company, pattern, findings)


def candidates(people: Sequence[Row]) -> list[Row]:
    """The people whose title names a slot, in the order in which slots are enriched."""
    matched = [(match.slot, person) for person in people if (match := classify_title(person["title"])) is not None]
    return [person for slot in SLOTS for found, person in matched if found is slot]


def find_pattern(people: Sequence[Row]) -> _Pattern | None:
    """The pattern most verified addresses were made by, with their domain; from catch-all ones only for want of better."""
    for words, confidence in ((_VERIFIED, VERIFIED_CONFIDENCE), (_CATCH_ALL, CATCH_ALL_CONFIDENCE)):
        proven = [person for person in people if str(person["email_verification"] or "").casefold() in words]
        made = Counter(
            (pattern, domain)
            for person in proven
            if (pattern := infer_pattern(person["email"], person["full_name"]))
            and (domain := mail_domain(person["email"]))
        )
        if made:
            # The most frequent; among equals the generally more likely, then by name, never by the order of rows.
            (name, domain), _ = min(made.items(), key=lambda each: (-each[1], _ORDER[each[0][0]], each[0][1]))
            return _Pattern(name, domain, confidence)
    return None


async def _enrich_site(ctx: Context, company: Row, findings: _Findings, limit: asyncio.Semaphore) -> str:
    """The company's domain, looked up when the record does not say it; empty when nobody knows."""
    if company["website"] and company["domain"]:
        findings.complete += 1
        return str(company["domain"])
    entity = Entity(ctx.subject.id, "company", {name: company[name] for name in ("company_name", *COMPANY_WANTED)})
    found = await _ask(ctx, entity, COMPANY_WANTED, limit)
    findings.asked.append(found)
    site, domain = (found.enriched_data.get(name) or company[name] for name in COMPANY_WANTED)
    if found.enriched_data:
        ctx.write(sql.SET_SITE, {"company": ctx.subject.id, "site": site, "site_domain": domain})
    return str(domain or "")


async def _enrich_person(
    ctx: Context, rows: CompanyRows, person: Row, known: tuple[_Pattern | None, str, Row | None], findings: _Findings,
    limit: asyncio.Semaphore,
) -> None:  # fmt: skip
    pattern, site, before = known
    address = _address(person)
    if address:
        findings.complete += 1
        if before is None or before["email"] != address or before["enrichment_status"] != "completed":
            _keep(ctx, rows, person, {"email": address, "enrichment_source": "record"})
        return
    derived = apply_pattern(pattern.name, [person["full_name"]], pattern.domain)[0] if pattern else None
    if pattern is not None and derived is not None:
        findings.derived += 1
        origin = classify_email(None, pattern.confidence)
        _set_email(ctx, person, derived, origin)
        data = {"email_class": origin.value, "pattern": pattern.name, "pattern_confidence": pattern.confidence}
        _keep(ctx, rows, person, {"email": derived, "enrichment_source": "pattern", "enrichment_data": data})
        return
    names = ("first_name", "last_name", "full_name", "title", "linkedin_url")
    fields = {"domain": site, "company_name": rows.company["company_name"], **{name: person[name] for name in names}}
    found = await _ask(ctx, Entity(person["unique_id"], "person", fields), PERSON_WANTED, limit)
    findings.asked.append(found)
    if not ctx.dry_run:
        _keep_bought(ctx, rows, person, found)


def _keep_bought(ctx: Context, rows: CompanyRows, person: Row, found: WaterfallResult) -> None:
    bought = found.enriched_data.get("email")
    concluded = found.enriched_data.get("email_confidence") == "derived"
    origin = EmailClass.LOW_CONFIDENCE if concluded else EmailClass.WATERFALL
    if bought:
        _set_email(ctx, person, str(bought), origin)
    data = {**found.enriched_data, "final_tier": found.final_tier, "manual_review": found.manual_review}
    if bought:
        data["email_class"] = origin.value
    values = {
        "email": bought,
        "enrichment_source": ", ".join(dict.fromkeys(found.sources.values())) or None,
        "enrichment_data": data,
        "cost": float(found.total_cost),
    }
    _keep(ctx, rows, person, values)


async def _ask(ctx: Context, entity: Entity, wanted: Sequence[str], limit: asyncio.Semaphore) -> WaterfallResult:
    async with limit:
        return await run_waterfall(entity, ctx.deps.tiers, wanted=wanted, dry_run=ctx.dry_run, clock=ctx.now)


# --- rows -----------------------------------------------------------------------------------------------------------


def enrichment_id(person_id: str) -> str:
    """The id of a person's enrichment row: it follows from the person's, so that a second one replaces the first."""
    try:
        person = parse_id(person_id)
        return format_id(IdKind.ENRICHMENT, person.number, person.family)
    except InputError:
        return f"{person_id}.enrichment"


def _keep(ctx: Context, rows: CompanyRows, person: Row, values: Mapping[str, Any]) -> None:
    now, found = ctx.now(), bool(values.get("email"))
    row = {
        "id": enrichment_id(person["unique_id"]),
        "tenant": ctx.tenant,
        "company_slot_unique_id": next(
            (s["company_slot_unique_id"] for s in rows.slots if s["person_unique_id"] == person["unique_id"]), None
        ),
        "company_unique_id": ctx.subject.id,
        "person_unique_id": person["unique_id"],
        "linkedin_url": person["linkedin_url"],
        "full_name": person["full_name"],
        "phone": person["work_phone_e164"],
        "enrichment_status": "completed" if found else "failed",
        "enrichment_data": None,
        "cost": 0.0,
        "created_at": now,
        "enriched_at": now if found else None,
    }
    ctx.write(sql.SET_ENRICHMENT, {**row, **values})


def _set_email(ctx: Context, person: Row, address: str, origin: EmailClass) -> None:
    ctx.write(sql.SET_EMAIL, {"person": person["unique_id"], "address": address, "origin": origin.value})


def _keep_verification(ctx: Context, person: Row, verifications: Sequence[Row]) -> None:
    """What the file's verifier said of the address, as a row beside those of other services."""
    said, address = str(person["email_verification"] or "").strip().casefold(), _address(person)
    if not said or not address or person["email_class"] not in (None, "given"):
        return
    status, own = _STATUSES.get(said, "unknown"), (person["unique_id"], address, IMPORTED)
    kept = {
        (row["person_unique_id"], row["email"], row["service"]): row["verification_status"] for row in verifications
    }
    if kept.get(own) != status:
        ctx.write(
            sql.SET_VERIFICATION,
            {
                "tenant": ctx.tenant,
                "enrichment_id": None,
                "person_unique_id": person["unique_id"],
                "email": address,
                "verification_status": status,
                "service": IMPORTED,
                "result": {"status": person["email_verification"]},
                "verified_at": ctx.now(),
            },
        )
    # An answer that has not changed is as old as it was, so that a later one of another service still counts.
    present = status if kept.get(own) != status else latest_verification(person, verifications)
    if bool(person["email_verified"]) != (present == "valid"):
        verified = {"person": person["unique_id"], "verified": present == "valid", "at": ctx.now()}
        ctx.write(sql.SET_VERIFIED, verified)


def _address(person: Row) -> str:
    return str(person["email"] or "").strip()


def _result(ctx: Context, company: Row, pattern: _Pattern | None, findings: _Findings) -> dict[str, Any]:
    summary = cost_summary(findings.asked)
    review = [each.entity_id for each in findings.asked if each.manual_review]
    statistics = {**summary, "already_complete": findings.complete, "derived_by_pattern": findings.derived}
    said = {"company_unique_id": ctx.subject.id, "total_cost": summary["total_cost"], "manual_review": review}
    add_event(ctx, "enrichment_complete", said)
    return {
        "company_unique_id": ctx.subject.id,
        "company_name": company["company_name"],
        "email_pattern": pattern.name if pattern else None,
        "pattern_confidence": pattern.confidence if pattern else None,
        "statistics": statistics,
        "entities": [each.to_result() for each in findings.asked],
        "manual_review": review,
    }
