"""Killed while it purges, a process loses no run: each is still there as it was, or in the archive and gone altogether."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
from collections import Counter
from pathlib import Path
from typing import Any

from phasegate import Engine
from phasegate.core.state import fold
from phasegate.store import codec
from tests import postgres
from tests.crash import purging
from tests.crash.forking import Forks

PARTS = ("phase_runs", "attempts", "outputs", "facts")


def archived(archive: Path) -> Counter[str]:
    """How often each run is in the archive; every whole line must tell the whole of a run."""
    found: Counter[str] = Counter()
    for line in archive.read_text(encoding="utf-8").splitlines() if archive.exists() else ():
        told: dict[str, Any] = json.loads(line)
        run = fold(codec.decode_fact(fact) for commit in told["facts"] for fact in commit["body"])
        assert (run.id, run.status.value, run.seq) == (told["run"]["id"], "succeeded", told["run"]["seq"])
        assert told["outputs"][0]["body"] == {"of": run.subject.id}
        found[run.id] += 1
    return found


def rows(engine: Engine) -> tuple[set[str], set[str]]:
    """The runs that are there with all their rows, and those that have a tombstone. There is nothing in between."""
    here = {run.id for run in engine.find(limit=None)}
    for part in PARTS:
        assert {row["run_id"] for row in engine.read(f"SELECT run_id FROM phasegate_{part}")} == here, part
    return here, {row["run_id"] for row in engine.read("SELECT run_id FROM phasegate_tombstones")}


def check(address: str, archive: Path, runs: set[str]) -> int:
    """Nothing is lost; returns how many runs are both there and in the archive."""
    with Engine(address) as engine:
        here, gone = rows(engine)
    kept = archived(archive)
    assert here | gone == runs
    assert here & gone == set()
    assert gone <= kept.keys() <= runs
    return len(here & kept.keys())


def ids(address: str) -> set[str]:
    with Engine(address) as engine:
        return {run.id for run in engine.find()}


def test_whichever_statement_is_its_last(tmp_path: Path) -> None:
    template, database, archive = (tmp_path / name for name in ("template.db", "runs.db", "gone.jsonl"))
    purging.fill(f"sqlite:///{template}", 2)
    runs, address, twice = ids(f"sqlite:///{template}"), f"sqlite:///{database}", 0
    with Forks("tests.crash.purging", within=60) as forks:
        for statement in itertools.count(1):
            for left in (archive, *tmp_path.glob("runs.db*")):
                left.unlink(missing_ok=True)
            shutil.copy(template, database)
            code = forks.run(address, str(archive), {"statement": statement})
            both = check(address, archive, runs)
            if code == 0:
                break
            assert code == -signal.SIGKILL
            twice += both > 0
            if statement % 5 == 0:  # and started again, it goes on
                assert forks.run(address, str(archive), {}) == 0
                assert set(archived(archive).values()) == ({1, 2} if both else {1})
                assert check(address, archive, runs) == 0
                assert ids(address) == set()
    print(f"killed at {statement - 1} statements, {twice} times between archive and deletion")
    assert statement > 30
    assert twice > 5


def test_killed_just_before_and_just_after_a_commit_on_postgresql(tmp_path: Path) -> None:
    address, archive = postgres.database_of(tmp_path), tmp_path / "gone.jsonl"
    purging.fill(address, 6)
    runs = ids(address)
    with Forks("tests.crash.purging", within=60) as forks:
        for commit, after, left in ((1, False, 6), (1, True, 5), (2, False, 4), (3, True, 1)):
            code = forks.run(address, str(archive), {"commit": commit, "after": after})
            assert code == -signal.SIGKILL
            assert check(address, archive, runs) == (0 if after else 1)
            assert len(ids(address)) == left
        assert forks.run(address, str(archive), {}) == 0
    assert ids(address) == set()
    assert archived(archive).keys() == runs
