"""Phase 1.5 with a verifier: guessed, verified, and put to use for everybody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from phasegate import InputError
from phasegate.apps.outreach import open_engine
from phasegate.apps.outreach.enrichment import VerifierTerms
from phasegate.apps.outreach.flow import build_registry
from phasegate.apps.outreach.phases.enrichment import latest_verification
from phasegate.apps.outreach.phases.patterns import find_pattern
from phasegate.apps.outreach.statistics import enrichment_statistics
from tests.apps.outreach.demo_job import environment
from tests.apps.outreach.phase_cases import (
    all_rows,
    opened,
    person,
    person_id,
    rows,
    run,
)
from tests.apps.outreach.test_phases_enrichment import Counting
from tests.apps.outreach.verifier_cases import (
    GUESSES,
    Vendor,
    answers_of,
    asking,
    enriched,
    people_of,
    prepare,
    unknown,
)

ROOT = Path(__file__).parents[3]


def test_the_first_verified_pattern_wins_and_is_applied_to_everybody(tmp_path: Path) -> None:
    vendor = Vendor({GUESSES[1]: "valid"})
    with opened(tmp_path, registry=asking(vendor)) as engine:
        prepare(
            engine, unknown(1, 1, "CEO"), unknown(2, 1, "CFO"), unknown(3, 1, "Clerk"), unknown(4, 1, "HR Director")
        )
        result = enriched(engine)
        assert vendor.asked == GUESSES[:2]  # and nothing after the pattern was found
        assert people_of(engine) == {
            person_id(1): ("ellisjarrowb@fairview1.example", "verified", 1),
            person_id(2): ("ellisjarrowc@fairview1.example", "derived", 0),
            person_id(3): ("ellisjarrowd@fairview1.example", "derived", 0),
            person_id(4): ("ellisjarrowe@fairview1.example", "derived", 0),
        }
        assert answers_of(engine) == [
            (person_id(1), GUESSES[0], "invalid", "vendor"),
            (person_id(1), GUESSES[1], "valid", "vendor"),
        ]
        (company,) = rows(engine, "company_master", "email_pattern", "pattern_confidence")
        assert (company["email_pattern"], company["pattern_confidence"]) == ("firstlast", 0.95)
        assert (result["email_pattern"], result["pattern_confidence"]) == ("firstlast", 0.95)
        counts = result["statistics"]
        assert (counts["verified_by_search"], counts["derived_by_pattern"], counts["verifications"]) == (1, 3, 2)
        assert result["manual_review"] == []


def test_only_the_verified_address_passes_for_verified_later_on(tmp_path: Path) -> None:
    with opened(tmp_path, registry=asking(Vendor({GUESSES[0]: "valid"}))) as engine:
        # What the file says of an address that it does not have is said of no address.
        prepare(engine, unknown(1, 1, "CEO"), unknown(2, 1, "CFO", email_verification="valid"), unknown(3, 1, "CHRO"))
        enriched(engine)
        run(engine, "1.1", 1)
        ready = run(engine, "3", 1).results[0].output
        checks = {each["slot_type"]: each["checks"]["email_verified"] for each in ready["slot_results"]}
        assert checks == {"CEO": True, "CFO": False, "HR": False}
        gate = run(engine, "2.5", 1).results[0].output
        assert [each["email_verified"] for each in gate["slot_statuses"]] == [True, False, False]


def test_a_domain_that_accepts_everything_gives_a_derived_pattern(tmp_path: Path) -> None:
    vendor = Vendor({GUESSES[1]: "catch-all"})
    with opened(tmp_path, registry=asking(vendor)) as engine:
        prepare(engine, unknown(1, 1, "CEO"), unknown(2, 1, "CFO"))
        result = enriched(engine)
        assert vendor.asked == GUESSES[:2]
        assert (result["email_pattern"], result["pattern_confidence"]) == ("first.last", 0.75)
        assert result["pattern_search"]["derived"] is True
        # The CEO's own address of that pattern is known to be wrong, so that it is not given to them.
        assert people_of(engine) == {
            person_id(1): (None, None, 0),
            person_id(2): ("ellis.jarrowc@fairview1.example", "derived", 0),
        }
        assert [each[2] for each in answers_of(engine)] == ["invalid", "risky"]
        again = enriched(engine)
        assert vendor.asked == GUESSES[:2]
        assert (again["email_pattern"], again["pattern_confidence"]) == ("first.last", 0.75)


def test_a_catch_all_answer_to_the_first_guess_is_enough(tmp_path: Path) -> None:
    vendor = Vendor(otherwise="accept_all")
    with opened(tmp_path, registry=asking(vendor)) as engine:
        prepare(engine, unknown(1, 1, "CEO"))
        enriched(engine)
        assert vendor.asked == GUESSES[:1]
        assert people_of(engine) == {person_id(1): (GUESSES[0], "derived", 0)}


def test_what_costs_less_than_a_cent_is_counted(tmp_path: Path) -> None:
    terms = VerifierTerms(pause=0.0, planned_volume=60_000)
    with opened(tmp_path, registry=asking(Vendor(), terms, [Counting()])) as engine:
        prepare(engine, unknown(1, 1, "CEO"), unknown(2, 2, "CEO"))
        outputs = [each.output for each in run(engine, "1.5", 1, 2).results]
        assert [each["statistics"]["verification_cost"] for each in outputs] == [0.0297, 0.0297]
        counts = enrichment_statistics(outputs)
        assert (counts["verifications"], counts["verification_cost"], counts["total_cost"]) == (20, 0.0594, 0.4594)
        assert counts["average_cost"] == pytest.approx(0.2)  # of what the providers were asked


def test_a_verifier_that_fails_or_is_silent_leaves_its_guess_unknown(tmp_path: Path) -> None:
    vendor = Vendor({GUESSES[0]: OSError("no route"), GUESSES[1]: None, GUESSES[2]: "valid"})
    terms = VerifierTerms(pause=0.0, timeout_seconds=0.01)
    with opened(tmp_path, registry=asking(vendor, terms)) as engine:
        prepare(engine, unknown(1, 1, "CEO"))
        result = enriched(engine)
        assert result["pattern_search"]["answers"] == [
            {"email": GUESSES[0], "status": "unknown", "message": "OSError: no route"},
            {"email": GUESSES[1], "status": "unknown", "message": "no answer within 0.01 seconds"},
            {"email": GUESSES[2], "status": "valid", "message": None},
        ]
        counts = result["statistics"]
        assert (counts["verifications"], counts["failed_verifications"], counts["verified_by_search"]) == (1, 2, 1)
        assert [each[1:3] for each in answers_of(engine)] == [(GUESSES[2], "valid")]
        enriched(engine)
        assert len(vendor.asked) == 3  # the pattern is known, although two guesses before it are open


def test_a_dry_run_asks_no_verifier(tmp_path: Path) -> None:
    vendor = Vendor(otherwise="valid")
    with opened(tmp_path, registry=asking(vendor)) as engine:
        prepare(engine, unknown(1, 1, "CEO"))
        before = all_rows(engine)
        result = enriched(engine, dry_run=True)
        assert (vendor.asked, all_rows(engine)) == ([], before)
        assert (result["email_pattern"], result["statistics"]["verifications"]) == (None, 0)
        enriched(engine)
        assert vendor.asked == GUESSES[:1]


@pytest.mark.parametrize(
    ("people", "company"),
    [
        ([person(1, 1, "CEO"), unknown(2, 1, "CFO")], {}),  # the pattern follows from the CEO's verified address
        ([person(1, 1, "CEO", email_verification="unknown")], {}),  # nobody lacks an address
        ([unknown(1, 1, "Clerk")], {}),
        ([unknown(1, 1, "CEO", full_name="\u738b \u4f1f")], {}),
        ([unknown(1, 1, "CEO")], {"website": None, "domain": None}),
        # An address there may exist, but it would be a stranger's.
        ([unknown(1, 1, "CEO")], {"website": "https://gmail.com/fairview", "domain": "gmail.com"}),
    ],
)
def test_nobody_is_asked_without_need_or_hope(
    tmp_path: Path, people: list[dict[str, Any]], company: dict[str, Any]
) -> None:
    vendor = Vendor(otherwise="valid")
    with opened(tmp_path, registry=asking(vendor)) as engine:
        prepare(engine, *people, **company)
        assert enriched(engine)["pattern_search"] is None
        assert vendor.asked == []


def test_an_address_that_came_meanwhile_is_kept_and_not_called_verified(tmp_path: Path) -> None:
    class Slow(Vendor):
        async def verify(self, address: str) -> str:
            changed = "UPDATE people_master SET email = 'own@fairview1.example', email_class = 'given'"
            engine.write([(changed, {})])
            return await super().verify(address)

    with opened(tmp_path, registry=asking(Slow(otherwise="valid"))) as engine:
        prepare(engine, unknown(1, 1, "CEO"))
        enriched(engine)
        assert people_of(engine) == {person_id(1): ("own@fairview1.example", "given", 0)}


def test_companies_take_turns_and_those_without_a_ceo_s_address_come_first(tmp_path: Path) -> None:
    vendor = Vendor({"ellisjarrowc@fairview2.example": "valid", "ellis.jarrowb@fairview1.example": "valid"})
    with opened(tmp_path, registry=asking(vendor, VerifierTerms(pause=0.0, concurrent=1))) as engine:
        prepare(engine, unknown(1, 1, "CFO"), unknown(2, 2, "CEO"))
        run(engine, "1.5", 1, 2)
        assert vendor.asked == [
            "ellis.jarrowc@fairview2.example",
            "ellis.jarrowb@fairview1.example",
            "ellisjarrowc@fairview2.example",
        ]


@pytest.mark.parametrize("name", ["", "import"])
def test_a_verifier_needs_a_name_of_its_own(name: str) -> None:
    vendor = Vendor()
    vendor.name = name
    with pytest.raises(InputError, match="give it another name"):
        build_registry(verifier=vendor)


@pytest.mark.parametrize("origin", ["derived", "verified", "low_confidence"])
def test_what_the_file_said_is_not_said_of_an_address_found_later(origin: str) -> None:
    found = person(1, 1, "CEO", email_class=origin)
    assert find_pattern([found]) is None
    assert latest_verification(found, []) is None


def test_the_page_s_example_works(tmp_path: Path) -> None:
    database = tmp_path / "outreach.db"
    with open_engine(database) as engine:
        prepare(engine, unknown(1, 1, "CEO"), unknown(2, 1, "CFO"))
    (tmp_path / "answers.csv").write_text(
        f"address,status\n{GUESSES[0]},invalid\n{GUESSES[1]},valid\n", encoding="utf-8"
    )
    page = (ROOT / "docs" / "howto" / "outreach.md").read_text(encoding="utf-8")
    (example,) = [block.partition("```")[0] for block in page.split("```python\n") if "KnownAnswers" in block]
    (tmp_path / "example.py").write_text(example, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "example.py"],
        cwd=tmp_path,
        env=environment(database),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "2 answers for 0.00594 dollars, 1 address verified, 1 derived\n"
    with open_engine(database) as engine:
        assert people_of(engine)[person_id(1)] == (GUESSES[1], "verified", 1)
