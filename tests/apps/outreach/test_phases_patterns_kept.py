"""What phase 1.5 bought of a verifier is kept: by runs that fail, by processes that are killed, and for whoever comes later."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from phasegate import PhaseStatus
from phasegate.apps.outreach import open_engine
from phasegate.apps.outreach.enrichment import Entity, ProviderResult
from tests.apps.outreach.demo_job import environment
from tests.apps.outreach.phase_cases import (
    add_people,
    company_id,
    opened,
    person_id,
    rows,
    run,
)
from tests.apps.outreach.test_phases_enrichment import Counting
from tests.apps.outreach.verifier_cases import (
    AT_ONCE,
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


def test_when_no_guess_is_right_the_providers_are_asked_and_nothing_is_bought_twice(tmp_path: Path) -> None:
    vendor, provider = Vendor(), Counting({})
    with opened(tmp_path, registry=asking(vendor, providers=[provider])) as engine:
        prepare(engine, unknown(1, 1, "CEO"))
        result = enriched(engine)
        assert vendor.asked == GUESSES
        assert provider.asked == [person_id(1)]
        assert (result["email_pattern"], result["manual_review"]) == (None, [person_id(1)])
        assert [each[2] for each in answers_of(engine)] == ["invalid"] * 10
        assert rows(engine, "company_master", "email_pattern")[0]["email_pattern"] is None
        again = enriched(engine)
        assert vendor.asked == GUESSES
        assert (again["statistics"]["verifications"], again["statistics"]["verification_cost"]) == (0, 0)


def test_what_was_not_answered_is_asked_again_and_what_was_is_not(tmp_path: Path) -> None:
    vendor = Vendor({GUESSES[2]: OSError("no route"), GUESSES[4]: "unknown"})
    with opened(tmp_path, registry=asking(vendor)) as engine:
        prepare(engine, unknown(1, 1, "CEO"))
        enriched(engine)
        vendor.asked.clear()
        vendor.answers[GUESSES[2]] = "valid"
        assert enriched(engine)["email_pattern"] == "flast"
        assert vendor.asked == [GUESSES[2]]


def test_a_bought_pattern_serves_whoever_comes_later(tmp_path: Path) -> None:
    vendor = Vendor({GUESSES[2]: "deliverable"})
    with opened(tmp_path, registry=asking(vendor)) as engine:
        prepare(engine, unknown(1, 1, "CEO"))
        enriched(engine)
        add_people(engine, [unknown(2, 1, "CFO")])
        enriched(engine)
        assert vendor.asked == GUESSES[:3]
        assert people_of(engine)[person_id(2)] == ("ejarrowc@fairview1.example", "derived", 0)
        assert people_of(engine)[person_id(1)] == (GUESSES[2], "verified", 1)


def test_an_answer_that_is_yet_to_come_is_asked_for_again(tmp_path: Path) -> None:
    vendor = Vendor({GUESSES[1]: "pending"})
    with opened(tmp_path, registry=asking(vendor)) as engine:
        prepare(engine, unknown(1, 1, "CEO"))
        enriched(engine)
        vendor.asked.clear()
        enriched(engine)
        assert vendor.asked == [GUESSES[1]]


def test_an_answer_that_somebody_corrected_counts_as_corrected(tmp_path: Path) -> None:
    vendor = Vendor({GUESSES[0]: "valid"})
    with opened(tmp_path, registry=asking(vendor)) as engine:
        prepare(engine, unknown(1, 1, "CEO"))
        enriched(engine)
        bounced = "UPDATE email_verification SET verification_status = 'invalid'"
        engine.write([(bounced, {}), ("UPDATE people_master SET email = NULL, email_class = NULL", {})])
        vendor.answers[GUESSES[1]] = "valid"
        assert enriched(engine)["email_pattern"] == "firstlast"
        assert vendor.asked == GUESSES[:2]


def test_another_verifier_is_asked_only_what_nobody_knows(tmp_path: Path) -> None:
    first, second = Vendor({GUESSES[1]: "unknown"}), Vendor({GUESSES[1]: "valid"})
    second.name = "other"
    with opened(tmp_path, registry=asking(first)) as engine:
        prepare(engine, unknown(1, 1, "CEO"))
        enriched(engine)
    with opened(tmp_path, registry=asking(second)) as engine:
        assert enriched(engine)["email_pattern"] == "firstlast"
        assert second.asked == [GUESSES[1]]


class Spoiling:
    """A provider whose first answer cannot be recorded, so that the attempt fails after everything was bought."""

    name, tier = "spoiling", 1

    def __init__(self) -> None:
        self.spoilt = False

    async def lookup(self, entity: Entity) -> ProviderResult:
        spoilt, self.spoilt = self.spoilt, True
        return ProviderResult({"email": "found@vendor.example"} | ({} if spoilt else {"note": object()}))


def test_a_phase_that_failed_after_the_search_buys_nothing_again(tmp_path: Path) -> None:
    vendor = Vendor()
    database = tmp_path / "outreach.db"
    with open_engine(database, providers=[Spoiling()], verifier=vendor, verifier_terms=AT_ONCE) as engine:
        prepare(engine, unknown(1, 1, "CEO"))
        assert run(engine, "1.5", 1).results[0].status is PhaseStatus.FAILED
        assert vendor.asked == GUESSES
        enriched(engine)
        assert vendor.asked == GUESSES


def test_a_process_killed_in_the_search_has_kept_what_it_bought(tmp_path: Path) -> None:
    database, ledger, lives = tmp_path / "outreach.db", tmp_path / "bought.json", 4
    with open_engine(database) as engine:
        prepare(engine, unknown(1, 1, "CEO"))
    command = [sys.executable, "-m", "tests.apps.outreach.verifier_cases"]
    killed = subprocess.run(
        [*command, str(database), str(ledger), str(lives), company_id(1)], cwd=ROOT, env=environment(), check=False
    )
    assert killed.returncode == -signal.SIGKILL
    bought = json.loads(ledger.read_text(encoding="utf-8"))
    assert bought == GUESSES[:lives]
    vendor = Vendor({GUESSES[5]: "valid"})
    with open_engine(database, providers=[], verifier=vendor, verifier_terms=AT_ONCE) as engine:
        assert enriched(engine)["email_pattern"] == "lastf"
        assert vendor.asked == GUESSES[lives:6]
        enriched(engine)
        assert vendor.asked == GUESSES[lives:6]
