"""What becomes of transactions that were not brought to their end, and of files that somebody has changed meanwhile."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from phasegate.apps.build.applying import journal as journals
from phasegate.apps.build.applying.transaction import Applier, Transaction
from phasegate.apps.build.errors import FileSystemError, RollbackError
from phasegate.apps.build.paths.root import Root
from tests.apps.build.applying_steps import World, build, failing
from tests.crash.test_full_disk import small_disk


@pytest.fixture
def world(tmp_path: Path) -> World:
    return build(tmp_path / "base", tmp_path / "state")


class Stopped(BaseException):
    """The process ends here."""


def stop(world: World, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a transaction as a process leaves it that is killed when it has just reached this state."""
    write = journals.write

    def written(journal: journals.Journal, directory: Path) -> None:
        write(journal, directory)
        if journal.state == state:
            raise Stopped

    def go() -> None:
        transaction = world.begin(*world.three())
        transaction.commit()
        transaction.rollback() if state == "undoing" else transaction.finish()

    with monkeypatch.context() as patch:
        patch.setattr(journals, "write", written)
        # Nothing of what a living process would still do.
        patch.setattr("shutil.rmtree", lambda *_, **__: None)
        if state != "undoing":
            patch.setattr(Transaction, "rollback", lambda _: None)
        with pytest.raises(Stopped):
            go()


@pytest.mark.parametrize(
    ("state", "final", "outcome"),
    [
        ("prepared", False, "discarded"), ("prepared", True, "discarded"),
        ("committing", False, "rolled_back"), ("committing", True, "rolled_back"),
        ("applied", False, "rolled_back"), ("applied", True, "finished"),
        ("undoing", False, "rolled_back"), ("undoing", True, "rolled_back"),
        ("final", True, "finished"), ("final", False, "finished"),
    ],
)  # fmt: skip
def test_each_state_is_recovered_from(
    world: World, monkeypatch: pytest.MonkeyPatch, state: str, final: bool, outcome: str
) -> None:
    before = world.tree()
    stop(world, state, monkeypatch)
    assert world.journal()["state"] == state
    told = world.applier.recover(lambda id: final and id == "t1")
    assert [(each.id, each.outcome, each.about) for each in told] == [("t1", outcome, {"phase": "one"})]
    assert (world.tree() == before) == (outcome != "finished")
    assert world.read("src/app.py") == (b"new app\n" if outcome == "finished" else b"old app\n")
    assert world.left() == []
    assert world.applier.recover(lambda _: False) == [], "there is nothing to do the second time"


def test_what_never_began_is_cleared_away(world: World) -> None:
    (world.state / "txn/t1/new").mkdir(parents=True)
    (world.state / "txn/t1/new/0").write_bytes(b"half")
    assert world.applier.recover(lambda _: False) == []
    assert world.left() == []
    assert world.applier.open("t1") is None


def test_a_transaction_of_another_repository_is_left_alone(world: World, tmp_path: Path) -> None:
    before = world.tree()
    world.begin(*world.three()).commit()
    (tmp_path / "second").mkdir()
    other = Applier(Root(tmp_path / "second"), world.state)
    assert [each.outcome for each in other.recover(lambda _: False)] == ["foreign"]
    with pytest.raises(RollbackError, match="belongs to another repository"):
        other.open("t1")
    assert [each.outcome for each in world.applier.recover(lambda _: False)] == ["rolled_back"]
    assert world.tree() == before


def test_a_repository_that_was_moved_is_still_known(world: World, tmp_path: Path) -> None:
    world.begin(*world.three()).commit()
    world.repo.rename(tmp_path / "moved")
    moved = Applier(Root(tmp_path / "moved"), world.state)
    assert [each.outcome for each in moved.recover(lambda _: False)] == ["rolled_back"]
    assert (tmp_path / "moved/src/app.py").read_bytes() == b"old app\n"


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b"null", b'{"version": 99}', b"\xff", b'{"version":1,"state":"odd"}']
)
def test_a_journal_that_cannot_be_read_is_told_and_nothing_is_removed(world: World, data: bytes) -> None:
    world.begin(*world.three()).commit()
    (world.state / "txn/t1/journal.json").write_bytes(data)
    told = world.applier.recover(lambda _: True)
    assert [each.outcome for each in told] == ["conflict"]
    assert told[0].error is not None
    assert "look at txn/t1 below state_dir" in told[0].error.message
    assert (world.state / "txn/t1/old/1").read_bytes() == b"old app\n"
    with pytest.raises(RollbackError):
        world.applier.open("t1")


def edited(world: World) -> Transaction:
    """A transaction after which the user has edited the modified file."""
    transaction = world.begin(*world.three(), world.modify("src/other.py", b"new other\n"))
    transaction.commit()
    world.write("src/app.py", b"the user's own\n")
    return transaction


def test_a_file_changed_since_is_not_overwritten_and_all_others_are_restored(world: World) -> None:
    before, transaction = world.tree(), edited(world)
    with pytest.raises(
        RollbackError, match=r"^Rollback failed: changed by somebody else since.*: src/app\.py;"
    ) as raised:
        transaction.rollback()
    assert raised.value.code == "E_ROLLBACK_CONFLICT"
    assert raised.value.details["paths"] == ["src/app.py"]
    assert raised.value.details["saved"] == ["before/src/app.py"]
    assert str(world.base) not in str(raised.value.told())
    assert {path for path, thing in world.tree().items() if before.get(path) != thing} == {"repo/src/app.py"}
    assert world.read("src/app.py") == b"the user's own\n"
    assert (world.state / "txn/t1/before/src/app.py").read_bytes() == b"old app\n"
    assert (transaction.state, transaction.paths) == ("undoing", ("src/app.py",))
    assert world.left() == ["t1"]


def test_a_conflict_is_told_until_it_is_settled(world: World) -> None:
    before = world.tree()
    with pytest.raises(RollbackError):
        edited(world).rollback()
    world.write("src/other.py", b"the user goes on working\n")
    for _ in range(2):
        told = world.applier.recover(lambda _: True)
        assert [(each.outcome, each.paths) for each in told] == [("conflict", ("src/app.py",))]
        assert isinstance(told[0].error, RollbackError)
    world.write("src/app.py", b"old app\n", 0o755)
    assert [each.outcome for each in world.applier.recover(lambda _: False)] == ["rolled_back"]
    assert world.read("src/other.py") == b"the user goes on working\n", "what was put back once is the user's"
    assert set(world.tree()) == set(before)
    assert world.left() == []


def test_a_person_settles_a_conflict_by_keeping_what_is_there(world: World) -> None:
    transaction = edited(world)
    with pytest.raises(RollbackError):
        transaction.rollback()
    transaction.forget()
    assert (world.left(), world.applier.recover(lambda _: False)) == ([], [])
    assert world.read("src/app.py") == b"the user's own\n"


def _edit_created(world: World) -> None:
    world.write("made/here/new.py", b"the user's own\n")


def _recreate_deleted(world: World) -> None:
    world.write("gone/away/old.py", b"the user's own\n")


def _put_a_directory(world: World) -> None:
    (world.repo / "src/app.py").unlink()
    (world.repo / "src/app.py").mkdir()


def _put_a_link(world: World) -> None:
    (world.repo / "src/app.py").unlink()
    os.symlink(world.base / "outside/file.txt", world.repo / "src/app.py")


def _link_the_directory(world: World) -> None:
    (world.repo / "made").rename(world.base / "made")
    os.symlink(world.base / "made", world.repo / "made")


@pytest.mark.parametrize(
    "act",
    [_edit_created, _recreate_deleted, _put_a_directory, _put_a_link, _link_the_directory],
    ids=lambda f: f.__name__,
)
def test_whatever_the_user_has_put_there_stays(world: World, act: Callable[[World], None]) -> None:
    transaction = world.begin(*world.three())
    transaction.commit()
    act(world)
    after = world.tree()
    with pytest.raises(RollbackError) as raised:
        transaction.rollback()
    assert raised.value.code == "E_ROLLBACK_CONFLICT"
    (path,) = raised.value.details["paths"]
    now = world.tree()
    assert now[f"repo/{path}"] == after[f"repo/{path}"] if f"repo/{path}" in after else "link" in act.__name__
    assert now["outside/file.txt"] == after["outside/file.txt"]
    assert (now.get("made/here/new.py")) == (after.get("made/here/new.py"))
    restored = {"src/app.py": b"old app\n", "gone/away/old.py": b"old\n"}
    assert all(world.read(each) == data for each, data in restored.items() if each != path)


def test_what_the_user_has_removed_since_is_restored(world: World) -> None:
    before, transaction = world.tree(), world.begin(*world.three())
    transaction.commit()
    (world.repo / "src/app.py").unlink()
    (world.repo / "made/here/new.py").unlink()
    transaction.rollback()
    assert world.tree() == before


def test_a_users_file_in_a_created_directory_keeps_it(world: World) -> None:
    transaction = world.begin(*world.three())
    transaction.commit()
    world.write("made/here/mine.txt", b"mine")
    transaction.rollback()
    assert os.listdir(world.repo / "made/here") == ["mine.txt"]


def test_a_file_changed_before_its_turn_came_is_no_conflict(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    stop(world, "committing", monkeypatch)
    world.write("src/app.py", b"the user's own\n")
    assert [each.outcome for each in world.applier.recover(lambda _: False)] == ["rolled_back"]
    assert world.read("src/app.py") == b"the user's own\n"


def test_a_damaged_copy_is_never_put_back(world: World) -> None:
    transaction = world.begin(world.modify("src/app.py", b"new app\n"))
    transaction.commit()
    for place in ("old/0", "kept/0"):
        (world.state / "txn/t1" / place).write_bytes(b"damaged")
    with pytest.raises(RollbackError, match="the copy of its state before is damaged"):
        transaction.rollback()
    assert world.read("src/app.py") == b"new app\n"


KILLS = """
from tests.chaos_build import applying
assert applying.main(15) == 0
applying._recover = lambda *_: None
assert len(applying.run(5).wrong) > 2
"""


def test_every_call_of_a_rollback_may_fail_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so, or manages all the same; the next recovery finds nothing to complain of."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    before, told = world.tree(), list[str]()
    for at in (*range(1, 56, 6), *range(56, 100, 2)):
        transaction = world.begin(*world.three(), id=f"t{at}")
        transaction.commit()
        try:
            with failing(at, lambda: OSError(errno.EIO, "broken")):
                transaction.rollback()
        except (FileSystemError, RollbackError) as error:
            told.append(error.message)
        assert all(each.outcome == "rolled_back" for each in world.applier.recover(lambda _: True))
        assert (world.tree(), world.left()) == (before, [])
    assert len(told) > 4
    assert all("check it before anything else" in message for message in told)


def test_killed_anywhere_the_tree_is_exactly_old_or_exactly_new_unless_nobody_recovers() -> None:
    """In a process without threads, which can fork."""
    done = subprocess.run([sys.executable, "-c", KILLS], capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("15 change sets, killed: ")
    assert " 0 wrong" in done.stdout


def test_a_full_disk_refuses_the_second_of_three_files(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "1m") as disk:
        world = build(disk / "base", tmp_path / "state")
        before = world.tree()
        three = [world.create("a", b"a" * 1000), world.create("b", b"b" * 2_000_000), world.create("c", b"c")]
        transaction = world.begin(*three)
        with pytest.raises(
            FileSystemError, match=r"^File system error: b: No space left on device; make room on the disk"
        ):
            transaction.commit()
        assert (world.tree(), world.left()) == (before, [])


def test_a_disk_that_is_full_later_does_not_keep_files_from_being_restored(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "1m") as disk:
        world = build(disk / "base", disk / "state")
        before = world.tree()
        transaction = world.begin(*world.three())
        transaction.commit()
        with (disk / "ballast").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            file.writelines(bytes(4096) for _ in range(1_000))
        transaction.rollback()
        assert (world.tree(), world.left()) == (before, [])


def test_a_full_disk_of_the_state_is_told_before_anything_changes(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "64k") as disk:
        world = build(tmp_path / "base", disk / "state")
        before = world.tree()
        with pytest.raises(FileSystemError, match="make room on the disk"):
            world.begin(world.create("a", b"a" * 1_000_000))
        assert (world.tree(), world.left()) == (before, [])


def test_a_limit_on_the_size_of_files_refuses_the_second_of_three(tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is one disk only")
    world = build(tmp_path / "base", memory / f"phasegate-{os.getpid()}")
    try:
        before = world.tree()
        transaction = world.begin(
            world.create("a", b"a"), world.modify("src/app.py", b"x" * 50_000), world.delete("notes.txt")
        )
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        try:
            with pytest.raises(
                FileSystemError, match=r"src/app\.py: File too large; raise the limit on the size of a file"
            ):
                transaction.commit()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert (world.tree(), world.left()) == (before, [])
    finally:
        subprocess.run(["rm", "-rf", world.state], check=True)


def test_journals_are_json_and_read_back(world: World) -> None:
    world.begin(*world.three())
    journal = journals.read(world.state / "txn/t1")
    assert journal is not None
    assert journals.Journal.from_told(json.loads(json.dumps(journal.told()))) == journal
