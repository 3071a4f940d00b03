from __future__ import annotations

import json
from pathlib import Path

import pytest

from phasegate import Engine, InputError, Subject
from phasegate.apps.outreach.importing import import_id, load, load_companies, load_people
from tests.apps.outreach.phase_cases import COMPANIES, PEOPLE, all_rows, business_rows, opened, rows

HEADER = "company,website,headcount,state,linkedin_url\n"
STATISTICS = {
    "total_rows",
    "valid_rows",
    "invalid_rows",
    "duplicate_rows",
    "inserted_rows",
    "error_count",
    "errors",
    "duration_seconds",
    "timestamp",
}


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def company_line(name: str) -> str:
    slug = name.lower().replace(" ", "-")
    return f"{name},https://{slug}.example,120,WV,https://www.linkedin.com/company/{slug}\n"


def names(engine: Engine) -> dict[str, str]:
    return {row["company_name"]: row["company_unique_id"] for row in rows(engine, "company_master")}


def test_the_example_files_are_loaded_row_by_row(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        found = load(engine, companies=COMPANIES, people=PEOPLE)
        result = found["companies"]
        assert (result["phase_id"], result["phase_name"], result["dry_run"]) == (0, "Intake Load", False)
        counts = result["statistics"]
        assert counts.keys() >= STATISTICS
        assert (counts["total_rows"], counts["valid_rows"], counts["inserted_rows"]) == (699, 674, 674)
        assert (counts["invalid_rows"], counts["duplicate_rows"], counts["error_count"]) == (11, 14, 11)
        assert len(counts["errors"]) == 10
        people = found["people"]["statistics"]
        assert (people["total_rows"], people["inserted_rows"], people["orphan_rows"]) == (1935, 1935, 64)
        assert (people["matched_rows"], people["held_rows"]) == (0, {"no_match": 64})
        assert len(rows(engine, "company_master", "company_unique_id")) == 674
        assert len(rows(engine, "company_raw_intake", "id")) == 699
        assert len(rows(engine, "people_raw_intake", "id")) == 1935
        logged = rows(engine, "phase_completion_log", "phase_id", "status")
        assert {(float(row["phase_id"]), row["status"]) for row in logged} == {(0, "complete")}
        assert len(logged) == 674


def test_the_same_files_again_change_nothing_and_are_reported_as_duplicates(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        load(engine, companies=COMPANIES, people=PEOPLE)
        before = all_rows(engine)
        again = load(engine, companies=COMPANIES, people=PEOPLE)
        assert all_rows(engine) == before
        counts = again["companies"]["statistics"]
        assert (counts["valid_rows"], counts["duplicate_rows"], counts["inserted_rows"]) == (0, 688, 0)
        assert again["people"]["statistics"]["inserted_rows"] == 0


def test_a_dry_run_gives_the_counts_and_leaves_no_row(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        before = business_rows(engine)
        dry = load(engine, companies=COMPANIES, people=PEOPLE, dry_run=True)
        assert business_rows(engine) == before
        assert all_rows(engine)["phasegate_runs"] == 0
        real = load(engine, companies=COMPANIES, people=PEOPLE)
        for kind in ("companies", "people"):
            assert dry[kind]["dry_run"]
            volatile = ("duration_seconds", "timestamp")
            told = [{k: v for k, v in each[kind]["statistics"].items() if k not in volatile} for each in (dry, real)]
            assert told[0] == told[1]


def test_ids_go_on_where_the_last_file_ended(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        load_companies(
            engine, write(tmp_path / "one.csv", HEADER + company_line("Aspen Mills") + company_line("Birch Row"))
        )
        load_companies(engine, write(tmp_path / "two.csv", HEADER + company_line("Cedar Hill")))
        assert names(engine) == {
            "Aspen Mills": "04.04.02.04.30000.001",
            "Birch Row": "04.04.02.04.30000.002",
            "Cedar Hill": "04.04.02.04.30000.003",
        }


def test_a_company_that_is_loaded_already_is_a_duplicate_in_another_file(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        load_companies(engine, write(tmp_path / "one.csv", HEADER + company_line("Aspen Mills")))
        text = HEADER + company_line("ASPEN MILLS") + company_line("Birch Row")
        counts = load_companies(engine, write(tmp_path / "two.csv", text))["statistics"]
        assert (counts["valid_rows"], counts["duplicate_rows"], counts["inserted_rows"]) == (1, 1, 1)
        assert len(names(engine)) == 2


def test_ids_of_ours_are_kept_and_the_counter_goes_past_them(tmp_path: Path) -> None:
    text = "company_id,company\n04.04.02.04.30000.007,Aspen Mills\nC-17,Birch Row\n"
    with opened(tmp_path) as engine:
        load_companies(engine, write(tmp_path / "ids.csv", text))
        assert names(engine) == {"Aspen Mills": "04.04.02.04.30000.007", "Birch Row": "04.04.02.04.30000.008"}
        kept = {row["company_name"]: row["source_record_id"] for row in rows(engine, "company_master")}
        assert kept["Birch Row"] == "C-17"
        people = "company_id,full_name\nC-17,Ellis Jarrow\n04.04.02.04.30000.007,Wren Lockhart\nC-99,Lane Holloway\n"
        counts = load_people(engine, write(tmp_path / "people.csv", people))["statistics"]
        assert counts["orphan_rows"] == 1
        homes = {row["full_name"]: row["company_unique_id"] for row in rows(engine, "people_master")}
        assert homes == {
            "Ellis Jarrow": "04.04.02.04.30000.008",
            "Wren Lockhart": "04.04.02.04.30000.007",
            "Lane Holloway": "C-99",
        }


def test_a_load_that_was_interrupted_is_completed_with_the_same_ids(tmp_path: Path) -> None:
    path = write(tmp_path / "one.csv", HEADER + company_line("Aspen Mills") + company_line("Birch Row"))
    with opened(tmp_path) as engine:
        # The file is registered, then the process ends before a single company has started.
        given = {"path": str(path), "kind": "companies", "sha256": import_id(path, None), "mapping": None}
        engine.start("outreach-import", Subject("import", import_id(path, None)), key="companies", input=given)
        engine.drain()
        assert names(engine) == {}
    with opened(tmp_path) as engine:
        counts = load_companies(engine, path)["statistics"]
        assert (counts["valid_rows"], counts["inserted_rows"]) == (2, 2)
        assert sorted(names(engine).values()) == ["04.04.02.04.30000.001", "04.04.02.04.30000.002"]


def test_people_find_their_company_when_it_comes_later(tmp_path: Path) -> None:
    people = write(tmp_path / "people.csv", "company,full_name,title\nAspen Mills,Ellis Jarrow,CEO\n")
    with opened(tmp_path) as engine:
        assert load_people(engine, people)["statistics"]["orphan_rows"] == 1
        counts = load_companies(engine, write(tmp_path / "one.csv", HEADER + company_line("Aspen Mills")))["statistics"]
        assert counts["adopted_people"] == 1
        assert rows(engine, "people_master")[0]["company_unique_id"] == names(engine)["Aspen Mills"]


def test_rows_that_cannot_be_loaded_are_kept_reported_and_put_in_the_outbox(tmp_path: Path) -> None:
    text = HEADER + company_line("Aspen Mills") + "Birch Row,https://birch.example,51-200,WV,\n"
    with opened(tmp_path) as engine:
        counts = load_companies(engine, write(tmp_path / "one.csv", text))["statistics"]
        assert counts["errors"] == ["line 3: employee_count '51-200' is not a whole number"]
        assert [row["verdict"] for row in rows(engine, "company_raw_intake")] == ["valid", "invalid"]
        assert [row["error_code"] for row in rows(engine, "error_master")] == ["invalid_row"]
        payload = json.loads(rows(engine, "failure_outbox")[0]["payload"])
        assert payload["row_data"]["employee_count"] == "51-200"
        assert payload["failures"][0]["field"] == "employee_count"


def test_another_mapping_of_the_same_file_is_another_import(tmp_path: Path) -> None:
    path = write(tmp_path / "one.csv", "Firm,company\nAspen Mills,x\n")
    assert import_id(path, {"Firm": "company_name"}) != import_id(path, None)
    with opened(tmp_path) as engine:
        load_companies(engine, path, mapping={"Firm": "company_name"})
        assert list(names(engine)) == ["Aspen Mills"]


def test_a_file_that_cannot_be_used_is_refused_before_anything_is_recorded(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        with pytest.raises(InputError, match="does not exist"):
            load_companies(engine, tmp_path / "missing.csv")
        with pytest.raises(InputError, match="no column for"):
            load_companies(engine, write(tmp_path / "odd.csv", "colour\nred\n"))
        assert all_rows(engine)["phasegate_runs"] == 0


def test_a_file_that_changed_before_it_was_registered_is_not_mistaken_for_itself(tmp_path: Path) -> None:
    path = write(tmp_path / "one.csv", HEADER + company_line("Aspen Mills"))
    with opened(tmp_path) as engine:
        given = {"path": str(path), "kind": "companies", "sha256": import_id(path, None), "mapping": None}
        subject = Subject("import", import_id(path, None))
        write(path, HEADER + company_line("Birch Row"))
        started = engine.start("outreach-import", subject, key="companies", input=given)
        engine.drain()
        assert "has changed" in (engine.get(started.id).reason or "")
        assert rows(engine, "company_raw_intake") == []
        # The file as it was can still be loaded.
        load_companies(engine, write(path, HEADER + company_line("Aspen Mills")))
        assert list(names(engine)) == ["Aspen Mills"]
