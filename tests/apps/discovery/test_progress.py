"""How far a flow is, also in the midst of a phase: by the records that are done, never back, and 100 only at its end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phasegate import Context
from phasegate.apps.discovery import Discovery
from phasegate.apps.discovery.phases import cleansing, common, importing, inventory, previewing
from phasegate.cli import main
from tests.apps.discovery.steps import begun, host, hosts, made, mapped, write

ROWS, PIECE = 45, 10
#: The steps that go through the records, with what their phase and they themselves begin at.
BEGINS = {"data_import": 0, "data_cleansing": 60, "asset_preview": 80, "asset_inventory": 80 + 20 / 3}


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (importing, cleansing, previewing):
        monkeypatch.setattr(module, "PIECE", PIECE)
    monkeypatch.setattr(inventory, "MADE_AT_ONCE", PIECE)
    monkeypatch.setattr(common.rows_after, "__defaults__", (PIECE,))


def on_progress(monkeypatch: pytest.MonkeyPatch, told: Callable[[str, int, int | None], None]) -> None:
    """Have a function told of every piece when it is done and not committed yet."""
    announce = Context.progress

    def progress(context: Context, done: int, total: int | None = None) -> None:
        told(context.phase, done, total)
        announce(context, done, total)

    monkeypatch.setattr(Context, "progress", progress)


def finish(discovery: Discovery, flow: str) -> None:
    made(discovery, mapped(discovery, flow))


def test_every_piece_of_every_phase_is_a_step_forward(
    discovery: Discovery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int, int | None, dict[str, Any]]] = []

    def look(step: str, done: int, total: int | None) -> None:
        (row,) = discovery.flows()
        status = discovery.status(str(row["flow_id"]))
        assert status["progress_percentage"] == row["progress_percentage"]
        seen.append((step, done, total, status))

    on_progress(monkeypatch, look)
    flow = begun(discovery, write(tmp_path / "a.csv", hosts(ROWS)))
    finish(discovery, flow)
    for step, begins in BEGINS.items():
        found = [each for each in seen if each[0] == step]
        total = None if step == "data_import" else ROWS  # how many records a file has is known at its end
        assert [each[1:3] for each in found] == [(done, total) for done in (10, 20, 30, 40)]
        told = [each[3]["progress_percentage"] for each in found]
        assert told[0] == pytest.approx(begins, abs=0.01)
        assert told == sorted(set(told))
        states = [each[3]["phase_state"] for each in found]
        assert states[0] == {}
        assert [(each["step"], each["done"], each["total"]) for each in states[1:]] == [
            (step, done, total) for done in (10, 20, 30)
        ]
    cleansed = [each[3]["progress_percentage"] for each in seen if each[0] == "data_cleansing"]
    assert cleansed == [round(60 + 20 * done / ROWS, 2) for done in (0, 10, 20, 30)]
    everything = [each[3]["progress_percentage"] for each in seen]
    assert everything == sorted(everything)
    assert everything[-1] < 100
    status = discovery.status(flow)
    assert (status["status"], status["progress_percentage"], status["phase_state"]) == ("completed", 100, {})


def test_records_of_a_program_are_counted_from_the_first_piece(
    discovery: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int | None, float]] = []

    def look(_step: str, done: int, total: int | None) -> None:
        (row,) = discovery.flows()
        seen.append((done, total, row["progress_percentage"]))

    on_progress(monkeypatch, look)
    discovery.create_from_records([host(number) for number in range(25)])
    discovery.work()
    assert seen == [(10, 25, 0), (20, 25, 8)]


def test_a_flow_that_is_paused_in_a_phase_stays_where_it_is_and_goes_on_from_there(
    discovery: Discovery, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    flow = begun(discovery, write(tmp_path / "a.csv", hosts(ROWS)))
    seen: list[tuple[str, int, float]] = []

    def look(step: str, done: int, _total: int | None) -> None:
        seen.append((step, done, discovery.status(flow)["progress_percentage"]))
        if (step, done) == ("data_cleansing", 30) and len(seen) == 3:
            discovery.pause(flow)

    on_progress(monkeypatch, look)
    mapped(discovery, flow)
    status = discovery.status(flow)
    assert status["status"] == "paused"
    assert (status["progress_percentage"], status["phase_state"]["done"]) == (round(60 + 20 * 20 / ROWS, 2), 20)
    who = ("--client", "northwind", "--engagement", "q4")
    assert main(["--database", address, "discovery", "status", *who]) == 0
    assert "a.csv: paused, 68.89 %, data_cleansing, 20 of 45 records in data_cleansing" in capsys.readouterr().out
    discovery.resume(flow)
    assert discovery.status(flow)["progress_percentage"] == status["progress_percentage"]
    discovery.work()
    made(discovery, flow)
    told = [progress for _, _, progress in seen]
    assert told == sorted(told)
    assert discovery.status(flow)["status"] == "completed"


def test_what_is_done_again_begins_again(discovery: Discovery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flow = mapped(discovery, begun(discovery, write(tmp_path / "a.csv", hosts(ROWS))))
    before = discovery.status(flow)["progress_percentage"]
    discovery.preview_again(flow)
    again = discovery.status(flow)
    assert (again["progress_percentage"], again["phase_state"]) == (80, {})
    discovery.work()
    assert discovery.status(flow)["progress_percentage"] == before > 80
