"""A small repository with a state directory, and what tests of applying do with them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phasegate.apps.build.applying.transaction import Applier, Transaction
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.schema import FileFacts, Planned
from tests.chaos_build.applying import CALLS, Manifest, manifest

OLD_TIME = 1_000_000_000_123_456_789


@dataclass(frozen=True)
class World:
    """A repository with a few files, of which the user has changed some, and some are not known to any version control."""

    base: Path
    state: Path

    @property
    def repo(self) -> Path:
        return self.base / "repo"

    @property
    def applier(self) -> Applier:
        """As a process that has just started has it."""
        return Applier(Root(self.repo), self.state)

    def write(self, path: str, data: bytes, mode: int = 0o644) -> None:
        place = self.repo / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        place.chmod(mode)
        os.utime(place, ns=(OLD_TIME, OLD_TIME))

    def read(self, path: str) -> bytes:
        return (self.repo / path).read_bytes()

    def tree(self) -> Manifest:
        return manifest(self.base)

    def create(self, path: str, data: bytes, mode: int | None = None) -> Planned:
        return Planned(path, "create", FileFacts(path), data, mode)

    def modify(self, path: str, data: bytes) -> Planned:
        facts = Root(self.repo).facts(path)
        return Planned(path, "modify", facts, data, facts.mode)

    def delete(self, path: str) -> Planned:
        return Planned(path, "delete", Root(self.repo).facts(path))

    def begin(self, *planned: Planned, id: str = "t1") -> Transaction:
        return self.applier.begin(id, planned, about={"phase": "one"})

    def three(self) -> list[Planned]:
        """One change of each kind, in directories that come and go."""
        return [
            self.delete("gone/away/old.py"),
            self.modify("src/app.py", b"new app\n"),
            self.create("made/here/new.py", b"new\n"),
        ]

    def journal(self, id: str = "t1") -> dict[str, Any]:
        told: dict[str, Any] = json.loads((self.state / "txn" / id / "journal.json").read_bytes())
        return told

    def left(self) -> list[str]:
        """Transactions that are not over."""
        place = self.state / "txn"
        return sorted(os.listdir(place)) if place.exists() else []


def build(base: Path, state: Path) -> World:
    world = World(base, state)
    world.repo.mkdir(parents=True)
    world.write("src/app.py", b"old app\n", 0o755)
    world.write("src/other.py", b"other\n", 0o640)
    world.write("gone/away/old.py", b"old\n")
    world.write("notes.txt", b"not known to git\n", 0o600)
    (world.repo / "gone/away").chmod(0o711)
    (base / "outside").mkdir()
    (base / "outside/file.txt").write_bytes(b"outside\n")
    os.symlink(base / "outside", world.repo / "link")
    return world


@contextmanager
def failing(at: int, error: Callable[[], BaseException], *, for_good: bool = False) -> Iterator[list[int]]:
    """The ``at``-th call that changes the disk fails, and with ``for_good`` every one after it; gives how many there were."""
    count, real = [0], {name: getattr(os, name) for name in CALLS}

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*arguments: Any, **options: Any) -> Any:
            count[0] += 1
            if count[0] == at or (for_good and count[0] > at):
                raise error()
            return call(*arguments, **options)

        return instead

    for name, call in real.items():
        setattr(os, name, counted(call))
    try:
        yield count
    finally:
        for name, call in real.items():
            setattr(os, name, call)
