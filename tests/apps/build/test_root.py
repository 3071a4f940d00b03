"""The repository on disk: what is read of a file, what forbids to write it, and that no link is ever followed."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.build.errors import FileSystemError, PhaseExecutorError, ProtectedPathError, UnsafePathError
from phasegate.apps.build.paths import disk, reading
from phasegate.apps.build.paths import root as root_module
from phasegate.apps.build.paths.reading import read_content
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.schema import FileFacts


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("outside\n", encoding="utf-8")
    place = tmp_path / "repo"
    (place / "src" / "deep").mkdir(parents=True)
    (place / "src" / "a.py").write_text("a = 1\n", encoding="utf-8")
    (place / "src" / "deep" / "b.py").write_text("b = 2\n", encoding="utf-8")
    (place / "link_out").symlink_to("../outside")
    (place / "link_in").symlink_to("src")
    (place / "link_file").symlink_to("src/a.py")
    (place / "dangling").symlink_to("../outside/new.txt")
    (place / "src" / "loop").symlink_to("loop")
    os.mkfifo(place / "pipe")
    return place


@pytest.fixture(params=["descriptors", "paths"])
def root(repository: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Root:
    """Walked by descriptors, and as on a system that has none."""
    monkeypatch.setattr(root_module, "HAS_DESCRIPTORS", request.param == "descriptors")
    return Root(repository)


def _write(root: Root, path: str, text: str, *, create: bool = True) -> list[str]:
    created: list[str] = []
    with root.parent(path, create=create, created=created) as (directory, name):
        handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644, dir_fd=directory)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
    return created


def test_a_repository_must_be_a_directory_that_exists(repository: Path) -> None:
    for wrong in (repository / "nowhere", repository / "src" / "a.py", repository / "src" / "loop", "a\0b"):
        with pytest.raises(FileSystemError, match="File system error: the repository") as raised:
            Root(wrong)
        assert str(repository) not in raised.value.message


def test_links_in_the_repositorys_own_path_are_followed_once(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(repository)
    root = Root(str(tmp_path / "alias"))
    (tmp_path / "alias").unlink()
    assert root.path == repository.resolve()
    assert root.read("src/a.py") == b"a = 1\n"


def test_facts_tell_what_is_there(root: Root) -> None:
    (root.path / "run.sh").write_bytes(b"#!/bin/sh\r\necho\r\nx")
    (root.path / "run.sh").chmod(0o750)
    sha256 = hashlib.sha256(b"#!/bin/sh\r\necho\r\nx").hexdigest()
    assert root.facts("./run.sh") == FileFacts("run.sh", sha256, 18, 3, "utf-8", "\r\n", 0o750, 1)
    assert root.read("run.sh", 9) == b"#!/bin/sh"
    assert root.load("run.sh", limit=4)[1] == b"#!/b"
    assert root.load("run.sh")[1] == root.read("run.sh") == (root.path / "run.sh").read_bytes()


def test_hard_links_are_counted(root: Root) -> None:
    (root.path / "hard.txt").hardlink_to(root.path.parent / "outside" / "secret.txt")
    assert root.facts("hard.txt").links == 2
    assert root.check("hard.txt") == []


def test_what_is_not_there_has_facts_but_cannot_be_read(root: Root) -> None:
    assert root.facts("new.py") == FileFacts("new.py")
    assert not root.facts("no/such/dir/new.py").exists
    with pytest.raises(FileSystemError, match=r"no/new\.py: there is no such file"):
        root.read("no/new.py")
    assert root.check("no/such/dir/new.py") == []


@pytest.mark.parametrize(
    ("path", "link"),
    [
        ("link_out/secret.txt", "link_out"), ("link_out/new/x", "link_out"), ("link_in/a.py", "link_in"),
        ("link_file", "link_file"), ("dangling", "dangling"), ("src/loop", "src/loop"), ("src/loop/x", "src/loop"),
    ],
)  # fmt: skip
def test_a_link_anywhere_on_the_way_is_refused_wherever_it_leads(root: Root, path: str, link: str) -> None:
    [error] = root.check(path)
    assert (error.code, error.path, error.details["link"]) == ("E_SYMLINK", path, link)
    for attempt in (root.facts, root.read, lambda path: _write(root, path, "owned")):
        with pytest.raises(UnsafePathError) as raised:
            attempt(path)
        assert raised.value.message == error.message
    assert (root.path.parent / "outside" / "secret.txt").read_text(encoding="utf-8") == "outside\n"
    assert not (root.path.parent / "outside" / "new.txt").exists()


@pytest.mark.parametrize("path", ["src/a.py/below", "src/a.py/below/x", "src", "src/deep", "pipe"])
def test_what_is_no_file_where_one_is_needed_is_refused(root: Root, path: str) -> None:
    [error] = root.check(path)
    assert (error.code, error.details["rule"]) == ("E_PATH_UNSAFE", "P6")
    for attempt in (root.facts, root.read, lambda path: _write(root, path, "owned")):
        with pytest.raises(UnsafePathError) as raised:
            attempt(path)
        assert raised.value.details["rule"] == "P6"


@pytest.mark.parametrize("path", ["../outside/secret.txt", "/etc/passwd", "src/../a", ""])
def test_unsafe_paths_are_refused_by_everything(root: Root, path: str) -> None:
    for attempt in (root.facts, root.read, root.check, root.load, lambda path: _write(root, path, "owned")):
        with pytest.raises(UnsafePathError):
            attempt(path)


def test_what_git_would_take_for_its_own_is_refused_whatever_its_name(root: Root) -> None:
    for name, parts in (("store", ("HEAD", "objects/x", "refs/x")), ("tree", ("HEAD", "commondir")), ("no", ("HEAD",))):
        for part in parts:
            (root.path / name / part).parent.mkdir(parents=True, exist_ok=True)
            (root.path / name / part).write_text("x", encoding="utf-8")
    for path in ("store/hooks/pre-commit", "store/config", "tree/gitdir"):
        [error] = root.check(path)
        assert isinstance(error, ProtectedPathError)
    assert root.check("no/config") == []
    assert root.check("HEAD") == []


def test_missing_directories_are_made_and_told_only_when_asked(root: Root) -> None:
    with pytest.raises(FileSystemError):
        _write(root, "new/er/x.py", "x", create=False)
    assert not (root.path / "new").exists()
    assert _write(root, "new/er/x.py", "x") == ["new", "new/er"]
    assert _write(root, "new/er/y.py", "y") == []
    with root.parent("newer/z", create=True):
        assert (root.path / "newer").is_dir()


def test_what_was_made_is_told_even_if_the_way_ends(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    mkdir, created = os.mkdir, list[str]()

    def full(path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        if Path(path).name == "er":
            raise OSError(errno.ENOSPC, "no space")
        mkdir(path, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", full)
    with pytest.raises(FileSystemError) as raised, root.parent("new/er/x", create=True, created=created):
        pytest.fail("there is no space")
    assert raised.value.details["errno"] == "ENOSPC"
    assert created == ["new"]


def test_no_descriptor_stays_open(root: Root) -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for path in ("src/a.py", "src/new.py", "link_out/x", "src/a.py/x", "src", "no/x", "pipe", "a/b/c"):
        for attempt in (root.facts, root.read, lambda path: _write(root, path, "x")):
            try:
                attempt(path)
            except PhaseExecutorError:
                continue
    after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    assert after == before


def test_a_repository_that_was_exchanged_is_noticed(repository: Path) -> None:
    root = Root(repository)
    repository.rename(repository.with_name("moved"))
    repository.symlink_to("outside")
    with pytest.raises(FileSystemError):
        _write(root, "secret.txt", "owned")
    repository.unlink()
    repository.mkdir()
    with pytest.raises(FileSystemError, match="moved or replaced"):
        root.facts("secret.txt")
    assert (repository.parent / "outside" / "secret.txt").read_text(encoding="utf-8") == "outside\n"


@pytest.mark.skipif(not root_module.HAS_DESCRIPTORS, reason="paths alone cannot be safe from this")
def test_a_directory_exchanged_for_a_link_all_the_time_never_leads_outside(repository: Path) -> None:
    root, stop = Root(repository), threading.Event()
    deep, aside = repository / "src" / "deep", repository / "aside"

    def exchange() -> None:
        while not stop.is_set():
            deep.rename(aside)
            deep.symlink_to("../../outside")
            deep.unlink()
            aside.rename(deep)

    thread = threading.Thread(target=exchange)
    thread.start()
    outcomes = {"written": 0, "refused": 0}
    try:
        for number in range(1_500):
            try:
                _write(root, "src/deep/b.py", f"{number}\n", create=False)
                outcomes["written"] += 1
            except (UnsafePathError, FileSystemError):
                outcomes["refused"] += 1
    finally:
        stop.set()
        thread.join()
    assert sorted(os.listdir(repository.parent / "outside")) == ["secret.txt"]
    assert sum(outcomes.values()) == 1_500


def test_a_file_exchanged_for_a_link_after_it_was_looked_at_is_not_read(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, genuine = Root(repository), Root._check_target

    def swapping(self: Root, path: str, directory: int | None, name: str) -> os.stat_result | None:
        status = genuine(self, path, directory, name)
        (repository / "src" / "a.py").unlink()
        (repository / "src" / "a.py").symlink_to("../../outside/secret.txt")
        return status

    monkeypatch.setattr(Root, "_check_target", swapping)
    with pytest.raises(PhaseExecutorError):
        root.read("src/a.py")


def test_a_pipe_in_the_place_of_a_file_does_not_stop_the_reader(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Root, "_check_target", lambda self, path, directory, name: os.stat(repository))
    with pytest.raises(UnsafePathError, match="no file"):
        Root(repository).facts("pipe")


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may read everything")
def test_what_the_system_refuses_is_told_without_the_machines_paths(root: Root) -> None:
    (root.path / "src" / "a.py").chmod(0)
    with pytest.raises(FileSystemError) as raised:
        root.read("src/a.py")
    assert str(root.path) not in raised.value.message
    assert raised.value.details["errno"] == "EACCES"


def test_a_listing_names_files_of_the_upper_directories_first_and_nothing_of_gits(repository: Path) -> None:
    (repository / ".git" / "hooks").mkdir(parents=True)
    (repository / ".git" / "config").write_text("x", encoding="utf-8")
    (repository / ".gitignore").write_text("x", encoding="utf-8")
    (repository / "bad\nname").write_text("x", encoding="utf-8")
    (repository / "vendor").mkdir()
    (repository / "vendor" / ".git").write_text("gitdir: elsewhere", encoding="utf-8")
    root = Root(repository)
    assert root.listing(100) == [".gitignore", "src/a.py", "src/deep/b.py"]
    assert root.listing(2) == [".gitignore", "src/a.py"]
    assert root.listing(0) == []


def test_only_a_listing_walks_the_tree(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(300):
        (repository / "src" / f"f{number}.txt").write_text("x", encoding="utf-8")
    scanned, scandir = list[str](), os.scandir

    def noting(path: Path) -> Any:
        scanned.append(str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", noting)
    monkeypatch.setattr(os, "listdir", lambda path: pytest.fail("a directory was listed"))
    root = Root(repository)
    root.check("src/a.py")
    root.load("src/a.py")
    _write(root, "src/new/x.py", "x")
    assert scanned == [str(repository)]


def _folds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], same: dict[str, str]
) -> tuple[bool, list[str]]:
    """What is found out in a directory of these names where some others are the same file."""
    place = tmp_path / "probe"
    place.mkdir()
    for name in names:
        (place / name).write_text(name, encoding="utf-8")
    lstat = os.lstat
    monkeypatch.setattr(
        os, "lstat", lambda path: lstat(Path(path).with_name(same.get(Path(path).name, Path(path).name)))
    )
    return disk.folds_case(place), sorted(os.listdir(place))


def test_a_disk_that_ignores_case_is_known_by_a_name_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _folds(tmp_path, monkeypatch, ["1", "ReadMe"], {"rEADmE": "ReadMe"})
    assert found == (True, ["1", "ReadMe"])


def test_two_names_of_one_file_are_no_disk_that_ignores_case(tmp_path: Path) -> None:
    (tmp_path / "readme").write_text("x", encoding="utf-8")
    (tmp_path / "README").hardlink_to(tmp_path / "readme")
    assert not disk.folds_case(tmp_path)


def test_an_empty_repository_is_known_by_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _folds(tmp_path, monkeypatch, [], {"PROBE": "probe"}) == (True, [])


def test_a_disk_that_minds_case_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _folds(tmp_path, monkeypatch, ["readme", "x"], {}) == (False, ["readme", "x"])


@pytest.mark.parametrize(
    ("data", "encoding", "newline", "lines"),
    [
        (b"", "utf-8", "", 0), (b"a", "utf-8", "", 1), (b"a\n", "utf-8", "\n", 1), (b"a\nb", "utf-8", "\n", 2),
        (b"a\r\nb\r\n", "utf-8", "\r\n", 2), (b"a\r\nb\n", "utf-8", "mixed", 2), (b"a\rb", "utf-8", "mixed", 1),
        (b"a\rb\n", "utf-8", "mixed", 1), (b"\xef\xbb\xbfa\n", "utf-8-sig", "\n", 1),
        ("\ufeffa\r\n".encode("utf-16-le"), "utf-16", "\r\n", 1),
        ("\ufeffa\n".encode("utf-16-be"), "utf-16", "\n", 1), (b"a\0b\n", "binary", "", 0),
        (b"\xff\xfe\0\0a\0\0\0", "binary", "", 0), (b"\xc3\x28\n", "binary", "", 0), (b"a\n\xc3", "binary", "", 0),
        (b"\xff\xfea", "binary", "", 0), ("\ufeffa\0".encode("utf-16-le"), "binary", "", 0),
        ("\u00fc\n".encode("latin-1"), "binary", "", 0), (b"x" * 9_000 + b"\0\n", "utf-8", "\n", 1),
        (b"x\r", "utf-8", "mixed", 0),
    ],
)  # fmt: skip
def test_the_kind_of_a_content_is_recognised(data: bytes, encoding: str, newline: str, lines: int) -> None:
    content = read_content([data] if data else [])
    assert (content.encoding, content.newline) == (encoding, newline)
    assert content.lines == lines or "\r" in data.decode("latin-1").replace("\r\n", "")
    assert (content.size, content.sha256, content.data) == (len(data), hashlib.sha256(data).hexdigest(), data)


@given(
    st.text("a\r\n\u00fc", max_size=30),
    st.lists(st.integers(1, 7), max_size=20),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_pieces_of_any_length_give_what_the_whole_gives(text: str, sizes: list[int], encoding: str) -> None:
    data = text.encode(encoding)
    # The first piece tells what it is.
    pieces, at = [data[:4]], 4
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    pieces.append(data[at:])
    whole = read_content([data])
    assert read_content(pieces) == whole
    assert read_content(pieces, limit=5).data == data[:5]
    assert whole.encoding == (encoding if data else "utf-8")
    kinds = {end for end in ("\r\n", "\n", "\r") if end in (text if end == "\r\n" else text.replace("\r\n", ""))}
    assert whole.newline == ("" if not kinds else kinds.pop() if len(kinds) == 1 and "\r" not in kinds else "mixed")


def test_a_long_file_is_read_piece_by_piece(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root_module, "CHUNK", reading.LOOKED_AT)
    data = b"line\r\n" * 5_000
    (root.path / "long.txt").write_bytes(data)
    facts, kept = root.load("long.txt", limit=10_000)
    assert (facts.size, facts.lines, facts.newline, facts.sha256) == (
        30_000,
        5_000,
        "\r\n",
        hashlib.sha256(data).hexdigest(),
    )
    assert kept == data[:10_000]
    assert stat.S_IMODE(os.stat(root.path / "long.txt").st_mode) == facts.mode
