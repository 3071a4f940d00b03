"""What is protected: at component boundaries, in every mode, whatever the caller leaves out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.build.errors import SpecError, UnsafePathError
from phasegate.apps.build.paths.protection import Protection, is_secret

ENTRIES = ["secrets/", "autopack.db", "config/production.yaml", "*.pem", "private", "docs/*/draft.md", "build*/"]


@pytest.mark.parametrize(
    ("path", "entry"),
    [
        ("secrets/x", "secrets/"), ("secrets/a/b/c", "secrets/"), ("secrets", "secrets/"), ("secrets/", "secrets/"),
        ("./secrets//x", "secrets/"), ("secrets\\x", "secrets/"), ("private", "private"), ("private/x", "private"),
        ("autopack.db", "autopack.db"), ("autopack.db/x", "autopack.db"),
        ("config/production.yaml", "config/production.yaml"), ("config", "config/production.yaml"),
        ("a.pem", "*.pem"), ("deep/er/a.pem", "*.pem"), ("deep/a.pem/x", "*.pem"),
        ("docs/v1/draft.md", "docs/*/draft.md"), ("build/x", "build*/"), ("build-old/x/y", "build*/"),
        (".git/config", ".git/"), (".GIT/config", ".git/"), ("x/.git", ".git/"), ("x/.Git/hooks/y", ".git/"),
        ("git~1/config", ".git/"), (".g\u200cit/config", ".git/"),
    ],
)  # fmt: skip
def test_what_is_protected_is_told_with_the_entry_that_does_it(path: str, entry: str) -> None:
    protection = Protection(ENTRIES)
    assert protection.match(path) == entry
    error = protection.error(path)
    assert error is not None
    assert error.code == "E_PROTECTED"
    assert error.details == {"entry": entry}
    assert error.message.startswith("Protected path violation: ")
    assert entry in error.message


@pytest.mark.parametrize(
    "path",
    [
        "secrets.txt", "secretsx/y", "secret/x", "src/secrets.py", "a/secrets/x", "autopack.db-old",
        "autopack.db.bak", "config/test.yaml", "config/", "config/production.yaml.bak", "privately/x", "a.pem.txt",
        "docs/draft.md", "SECRETS/x", "Autopack.db", ".gitignore", ".github/workflows/x.yml", "src/build.py",
    ],
)  # fmt: skip
def test_what_only_resembles_an_entry_is_free(path: str) -> None:
    protection = Protection(ENTRIES)
    assert protection.match(path) is None
    assert protection.error(path) is None


def test_a_directory_with_something_protected_in_it_may_be_named_but_not_go() -> None:
    protection = Protection(["src/keys/"])
    assert protection.match("src/") is None
    assert protection.match("src/", deleting_parent=True) == "src/keys/"
    assert protection.match("src") == "src/keys/"


def test_case_counts_exactly_where_the_disk_minds_it() -> None:
    folding = Protection(ENTRIES, folds=True)
    assert folding.match("SECRETS/x") == "secrets/"
    assert folding.match("Config/Production.YAML") == "config/production.yaml"
    assert folding.match("A.PEM") == "*.pem"
    assert folding.match("SECRETS.txt") is None


def test_without_entries_the_usual_ones_hold_and_given_ones_take_their_place() -> None:
    usual = Protection(None)
    assert usual.entries == (".autonomous_runs/", ".git/", "autopack.db")
    assert usual.match(".autonomous_runs/x") == ".autonomous_runs/"
    assert Protection([]).match("autopack.db") is None
    assert Protection(["x"]).entries == ("x", ".git/")


def test_git_and_the_executors_own_files_are_protected_whatever_is_given() -> None:
    protection = Protection([], floor=["var/history.db", "var/history.db-wal", "var/state"])
    assert protection.match(".git/config") == ".git/"
    assert protection.match("sub/.git") == ".git/"
    assert protection.match("var/history.db-wal") == "var/history.db-wal"
    assert protection.match("var/state/txn/1/journal.json") == "var/state"
    assert protection.match("var") == "var/history.db"
    assert protection.match("var/history.db-old") is None


def test_a_file_of_the_executors_that_no_change_can_name_is_no_error() -> None:
    assert Protection([], floor=["CON.db", "ok.db"]).entries == ("ok.db", ".git/")


@pytest.mark.parametrize(
    "entries", ["secrets/", b"secrets", 7, {"secrets/": True}, [7], [None], [["secrets"]], object(), bytearray(b"ab")]
)
def test_protection_of_a_wrong_type_is_an_error_and_never_nothing(entries: Any) -> None:
    with pytest.raises(SpecError) as raised:
        Protection(entries)
    assert raised.value.code == "E_SPEC_TYPE"


@pytest.mark.parametrize("entry", ["", "/", "/etc", "../x", "a/../b", "C:\\x", "~/x", "a\0", "."])
def test_an_entry_that_is_no_safe_path_is_an_error(entry: str) -> None:
    with pytest.raises(SpecError) as raised:
        Protection(["src", entry])
    assert raised.value.code == "E_SPEC_PATH"
    assert not raised.value.retryable


def test_an_entry_may_be_spelled_as_a_path_may() -> None:
    protection = Protection(["./secrets\\keys//", "./secrets/keys/"])
    assert protection.entries == ("secrets/keys/", ".git/")
    assert protection.match("secrets/keys/x") == "secrets/keys/"


def test_a_name_with_brackets_is_meant_as_it_is_and_as_a_pattern() -> None:
    protection = Protection(["app/[id].tsx"])
    assert protection.match("app/[id].tsx")
    assert protection.match("app/i.tsx")
    assert protection.match("app/x.tsx") is None


def test_a_pattern_for_every_depth_means_the_top_as_well() -> None:
    protection = Protection(["**/local.cfg"])
    assert protection.match("local.cfg")
    assert protection.match("a/b/local.cfg")


def test_an_unsafe_path_is_not_compared() -> None:
    with pytest.raises(UnsafePathError):
        Protection(ENTRIES).match("x/../secrets/y")


_NAME = st.text("abC.x-", min_size=1, max_size=4).filter(lambda name: not name.endswith("."))


@given(st.lists(_NAME, min_size=1, max_size=3), st.lists(_NAME, max_size=3), st.booleans())
def test_whatever_is_below_an_entry_is_protected_and_its_neighbour_is_not(
    entry: list[str], below: list[str], folds: bool
) -> None:
    protection = Protection(["/".join(entry)], folds=folds)
    assert protection.match("/".join([*entry, *below])) == "/".join(entry)
    neighbour = [*entry[:-1], f"{entry[-1]}q", *below]
    assert protection.match("/".join(neighbour)) is None


@pytest.mark.parametrize(
    ("path", "secret"),
    [
        (".env", True), (".env.local", True), ("app/.ENV", True), (".envs/production", True), ("a.pem", True),
        ("certs/A.PEM", True), ("x.key", True), ("home/id_rsa", True), ("id_rsa.pub", True), (".git/config", True),
        ("sub/.GIT/HEAD", True), ("env.py", False), ("key.py", False), ("pem.txt", False), ("environment/x", False),
        (".gitignore", False), ("src/keys.py", False),
    ],
)  # fmt: skip
def test_secrets_are_known_by_their_names(path: str, secret: bool) -> None:
    assert is_secret(path) is secret
    assert Protection([]).is_secret(path) is secret


def test_the_executors_own_files_are_secret_but_other_protected_ones_are_not() -> None:
    protection = Protection(["docs/"], floor=["runs/h.db", "runs/state/"])
    assert protection.is_secret("runs/h.db")
    assert protection.is_secret("runs/state/txn/x")
    assert not protection.is_secret("docs/a.md")
