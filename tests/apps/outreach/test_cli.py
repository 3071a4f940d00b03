"""`phasegate outreach`, as a process: commands, exit codes, JSON, and the demo."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.apps.outreach.demo_job import DATA, environment, outreach, tables_of

COMPANIES = """company,website,employees,state,linkedin_url
Acorn Works,https://acorn.example,100,WV,https://www.linkedin.com/company/acorn
Birch Works,https://birch.example,20,WV,https://www.linkedin.com/company/birch
Cedar Works,https://cedar.example,300,OH,https://www.linkedin.com/company/cedar
"""
PEOPLE = """company,full_name,title,email,email_verification,linkedin_url,updated_at
Acorn Works,Ellis Jarrow,CEO,ellis.jarrow@acorn.example,valid,https://www.linkedin.com/in/ellis,2026-01-01T00:00:00Z
Acorn Works,Wren Hale,CFO,wren.hale@acorn.example,valid,https://www.linkedin.com/in/wren,2026-01-01T00:00:00Z
Nowhere Works,Kit Marsh,CEO,kit@nowhere.example,valid,https://www.linkedin.com/in/kit,2026-01-01T00:00:00Z
"""
ACORN = "04.04.02.04.30000.001"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "companies.csv").write_text(COMPANIES)
    (tmp_path / "people.csv").write_text(PEOPLE)
    assert call(tmp_path, "load", "--companies", "companies.csv", "--people", "people.csv")["companies"]
    return tmp_path


def call(folder: Path, *words: str, code: int = 0) -> Any:
    done = outreach(*words, "--json", cwd=folder, database=folder / "outreach.db")
    assert done.returncode == code, (done.stdout, done.stderr)
    return json.loads(done.stdout)


def text(folder: Path, *words: str, code: int = 0) -> str:
    done = outreach(*words, cwd=folder, database=folder / "outreach.db")
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout


def test_a_phase_by_id_as_in_the_guide(folder: Path) -> None:
    call(folder, "1", "--state", "WV")
    before = tables_of(folder / "outreach.db")
    result = call(folder, "1.1", "--state", "WV", "--dry-run", "--limit", "10", "--verbose")
    assert (result["phase_id"], result["status"], result["result"]["statistics"]["total"]) == (1.1, "complete", 2)
    assert tables_of(folder / "outreach.db") == before


def test_a_phase_by_name(folder: Path) -> None:
    assert call(folder, "company validation", "--state", "WV")["phase_id"] == 1


def test_a_phase_says_status_duration_and_result(folder: Path) -> None:
    said = text(folder, "1", "--state", "WV")
    assert said.startswith("Phase 1: Company Validation\n  status    complete\n  duration  ")
    assert '"total": 2' in said


def test_a_sequence_and_its_exit_code(folder: Path) -> None:
    assert [each["status"] for each in call(folder, "1", "1.1", "3", "--state", "WV")] == ["complete"] * 3
    results = call(folder, "1", "2.5", "3", "--state", "OH", code=1)
    assert [each["status"] for each in results] == ["complete", "failed", "skipped"]


def test_a_failed_phase_ends_with_1_and_the_sentence_of_the_guide(folder: Path) -> None:
    said = text(folder, "3", "--state", "WV", code=1)
    assert "Phase 3 requires Phase 1 and Phase 2 to be complete first" in said


def test_one_company_and_one_person(folder: Path) -> None:
    assert call(folder, "1", "--company", ACORN)["result"]["valid"] is True
    assert call(folder, "2", "--person", "04.04.02.04.20000.001")["result"]["valid"] is True
    assert "no company" in call(folder, "1", "--company", "nobody", code=1)["error_message"]


def test_a_limit_of_0_takes_nothing(folder: Path) -> None:
    assert call(folder, "1", "--limit", "0")["result"]["statistics"]["total"] == 0


def test_looking(folder: Path) -> None:
    call(folder, "1", "1.1", "--state", "WV")
    assert call(folder, "status")["companies_by_phase"] == {"0": 1, "1.1": 2}
    assert [each["phase_id"] for each in call(folder, "history", ACORN)["history"]] == [1.1, 1, 0]
    assert [each["phase_id"] for each in call(folder, "history", "acorn works")["history"]] == [1.1, 1, 0]
    assert call(folder, "why", ACORN)["can_run"] == [1.5, 3]
    assert [each["company_name"] for each in call(folder, "companies", "--phase", "1.1")["companies"]] != []
    assert len(call(folder, "companies", "--ready-for-3")["companies"]) == 2
    assert len(call(folder, "stuck", "--hours", "0")["companies"]) == 3
    assert call(folder, "stuck")["companies"] == []
    assert call(folder, "failed")["failures"] == []
    assert "Acorn Works" in text(folder, "why", ACORN)
    assert "No failures." in text(folder, "failed")
    assert call(folder, "orphans")["held"] == {"no_match": 1}
    assert "1 without a company: no_match 1\n" in text(folder, "orphans")


def test_list_needs_no_database(tmp_path: Path) -> None:
    found = json.loads(outreach("list", "--check", "--json", cwd=tmp_path).stdout)
    assert (found["total"], found["problems"]) == (10, [])
    assert list(tmp_path.iterdir()) == []


def test_retry_and_all(folder: Path) -> None:
    assert call(folder, "all", "--state", "WV", "--dry-run")["failed"] == 0
    assert call(folder, "retry", "1", "--state", "WV")["result"]["statistics"]["total"] == 0


def test_outbox_is_delivered_once(folder: Path) -> None:
    call(folder, "1", "--state", "WV")
    assert call(folder, "outbox")["outbox"] == {"pending": 1}
    assert call(folder, "outbox", "deliver")["delivered"] == 1
    assert call(folder, "outbox", "deliver")["delivered"] == 0
    assert "Birch Works" in (folder / "outbox" / "Invalid_Companies.csv").read_text()


def test_revalidation_reports_what_the_rows_say(folder: Path) -> None:
    report = call(folder, "revalidate", "--output", "logs")
    assert report["companies"] == {"total": 2, "valid": 1, "invalid": 1, "routed_to_sheets": 0}
    assert len(list((folder / "logs").glob("retro_validation_report_*.json"))) == 1


def test_loading_twice_loads_once(folder: Path) -> None:
    again = call(folder, "load", "companies.csv", "--people", "people.csv")
    assert [again[kind]["statistics"]["inserted_rows"] for kind in ("companies", "people")] == [0, 0]


def test_global_options_may_stand_before_the_phase(folder: Path) -> None:
    done = outreach("--json", "1", "--state", "WV", cwd=folder, database=folder / "outreach.db")
    assert json.loads(done.stdout)["status"] == "complete"


def test_help_without_a_word(tmp_path: Path) -> None:
    for words in ([], ["--help"]):
        done = outreach(*words, cwd=tmp_path)
        assert "1.1 --state WV" in done.stdout


def test_demo_twice_and_the_commands_it_prints(tmp_path: Path) -> None:
    first = outreach("demo", "--data", str(DATA), cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "674 companies went as far as they can" in first.stdout
    before = tables_of(tmp_path / "demo" / "outreach.db")
    second = outreach("demo", "--data", str(DATA), cwd=tmp_path)
    assert second.stdout.startswith("Nothing to do: ")
    commands = [line.strip() for line in second.stdout.partition("Try next:\n")[2].splitlines() if line.strip()]
    assert len(commands) == 3
    for command in commands:
        done = subprocess.run(shlex.split(command), cwd=tmp_path, env=environment(), capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), command
    assert tables_of(tmp_path / "demo" / "outreach.db") == before
    assert (
        "waiting for" in subprocess.run(shlex.split(commands[0]), cwd=tmp_path, capture_output=True, text=True).stdout
    )


def test_demo_s_numbers_add_up(tmp_path: Path) -> None:
    report = json.loads(outreach("demo", "--data", str(DATA), "--json", cwd=tmp_path).stdout)
    found = report["summary"]
    assert report["rows"]["companies"]["total_rows"] == 699
    assert report["rows"]["people"]["total_rows"] == 1935
    assert sum(found["companies_by_phase"].values()) == sum(found["stops"].values()) == found["companies"] == 674
    assert sum(found["people_by_validation"].values()) == 1935
    assert found["outbox"] == {"delivered": report["delivered"]}
    lines = (tmp_path / "demo" / "outbox" / "failures.jsonl").read_text().splitlines()
    assert len(lines) == report["delivered"]


def test_fresh_begins_again(tmp_path: Path) -> None:
    words = ("demo", "--data", str(DATA), "--json")
    first = json.loads(outreach(*words, cwd=tmp_path).stdout)
    again = json.loads(outreach(*words, "--fresh", cwd=tmp_path).stdout)
    assert (again["changed"], again["summary"]) == (True, first["summary"])


def test_importing_the_command_line_is_enough_for_python_m() -> None:
    done = subprocess.run([sys.executable, "-m", "phasegate", "outreach", "list"], capture_output=True, text=True)
    assert "Outreach Readiness Evaluation" in done.stdout
