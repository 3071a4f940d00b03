"""The main job on the real data, killed again and again, ends in the tables of an undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apps.outreach.demo_job import Tables, outreach, start_demo, tables_of

pytestmark = [pytest.mark.crash, pytest.mark.timeout(1200)]

KILLS = 20


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tables, float]:
    database = tmp_path_factory.mktemp("undisturbed") / "outreach.db"
    began = time.monotonic()
    assert start_demo(database).wait(100) == 0
    return tables_of(database), time.monotonic() - began


def test_twenty_kills_at_random_moments_change_nothing(undisturbed: tuple[Tables, float], tmp_path: Path) -> None:
    expected, seconds = undisturbed
    seed = int(os.environ.get("DEMO_KILLS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
    print(f"seed {seed}: repeat with DEMO_KILLS_SEED={seed}")
    chance = random.Random(seed)
    kills = 0
    for database in databases(tmp_path):
        while kills < KILLS:
            finished = killed_after(database, chance.uniform(0.2, 0.7) * seconds)
            if finished:
                break
            kills += 1
        assert start_demo(database).wait(100) == 0
        assert_equal(tables_of(database), expected)
        if kills >= KILLS:
            return


def test_a_run_that_was_killed_says_afterwards_that_there_is_nothing_to_do(tmp_path: Path) -> None:
    database = tmp_path / "outreach.db"
    killed_after(database, 1.0)
    assert start_demo(database).wait(100) == 0
    before = tables_of(database)
    again = outreach("demo", "--database", str(database), cwd=tmp_path)
    assert again.returncode == 0
    assert again.stdout.startswith("Nothing to do:")
    assert tables_of(database) == before


def databases(folder: Path) -> Iterator[Path]:
    for number in range(1, KILLS + 1):
        place = folder / str(number)
        place.mkdir()
        yield place / "outreach.db"


def killed_after(database: Path, seconds: float) -> bool:
    """Start the job and kill it; True when it had finished before."""
    process = start_demo(database)
    try:
        return process.wait(seconds) == 0
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return False


def assert_equal(found: Tables, expected: Tables) -> None:
    assert found.keys() == expected.keys()
    for name, rows in expected.items():
        missing = sorted(set(rows) - set(found[name]))[:3]
        surplus = sorted(set(found[name]) - set(rows))[:3]
        assert (len(found[name]), missing, surplus) == (len(rows), [], []), name
        assert found[name] == rows, name
