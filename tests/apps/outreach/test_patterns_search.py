"""The search over many companies, without a database: turns, limits, pauses, outages."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.outreach.dependencies import Dependencies
from phasegate.apps.outreach.enrichment import VerifierTerms
from phasegate.apps.outreach.phases.patterns import Quest, search_patterns
from phasegate.apps.outreach.rules.emails import PATTERNS, guess_addresses, start_search
from tests.apps.outreach.verifier_cases import Vendor


@dataclass
class Desk:
    """As much of a context as the search looks at."""

    tenant: str = "default"
    dry_run: bool = False
    cancelled: bool = False
    written: list[Any] = field(default_factory=list)

    def now(self) -> datetime:
        return datetime(2026, 3, 1, tzinfo=UTC)

    def write(self, statement: Any, row: Any) -> None:
        self.written.append(row)


def quest(number: int, title: str = "CEO", desk: Desk | None = None) -> Quest:
    domain, name = f"company{number}.example", "Jo Garrick"
    row = {"unique_id": f"P{number}", "full_name": name, "title": title, "email": None}
    ctx: Any = desk or Desk()
    return Quest(ctx, row, domain, start_search(name, domain), {})


def guesses(number: int) -> list[str]:
    return [guess.address for guess in guess_addresses("Jo Garrick", f"company{number}.example")]


class Watching(Vendor):
    """Knows how many questions are under way, in all and about one domain; every answer takes a round of the loop."""

    def __init__(self, answers: Any) -> None:
        super().__init__(answers)
        self.under_way: Counter[str] = Counter()
        self.most, self.most_of_one = 0, 0

    async def verify(self, address: str) -> str:
        domain = address.partition("@")[2]
        self.under_way[domain] += 1
        self.most = max(self.most, self.under_way.total())
        self.most_of_one = max(self.most_of_one, self.under_way[domain])
        await asyncio.sleep(0)
        self.under_way[domain] -= 1
        return await super().verify(address)


class Pauses:
    """A sleep that takes no time and remembers after how many questions it was asked for."""

    def __init__(self, vendor: Vendor) -> None:
        self.vendor, self.after = vendor, list[tuple[int, float]]()

    async def __call__(self, seconds: float) -> None:
        self.after.append((len(self.vendor.asked), seconds))


def search(quests: list[Quest], vendor: Vendor | None, sleep: Any = None, **terms: Any) -> None:
    deps = Dependencies(verifier=vendor, verifier_terms=VerifierTerms(**{"pause": 0.0, **terms}))
    asyncio.run(search_patterns(quests, deps, *([sleep] if sleep else [])))


@given(
    right=st.lists(st.none() | st.integers(0, len(PATTERNS) - 1), max_size=25),
    concurrent=st.integers(1, 12),
    size=st.integers(1, 30),
)
def test_no_guess_is_bought_after_the_right_one(right: list[int | None], concurrent: int, size: int) -> None:
    answers = {guesses(number)[place]: "valid" for number, place in enumerate(right) if place is not None}
    vendor, quests = Watching(answers), [quest(number) for number in range(len(right))]
    search(quests, vendor, concurrent=concurrent, size=size)
    bought = Counter(vendor.asked)
    assert set(bought.values()) <= {1}
    for number, place in enumerate(right):
        wanted = guesses(number)[: len(PATTERNS) if place is None else place + 1]
        assert [each for each in vendor.asked if each in set(guesses(number))] == wanted
        found = quests[number].pattern
        assert (found.name if found else None) == (PATTERNS[place].name if place is not None else None)
        assert quests[number].bought == len(wanted) == len(quests[number].ctx.written)  # type: ignore[attr-defined]
    assert vendor.most <= min(concurrent, size)
    assert vendor.most_of_one <= 1


def test_companies_take_turns() -> None:
    vendor = Vendor({guesses(1)[1]: "valid"})
    search([quest(number) for number in range(3)], vendor)
    first_two = [address for place in range(2) for address in (guesses(n)[place] for n in range(3))]
    assert vendor.asked[:6] == first_two
    assert len(vendor.asked) == 10 + 2 + 10


def test_slots_decide_who_comes_first() -> None:
    vendor = Vendor(otherwise="valid")
    search([quest(0, "HR Director"), quest(1, "CFO"), quest(2), quest(3)], vendor, concurrent=1)
    assert vendor.asked == [guesses(number)[0] for number in (2, 3, 1, 0)]


def test_there_is_a_pause_after_every_hundred_and_none_at_the_end() -> None:
    vendor = Vendor()
    pauses = Pauses(vendor)
    search([quest(number) for number in range(25)], vendor, pauses, pause=1.0)
    assert len(vendor.asked) == 250
    assert pauses.after == [(100, 1.0), (200, 1.0)]
    even = Vendor()
    search([quest(number) for number in range(10)], even, pauses := Pauses(even), pause=1.0)
    assert (len(even.asked), pauses.after) == (100, [])


def test_when_nobody_answers_any_more_nobody_is_asked_any_more() -> None:
    vendor = Vendor(otherwise=OSError("down"))
    quests = [quest(number) for number in range(50)]
    search(quests, vendor, most_failures=15)
    assert len(vendor.asked) == 20
    assert sum(len(each.asked) for each in quests) == 20
    assert all(each.open for each in quests)  # and can be asked about another time


def test_single_failures_are_no_outage() -> None:
    down = {address: OSError("down") for number in range(3) for address in guesses(number)[::2]}
    vendor = Vendor(down)
    search([quest(number) for number in range(3)], vendor, most_failures=4)
    assert len(vendor.asked) == 30


def test_whoever_was_cancelled_is_not_asked_about() -> None:
    desk = Desk()

    class Cancelling(Vendor):
        async def verify(self, address: str) -> str:
            desk.cancelled = len(self.asked) >= 3
            return await super().verify(address)

    vendor = Cancelling()
    search([quest(0, desk=desk), quest(1)], vendor)
    assert [each for each in vendor.asked if each in set(guesses(0))] == guesses(0)[:2]
    assert len(vendor.asked) == 12


def test_nobody_is_asked_in_a_dry_run_or_without_a_verifier() -> None:
    vendor = Vendor()
    search([quest(0, desk=Desk(dry_run=True))], vendor)
    assert vendor.asked == []
    search(one := [quest(0)], None)
    assert one[0].asked == []


def test_an_answer_that_cannot_be_kept_is_raised_and_nothing_more_is_bought() -> None:
    vendor, kept = Vendor(), list[str]()

    def commit(writes: Any) -> None:
        kept.append(writes[0][1]["email"])
        if "company1." in kept[-1]:
            raise OSError("disk full")

    deps = Dependencies(verifier=vendor, verifier_terms=VerifierTerms(pause=0.0), commit=commit)
    with pytest.raises(OSError, match="disk full"):
        asyncio.run(search_patterns([quest(number) for number in range(3)], deps))
    assert sorted(kept) == sorted(vendor.asked) == sorted(guesses(number)[0] for number in range(3))
