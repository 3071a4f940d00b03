"""What a transaction does when all goes well, and when something is refused."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from phasegate.apps.build.applying.transaction import Applier
from phasegate.apps.build.errors import ConcurrentEditError, FileSystemError, RollbackError, UnsafePathError
from phasegate.apps.build.schema import FileFacts, Planned
from phasegate.errors import IllegalTransition, InputError
from tests.apps.build.applying_steps import OLD_TIME, World, build, failing


@pytest.fixture(params=["one disk", "two disks"])
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Repository and state directory on one disk, and on two. Nobody waits for them: there will be no power cut."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    if request.param == "one disk":
        yield build(tmp_path / "base", tmp_path / "state")
        return
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is one disk only")
    with tempfile.TemporaryDirectory(dir=memory) as other:
        yield build(tmp_path / "base", Path(other) / "state")


def test_changes_are_on_disk_exactly_as_planned(world: World) -> None:
    outside = world.tree()["outside/file.txt"]
    transaction = world.begin(*world.three())
    assert transaction.paths == ("made/here/new.py", "src/app.py", "gone/away/old.py")
    transaction.commit()
    assert (world.read("src/app.py"), world.read("made/here/new.py")) == (b"new app\n", b"new\n")
    assert (world.repo / "src/app.py").stat().st_mode & 0o777 == 0o755
    assert not (world.repo / "gone").exists(), "directories that became empty go"
    transaction.finish()
    assert world.left() == []
    assert world.tree()["outside/file.txt"] == outside
    assert (world.repo / "src/other.py").stat().st_mtime_ns == OLD_TIME


def test_nothing_but_the_named_files_changes(world: World) -> None:
    before = world.tree()
    world.begin(world.modify("src/app.py", b"x")).commit()
    assert {path for path, thing in world.tree().items() if before.get(path) != thing} == {"repo/src/app.py"}


def test_a_rollback_restores_every_byte_mode_and_time(world: World) -> None:
    before = world.tree()
    transaction = world.begin(*world.three())
    transaction.commit()
    assert world.tree() != before
    transaction.rollback()
    assert world.tree() == before
    assert transaction.state == "undone"
    assert world.left() == []


def test_the_journal_says_how_far_it_is(world: World) -> None:
    before = world.tree()
    transaction = world.begin(*world.three())
    assert world.tree() == before, "nothing is touched before the commit"
    told = world.journal()
    assert (told["state"], told["version"], told["about"]) == ("prepared", 1, {"phase": "one"})
    assert told["root"] == str(world.repo.resolve())
    assert [entry["op"] for entry in told["entries"]] == ["create", "modify", "delete"]
    assert told["created"] == ["made", "made/here"]
    assert [(gone["path"], gone["mode"]) for gone in told["removed"]] == [("gone", 0o755), ("gone/away", 0o711)]
    transaction.commit()
    assert (world.journal()["state"], transaction.state) == ("applied", "applied")
    transaction.finish()
    transaction.finish()
    assert transaction.state == "final"
    with pytest.raises(IllegalTransition):
        transaction.rollback()


def test_only_directories_that_became_empty_go(world: World) -> None:
    world.write("gone/stays.txt", b"s")
    world.begin(world.delete("gone/away/old.py"), world.delete("notes.txt")).commit()
    assert not (world.repo / "gone/away").exists()
    assert world.read("gone/stays.txt") == b"s"


def test_a_directory_that_is_needed_stays(world: World) -> None:
    world.begin(world.delete("gone/away/old.py"), world.create("gone/away/new.py", b"n")).commit()
    assert world.read("gone/away/new.py") == b"n"
    assert (world.repo / "gone/away").stat().st_mode & 0o777 == 0o711


def test_other_names_of_a_file_are_never_written_through(world: World) -> None:
    os.link(world.repo / "src/app.py", world.base / "outside/second")
    before = world.tree()
    transaction = world.begin(world.modify("src/app.py", b"new app\n"))
    transaction.commit()
    assert (world.base / "outside/second").read_bytes() == b"old app\n"
    transaction.rollback()
    assert world.tree() == before


def test_a_rollback_on_one_disk_brings_back_the_very_file(tmp_path: Path) -> None:
    world = build(tmp_path / "base", tmp_path / "state")
    os.link(world.repo / "src/app.py", world.base / "outside/second")
    transaction = world.begin(world.modify("src/app.py", b"x"), world.delete("gone/away/old.py"))
    transaction.commit()
    transaction.rollback()
    assert os.path.samefile(world.repo / "src/app.py", world.base / "outside/second")


def test_everything_is_on_the_disk_before_what_relies_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = build(tmp_path / "base", tmp_path / "state")
    done: list[str] = []
    sync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        done.append(os.readlink(f"/proc/self/fd/{handle}").removeprefix(f"{tmp_path}/"))
        sync(handle)

    def replaced(source: str, name: str, **options: Any) -> None:
        done.append(f"replace {Path(name).name}")
        replace(source, name, **options)

    if not Path("/proc/self/fd").exists():
        pytest.skip("the system does not tell which file is meant")
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    transaction = world.begin(*world.three())
    place = "state/txn/t1"
    contents = {f"{place}/{name}" for name in ("new", "new/0", "new/1", "new/2", "old", "old/1", "old/2")}
    assert contents <= set(done[: done.index("replace journal.json")]), "contents are there before the journal"
    assert done[-3:] == [f"{place}/journal.json.new", "replace journal.json", place]
    done.clear()
    transaction.commit()
    first, last = done.index("replace app.py"), len(done) - 1 - done[::-1].index("replace journal.json")
    assert done[:3] == [f"{place}/journal.json.new", "replace journal.json", place]
    assert first > 2, "the journal is there before a file changes"
    assert {"base/repo", "base/repo/src", "base/repo/made", "base/repo/made/here"} <= set(done[first:last])
    done.clear()
    transaction.rollback()
    assert {"base/repo", "base/repo/src", "base/repo/gone/away"} <= set(done[: done.index(place, 3)])


def test_new_files_get_what_the_umask_leaves(world: World) -> None:
    umask = os.umask(0o027)
    try:
        world.begin(world.create("plain", b"p"), world.create("program", b"p", 0o755)).commit()
    finally:
        os.umask(umask)
    assert [(world.repo / name).stat().st_mode & 0o777 for name in ("plain", "program")] == [0o640, 0o750]


def test_odd_names_and_empty_contents_are_kept(world: World) -> None:
    long = "n" * 251 + ".txt"
    deep = "/".join(["d" * 50] * 19) + "/file"
    names = ["\u00dcn\u00efcode \u6587.md", "with space", long, deep, "-rf", "'quote'"]
    before = world.tree()
    transaction = world.begin(*(world.create(name, b"") for name in names))
    transaction.commit()
    assert [world.read(name) for name in names] == [b""] * len(names)
    transaction.rollback()
    assert world.tree() == before


@pytest.mark.parametrize("moment", ["before it begins", "before it is committed"])
def test_a_file_that_somebody_has_edited_is_not_overwritten(world: World, moment: str) -> None:
    planned = world.three()
    transaction = None if moment == "before it begins" else world.begin(*planned)
    world.write("src/app.py", b"the user's own\n")
    before = world.tree()
    with pytest.raises(ConcurrentEditError, match=r"^Concurrent edit: src/app\.py: "):
        (transaction or world.begin(*planned)).commit()
    assert world.tree() == before
    assert world.left() == []


@pytest.mark.parametrize("moment", ["before it begins", "before it is committed"])
def test_a_file_that_somebody_has_created_is_not_overwritten(world: World, moment: str) -> None:
    planned = [world.create("fresh.py", b"f")]
    transaction = None if moment == "before it begins" else world.begin(*planned)
    world.write("fresh.py", b"the user's own\n")
    with pytest.raises(ConcurrentEditError):
        (transaction or world.begin(*planned)).commit()
    assert world.read("fresh.py") == b"the user's own\n"


def test_a_file_that_somebody_has_removed_is_not_brought_back(world: World) -> None:
    transaction = world.begin(world.modify("src/app.py", b"x"), world.create("fresh.py", b"f"))
    (world.repo / "src/app.py").unlink()
    with pytest.raises(ConcurrentEditError):
        transaction.commit()
    assert not (world.repo / "src/app.py").exists()
    assert not (world.repo / "fresh.py").exists()


def test_a_file_that_appears_in_the_last_moment_is_not_replaced(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    transaction = world.begin(world.create("a.py", b"a"), world.create("fresh.py", b"f"))
    link = os.link

    def late(source: str, name: str, **options: Any) -> None:
        if name == "fresh.py":
            world.write("fresh.py", b"the user's own\n")
        link(source, name, **options)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises((ConcurrentEditError, RollbackError)):
        transaction.commit()
    assert world.read("fresh.py") == b"the user's own\n"
    assert not (world.repo / "a.py").exists()


@pytest.mark.parametrize("path", ["link/file.txt", "link"])
def test_nothing_is_reached_through_a_link(world: World, path: str) -> None:
    before = world.tree()
    with pytest.raises(UnsafePathError):
        world.begin(Planned(path, "create", FileFacts(path), b"x"))
    assert world.tree() == before
    assert world.left() == []


def test_a_directory_exchanged_for_a_link_before_the_commit_is_found_out(world: World) -> None:
    transaction = world.begin(world.create("fresh.py", b"f"), world.create("src/file.txt", b"attack\n"))
    (world.repo / "src").rename(world.base / "src")
    os.symlink(world.base / "outside", world.repo / "src")
    before = world.tree()
    with pytest.raises(UnsafePathError):
        transaction.commit()
    assert world.tree() == before


@pytest.mark.parametrize("op", ["create", "modify", "delete"])
def test_an_operation_that_does_not_fit_the_disk_is_refused(world: World, op: str) -> None:
    path = "src/app.py" if op == "create" else "nowhere.py"
    planned = world.modify("src/app.py", b"x") if op == "create" else world.create(path, b"x")
    with pytest.raises(ConcurrentEditError):
        world.begin(Planned(path, op, planned.before, None if op == "delete" else b"x"))  # type: ignore[arg-type]
    assert world.left() == []


def test_whatever_call_fails_once_everything_is_as_it_was(world: World) -> None:
    """An error of every call of a commit in turn, among them those that write the second of three files."""
    before, at, refused = world.tree(), 0, list[str]()
    while at == len(refused):
        at += 1
        transaction = world.begin(*world.three(), id=f"t{at}")
        try:
            with failing(at, lambda: OSError(errno.ENOSPC, "full")):
                transaction.commit()
        except FileSystemError as error:
            refused.append(error.message)
        else:
            transaction.rollback()
        assert (world.tree(), world.left()) == (before, [])
    assert len(refused) > 20
    assert all("make room on the disk, then run the phase again" in message for message in refused)


def test_whatever_call_is_interrupted_everything_is_as_it_was(world: World) -> None:
    before, interrupted = world.tree(), 0
    for at in range(1, 60, 3):
        transaction = world.begin(*world.three(), id=f"t{at}")
        with suppress(KeyboardInterrupt), failing(at, KeyboardInterrupt):
            transaction.commit()
        interrupted += transaction.state != "applied"
        transaction.rollback()
        assert (world.tree(), world.left()) == (before, [])
    assert interrupted > 8


def test_a_disk_that_fails_for_good_is_told_and_recovered_from_later(world: World) -> None:
    before, told, messages = world.tree(), Counter[str](), list[str]()
    for at in range(1, 60, 4):
        transaction = world.begin(*world.three(), id=f"t{at}")
        try:
            with failing(at, lambda: OSError(errno.EROFS, "read-only"), for_good=True):
                transaction.commit()
        except (FileSystemError, RollbackError) as error:
            messages.append(error.message)
        told.update(each.outcome for each in world.applier.recover(lambda _: False))
        assert (world.tree(), world.left()) == (before, [])
    assert set(told) == {"discarded", "rolled_back"}
    assert not any(str(world.base) in message or str(world.state) in message for message in messages)
    assert any(message.startswith("Rollback failed: ") for message in messages)


def test_a_beginning_that_fails_leaves_nothing(world: World) -> None:
    before, planned, messages = world.tree(), world.three(), list[str]()
    for at in range(1, 40, 2):
        try:
            with failing(at, lambda: OSError(errno.EDQUOT, "quota")):
                transaction = world.begin(*planned)
        except FileSystemError as error:
            messages.append(error.message)
        else:
            transaction.rollback()
        assert (world.tree(), world.left()) == (before, [])
    assert len(messages) > 10
    assert all("make room within the quota" in message for message in messages)


def test_the_tree_of_a_git_repository_stays_dirty_as_it_was(world: World) -> None:
    if shutil.which("git") is None:
        pytest.skip("there is no git")

    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=n", "-c", "user.email=n@example.com", *arguments]
        return subprocess.run(command, cwd=world.repo, check=True, capture_output=True, text=True).stdout

    git("init", "--quiet")
    git("add", "src/app.py", "gone")
    git("commit", "--quiet", "-m", "first")
    world.write("src/app.py", b"changed by the user\n")
    git("stash", "list")
    before, status = world.tree(), git("status", "--porcelain", "--untracked-files=all")
    transaction = world.begin(*world.three())
    transaction.commit()
    transaction.rollback()
    assert {path: thing for path, thing in world.tree().items() if path != "repo/.git/index"} == {
        path: thing for path, thing in before.items() if path != "repo/.git/index"
    }
    assert git("status", "--porcelain", "--untracked-files=all") == status


@pytest.mark.parametrize("id", ["", "..", "a/b", ".hidden", "x" * 101, "a b"])
def test_an_id_that_is_no_file_name_is_refused(world: World, id: str) -> None:
    with pytest.raises(InputError):
        world.applier.begin(id, [], about={})
    with pytest.raises(InputError):
        world.applier.open(id)


def test_an_id_that_is_taken_is_refused(world: World) -> None:
    world.begin(*world.three())
    with pytest.raises(FileSystemError, match="recover first"):
        world.begin(*world.three())
    assert world.journal()["state"] == "prepared"


def test_what_is_kept_can_be_read_by_its_owner_only(world: World) -> None:
    world.begin(*world.three())
    assert [place.stat().st_mode & 0o077 for place in (world.state / "txn", world.state / "txn/t1")] == [0, 0]


def test_a_transaction_goes_on_in_another_process(world: World) -> None:
    before = world.tree()
    world.begin(*world.three())
    first = world.applier.open("t1")
    assert first is not None
    first.commit()
    second = world.applier.open("t1")
    assert second is not None
    assert (second.state, second.about) == ("applied", {"phase": "one"})
    second.rollback()
    assert world.tree() == before
    assert world.applier.open("t1") is None
    assert isinstance(world.applier, Applier)
