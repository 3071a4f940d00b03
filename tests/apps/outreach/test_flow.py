from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from phasegate import Engine, NeedsNotMet, PhaseStatus, Registry, RunStatus, Subject
from phasegate.apps.outreach import reports
from phasegate.apps.outreach.flow import FLOWS, OUTREACH, build_registry
from phasegate.apps.outreach.importing import load
from phasegate.apps.outreach.statistics import Times, people_statistics, readiness_statistics
from tests.apps.outreach.phase_cases import (
    COMPANIES,
    PEOPLE,
    add_companies,
    add_people,
    all_rows,
    business_rows,
    company,
    current_phase,
    opened,
    person,
    phases_of,
    rows,
    run,
    staff,
    through,
)
from tests.apps.outreach.pipeline_cases import Clock

# --- the example files through the whole flow -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose database has seen both example files go through the whole flow."""
    path = tmp_path_factory.mktemp("finished")
    with opened(path) as engine:
        load(engine, companies=COMPANIES, people=PEOPLE, aim=None)
    return path


@pytest.fixture
def done(finished: Path, tmp_path: Path) -> Iterator[Engine]:
    """An engine on a copy of it."""
    shutil.copy(finished / "outreach.db", tmp_path / "outreach.db")
    with opened(tmp_path) as engine:
        yield engine


def test_the_example_companies_come_as_far_as_their_data_allows(done: Engine) -> None:
    statuses = [each.status for each in done.find("outreach", limit=None)]
    assert len(statuses) == 674
    assert set(statuses) == {RunStatus.SUCCEEDED, RunStatus.WAITING}
    by_phase = {float(row["current_phase"]): row["company_count"] for row in rows(done, "v_companies_by_phase")}
    assert by_phase == {1.5: 462, 3.0: 163, 6.0: 49}
    ready = {row["company_unique_id"] for row in rows(done, "company_master") if row["outreach_ready"]}
    promoted = {row["company_unique_id"] for row in rows(done, "outreach_log")}
    assert promoted == ready
    assert len(ready) == 49


def test_nothing_failed_and_every_attempt_was_closed(done: Engine) -> None:
    assert {row["status"] for row in rows(done, "phase_completion_log")} == {"complete", "skipped"}
    assert rows(done, "v_failed_phases") == []


def test_every_company_that_waits_says_for_whom(done: Engine) -> None:
    waiting = done.find("outreach", status=["waiting"], limit=None)
    reasons = {done.get(each.id).at("slot_gate").reason or "" for each in waiting[:40]}
    assert reasons
    assert all(reason.startswith("waiting for ") and reason.endswith("of 3 slots filled)") for reason in reasons)


def test_the_counts_of_people_add_up(done: Engine) -> None:
    statuses = {row["validation_status"]: row["n"] for row in done.read(
        "SELECT validation_status, count(*) AS n FROM people_master GROUP BY 1")}  # fmt: skip
    assert sum(statuses.values()) == 1935
    # Those whose company does not exist belong to no company, so that no company's phase has judged them.
    assert statuses["pending"] == 64 == len(done.read(reports.orphan_people()))


def test_running_every_phase_again_leaves_the_same_business_rows(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1, 2, 3])
        add_people(engine, [*staff(1), *staff(2, 4, email_verification=None), person(7, 3, "Treasurer", email=None)])
        through(engine, 1, 2, 3)
        through(engine, 1, 2, 3)  # the address that was derived for the treasurer is judged now
        first = business_rows(engine)
        attempts = all_rows(engine)["phase_completion_log"]
        through(engine, 1, 2, 3)
        run(engine, "intake", 1, 2, 3)
        assert business_rows(engine) == first
        assert all_rows(engine)["phase_completion_log"] > attempts


def test_validating_the_examples_again_and_again_finds_the_same_failures(done: Engine) -> None:
    subjects = [Subject("company", row["company_unique_id"]) for row in done.read(reports.select_companies(limit=60))]
    found = []
    for _ in range(3):
        done.run_phase("outreach", "company_validation", subjects)
        done.run_phase("outreach", "people_validation", subjects)
        broken = {(row["record_id"], row["rule"]) for row in rows(done, "pipeline_errors")}
        seats = {(row["company_slot_unique_id"], row["person_unique_id"]) for row in rows(done, "company_slot")}
        found.append((broken, seats, len(rows(done, "pipeline_errors")), len(rows(done, "failure_outbox"))))
    # The first time the addresses that enrichment has derived since are judged; after that nothing is new.
    assert found[1] == found[2]


# --- sequences ------------------------------------------------------------------------------------------------------


def test_the_flow_checks_itself_and_has_the_printed_ids() -> None:
    assert [phase.label for phase in OUTREACH.phases] == ["0", "1", "1.1", "1.5", "2.5", "3", "4", "5", "6"]
    assert {flow.name for flow in build_registry().flows} == {flow.name for flow in FLOWS}


def test_one_then_one_point_one_then_three_on_a_fresh_company(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1])
        for label in ("1", "1.1", "3"):
            assert run(engine, label, 1).results[0].status is PhaseStatus.SUCCEEDED
        assert phases_of(engine, 1) == [(0, "complete"), (1, "complete"), (1.1, "complete"), (3, "complete")]
        assert current_phase(engine, 1) == 3


def test_phase_three_without_history_names_what_is_missing_and_changes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1])
        with pytest.raises(NeedsNotMet) as refused:
            run(engine, "3", 1)
        assert refused.value.missing == ("company_validation", "people_validation")
        assert current_phase(engine, 1) == 0


def test_phase_one_again_after_three_keeps_the_phase_and_adds_a_row(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1])
        for label in ("1", "1.1", "3", "1"):
            run(engine, label, 1)
        assert [each for each in phases_of(engine, 1) if each[0] == 1] == [(1, "complete"), (1, "complete")]
        assert current_phase(engine, 1) == 3


def test_a_company_that_came_by_sql_can_be_validated_although_no_run_knows_it(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        engine.write(
            [("INSERT INTO company_master (company_unique_id, company_name) VALUES (:id, :name)",
              {"id": company(1).id, "name": "Fairview Works"})]
        )  # fmt: skip
        result = run(engine, "1", 1).results[0]
        assert result.status is PhaseStatus.SUCCEEDED
        assert "slot_CEO" in result.output["missing_fields"]


def test_a_company_that_does_not_exist_fails_alone(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1])
        report = run(engine, "1", 1, 2)
        assert [each.status for each in report.results] == [PhaseStatus.SUCCEEDED, PhaseStatus.FAILED]
        assert company(2).id in (report.failed[0].reason or "")


def test_a_failure_and_its_retry_leave_two_rows_and_no_outstanding_failure(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock) as engine:
        add_companies(engine, [1])
        run(engine, "1", 1)
        engine.write([("ALTER TABLE people_master RENAME TO people_away", {})])
        assert run(engine, "1.1", 1).results[0].status is PhaseStatus.FAILED
        assert len(rows(engine, "v_failed_phases")) == 1
        assert current_phase(engine, 1) == 1
        engine.write([("ALTER TABLE people_away RENAME TO people_master", {})])
        clock.advance(1)
        assert run(engine, "1.1", 1).results[0].status is PhaseStatus.SUCCEEDED
        assert [status for phase, status in phases_of(engine, 1) if phase == 1.1] == ["failed", "complete"]
        assert rows(engine, "v_failed_phases") == []


# --- dry run --------------------------------------------------------------------------------------------------------


def test_a_rehearsal_of_the_whole_flow_counts_everything_and_changes_no_row(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1, 2])
        add_people(engine, [*staff(1), person(4, 2, "Throughput Lead")])
        before, counts = business_rows(engine), all_rows(engine)
        with engine.rehearsal() as rehearsed:
            through(rehearsed, 1, 2)
            assert len(rows(rehearsed, "outreach_log")) == 3
        assert business_rows(engine) == before
        # Which flows there are is kept by looking at them, not by running them.
        assert {k: v for k, v in all_rows(engine).items() if k != "phasegate_flows"} == {
            k: v for k, v in counts.items() if k != "phasegate_flows"
        }


def test_a_dry_run_gives_the_statistics_of_the_real_run(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1, 2])
        add_people(engine, [*staff(1), person(4, 2, "Assistant to the CEO")])
        run(engine, "1", 1, 2)
        now = engine.store.now()
        dry = run(engine, "1.1", 1, 2, dry_run=True)
        real = run(engine, "1.1", 1, 2)
        counted = [people_statistics([r.output for r in each.results], Times(now, now)) for each in (dry, real)]
        assert dry.dry_run
        assert counted[0] == counted[1]
        assert (counted[0]["total"], counted[0]["valid"]) == (4, 3)
        ready = readiness_statistics([r.output for r in run(engine, "3", 1, 2, dry_run=True).results], Times(now, now))
        assert ready["total_evaluated"] == 2
        assert not any(row["outreach_ready"] for row in rows(engine, "company_master"))


# --- the gate on the way --------------------------------------------------------------------------------------------


def test_a_company_on_its_way_stops_at_the_gate_until_the_slots_are_filled(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock) as engine:
        add_people(engine, staff(1)[:1])
        add_companies(engine, [1], aim=None)
        started = engine.find("outreach")[0]
        assert started.status is RunStatus.WAITING
        assert engine.get(started.id).at("slot_gate").reason == "waiting for CFO, HR (1 of 3 slots filled)"
        assert engine.get(started.id).at("readiness").status is PhaseStatus.PENDING
        add_people(engine, staff(1)[1:])
        run(engine, "1.5", 1)
        looked = engine.get(started.id).at("slot_gate").attempt
        clock.advance(timedelta(days=1).total_seconds())
        engine.drain()
        assert engine.get(started.id).at("slot_gate").attempt == looked + 1
        assert engine.get(started.id).status is RunStatus.WAITING
        run(engine, "1.1", 1)
        assert engine.get(started.id).status is RunStatus.SUCCEEDED
        assert current_phase(engine, 1) == 6
        assert len(rows(engine, "outreach_log")) == 3


def test_two_tenants_do_not_see_each_others_rows(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1])
        add_people(engine, [person(1, 1, "CEO", tenant="other")])
        run(engine, "1", 1)
        assert run(engine, "1.1", 1).results[0].output["statistics"]["total"] == 0


def test_a_registry_of_one_s_own_hands_its_records_to_the_phases() -> None:
    registry = build_registry(sheet_ids={"Invalid_People": "sheet-1"})
    assert isinstance(registry, Registry)
    assert registry.deps.sheet_ids == {"Invalid_People": "sheet-1"}
