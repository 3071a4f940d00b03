"""Phase 1.5: what is missing is concluded where that is free, and bought where it is not.

Asked about are the company itself and those of its people whose title names one of the three slots, CEO before CFO before
HR: nobody else can be written to. The address pattern of a company is read off its verified addresses, and searched for
with the help of a verifier where there are none; a derived address is never called verified. An address that was enriched
once is not bought again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from phasegate import Context, Fatal, InputError
from phasegate.apps.outreach import statements as sql
from phasegate.apps.outreach.enrichment import (
    IMPORTED,
    Entity,
    WaterfallResult,
    cost_summary,
    kept_status,
    run_waterfall,
)
from phasegate.apps.outreach.phases.batch import CompanyRows, Row, read_companies
from phasegate.apps.outreach.phases.patterns import (
    Pattern,
    Quest,
    address_of,
    begin_quest,
    find_pattern,
    said_by_file,
    search_patterns,
    verification_row,
)
from phasegate.apps.outreach.phases.records import add_event
from phasegate.apps.outreach.rules.emails import EmailClass, apply_pattern, classify_email
from phasegate.apps.outreach.rules.identifiers import IdKind, format_id, parse_id
from phasegate.apps.outreach.rules.titles import SLOTS, classify_title

_T = TypeVar("_T")

#: Vendor look-ups under way at the same time.
CONCURRENT = 10

TABLES = ("slots", "people", "enrichments", "verifications")
COMPANY_WANTED = ("website", "domain")
PERSON_WANTED = ("email",)


async def enrich(contexts: Sequence[Context]) -> list[Any]:
    """Enrich many companies and their candidates for the slots. In a dry run nobody is asked."""
    deps = contexts[0].deps
    tables = TABLES if deps.verifier is None else (*TABLES, "answers")
    found = await asyncio.to_thread(read_companies, contexts, tables)
    limit = asyncio.Semaphore(CONCURRENT)
    begun = await _each(_begin(ctx, found.get((ctx.tenant, ctx.subject.id)), limit) for ctx in contexts)
    cases = [case for case in begun if isinstance(case, _Case)]
    await search_patterns([case.quest for case in cases if case.quest is not None], deps)
    ended = iter(await _each(_finish(case, limit) for case in cases))
    return [next(ended) if isinstance(case, _Case) else case for case in begun]


async def _each(work: Iterable[Coroutine[Any, Any, _T]]) -> list[_T | BaseException]:
    """What each company comes to, or what it raised: one company's trouble is not the batch's."""
    return await asyncio.gather(*work, return_exceptions=True)


def latest_verification(person: Row, verifications: Sequence[Row]) -> str | None:
    """What the most recent verification says of the person's present address, or what the file said of it, or None.

    The rows stand in the order in which they were written, which decides between equal times.
    """
    address = address_of(person)
    own = [
        row
        for row in verifications
        if row["person_unique_id"] == person["unique_id"] and str(row["email"]).casefold() == address.casefold()
    ]
    if not address:
        return None
    if not own:
        return said_by_file(person) or None
    latest = max(enumerate(own), key=lambda each: (each[1]["verified_at"] is not None, each[1]["verified_at"], each[0]))
    return str(latest[1]["verification_status"])


# --- one company ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Case:
    """One company under way: its rows, and what was found so far."""

    ctx: Context
    rows: CompanyRows
    candidates: list[Row]
    pattern: Pattern | None
    quest: Quest | None = None
    site: str = ""
    asked: list[WaterfallResult] = field(default_factory=list)
    complete: int = 0
    derived: int = 0
    verified: int = 0


async def _begin(ctx: Context, rows: CompanyRows | None, limit: asyncio.Semaphore) -> _Case:
    """What is known of the company's domain and pattern; the search that is to be made when the pattern is not known."""
    if rows is None:
        raise Fatal(f"company {ctx.subject.id} does not exist")
    case = _Case(ctx, rows, candidates(rows.people), find_pattern(rows.people))
    await _enrich_site(case, limit)
    if case.pattern is None:
        case.quest = begin_quest(ctx, rows, case.candidates, case.site or str(rows.company["website"] or ""))
    return case


async def _finish(case: _Case, limit: asyncio.Semaphore) -> dict[str, Any]:
    ctx, rows = case.ctx, case.rows
    if case.quest is not None:
        case.pattern = case.quest.pattern
    if case.pattern is not None:
        found = {"pattern": case.pattern.name, "confidence": case.pattern.confidence}
        ctx.write(sql.SET_PATTERN, {"company": ctx.subject.id, **found})
    before = {row["person_unique_id"]: row for row in rows.enrichments}
    for person in case.candidates:
        _keep_verification(ctx, person, rows.verifications)
        await _enrich_person(case, person, before.get(person["unique_id"]), limit)
    if case.quest is not None:  # what was bought is put to use for everybody
        for person in rows.people:
            if person not in case.candidates and not address_of(person):
                _derive(case, person)
    return _result(case)


def candidates(people: Sequence[Row]) -> list[Row]:
    """The people whose title names a slot, in the order in which slots are enriched."""
    matched = [(match.slot, person) for person in people if (match := classify_title(person["title"])) is not None]
    return [person for slot in SLOTS for found, person in matched if found is slot]


async def _enrich_site(case: _Case, limit: asyncio.Semaphore) -> None:
    """Find the company's domain, looked up when the record does not say it; it stays empty when nobody knows."""
    ctx, company = case.ctx, case.rows.company
    if company["website"] and company["domain"]:
        case.complete, case.site = case.complete + 1, str(company["domain"])
        return
    entity = Entity(ctx.subject.id, "company", {name: company[name] for name in ("company_name", *COMPANY_WANTED)})
    found = await _ask(case, entity, COMPANY_WANTED, limit)
    site, domain = (found.enriched_data.get(name) or company[name] for name in COMPANY_WANTED)
    if found.enriched_data:
        ctx.write(sql.SET_SITE, {"company": ctx.subject.id, "site": site, "site_domain": domain})
    case.site = str(domain or "")


async def _enrich_person(case: _Case, person: Row, before: Row | None, limit: asyncio.Semaphore) -> None:
    address = address_of(person)
    if address:
        case.complete += 1
        if before is None or before["email"] != address or before["enrichment_status"] != "completed":
            _keep(case, person, {"email": address, "enrichment_source": "record"})
        return
    if _derive(case, person):
        return
    names = ("first_name", "last_name", "full_name", "title", "linkedin_url")
    known = {"domain": case.site, "company_name": case.rows.company["company_name"]}
    entity = Entity(person["unique_id"], "person", {**known, **{name: person[name] for name in names}})
    found = await _ask(case, entity, PERSON_WANTED, limit)
    if not case.ctx.dry_run:
        _keep_bought(case, person, found)


def _derive(case: _Case, person: Row) -> bool:
    """Give a person the address that follows from the company's pattern; False when none does, or it is known to be wrong."""
    pattern = case.pattern
    address = apply_pattern(pattern.name, [person["full_name"]], pattern.domain)[0] if pattern else None
    said = case.quest.known.get((person["unique_id"], address)) if case.quest and address else None
    if pattern is None or address is None or kept_status(said) == "invalid":
        return False
    origin = classify_email(said, pattern.confidence)
    _set_email(case.ctx, person, address, origin)
    case.verified += origin is EmailClass.VERIFIED
    case.derived += origin is not EmailClass.VERIFIED
    data = {"email_class": origin.value, "pattern": pattern.name, "pattern_confidence": pattern.confidence}
    _keep(case, person, {"email": address, "enrichment_source": "pattern", "enrichment_data": data})
    return True


def _keep_bought(case: _Case, person: Row, found: WaterfallResult) -> None:
    bought = found.enriched_data.get("email")
    concluded = found.enriched_data.get("email_confidence") == "derived"
    origin = EmailClass.LOW_CONFIDENCE if concluded else EmailClass.WATERFALL
    if bought:
        _set_email(case.ctx, person, str(bought), origin)
    data = {**found.enriched_data, "final_tier": found.final_tier, "manual_review": found.manual_review}
    if bought:
        data["email_class"] = origin.value
    values = {
        "email": bought,
        "enrichment_source": ", ".join(dict.fromkeys(found.sources.values())) or None,
        "enrichment_data": data,
        "cost": float(found.total_cost),
    }
    _keep(case, person, values)


async def _ask(case: _Case, entity: Entity, wanted: Sequence[str], limit: asyncio.Semaphore) -> WaterfallResult:
    ctx = case.ctx
    async with limit:
        found = await run_waterfall(entity, ctx.deps.tiers, wanted=wanted, dry_run=ctx.dry_run, clock=ctx.now)
    case.asked.append(found)
    return found


# --- rows -----------------------------------------------------------------------------------------------------------


def enrichment_id(person_id: str) -> str:
    """The id of a person's enrichment row: it follows from the person's, so that a second one replaces the first."""
    try:
        person = parse_id(person_id)
        return format_id(IdKind.ENRICHMENT, person.number, person.family)
    except InputError:
        return f"{person_id}.enrichment"


def _keep(case: _Case, person: Row, values: Mapping[str, Any]) -> None:
    ctx, now, found = case.ctx, case.ctx.now(), bool(values.get("email"))
    row = {
        "id": enrichment_id(person["unique_id"]),
        "tenant": ctx.tenant,
        "company_slot_unique_id": next(
            (s["company_slot_unique_id"] for s in case.rows.slots if s["person_unique_id"] == person["unique_id"]), None
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
    given = {"person": person["unique_id"], "address": address, "origin": origin.value}
    if origin is EmailClass.VERIFIED:
        ctx.write(sql.SET_PROVEN_EMAIL, {**given, "verified": True, "at": ctx.now()})
    else:
        ctx.write(sql.SET_EMAIL, given)


def _keep_verification(ctx: Context, person: Row, verifications: Sequence[Row]) -> None:
    """What the file's verifier said of the address, as a row beside those of other services."""
    said, address = said_by_file(person), address_of(person)
    if not said or not address:
        return
    status, own = kept_status(said), (person["unique_id"], address, IMPORTED)
    kept = {
        (row["person_unique_id"], row["email"], row["service"]): row["verification_status"] for row in verifications
    }
    if kept.get(own) != status:
        ctx.write(sql.SET_VERIFICATION, verification_row(ctx, person, address, said, IMPORTED))
    # An answer that has not changed is as old as it was, so that a later one of another service still counts.
    present = status if kept.get(own) != status else latest_verification(person, verifications)
    if bool(person["email_verified"]) != (present == "valid"):
        verified = {"person": person["unique_id"], "verified": present == "valid", "at": ctx.now()}
        ctx.write(sql.SET_VERIFIED, verified)


def _result(case: _Case) -> dict[str, Any]:
    ctx, pattern, quest = case.ctx, case.pattern, case.quest
    summary = cost_summary(case.asked, verifications=quest.bought if quest else 0, price=ctx.deps.verifier_terms.price)
    review = [each.entity_id for each in case.asked if each.manual_review]
    statistics = {
        **summary,
        "already_complete": case.complete,
        "derived_by_pattern": case.derived,
        "verified_by_search": case.verified,
        "failed_verifications": len(quest.asked) - quest.bought if quest else 0,
    }
    said = {"company_unique_id": ctx.subject.id, "total_cost": summary["total_cost"], "manual_review": review}
    add_event(ctx, "enrichment_complete", said)
    return {
        "company_unique_id": ctx.subject.id,
        "company_name": case.rows.company["company_name"],
        "email_pattern": pattern.name if pattern else None,
        "pattern_confidence": pattern.confidence if pattern else None,
        "pattern_search": quest.to_result() if quest else None,
        "statistics": statistics,
        "entities": [each.to_result() for each in case.asked],
        "manual_review": review,
    }
