"""The reference flow, killed at one statement after the other and started again, ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from phasegate import Engine, PhaseRun
from tests import postgres
from tests.crash import reference
from tests.crash.forking import Forks
from tests.crash.invariants import assert_sound, completions

#: `make crash` takes every statement, the usual tests some of them.
EVERY = os.environ.get("PHASEGATE_KILL_POINTS") == "all"
LANES = 4  # most of the time is spent waiting for the disk
PROGRAM = "tests.crash.reference"

pytestmark = [pytest.mark.crash, pytest.mark.timeout(5400 if EVERY else 900)]

Story = dict[str, Any]
Kills = tuple[int, ...]


@pytest.fixture(scope="module")
def undisturbed(kind: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Story, int]:
    """What a run without kills leaves behind, and how many statements it takes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    place = Place(kind, folder)
    with Forks(PROGRAM, within=60) as forks:
        assert forks.run(place.address, 0, 0, str(folder / "count")) == 0
    return story(place.address), int((folder / "count").read_text(encoding="utf-8"))


class Place:
    """A database that is empty again and again."""

    def __init__(self, kind: str, folder: Path) -> None:
        self._file = folder / "runs.db"
        self._server = kind == "postgresql"
        self.address = postgres.new_database() if self._server else f"sqlite:///{self._file}"

    def clear(self) -> None:
        if self._server:
            postgres.execute(self.address, "DROP SCHEMA phasegate CASCADE")
        else:
            for path in self._file.parent.glob(self._file.name + "*"):
                path.unlink()


def test_the_reference_flow_has_everything_in_it(undisturbed: tuple[Story, int]) -> None:
    told, statements = undisturbed
    assert {subject: status for subject, (status, _) in told["runs"].items()} == {
        "order:good": "succeeded", "order:fine": "succeeded", "order:bad": "failed",
    }  # fmt: skip
    good, bad = told["completed"]["order:good"], told["completed"]["order:bad"]
    assert good["draft", ()] == good["price", ("bolt",)] == 2
    assert good["book", ()] == good["release", ()] == bad["undo:book", ()] == bad["undo:price", ("nut",)] == 1
    assert len(told["decisions"]) == 3
    assert sum(amount for entry, amount in told["ledger"] if entry.startswith("good/")) == 11 + 22 + 22 + 1022 + 1
    assert statements > 300


def test_killed_at_any_statement(kind: str, undisturbed: tuple[Story, int], tmp_path: Path) -> None:
    expected, statements = undisturbed
    series = [(number,) for number in range(1, statements + 1, 1 if EVERY else 25)]
    kills = survive(series, expected, places(kind, tmp_path))
    print(f"\n{kills} kill points among {statements} statements: 0 lost, 0 doubled")
    assert kills > 0.8 * len(series)


def test_killed_again_while_it_recovers(kind: str, undisturbed: tuple[Story, int], tmp_path: Path) -> None:
    """The second and the third kill come early: what a recovery does first is to take over what was held."""
    expected, statements = undisturbed
    first = range(60, statements + 1, 1 if EVERY else 50)
    series = [(number, 1 + number * 7 % 120, 1 + number * 11 % 120) for number in first]
    kills = survive(series, expected, places(kind, tmp_path))
    print(f"\n{kills} kills in {len(first)} series: 0 lost, 0 doubled")
    assert kills > 2 * len(first)


def places(kind: str, folder: Path) -> list[Place]:
    """A database for each lane."""
    for number in range(LANES):
        (folder / str(number)).mkdir()
    return [Place(kind, folder / str(number)) for number in range(LANES)]


def survive(series: Sequence[Kills], expected: Story, places: Sequence[Place]) -> int:
    """Go through every series of kills, some at a time; how many kills there were."""

    def lane(number: int) -> int:
        with Forks(PROGRAM, within=60) as forks:
            return sum(survived(forks, kills, expected, places[number]) for kills in series[number::LANES])

    with ThreadPoolExecutor(LANES) as lanes:
        return sum(lanes.map(lane, range(LANES)))


def survived(forks: Forks, kills: Kills, expected: Story, place: Place) -> int:
    """One database: kill, start again, kill again, at last let it end, and compare. A process may end before its kill."""
    codes = [forks.run(place.address, number, generation) for generation, number in enumerate(kills)]
    assert set(codes) <= {-signal.SIGKILL, 0}, f"killed at {kills}: exit codes {codes}"
    assert forks.run(place.address, 0, len(kills)) == 0, f"killed at {kills}: did not recover"
    assert story(place.address) == expected, f"killed at {kills}"
    place.clear()
    return codes.count(-signal.SIGKILL)


def story(address: str) -> Story:
    """All that may be compared: not the times, the ids and the numbers of attempts, which a lost attempt changes."""
    with reference.opened(address) as engine:
        assert_sound(engine)
        runs = [engine.get(run.id) for run in engine.find()]
        return {
            "runs": {str(run.subject): (run.status, run.reason) for run in runs},
            "phases": {str(run.subject): phases(run.phases.values()) for run in runs},
            "completed": {str(run.subject): completions(engine, run) for run in runs},
            "outputs": {str(run.subject): engine.outputs(run.id) for run in runs},
            "ledger": rows(engine, "SELECT entry, amount FROM ledger ORDER BY entry, amount"),
            "projection": rows(engine, "SELECT what FROM completed ORDER BY what"),
            "decisions": rows(
                engine, "SELECT phase, round, outcome, decided_by, seen FROM phasegate_decisions ORDER BY 1, 2, 5"
            ),
        }


def phases(instances: Iterable[PhaseRun]) -> dict[Any, Any]:
    return {(i.phase, i.scope): (i.status, i.outcome, i.round, i.sha256, i.reason) for i in instances}


def rows(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in engine.read(query)]
