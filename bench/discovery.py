"""Discovery: how soon a flow runs, how quickly a large export is brought in and profiled, how quickly its assets are made."""

from __future__ import annotations

import csv
import resource
import time
from pathlib import Path

from bench.shapes import Figure
from phasegate.apps.discovery import Discovery, Tenant, open_engine, working

#: Columns of the invented export, as many as exports commonly have.
HEADINGS = (
    "Name", "CI Type", "Hostname", "IP Address", "OS", "OS Version", "CPU", "RAM", "Disk", "Owner", "Environment",
    "Location", "Criticality", "Serial", "Comment",
)  # fmt: skip
_KINDS = (
    ("Server", "srv"), ("Virtual Machine", "vm"), ("Database", "db"), ("Access Switch", "sw"), ("Application", "app"),
)  # fmt: skip


def export(path: Path, rows: int) -> Path:
    """An invented export of so many rows; no two have the same name or address."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEADINGS)
        for n in range(rows):
            kind, short = _KINDS[n % len(_KINDS)]
            writer.writerow(
                (
                    f"{short}-{n:07}", kind, f"{short}-{n:07}.example.com", f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}",
                    "Ubuntu" if n % 3 else "Windows Server", "22.04" if n % 3 else "2019", 2 ** (n % 6), f"{4 * (1 + n % 32)} GB",
                    f"{100 + n % 900} GB", f"Team {n % 40}", ("prod", "test", "dev")[n % 3], f"Hall {n % 12}",
                    ("High", "Medium", "Low")[n % 3], f"SN{n:09}", "moved in spring" if n % 7 else "",
                )
            )  # fmt: skip
    return path


def run(directory: Path, rows: int, starts: int) -> list[Figure]:
    """All figures, with an export of so many rows and so many flows that are begun."""
    return [*_flow(directory, rows), _start(directory, starts)]


def _flow(directory: Path, rows: int) -> list[Figure]:
    file = export(directory / "export.csv", rows)
    with open_engine(f"sqlite:///{directory / 'discovery.db'}") as engine:
        discovery = Discovery(engine, Tenant("bench", "one", "bench"))
        began = time.perf_counter()
        flow = discovery.create(file).flow_id
        discovery.work()  # as far as the proposal of the mapping
        imported = time.perf_counter() - began
        assert discovery.profile(flow)["total_records"] == rows
        if not discovery.approve(flow)["complete"]:
            discovery.keep_the_rest(flow)
        began = time.perf_counter()
        discovery.work()
        cleansed = time.perf_counter() - began
        discovery.approve_assets(flow, "all")
        began = time.perf_counter()
        discovery.work()
        made = time.perf_counter() - began
        assert discovery.status(flow)["status"] == "completed", discovery.status(flow)
        assert sum(discovery.assets_by_type().values()) == rows
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        Figure(f"discovery, import and profile of {rows:,} rows", rows / imported, "rows/s", None, 20_000),
        Figure(f"discovery, cleansing and preview of {rows:,} rows", rows / cleansed, "rows/s"),
        Figure(f"discovery, {rows:,} assets", rows / made, "assets/s", None, 5_000),
        Figure("discovery, memory of the whole process at most", peak, "MB", None, 500, "lower"),
    ]


def _start(directory: Path, flows: int) -> Figure:
    """The 99th of 100 times from the call of ``create`` until the flow's row says that it runs, or is further."""
    file = export(directory / "small.csv", 50)
    waits = []
    with open_engine(f"sqlite:///{directory / 'starts.db'}") as engine, working(engine):
        for n in range(flows):
            discovery = Discovery(engine, Tenant("bench", f"engagement {n}", "bench"))
            flow = discovery.create(file).flow_id
            began = time.perf_counter()
            while discovery.engine.read(_STATUS, {"flow": flow})[0]["flow_status"] == "initialized":
                time.sleep(0.001)
            waits.append(time.perf_counter() - began)
    waits.sort()
    return Figure(
        "discovery, from created to running, p99", 1_000 * waits[int(0.99 * len(waits))], "ms", None, 500, "lower"
    )


_STATUS = "SELECT flow_status FROM master_flows WHERE flow_id = :flow"
