from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.outreach.rules.titles import SLOTS, TABLE, Slot, classify_title, parse_slot, title_fits, title_match
from tests.apps.outreach.rules.damage import values

PEOPLE = Path(__file__).parents[4] / "examples" / "data" / "people.csv"

IN_THE_DATA = {
    "Assistant to the CEO": None,
    "CEO": Slot.CEO,
    "CFO": Slot.CFO,
    "CHRO": Slot.HR,
    "Chief Executive Officer": Slot.CEO,
    "Chief Financial Officer": Slot.CFO,
    "Chief People Officer": Slot.HR,
    "Chromatography Specialist": None,
    "Controller": Slot.CFO,
    "Director of Finance": Slot.CFO,
    "Director, People Operations": Slot.HR,
    "Former CFO": None,
    "Founder and CEO": Slot.CEO,
    "HR Director": Slot.HR,
    "Head of Talent": Slot.HR,
    "Managing Director": Slot.CEO,
    "Owner": Slot.CEO,
    "President & CEO": Slot.CEO,
    "Salespeople Coach": None,
    "Software Engineer": None,
    "Throughput Lead": None,
    "Treasurer": Slot.CFO,
    "VP of Finance": Slot.CFO,
    "VP, Human Resources": Slot.HR,
    "Vice President, Sales": None,
}

ELSEWHERE = {
    "President": Slot.CEO,
    "Vice President": None,
    "Vice-President": None,
    "Vice President of Finance": Slot.CFO,
    "Vice President of Human Resources": Slot.HR,
    "Executive Vice President & CFO": Slot.CFO,
    "Vice Chairman and Chief Executive Officer": Slot.CEO,
    "SVP, Corporate Finance": Slot.CFO,
    "V.P. Finance": Slot.CFO,
    "C.E.O.": Slot.CEO,
    "ceo": Slot.CEO,
    "Co-Founder & CEO": Slot.CEO,
    "Business Owner": Slot.CEO,
    "Product Owner": None,
    "General Manager": Slot.CEO,
    "General Sales Manager": None,
    "Vice President & General Manager, Widgets": None,
    "Principal": Slot.CEO,
    "Principal & Founder": Slot.CEO,
    "Principal Engineer": None,
    "Vice Principal": None,
    "Vice CEO": None,
    "ex-CEO": None,
    "Ex CFO": None,
    "Past President": None,
    "CEO Emeritus": None,
    "Deputy CFO": None,
    "Deputy CEO": None,
    "Assistant Controller": None,
    "Executive Assistant to the President & CEO": None,
    "Advisor to the CEO": None,
    "Office of the CEO": None,
    "CEO's Office Manager": None,
    "CEO\u2019s Chief of Staff": None,
    "Chief of Staff, Executive Office": None,
    "Former President and CEO": None,
    "Former CFO, now CEO": Slot.CEO,
    "CEO (former CFO)": Slot.CEO,
    "CEO; Assistant: Jo": Slot.CEO,
    "HR": Slot.HR,
    "HR-Director": Slot.HR,
    "Human Resource Manager": Slot.HR,
    "Chief Human Resources Officer": Slot.HR,
    "Talent Acquisition Lead": Slot.HR,
    "Recruiting Manager": Slot.HR,
    "Benefits Analyst": Slot.HR,
    "Comptroller": Slot.CFO,
    "": None,
    "of the": None,
}


@pytest.mark.parametrize(("title", "slot"), (IN_THE_DATA | ELSEWHERE).items())
def test_a_title_belongs_to_its_slot(title: str, slot: Slot | None) -> None:
    match = classify_title(title)
    assert (match.slot if match else None) is slot


def test_every_title_of_the_example_data_is_classified_as_expected() -> None:
    with PEOPLE.open(encoding="utf-8", newline="") as file:
        titles = {row["title"] for row in csv.DictReader(file)}
    assert titles == set(IN_THE_DATA)


@pytest.mark.parametrize(
    ("title", "pattern", "confidence"),
    [
        ("CEO", "ceo", 1.0),
        ("Chief Executive Officer", "chief executive", 0.9),
        ("President", "president", 0.8),
        ("Owner", "owner", 0.7),
        ("Founder", "founder", 0.6),
        ("Managing Director", "managing director", 0.5),
        ("Principal", "principal", 0.5),
        ("Chief People Officer", "chief people", 0.9),
        ("VP of Finance", "vp finance", 0.5),
    ],
)
def test_confidence_falls_by_a_tenth_per_position_to_one_half(title: str, pattern: str, confidence: float) -> None:
    match = classify_title(title)
    assert match is not None
    assert (match.pattern, match.confidence) == (pattern, confidence)


def test_an_office_outweighs_a_role_and_a_rank_is_outweighed_by_a_function() -> None:
    found = {title: classify_title(title) for title in ("Founder and CFO", "Managing Director, Human Resources")}
    assert {title: match and match.slot for title, match in found.items()} == {
        "Founder and CFO": Slot.CFO,
        "Managing Director, Human Resources": Slot.HR,
    }


def test_a_title_of_two_offices_fits_both_slots_and_no_third() -> None:
    assert [title_fits("President & CFO", slot) for slot in SLOTS] == [True, True, False]
    assert title_match("President & CFO", Slot.HR) is None


@pytest.mark.parametrize("slot", SLOTS)
def test_every_pattern_of_the_table_alone_fits_its_slot(slot: Slot) -> None:
    assert [pattern.text for pattern in TABLE[slot] if not title_fits(pattern.text, slot)] == []


@given(st.sampled_from(sorted(IN_THE_DATA | ELSEWHERE)))
def test_case_blanks_and_trailing_punctuation_do_not_matter(title: str) -> None:
    expected = classify_title(title)
    assert classify_title(f"  {title.upper()} ") == expected
    assert classify_title(title.lower() + ",") == expected


@given(values)
def test_any_value_may_be_classified(value: object) -> None:
    match = classify_title(value)
    assert match is None or 0.5 <= match.confidence <= 1.0


@given(st.from_regex(r"[a-z]{1,5}hr[a-z]{1,5}", fullmatch=True))
def test_letters_inside_a_word_are_no_slot(word: str) -> None:
    assert not title_fits(word, Slot.HR) or word in {"chro"}


@pytest.mark.parametrize(
    ("value", "slot"), [("CEO", Slot.CEO), (" cfo ", Slot.CFO), ("hr", Slot.HR), ("CTO", None), (3, None)]
)
def test_slot_types_are_read_in_any_case(value: object, slot: Slot | None) -> None:
    assert parse_slot(value) is slot
