"""The main job: load the example companies and people, take every company through all phases, say what came of it.

Doing it again changes nothing. Killed anywhere and started again, it ends in the tables of an undisturbed run: everything it
does is a run of the engine, and it only waits until all of them are at rest.
"""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from phasegate import InputError, RunStatus, Subject, UsageError

if TYPE_CHECKING:
    from phasegate import Engine
    from phasegate.apps.outreach.summary import PipelineSummary

#: Where the demo keeps its database unless it is told otherwise.
DATABASE = Path("demo/outreach.db")
FILES = ("companies.csv", "people.csv")
ORPHANS = Subject("people", "orphans")

#: Phases a company can go through, for the progress bar.
_PHASES = 9
_LOOK_EVERY = 0.2
_FLOWS = ("outreach", "outreach-orphans", "outreach-outbox")

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What the demo did: ``seconds`` is the run itself, without start and report; ``facts`` is how many the database holds,
    ``new_facts`` how many of them are new."""

    database: Path
    outbox: Path
    rows: dict[str, dict[str, int]]
    facts: int
    new_facts: int
    delivered: int
    seconds: float
    summary: PipelineSummary
    waiting: str | None
    state: str
    #: Whether it went on where a process that had died left it.
    recovered: bool = False

    @property
    def changed(self) -> bool:
        """Whether anything happened that had not happened before."""
        return self.new_facts > 0


def run_demo(
    data: Path | None = None, database: Path = DATABASE, *, fresh: bool = False, progress: Progress | None = None
) -> DemoReport:
    """Do the job. ``fresh`` begins with an empty database and outbox. Raises ``InputError`` when there is no data."""
    from phasegate.apps.outreach.opening import open_engine
    from phasegate.apps.outreach.outbox import FileSink
    from phasegate.apps.outreach.summary import summarise

    files = [find_data(data) / name for name in FILES]
    outbox = database.parent / "outbox"
    if fresh:
        _remove(database, outbox)
    database.parent.mkdir(parents=True, exist_ok=True)
    with open_engine(f"sqlite:///{database}", sink=FileSink(outbox)) as engine:
        before, began = _count_facts(engine), time.perf_counter()
        recovered = engine.bury_dead_workers() > 0
        with _watched(engine, progress):
            rows, delivered = _work(engine, files)
        seconds = time.perf_counter() - began
        facts = _count_facts(engine)
        return DemoReport(
            database, outbox, rows, facts, facts - before, delivered, seconds, summarise(engine, tenant=engine.tenant),
            _waiting(engine), _state(engine), recovered,
        )  # fmt: skip


def find_data(given: Path | None) -> Path:
    """The directory with the example files: the one given, else ``examples/data`` of the checkout this program is in."""
    if given is not None:
        candidates = [given]
    else:
        here = Path(__file__).resolve()
        candidates = [parent / "examples" / "data" for parent in (Path.cwd(), *here.parents[4:5])]
    for directory in candidates:
        if all((directory / name).is_file() for name in FILES):
            return directory
    raise InputError(
        f"there are no {' and '.join(FILES)} in {candidates[0]}", hint="name their directory with --data DIRECTORY"
    )


def _work(engine: Engine, files: list[Path]) -> tuple[dict[str, dict[str, int]], int]:
    """Load, move every company as far as it goes, judge the people without one, deliver what is invalid."""
    from phasegate.apps.outreach.importing import load
    from phasegate.apps.outreach.outbox import deliver_outbox

    loaded = load(engine, companies=files[0], people=files[1], aim=None)
    engine.start("outreach-orphans", ORPHANS)
    _drain(engine)
    delivered = deliver_outbox(engine).delivered
    names = ("total_rows", "valid_rows", "invalid_rows", "duplicate_rows", "inserted_rows")
    rows = {kind: {name: result["statistics"][name] for name in names} for kind, result in loaded.items()}
    return rows, delivered


def _drain(engine: Engine) -> None:
    """Work until every run is at rest, also those that another process is moving."""
    active = [RunStatus.PENDING, RunStatus.RUNNING]
    engine.drain()
    while any(engine.find(flow, status=active, limit=1) for flow in _FLOWS):
        time.sleep(_LOOK_EVERY)
        engine.drain()


def _remove(database: Path, outbox: Path) -> None:
    """Remove what an earlier demo left; a file that is something else is not touched."""
    if database.exists() and not database.is_file():
        raise UsageError(f"{database} is not a file", hint="name another one with --database")
    for path in (database, *(database.with_name(database.name + end) for end in ("-wal", "-shm"))):
        path.unlink(missing_ok=True)
    for name in ("Invalid_Companies.csv", "Invalid_People.csv", "failures.jsonl"):
        (outbox / name).unlink(missing_ok=True)


def _count_facts(engine: Engine) -> int:
    return int(engine.read("SELECT coalesce(sum(seq), 0) AS n FROM phasegate_runs")[0]["n"])


# --- progress -------------------------------------------------------------------------------------------------------


@contextmanager
def _watched(engine: Engine, progress: Progress | None) -> Iterator[None]:
    """Within the block ``progress`` is told a few times a second how far the companies are: done, total, phase."""
    if progress is None:
        yield
        return
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(engine, progress, over), name="demo-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    total = _PHASES * _count_companies(engine)
    progress(total, total, "done")


def _watch(engine: Engine, progress: Progress, over: threading.Event) -> None:
    while not over.wait(_LOOK_EVERY):
        total = _PHASES * _count_companies(engine)
        rows = engine.read(
            "SELECT phase_id, phase_name, count(*) AS n FROM phase_completion_log WHERE status <> 'running' "
            "GROUP BY phase_id, phase_name ORDER BY phase_id"
        )
        if total and rows:
            progress(min(total, sum(row["n"] for row in rows)), total, rows[-1]["phase_name"])


def _count_companies(engine: Engine) -> int:
    return int(engine.read("SELECT count(*) AS n FROM company_raw_intake WHERE verdict = 'valid'")[0]["n"])


# --- what to do next ------------------------------------------------------------------------------------------------


def next_commands(report: DemoReport, program: str) -> list[str]:
    """Commands that work as they are printed, from the directory the demo was started in."""
    database = f"--database {shlex.quote(str(report.database))}"
    about = f"why {report.waiting}" if report.waiting else "status"
    return [
        f"{program} {about} {database}",
        f"{program} 3 --state {report.state} --dry-run {database}",
        f"{program} stuck --hours 0 --phase 1.5 {database}",
    ]


def _waiting(engine: Engine) -> str | None:
    """A company that waits at the slot gate, to be asked about."""
    query = (
        "SELECT min(company_unique_id) AS id FROM phase_completion_log WHERE phase_id = 2.5 AND status = 'skipped' "
        "AND company_unique_id NOT IN (SELECT company_unique_id FROM phase_completion_log "
        "WHERE phase_id = 2.5 AND status = 'complete')"
    )
    return engine.read(query)[0]["id"]  # type: ignore[no-any-return]


def _state(engine: Engine) -> str:
    """The state with the most companies."""
    query = (
        "SELECT state FROM company_master WHERE state IS NOT NULL GROUP BY state ORDER BY count(*) DESC, state LIMIT 1"
    )
    return next((str(row["state"]) for row in engine.read(query)), "WV")
