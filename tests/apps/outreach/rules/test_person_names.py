from __future__ import annotations

import pytest
from hypothesis import given

from phasegate.apps.outreach.rules.person_names import PersonName, parse_person_name
from tests.apps.outreach.rules.damage import values


@pytest.mark.parametrize(
    ("full_name", "first", "last"),
    [
        ("Jo Garrick", "jo", "garrick"),
        ("  JO   GARRICK ", "jo", "garrick"),
        ("Garrick, Jo", "jo", "garrick"),
        ("Garrick, Jo Ann", "jo", "garrick"),
        ("van der Berg, Jo", "jo", "vanderberg"),
        ("Jo van der Berg", "jo", "vanderberg"),
        ("Jo Ann Garrick", "jo", "garrick"),
        ("Zo\u00eb D'Ambrose", "zoe", "dambrose"),
        ("S\u00f8ren Mac-Ivor", "soren", "macivor"),
        ("\u00c1mbar O\u2019Farrow", "ambar", "ofarrow"),
        ("Nguy\u1ec7t Stra\u00dfer", "nguyet", "strasser"),
        ("\u0141ukasz \u00c6gir", "lukasz", "aegir"),
        ("Dr. Jo Garrick Jr.", "jo", "garrick"),
        ("Jo Garrick, PhD", "jo", "garrick"),
        ("Garrick, Jo, M.D.", "jo", "garrick"),
        ("Mrs. Jo Garrick III, MBA, CPA", "jo", "garrick"),
        ("Greer", "greer", "greer"),
        ("Dr. Greer", "greer", "greer"),
        ("Van Garrick", "van", "garrick"),
    ],
)
def test_a_name_is_first_and_last_in_plain_letters(full_name: str, first: str, last: str) -> None:
    assert parse_person_name(full_name) == PersonName(first, last)


@pytest.mark.parametrize("value", [None, "", "  ", "123", "\u674e\u660e", ",", "PhD, MD", 5])
def test_what_holds_no_name_gives_none(value: object) -> None:
    assert parse_person_name(value) is None


@given(values)
def test_a_name_is_never_empty(value: object) -> None:
    name = parse_person_name(value)
    assert name is None or (name.first.isalpha() and name.last.isalpha() and (name.first + name.last).isascii())
