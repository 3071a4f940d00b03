from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from phasegate import Engine, PhaseStatus
from phasegate.apps.outreach import statements as sql
from phasegate.apps.outreach.flow import build_registry
from phasegate.apps.outreach.rules.promotion import Campaign, Campaigns
from phasegate.apps.outreach.single import judge_stored_readiness, read_company, slot_gates, stored_person
from phasegate.apps.outreach.statistics import (
    Times,
    gate_statistics,
    promotion_statistics,
    readiness_statistics,
    score_statistics,
    trigger_statistics,
)
from tests.apps.outreach.phase_cases import (
    add_companies,
    add_people,
    all_rows,
    company_id,
    opened,
    person_id,
    rows,
    run,
    staff,
    through,
)
from tests.apps.outreach.pipeline_cases import Clock


def ready_company(engine: Engine) -> None:
    """Company 1 with three people, evaluated as ready."""
    add_companies(engine, [1])
    add_people(engine, staff(1))
    for label in ("1", "1.1", "1.5", "3"):
        run(engine, label, 1)
    assert rows(engine, "company_master")[0]["outreach_ready"] == 1


def output(engine: Engine, phase: str) -> dict[str, Any]:
    found: dict[str, Any] = run(engine, phase, 1).results[0].output
    return found


def verify(engine: Engine, number: int, status: str, clock: Clock) -> None:
    stored = next(each for each in rows(engine, "people_master") if each["unique_id"] == person_id(number))
    values = {"tenant": "default", "enrichment_id": None, "person_unique_id": person_id(number), "email": stored["email"],
              "verification_status": status, "service": "bounce", "result": None, "verified_at": clock.now}  # fmt: skip
    engine.write([(sql.SET_VERIFICATION, values)])


# --- the gate -------------------------------------------------------------------------------------------------------


def test_the_gate_lets_three_filled_slots_pass(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        ready_company(engine)
        result = output(engine, "2.5")
        assert (result["status"], result["slots_filled"], result["next_action"]) == ("pass", 3, "proceed_to_outreach")
        ceo = result["slot_statuses"][0]
        assert (ceo["email_verified"], ceo["messaging_template"]) == (True, "ceo_cost_roi")
        assert ceo["last_enriched_at"] is not None


def test_the_gate_waits_and_its_statistics_count_those_who_wait(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        ready_company(engine)
        add_companies(engine, [2])
        for label in ("1", "1.1", "1.5"):
            run(engine, label, 2)
        report = run(engine, "2.5", 1, 2, wait=0)
        assert [each.status for each in report.results] == [PhaseStatus.SUCCEEDED, PhaseStatus.WAITING]
        assert report.results[1].reason == "waiting for CEO, CFO, HR (0 of 3 slots filled)"
        counts = gate_statistics(slot_gates(engine, [company_id(1), company_id(2)]))
        assert (counts["total_checked"], counts["passed"], counts["waiting"]) == (2, 1, 1)
        assert counts["slots_breakdown"] == {"0 of 3": 1, "1 of 3": 0, "2 of 3": 0, "3 of 3": 1}


# --- readiness ------------------------------------------------------------------------------------------------------


def test_readiness_is_given_and_counted(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock) as engine:
        ready_company(engine)
        add_companies(engine, [2], employee_count=3)
        for label in ("1", "1.1"):
            run(engine, label, 2)
        outputs = [each.output for each in run(engine, "3", 1, 2).results]
        counts = readiness_statistics(outputs, Times(clock.now, clock.now))
        assert counts == {
            "total_evaluated": 2,
            "outreach_ready": 1,
            "ready": 1,
            "not_ready": 1,
            "already_ready": 1,
            "invalid": 1,
            "failures": dict.fromkeys(
                ("slot_not_filled", "person_not_found", "enrichment_missing", "email_not_verified", "title_mismatch",
                 "wrong_company"), 0),
            "duration_seconds": 0.0,
            "timestamp": clock.now.isoformat(),
        }  # fmt: skip
        assert outputs[0]["passed_checks"] == 15


def test_readiness_is_taken_away_when_a_mail_turns_bad(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock) as engine:
        ready_company(engine)
        clock.advance(3600)
        verify(engine, 2, "invalid", clock)
        run(engine, "1.5", 1)  # what the file said long ago does not outweigh it
        result = output(engine, "3")
        assert (result["outreach_ready"], result["reason"]) == (False, "CFO email is not verified")
        assert rows(engine, "company_master")[0]["outreach_ready"] == 0
        revoked = [
            each for each in rows(engine, "pipeline_events") if each["event_type"] == "outreach_readiness_revoked"
        ]
        assert json.loads(revoked[0]["payload"])["reason"] == "CFO email is not verified"
        assert rows(engine, "people_master")[1]["email_verified"] == 0
        assert run(engine, "4", 1).results[0].status is PhaseStatus.SKIPPED


def test_readiness_of_a_stored_company_is_judged_without_recording(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        ready_company(engine)
        before = all_rows(engine)
        judged = judge_stored_readiness(engine, company_id(1))
        assert judged is not None
        assert judged["outreach_ready"]
        assert judge_stored_readiness(engine, company_id(2)) is None
        assert all_rows(engine) == before


# --- trigger, score, promotion --------------------------------------------------------------------------------------


def test_a_ready_company_triggers_scores_and_promotes_each_person_once(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock) as engine:
        ready_company(engine)
        triggers = trigger_statistics([output(engine, "4")])
        assert (triggers["total"], triggers["triggered"]) == (3, 3)
        assert triggers["signal_types"]["Executive Movement"] == 2
        scores = score_statistics([output(engine, "5")])
        assert (scores["total"], scores["hot"], scores["max_score"]) == (3, 3, 100)
        promoted = promotion_statistics([output(engine, "6")])
        assert promoted == {"total": 3, "promoted": 3, "skipped": 0, "campaigns": {"outreach-general": 3}}
        again = output(engine, "6")
        assert promotion_statistics([again])["promoted"] == 0
        assert "already in the outreach log" in again["people"][0]["reason"]
        assert len(rows(engine, "outreach_log")) == 3


def test_the_same_signal_on_the_same_day_is_one_event(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock) as engine:
        ready_company(engine)
        run(engine, "4", 1)
        run(engine, "4", 1)
        assert len(rows(engine, "bit_events")) == 3
        clock.advance(timedelta(days=1).total_seconds())
        run(engine, "4", 1)
        assert len(rows(engine, "bit_events")) == 6
        run(engine, "5", 1)
        assert all(each["processed"] for each in rows(engine, "bit_events"))
        assert len(rows(engine, "company_scores")) == 3


def test_an_old_validation_raises_no_signal_and_nobody_is_scored(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock) as engine:
        ready_company(engine)
        clock.advance(timedelta(days=91).total_seconds())
        assert trigger_statistics([output(engine, "4")])["triggered"] == 0
        assert score_statistics([output(engine, "5")])["total"] == 0
        assert promotion_statistics([output(engine, "6")])["total"] == 0


def test_the_campaign_of_the_state_is_promoted_to_on_a_working_day(tmp_path: Path) -> None:
    campaigns = Campaigns(by_state={"WV": Campaign("wv-1", "wv-1-a", "mountain")})
    with opened(tmp_path, registry=build_registry(campaigns=campaigns)) as engine:
        add_companies(engine, [1])
        add_people(engine, staff(1))
        through(engine, 1)
        log = rows(engine, "outreach_log")
        assert {each["campaign_id"] for each in log} == {"wv-1"}
        assert all(date.fromisoformat(each["send_date"]).weekday() < 5 for each in log)
        assert {each["action_type"] for each in log} == {"sdr_escalate"}


def test_a_company_that_is_not_ready_is_skipped_by_the_last_three_phases(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1])
        for label in ("1", "1.1", "3"):
            run(engine, label, 1)
        for label in ("4", "5", "6"):
            result = run(engine, label, 1).results[0]
            assert (result.status, result.reason) == (PhaseStatus.SKIPPED, "company is not outreach ready")
        assert trigger_statistics([None]) == trigger_statistics([])
        assert rows(engine, "bit_events") == []


def test_statistics_of_nothing_are_zero() -> None:
    assert trigger_statistics([])["total"] == 0
    assert score_statistics([])["avg_score"] == 0.0
    assert promotion_statistics([]) == {"total": 0, "promoted": 0, "skipped": 0, "campaigns": {}}


def test_a_stored_person_has_the_score_and_the_present_verification(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock) as engine:
        ready_company(engine)
        run(engine, "4", 1)
        run(engine, "5", 1)
        clock.advance(60)
        verify(engine, 1, "risky", clock)
        found = read_company(engine, company_id(1))
        assert found is not None
        one = stored_person(found, person_id(1))
        assert one is not None
        assert (one["bit_score"], one["email_verification"]) == (100, "risky")
        assert stored_person(found, person_id(9)) is None
        assert run(engine, "6", 1).results[0].output["people"][0]["reason"] == "email is not verified"
