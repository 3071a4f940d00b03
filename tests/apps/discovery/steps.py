"""Inventories for the tests of flows, and taking a flow as far as a test wants it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from phasegate.apps.discovery import Discovery

DEVICES = Path(__file__).parents[3] / "examples" / "data" / "inventory-devices.csv"
HEADINGS = (
    "Name", "CI Type", "Hostname", "IP Address", "OS", "CPU", "RAM", "Owner", "Environment", "Location", "Criticality",
    "Depends On",
)  # fmt: skip


def host(number: int, **values: str) -> dict[str, str]:
    """A server of an invented export."""
    return {
        "Name": f"web-{number:03}", "CI Type": "Server", "Hostname": f"web-{number:03}.example.com",
        "IP Address": f"192.0.2.{number % 250 + 1}", "OS": "Ubuntu 22.04", "CPU": "4", "RAM": "16 GB", "Owner": "Shop",
        "Environment": "prod", "Location": "Halle 3", "Criticality": "High", "Depends On": "",
    } | {name.replace("_", " "): value for name, value in values.items()}  # fmt: skip


def hosts(count: int) -> list[dict[str, str]]:
    return [host(number) | {"IP Address": f"198.51.{number // 250}.{number % 250 + 1}"} for number in range(count)]


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """A CSV file of these rows."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def begun(discovery: Discovery, file: Path, **configuration: Any) -> str:
    """A flow of a file, as far as its mapping."""
    created = discovery.create(file, configuration=configuration)
    discovery.work()
    return created.flow_id


def mapped(discovery: Discovery, flow: str) -> str:
    """The flow with its mapping approved, as far as it then gets."""
    if not discovery.approve(flow)["complete"]:
        discovery.keep_the_rest(flow)
    discovery.work()
    return flow


def made(discovery: Discovery, flow: str) -> str:
    """The flow with all of its assets approved, as far as it then gets."""
    discovery.approve_assets(flow, "all")
    discovery.work()
    return flow


def waits_for(discovery: Discovery, flow: str) -> str | None:
    waits: str | None = discovery.status(flow)["phase_state"].get("waits_for")
    return waits


def names(discovery: Discovery) -> list[str]:
    return [each["name"] for each in discovery.assets(limit=10_000)]
