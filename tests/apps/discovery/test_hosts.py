"""Host names beyond ASCII: the same machine is the same asset, on every kind of database and in every spelling."""

from __future__ import annotations

from pathlib import Path

import pytest

from phasegate.apps.discovery import Discovery
from tests.apps.discovery.steps import begun, host, made, mapped, write


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("M\u00dcLLER-PC.example.com", "m\u00fcller-pc.Example.com"),
        ("mu\u0308ller.example.com", "xn--mller-kva.example.com"),
        ("WEB-1.example.com", "web-1.EXAMPLE.com"),
    ],
    ids=["case", "dns", "ascii"],
)
def test_a_machine_is_met_again_however_its_host_is_written(
    discovery: Discovery, tmp_path: Path, one: str, same: str
) -> None:
    for number, name in enumerate((one, same)):
        row = host(number) | {"Hostname": name}
        flow = made(discovery, mapped(discovery, begun(discovery, write(tmp_path / f"{number}.csv", [row]))))
    (conflict,) = discovery.conflicts(flow)
    assert conflict["conflict_type"] == "hostname"


def test_machines_whose_hosts_differ_are_two(discovery: Discovery, tmp_path: Path) -> None:
    rows = [host(1) | {"Hostname": "m\u00fcller"}, host(2) | {"Hostname": "muller"}, host(3) | {"Hostname": "mueller"}]
    flow = made(discovery, mapped(discovery, begun(discovery, write(tmp_path / "a.csv", rows))))
    assert discovery.status(flow)["status"] == "completed"
    assert [each["hostname"] for each in discovery.assets()] == ["m\u00fcller", "muller", "mueller"]
