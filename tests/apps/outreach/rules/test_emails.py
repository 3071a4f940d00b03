from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.outreach.rules.emails import (
    PATTERNS,
    EmailClass,
    PatternSearch,
    apply_pattern,
    classify_email,
    guess_addresses,
    infer_pattern,
    next_round,
    start_search,
)
from phasegate.apps.outreach.rules.person import is_email
from tests.apps.outreach.rules.damage import values

SITE = "https://www.acme.example/about"


def test_guesses_come_in_the_order_of_their_share() -> None:
    assert [(guess.pattern, guess.address) for guess in guess_addresses("Jo Garrick", SITE)] == [
        ("first.last", "jo.garrick@acme.example"),
        ("firstlast", "jogarrick@acme.example"),
        ("flast", "jgarrick@acme.example"),
        ("first", "jo@acme.example"),
        ("first_last", "jo_garrick@acme.example"),
        ("lastf", "garrickj@acme.example"),
        ("f.last", "j.garrick@acme.example"),
        ("last.first", "garrick.jo@acme.example"),
        ("lastfirst", "garrickjo@acme.example"),
        ("last", "garrick@acme.example"),
    ]
    assert [pattern.share for pattern in PATTERNS] == [0.35, 0.2, 0.15, 0.1, 0.08, 0.05, 0.04, 0.03, 0.0, 0.0]


def test_no_address_is_guessed_twice() -> None:
    addresses = [guess.address for guess in guess_addresses("Greer", SITE)]
    assert len(addresses) == len(set(addresses)) == 7


@pytest.mark.parametrize(
    ("name", "site"), [("", SITE), ("Jo Garrick", "http://localhost"), (None, None), ("\u674e", SITE)]
)
def test_without_a_name_or_a_domain_there_is_nothing_to_guess(name: object, site: object) -> None:
    assert guess_addresses(name, site) == ()
    assert start_search(name, site).next_guess is None


@pytest.mark.parametrize("answer", ["ok", "valid", "deliverable", "VALID"])
def test_no_guess_is_given_out_after_the_pattern_is_found(answer: str) -> None:
    search = start_search("Jo Garrick", SITE).answered("invalid").answered(answer)
    assert (search.pattern, search.confidence, search.derived, search.asked) == ("firstlast", 0.95, False, 2)
    assert search.next_guess is None
    assert next_round([search]) == ()
    assert search.answered("valid") == search


@pytest.mark.parametrize("answer", ["invalid", "unknown", "risky", None, "", 5])
def test_any_other_answer_leads_to_the_next_guess(answer: object) -> None:
    search = start_search("Jo Garrick", SITE).answered(answer)
    assert search.pattern is None
    assert search.next_guess is not None
    assert search.next_guess.pattern == "firstlast"


@pytest.mark.parametrize("answer", ["catch-all", "catch_all", "accept_all"])
def test_a_catch_all_domain_is_derived_and_never_verified(answer: str) -> None:
    search = start_search("Jo Garrick", SITE).answered("invalid").answered(answer)
    assert (search.pattern, search.confidence, search.derived) == ("first.last", 0.75, True)
    assert search.next_guess is None
    assert classify_email(answer, search.confidence) is EmailClass.DERIVED


def test_known_answers_are_not_asked_for_again() -> None:
    search = start_search("Jo Garrick", SITE)
    first, second, _, fourth, *_ = (guess.address for guess in search.guesses)
    assert search.knowing({}) == search
    known = search.knowing({first: "invalid", second: "unknown", fourth: "invalid"})
    assert (known.asked, known.next_guess) == (2, search.guesses[2])
    assert known.answered("invalid").knowing({fourth: "invalid"}).next_guess == search.guesses[4]


@pytest.mark.parametrize(("said", "pattern"), [("Valid", "flast"), ("catch-all", "first.last")])
def test_a_known_answer_settles_the_pattern_although_others_are_open(said: str, pattern: str) -> None:
    search = start_search("Jo Garrick", SITE)
    known = search.knowing({search.guesses[2].address: said})
    assert (known.pattern, known.next_guess, known.asked) == (pattern, None, 3)


@given(st.dictionaries(st.integers(0, 9), st.sampled_from(["valid", "invalid", "catch-all", "unknown"])))
def test_what_is_known_is_never_the_next_guess(places: dict[int, str]) -> None:
    search = start_search("Jo Garrick", SITE)
    known = {search.guesses[place].address: answer for place, answer in places.items()}
    found = search.knowing(known)
    assert found.next_guess is None or found.next_guess.address not in known
    assert (found.pattern is not None) == bool({"valid", "catch-all"} & set(places.values()))


def test_a_search_ends_when_every_guess_was_wrong() -> None:
    search = start_search("Jo Garrick", SITE)
    for _ in PATTERNS:
        search = search.answered("invalid")
    assert (search.next_guess, search.pattern, search.asked) == (None, None, 10)


def test_a_round_asks_one_guess_per_company_and_those_behind_first() -> None:
    fresh, once = start_search("Jo Garrick", SITE), start_search("Lane Yarrow", "beta.example").answered("invalid")
    searches = [once, fresh, PatternSearch(()), fresh]
    assert [(position, guess.pattern) for position, guess in next_round(searches)] == [
        (1, "first.last"),
        (3, "first.last"),
        (0, "firstlast"),
    ]
    assert [position for position, _ in next_round(searches, limit=2)] == [1, 3]


def test_the_pattern_of_a_verified_address_is_inferred() -> None:
    for guess in guess_addresses("D'Ambrose, Zo\u00eb", SITE):
        assert infer_pattern(guess.address.upper(), "Zo\u00eb D'Ambrose") == guess.pattern
    assert infer_pattern("boss@acme.example", "Jo Garrick") is None
    assert infer_pattern("jo", "Jo Garrick") is None
    assert infer_pattern("jo@acme.example", None) is None


def test_a_pattern_is_applied_to_everybody() -> None:
    names = ["Jo Garrick", "123", "S\u00f8ren Mac-Ivor"]
    assert apply_pattern("flast", names, SITE) == ("jgarrick@acme.example", None, "smacivor@acme.example")
    assert apply_pattern("initials", names, SITE) == (None, None, None)
    assert apply_pattern("flast", names, "localhost") == (None, None, None)


@pytest.mark.parametrize(
    ("status", "confidence", "expected"),
    [
        ("valid", None, "verified"),
        (None, 0.95, "derived"),
        (None, 0.7, "derived"),
        (None, 0.69, "low_confidence"),
        ("catch-all", 0.75, "derived"),
        ("catch-all", None, "waterfall"),
        (None, None, "waterfall"),
    ],
)
def test_an_address_is_classified_by_what_is_known(status: object, confidence: float | None, expected: str) -> None:
    assert classify_email(status, confidence).value == expected


@given(values, values)
def test_every_guess_is_an_address(name: object, site: object) -> None:
    assert all(is_email(guess.address) for guess in guess_addresses(name, site))


@given(st.lists(st.sampled_from(["valid", "invalid", "catch-all", "unknown"]), max_size=15))
def test_a_search_asks_each_guess_at_most_once_and_stops(answers: list[str]) -> None:
    search, bought = start_search("Jo Garrick", SITE), []
    for answer in answers:
        if search.next_guess is None:
            break
        bought.append(search.next_guess.address)
        search = search.answered(answer)
    assert len(bought) == len(set(bought)) == search.asked
    proven = next((at for at, answer in enumerate(answers) if answer in {"valid", "catch-all"}), None)
    if proven is not None and proven < 10:
        assert len(bought) == proven + 1
