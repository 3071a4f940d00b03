"""`phasegate outreach doubts`, `intent` and `rules check`: what they print, and with which exit code."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import typer

from phasegate.apps.outreach import tables as t
from phasegate.apps.outreach.cli import app
from phasegate.cli import main
from tests.apps.outreach.pipeline_cases import pipeline
from tests.apps.outreach.record_cases import add_company, add_person, company_id, person_id

RULES = "rule_id,rule_type,field,min_value\nsize,field_range,employee_count,50\n"

Call = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PHASEGATE_DATABASE", "sqlite:///outreach.db")
    (tmp_path / "rules.csv").write_text(RULES)
    with pipeline(tmp_path):
        return tmp_path


@pytest.fixture
def filled(folder: Path) -> Path:
    with pipeline(folder) as database:
        for number in range(1, 6):
            company = add_company(database, number, employee_count=7 if number < 3 else 70)
            add_person(database, number, company, title=None if number == 1 else "CEO", email="ellis@acorn.example")
            row = {"company_unique_id": company, "detected_at": database.clock.now, "processed": True}
            database.put(t.bit_events, row | {"signal_type": "Funding Round" if number == 4 else "Executive Movement"})
    return folder


@pytest.fixture
def outreach(capsys: pytest.CaptureFixture[str]) -> Call:
    def call(*words: str, code: int = 0) -> str:
        capsys.readouterr()
        ended = main(["outreach", *words])
        captured = capsys.readouterr()
        assert ended == code, captured
        return captured.err if code else captured.out

    return call


def data(outreach: Call, *words: str) -> Any:
    return json.loads(outreach(*words, "--json"))


def test_doubts_are_listed_with_their_totals(filled: Path, outreach: Call) -> None:
    found = data(outreach, "doubts")
    assert [(each["record_id"], each["garage_bay"]) for each in found["doubts"]] == [(person_id(1), "bay_a")]
    assert found["totals"]["person"] == {"looked_at": 5, "bay_a": 1, "bay_b": 0, "chronic": 0}
    said = outreach("doubts").splitlines()
    row = next(line for line in said if line.startswith("person"))
    assert row.split()[1] == person_id(1)
    assert found["doubts"][0]["last_hash"][:12] in row
    assert said[-1].split() == ["person", "5", "1", "0", "0"]


def test_doubts_may_be_narrowed(filled: Path, outreach: Call) -> None:
    assert data(outreach, "doubts", "--bay", "bay_b")["doubts"] == []
    assert data(outreach, "doubts", "--state", "OH")["totals"]["company"]["looked_at"] == 0
    with pipeline(filled) as database:
        add_company(database, 6, industry=None)
    assert outreach("doubts", "--limit", "1").startswith("More than 1: see them with --limit.\n")
    assert data(outreach, "doubts", "--limit", "1")["more"] is True


def test_intent_is_listed_strongest_first(filled: Path, outreach: Call) -> None:
    found = data(outreach, "intent", "--limit", "2")
    assert [(each["company_unique_id"], each["score"]) for each in found["companies"]] == [
        (company_id(4), 60),
        (company_id(1), 40),
    ]
    assert (found["more"], found["tiers"]["warm"], found["tiers"]["cold"]) == (True, 1, 4)
    assert [each["tier"] for each in data(outreach, "intent", "--tier", "cold")["companies"]] == ["cold"] * 4
    assert outreach("intent", "--tier", "warm").splitlines()[2].split()[0] == company_id(4)


def test_rules_are_checked_and_failing_records_are_no_failure_of_the_command(filled: Path, outreach: Call) -> None:
    found = data(outreach, "rules", "check", "rules.csv")
    assert [each["record_id"] for each in found["failures"]] == [company_id(1), company_id(2)]
    assert (found["population"], found["looked_at"], found["failed"], found["stopped"]) == (5, 5, 2, None)
    said = outreach("rules", "check", "rules.csv")
    assert said.startswith("looked at 5 of 5 records of company_master (rules: 1)\nfailing records: 2, failures: 2\n")
    assert company_id(2) in said


def test_a_check_that_stopped_says_so(filled: Path, outreach: Call) -> None:
    said = outreach("rules", "check", "rules.csv", "--limit", "3").splitlines()
    assert said[0] == "looked at 2 of 5 records of company_master (rules: 1)"
    assert said[2].startswith("stopped early: more than 50% of the records fail;")


def test_failures_may_go_to_a_file(filled: Path, outreach: Call) -> None:
    assert "the failures are in failures.csv" in outreach("rules", "check", "rules.csv", "--output", "failures.csv")
    assert len((filled / "failures.csv").read_text().splitlines()) == 3
    assert data(outreach, "rules", "check", "rules.csv", "--output", "failures.csv")["output"] == "failures.csv"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["doubts"], "No doubts."),
        (["intent"], "No companies with signals."),
        (["rules", "check", "rules.csv"], "looked at 0 of 0 records"),
    ],
)
def test_an_empty_database_is_no_error(folder: Path, outreach: Call, words: list[str], said: str) -> None:
    assert outreach(*words).startswith(said)
    assert data(outreach, *words)


#: Everything that needs a database and is not there to fill one.
ON_WHAT_IS_THERE = (
    ["status"], ["companies"], ["history", "x"], ["why", "x"], ["stuck"], ["failed"], ["orphans"], ["doubts"], ["intent"],
    ["rules", "check", "rules.csv"], ["outbox"], ["outbox", "deliver"], ["1", "--state", "WV"], ["retry", "1"], ["all"],
    ["revalidate"],
)  # fmt: skip


def given(folder: Path, kind: str) -> Path:
    """A file that is missing, empty, or the database of something else."""
    file = folder / "given.db"
    if kind == "empty":
        file.touch()
    elif kind == "foreign":
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("CREATE TABLE hats (size INTEGER)")
    return file


def test_no_command_is_forgotten() -> None:
    named = {words[0] for words in ON_WHAT_IS_THERE} - {"1"} | {"run"}
    assert named == set(typer.main.get_command(app).commands) - {"list", "load", "demo"}  # type: ignore[attr-defined]


@pytest.mark.parametrize("words", ON_WHAT_IS_THERE, ids=" ".join)
@pytest.mark.parametrize("kind", ["missing", "empty", "foreign"])
def test_a_database_that_is_not_ours_is_left_as_it_is(
    folder: Path, outreach: Call, words: list[str], kind: str
) -> None:
    given(folder, kind)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    lines = outreach(*words, "--database", "given.db", code=2).splitlines()
    missing = "error: there is no database given.db"
    assert lines[0] == (missing if kind == "missing" else "error: given.db has no tables of phasegate")
    assert lines[1].startswith("hint: ")
    assert "phasegate db upgrade" in lines[1]
    assert len(lines) == 2
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("kind", ["missing", "empty", "foreign"])
def test_loading_creates_the_tables_beside_what_is_there(folder: Path, outreach: Call, kind: str) -> None:
    file = given(folder, kind)
    (folder / "companies.csv").write_text("company,state\nAcorn Works,WV\n")
    outreach("load", "--companies", "companies.csv", "--database", "given.db")
    assert data(outreach, "doubts", "--database", "given.db")["totals"]["company"]["looked_at"] == 1
    with closing(sqlite3.connect(file)) as connection:
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    assert ("hats" in names) is (kind == "foreign")


def test_a_prepared_database_may_be_looked_at(folder: Path, outreach: Call) -> None:
    assert main(["db", "upgrade", "--database", "given.db"]) == 0
    assert "No companies yet" in outreach("status", "--database", "given.db")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["doubts", "--bay", "bay_c"], "unknown bay 'bay_c'"),
        (["doubts", "--limit", "0"], "--limit"),
        (["intent", "--tier", "tepid"], "unknown tier 'tepid'"),
        (["rules"], "Missing command"),
        (["rules", "check"], "RULES.CSV"),
        (["rules", "check", "none.csv"], "none.csv does not exist"),
        (["rules", "check", "outreach.db"], "outreach.db"),
        (["rules", "check", "rules.csv", "--table", "hats"], "unknown table 'hats'"),
        (["rules", "check", "rules.csv", "--output", "."], "cannot be written"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(folder: Path, outreach: Call, words: list[str], said: str) -> None:
    lines = outreach(*words, code=2).splitlines()
    assert said in lines[0]
    assert [line for line in lines[1:] if not line.startswith("hint: ")] == []
