"""The form of changes, and what sets of them may be written: all problems, in order, whatever is given."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.build.errors import PhaseExecutorError, told
from phasegate.apps.build.paths.names import normalise
from phasegate.apps.build.paths.protection import Protection
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import MODES, Change, PhaseSpec
from phasegate.apps.build.validation.structure import check_changes, check_scope

POLICY = Policy(max_file_bytes=100, max_total_bytes=250, max_changes=5)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    repository = tmp_path / "repo"
    (repository / "src").mkdir(parents=True)
    (repository / "src" / "a.py").write_text("a = 1\n", encoding="utf-8")
    (tmp_path / "outside").mkdir()
    (repository / "link").symlink_to("../outside")
    return Root(repository)


def change(path: Any = "src/a.py", mode: Any = "modify", content: Any = "x\n") -> dict[str, Any]:
    return {"path": path, "mode": mode, "new_content": content}


def codes(errors: list[PhaseExecutorError]) -> list[tuple[str, Any, Any]]:
    return [(error.code, error.details.get("rule"), error.details.get("index")) for error in errors]


def test_well_formed_changes_are_fine_as_mappings_and_as_changes_in_any_spelling(root: Root) -> None:
    changes = [
        change("./src//a.py"), change("b\\c.py", "create", ""), change("old.py", "delete", None), change("e", "delete", ""),
        {"path": "x", "mode": "delete"}, Change("new.py", "create", ""),
    ]  # fmt: skip
    assert check_changes(changes[:5], Protection(None), root, POLICY) == []
    assert check_changes(changes[5:], Protection(None), root, POLICY) == []


def test_no_changes_at_all_are_well_formed(root: Root) -> None:
    assert check_changes([], Protection(None), root, POLICY) == []


@pytest.mark.parametrize(
    "changes", [None, 7, "src/a.py", b"x", {"path": "x"}, {1, 2}, object()], ids=lambda each: type(each).__name__
)
def test_what_is_no_list_is_one_error(root: Root, changes: object) -> None:
    assert codes(check_changes(changes, Protection(None), root, POLICY)) == [("E_STRUCTURE", "S1", None)]


@pytest.mark.parametrize(
    ("entry", "code", "rule"),
    [
        (None, "E_STRUCTURE", "S2"), ("src/a.py", "E_STRUCTURE", "S2"), ([], "E_STRUCTURE", "S2"),
        ({"mode": "delete"}, "E_STRUCTURE", "S3"), (change(path=None), "E_STRUCTURE", "S3"),
        (change(path=""), "E_STRUCTURE", "S3"), (change(path=7), "E_STRUCTURE", "S3"),
        (change(path=b"x"), "E_STRUCTURE", "S3"), (change(path=" "), "E_PATH_UNSAFE", "P1"),
        (change(path="/x"), "E_PATH_UNSAFE", "P2"), (change(path="../x"), "E_PATH_UNSAFE", "P3"),
        (change(path="a*"), "E_PATH_UNSAFE", "P4"), (change(path="src/"), "E_PATH_UNSAFE", "P7"),
        ({"path": "x", "new_content": "y"}, "E_STRUCTURE", "S4"), (change(mode="replace"), "E_STRUCTURE", "S4"),
        (change(mode="MODIFY"), "E_STRUCTURE", "S4"), (change(mode=None), "E_STRUCTURE", "S4"),
        (change(mode=["modify"]), "E_STRUCTURE", "S4"), ({"path": "x", "mode": "create"}, "E_STRUCTURE", "S5"),
        (change(content=None), "E_STRUCTURE", "S5"), (change(content=7), "E_STRUCTURE", "S5"),
        (change(content=b"x"), "E_STRUCTURE", "S5"), (change(content=["x"]), "E_STRUCTURE", "S5"),
        (change(mode="delete"), "E_STRUCTURE", "S6"), (change(mode="delete", content=0), "E_STRUCTURE", "S6"),
        (change(mode="delete", content=[]), "E_STRUCTURE", "S6"), (change(content="x" * 101), "E_TOO_LARGE", "S7"),
        (change(content="\u00fc" * 51), "E_TOO_LARGE", "S7"), (change(content="a\0b"), "E_STRUCTURE", "S8"),
        (change(content="a\ud800b"), "E_STRUCTURE", "S8"),
    ],
    ids=lambda each: ascii(each)[:50],
)  # fmt: skip
def test_what_is_malformed_is_told_with_its_rule_and_place(root: Root, entry: object, code: str, rule: str) -> None:
    errors = check_changes([change("b.py"), entry], Protection(None), root, POLICY)
    assert codes(errors) == [(code, rule, 1)]
    assert all(len(error.message.splitlines()) == 1 and error.message.encode() for error in errors)


def test_sizes_at_the_limit_are_allowed(root: Root) -> None:
    changes = [change(f"{number}.txt", content="x" * 50) for number in range(5)]
    assert check_changes(changes, Protection(None), root, POLICY) == []
    assert check_changes([change(content="x" * 100)], Protection(None), root, POLICY) == []


def test_too_many_and_too_large_together_are_told_after_everything_else(root: Root) -> None:
    changes = [change(f"{number}.txt", content="x" * 50) for number in range(5)] + [change("", "x", "y")]
    errors = check_changes(changes, Protection(None), root, POLICY)
    assert codes(errors) == [
        ("E_STRUCTURE", "S3", 5),
        ("E_STRUCTURE", "S4", 5),
        ("E_TOO_LARGE", "S7", None),
        ("E_TOO_LARGE", "S7", None),
    ]
    assert "6 changes" in errors[2].message
    assert "251 bytes" in errors[3].message


def test_all_problems_are_told_in_the_order_of_the_changes(root: Root) -> None:
    changes = [
        change(".git/config"), "nonsense", change("link/x"), change("SRC/a.py"), change("src/a.py"),
        change("../x", "rename", 5), change("./src/a.py", "delete", None), change("src/a.py/below", "create"),
        change("secrets", "create"),
    ]  # fmt: skip
    errors = check_changes(changes, Protection(["secrets/"]), root, Policy())
    assert codes(errors) == [
        ("E_PROTECTED", None, 0), ("E_STRUCTURE", "S2", 1), ("E_SYMLINK", "P5", 2), ("E_PATH_UNSAFE", "P3", 5),
        ("E_STRUCTURE", "S4", 5), ("E_DUPLICATE", "D1", 6), ("E_PATH_UNSAFE", "P6", 7), ("E_PATH_NESTED", "D2", 7),
        ("E_PROTECTED", None, 8),
    ]  # fmt: skip


def test_a_path_that_is_protected_by_name_and_on_disk_is_told_once(root: Root) -> None:
    for part in ("HEAD", "commondir"):
        (root.path / "x.git").mkdir(exist_ok=True)
        (root.path / "x.git" / part).write_text("x", encoding="utf-8")
    assert codes(check_changes([change("x.git/config")], Protection(["x.git"]), root, POLICY)) == [
        ("E_PROTECTED", None, 0)
    ]
    assert codes(check_changes([change("x.git/config")], Protection([]), root, POLICY)) == [("E_PROTECTED", None, 0)]


@pytest.mark.parametrize("mode", ["create", "modify", "delete"])
def test_every_mode_is_covered_by_protection(root: Root, mode: str) -> None:
    entry = change("secrets/key", mode, None if mode == "delete" else "x")
    [error] = check_changes([entry], Protection(["secrets"]), root, POLICY)
    assert error.details == {"entry": "secrets", "index": 0}
    assert "secrets/key" in error.message
    assert "'secrets'" in error.message


def test_whether_a_file_exists_is_not_judged(root: Root) -> None:
    changes = [change("no/such.py"), change("gone.py", "delete", None), change("src/a.py", "create")]
    assert check_changes(changes, Protection(None), root, POLICY) == []


def test_duplicates_name_both_places_also_after_normalisation_and_folding(root: Root) -> None:
    changes = [change("u\u0308.py", "create"), change("b.py"), change("./\u00fc.py", "delete", None), change("B.py")]
    [error] = check_changes(changes, Protection(None), root, POLICY)
    assert error.details == {"rule": "D1", "indexes": [0, 2], "index": 2}
    assert "changes[0] and changes[2]" in error.message
    root.folds = True
    assert [each.details["indexes"] for each in check_changes(changes, Protection(None), root, POLICY)] == [
        [0, 2],
        [1, 3],
    ]


def test_a_file_where_another_change_needs_a_directory_is_refused_in_either_order(root: Root) -> None:
    for changes in ([change("new/a.py"), change("new")], [change("new"), change("new/a.py")]):
        [error] = check_changes(changes, Protection(None), root, POLICY)
        assert error.code == "E_PATH_NESTED"
        assert error.path == "new/a.py"
    assert check_changes([change("new"), change("newer/a.py")], Protection(None), root, POLICY) == []


def test_nothing_is_written_by_checking(root: Root) -> None:
    before = sorted(os.walk(root.path))
    check_changes(
        [change("new/deep/a.py", "create"), change("src/a.py", "delete", None)], Protection(None), root, POLICY
    )
    assert sorted(os.walk(root.path)) == before


class Broken(Mapping[str, Any]):
    """A mapping that fails when it is read."""

    def __getitem__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(("path", "mode"))

    def __len__(self) -> int:
        return 2


def test_a_mapping_that_fails_is_malformed(root: Root) -> None:
    assert codes(check_changes([Broken()], Protection(None), root, POLICY)) == [("E_STRUCTURE", "S2", 0)]


_VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.binary(max_size=4),
        st.sampled_from(["create", "modify", "delete", "src/a.py", "../x", "link/x", "src", ".git/x", "a\ud800", "a\0"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=6,
)  # fmt: skip
_ENTRY = st.one_of(_VALUES, st.fixed_dictionaries({}, optional=dict.fromkeys(("path", "mode", "new_content"), _VALUES)))


@pytest.fixture(scope="module")
def somewhere(tmp_path_factory: pytest.TempPathFactory) -> Root:
    return Root(tmp_path_factory.mktemp("somewhere"))


@given(st.one_of(_VALUES, st.lists(_ENTRY, max_size=4)))
@settings(max_examples=200)
def test_whatever_is_given_the_answer_is_a_list_of_errors(somewhere: Root, changes: object) -> None:
    errors = check_changes(changes, Protection(None), somewhere, POLICY)
    assert all(each.message for each in errors)
    indexes = [each.details["index"] for each in errors if "index" in each.details]
    assert indexes == sorted(indexes)
    assert all(each["category"] == "validation" for each in told(errors))
    if not errors:
        assert isinstance(changes, list)
        assert all(normalise(each["path"]) and each["mode"] in MODES for each in changes)


def _scope_errors(
    paths: list[str], scope: tuple[str, ...] | None, read_only: tuple[str, ...] = ()
) -> list[tuple[str, str | None]]:
    spec = PhaseSpec("p", "p", "d", scope=scope, read_only=read_only)
    return [(each.code, each.path) for each in check_scope([Change(path, "modify", "") for path in paths], spec, False)]


def test_changes_outside_of_the_scope_are_refused() -> None:
    paths = ["src/a.py", "srcx/b.py", "docs/a.md", "docs/a.md.bak", "src", "SRC/a.py"]
    outside = [("E_SCOPE", "srcx/b.py"), ("E_SCOPE", "docs/a.md.bak"), ("E_SCOPE", "SRC/a.py")]
    assert _scope_errors(paths, ("src/", "docs/a.md")) == outside
    assert _scope_errors(paths, None) == []
    assert _scope_errors(["a"], ()) == [("E_SCOPE", "a")]


def test_changes_of_what_may_only_be_read_are_refused_within_the_scope_too() -> None:
    assert _scope_errors(["src/a.py", "src/b.py"], ("src/",), ("src/b.py",)) == [("E_READ_ONLY", "src/b.py")]
    assert _scope_errors(["lib/x.py"], None, ("lib/",)) == [("E_READ_ONLY", "lib/x.py")]
    assert _scope_errors(["x"], ("y",), ("x",)) == [("E_SCOPE", "x"), ("E_READ_ONLY", "x")]


def test_scopes_fold_where_the_disk_does() -> None:
    spec = PhaseSpec("p", "p", "d", scope=("src/",), read_only=("src/Fixed.py",))
    changes = [Change("SRC/a.py", "modify", ""), Change("src/fixed.py", "modify", "")]
    assert [each.code for each in check_scope(changes, spec, True)] == ["E_READ_ONLY"]
