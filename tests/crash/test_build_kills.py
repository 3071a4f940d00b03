"""A plan that is executed by processes which are killed at every commit, at every step on the file system and at any moment ends
in the same tree and the same history; no call of a model is forgotten, and hardly one is made twice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from phasegate import Registry
from phasegate.apps.build import statements as q
from phasegate.apps.build.opening import open_engine
from tests.crash.build import CALLS, DATABASE, PHASES, TOKENS, write_files
from tests.crash.forking import Forks
from tests.crash.invariants import assert_sound
from tests.crash.seeds import amount, chance

pytestmark = [pytest.mark.crash, pytest.mark.timeout(3600)]

#: `make chaos` has more.
KILLS = amount("PHASEGATE_KILLS", 2)
EVERY = os.environ.get("PHASEGATE_KILL_POINTS") == "all"
#: Of how many points one is died at, where not at every one.
SOME = 24
#: What of a row does not differ from one life to the next.
PLAIN = {
    q.RUN: ("status", "successful_phases", "failed_phases", "skipped_phases", "token_usage"),
    q.PHASES: ("phase_id", "status", "attempts", "tokens_used", "summary"),
    q.ATTEMPTS: ("phase_id", "attempt_index", "status", "error_code", "truncated"),
    q.CHANGES: ("phase_id", "attempt_index", "path", "mode", "sha_before", "sha_after", "state"),
}
Contents = list[list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks("tests.crash.build", within=60) as found:
        yield found


@dataclass(frozen=True)
class Undisturbed:
    contents: Contents
    commits: int
    steps: int
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = life(tmp_path_factory.mktemp("undisturbed"), "0")
    began = time.monotonic()
    assert forks.run(str(folder), 0, False, 0, str(folder / "count")) == 0
    seconds = time.monotonic() - began
    commits, steps = map(int, (folder / "count").read_text(encoding="utf-8").split())
    return Undisturbed(finished(folder, 0), commits, steps, seconds)


def test_an_undisturbed_run_is_worth_comparing_with(undisturbed: Undisturbed) -> None:
    (run,), phases, attempts, changes = undisturbed.contents
    assert run == ("succeeded", PHASES, 0, 0, 4 * TOKENS)
    assert [each[2] for each in phases] == [2, 1, 1]
    assert [each[2:4] for each in attempts] == [
        ("failed", "E_HEALTH_TESTS"), ("succeeded", None), ("succeeded", None), ("succeeded", None),
    ]  # fmt: skip
    assert {each[3] for each in changes} == {"create", "modify", "delete"}
    assert {each[6] for each in changes} == {"applied", "rolled_back"}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_commit(after: bool, forks: Forks, undisturbed: Undisturbed, tmp_path: Path) -> None:
    points = range(1, undisturbed.commits + 1) if EVERY else range(1 + 5 * after, undisturbed.commits + 1, SOME)
    deaths = 0
    for point in points:
        folder = life(tmp_path, str(point))
        first = forks.run(str(folder), point, after)
        # Whoever comes next dies as well, soon: while it puts the tree in order, or while it goes on.
        second = forks.run(str(folder), 1 + point % 5, after) if first else 0
        deaths += survived(forks, folder, undisturbed, first, second)
    print(f"{deaths} deaths at {len(points)} of {undisturbed.commits} commits")
    assert deaths > len(points)  # how many commits there are depends on what is committed together


def test_killed_at_any_step_on_the_file_system(forks: Forks, undisturbed: Undisturbed, tmp_path: Path) -> None:
    """Steps of applying, of putting back and of accepting; and those of the recovery after that death."""
    points = range(1, undisturbed.steps + 1) if EVERY else range(3, undisturbed.steps + 1, 6 * SOME)
    deaths = 0
    for point in points:
        folder = life(tmp_path, str(point))
        first = forks.run(str(folder), 0, False, point)
        second = forks.run(str(folder), 0, False, 1 + 7 * point % 60) if first else 0
        deaths += survived(forks, folder, undisturbed, first, second)
    print(f"{deaths} deaths at {len(points)} of {undisturbed.steps} steps")
    assert deaths > len(points)


def test_killed_at_random_moments(forks: Forks, undisturbed: Undisturbed, tmp_path: Path) -> None:
    random, kills, round_ = chance(), 0, 0
    while kills < KILLS:
        round_ += 1
        folder, codes = life(tmp_path, str(round_)), list[int]()
        while len(codes) < 4 and 0 not in codes:
            pid = forks.start(str(folder))
            time.sleep(random.uniform(0, 0.8 * undisturbed.seconds))
            os.kill(pid, signal.SIGKILL)  # or it has ended, and is waited for below
            codes.append(forks.wait(pid))
        kills += survived(forks, folder, undisturbed, *codes)


def survived(forks: Forks, folder: Path, undisturbed: Undisturbed, *codes: int) -> int:
    """How many of these processes were killed; whoever came after them has brought everything to the same end."""
    assert set(codes) <= {0, -signal.SIGKILL}, f"one of {codes} failed by itself, in {folder}"
    deaths = sum(code != 0 for code in codes)
    assert forks.run(str(folder)) == 0, f"it cannot be gone on with in {folder}"
    expected = undisturbed.contents
    assert plain(finished(folder, deaths), deaths) == plain(expected, deaths)
    return deaths


def plain(contents: Contents, deaths: int) -> Contents:
    """Without the tokens, when somebody died: calls that were made and never answered count as well."""
    if not deaths:
        return contents
    (run,), phases, *others = contents
    return [[run[:-1]], [(*each[:3], *each[4:]) for each in phases], *others]


def finished(folder: Path, deaths: int) -> Contents:
    """What the history says, where everything has come to its end."""
    engine = open_engine(folder / DATABASE, Registry())
    try:
        assert_sound(engine)
        (run,) = engine.read(q.RUNS, {"most": 2})
        found = {"run": run["run_id"]}
        made = (folder / CALLS).read_text(encoding="utf-8").count("called")
        recorded = engine.read(q.COSTS, found)
        # A death costs at most the call that was under way.
        assert len(recorded) <= made <= len(recorded) + deaths
        assert made <= 4 + deaths
        assert run["token_usage"] == sum(each["total_tokens"] for each in recorded)
        assert run["token_usage"] == sum(each["tokens_used"] for each in engine.read(q.PHASES, found))
        assert [each["status"] for each in engine.read(q.APPROVALS)] == ["consumed"]
        return [
            [tuple(row[name] for name in names) for row in engine.read(statement, found)]
            for statement, names in PLAIN.items()
        ]
    finally:
        engine.close()


def life(parent: Path, name: str) -> Path:
    """A folder with a repository on which nobody has worked yet."""
    folder = parent / name
    write_files(folder)
    return folder
