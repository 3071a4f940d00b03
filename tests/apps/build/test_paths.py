"""The one reading of a path: what is refused, and that what is not refused has one spelling and stays inside."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from phasegate.apps.build.errors import UnsafePathError
from phasegate.apps.build.paths.names import ancestors, covers, is_git_name, key, normalise

HOSTILE = [
    ("", "P1"), (" ", "P1"), (".", "P1"), ("./", "P1"), ("./.", "P1"), ("/", "P1"), ("\\", "P1"), ("\u3000", "P1"),
    ("a /b", "P1"), (" a/b", "P1"), ("a/ b", "P1"), ("a/b ", "P1"), ("a/b\u00a0", "P1"), (".git /config", "P1"),
    ("/etc/passwd", "P2"), ("//host/x", "P2"), ("\\\\host\\share\\x", "P2"), ("\\\\?\\C:\\x", "P2"), ("C:\\x", "P2"),
    ("c:/x", "P2"), ("C:x", "P2"), ("C:", "P2"), ("~", "P2"), ("~/x", "P2"), ("~root/x", "P2"), ("./~/x", "P2"),
    ("file:///etc/passwd", "P2"), ("http://x.example/a", "P2"), ("file:a", "P2"), (".//etc/passwd", "P2"),
    ("./C:/x", "P2"), ("..", "P3"), ("../x", "P3"), ("../../etc/passwd", "P3"), ("a/..", "P3"), ("a/../b", "P3"),
    ("x/../.git/config", "P3"), ("src/../../etc/passwd", "P3"), ("a\\..\\..\\b", "P3"), (".\\..\\b", "P3"),
    ("a/../", "P3"), ("a\0b", "P4"), ("a\nb", "P4"), ("a\x7fb", "P4"), ("a\x85b", "P4"), ("a\u2028b", "P4"),
    ("a\u202eb", "P4"), ("a\ud800", "P4"), ("ab:c", "P4"), ("a:b", "P2"), (".git::$INDEX_ALLOCATION/config", "P4"),
    ("a/b:stream", "P4"), ("a*", "P4"), ("a?", "P4"), ('a"b', "P4"), ("a<b", "P4"), ("a>b", "P4"), ("a|b", "P4"),
    ("a./b", "P4"), ("a/b.", "P4"), (".../x", "P4"), (".git./config", "P4"), ("CON", "P4"), ("con.txt", "P4"),
    ("a/NUL", "P4"), ("a/aux.c/b", "P4"), ("COM1", "P4"), ("lpt9.log", "P4"), ("COM\u00b9", "P4"), ("CON .txt", "P4"),
    ("CONIN$", "P4"), ("x" * 256, "P4"), ("\u00fc" * 128, "P4"), ("a/" * 512 + "b", "P4"), ("a" * 10_000, "P4"),
    ("src/", "P7"), ("src/.", "P7"), ("src\\", "P7"), ("src//", "P7"),
]  # fmt: skip

SAFE = [
    ("src/x.py", "src/x.py"), ("./src/x.py", "src/x.py"), ("././a", "a"), ("src//x.py", "src/x.py"),
    ("src/./x.py", "src/x.py"), ("src\\deep\\x.py", "src/deep/x.py"), (".\\a", "a"),
    ("b/backend/x.py", "b/backend/x.py"), ("docs/read me.md", "docs/read me.md"), ("Src/X.PY", "Src/X.PY"),
    ("u\u0308ber.md", "\u00fcber.md"), ("..a/b..c", "..a/b..c"), (".gitignore", ".gitignore"), ("a~", "a~"),
    ("a/~b", "a/~b"), ("x%2e%2e/y", "x%2e%2e/y"), ("console.py", "console.py"), ("com10", "com10"),
    ("auxiliary/x", "auxiliary/x"), ("app/[id]/page.tsx", "app/[id]/page.tsx"),
    ("\U0001f469\u200d\U0001f4bb.md", "\U0001f469\u200d\U0001f4bb.md"), ("x" * 255, "x" * 255),
    ("a/" * 511 + "bc", "a/" * 511 + "bc"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "rule"), HOSTILE, ids=[ascii(path)[:40] for path, _ in HOSTILE])
def test_a_hostile_path_is_refused_with_the_rule_that_it_breaks(path: str, rule: str) -> None:
    with pytest.raises(UnsafePathError) as raised:
        normalise(path)
    assert (raised.value.code, raised.value.details["rule"]) == ("E_PATH_UNSAFE", rule)
    assert raised.value.message.startswith("Unsafe path: ")
    assert len(raised.value.message.splitlines()) == 1
    raised.value.message.encode()


@pytest.mark.parametrize(("path", "rule"), [case for case in HOSTILE if case[1] not in ("P7",) and "*" not in case[0]])
def test_neither_a_directory_nor_a_pattern_may_be_hostile(path: str, rule: str) -> None:
    if path == "a?":
        assert normalise(path, directory=True, glob=True) == path
        return
    with pytest.raises(UnsafePathError) as raised:
        normalise(path, directory=True, glob=True)
    assert raised.value.details["rule"] == rule


@pytest.mark.parametrize("raw", [None, 7, b"src/x.py", ["src"], {"path": "x"}, 1.5, True])
def test_what_is_no_text_is_no_path(raw: object) -> None:
    with pytest.raises(UnsafePathError, match="must be text"):
        normalise(raw)


@pytest.mark.parametrize(("path", "expected"), SAFE, ids=[ascii(path)[:40] for path, _ in SAFE])
def test_a_safe_path_gets_its_one_spelling(path: str, expected: str) -> None:
    assert normalise(path) == expected


def test_a_directory_keeps_its_slash_where_one_may_be_named() -> None:
    assert normalise("./src//deep\\", directory=True) == "src/deep/"
    assert normalise("src/.", directory=True) == "src/"
    assert normalise("src", directory=True) == "src"


def test_a_pattern_is_allowed_only_where_one_may_be_named() -> None:
    assert normalise("./**/*.p?m", glob=True) == "**/*.p?m"
    with pytest.raises(UnsafePathError, match="P4"):
        normalise("**/*.pem")


_LETTERS = st.sampled_from(
    [*"abZ/\\. ~:*", "..", "./", "/", ".git", "u\u0308", "\u202e", "\0", "\ud800", "con", "\uff0e", "\u200c"]
)
_PATHS = st.one_of(st.text(max_size=40), st.lists(_LETTERS, max_size=12).map("".join))


@given(_PATHS)
@example("././/a")
@example("a/\u0338")
def test_a_path_is_refused_or_reads_the_same_ever_after_and_stays_inside(raw: str) -> None:
    try:
        path = normalise(raw)
    except UnsafePathError as error:
        rule = error.details["rule"]
        assert rule in {"P1", "P2", "P3", "P4", "P7"}
        return
    assert normalise(path) == path
    assert unicodedata.is_normalized("NFC", path)
    parts = path.split("/")
    assert all(part and part not in (".", "..") and part == part.strip() and not part.endswith(".") for part in parts)
    assert not any(c in path for c in '\\:*?"<>|\0')
    assert len(path.encode()) <= 1_024


@given(_PATHS)
def test_a_path_with_a_slash_at_its_end_is_the_same_directory(raw: str) -> None:
    try:
        path = normalise(raw)
    except UnsafePathError:
        return
    assert normalise(f"{raw}/", directory=True) == f"{path}/"


def test_keys_are_equal_for_what_is_one_file_on_the_disk() -> None:
    assert key("Src/A.py", False) != key("src/a.py", False)
    assert key("Src/A.py", True) == key("src/a.py", True)
    assert key("u\u0308.md", False) == key("\u00fc.md", False)
    assert key("STRASSE", True) == key("stra\u00dfe", True)
    assert key("se\u200ccrets", True) == key("secrets", True) != key("se\u200ccrets", False)
    assert key("\u212aey", True) == key("key", True)


@given(st.text(max_size=30))
def test_a_key_is_its_own_key(text: str) -> None:
    for folds in (False, True):
        assert key(key(text, folds), folds) == key(text, folds)


@pytest.mark.parametrize(
    ("entry", "path", "expected"),
    [
        ("src/", "src/x.py", True), ("src", "src/x.py", True), ("src", "src", True), ("src/", "src", True),
        ("src/", "src/", True), ("src/", "srcx/y", False), ("src", "src.py", False), ("src/a", "src/ab", False),
        ("src/a", "src", False), ("src/", "SRC/x", False), ("a.db", "a.db-old", False), ("a.db", "a.db/x", True),
    ],
)  # fmt: skip
def test_an_entry_covers_its_name_and_what_is_below_it(entry: str, path: str, expected: bool) -> None:
    assert covers(entry, path, False) is expected


def test_an_entry_covers_other_case_where_the_disk_ignores_it() -> None:
    assert covers("src/", "SRC/x", True)


def test_ancestors_are_the_directories_on_the_way() -> None:
    assert list(ancestors("a/b/c.py")) == ["a", "a/b"]
    assert list(ancestors("a/b/")) == ["a"]
    assert list(ancestors("a")) == []


@pytest.mark.parametrize(
    "name",
    [
        ".git", ".GIT", ".Git", ".git.", ".git ", ".git . .", "git~1", "GIT~1", "git~2", ".g\u200cit", ".git\ufeff",
        "\uff0e\uff47\uff49\uff54", ".g\u0131t", ".g\u0130t", ".git::$INDEX_ALLOCATION", ".gi\u034ft", "\u202e.git",
    ],
    ids=ascii,
)  # fmt: skip
def test_git_is_recognised_in_all_spellings(name: str) -> None:
    assert is_git_name(name)


@pytest.mark.parametrize(
    "name", ["git", ".gitignore", ".github", ".gitattributes", "x.git", "git~", "git~x", ".gits", "", "agit~1"]
)
def test_what_only_looks_like_git_is_an_ordinary_name(name: str) -> None:
    assert not is_git_name(name)
