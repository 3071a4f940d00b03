"""What a purge of runs leaves of the outreach application: all its tables, and everything that can be asked for again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from phasegate import Engine
from phasegate.apps.outreach import run_outreach_phase, use_engine
from tests.apps.outreach.phase_cases import add_companies, add_people, company_id, opened, person, rows, staff
from tests.apps.outreach.pipeline_cases import Clock


class Ticking(Clock):
    """A clock that goes on whenever it is looked at: what has ended is older then."""

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with opened(tmp_path, Ticking()) as engine:
        use_engine(engine)
        yield engine
        use_engine(None)


def own_tables(engine: Engine) -> dict[str, list[Any]]:
    """The content of the application's tables."""
    names = engine.read("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'phasegate_%'")
    return {row["name"]: rows(engine, row["name"]) for row in names}


def test_tables_of_the_application_are_untouched_and_its_log_goes_on_naming_the_runs(engine: Engine) -> None:
    add_companies(engine, [1])
    add_people(engine, staff(1, 10))
    run_outreach_phase(1, {"state": "WV"})
    for run in engine.find():
        if not run.finished:
            engine.cancel(run.id)
    before = own_tables(engine)
    logged = {row["run_id"] for row in before["phase_completion_log"]}
    assert engine.purge(0).runs > 0
    assert engine.find() == []
    assert own_tables(engine) == before
    assert logged
    result = run_outreach_phase(1, {"state": "WV"})
    assert company_id(1) in str(result)
    assert "was purged" in str(result)


def test_orphans_are_judged_again_when_the_run_that_judged_them_is_gone(engine: Engine) -> None:
    add_companies(engine, [1])
    add_people(engine, [*staff(1, 10), person(99, "nowhere", "CEO")])
    run_outreach_phase(1, {"state": "WV"})
    first = run_outreach_phase(1.1, {"state": "WV"})["result"]["statistics"]
    assert engine.purge(0, flow="outreach-orphans").runs == 1
    again = run_outreach_phase(1.1, {"state": "WV"})
    assert again["status"] == "complete"
    assert (first["orphans"], len(engine.find("outreach-orphans"))) == (1, 1)
