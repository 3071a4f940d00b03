"""Two imports of one inventory, with everything that people decide on the way, as a program that dies at one of its commits;
started again it looks at what its flows wait for, and goes on where it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import alembic.command  # noqa: F401 - imported when it is needed, which would be in every fork
import jsonschema  # noqa: F401

from phasegate.apps.discovery import Discovery, Resolution, Tenant, open_engine
from phasegate.apps.discovery.phases import cleansing, common, importing, inventory, previewing
from phasegate.testing import CrashPoint
from tests.apps.discovery.steps import host, write

TENANT = Tenant("northwind", "q4", "ann")
#: Rows of a piece: both imports end with an empty one.
PIECE = 15
#: A value that no field of an asset has room for.
LONG = "rack and shelf; " * 40


def main(address: str, folder: str, commit: int = 0, after: bool = False, counted: str = "", until: str = "") -> None:
    """Import the files in ``folder``. Dies at the commit of that number, before it or ``after`` it; how many there were is
    written into the file ``counted``. With ``until`` it ends when the first flow waits for that."""
    work_in_small_pieces()
    with open_engine(address) as engine:
        point = CrashPoint(engine, commit=commit or None, after=after)
        discovery = Discovery(engine, TENANT)
        for name in list(FILES)[: 1 if until else None]:
            finish(discovery, flow_of(discovery, Path(folder) / name), until)
    if counted:
        Path(counted).write_text(str(point.commits), encoding="utf-8")


def work_in_small_pieces() -> None:
    """From now on, the phases of this process have many pieces."""
    for module, name in (
        (importing, "PIECE"),
        (cleansing, "PIECE"),
        (previewing, "PIECE"),
        (inventory, "MADE_AT_ONCE"),
    ):
        setattr(module, name, PIECE)
    common.rows_after.__defaults__ = (PIECE,)


def flow_of(discovery: Discovery, file: Path) -> str:
    """The flow that imports the file: the one there is, or a new one."""
    known = {each["flow_name"]: str(each["flow_id"]) for each in discovery.flows()}
    return known.get(file.name) or discovery.create(file, configuration={"analysis": True}).flow_id


def finish(discovery: Discovery, flow: str, until: str = "") -> None:
    """Work, and decide whatever is asked, until nothing is."""
    while True:
        discovery.work()
        asked = discovery.status(flow)["phase_state"].get("waits_for")
        if asked is None or asked == until:
            return
        DECISIONS[asked](discovery, flow)


# --- what people decide ------------------------------------------------------------------------------------------------


def decide_data(discovery: Discovery, flow: str) -> None:
    discovery.decide_data(flow, {each["field"]: "truncate" for each in discovery.open_questions(flow)})


def decide_mapping(discovery: Discovery, flow: str) -> None:
    """All that have a field, then one for which a person knows a field, then the rest."""
    if discovery.approve(flow)["complete"]:
        return
    if "Zettel" in [each["source_field"] for each in discovery.mappings(flow) if each["status"] == "suggested"]:
        discovery.edit(flow, "Zettel", "rack_location")
        discovery.approve(flow, ["Zettel"])
    discovery.keep_the_rest(flow)


def decide_assets(discovery: Discovery, flow: str) -> None:
    discovery.approve_assets(flow, "all")


def decide_conflicts(discovery: Discovery, flow: str) -> None:
    """One of them, then the others."""
    found = [resolution(each) for each in discovery.conflicts(flow, pending=True)]
    if len(found) > 1:
        discovery.resolve(flow, found[:1])
    discovery.resolve(flow, found[1:] or found)


def resolution(conflict: Mapping[str, Any]) -> Resolution:
    """One of the four choices, by the number of the row."""
    beside = {"name": f"beside-{conflict['conflict_key']}", "dependency_type": "hosted_on", "confidence": 0.5}
    choices: Sequence[Mapping[str, Any]] = (
        {"action": "keep_existing"}, {"action": "replace_with_new"},
        {"action": "merge", "selections": {"memory_gb": "new"}},
        {"action": "create_both_with_dependency", "dependency": beside},
    )  # fmt: skip
    return Resolution(conflict["id"], **choices[conflict["row_number"] % len(choices)])


DECISIONS = {
    "data_validation": decide_data,
    "field_mapping": decide_mapping,
    "cleansing_decisions": decide_data,
    "asset_preview": decide_assets,
    "conflict_resolution": decide_conflicts,
}

# --- what is imported --------------------------------------------------------------------------------------------------


def exported() -> list[dict[str, str]]:
    """Sixty rows, of which some are about the same machine as one before: by name, by host name, by address."""
    rows = [_host(number) for number in range(52)]
    rows += [_host(number, Name=f"WEB-{number:03}", RAM="32 GB") for number in (3, 8, 21, 30)]
    rows += [_host(60, Hostname="web-011.example.com"), _host(61, Hostname="web-050.example.com")]
    rows += [_host(62, IP_Address="192.0.2.5"), _host(63, IP_Address="192.0.2.45")]
    rows[4] |= {"Owner": LONG}
    rows[9] |= {"Zettel": LONG}
    rows[20] |= {"Depends On": "web-001", "OS": "CentOS 6"}
    return rows


def exported_again() -> list[dict[str, str]]:
    """One piece; half of its rows are about machines that are there."""
    known = [_host(number, RAM="64 GB", Owner="Lager") for number in (0, 5, 10, 15, 20, 25, 51)]
    return known + [_host(number) for number in range(100, 100 + PIECE - len(known))]


def _host(number: int, **values: str) -> dict[str, str]:
    return host(number, **values) | {"Zettel": "", "Key Number": str(1_000 + number)}


FILES = {"exported.csv": exported, "exported-again.csv": exported_again}


def write_files(folder: Path) -> None:
    """Write what ``main`` imports."""
    for name, rows in FILES.items():
        write(folder / name, rows())
