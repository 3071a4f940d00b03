"""The commands about the database itself."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import Call, Shop


def test_upgrade_creates_a_database_that_all_commands_can_use(cli: Call, file: Path) -> None:
    assert cli("db", "current").code == 2
    made = cli("db", "upgrade", "--json")
    assert (made.code, made.data["path"]) == (0, str(file))
    assert cli("db", "current", "--json").data["version"] == made.data["version"]
    assert cli("runs").out == "No runs.\n"


def test_upgrade_leaves_what_is_up_to_date_as_it_is(cli: Call, shop: Shop) -> None:
    before = cli("show", "client:acme", "--history", "--json").data
    assert cli("db", "upgrade").out.endswith(f"has schema {cli('db', 'current', '--json').data['version']}\n")
    assert cli("show", "client:acme", "--history", "--json").data == before


def test_a_database_of_something_else_has_no_version(cli: Call, file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE hats (size INTEGER)")
    before = file.read_bytes()
    assert cli("db", "current", "--json").data["version"] is None
    assert cli("db", "current").out.endswith("has no tables of phasegate\n")
    assert file.read_bytes() == before


def test_a_directory_has_no_version(cli: Call, tmp_path: Path) -> None:
    ended = cli("db", "current", database=str(tmp_path))
    assert (ended.code, ended.err.splitlines()[0]) == (2, f"error: {tmp_path} is a directory")


@pytest.mark.parametrize("command", ["upgrade", "current"])
def test_a_file_that_is_no_database_is_refused(cli: Call, file: Path, command: str) -> None:
    file.write_bytes(b"hats, gloves\n" * 500)
    ended = cli("db", command)
    assert (ended.code, len(ended.err.splitlines())) == (2, 2)
    assert ended.err.startswith(f"error: {file} is not a database\n")
    assert file.read_bytes() == b"hats, gloves\n" * 500


def test_a_newer_schema_is_not_touched_by_an_upgrade(cli: Call, shop: Shop, file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE phasegate_version SET version_num = '9999'")
    ended = cli("db", "upgrade")
    assert ended.code == 2
    assert "9999" in ended.err
    assert cli("db", "current", "--json").data["version"] == "9999"


def test_going_back_has_to_be_meant(cli: Call, shop: Shop) -> None:
    refused = cli("db", "downgrade", "base")
    assert (refused.code, len(refused.err.splitlines())) == (2, 2)
    assert "base loses every run" in refused.err
    assert cli("runs", "--json").data["runs"] != []
    gone = cli("db", "downgrade", "base", "--yes")
    assert (gone.code, gone.out.endswith("has no tables of phasegate any more\n")) == (0, True)
    assert cli("db", "current", "--json").data["version"] is None
    cli("db", "upgrade")
    assert cli("runs").out == "No runs.\n"


def test_nothing_leads_back_to_a_version_that_never_was(cli: Call, shop: Shop) -> None:
    refused = cli("db", "downgrade", "0000", "--yes")
    assert (refused.code, refused.err.splitlines()[0]) == (2, "error: nothing leads back to schema '0000'")
    assert cli("runs", "--json").data["runs"] != []


def test_the_password_of_an_address_is_not_printed(cli: Call) -> None:
    shown = cli("db", "path", database="postgresql://kim:hush@db.example.com/runs")
    assert shown.out == "postgresql://kim:***@db.example.com/runs\n"
