from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from phasegate import Engine, Subject
from phasegate.apps.outreach.flow import build_registry
from phasegate.apps.outreach.phases.intake import slot_id
from phasegate.apps.outreach.rules.titles import Slot
from phasegate.apps.outreach.statistics import (
    Deliveries,
    Times,
    company_statistics,
    invalid_companies,
    invalid_people,
    people_statistics,
)
from tests.apps.outreach.phase_cases import (
    add_companies,
    add_people,
    company,
    company_id,
    opened,
    person,
    person_id,
    rows,
    run,
    staff,
)
from tests.apps.outreach.pipeline_cases import Clock


def output(engine: Engine, phase: str, number: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = run(engine, phase, number).results[0].output
    return found


# --- intake ---------------------------------------------------------------------------------------------------------


def test_intake_makes_a_company_with_three_empty_slots(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1, 2], source="list")
        made = rows(engine, "company_master")
        assert [each["company_name"] for each in made] == ["Fairview Works 1", "Fairview Works 2"]
        assert made[0]["name_key"] == "fairview works 1"
        assert made[0]["validation_status"] == "pending"
        assert made[0]["source_system"] == "list"
        slots = rows(engine, "company_slot")
        assert [each["slot_type"] for each in slots] == ["CEO", "CFO", "HR"] * 2
        assert len({each["company_slot_unique_id"] for each in slots}) == 6
        assert not any(each["is_filled"] for each in slots)


def test_slot_ids_follow_from_the_company_and_never_meet() -> None:
    ids = [slot_id(company_id(number), slot) for number in (1, 2, 999, 1000) for slot in Slot]
    assert len(set(ids)) == len(ids)
    assert ids[:3] == ["04.04.02.04.10000.001", "04.04.02.04.10000.002", "04.04.02.04.10000.003"]
    assert slot_id("acme", Slot.HR) == "acme.HR"


def test_a_run_without_a_record_of_a_company_that_does_not_exist_fails_at_once(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        started = engine.start("outreach", company(1), aim=["intake"])
        engine.drain()
        assert "started without a record" in (engine.get(started.id).reason or "")
        assert rows(engine, "company_master") == []


# --- companies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "field", "severity"),
    [
        ({"company_name": "AB"}, "company_name", "CRITICAL"),
        ({"employee_count": 50}, "employee_count", "ERROR"),
        ({"employee_count": None}, "employee_count", "ERROR"),
        ({"website": "www.x.example"}, "website", "ERROR"),
        ({"linkedin_url": "https://www.linkedin.com/in/somebody"}, "linkedin_url", "ERROR"),
    ],
)
def test_an_invalid_company_is_marked_reported_and_put_in_the_outbox(
    tmp_path: Path, fields: dict[str, Any], field: str, severity: str
) -> None:
    clock = Clock()
    with opened(tmp_path, clock) as engine:
        add_companies(engine, [1], **fields)
        result = output(engine, "1")
        assert (result["valid"], result["severity"], result["missing_fields"]) == (False, severity, [field])
        stored = rows(engine, "company_master")[0]
        assert stored["validation_status"] == "invalid"
        assert stored["validated_at"] == clock.now.isoformat(timespec="microseconds")
        kept = rows(engine, "failure_outbox")
        assert [each["sheet_tab"] for each in kept] == ["Invalid_Companies"]
        assert json.loads(kept[0]["payload"])["row_data"]["company_unique_id"] == company_id(1)
        assert [each["field"] for each in rows(engine, "pipeline_errors")] == [field]
        event = json.loads(rows(engine, "pipeline_events")[0]["payload"])
        assert (event["record_type"], event["passed"]) == ("company", False)


def test_a_company_that_was_mended_has_no_failures_left(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1], employee_count=51, website="fairview.example")
        assert not output(engine, "1")["valid"]
        engine.write([("UPDATE company_master SET website = 'https://fairview.example'", {})])
        assert output(engine, "1")["valid"]
        assert rows(engine, "pipeline_errors") == []
        assert rows(engine, "company_master")[0]["validation_status"] == "valid"


def test_the_statistics_of_companies(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock) as engine:
        add_companies(engine, [1, 2])
        add_companies(engine, [3], employee_count=12)
        outputs = [each.output for each in run(engine, "1", 1, 2, 3).results]
        counts = company_statistics(outputs, Times(clock.now, clock.now), Deliveries(success=1, failed=2))
        assert counts == {
            "total": 3,
            "valid": 2,
            "invalid": 1,
            "routed_to_sheets": 1,
            "webhook_success": 1,
            "webhook_failed": 2,
            "started_at": clock.now.isoformat(),
            "completed_at": clock.now.isoformat(),
            "duration_seconds": 0.0,
        }
        assert [each["company_name"] for each in invalid_companies(outputs)] == ["Fairview Works 3"]


# --- people ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"title": "Throughput Lead"}, "title_slot"),
        ({"title": "Assistant to the CEO"}, "title_slot"),
        ({"email": "nobody at home"}, "email_format"),
        ({"full_name": "Greer"}, "full_name_two_parts"),
    ],
)
def test_an_invalid_person_is_marked_and_put_in_the_outbox(tmp_path: Path, fields: dict[str, Any], rule: str) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1])
        add_people(engine, [person(1, 1, **{"title": "CEO", **fields})])
        run(engine, "1", 1)
        result = output(engine, "1.1")
        assert result["statistics"] == {"total": 1, "valid": 0, "invalid": 1, "failures": {rule: 1}}
        assert result["invalid_people"][0]["failures"][0]["rule"] == rule
        assert rows(engine, "people_master")[0]["validation_status"] == "invalid"
        assert json.loads(rows(engine, "failure_outbox")[0]["payload"])["state"] == "WV"
        assert not any(each["is_filled"] for each in rows(engine, "company_slot"))


def test_a_missing_time_is_a_warning_and_validation_never_fills_it_in(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1])
        add_people(engine, [person(1, 1, "Chief People Officer", updated_at=None)])
        run(engine, "1", 1)
        for _ in range(2):
            assert output(engine, "1.1")["statistics"]["valid"] == 1
        stored = rows(engine, "people_master")[0]
        assert stored["updated_at"] is None
        assert stored["validated_at"] is not None


def test_every_person_leaves_an_event_and_the_company_an_audit_entry(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1])
        add_people(engine, staff(1))
        run(engine, "1", 1)
        run(engine, "1.1", 1)
        events = [each for each in rows(engine, "pipeline_events") if each["event_type"] == "person_validation_check"]
        assert [json.loads(each["payload"])["person_id"] for each in events] == [person_id(n) for n in (1, 2, 3)]
        assert json.loads(events[0]["payload"])["phase_id"] == 1.1
        audits = [
            each["event_type"] for each in rows(engine, "audit_log") if each["component"] == "phase1b_people_validator"
        ]
        assert audits == ["validation_complete"]


def test_valid_people_fill_the_slots_once(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1])
        add_people(engine, [*staff(1), person(4, 1, "President")])
        run(engine, "1", 1)
        for expected in (["fill"] * 3, ["keep"] * 3):
            assert [each["action"] for each in output(engine, "1.1")["slots"]] == expected
        seats = {each["slot_type"]: each["person_unique_id"] for each in rows(engine, "company_slot")}
        assert seats == {"CEO": person_id(1), "CFO": person_id(2), "HR": person_id(3)}
        chairs = {each["unique_id"]: each["company_slot_unique_id"] for each in rows(engine, "people_master")}
        assert chairs[person_id(1)] == slot_id(company_id(1), Slot.CEO)
        assert chairs[person_id(4)] is None


def test_somebody_who_changes_office_changes_the_chair(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1])
        add_people(engine, [person(1, 1, "Head of People")])
        run(engine, "1", 1)
        run(engine, "1.1", 1)
        engine.write([("UPDATE people_master SET title = 'CEO'", {})])
        run(engine, "1.1", 1)
        seats = {each["slot_type"]: each["person_unique_id"] for each in rows(engine, "company_slot")}
        assert seats == {"CEO": person_id(1), "CFO": None, "HR": None}
        assert rows(engine, "people_master")[0]["company_slot_unique_id"] == slot_id(company_id(1), Slot.CEO)


def test_whoever_is_no_longer_valid_leaves_the_slot(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1])
        add_people(engine, staff(1))
        run(engine, "1", 1)
        run(engine, "1.1", 1)
        engine.write([("UPDATE people_master SET email = 'broken' WHERE unique_id = :id", {"id": person_id(2)})])
        actions = [each["action"] for each in output(engine, "1.1")["slots"]]
        assert actions == ["keep", "vacate", "keep"]
        seat = next(each for each in rows(engine, "company_slot") if each["slot_type"] == "CFO")
        assert (seat["is_filled"], seat["person_unique_id"]) == (0, None)


def test_the_statistics_of_people_are_those_of_the_rows(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock) as engine:
        add_companies(engine, [1, 2])
        add_people(engine, [*staff(1), person(4, 2, "Throughput Lead")])
        run(engine, "1", 1, 2)
        outputs = [each.output for each in run(engine, "1.1", 1, 2).results]
        counts = people_statistics(outputs, Times(clock.now, clock.now))
        assert (counts["total"], counts["valid"], counts["invalid"]) == (4, 3, 1)
        assert [each["person_id"] for each in invalid_people(outputs)] == [person_id(4)]
        assert people_statistics([], Times(clock.now, clock.now))["total"] == 0


# --- orphans --------------------------------------------------------------------------------------------------------


def test_people_of_an_unknown_company_are_judged_and_reported(tmp_path: Path) -> None:
    with opened(tmp_path, registry=build_registry()) as engine:
        add_companies(engine, [1])
        add_people(engine, [*staff(1), person(4, "Nowhere Limited", "CFO", email="a.b@nowhere.example")])
        report = engine.run_phase("outreach-orphans", "people_validation", [Subject("people", "orphans")])
        result = report.results[0].output
        assert result["statistics"]["total"] == 1
        assert result["statistics"]["failures"] == {"company_unique_id_known": 1}
        assert [each["person_id"] for each in result["invalid_people"]] == [person_id(4)]
        statuses = {each["unique_id"]: each["validation_status"] for each in rows(engine, "people_master")}
        assert statuses == {
            person_id(1): "pending",
            person_id(2): "pending",
            person_id(3): "pending",
            person_id(4): "invalid",
        }
        again = engine.run_phase("outreach-orphans", "people_validation", [Subject("people", "orphans")])
        assert again.results[0].output == result
        assert len(rows(engine, "failure_outbox")) == 1


def test_the_failures_of_one_record_do_not_touch_those_of_another(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1])
        add_people(engine, [person(1, 1, "CEO", email=None), person(2, 1, "CFO", linkedin_url=None)])
        run(engine, "1", 1)
        run(engine, "1.1", 1)
        engine.write([("UPDATE people_master SET email = 'a.b@x.example' WHERE unique_id = :id", {"id": person_id(1)})])
        run(engine, "1.1", 1)
        assert [(each["record_id"], each["rule"]) for each in rows(engine, "pipeline_errors")] == [
            (person_id(2), "linkedin_url_required")
        ]
