"""People whose file does not name a known company: found by likeness, or kept without one until it is certain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phasegate import Engine, Subject
from phasegate.apps.outreach import answers, reports
from phasegate.apps.outreach.importing import import_id, load_companies, load_people
from phasegate.apps.outreach.showing import held_lines
from tests.apps.outreach.phase_cases import business_rows, opened, rows

# Two letters exchanged in a word of twenty-five give a likeness of 0.92, three in twenty 0.85.
LONG = "abcdefghijklmnopqrstuvwxy"
SHORT = LONG[:20]
ALIKE, LESS_ALIKE = "00" + LONG[2:], "000" + SHORT[3:]

Told = tuple[str, float | None, str | None]


def companies(engine: Engine, folder: Path, *lines: str) -> dict[str, Any]:
    """Load companies, each given as ``name,website,city``."""
    path = folder / f"companies-{len(list(folder.iterdir()))}.csv"
    path.write_text("company,website,city\n" + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return load_companies(engine, path)["statistics"]


def people(engine: Engine, folder: Path, *lines: str) -> dict[str, Any]:
    """Load people, each given as ``company id,company,city,email``; they are called Ellis A, Ellis B and so on."""
    named = (f"Ellis {chr(65 + place)},{line}" for place, line in enumerate(lines))
    path = folder / f"people-{len(list(folder.iterdir()))}.csv"
    path.write_text("full_name,company_id,company,city,email\n" + "".join(f"{each}\n" for each in named))
    return load_people(engine, path)["statistics"]


def told(engine: Engine) -> list[Told]:
    """Of every person the company's name, or what the file had, and how certain it is, with the reason of a hold."""
    query = (
        "SELECT coalesce(c.company_name, p.company_unique_id) AS company, r.match_score AS score, r.hold_reason AS reason "
        "FROM people_master p LEFT JOIN company_master c ON c.company_unique_id = p.company_unique_id "
        "JOIN people_raw_intake r ON r.person_unique_id = p.unique_id ORDER BY p.full_name"
    )
    return [(row["company"], row["score"], row["reason"]) for row in engine.read(query)]


@pytest.mark.parametrize(
    ("known", "person", "expected"),
    [
        pytest.param([f"{LONG},,"], f",{LONG.upper()},,", (LONG, None, None), id="named"),
        pytest.param(["Acme Inc,,"], ',"Acme, LLC",,', ("Acme Inc", 0.95, None), id="the same but for its legal form"),
        pytest.param([f"{LONG},,"], f",{ALIKE},,", (LONG, 0.92, None), id="alike"),
        pytest.param(["Acme,acme.example,"], ",Beta,,jo@acme.example", ("Acme", 1.0, None), id="mail at its domain"),
        pytest.param(
            ["Acme,gmail.com,"], ",Beta,,jo@gmail.com", ("Beta", 0.0, "no_match"), id="mail where everybody may have it"
        ),
        pytest.param(
            ["Acme,facebook.com/acme,"], ",Beta,,jo@facebook.com", ("Beta", 0.0, "no_match"), id="mail at a shared host"
        ),
        pytest.param(["Acme Inc,,", "Acme LLC,,"], ",Acme,,", ("Acme", 0.95, "collision"), id="two candidates"),
        pytest.param([f"{SHORT},,Akron"], f",{LESS_ALIKE},,", (LESS_ALIKE, 0.85, "low_confidence"), id="less alike"),
        pytest.param(
            [f"{SHORT},,Akron"], f",{LESS_ALIKE},Boise,", (LESS_ALIKE, 0.85, "low_confidence"), id="in another city"
        ),
        pytest.param([f"{SHORT},,Akron"], f",{LESS_ALIKE},AKRON,", (SHORT, 0.85, None), id="in the same city"),
        pytest.param(["Acme,,"], "C-17,,,jo@gmail.com", ("C-17", 0.0, "missing_data"), id="neither name nor domain"),
        pytest.param(["Acme,,"], "C-17,Beta,,", ("C-17", 0.0, "no_match"), id="nothing alike"),
        pytest.param([f"{LONG},,"], f"C-17,{ALIKE},,", (LONG, 0.92, None), id="an id of another system proves nothing"),
        pytest.param(
            ["Acme,acme.example,"],
            "04.04.02.04.30000.999,Acme Inc,,jo@acme.example",
            ("04.04.02.04.30000.999", 0.0, "no_match"),
            id="an id of ours is that of another company",
        ),
    ],
)
def test_how_a_company_is_found(known: list[str], person: str, expected: Told, tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        assert companies(engine, tmp_path, *known)["inserted_rows"] == len(known)
        people(engine, tmp_path, person)
        assert told(engine) == [expected]


def test_the_statistics_count_how_companies_were_found(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        companies(engine, tmp_path, f"{LONG},,", f"{SHORT[::-1]},,Akron")
        counts = people(
            engine, tmp_path, f",{LONG},,", f",{ALIKE},,", f",{LESS_ALIKE[::-1]},,", "C-17,,,", ",Acme,,", ",Beta,,"
        )
        assert (counts["inserted_rows"], counts["matched_rows"], counts["orphan_rows"]) == (6, 1, 4)
        assert counts["held_rows"] == {"low_confidence": 1, "missing_data": 1, "no_match": 2}
        assert held_lines({"people": {"statistics": counts}}) == [
            "  1 found their company by likeness",
            "  4 without a company: low_confidence 1, missing_data 1, no_match 2 (phasegate outreach orphans)",
        ]


def test_a_dry_run_counts_the_same_and_keeps_nothing(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text(f"full_name,company\nEllis A,{ALIKE}\nEllis B,Acme\n")
    with opened(tmp_path) as engine:
        companies(engine, tmp_path, f"{LONG},,")
        before = business_rows(engine)
        dry = load_people(engine, path, dry_run=True)["statistics"]
        assert business_rows(engine) == before
        real = load_people(engine, path)["statistics"]
        for name in ("matched_rows", "held_rows", "orphan_rows"):
            assert dry[name] == real[name]
        assert (real["matched_rows"], real["held_rows"]) == (1, {"no_match": 1})


def test_people_without_a_company_are_listed_with_the_reason(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        companies(engine, tmp_path, f"{SHORT},,Akron")
        assert answers.orphans(engine, 5).lines == ("Everybody has a company.",)
        people(engine, tmp_path, f",{LESS_ALIKE},,", f",{SHORT},,", "C-17,Acme,,")
        listed = [tuple(row.values())[1:] for row in engine.read(reports.orphan_people())]
        assert listed == [
            ("Ellis A", LESS_ALIKE, LESS_ALIKE, "low_confidence", 0.85),
            ("Ellis C", "C-17", "Acme", "no_match", 0),
        ]
        answer = answers.orphans(engine, 1)
        assert answer.lines == ("2 without a company: low_confidence 1, no_match 1",)
        assert (answer.data["total"], len(answer.data["people"]), len(answer.sheets[0].rows)) == (2, 1, 1)


# --- companies that come later --------------------------------------------------------------------------------------


def test_a_company_that_comes_later_is_found_by_likeness_too(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        people(engine, tmp_path, f",{ALIKE},,", ",Beta,,jo@acme.example", f",{LESS_ALIKE[::-1]},Akron,", ",Gamma,,")
        assert {reason for _, _, reason in told(engine)} == {"no_match"}
        counts = companies(engine, tmp_path, f"{LONG},,", "Acme,acme.example,", f"{SHORT[::-1]},,Akron")
        assert counts["adopted_people"] == 3
        assert told(engine) == [
            (LONG, 0.92, None),
            ("Acme", 1.0, None),
            (SHORT[::-1], 0.85, None),
            ("Gamma", 0.0, "no_match"),
        ]


def test_a_company_that_is_named_ends_a_hold(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        companies(engine, tmp_path, "Acme Inc,,", "Acme LLC,,")
        people(engine, tmp_path, ",Acme,,", "04.04.02.04.30000.009,,,")
        assert [reason for _, _, reason in told(engine)] == ["collision", "no_match"]
        path = tmp_path / "named.csv"
        path.write_text("company_id,company\n04.04.02.04.30000.009,Beta\n,Acme\n")
        assert load_companies(engine, path)["statistics"]["adopted_people"] == 2
        assert told(engine) == [("Acme", None, None), ("Beta", None, None)]


def test_a_new_company_as_like_as_a_known_one_makes_neither_certain(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        companies(engine, tmp_path, f"{SHORT},,Boise")
        people(engine, tmp_path, f",{LESS_ALIKE},Akron,")
        assert told(engine) == [(LESS_ALIKE, 0.85, "low_confidence")]
        # Alone the new company, in the same city, would be taken.
        assert companies(engine, tmp_path, f"111{SHORT[3:]},,Akron")["adopted_people"] == 0
        assert told(engine) == [(LESS_ALIKE, 0.85, "collision")]


def test_a_person_whose_company_is_on_its_way_stays_with_it(tmp_path: Path) -> None:
    path = tmp_path / "under-way.csv"
    path.write_text("company,company_id\nAcme,C-17\n")
    with opened(tmp_path) as engine:
        # The file is registered, then the process ends before the company has started.
        given = {"path": str(path), "kind": "companies", "sha256": import_id(path, None), "mapping": None}
        engine.start("outreach-import", Subject("import", import_id(path, None)), key="companies", input=given)
        engine.drain()
        assert people(engine, tmp_path, "C-17,Beta,,", ",Acme Inc,,")["orphan_rows"] == 0
        assert companies(engine, tmp_path, "Beta,,", "Acme Ltd,,")["adopted_people"] == 0
        load_companies(engine, path)
        assert told(engine) == [("Acme", None, None), ("Acme", 0.95, None)]


def test_people_that_no_file_brought_are_found_as_well(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        engine.write([("INSERT INTO people_master (unique_id, company_name) VALUES ('p', :name)", {"name": ALIKE})])
        assert companies(engine, tmp_path, f"{LONG},,")["adopted_people"] == 1
        (person,) = rows(engine, "people_master", "company_unique_id")
        assert person["company_unique_id"] == "04.04.02.04.30000.001"
