"""The conference example, killed at every commit and at any moment, ends in the same documents, and pays for no answer twice
that was on disk."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from phasegate import RunStatus
from phasegate.apps.documents import studio
from phasegate.apps.documents.projects import documents
from phasegate.apps.documents.statements import CALLS as CALLS_OF
from tests import postgres
from tests.apps.documents.conference import contents
from tests.crash.forking import Forks
from tests.crash.invariants import assert_sound
from tests.crash.seeds import amount, chance

pytestmark = [pytest.mark.crash, pytest.mark.timeout(900)]

#: What the example asks of a model, and how many instances can be asked at once: as many answers can be lost with a process.
CALLS = Counter(event_brief=1, track_plan=1, track_outline=2, talk_list=2, talk_abstract=4)
AT_ONCE = 4
#: `make chaos` has more.
KILLS = amount("PHASEGATE_KILLS", 2)
EVERY = os.environ.get("PHASEGATE_KILL_POINTS") == "all"


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks("tests.crash.documents", within=60) as found:
        yield found


@dataclass(frozen=True)
class Undisturbed:
    documents: dict[str, Any]
    commits: int
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(kind: str, forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    address = database(kind, folder)
    began = time.monotonic()
    assert forks.run(address, str(folder / "log"), 0, False, str(folder / "count")) == 0
    seconds = time.monotonic() - began
    found = assert_finished(address, folder / "log", deaths=0)
    return Undisturbed(found, int((folder / "count").read_text(encoding="utf-8")), seconds)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_commit(kind: str, after: bool, forks: Forks, undisturbed: Undisturbed, tmp_path: Path) -> None:
    deaths = 0
    commits = range(1, undisturbed.commits + 1, 1 if EVERY or kind == "sqlite" else 3)
    for commit in commits:
        folder = tmp_path / str(commit)
        folder.mkdir()
        address, log = database(kind, folder), folder / "log"
        code = forks.run(address, str(log), commit, after)
        assert code in (0, -signal.SIGKILL)  # how many commits there are depends on what is committed together
        deaths += code != 0
        assert forks.run(address, str(log)) == 0
        assert assert_finished(address, log, deaths=1) == undisturbed.documents
    assert deaths > 0.5 * len(commits)


def test_killed_at_random_moments(kind: str, forks: Forks, undisturbed: Undisturbed, tmp_path: Path) -> None:
    random, kills, round_ = chance(), 0, 0
    while kills < KILLS:
        round_ += 1
        folder = tmp_path / str(round_)
        folder.mkdir()
        address, log, deaths = database(kind, folder), folder / "log", 0
        while deaths < 4:
            pid = forks.start(address, str(log))
            time.sleep(random.uniform(0, undisturbed.seconds))
            os.kill(pid, signal.SIGKILL)  # or it has ended, and is waited for below
            if forks.wait(pid) == 0:
                break
            deaths += 1
        assert forks.run(address, str(log)) == 0
        assert assert_finished(address, log, deaths) == undisturbed.documents
        kills += deaths


def database(kind: str, folder: Path) -> str:
    return postgres.new_database() if kind == "postgresql" else f"sqlite:///{folder / 'documents.db'}"


def assert_finished(address: str, log: Path, deaths: int) -> dict[str, Any]:
    """The documents; every answer is on record once, and each death has cost no more than the calls that were under way."""
    with studio.open_engine(address, None) as engine:
        assert_sound(engine)
        (run,) = (engine.get(found.id) for found in engine.find("conference_programme"))
        assert run.status is RunStatus.SUCCEEDED
        assert len(documents(engine, run)) == CALLS.total()
        assert len(engine.read(CALLS_OF, {"run": run.id})) == CALLS.total()
        asked = Counter(log.read_text(encoding="utf-8").split())
        assert asked >= CALLS
        assert (asked - CALLS).total() <= deaths * AT_ONCE
        return contents(engine, run)
