from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from phasegate.apps.outreach.flow import build_registry
from phasegate.apps.outreach.revalidation import revalidate, revalidate_people
from phasegate.apps.outreach.routing import Delivery, DeliveryOutcome, Payload
from tests.apps.outreach.phase_cases import (
    add_companies,
    add_people,
    business_rows,
    opened,
    person,
    person_id,
    rows,
    staff,
)


class Tray:
    """A sink that takes everything but what names ``refused``."""

    def __init__(self, refused: str = "") -> None:
        self.taken: list[Payload] = []
        self.refused = refused

    def deliver(self, payloads: Sequence[Payload]) -> list[Delivery]:
        self.taken += [each for each in payloads if each.type != self.refused]
        return [
            Delivery(
                each.dedup_key,
                DeliveryOutcome.PERMANENT if each.type == self.refused else DeliveryOutcome.DELIVERED,
                "no" if each.type == self.refused else "",
            )
            for each in payloads
        ]


def test_pending_companies_and_people_of_a_state_are_validated_and_counted(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1, 2])
        add_companies(engine, [3], employee_count=3)
        add_companies(engine, [4], state="OH")
        add_people(engine, [*staff(1), person(4, 3, "Throughput Lead"), person(5, 4, "CEO")])
        report = revalidate(engine)
        assert report["companies"] == {"total": 3, "valid": 2, "invalid": 1, "routed_to_sheets": 0}
        assert report["people"] == {"total": 4, "valid": 3, "invalid": 1, "routed_to_sheets": 0}
        assert report["webhooks"] == {"success": 0, "failed": 0}
        assert report["pipeline_id"].startswith("RETRO-VAL-")
        assert revalidate(engine)["companies"]["total"] == 0
        assert {row["state"] for row in rows(engine, "company_master") if row["validation_status"] == "pending"} == {
            "OH"
        }


def test_a_limit_goes_on_where_the_last_call_ended(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1, 2, 3])
        seen = [revalidate(engine, limit=1)["companies"]["total"] for _ in range(4)]
        assert seen == [1, 1, 1, 0]


def test_a_dry_run_judges_everything_and_changes_no_row(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1])
        add_people(engine, [*staff(1), person(4, 1, "Clerk")])
        before = business_rows(engine)
        dry = revalidate(engine, dry_run=True)
        assert business_rows(engine) == before
        real = revalidate(engine)
        assert dry["dry_run"]
        assert (dry["companies"], dry["people"]) == (real["companies"], real["people"])


def test_people_without_a_company_are_validated_whatever_the_state(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1])
        add_people(engine, [*staff(1), person(4, "Nowhere", "CEO", email="a.b@nowhere.example")])
        report = revalidate_people(engine, "OH")
        assert (report["total"], report["invalid"]) == (1, 1)
        assert report["pipeline_id"].startswith("PEOPLE-VAL-")
        event = next(each for each in rows(engine, "pipeline_events") if each["event_type"] == "people_validation")
        told = json.loads(event["payload"])
        assert (told["record_id"], told["passed"]) == (person_id(4), False)
        assert told["reason"] == "company_unique_id: company does not exist"


def test_start_and_end_are_audited(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1])
        revalidate(engine)
        audits = [
            json.loads(each["event_data"])
            for each in rows(engine, "audit_log")
            if each["component"] == "retro_validator"
        ]
        assert [each["stage"] for each in audits] == ["start", "end"]


def test_the_report_is_saved_when_asked(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1])
        report = revalidate(engine, output=tmp_path / "logs")
        saved = list((tmp_path / "logs").iterdir())
        assert len(saved) == 1
        assert saved[0].name.startswith("retro_validation_report_")
        assert json.loads(saved[0].read_text()) == report
        revalidate(engine, output=tmp_path / "here.json")
        assert (tmp_path / "here.json").exists()


def test_what_is_invalid_is_delivered_when_there_is_a_sink(tmp_path: Path) -> None:
    tray = Tray(refused="company")
    with opened(tmp_path, registry=build_registry(sink=tray)) as engine:
        add_companies(engine, [1], employee_count=3)
        add_people(engine, [person(1, 1, "Clerk")])
        report = revalidate(engine)
        assert [each.type for each in tray.taken] == ["person"]
        assert report["webhooks"] == {"success": 1, "failed": 1}
        assert report["people"]["routed_to_sheets"] == 1
        assert report["companies"]["routed_to_sheets"] == 0


def test_a_broken_database_is_an_error_and_not_a_report(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1])
        engine.write([("ALTER TABLE company_master RENAME TO company_away", {})])
        with pytest.raises(Exception, match="company_master"):
            revalidate(engine)
