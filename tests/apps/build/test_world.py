"""Changes against what is on disk and what was shown of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import Change, FileFacts, PhaseSpec, Shown
from phasegate.apps.build.validation.world import NO_EFFECT, originals, resolve

POLICY = Policy()
OLD = "one = 1\ntwo = 2\n"
NEW = "one = 1\ntwo = 3\n"


@pytest.fixture
def root(tmp_path: Path) -> Root:
    (tmp_path / "a.py").write_text(OLD)
    return Root(tmp_path)


def spec_of(**fields: Any) -> PhaseSpec:
    return PhaseSpec("one", "One", "Do one thing", **fields)


def look(
    root: Root, *changes: Change, shown: Shown | None = None, spec: PhaseSpec | None = None
) -> tuple[list[Change], list[str], tuple[str, ...]]:
    """The changes that are left, the codes of the errors, the warnings; with every file shown as said."""
    seen = {} if shown is None else {each.path: (root.facts(each.path), shown) for each in changes}
    left, found = resolve(changes, seen, root, spec or spec_of(), POLICY)
    return left, [each.code for each in found.errors], found.warnings


def test_a_new_file_is_created(root: Root) -> None:
    change = Change("b.py", "create", NEW)
    assert look(root, change) == ([change], [], ())


@pytest.mark.parametrize("mode", ["create", "modify"])
@pytest.mark.parametrize("shown", [None, "excerpt", "full"])
def test_content_that_is_on_disk_already_changes_nothing(root: Root, mode: Any, shown: Shown | None) -> None:
    left, errors, warnings = look(root, Change("a.py", mode, OLD), shown=shown)
    assert (left, errors) == ([], [])
    assert "already" in warnings[0]
    assert warnings[-1] == NO_EFFECT


def test_the_same_text_with_other_line_ends_or_a_mark_is_the_same_content(root: Root) -> None:
    (root.path / "c.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")
    assert look(root, Change("c.txt", "modify", "one\ntwo\n"), shown="full")[:2] == ([], [])


def test_some_effect_is_no_reason_for_the_warning(root: Root) -> None:
    left, errors, warnings = look(root, Change("a.py", "modify", OLD), Change("b.py", "create", NEW), shown="full")
    assert ([each.path for each in left], errors) == (["b.py"], [])
    assert NO_EFFECT not in warnings


def test_creating_a_file_that_was_shown_modifies_it(root: Root) -> None:
    left, errors, warnings = look(root, Change("a.py", "create", NEW), shown="full")
    assert (left, errors) == ([Change("a.py", "modify", NEW)], [])
    assert len(warnings) == 1


@pytest.mark.parametrize("shown", [None, "excerpt", "name", "omitted", "numbered"])
def test_creating_a_file_that_was_not_shown_in_full_is_refused(root: Root, shown: Shown | None) -> None:
    assert look(root, Change("a.py", "create", NEW), shown=shown)[:2] == ([], ["E_CREATE_EXISTS"])


def test_a_missing_file_is_created_only_if_it_was_asked_for(root: Root) -> None:
    change, created = Change("src/b.py", "modify", NEW), Change("src/b.py", "create", NEW)
    for spec in (spec_of(deliverables=("src/b.py",)), spec_of(deliverables=("src/",)), spec_of(scope=("src/",))):
        left, errors, warnings = look(root, change, spec=spec)
        assert (left, errors, len(warnings)) == ([created], [], 1)
    assert look(root, change)[:2] == ([], ["E_MODIFY_MISSING"])
    assert look(root, change, spec=spec_of(deliverables=("src/b",)))[:2] == ([], ["E_MODIFY_MISSING"])


@pytest.mark.parametrize("shown", [None, "excerpt", "name", "omitted"])
def test_what_was_not_seen_cannot_be_replaced(root: Root, shown: Shown | None) -> None:
    left, found = resolve(
        [Change("a.py", "modify", NEW)], {"a.py": (root.facts("a.py"), shown)} if shown else {}, root, spec_of(), POLICY
    )
    assert left == []
    assert [each.code for each in found.errors] == ["E_MODIFY_UNSEEN"]
    assert found.errors[0].details == {"show": "a.py"}


@pytest.mark.parametrize("shown", ["full", "numbered"])
def test_what_was_seen_can_be_modified(root: Root, shown: Shown) -> None:
    change = Change("a.py", "modify", NEW)
    assert look(root, change, shown=shown) == ([change], [], ())


def test_deleting_needs_a_file_and_the_permission(root: Root) -> None:
    change = Change("a.py", "delete")
    assert look(root, change) == ([change], [], ())
    assert look(root, change, spec=spec_of(allow_delete=False))[:2] == ([], ["E_SCOPE"])
    assert look(root, Change("b.py", "delete"))[:2] == ([], ["E_DELETE_MISSING"])


def test_a_file_that_somebody_edited_meanwhile_is_left_alone(root: Root) -> None:
    seen: dict[str, tuple[FileFacts, Shown]] = {
        "a.py": (root.facts("a.py"), "full"),
        "b.py": (root.facts("b.py"), "name"),
    }
    (root.path / "a.py").write_text("mine = 1\n")
    (root.path / "b.py").write_text("mine = 2\n")
    for change in (Change("a.py", "modify", NEW), Change("a.py", "delete"), Change("b.py", "create", NEW)):
        left, found = resolve([change], seen, root, spec_of(), POLICY)
        assert left == []
        assert [each.code for each in found.errors] == ["E_CONCURRENT_EDIT"]
        assert found.errors[0].retryable
    (root.path / "a.py").unlink()
    _, found = resolve([Change("a.py", "modify", NEW)], seen, root, spec_of(), POLICY)
    assert "deleted by somebody else" in found.errors[0].message


def test_the_result_is_judged_and_not_the_declared_mode(root: Root) -> None:
    broken = Change("a.py", "create", "one = (\ntwo = 2\n")
    assert look(root, broken, shown="full")[1] == ["E_SYNTAX"]
    assert look(root, Change("b.json", "create", "{"))[1] == ["E_SYNTAX"]
    assert look(root, Change("a.py", "modify", "one = 1\ntwo = 2\n# ... rest of file ...\n"), shown="full")[1] == [
        "E_PLACEHOLDER"
    ]


def test_all_problems_are_told_in_the_order_of_the_changes(root: Root) -> None:
    (root.path / "d").mkdir()
    changes = [
        Change("x.py", "delete"),
        Change("a.py", "modify", NEW),
        Change("y.py", "modify", NEW),
        Change("d", "create", "x"),
    ]
    left, codes, _ = look(root, *changes)
    assert left == []
    assert codes == ["E_DELETE_MISSING", "E_MODIFY_UNSEEN", "E_MODIFY_MISSING", "E_PATH_UNSAFE"]


def test_a_linked_file_is_an_error_and_not_read(root: Root, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "a.py"
    outside.write_text(OLD)
    (root.path / "l.py").symlink_to(outside)
    assert look(root, Change("l.py", "modify", NEW))[:2] == ([], ["E_SYMLINK"])
    assert outside.read_text() == OLD


def test_nothing_is_written(root: Root) -> None:
    before = {p: p.read_bytes() for p in root.path.rglob("*") if p.is_file()}
    look(root, Change("a.py", "modify", NEW), Change("b/c.py", "create", NEW), shown="full")
    assert {p: p.read_bytes() for p in root.path.rglob("*") if p.is_file()} == before
    assert not (root.path / "b").exists()


def test_originals_are_the_texts_of_files_that_are_text(root: Root) -> None:
    (root.path / "b.bin").write_bytes(b"\0\1")
    (root.path / "c.txt").write_bytes(b"one\r\n")
    assert originals(["a.py", "b.bin", "c.txt", "none"], root) == {"a.py": OLD, "c.txt": "one\n"}
