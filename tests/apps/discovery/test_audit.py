"""What was asked for is written down in the commit that does it; what was refused, afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from phasegate import Engine
from phasegate.apps.discovery import Discovery, Resolution
from phasegate.cli import main
from phasegate.errors import AlreadyDecided
from tests.apps.discovery.steps import begun, host, hosts, made, mapped, waits_for, write

#: An operation: its name in the audit, what is called, and how many commits of rows alone it makes beside those of the engine.
Operation = tuple[str, Callable[[], object], int]


@pytest.fixture
def rows_alone(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The commits that write rows and no fact, since it was emptied: of each how many rows."""
    found: list[int] = []
    write_rows = Engine.write

    def counted(engine: Engine, writes: Any) -> None:
        found.append(len(writes))
        write_rows(engine, writes)

    monkeypatch.setattr(Engine, "write", counted)
    return found


def operations(discovery: Discovery, folder: Path) -> Iterator[Operation]:
    """Everything that can be asked of a flow, one after the other; what comes in between is done by whoever takes them."""
    rows = [host(1, Location="x" * 300) | {"Kiste": "y" * 60}, host(1), host(1), host(2)]
    file = write(folder / "a.csv", [{"Kiste": "", **row} for row in rows])
    ids: dict[str, str] = {}

    def create() -> None:
        ids["flow"] = discovery.create(file).flow_id

    yield "create", create, 0
    flow = ids["flow"]
    yield "pause", lambda: discovery.pause(flow, "lunch"), 0
    yield "resume", lambda: discovery.resume(flow), 0
    discovery.work()
    yield "decide_data", lambda: discovery.decide_data(flow, {"Location": "truncate"}), 0
    discovery.work()
    yield "edit_mapping", lambda: discovery.edit(flow, "Kiste", "rack_location"), 1
    yield "mappings_approved", lambda: discovery.approve(flow, ["Name"]), 1
    yield "mappings_rejected", lambda: discovery.reject(flow, ["CPU"]), 1
    yield "propose_mapping", lambda: discovery.propose_again(flow), 0
    discovery.work()
    discovery.edit(flow, "Kiste", "rack_location")
    yield "mappings_approved", lambda: discovery.approve(flow), 0  # the rest: this opens the gate
    discovery.work()
    assert waits_for(discovery, flow) == "cleansing_decisions"
    yield "decide_data", lambda: discovery.decide_data(flow, {"Kiste": "truncate"}), 0
    discovery.work()
    yield "preview_again", lambda: discovery.preview_again(flow), 0
    discovery.work()
    yield "approve_assets", lambda: discovery.approve_assets(flow, "all"), 0
    discovery.work()
    one, other = (Resolution(each["id"], "keep_existing") for each in discovery.conflicts(flow))
    yield "resolve_conflicts", lambda: discovery.resolve(flow, [one]), 1
    yield "resolve_conflicts", lambda: discovery.resolve(flow, [other]), 0
    discovery.work()
    yield "delete", lambda: discovery.delete(flow), 1
    flow = mapped(discovery, begun(discovery, write(folder / "b.csv", hosts(2))))
    yield "reject_assets", lambda: discovery.reject_assets(flow, comment="not these"), 0
    discovery.work()
    gone = write(folder / "c.csv", hosts(2))
    flow = discovery.create(gone).flow_id
    gone.rename(folder / "elsewhere.csv")
    discovery.work()
    yield "retry", lambda: discovery.retry(flow), 0
    yield (
        "execute",
        lambda: discovery.execute(flow, "data_import", validation_overrides=["file_format_validation"], work=False),
        1,
    )
    yield "cancel", lambda: discovery.cancel(flow, "no need"), 0


def test_what_is_done_and_that_it_was_asked_for_are_one_commit(
    discovery: Discovery, tmp_path: Path, rows_alone: list[int]
) -> None:
    asked = []
    for name, act, commits in operations(discovery, tmp_path):
        before = discovery.audit(limit=1_000)
        rows_alone.clear()
        act()
        assert len(rows_alone) == commits, name
        entry, *rest = discovery.audit(limit=1_000)
        assert rest == before, name  # one entry, and no more
        assert (entry["operation"], bool(entry["success"]), entry["user_id"]) == (name, True, "ann")
        asked.append((name, entry["details"]))
    details = dict(asked)
    assert details["pause"] == {"reason": "lunch"}
    assert details["retry"] == {"phase": "data_import"}
    assert details["cancel"] == {"reason": "no need"}
    assert details["decide_data"] == {"decisions": {"Kiste": "truncate"}}
    assert details["reject_assets"] == {"comment": "not these"}


def test_whoever_stops_a_flow_by_other_means_is_audited_too(
    discovery: Discovery, address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flow = begun(discovery, write(tmp_path / "a.csv", hosts(2)))
    words = ["--database", address, "--tenant", discovery.tenant.name, "cancel", f"import:{flow}", "--by", "kim"]
    assert main(words) == 0, capsys.readouterr().err
    entry = discovery.audit(flow)[0]
    assert (entry["operation"], entry["user_id"], bool(entry["success"])) == ("cancel", "kim", True)


def test_what_comes_too_late_is_one_refusal_and_nothing_else(
    discovery: Discovery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = mapped(discovery, begun(discovery, write(tmp_path / "a.csv", hosts(2))))
    stood = discovery.flow(flow)
    made(discovery, flow)
    before = len(discovery.audit(flow))
    monkeypatch.setattr(Discovery, "flow", lambda _self, _flow_id: stood)  # looked up before somebody was faster
    with pytest.raises(AlreadyDecided):
        discovery.approve_assets(flow, "all")
    entry, *rest = discovery.audit(flow)
    assert len(rest) == before
    assert (entry["operation"], bool(entry["success"])) == ("approve_assets", False)
    assert "settled" in entry["error"]


def test_what_changes_nothing_is_written_down_too(discovery: Discovery, tmp_path: Path) -> None:
    flow = begun(discovery, write(tmp_path / "a.csv", hosts(2)))
    discovery.pause(flow)
    discovery.pause(flow)
    discovery.resume(flow)
    discovery.resume(flow)
    operations = [each["operation"] for each in discovery.audit(flow)]
    assert operations == ["resume", "resume", "pause", "pause", "create"]
