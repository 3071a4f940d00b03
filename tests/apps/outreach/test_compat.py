"""The functions of the guide: every promise of their description, each under its own name, on the real flow."""

from __future__ import annotations

import inspect
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from phasegate import Context, Engine, Registry
from phasegate.apps.outreach import use_engine
from phasegate.apps.outreach.catalogue import CATALOGUE
from phasegate.apps.outreach.compat import (
    ExecutorConfig,
    configure,
    execute_all_implemented,
    execute_phase_by_name,
    retry_failed_phase,
    run_outreach_phase,
    run_phase_sequence,
    run_sequence,
)
from phasegate.apps.outreach.enrichment import offline_tiers
from phasegate.apps.outreach.flow import ORPHANS, OUTREACH, build_registry
from phasegate.apps.outreach.opening import current_engine
from phasegate.apps.outreach.outbox import OUTBOX, FileSink
from phasegate.apps.outreach.projection import project
from phasegate.apps.outreach.recording import PhaseStatistics, RecordingSwitches, safe
from tests.apps.outreach.phase_cases import (
    add_companies,
    add_people,
    company_id,
    opened,
    person,
    person_id,
    rows,
    staff,
)

TIMES = {"started_at", "completed_at", "duration_seconds", "timestamp", "total_duration_seconds"}
GOOD = {
    "company_name": "Acme Corp",
    "website": "https://acme.example",
    "employee_count": 500,
    "linkedin_url": "https://linkedin.com/company/acme",
}
WV = {"state": "WV"}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with opened(tmp_path) as engine:
        use_engine(engine)
        yield engine
        use_engine(None)


def fill(engine: Engine, *numbers: int, **fields: Any) -> None:
    add_companies(engine, numbers, **fields)
    for number in numbers:
        add_people(engine, staff(number, 10 * number))


def statistics(result: dict[str, Any]) -> dict[str, Any]:
    assert result["status"] == "complete", result["error_message"]
    return {name: value for name, value in result["result"]["statistics"].items() if name not in TIMES}


def log(engine: Engine, number: int = 1) -> list[tuple[float, str]]:
    query = "SELECT phase_id, status FROM phase_completion_log WHERE company_unique_id = :id ORDER BY log_id"
    return [(float(r["phase_id"]), r["status"]) for r in engine.read(query, {"id": company_id(number)})]


def phase_of(engine: Engine, number: int = 1) -> Any:
    found = engine.read(
        "SELECT current_phase FROM company_master WHERE company_unique_id = :id", {"id": company_id(number)}
    )
    return found[0]["current_phase"]


def everything(engine: Engine) -> dict[str, list[str]]:
    names = [row["name"] for row in engine.read("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {name: [str(dict(row)) for row in engine.read(f'SELECT * FROM "{name}"')] for name in names}


def break_table(engine: Engine, table: str, operation: str = "UPDATE") -> None:
    """From now on the database refuses to change a table, as it does when a disk fails."""
    body = f"CREATE TRIGGER broken BEFORE {operation} ON {table} BEGIN SELECT raise(ABORT, 'the disk is broken'); END"
    engine.create_tables(_NoTables(), [body])


def mend(engine: Engine) -> None:
    engine.create_tables(_NoTables(), ["DROP TRIGGER broken"])


class _NoTables:
    tables = ()

    def create_all(self, connection: object) -> None: ...


# --- signatures and shapes ------------------------------------------------------------------------------------------


def test_signatures_are_those_of_the_guide() -> None:
    assert list(inspect.signature(run_outreach_phase).parameters) == [
        "phase_id", "context", "validate_deps", "log_execution",
    ]  # fmt: skip
    defaults = {n: p.default for n, p in inspect.signature(run_outreach_phase).parameters.items()}
    assert (defaults["context"], defaults["validate_deps"], defaults["log_execution"]) == ({}, True, True)
    sequence = inspect.signature(run_phase_sequence).parameters
    assert [*sequence] == ["phase_ids", "context", "stop_on_error"]
    assert (sequence["context"].default, sequence["stop_on_error"].default) == ({}, True)
    assert inspect.signature(retry_failed_phase).parameters.keys() == defaults.keys()


def test_result_has_exactly_the_keys_of_the_guide(engine: Engine) -> None:
    fill(engine, 1)
    keys = {"phase_id", "phase_name", "status", "duration_seconds", "result", "error_message"}
    complete = run_outreach_phase(1, WV)
    failed = run_outreach_phase(3, WV)
    assert complete.keys() == failed.keys() == keys
    assert (complete["status"], complete["error_message"]) == ("complete", None)
    assert (failed["status"], failed["result"]) == ("failed", None)
    assert isinstance(complete["duration_seconds"], float)


@pytest.mark.parametrize("spelling", [1, 1.0, "1", Decimal("1.00")])
def test_a_phase_has_one_identity_in_every_spelling(engine: Engine, spelling: object) -> None:
    result = run_outreach_phase(spelling, WV)
    assert (repr(result["phase_id"]), result["phase_name"]) == ("1", "Company Validation")


def test_statistics_record_goes_from_running_to_its_end() -> None:
    entry = CATALOGUE.get(1)
    ran = PhaseStatistics(entry)
    assert (ran.to_dict()["status"], ran.to_dict()["completed_at"]) == ("running", None)
    ran.skip("not now")
    assert ran.to_dict()["status"] == "skipped"
    assert ran.to_dict()["completed_at"].endswith("+00:00")


def test_results_are_json(engine: Engine) -> None:
    fill(engine, 1)
    for result in run_phase_sequence([1, 1.1, 1.5, 2.5, 3, 4, 5, 6], WV):
        assert json.loads(json.dumps(result)) == result
        assert result["status"] == "complete"


# --- the vectors ----------------------------------------------------------------------------------------------------


def test_vector_company_with_a_name_of_two_letters(engine: Engine) -> None:
    found = run_outreach_phase(1, {"company": {**GOOD, "company_name": "Ab"}})["result"]
    assert (found["valid"], found["severity"], found["missing_fields"]) == (False, "CRITICAL", ["company_name"])


@pytest.mark.parametrize(("count", "valid"), [(50, False), ("51", True), ("51-200", False), (None, False)])
def test_vector_employee_count(engine: Engine, count: object, valid: bool) -> None:
    found = run_outreach_phase(1, {"company": {**GOOD, "employee_count": count}})["result"]
    assert found["valid"] is valid
    assert ("employee_count" in found["missing_fields"]) is not valid


def test_vector_website_without_a_scheme(engine: Engine) -> None:
    found = run_outreach_phase(1, {"company": {**GOOD, "website": "www.x.example"}})["result"]
    assert (found["valid"], found["severity"], found["missing_fields"]) == (False, "ERROR", ["website"])


def test_vector_slots_in_any_case_and_unfilled(engine: Engine) -> None:
    slots = [{"slot_type": kind, "is_filled": False} for kind in ("CEO", "cfo", "HR")]
    found = run_outreach_phase(1, {"company": GOOD, "slot_rows": slots})["result"]
    assert (found["valid"], found["slots_checked"]) == (True, True)


@pytest.mark.parametrize(
    ("title", "valid"),
    [("Throughput Lead", False), ("Chief People Officer", True), ("Assistant to the CEO", False),
     ("VP, Human Resources", True)],
)  # fmt: skip
def test_vector_titles(engine: Engine, title: str, valid: bool) -> None:
    found = run_outreach_phase(2, {"person": person(1, 1, title), "valid_company_ids": [company_id(1)]})["result"]
    assert found["valid"] is valid


def test_vector_person_without_a_timestamp_only(engine: Engine) -> None:
    given = person(1, 1, "CEO", updated_at=None)
    found = run_outreach_phase(2, {"person": given, "valid_company_ids": [company_id(1)]})["result"]
    assert found["valid"] is True
    assert [each["severity"] for each in found["failures"]] == ["WARNING"]


def test_vector_person_with_an_unknown_company(engine: Engine) -> None:
    given = person(1, 1, "CEO")
    supplied = run_outreach_phase(2, {"person": given, "valid_company_ids": [company_id(2)]})["result"]
    not_supplied = run_outreach_phase(2, {"person": given})["result"]
    assert (supplied["valid"], supplied["failures"][0]["severity"]) == (False, "CRITICAL")
    assert not_supplied["valid"] is True
    assert [each["severity"] for each in not_supplied["failures"]] == ["WARNING"]


@pytest.mark.parametrize(
    ("title", "linkedin", "employees", "score", "category", "promoted"),
    [("CEO", True, 500, 100, "hot", True), ("HR Manager", True, 20, 55, "warm", True), ("CFO", False, 20, 35, "cold", False)],
)  # fmt: skip
def test_vector_scores(
    engine: Engine, title: str, linkedin: bool, employees: int, score: int, category: str, promoted: bool
) -> None:
    given = {"person_id": "p", "full_name": "Ellis Jarrow", "title": title}
    given |= {"linkedin_url": "https://linkedin.com/in/ellis-jarrow"} if linkedin else {}
    found = run_outreach_phase(5, {"person": given, "company": {"employee_count": employees}})["result"]
    assert (found["score"], found["category"]) == (score, category)
    decided = run_outreach_phase(6, {"person": {**given, "bit_score": score}, "company": {"company_name": "A"}})[
        "result"
    ]
    assert ("score" in decided.get("reason", "")) is not promoted


def test_vector_sequence_on_a_fresh_company(engine: Engine) -> None:
    fill(engine, 1)
    results = run_phase_sequence([1, 1.1, 3], WV)
    assert [(each["phase_id"], each["status"]) for each in results] == [
        (1, "complete"),
        (1.1, "complete"),
        (3, "complete"),
    ]
    assert log(engine) == [(0, "complete"), (1, "complete"), (1.1, "complete"), (3, "complete")]
    assert phase_of(engine) == 3


def test_vector_phase_3_on_a_company_with_no_history(engine: Engine) -> None:
    fill(engine, 1)
    result = run_outreach_phase(3, {"company_id": company_id(1)})
    assert (result["status"], result["error_message"]) == (
        "failed", "Phase 3 requires Phase 1 and Phase 2 to be complete first",
    )  # fmt: skip
    assert phase_of(engine) == 0


def test_vector_sequence_out_of_order(engine: Engine) -> None:
    fill(engine, 1)
    with pytest.raises(ValueError, match="ascending"):
        run_phase_sequence([3, 1], WV)
    assert log(engine) == [(0, "complete")]


def test_vector_sequence_with_an_unknown_phase(engine: Engine) -> None:
    fill(engine, 1)
    with pytest.raises(ValueError, match="'9'"):
        run_phase_sequence([1, 9], WV)
    assert log(engine) == [(0, "complete")]


def test_vector_failure_then_retry(engine: Engine) -> None:
    fill(engine, 1)
    run_outreach_phase(1, WV)
    break_table(engine, "people_master")
    failed = run_outreach_phase(1.1, WV)
    assert (failed["status"], "disk is broken" in failed["error_message"]) == ("failed", True)
    assert phase_of(engine) == 1
    mend(engine)
    assert retry_failed_phase(1.1, WV)["status"] == "complete"
    assert log(engine)[2:] == [(1.1, "failed"), (1.1, "complete")]
    assert rows(engine, "v_failed_phases") == []


def test_vector_phase_1_again_after_3(engine: Engine) -> None:
    fill(engine, 1)
    run_phase_sequence([1, 1.1, 3], WV)
    run_outreach_phase(1, WV)
    assert phase_of(engine) == 3
    assert log(engine).count((1, "complete")) == 2


@pytest.mark.parametrize("phase", [1, 1.1, 1.5, 2, 2.5, 3, 4, 5, 6])
def test_vector_state_without_companies(engine: Engine, phase: float) -> None:
    fill(engine, 1)
    add_people(engine, [person(99, "nowhere", "CEO")])
    result = run_outreach_phase(phase, {"state": "ZZ"})
    found = statistics(result)
    assert (
        next(found[name] for name in ("total", "total_entities", "total_checked", "total_evaluated") if name in found)
        == 0
    )
    assert not any(isinstance(value, list) and value for value in result["result"].values())


def test_vector_dry_run_has_the_same_statistics_and_changes_nothing(engine: Engine) -> None:
    fill(engine, 1, 2)
    add_companies(engine, [3], employee_count=3)
    add_people(engine, [person(99, "nowhere", "CEO")])
    ids = [1, 1.1, 1.5, 2.5, 3, 4, 5, 6]
    before = everything(engine)
    rehearsed = run_phase_sequence(ids, {**WV, "dry_run": True})
    assert everything(engine) == before
    real = run_phase_sequence(ids, WV)
    assert [statistics(each) for each in rehearsed] == [statistics(each) for each in real]
    assert all(each["result"]["dry_run"] for each in rehearsed)


@pytest.mark.parametrize("phase", [1, 1.1, 1.5, 2.5, 3, 4, 5, 6])
def test_vector_any_phase_alone_in_a_dry_run(engine: Engine, phase: float) -> None:
    fill(engine, 1)
    earlier = [each for each in (1, 1.1, 1.5, 2.5, 3, 4, 5, 6) if each < phase]
    run_phase_sequence(earlier, WV)
    before = everything(engine)
    rehearsed = statistics(run_outreach_phase(phase, {**WV, "dry_run": True}))
    assert everything(engine) == before
    assert statistics(run_outreach_phase(phase, WV)) == rehearsed


# --- the guarantees -------------------------------------------------------------------------------------------------


def test_guarantee_01_a_returned_error_is_a_failure(tmp_path: Path) -> None:
    def broken(contexts: Sequence[Context]) -> list[dict[str, str]]:
        return [{"error": "no connection"} for _ in contexts]

    phases = tuple(replace(p, run=broken) if p.name == "company_validation" else p for p in OUTREACH.phases)
    registry = Registry(replace(OUTREACH, phases=phases), ORPHANS, OUTBOX, deps=build_registry().deps)
    registry.projection(project)
    with opened(tmp_path, registry=registry) as engine:
        use_engine(engine)
        fill(engine, 1)
        result = run_outreach_phase(1, WV)
        use_engine(None)
        assert (result["status"], "no connection" in result["error_message"]) == ("failed", True)
        assert log(engine)[-1] == (1, "failed")


def test_guarantee_02_every_missing_phase_is_named(engine: Engine) -> None:
    fill(engine, 1)
    assert run_outreach_phase(3, WV)["error_message"] == "Phase 3 requires Phase 1 and Phase 2 to be complete first"
    assert (
        run_outreach_phase(2.5, WV)["error_message"] == "Phase 2.5 requires Phase 1.5 and Phase 2 to be complete first"
    )
    run_outreach_phase(1, WV)
    assert run_outreach_phase(3, WV)["error_message"] == "Phase 3 requires Phase 2 to be complete first"


def test_guarantee_02_some_companies_blocked_are_counted_and_logged(engine: Engine) -> None:
    fill(engine, 1, 2)
    run_phase_sequence([1, 1.1], {"company_id": company_id(1)})
    found = statistics(run_outreach_phase(3, WV))
    assert (found["total_evaluated"], found["skipped_unmet_dependencies"]) == (1, 1)
    assert log(engine, 2)[-1] == (3, "skipped")


def test_guarantee_02_dependencies_can_be_left_unchecked(engine: Engine) -> None:
    fill(engine, 1)
    assert run_outreach_phase(3, WV, validate_deps=False)["status"] == "complete"
    summary = rows(engine, "phase_completion_log", "result_summary")[-1]["result_summary"]
    assert "dependencies not checked" in summary


def test_guarantee_03_each_attempt_leaves_one_row(engine: Engine) -> None:
    fill(engine, 1, 2)
    run_phase_sequence([1, 1.1], WV)
    run_outreach_phase(1, WV)
    assert log(engine) == log(engine, 2) == [(0, "complete"), (1, "complete"), (1.1, "complete"), (1, "complete")]


def test_guarantee_04_a_wrong_value_is_not_an_unknown_phase(engine: Engine) -> None:
    result = run_outreach_phase(4)
    assert (result["status"], "needs a person, company or a state" in result["error_message"]) == ("failed", False)
    assert "state" in result["error_message"]
    assert run_outreach_phase(1, {"limit": "many"})["status"] == "failed"
    with pytest.raises(ValueError, match="unknown phase"):
        run_outreach_phase(7)


def test_guarantee_06_keys_of_other_phases_of_a_sequence_are_left_out(engine: Engine) -> None:
    fill(engine, 1)
    context = {**WV, "only_validated": True, "verbose": True}
    assert [each["status"] for each in run_phase_sequence([1, 1.1, 3], context)] == ["complete"] * 3
    assert context == {**WV, "only_validated": True, "verbose": True}


def test_guarantee_06_a_key_no_phase_knows_is_an_error_up_front(engine: Engine) -> None:
    fill(engine, 1)
    result = run_outreach_phase(1, {"stat": "WV"})
    assert result["status"] == "failed"
    assert "'stat'" in result["error_message"]
    assert "did you mean 'state'?" in result["error_message"]
    with pytest.raises(ValueError, match="'stat'"):
        run_phase_sequence([1, 1.1], {"stat": "WV"})
    assert log(engine) == [(0, "complete")]


@pytest.mark.parametrize("phase", [4, 5, 6])
def test_guarantee_08_a_batch_invents_nobody(engine: Engine, phase: int) -> None:
    assert statistics(run_outreach_phase(phase, {"state": "Atlantis"}))["total"] == 0


def test_guarantee_09_titles_are_words_in_every_phase(engine: Engine) -> None:
    fill(engine, 1)
    engine.write([("UPDATE people_master SET title = 'Throughput Lead' WHERE unique_id = :id", {"id": person_id(12)})])
    run_phase_sequence([1, 1.1, 1.5], WV)
    slots = {row["slot_type"]: row["is_filled"] for row in rows(engine, "company_slot")}
    assert slots == {"CEO": 1, "CFO": 1, "HR": 0}
    assert run_outreach_phase(4, {"person": person(1, 1, "Throughput Lead")})["result"]["trigger"] is False
    assert run_outreach_phase(5, {"person": person(1, 1, "Throughput Lead")})["result"]["score"] < 50


def test_guarantee_10_a_limited_batch_goes_on_where_the_last_one_ended(engine: Engine) -> None:
    fill(engine, 1, 2, 3)
    seen = [
        [each["company_unique_id"] for each in engine.read(_COMPLETE)]
        for _ in range(3)
        if run_outreach_phase(1, {**WV, "limit": 1})
    ]
    assert seen == [[company_id(n) for n in range(1, last + 1)] for last in (1, 2, 3)]
    assert statistics(run_outreach_phase(1, {**WV, "limit": 1}))["total"] == 0
    assert statistics(run_outreach_phase(1, {**WV, "limit": 1, "revalidate": True}))["total"] == 1


_COMPLETE = (
    "SELECT company_unique_id FROM phase_completion_log WHERE phase_id = 1 AND status = 'complete' "
    "ORDER BY company_unique_id"
)


def test_guarantee_10_a_limit_of_people_takes_companies_whole(engine: Engine) -> None:
    fill(engine, 1, 2, 3)
    run_outreach_phase(1, WV)
    assert [statistics(run_outreach_phase(1.1, {**WV, "limit": 4}))["total"] for _ in range(4)] == [3, 3, 3, 0]


def test_guarantee_10_a_limit_of_nothing_takes_nothing(engine: Engine) -> None:
    fill(engine, 1)
    assert statistics(run_outreach_phase(1, {**WV, "limit": 0}))["total"] == 0


def test_guarantee_11_orphans_are_reported_under_a_state(engine: Engine) -> None:
    fill(engine, 1)
    add_people(engine, [person(99, "nowhere", "CEO")])
    run_outreach_phase(1, WV)
    result = run_outreach_phase(1.1, WV)["result"]
    assert [each["person_id"] for each in result["orphan_people"]] == [person_id(99)]
    assert (result["statistics"]["total"], result["statistics"]["orphans"]) == (3, 1)


def test_guarantee_12_validation_does_not_refresh_the_time_of_the_record(engine: Engine) -> None:
    fill(engine, 1)
    before = rows(engine, "people_master", "unique_id", "updated_at")
    run_phase_sequence([1, 1.1], WV)
    assert rows(engine, "people_master", "unique_id", "updated_at") == before
    assert all(row["validated_at"] for row in rows(engine, "people_master", "validated_at"))


def test_guarantee_13_a_record_that_could_not_be_written_is_an_error_not_valid(engine: Engine) -> None:
    fill(engine, 1, 2)
    only_second = f"company_master WHEN OLD.company_unique_id = '{company_id(2)}'"
    break_table(engine, only_second)
    result = run_outreach_phase(1, WV)
    found = statistics(result)
    assert (found["valid"], found["errors"], found["total"]) == (1, 1, 1)
    assert result["result"]["failed_companies"][0]["company_unique_id"] == company_id(2)


def test_guarantee_14_one_failing_record_does_not_poison_the_others(engine: Engine) -> None:
    fill(engine, 1, 2, 3)
    break_table(engine, f"company_master WHEN OLD.company_unique_id = '{company_id(2)}'")
    run_outreach_phase(1, WV)
    mend(engine)
    assert [phase_of(engine, number) for number in (1, 2, 3)] == [1, 0, 1]
    assert statistics(retry_failed_phase(1, WV))["total"] == 1
    assert phase_of(engine, 2) == 1


def test_guarantee_15_readiness_is_taken_away_again(engine: Engine) -> None:
    fill(engine, 1)
    run_phase_sequence([1, 1.1, 1.5, 3], WV)
    assert rows(engine, "company_master", "outreach_ready") == [{"outreach_ready": 1}]
    engine.write([("UPDATE email_verification SET verification_status = 'invalid'", {})])
    found = statistics(run_outreach_phase(3, WV))
    assert (found["ready"], found["not_ready"]) == (0, 1)
    assert rows(engine, "company_master", "outreach_ready") == [{"outreach_ready": 0}]


def test_guarantee_16_reasons_do_not_depend_on_chance(engine: Engine) -> None:
    add_companies(engine, [1])
    run_phase_sequence([1, 1.1], WV)
    reasons = {run_outreach_phase(3, {"company_id": company_id(1)})["result"]["reason"] for _ in range(5)}
    assert reasons == {"CEO slot is not filled"}


def test_guarantee_17_a_dry_run_reads_and_writes_no_event(engine: Engine) -> None:
    fill(engine, 1)
    before = everything(engine)
    assert statistics(run_outreach_phase(1, {**WV, "dry_run": True}))["total"] == 1
    assert everything(engine) == before


def test_guarantee_18_nobody_is_promoted_twice(engine: Engine) -> None:
    fill(engine, 1)
    run_phase_sequence([1, 1.1, 1.5, 3, 4, 5, 6], WV)
    assert len(rows(engine, "outreach_log")) == 3
    again = statistics(run_outreach_phase(6, WV))
    assert (again["promoted"], again["skipped"], len(rows(engine, "outreach_log"))) == (0, 3, 3)


def test_guarantee_19_loading_again_gives_out_no_id_twice(engine: Engine, tmp_path: Path) -> None:
    for name in ("Acorn Works", "Birch Works"):
        file = tmp_path / f"{name}.csv"
        file.write_text(f"company,employees\n{name},100\n")
        assert run_outreach_phase(0, {"csv_file": str(file)})["result"]["statistics"]["inserted_rows"] == 1
    assert len({row["company_unique_id"] for row in rows(engine, "company_master")}) == 2


def test_guarantee_20_statistics_of_nothing_are_zero(engine: Engine) -> None:
    found = execute_all_implemented("ZZ")
    assert (found["failed"], found["successful"]) == (0, found["total_phases"])


def test_guarantee_21_an_unknown_number_of_employees_gives_no_points(engine: Engine) -> None:
    given = {"person": {"full_name": "Ellis Jarrow", "title": "CEO"}, "company": {"employee_count": None}}
    assert run_outreach_phase(5, given)["result"]["score"] == 40


def test_guarantee_22_a_score_stays_in_its_range(engine: Engine) -> None:
    fill(engine, 1)
    run_phase_sequence([1, 1.1, 1.5, 3, 4, 5], WV)
    assert {row["score"] for row in rows(engine, "company_scores")} == {100}


def test_guarantee_23_an_address_of_a_catch_all_domain_is_never_verified(engine: Engine) -> None:
    add_companies(engine, [1])
    known = person(1, 1, "CEO", email_verification="catch-all")
    add_people(engine, [known, person(2, 1, "CFO", email=None, email_verification=None)])
    run_phase_sequence([1, 1.1, 1.5], WV)
    assert [row["verification_status"] for row in rows(engine, "email_verification")] == ["risky"]
    found = {row["unique_id"]: row for row in rows(engine, "people_master")}
    assert (found[person_id(2)]["email_class"], found[person_id(2)]["email_verified"]) == ("derived", 0)


def test_guarantee_24_invalid_records_are_kept_until_they_are_delivered(tmp_path: Path) -> None:
    with opened(tmp_path, registry=build_registry(sink=FileSink(tmp_path / "outbox"))) as engine:
        use_engine(engine)
        add_companies(engine, [1], employee_count=3)
        found = statistics(run_outreach_phase(1, WV))
        use_engine(None)
        assert (found["invalid"], found["routed_to_sheets"], found["webhook_failed"]) == (1, 1, 0)
        assert [row["status"] for row in rows(engine, "failure_outbox")] == ["delivered"]
    assert "Fairview Works 1" in (tmp_path / "outbox" / "Invalid_Companies.csv").read_text()


def test_guarantee_25_the_row_data_are_the_record_s(engine: Engine) -> None:
    add_companies(engine, [1], employee_count=3)
    run_outreach_phase(1, WV)
    payload = json.loads(rows(engine, "failure_outbox", "payload")[0]["payload"])
    assert payload["row_data"]["company_name"] == "Fairview Works 1"


def test_guarantee_26_counts_come_from_rows(engine: Engine) -> None:
    fill(engine, 1)
    add_companies(engine, [2], employee_count=3)
    found = statistics(run_outreach_phase(1, WV))
    counted = {row["validation_status"]: row["n"] for row in engine.read(
        "SELECT validation_status, count(*) AS n FROM company_master GROUP BY validation_status")}  # fmt: skip
    assert counted == {"valid": found["valid"], "invalid": found["invalid"]}


def test_guarantee_27_the_log_holds_every_attempt(engine: Engine) -> None:
    fill(engine, 1)
    run_outreach_phase(1, WV)
    first = rows(engine, "company_master", "last_phase_completed_at")
    run_outreach_phase(1, WV)
    assert rows(engine, "company_master", "last_phase_completed_at") == first
    assert log(engine).count((1, "complete")) == 2


def test_guarantee_28_solved_failures_are_not_listed(engine: Engine) -> None:
    fill(engine, 1)
    break_table(engine, "company_master")
    run_outreach_phase(1, WV)
    mend(engine)
    assert len(rows(engine, "v_failed_phases")) == 1
    run_outreach_phase(1, WV)
    assert rows(engine, "v_failed_phases") == []


def test_guarantee_29_importing_reads_no_database_and_ends_no_process(tmp_path: Path) -> None:
    program = "import sys, phasegate.apps.outreach as o; print(sorted(o.__all__)[0], 'sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, list(tmp_path.iterdir())) == ("build_registry False\n", [])


def test_guarantee_30_what_is_logged_is_json_and_holds_no_secret(engine: Engine) -> None:
    class Odd:
        def __repr__(self) -> str:
            return "odd"

    context: dict[str, Any] = {"company": {**GOOD, "api_key": "s3cret", "odd": Odd(), "long": "x" * 10_000}}
    assert run_outreach_phase(1, context)["status"] == "complete"
    kept = rows(engine, "phase_execution", "context")[0]["context"]
    assert "s3cret" not in kept
    assert "odd" in kept
    assert len(kept) < 2_000


def test_guarantee_30_a_huge_context_is_cut() -> None:
    cut = safe({"people": [{str(n): "x" * 400 for n in range(100)} for _ in range(100)]})
    assert cut == {"keys": ["people"]}


def test_guarantee_31_slots_are_swapped_or_stay_as_they_are(engine: Engine) -> None:
    fill(engine, 1)
    run_phase_sequence([1, 1.1], WV)
    before = rows(engine, "company_slot", "slot_type", "person_unique_id", "is_filled")
    engine.write([("UPDATE people_master SET title = 'Clerk' WHERE unique_id = :id", {"id": person_id(10)})])
    break_table(engine, "company_slot WHEN NEW.is_filled = 0")
    assert run_outreach_phase(1.1, WV)["status"] == "failed"
    assert rows(engine, "company_slot", "slot_type", "person_unique_id", "is_filled") == before
    assert all(row["is_filled"] for row in before)


def test_guarantee_32_one_vocabulary(engine: Engine) -> None:
    fill(engine, 1)
    run_phase_sequence([1, 1.1, 3], WV)
    assert {row["status"] for row in rows(engine, "phase_completion_log")} == {"complete"}
    assert {row["status"] for row in rows(engine, "phase_execution")} == {"complete"}


# --- executions on record -------------------------------------------------------------------------------------------


def test_an_execution_is_recorded_and_its_log_rows_point_to_it(engine: Engine) -> None:
    fill(engine, 1)
    run_phase_sequence([1, 1.1], WV)
    executions = {row["execution_id"]: row for row in rows(engine, "phase_execution")}
    linked = [row["execution_id"] for row in rows(engine, "phase_completion_log", "execution_id")]
    assert linked == [None, *executions]
    assert [json.loads(row["counts"])["total"] for row in executions.values()] == [1, 3]
    audited = [row["event_type"] for row in engine.read("SELECT * FROM audit_log WHERE component = 'phase_executor'")]
    assert audited == ["phase_complete", "phase_complete", "sequence_complete"]
    events = engine.read("SELECT payload FROM pipeline_events WHERE event_type = 'phase_execution'")
    assert json.loads(events[0]["payload"])["context"] == WV


def test_an_execution_that_is_not_to_be_logged_is_not(engine: Engine) -> None:
    fill(engine, 1)
    run_outreach_phase(1, WV, log_execution=False)
    assert rows(engine, "phase_execution") == []
    assert log(engine)[-1] == (1, "complete")


def test_a_failed_execution_is_recorded(engine: Engine) -> None:
    fill(engine, 1)
    run_outreach_phase(3, WV)
    assert rows(engine, "phase_execution", "status", "error_message") == [
        {"status": "failed", "error_message": "Phase 3 requires Phase 1 and Phase 2 to be complete first"}
    ]
    assert [row["event_type"] for row in rows(engine, "audit_log") if row["component"] == "phase_executor"] == [
        "phase_failed"
    ]


def test_a_record_that_cannot_be_written_changes_no_outcome(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    fill(engine, 1)
    break_table(engine, "phase_execution", "INSERT")
    assert run_outreach_phase(1, WV)["status"] == "complete"
    assert "could not be put on record" in caplog.text


def test_switches_of_the_configuration_work(engine: Engine) -> None:
    fill(engine, 1)
    quiet = RecordingSwitches(pipeline_events=False, audit_log=False)
    before = configure(ExecutorConfig(recording=quiet, auto_advance=True))
    try:
        assert run_outreach_phase(1, WV)["phase_id"] == 1
    finally:
        configure(before)
    assert [row["component"] for row in rows(engine, "audit_log") if row["component"] == "phase_executor"] == []
    assert phase_of(engine) == 6


# --- retry ----------------------------------------------------------------------------------------------------------


def test_retry_without_a_failure_does_nothing_and_says_so(engine: Engine) -> None:
    fill(engine, 1)
    run_outreach_phase(1, WV)
    found = statistics(retry_failed_phase(1, WV))
    assert (found["total"], found["note"]) == (0, "no company has an outstanding failure of this phase")
    assert log(engine).count((1, "complete")) == 1


def test_retry_of_a_call_that_failed_as_a_whole_does_all_of_it(engine: Engine) -> None:
    fill(engine, 1)
    assert run_outreach_phase(3, WV)["status"] == "failed"
    run_phase_sequence([1, 1.1], WV)
    assert statistics(retry_failed_phase(3, WV))["total_evaluated"] == 1
    links = rows(engine, "phase_execution", "execution_id", "retry_of")
    assert links[-1]["retry_of"] == links[0]["execution_id"]


def test_database_that_is_away_is_a_failed_result_that_can_be_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path) as engine:
        fill(engine, 1)
    good = tmp_path / "outreach.db"
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"not a database" * 1000)
    monkeypatch.setenv("PHASEGATE_DATABASE", f"sqlite:///{broken}")
    result = run_outreach_phase(1, WV)
    assert (result["status"], "is not a database" in result["error_message"]) == ("failed", True)
    assert "is not a database" in caplog.text
    monkeypatch.setenv("PHASEGATE_DATABASE", f"sqlite:///{good}")
    assert statistics(retry_failed_phase(1, WV))["total"] == 1
    current_engine().close()


# --- the others -----------------------------------------------------------------------------------------------------


def test_by_name_in_any_case(engine: Engine) -> None:
    assert execute_phase_by_name("phase 1b: PEOPLE validation trigger", WV)["phase_id"] == 1.1
    with pytest.raises(ValueError, match="nobody"):
        execute_phase_by_name("nobody")


def test_sequence_stops_at_the_first_failure(engine: Engine) -> None:
    fill(engine, 1)
    results = run_phase_sequence([1, 3, 4], WV)
    assert [(each["phase_id"], each["status"]) for each in results] == [(1, "complete"), (3, "failed")]
    assert [each.status for each in run_sequence([1, 3, 4], WV)] == ["complete", "failed", "skipped"]


def test_sequence_goes_on_when_told_to(engine: Engine) -> None:
    fill(engine, 1)
    results = run_phase_sequence([1, 3, 4], WV, stop_on_error=False)
    assert [each["status"] for each in results] == ["complete", "failed", "failed"]


def test_phase_2_for_stored_companies_counts_as_complete_later_in_the_sequence(engine: Engine) -> None:
    fill(engine, 1)
    assert [each["status"] for each in run_phase_sequence([1, 2, 3], WV)] == ["complete"] * 3


def test_execute_all_in_the_shape_of_the_registry(engine: Engine) -> None:
    fill(engine, 1)
    found = execute_all_implemented("WV", dry_run=True)
    assert found.keys() == {"state", "dry_run", "total_phases", "successful", "failed", "phases"}
    assert {each["status"] for each in found["phases"]} == {"success"}
    assert log(engine) == [(0, "complete")]


def test_stored_person_by_id(engine: Engine) -> None:
    fill(engine, 1)
    given = {"person_id": person_id(10)}
    assert run_outreach_phase(4, given)["error_message"] == "Phase 4 requires Phase 3 to be complete first"
    run_phase_sequence([1, 1.1, 1.5, 3], WV)
    assert run_outreach_phase(4, given)["result"]["trigger"] is True
    assert "no person" in run_outreach_phase(4, {"person_id": "nobody"})["error_message"]


def test_offline_enrichment_is_not_asked_in_a_dry_run(tmp_path: Path) -> None:
    assert offline_tiers()
    with opened(tmp_path) as engine:
        use_engine(engine)
        add_companies(engine, [1])
        add_people(engine, [person(1, 1, "CEO", email=None)])
        run_outreach_phase(1, WV)
        found = statistics(run_outreach_phase(1.5, {**WV, "dry_run": True}))
        use_engine(None)
    assert found["total_cost"] == 0


def test_rows_are_where_the_guide_s_queries_look_for_them(engine: Engine, tmp_path: Path) -> None:
    fill(engine, 1)
    run_phase_sequence([1, 1.1], WV)
    with sqlite3.connect(tmp_path / "outreach.db") as connection:
        query = "SELECT company_unique_id FROM company_master WHERE current_phase = 1.1"
        assert connection.execute(query).fetchall() == [(company_id(1),)]
    connection.close()
