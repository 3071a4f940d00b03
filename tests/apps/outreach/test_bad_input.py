"""Whatever is wrong with what is given: one line that says what to do, exit code 2, nothing half-written, no traceback."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.apps.outreach.demo_job import Tables, outreach, tables_of

GOOD = "company,employees,state\nAcorn Works,100,WV\nBirch Works,200,WV\n"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loaded")
    (folder / "good.csv").write_text(GOOD)
    done = outreach("load", "--companies", "good.csv", cwd=folder, database=folder / "outreach.db")
    assert done.returncode == 0, done.stderr
    return folder / "outreach.db"


def refused(*words: str, database: Path, cwd: Path, code: int = 2, **settings: str) -> str:
    done = outreach(*words, cwd=cwd, database=database, settings=settings)
    assert done.returncode == code, (done.stdout, done.stderr)
    lines = done.stderr.splitlines()
    assert lines[0].startswith("error: ")
    assert [line for line in lines[1:] if not line.startswith("hint: ")] == []
    assert "Traceback" not in done.stdout + done.stderr
    return done.stderr


# --- what is asked for ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["9"], "unknown phase '9'"),
        (["1.2"], "unknown phase '1.2'"),
        (["nobody"], "unknown phase 'nobody'"),
        (["Compny Validation"], "did you mean 'Company Validation'?"),
        (["3", "1"], "not in ascending order"),
        (["1", "1"], "not in ascending order"),
        (["1", "9"], "unknown phase '9'"),
        (["1", "--limit", "-1"], "--limit"),
        (["1", "--limit", "many"], "--limit"),
        (["1", "--nothing"], "--nothing"),
        (["--nothing"], "--nothing"),
        (["load"], "nothing to load"),
        (["history", "nobody"], "unknown company 'nobody'"),
        (["why", "nobody"], "unknown company 'nobody'"),
        (["retry", "9"], "unknown phase '9'"),
        (["stuck", "--hours", "x"], "--hours"),
        (["outbox", "burn"], "'burn'"),
        (["companies", "--phase", "7"], "unknown phase '7'"),
        (["demo", "--data", "nowhere"], "nowhere"),
    ],
)
def test_requests_that_cannot_be(words: list[str], said: str, loaded: Path, tmp_path: Path) -> None:
    before = tables_of(loaded)
    assert said in refused(*words, database=loaded, cwd=tmp_path)
    assert tables_of(loaded) == before


# --- files ----------------------------------------------------------------------------------------------------------


def _huge_cell(path: Path) -> None:
    path.write_text("company,employees\n" + "x" * (10 * 1024 * 1024) + ",100\n")


FILES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "empty": lambda path: path.write_bytes(b""),
    "only blanks": lambda path: path.write_text("\n\n  \n"),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 64),
    "zip": lambda path: path.write_bytes(b"PK\x03\x04" + b"\0" * 100),
    "directory": lambda path: path.mkdir(),
    "missing columns": lambda path: path.write_text("colour,shape\nred,round\n"),
    "huge cell": _huge_cell,
    "open quote": lambda path: path.write_text('company,employees\n"Acorn Works,100\nBirch Works,200\n'),
    "nuls": lambda path: path.write_bytes(b"company,employees\nAcorn\0Works,100\n"),
    "duplicate ids": lambda path: path.write_text(
        "company_unique_id,company\n04.04.02.04.30000.007,Acorn Works\n04.04.02.04.30000.007,Birch Works\n"
    ),
    "wrong encoding": lambda path: path.write_bytes(b"\xff\xfecompany,employees\n"),
}


@pytest.mark.parametrize("kind", FILES)
def test_files_that_cannot_be_loaded(kind: str, loaded: Path, tmp_path: Path) -> None:
    file = tmp_path / "given.csv"
    FILES[kind](file)
    before = tables_of(loaded)
    said = refused("load", "--companies", str(file), database=loaded, cwd=tmp_path)
    assert "given.csv" in said
    assert tables_of(loaded) == before


def test_a_bad_file_of_people_leaves_the_companies_alone(loaded: Path, tmp_path: Path) -> None:
    (tmp_path / "more.csv").write_text("company\nCedar Works\n")
    (tmp_path / "people.csv").write_bytes(b"")
    before = tables_of(loaded)
    refused("load", "--companies", "more.csv", "--people", "people.csv", database=loaded, cwd=tmp_path)
    assert tables_of(loaded) == before


def test_an_encoding_of_office_programs_is_read(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes("company\nCaf\xe9 Wörks\n".encode("cp1252"))
    done = outreach("load", "--companies", "latin.csv", cwd=tmp_path, database=tmp_path / "o.db")
    assert done.returncode == 0, done.stderr
    assert rows_of(tmp_path / "o.db") == ["Caf\xe9 Wörks"]


def rows_of(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        return [row[0] for row in connection.execute("SELECT company_name FROM company_master")]


# --- databases ------------------------------------------------------------------------------------------------------


def test_database_that_does_not_exist(tmp_path: Path) -> None:
    assert "there is no database" in refused("1", "--state", "WV", database=tmp_path / "none.db", cwd=tmp_path)
    assert not (tmp_path / "none.db").exists()


def test_database_that_is_something_else(tmp_path: Path) -> None:
    (tmp_path / "o.db").write_text("hello " * 1000)
    assert "is not a database" in refused("status", database=tmp_path / "o.db", cwd=tmp_path)
    assert (tmp_path / "o.db").read_text() == "hello " * 1000


def test_database_that_is_a_directory(tmp_path: Path) -> None:
    (tmp_path / "o.db").mkdir()
    assert "is a directory" in refused("status", database=tmp_path / "o.db", cwd=tmp_path)


def test_database_of_a_newer_schema(loaded: Path, tmp_path: Path) -> None:
    copy = copied(loaded, tmp_path)
    with closing(sqlite3.connect(copy)) as connection:
        table = connection.execute("SELECT name FROM sqlite_master WHERE name LIKE '%version%'").fetchone()[0]
        connection.execute(f"UPDATE {table} SET version_num = '9999'")
        connection.commit()
    before = tables_of(copy)
    assert "9999" in refused("1", "--state", "WV", database=copy, cwd=tmp_path)
    assert tables_of(copy) == before


def test_database_that_may_not_be_written(loaded: Path, tmp_path: Path) -> None:
    copy = copied(loaded, tmp_path)
    copy.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        if os.access(copy, os.W_OK):  # the superuser may write all of it: then the phase simply does its work
            assert outreach("1", "--state", "WV", cwd=loaded.parent, database=copy).returncode == 0
        else:
            assert "cannot be" in refused("1", "--state", "WV", database=copy, cwd=loaded.parent)
    finally:
        tmp_path.chmod(0o755)


def test_database_locked_by_another_process(loaded: Path, tmp_path: Path) -> None:
    copy = copied(loaded, tmp_path)
    before: Tables = tables_of(copy)
    with closing(sqlite3.connect(copy, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        (tmp_path / "more.csv").write_text("company,employees,state\nCedar Works,100,WV\n")
        load = ("load", "--companies", "more.csv")
        assert "locked" in refused(*load, database=copy, cwd=tmp_path, PHASEGATE_BUSY="0.5")
        # A phase that could not be done is the failed result of the guide; looking needs no lock.
        done = outreach("1", "--state", "WV", cwd=tmp_path, database=copy, settings={"PHASEGATE_BUSY": "0.5"})
        assert (done.returncode, "locked" in done.stdout, "Traceback" in done.stdout + done.stderr) == (1, True, False)
        assert outreach("status", cwd=tmp_path, database=copy, settings={"PHASEGATE_BUSY": "0.5"}).returncode == 0
    assert tables_of(copy) == before


def copied(database: Path, folder: Path) -> Path:
    copy = folder / "copy.db"
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy
