"""The way of an inventory through the discovery flow, killed at every commit and at any moment, ends in the same assets,
rows, mappings and conflicts; and whatever a person was in the middle of can be done again."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from phasegate import Engine
from phasegate.apps.discovery import Discovery, open_engine
from phasegate.apps.discovery.identifiers import record_id
from phasegate.apps.discovery.tables import metadata
from tests import postgres
from tests.crash.discovery import FILES, TENANT, write_files
from tests.crash.forking import Forks
from tests.crash.invariants import assert_sound
from tests.crash.seeds import amount, chance

pytestmark = [pytest.mark.crash, pytest.mark.timeout(1800)]

#: `make chaos` has more.
KILLS = amount("PHASEGATE_KILLS", 2)
EVERY = os.environ.get("PHASEGATE_KILL_POINTS") == "all"
#: Databases in whose life processes die one after the other. What is on the disk before a commit is what was there after the
#: one before: both sides together have as many deaths as there are commits, a third as many on PostgreSQL.
LIVES = {"sqlite": 3, "postgresql": 1}
#: What the result of a phase says without naming what has another id in every database.
COUNTED = ("data_import", "data_cleansing", "asset_inventory", "conflict_resolution", "asset_inventory_result")
Contents = dict[str, list[Any]]


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks("tests.crash.discovery", within=60) as found:
        yield found


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("files")
    write_files(folder)
    return str(folder)


@dataclass(frozen=True)
class Undisturbed:
    contents: Contents
    commits: int
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(kind: str, forks: Forks, files: str, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    address = database(kind, folder)
    began = time.monotonic()
    assert forks.run(address, files, 0, False, str(folder / "count")) == 0
    seconds = time.monotonic() - began
    return Undisturbed(finished(address), int((folder / "count").read_text(encoding="utf-8")), seconds)


def test_an_undisturbed_run_is_worth_comparing_with(undisturbed: Undisturbed) -> None:
    found = undisturbed.contents
    assert {name for name, rows in found.items() if not rows} <= {"skipped_records"}
    assert len(found["assets"]) == 52 + 2 + 8 + 2  # two of either import were created beside those they met
    assert {each["resolution_action"] for each in found["asset_conflict_resolutions"]} == {
        "keep_existing", "replace_with_new", "merge", "create_both_with_dependency",
    }  # fmt: skip
    assert Counter(each["conflict_type"] for each in found["asset_conflict_resolutions"]) == {
        "name": 4 + 7, "hostname": 2, "ip_address": 2,
    }  # fmt: skip


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_commit(
    kind: str, after: bool, forks: Forks, files: str, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """Every commit has a database of its own with ``PHASEGATE_KILL_POINTS=all``. Otherwise many deaths share one: of a process
    that goes on after another one's, half of the commits say that it is there, that the other is not, and what that one lost."""
    lives = undisturbed.commits if EVERY else LIVES[kind]
    deaths = 0
    for life in range(1, lives + 1):
        first = life if EVERY else life + lives * after
        address = database(kind, new_folder(tmp_path, str(life)))
        commits = itertools.repeat(0) if EVERY else (6 + (7 * death + 3 * first) % 11 for death in itertools.count())
        deaths += killed(forks, (address, files), itertools.chain([first], commits), after)
        assert finished(address) == undisturbed.contents
    print(f"{deaths} deaths at {undisturbed.commits} commits in {lives} databases")
    # How many commits there are depends on what is committed together; none of these gets further than 17 of them.
    assert deaths > (0.8 if EVERY else undisturbed.commits / 25) * lives


def test_killed_at_random_moments(
    kind: str, forks: Forks, files: str, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    random, kills, round_ = chance(), 0, 0
    while kills < KILLS:
        round_ += 1
        address, deaths = database(kind, new_folder(tmp_path, str(round_))), 0
        while deaths < 4:
            pid = forks.start(address, files)
            time.sleep(random.uniform(0, 0.6 * undisturbed.seconds))
            os.kill(pid, signal.SIGKILL)  # or it has ended, and is waited for below
            if forks.wait(pid) == 0:
                break
            deaths += 1
        assert forks.run(address, files) == 0
        assert finished(address) == undisturbed.contents
        kills += deaths


def test_a_person_dies_while_deciding_about_the_mapping(
    kind: str, forks: Forks, files: str, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """Before every commit up to the one that opens the gate: the last approval and the gate are one, and whoever comes next does
    what is left."""
    asked = database(kind, tmp_path)
    assert forks.run(asked, files, 0, False, "", "field_mapping") == 0
    left = [["every column"]]
    while left[-1]:
        address = copied(asked, new_folder(tmp_path, str(len(left))))
        assert forks.run(address, files, len(left)) == -signal.SIGKILL
        left.append(undecided(address))
    # Some are approved, one is edited and approved, the rest is kept; each in one commit with its entry in the audit.
    assert len(left) > 6
    assert forks.run(address, files) == 0
    assert finished(address) == undisturbed.contents


def undecided(address: str) -> list[str]:
    """The columns on which nobody has decided; if there are any, the flow waits for that, and says so."""
    with open_engine(address) as engine:
        discovery = Discovery(engine, TENANT)
        (flow,) = (each["flow_id"] for each in discovery.flows())
        mappings = discovery.mappings(flow)
        found = [each["source_field"] for each in mappings if each["status"] == "suggested"]
        audited = [each["operation"] for each in discovery.audit(flow) if each["success"]]
        decided = len(found) < len(mappings)
        assert decided == ("mappings_approved" in audited)  # by one commit, or not at all
        waits = discovery.status(flow)["phase_state"].get("waits_for")
        assert (waits == "field_mapping") == bool(found)
        if found:
            assert discovery.resume(flow)["waits_for"] == "field_mapping"
        return found


# --- databases ---------------------------------------------------------------------------------------------------------


def new_folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder


def database(kind: str, folder: Path) -> str:
    return postgres.new_prepared_database() if kind == "postgresql" else f"sqlite:///{folder / 'discovery.db'}"


def copied(address: str, folder: Path) -> str:
    """A copy of a database that nobody is using."""
    url = sa.make_url(address)
    assert url.database is not None
    if url.drivername != "sqlite":
        return postgres.new_database(template=url.database)
    shutil.copy(url.database, folder / "discovery.db")
    return f"sqlite:///{folder / 'discovery.db'}"


def killed(forks: Forks, arguments: tuple[str, str], commits: Iterator[int], after: bool) -> int:
    """Start processes until one ends by itself, each to be killed at its commit of these; how many were."""
    for deaths, commit in enumerate(commits):
        code = forks.run(*arguments, commit, after)
        if code == 0:
            return deaths
        assert code == -signal.SIGKILL
        assert deaths < 100, "it does not get on"
    raise AssertionError("there is no end of commits")


# --- what is in them ---------------------------------------------------------------------------------------------------


def finished(address: str) -> Contents:
    """What is in the database, where everything has come to its end and nothing was done twice."""
    with open_engine(address) as engine:
        assert_sound(engine)
        discovery = Discovery(engine, TENANT)
        flows = discovery.flows()
        assert [(each["flow_name"], each["status"], each["lifecycle"]) for each in reversed(flows)] == [
            (name, "completed", "completed") for name in FILES
        ]
        found = contents(engine)
        outputs = [engine.outputs(discovery.flow(each["flow_id"]).run.id, tenant=TENANT.name) for each in flows]
        found |= {name: [each[name] for each in outputs] for name in COUNTED}
    assert [(each["data_import_id"], each["row_number"]) for each in found["raw_import_records"]] == [
        (file, number) for file in sorted(FILES) for number in range(1, len(FILES[file]()) + 1)
    ]
    assert max(Counter(each["normalised_name"] for each in found["assets"]).values()) == 1
    return found


def contents(engine: Engine) -> Contents:
    """Every table of the application: ids are the names of what they stand for, or nothing; a time is that there is one.

    Of the audit it has the creations: whoever is in the place of somebody who died asks for less, or for what is done already.
    """
    tables = {table.name: engine.read(sa.select(table)) for table in metadata.sorted_tables}
    names = names_of(tables)
    found = {name: sorted((plain(dict(row), names) for row in rows), key=in_order) for name, rows in tables.items()}
    found["flow_audit"] = [each for each in found["flow_audit"] if each["operation"] == "create"]
    return found


def names_of(tables: Mapping[str, Any]) -> dict[str, str]:
    """What an id stands for, where that has a name."""
    imports = {row["id"]: row["import_name"] for row in tables["data_imports"]}
    return {
        **imports,
        **{row["flow_id"]: row["flow_name"] for row in tables["master_flows"]},
        **{row["id"]: row["name"] for row in tables["assets"]},
        **{
            record_id(row["data_import_id"], row["row_number"]): f"{imports[row['data_import_id']]}/{row['row_number']}"
            for row in tables["raw_import_records"]
        },
    }


def plain(value: Any, names: Mapping[str, str]) -> Any:
    """A value without what differs from one database to the next."""
    match value:
        case dict():
            return {name: _plain(name, each, names) for name, each in value.items()}
        case list():
            return [plain(each, names) for each in value]
        case str() if value[:1] in ("{", "["):
            return plain(json.loads(value), names)
        case str():
            return names.get(value, value)
        case datetime():
            return "a time"
    return value


def _plain(name: str, value: Any, names: Mapping[str, str]) -> Any:
    if name in ("id", "run_id"):
        return names.get(value)
    return "a time" if name.endswith("_at") and value else plain(value, names)


def in_order(row: Mapping[str, Any]) -> tuple[str, int, str]:
    """By the import, then by the row."""
    return str(row.get("data_import_id")), row.get("row_number") or 0, json.dumps(row, sort_keys=True)
