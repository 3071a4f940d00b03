"""The pattern of a company's addresses: read off verified ones, remembered from answers that were bought, or searched for.

The search goes round the companies of a batch: each has one guess asked about at a time, so that none is bought after the
pattern is found. Every answer is kept before the next question about the company, whatever becomes of the phase.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from phasegate import Context
from phasegate.apps.outreach import statements as sql
from phasegate.apps.outreach.dependencies import Dependencies
from phasegate.apps.outreach.enrichment import VerifierAnswer, ask_verifier, kept_status
from phasegate.apps.outreach.phases.batch import CompanyRows, Row
from phasegate.apps.outreach.rules.domains import is_free_mail, mail_domain, site_domain
from phasegate.apps.outreach.rules.emails import (
    CATCH_ALL,
    CATCH_ALL_CONFIDENCE,
    CONFIRMED,
    PATTERNS,
    VERIFIED_CONFIDENCE,
    Guess,
    PatternSearch,
    infer_pattern,
    next_round,
    start_search,
)
from phasegate.apps.outreach.rules.titles import SLOTS, classify_title

_ORDER = {pattern.name: place for place, pattern in enumerate(PATTERNS)}


@dataclass(frozen=True, slots=True)
class Pattern:
    """How a company writes its addresses, and at which domain."""

    name: str
    domain: str
    confidence: float


def address_of(person: Row) -> str:
    """The person's present address; empty without one."""
    return str(person["email"] or "").strip()


def said_by_file(person: Row) -> str:
    """What the file's verifier said of the file's own address; of one that was found later it said nothing."""
    given = person.get("email_class") in (None, "given")
    return str(person["email_verification"] or "").strip() if given else ""


def find_pattern(people: Sequence[Row]) -> Pattern | None:
    """The pattern most verified addresses were made by, with their domain; from catch-all ones only for want of better."""
    for words, confidence in ((CONFIRMED, VERIFIED_CONFIDENCE), (CATCH_ALL, CATCH_ALL_CONFIDENCE)):
        proven = [person for person in people if said_by_file(person).casefold() in words]
        made = Counter(
            (pattern, domain)
            for person in proven
            if (pattern := infer_pattern(person["email"], person["full_name"]))
            and (domain := mail_domain(person["email"]))
        )
        if made:
            # The most frequent; among equals the generally more likely, then by name, never by the order of rows.
            (name, domain), _ = min(made.items(), key=lambda each: (-each[1], _ORDER[each[0][0]], each[0][1]))
            return Pattern(name, domain, confidence)
    return None


@dataclass(slots=True)
class Quest:
    """The search for the pattern of one company by the addresses of one of its people."""

    ctx: Context
    person: Row
    domain: str
    search: PatternSearch
    #: Person and address -> what a verifier said of it, now or in an earlier run.
    known: dict[tuple[str, str], str]
    asked: list[VerifierAnswer] = field(default_factory=list)

    @property
    def open(self) -> bool:
        """Whether there is something to ask, and somebody who still wants to know."""
        return self.search.next_guess is not None and not self.ctx.cancelled

    @property
    def pattern(self) -> Pattern | None:
        """What was found."""
        return Pattern(self.search.pattern, self.domain, self.search.confidence) if self.search.pattern else None

    @property
    def bought(self) -> int:
        """How many answers were bought in this run."""
        return sum(answer.bought for answer in self.asked)

    def take(self, answer: VerifierAnswer) -> None:
        """Go on with the answer to the next guess."""
        self.asked.append(answer)
        if answer.bought:
            self.known[self.person["unique_id"], answer.address] = answer.status
        self.search = self.search.answered(answer.status).knowing(_by_address(self.known))

    def to_result(self) -> dict[str, Any]:
        """``person_unique_id, domain, pattern, confidence, derived, answers[{email, status, message}]``."""
        return {
            "person_unique_id": self.person["unique_id"],
            "domain": self.domain,
            "pattern": self.search.pattern,
            "confidence": self.search.confidence,
            "derived": self.search.derived,
            "answers": [answer.to_result() for answer in self.asked],
        }


def begin_quest(ctx: Context, rows: CompanyRows, candidates: Sequence[Row], site: str) -> Quest | None:
    """The search that an earlier run brought to an end, or one for the first of the candidates who has no address.

    None when there is nobody to ask, no domain of the company's own, or nobody whose address could be guessed.
    """
    domain, verifier = site_domain(site), ctx.deps.verifier
    if verifier is None or domain is None or is_free_mail(domain):
        return None
    known = _known(rows.answers, verifier.name)

    def quest(person: Row) -> Quest:
        search = start_search(person["full_name"], domain).knowing(_by_address(known))
        return Quest(ctx, person, domain, search, known)

    asked_about = {person_id for person_id, _ in known}
    former = (quest(person) for person in rows.people if person["unique_id"] in asked_about)
    wanting = (quest(person) for person in candidates if not address_of(person))
    found = next((each for each in former if each.pattern), None)
    return found or next((each for each in wanting if each.search.guesses), None)


async def search_patterns(
    quests: Sequence[Quest], deps: Dependencies, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Ask the verifier until every search has ended; companies that lack a CEO's address come before others.

    Nobody is asked in a dry run, and nobody any more after so many questions without an answer as the terms allow.
    """
    if deps.verifier is None:
        return
    terms, asked, failures = deps.verifier_terms, 0, 0
    waiting = sorted((quest for quest in quests if not quest.ctx.dry_run), key=_priority)
    while (waiting := [quest for quest in waiting if quest.open]) and failures < terms.most_failures:
        if asked == terms.size:
            await sleep(terms.pause)
            asked = 0
            continue  # whoever was cancelled meanwhile is not asked about
        turn = next_round([quest.search for quest in waiting], min(terms.concurrent, terms.size - asked))
        answers = await _ask_all([(waiting[place], guess) for place, guess in turn], deps)
        asked += len(answers)
        failures = 0 if any(answer.bought for answer in answers) else failures + len(answers)


def verification_row(ctx: Context, person: Row, address: str, said: str, service: str) -> dict[str, Any]:
    """The row of ``email_verification`` for what a service said of a person's address."""
    return {
        "tenant": ctx.tenant,
        "enrichment_id": None,
        "person_unique_id": person["unique_id"],
        "email": address,
        "verification_status": kept_status(said),
        "service": service,
        "result": {"status": said},
        "verified_at": ctx.now(),
    }


async def _ask_all(turn: Sequence[tuple[Quest, Guess]], deps: Dependencies) -> list[VerifierAnswer]:
    """Ask all of a round at the same time. When an answer cannot be kept, that is raised once the others are."""
    ended = await asyncio.gather(*(_ask(quest, guess, deps) for quest, guess in turn), return_exceptions=True)
    for each in ended:
        if isinstance(each, BaseException):
            raise each
    return [each for each in ended if isinstance(each, VerifierAnswer)]


async def _ask(quest: Quest, guess: Guess, deps: Dependencies) -> VerifierAnswer:
    assert deps.verifier is not None
    answer = await ask_verifier(deps.verifier, guess.address, deps.verifier_terms.timeout_seconds)
    if answer.bought:
        row = verification_row(quest.ctx, quest.person, guess.address, answer.status, deps.verifier.name)
        if deps.commit is None:
            quest.ctx.write(sql.SET_VERIFICATION, row)
        else:
            await asyncio.to_thread(deps.commit, [(sql.SET_VERIFICATION, row)])
    quest.take(answer)
    return answer


def _known(rows: Sequence[Row], own: str) -> dict[tuple[str, str], str]:
    """The answers that need not be bought again. One that settles nothing is final only for who gave it."""
    final = {"valid", "invalid", "risky"}
    return {
        (row["person_unique_id"], str(row["email"]).casefold()): _word(row)
        for row in rows
        if row["verification_status"] in final or (row["service"] == own and row["verification_status"] != "pending")
    }


def _word(row: Row) -> str:
    """The verifier's own word, where it is kept and still true: ``risky`` may stand for a catch-all domain."""
    told, status = row["result"], str(row["verification_status"])
    said = told.get("status") if isinstance(told, Mapping) else None
    return said if isinstance(said, str) and kept_status(said) == status else status


def _by_address(known: Mapping[tuple[str, str], str]) -> dict[str, str]:
    return {address: said for (_, address), said in known.items()}


def _priority(quest: Quest) -> int:
    match = classify_title(quest.person["title"])
    return SLOTS.index(match.slot) if match else len(SLOTS)
