"""Reading lists of deliverables, and checking answers and repositories against them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.build import criteria
from phasegate.apps.build.deliverables import check, check_criteria, check_present, clean, covers_deliverable
from phasegate.apps.build.health.commands import run
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.schema import Answer, Change, PhaseSpec


def spec_of(*deliverables: str, **others: Any) -> PhaseSpec:
    return PhaseSpec("one", "One", "Do one thing", deliverables=deliverables, **others)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("tests/test_x.py (10+ tests)", "tests/test_x.py"),
        ("src/a.py with logging", "src/a.py"),
        ("src/a.py \u2013 new", "src/a.py"),
        ("src/a.py - the entry", "src/a.py"),
        ("src/a.py updated", "src/a.py"),
        ("src/a.py modifications", "src/a.py"),
        ("src/a.py modifications (large)", "src/a.py"),
        ("src/a.py: the login", "src/a.py"),
        ("- `src/a.py`", "src/a.py"),
        ("2. src/a.py", "src/a.py"),
        ("`src/a.py` and what it needs", "src/a.py"),
        ("b/backend/x.py", "b/backend/x.py"),
        ("a/x.py", "a/x.py"),
        ("docs/", "docs/"),
        ("docs/ (guide)", "docs/"),
        ("docs/working with files.md", "docs/working with files.md"),
        ("src/my - file.py", "src/my - file.py"),
        ("my notes.md", "my notes.md"),
        ("src/app/(group)/page.tsx", "src/app/(group)/page.tsx"),
        ("src/routes/(auth)", "src/routes/(auth)"),
        ("src/routes/[id]", "src/routes/[id]"),
        ("Makefile", "Makefile"),
        (".gitignore", ".gitignore"),
        ("archive.tar.gz", "archive.tar.gz"),
        ("../x.py", "../x.py"),
        ("/etc/passwd", "/etc/passwd"),
    ],
)
def test_remarks_are_taken_from_the_end_of_a_path_and_nothing_from_its_front(raw: str, path: str) -> None:
    assert clean(raw) == (path, None)


@pytest.mark.parametrize(
    "raw",
    [
        "Logging configuration",
        "Login page with tests",
        "Support Python 3.11",
        "Update README.md",
        "a.py, b.py",
        "N/A",
        "Add x/y",
    ],
)
def test_prose_is_no_path_and_stays_as_it_is(raw: str) -> None:
    assert clean(raw) == (None, raw)


def test_a_blank_entry_is_nothing() -> None:
    assert clean(" \t ") == clean("") == (None, None)


@given(st.text(max_size=60) | st.text(alphabet="a/. ()[]-:`'\u2013with updated\n", max_size=400))
@settings(max_examples=100)
def test_any_text_is_a_path_or_prose_and_a_clean_path_stays(raw: str) -> None:
    path, prose = clean(raw)
    assert path is None or prose is None
    assert (path or prose or "") in raw
    if path is None and prose is None:
        assert not raw.strip(" \t\r\n`'\"") or not raw.strip() or not clean(raw.strip())[0]


@given(
    st.lists(st.from_regex(r"[a-z]{1,8}", fullmatch=True), min_size=1, max_size=4),
    st.sampled_from(["py", "md", "json"]),
)
@settings(max_examples=100)
def test_a_plain_path_is_always_itself(parts: list[str], ending: str) -> None:
    path = f"{'/'.join(parts)}.{ending}"
    assert clean(path) == (path, None)


def test_a_deliverable_in_the_answer_is_delivered(root: Root) -> None:
    changes = [Change("src/a.py", "create", "x = 1\n"), Change("docs/guide/start.md", "modify", "Hello\n")]
    assert check(spec_of("src/a.py", "docs/"), changes, root, Answer("done")).errors == ()


def test_a_missing_deliverable_is_an_error_and_extra_files_are_only_told(root: Root) -> None:
    found = check(spec_of("src/a.py"), [Change("README.md", "create", "Hi\n")], root, Answer("done"))
    (error,) = found.errors
    assert error.code == "E_DELIVERABLE_MISSING"
    assert error.retryable
    assert error.details == {"kind": "missing", "found": [], "extra": ["README.md"]}
    assert str(error).startswith("Missing deliverables: src/a.py")


def test_a_misplaced_deliverable_is_told_with_both_places(root: Root) -> None:
    (error,) = check(spec_of("src/main.py"), [Change("main.py", "create", "x\n")], root, Answer("done")).errors
    assert error.details["kind"] == "misplaced"
    assert "found main.py, expected src/main.py" in error.message
    (folder,) = check(spec_of("docs/api/"), [Change("api/x.md", "create", "x\n")], root, Answer("done")).errors
    assert folder.details["kind"] == "misplaced"


def test_a_prefix_is_taken_away_as_a_prefix_only(root: Root) -> None:
    spec = spec_of("b/backend/x.py")
    assert check(spec, [Change("b/backend/x.py", "create", "x\n")], root, Answer("done")).errors == ()
    assert check(spec, [Change("ackend/x.py", "create", "x\n")], root, Answer("done")).errors
    assert check(spec, [Change("backend/x.py", "create", "x\n")], root, Answer("done")).errors


def test_what_exists_counts_only_where_it_is_allowed_or_said(root: Root) -> None:
    (root.path / "src").mkdir()
    (root.path / "src/a.py").write_text("x = 1\n")
    for deliverable in ("src/a.py", "src/"):
        assert check(spec_of(deliverable), [], root, Answer("done")).errors
        assert not check(spec_of(deliverable, allow_existing_deliverables=True), [], root, Answer("done")).errors
        assert not check(spec_of(deliverable), [], root, Answer("done", already_satisfied=(f"./{deliverable}",))).errors
    assert check(spec_of("src/b.py", allow_existing_deliverables=True), [], root, Answer("done")).errors
    assert check(spec_of("src/a.py"), [], root, Answer("done", already_satisfied=("../src/a.py", "src/b.py"))).errors


def test_what_the_answer_deletes_is_missing_even_if_it_exists(root: Root) -> None:
    (root.path / "a.py").write_text("x = 1\n")
    (root.path / "d").mkdir()
    (root.path / "d/x.md").write_text("x\n")
    changes = [Change("a.py", "delete"), Change("d/x.md", "delete")]
    errors = check(spec_of("a.py", "d/", allow_existing_deliverables=True), changes, root, Answer("done")).errors
    assert [each.details["kind"] for each in errors] == ["deleted", "missing"]


def test_a_directory_is_no_beginning_of_a_name() -> None:
    assert covers_deliverable("docs/", "docs/a.md", False)
    assert not covers_deliverable("docs/", "docs.md", False)
    assert not covers_deliverable("docs/", "docsother/a.md", False)
    assert covers_deliverable("Docs/", "docs/a.md", True)
    assert not covers_deliverable("Docs/", "docs/a.md", False)


def test_after_the_apply_files_must_be_there_and_say_something(root: Root) -> None:
    (root.path / "pkg").mkdir()
    (root.path / "pkg/__init__.py").write_text("")
    (root.path / "pkg/empty.py").write_text(" \n\n")
    (root.path / "pkg/full.py").write_text("x = 1\n")
    (root.path / "bare").mkdir()
    spec = spec_of("pkg/__init__.py", "pkg/empty.py", "pkg/full.py", "pkg/none.py", "pkg/", "bare/")
    errors = check_present(spec, root).errors
    assert [(each.path, each.code) for each in errors] == [
        ("pkg/empty.py", "E_DELIVERABLE_EMPTY"),
        ("pkg/none.py", "E_DELIVERABLE_MISSING"),
        ("bare/", "E_DELIVERABLE_MISSING"),
    ]


def test_a_link_or_a_directory_is_no_delivered_file(root: Root, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "a.py").write_text("x = 1\n")
    (root.path / "a.py").symlink_to(outside / "a.py")
    (root.path / "far").symlink_to(outside)
    (root.path / "dir.py").mkdir()
    errors = check_present(spec_of("a.py", "far/a.py", "dir.py", "far/"), root).errors
    assert len(errors) == 4
    assert errors[0].code == errors[1].code == "E_SYMLINK"


CRITERIA: list[tuple[dict[str, Any], bool]] = [
    ({"check": "file_exists", "path": "a.json"}, True),
    ({"check": "file_exists", "path": "b.json"}, False),
    ({"check": "contains", "path": "a.json", "text": '"name"'}, True),
    ({"check": "contains", "path": "a.json", "text": "other"}, False),
    ({"check": "contains", "path": "a.json", "pattern": r"^\{"}, True),
    ({"check": "contains", "path": "b.json", "text": "x"}, False),
    ({"check": "not_contains", "path": "a.json", "text": "other"}, True),
    ({"check": "not_contains", "path": "b.json", "text": "x"}, True),
    ({"check": "not_contains", "path": "a.json", "text": "name"}, False),
    ({"check": "json_path", "path": "a.json", "query": "$.name"}, True),
    ({"check": "json_path", "path": "a.json", "query": "$.list[1]['odd key']", "equals": 2}, True),
    ({"check": "json_path", "path": "a.json", "query": "$.list[1]['odd key']", "equals": 3}, False),
    ({"check": "json_path", "path": "a.json", "query": "$.list[7]"}, False),
    ({"check": "json_path", "path": "a.json", "query": "$.none", "non_empty": True}, False),
    ({"check": "json_path", "path": "a.json", "query": "$", "non_empty": True}, True),
    ({"check": "command", "command": [sys.executable, "-c", "pass"]}, True),
    ({"check": "command", "command": [sys.executable, "-c", "raise SystemExit(3)"]}, False),
]


@pytest.mark.parametrize(("criterion", "met"), CRITERIA, ids=range(len(CRITERIA)))
def test_criteria_that_a_program_can_check_are_checked(root: Root, criterion: dict[str, Any], met: bool) -> None:
    (root.path / "a.json").write_text('{"name": "x", "list": [1, {"odd key": 2}], "none": []}\n')
    found = check_criteria(spec_of(checks=(criterion,)), root, lambda command: run(command, root.path))
    assert [each.code for each in found.errors] == ([] if met else ["E_HEALTH_CRITERION"])
    assert found.warnings == ()


@pytest.mark.parametrize(
    "criterion",
    [
        {}, {"check": "guess"}, {"check": ["command"]}, {"check": "file_exists"}, {"check": "file_exists", "path": "../x"},
        {"check": "contains", "path": "a"}, {"check": "contains", "path": "a", "text": ""},
        {"check": "contains", "path": "a", "pattern": "("}, {"check": "json_path", "path": "a", "query": "name"},
        {"check": "command", "command": "a | b"}, {"check": "command"}, {"check": "command", "command": ["x"], "timeout": -1},
    ],
    ids=range(12),
)  # fmt: skip
def test_a_criterion_that_cannot_be_checked_is_not_met(root: Root, criterion: dict[str, Any]) -> None:
    (root.path / "a").write_text("x\n")
    assert criteria.problem(criterion)
    (error,) = check_criteria(spec_of(checks=(criterion,)), root, lambda command: run(command, root.path)).errors
    assert "cannot be checked" in error.message
    assert not error.retryable


def test_a_criterion_whose_tool_is_missing_is_not_met(root: Root) -> None:
    spec = spec_of(checks=({"check": "command", "command": ["no-such-tool-here"]},))
    (error,) = check_criteria(spec, root, lambda command: run(command, root.path)).errors
    assert "is not installed" in error.message
    assert not error.retryable


def test_criteria_in_words_are_counted_and_never_claimed(root: Root) -> None:
    spec = spec_of(
        acceptance_criteria=("Works", "Is quick"), checks=({"check": "not_contains", "path": "a", "text": "x"},)
    )
    found = check_criteria(spec, root, lambda command: run(command, root.path))
    assert found.errors == ()
    assert found.warnings == ("2 of 3 acceptance criteria were not machine-checked",)
