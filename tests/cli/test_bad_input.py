"""What cannot be is refused in one line that says what to do, and nothing is changed."""

from __future__ import annotations

import itertools
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from phasegate import Engine, Subject
from tests.cli.conftest import Call, Shop
from tests.cli.shop import registry


def seen_by(shop: Shop) -> str:
    return str(shop.offer.at("release").shown)


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["show", "nobody"], "unknown run 'nobody'", "phasegate runs lists them"),
        (["show", "k"], "unknown run 'k'", "phasegate runs lists them"),
        (["why", "client:nobody"], "unknown subject 'client:nobody'", None),
        (["show", "client:"], "a subject is written kind:id, not 'client:'", "such as company:acme"),
        (["runs", "--subject", "acme"], "a subject is written kind:id, not 'acme'", "such as company:acme"),
        (["runs", "--flow", "ofer"], "unknown flow 'ofer'", "did you mean 'offer'?"),
        (["flows", "offer@9"], "unknown version of flow 'offer' '9'", "known: 1"),
        (["flows", "--mermaid"], "which flow is to be drawn?", "phasegate flows NAME --mermaid"),
        (["retry", "client:bolt", "sned"], "unknown phase 'sned'", "did you mean 'send'?"),
        (["skip", "client:acme", "relese"], "unknown phase 'relese'", "did you mean 'release'?"),
        (["reset", "client:acme", "draught"], "unknown phase 'draught'", "did you mean 'draft'?"),
        (["retry", "client:acme"], "has no failed phase to retry", None),
        (["resume", "client:acme"], "is waiting, not paused", None),
        (["answer", "client:acme", "draft", "--by", "b", "--answers", "1"], "phase 'draft' has asked nothing", None),
        (["decide", "client:acme", "draft", "approved", "--by", "b"], "is not a gate", "gates: release"),
        (["decide", "client:acme", "relase", "approved", "--by", "b"], "unknown phase 'relase'", "did you mean 'release'?"),
        (["decide", "client:acme", "release", "approve", "--by", "b"], "unknown outcome 'approve'", "did you mean 'approved'?"),
        (["decide", "client:acme", "release", "approved", "--by", "b"], "gate 'release' shows draft", "seen="),
        (["decide", "client:acme", "release", "approved"], "Missing option '--by'", "phasegate decide --help"),
        (["decide", "year:next", "approve", "approved", "--by", "b"], "do not fit the form", None),
        (["decide", "year:next", "approve", "approved", "--by", "b", "--answers", '{"budget": 1}'], "may not", "chair"),
        (["decide", "year:next", "approve", "approved", "--by", "b", "--answers", "{x"], "--answers is not JSON", "such as"),
        (["decide", "year:next", "approve", "approved", "--by", "b", "--answers", "@none"], "none cannot be read", "after @"),
        (["decide", "year:next", "approve", "approved", "--by", "b", "--answers", "@."], "Is a directory", "after @"),
        (["runs", "--statsu", "failed"], "No such option: --statsu", "phasegate runs --help"),
        (["runs", "--status", "done"], "'done' is not one of", "phasegate runs --help"),
        (["runs", "--limit", "0"], "Invalid value for '--limit'", "phasegate runs --help"),
        (["rnus"], "No such command 'rnus'. Did you mean 'runs'?", "phasegate --help"),
        (["db"], "Missing command", "phasegate db --help"),
        ([], "Missing command", "phasegate --help"),
        (["runs", "--app", "shop"], "code is named as module:attribute, not 'shop'", "such as --app"),
        (["runs", "--app", "no.such:thing"], "there is no module 'no'", "check the name"),
        (["runs", "--app", "tests.cli.shop:regystry"], "unknown attribute of tests.cli.shop 'regystry'", "'registry'"),
        (["worker", "--app", "tests.cli.shop:NOT_A_REGISTRY"], "is neither a Registry nor a function", None),
        (["worker", "--app", "phasegate:Registry"], "the registry has no flow to work on", "--app"),
        (["worker", "--concurrency", "0"], "Invalid value for '--concurrency'", "phasegate worker --help"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be(cli: Call, shop: Shop, words: list[str], error: str, hint: str | None) -> None:
    before = shop.engine.read("SELECT count(*) AS facts FROM phasegate_facts")
    ended = cli(*words)
    assert ended.code == 2
    assert ended.out == ""
    lines = ended.err.splitlines()
    assert lines[0].startswith("error: ")
    assert error in lines[0]
    assert [line[: len("hint: ")] for line in lines[1:]] == ["hint: "] * (hint is not None)
    assert hint is None or hint in lines[1]
    assert shop.engine.read("SELECT count(*) AS facts FROM phasegate_facts") == before


def test_what_came_too_late_says_who_was_first(cli: Call, shop: Shop) -> None:
    decide = ("decide", "client:acme", "release", "approved", "--seen", seen_by(shop), "--by")
    assert cli(*decide, "bea").code == 0
    second = cli(*decide, "cid")
    assert second.code == 1
    assert "by bea at " in second.err


def test_a_decision_about_something_else_than_is_shown_is_refused(cli: Call, shop: Shop) -> None:
    ended = cli("decide", "client:acme", "release", "approved", "--by", "bea", "--seen", "0" * 64)
    assert ended.code == 1
    assert "has changed since you saw it" in ended.err
    assert seen_by(shop) in ended.err


def test_answers_in_another_encoding_are_refused(cli: Call, shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "answers").write_bytes(b'{"name": "caf\xe9"}')
    ended = cli("answer", "person:p:1", "interview", "--by", "b", "--answers", f"@{tmp_path}/answers")
    assert (ended.code, ended.err.splitlines()[0]) == (2, f"error: {tmp_path}/answers is not UTF-8 text")


def test_an_ambiguous_beginning_is_refused(cli: Call, shop: Shop) -> None:
    # The first letters of an id are its time: runs made together begin alike.
    alike = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(shop.offer.id, shop.survey.id, strict=True))
    beginning = "".join(letter for letter, _ in alike)
    assert beginning
    ended = cli("pause", beginning)
    assert ended.code == 2
    assert "only one run's begins so" in ended.err


def test_a_defect_in_the_code_of_a_flow_is_one_line(
    cli: Call, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "broken_shop.py").write_text("raise RuntimeError('first line\\nsecond \\x1b[31mline')")
    ended = cli("flows", "--app", "broken_shop:registry")
    assert ended.code == 1
    assert ended.err == (
        "error: RuntimeError: first line second \\x1b[31mline (run again with --verbose to see where)\n"
    )
    assert "Traceback" in cli("flows", "--app", "broken_shop:registry", "--verbose").err


def test_a_module_that_misses_another_one_is_told_apart_from_one_that_is_missing(
    cli: Call, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "needy_shop.py").write_text("import not_installed_anywhere")
    ended = cli("flows", "--app", "needy_shop:registry")
    assert ended.code == 1
    assert "ModuleNotFoundError: No module named 'not_installed_anywhere'" in ended.err


def test_a_traceback_is_only_for_those_who_ask(cli: Call, shop: Shop) -> None:
    assert "Traceback" not in cli("show", "nobody").err
    verbose = cli("show", "nobody", "--verbose")
    assert "Traceback" in verbose.err
    assert verbose.err.splitlines()[-2] == "error: unknown run 'nobody'"
    assert verbose.code == 2


def test_an_error_is_json_too(cli: Call, shop: Shop) -> None:
    ended = cli("retry", "client:bolt", "sned", "--json")
    assert ended.data == {
        "error": {"type": "UnknownName", "message": "unknown phase 'sned'", "hint": "did you mean 'send'?"}
    }
    assert ended.err.startswith("error: unknown phase 'sned'\n")


# --- databases ------------------------------------------------------------------------------------------------------


def test_looking_does_not_create_a_database(cli: Call, file: Path) -> None:
    ended = cli("runs")
    assert ended.code == 2
    assert ended.err.splitlines()[0] == f"error: there is no database {file}"
    assert not file.exists()


@pytest.mark.parametrize("words", [["runs"], ["show", "client:acme"], ["flows"], ["workers"], ["pause", "client:acme"]])
@pytest.mark.parametrize("table", [None, "hats"])
def test_what_has_no_tables_of_phasegate_gets_none(cli: Call, file: Path, words: list[str], table: str | None) -> None:
    file.touch()
    if table:
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute(f"CREATE TABLE {table} (size INTEGER)")
    before = file.read_bytes()
    ended = cli(*words)
    assert (ended.code, len(ended.err.splitlines())) == (2, 2)
    assert ended.err.startswith(f"error: {file} has no tables of phasegate\nhint: name another database")
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]
    assert cli("db", "upgrade").code == 0
    assert cli("runs").out == "No runs.\n"


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"companies, people\n" * 200, "is not a database"), (b"\x00\xff" * 4000, "is not a database")],
)
def test_another_kind_of_file_is_left_alone(cli: Call, file: Path, content: bytes, error: str) -> None:
    file.write_bytes(content)
    ended = cli("runs")
    assert (ended.code, error in ended.err, len(ended.err.splitlines())) == (2, True, 2)
    assert file.read_bytes() == content


def test_a_directory_is_not_a_database(cli: Call, tmp_path: Path) -> None:
    ended = cli("runs", database=f"sqlite:///{tmp_path}")
    assert (ended.code, ended.err.splitlines()[0]) == (2, f"error: {tmp_path} is a directory")


def test_a_place_that_does_not_exist_is_named(cli: Call, tmp_path: Path) -> None:
    ended = cli("worker", "--app", "tests.cli.shop:registry", database=f"sqlite:///{tmp_path}/none/shop.db")
    assert (ended.code, ended.err.splitlines()[0]) == (2, f"error: there is no directory {tmp_path}/none")


def test_an_unknown_kind_of_database_is_refused(cli: Call) -> None:
    ended = cli("runs", database="oracle://server/shop")
    assert (ended.code, ended.err.splitlines()[0]) == (2, "error: cannot open oracle:// databases")


@pytest.mark.parametrize(("version", "advice"), [("9999", "newer"), ("0000", "phasegate db upgrade")])
def test_a_schema_of_another_version_is_refused(cli: Call, shop: Shop, file: Path, version: str, advice: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE phasegate_version SET version_num = ?", (version,))
    ended = cli("pause", "client:acme")
    assert ended.code == 2
    assert version in ended.err.splitlines()[0]
    assert advice in ended.err.splitlines()[1]


def test_a_database_that_somebody_else_keeps_locked(
    cli: Call, shop: Shop, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHASEGATE_BUSY", "0.05")
    with closing(sqlite3.connect(file)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        ended = cli("pause", "client:acme")
        assert (ended.code, ended.err.splitlines()[0]) == (2, f"error: {file} is locked by another process")
        assert cli("show", "client:acme").code == 0  # looking goes on meanwhile
        holder.rollback()
    assert cli("pause", "client:acme").code == 0


#: Runs a command as somebody who may only read what is marked so. The superuser may write everything: this right is
#: given up first (the number of CAP_DAC_OVERRIDE is 1, of PR_CAPBSET_DROP 24).
AS_READER = """
import ctypes, os, sys
if os.geteuid() == 0:
    assert ctypes.CDLL(None).prctl(24, 1, 0, 0, 0) == 0
os.execv(sys.executable, [sys.executable, "-m", "phasegate", *sys.argv[1:]])
"""


@pytest.mark.parametrize("words", [["pause", "client:acme"], ["runs"]])
def test_a_database_that_may_only_be_read(tmp_path: Path, words: list[str]) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    file = folder / "shop.db"
    with Engine(f"sqlite:///{file}", registry()) as engine:
        engine.start("offer", Subject("client", "acme"))
    file.chmod(0o444)
    folder.chmod(0o555)
    before = file.read_bytes()
    try:
        command = [sys.executable, "-c", AS_READER, "--database", f"sqlite:///{file}", *words]
        ended = subprocess.run(command, capture_output=True, text=True)
    finally:
        folder.chmod(0o755)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[0].startswith(f"error: {file} cannot be ")
    assert len(ended.stderr.splitlines()) == 2
    assert file.read_bytes() == before
