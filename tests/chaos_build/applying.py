"""Random change sets, killed at random system calls of the apply, of the restore and of the recovery itself.

``python -m tests.chaos_build.applying [COUNT]``: every case is a process of its own that SIGKILL ends at its N-th call;
afterwards the tree must be exactly the old one, or exactly the new one if the change was accepted.
"""

from __future__ import annotations

import gc
import os
import random
import shutil
import signal
import stat
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phasegate.apps.build.applying.transaction import Applier
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.schema import FileFacts, Planned

SEED = 20_260_113
#: Calls that change something, or wait for it: between two others nothing on disk differs.
CALLS = (
    "open", "write", "fsync", "link", "unlink", "remove", "rename", "replace", "mkdir", "rmdir", "chmod", "fchmod", "fchown",
    "utime",
)  # fmt: skip
NAMES = ("a.py", "b.txt", "Ünïcode.md", "with space.txt", "run.sh", "data.bin", "c")
DIRECTORIES = ("src", "src/pkg", "src/pkg/deep", "docs", "other", "other/empty", "lone", "lone/only")
MODES = (0o644, 0o600, 0o755, 0o444, 0o640)

#: What stands at a path: its kind, its permission bits, its content and its modification time.
Thing = tuple[str, int, bytes, int]
Manifest = dict[str, Thing]


@dataclass
class Figures:
    """What came of the cases."""

    cases: int = 0
    killed: Counter[str] = field(default_factory=Counter)
    recoveries_killed: int = 0
    old: int = 0
    new: int = 0
    wrong: list[str] = field(default_factory=list)

    def line(self) -> str:
        kills = ", ".join(f"{count} in the {name}" for name, count in sorted(self.killed.items()))
        return (
            f"{self.cases} change sets, killed: {kills}; {self.recoveries_killed} recoveries killed too; "
            f"{self.old} trees exactly old, {self.new} exactly new, {len(self.wrong)} wrong (seed {SEED})"
        )


def run(count: int, *, seed: int = SEED, places: list[tuple[Path, Path]] | None = None) -> Figures:
    """So many cases. ``places`` are directories for repositories and for state, used in turn."""
    figures = Figures()
    with _places() if places is None else _given(places) as found:
        for number in range(count):
            repositories, states = found[number % len(found)]
            _case(Case(seed + number, repositories / f"case{number}", states / f"state{number}"), figures)
    return figures


@dataclass(frozen=True)
class Case:
    """One change set; everything about it follows from the seed."""

    seed: int
    base: Path
    state: Path

    @property
    def repo(self) -> Path:
        return self.base / "repo"

    @property
    def accepted(self) -> Path:
        """Stands for the row of the database that says that the change is final."""
        return self.state / "accepted"

    def build(self) -> None:
        """The repository before."""
        rng = random.Random(self.seed)
        for place in (self.base, self.state):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
        self.repo.mkdir()
        (self.base / "outside").mkdir()
        for directory in DIRECTORIES:
            (self.repo / directory).mkdir()
        for directory in ("", *DIRECTORIES):
            if directory != "other/empty":
                for name in rng.sample(NAMES, 1 if directory.startswith("lone") else rng.randint(1, 4)):
                    self._write(rng, Path(directory) / name)
        os.symlink(self.base / "outside", self.repo / "link")
        for directory in DIRECTORIES:
            (self.repo / directory).chmod(rng.choice((0o755, 0o700, 0o775)))

    def _write(self, rng: random.Random, path: Path) -> None:
        place = self.repo / path
        place.write_bytes(rng.randbytes(rng.choice((0, 10, 5_000))))
        if rng.random() < 0.2:
            os.link(place, self.base / "outside" / str(path).replace("/", "-"))
        place.chmod(rng.choice(MODES))
        os.utime(place, ns=(10**18, rng.randrange(10**18, 15 * 10**17)))

    def planned(self) -> list[Planned]:
        """The change set."""
        rng = random.Random(f"{self.seed} changes")
        root = Root(self.repo)
        files = sorted(path for path, thing in manifest(self.repo).items() if thing[0] == "file")
        deleted = {path for path in files if path.startswith("lone/") and rng.random() < 0.7}
        chosen = [path for path in files if path in deleted or rng.random() < 0.4]
        plans = [self._change(rng, root.facts(path), path in deleted) for path in chosen]
        for number in range(rng.randint(0 if plans else 1, 4)):
            path = f"{rng.choice(('', 'src/', 'new/', 'new/a/', 'new/a/b/', 'lone/only/'))}made{number}.py"
            plans.append(Planned(path, "create", FileFacts(path), rng.randbytes(rng.choice((0, 20, 9_000)))))
        return rng.sample(plans, len(plans))

    def _change(self, rng: random.Random, facts: FileFacts, deleted: bool) -> Planned:
        if deleted or rng.random() < 0.3:
            return Planned(facts.path, "delete", facts)
        return Planned(facts.path, "modify", facts, rng.randbytes(rng.choice((3, 30, 9_000))), facts.mode)


#: What a child does; it calls its second argument when kills may begin.
Action = Callable[[Case, Callable[[], None]], None]


def _case(case: Case, figures: Figures) -> None:
    rng = random.Random(f"{case.seed} kills")
    what = rng.choice(("apply", "apply", "restore", "restore", "accept"))
    action = ACTIONS[what]
    case.build()
    before = manifest(case.base)
    after = expected(before, case.planned())
    calls = _calls(case, action)
    case.build()
    figures.cases += 1
    figures.killed[what] += _in_child(case, action, rng.randint(1, calls)) == -signal.SIGKILL
    for _ in range(rng.choice((0, 1, 2))):
        figures.recoveries_killed += _in_child(case, _recover, rng.randint(1, calls)) == -signal.SIGKILL
    complaint = "recovery failed" if _in_child(case, _recover, 0) else _complaint(case, before, after)
    if complaint:
        figures.wrong.append(f"case {case.seed} ({what}): {complaint}")
        return
    figures.new += case.accepted.exists()
    figures.old += not case.accepted.exists()
    shutil.rmtree(case.base)
    shutil.rmtree(case.state)


def _complaint(case: Case, before: Manifest, after: Manifest) -> str:
    now, wanted = manifest(case.base), after if case.accepted.exists() else before
    wrong = sorted(path for path in {*now, *wanted} if not _alike(now.get(path), wanted.get(path)))
    left = list((case.state / "txn").iterdir()) if (case.state / "txn").exists() else []
    return f"{wrong} differ, {left} are left" if wrong or left else ""


def _alike(one: Thing | None, other: Thing | None) -> bool:
    """A modification time of 0 is any."""
    return one == other or (one is not None and other is not None and other[3] == 0 and one[:3] == other[:3])


def expected(before: Manifest, planned: list[Planned]) -> Manifest:
    """The tree after the changes, told by other means than those that are tested."""
    after = dict(before)
    for each in planned:
        path = f"repo/{each.path}"
        if each.op == "delete":
            del after[path]
        else:
            after[path] = ("file", before[path][1] if path in before else 0o644, each.data or b"", 0)
    for path in [path for path in after if path not in before]:
        for above in Path(path).parents:
            after.setdefault(str(above), ("directory", 0o755, b"", 0))
    after.pop(".", None)
    for each in planned:
        for directory in list(Path(f"repo/{each.path}").parents)[:-2] if each.op == "delete" else []:
            if not any(path.startswith(f"{directory}/") for path in after):
                after.pop(str(directory), None)
    return after


def manifest(base: Path) -> Manifest:
    """All that is below a directory. Directories and links have no time here."""
    found: Manifest = {}
    for folder, directories, files in os.walk(base):
        for name in (*directories, *files):
            place = Path(folder, name)
            status = place.lstat()
            mode, path = stat.S_IMODE(status.st_mode), str(place.relative_to(base))
            if place.is_symlink():
                found[path] = ("link", 0, os.readlink(place).encode(), 0)
            elif place.is_dir():
                found[path] = ("directory", mode, b"", 0)
            else:
                found[path] = ("file", mode, place.read_bytes(), status.st_mtime_ns)
    return found


def _apply(case: Case, armed: Callable[[], None]) -> None:
    planned, applier = case.planned(), Applier(Root(case.repo), case.state)
    armed()
    transaction = applier.begin("run-1", planned, about={"phase": "one"})
    transaction.commit()
    os.mkdir(case.accepted)
    transaction.finish()


def _restore(case: Case, armed: Callable[[], None]) -> None:
    transaction = Applier(Root(case.repo), case.state).begin("run-1", case.planned(), about={"phase": "one"})
    transaction.commit()
    armed()
    transaction.rollback()


def _accept(case: Case, armed: Callable[[], None]) -> None:
    transaction = Applier(Root(case.repo), case.state).begin("run-1", case.planned(), about={"phase": "one"})
    transaction.commit()
    armed()
    os.mkdir(case.accepted)
    transaction.finish()


ACTIONS: dict[str, Action] = {"apply": _apply, "restore": _restore, "accept": _accept}


def _recover(case: Case, armed: Callable[[], None]) -> None:
    applier = Applier(Root(case.repo), case.state)
    armed()
    told = applier.recover(lambda _: case.accepted.exists())
    assert all(each.error is None for each in told), told


def _calls(case: Case, action: Action) -> int:
    """How many calls an action makes when nobody kills it."""
    report = case.state / "calls"
    assert _in_child(case, action, 0, report) == 0
    return int(report.read_text())


def _in_child(case: Case, action: Action, kill_at: int, report: Path | None = None) -> int:
    """The exit code of a process that does it, and is killed at that call (never, if 0)."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        killer = Killer(kill_at)
        action(case, killer.arm)
        code = 0
        if report:
            report.write_text(str(killer.count))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


class Killer:
    """Counts system calls, and ends the process at one of them."""

    def __init__(self, kill_at: int) -> None:
        self.count, self._kill_at = 0, kill_at

    def arm(self) -> None:
        """Count from here on."""
        for name in CALLS:
            setattr(os, name, self._counted(getattr(os, name)))

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.count == self._kill_at:
                if call.__name__ == "write":
                    call(arguments[0], arguments[1][: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            # Only a power cut loses what was written before the process was killed: waiting for a slow disk proves nothing here.
            return None if call.__name__ == "fsync" else call(*arguments, **options)

        return counted


@contextmanager
def _given(places: list[tuple[Path, Path]]) -> Iterator[list[tuple[Path, Path]]]:
    yield places


@contextmanager
def _places() -> Iterator[list[tuple[Path, Path]]]:
    """Repository and state on one disk, and on two if there are two."""
    fast = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=fast) as one, tempfile.TemporaryDirectory() as other:
        first, second = Path(one), Path(other)
        both = [(first, first), (first, second)]
        yield both if first.stat().st_dev != second.stat().st_dev else both[:1]


def main(count: int = 1_000) -> int:
    os.umask(0o022)
    gc.freeze()
    figures = run(count)
    print(figures.line())
    for wrong in figures.wrong[:20]:
        print(f"  {wrong}")
    return bool(figures.wrong)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2])))
