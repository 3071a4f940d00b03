"""Mail addresses of a company by pattern: guesses in order of likelihood, bought one by one until one is proven.

Nothing here asks a verifier. The caller asks for the next guess, buys the answer and hands it back; after the pattern
is found no further guess is given out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from phasegate.apps.outreach.rules.domains import site_domain
from phasegate.apps.outreach.rules.fields import text
from phasegate.apps.outreach.rules.person_names import PersonName, parse_person_name

#: What the answers of a verifier are worth as confidence in a pattern.
VERIFIED_CONFIDENCE = 0.95
CATCH_ALL_CONFIDENCE = 0.75
#: A pattern below this confidence gives addresses of low confidence only.
LOWEST_CONFIDENCE = 0.7

#: The words by which verifiers confirm an address, and those by which they say that its domain accepts every address.
CONFIRMED = frozenset({"ok", "valid", "deliverable"})
CATCH_ALL = frozenset({"catch-all", "catch_all", "catchall", "accept_all"})


class EmailClass(StrEnum):
    """How far an address can be trusted; WATERFALL means that it must be bought from a provider."""

    VERIFIED = "verified"
    DERIVED = "derived"
    LOW_CONFIDENCE = "low_confidence"
    WATERFALL = "waterfall"


@dataclass(frozen=True, slots=True)
class EmailPattern:
    """One way of writing a local part, and the share of companies assumed to use it."""

    name: str
    share: float
    local_part: Callable[[PersonName], str]

    def address(self, person: PersonName, domain: str) -> str:
        """The address of a person at a domain."""
        return f"{self.local_part(person)}@{domain}"


#: The patterns, most frequent first; those without a known share come last.
PATTERNS: tuple[EmailPattern, ...] = (
    EmailPattern("first.last", 0.35, lambda name: f"{name.first}.{name.last}"),
    EmailPattern("firstlast", 0.20, lambda name: f"{name.first}{name.last}"),
    EmailPattern("flast", 0.15, lambda name: f"{name.first[0]}{name.last}"),
    EmailPattern("first", 0.10, lambda name: name.first),
    EmailPattern("first_last", 0.08, lambda name: f"{name.first}_{name.last}"),
    EmailPattern("lastf", 0.05, lambda name: f"{name.last}{name.first[0]}"),
    EmailPattern("f.last", 0.04, lambda name: f"{name.first[0]}.{name.last}"),
    EmailPattern("last.first", 0.03, lambda name: f"{name.last}.{name.first}"),
    EmailPattern("lastfirst", 0.0, lambda name: f"{name.last}{name.first}"),
    EmailPattern("last", 0.0, lambda name: name.last),
)

_BY_NAME = {pattern.name: pattern for pattern in PATTERNS}


@dataclass(frozen=True, slots=True)
class Guess:
    """One address to be verified, and the pattern it was made by."""

    address: str
    pattern: str


@dataclass(frozen=True, slots=True)
class PatternSearch:
    """The search for the pattern of one company; a new value after every answer.

    ``derived`` is True when the domain accepts every address: the pattern is then an assumption and never verified.
    """

    guesses: tuple[Guess, ...]
    asked: int = 0
    pattern: str | None = None
    confidence: float = 0.0
    derived: bool = False

    @property
    def next_guess(self) -> Guess | None:
        """The guess to buy next; None once the pattern is found or nothing is left."""
        return None if self.pattern or self.asked >= len(self.guesses) else self.guesses[self.asked]

    def answered(self, status: object) -> PatternSearch:
        """The search after the verifier's answer to the next guess; an answer to no open question changes nothing."""
        guess, answer = self.next_guess, text(status).casefold()
        if guess is None:
            return self
        if answer in CONFIRMED:
            return replace(self, asked=self.asked + 1, pattern=guess.pattern, confidence=VERIFIED_CONFIDENCE)
        if answer in CATCH_ALL:
            # Every further address would be accepted too, so the most likely pattern is all one can know.
            likely = self.guesses[0].pattern
            return replace(self, asked=self.asked + 1, pattern=likely, confidence=CATCH_ALL_CONFIDENCE, derived=True)
        return replace(self, asked=self.asked + 1)

    def knowing(self, answers: Mapping[str, str]) -> PatternSearch:
        """The search past the guesses whose answers, by address, are known already, so that none is bought twice.

        An answer that settles the pattern does so also when a guess before it has none.
        """
        settled = any(text(answers.get(guess.address)).casefold() in CONFIRMED | CATCH_ALL for guess in self.guesses)
        search = self
        while (guess := search.next_guess) is not None and (settled or guess.address in answers):
            search = search.answered(answers.get(guess.address))
        return search


def guess_addresses(full_name: object, website: object) -> tuple[Guess, ...]:
    """Every possible address of a person at a company's domain, most likely first, each address once."""
    name, domain = parse_person_name(full_name), site_domain(website)
    if name is None or domain is None:
        return ()
    made: dict[str, Guess] = {}
    for pattern in PATTERNS:
        address = pattern.address(name, domain)
        made.setdefault(address, Guess(address, pattern.name))
    return tuple(made.values())


def start_search(full_name: object, website: object) -> PatternSearch:
    """The search for a company's pattern by guessing the addresses of one of its people."""
    return PatternSearch(guess_addresses(full_name, website))


def next_round(searches: Sequence[PatternSearch], limit: int = 10) -> tuple[tuple[int, Guess], ...]:
    """The next guesses to buy: position of the search and guess, at most one per company and ``limit`` in all.

    One per company, because guesses bought together cannot be given back when the first of them is right. Companies
    with fewer questions asked come first, among equals in the given order.
    """
    open_searches = [(search.asked, position) for position, search in enumerate(searches) if search.next_guess]
    chosen = (position for _, position in sorted(open_searches)[:limit])
    return tuple((position, guess) for position in chosen if (guess := searches[position].next_guess) is not None)


def infer_pattern(address: object, full_name: object) -> str | None:
    """The pattern a verified address was made by, or None; when several fit, the most frequent."""
    local, at, _ = text(address).casefold().rpartition("@")
    name = parse_person_name(full_name)
    if not at or name is None:
        return None
    return next((pattern.name for pattern in PATTERNS if pattern.local_part(name) == local), None)


def apply_pattern(pattern: str, names: Iterable[object], website: object) -> tuple[str | None, ...]:
    """The addresses of all people of a company, position by position; None where name, domain or pattern is unusable."""
    made, domain = _BY_NAME.get(pattern), site_domain(website)
    parsed = (parse_person_name(name) for name in names)
    return tuple(made.address(name, domain) if made and domain and name else None for name in parsed)


def classify_email(status: object, pattern_confidence: float | None) -> EmailClass:
    """The class of one address: verified only when the verifier confirmed this very address.

    Otherwise derived from a pattern of confidence 0.7 or more, of low confidence below that, and waterfall without one.
    """
    if text(status).casefold() in CONFIRMED:
        return EmailClass.VERIFIED
    if pattern_confidence is None:
        return EmailClass.WATERFALL
    return EmailClass.DERIVED if pattern_confidence >= LOWEST_CONFIDENCE else EmailClass.LOW_CONFIDENCE
