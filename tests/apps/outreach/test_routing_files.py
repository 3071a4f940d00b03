"""The sinks that write files: real files, real failures of the operating system."""

from __future__ import annotations

import csv
import fcntl
import json
import multiprocessing
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.outreach.routing import (
    INVALID_PEOPLE_COLUMNS,
    CsvSink,
    DeliveryOutcome,
    JsonLinesSink,
    Payload,
    Sink,
)
from phasegate.apps.outreach.routing.appending import AppendOnlyFile
from tests.apps.outreach.routing_cases import (
    all_delivered,
    company,
    people,
    person,
)


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def json_rows(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_csv_one_file_per_tab_and_deliveries_in_order(tmp_path: Path) -> None:
    sink = CsvSink(tmp_path / "outbox")
    payloads = [person(), company(), person(person_id="P2")]
    deliveries = sink.deliver(payloads)
    assert [delivery.dedup_key for delivery in deliveries] == [payload.dedup_key for payload in payloads]
    assert all_delivered(deliveries)
    assert sorted(path.name for path in (tmp_path / "outbox").iterdir()) == [
        "Invalid_Companies.csv",
        "Invalid_People.csv",
    ]
    rows = csv_rows(tmp_path / "outbox" / "Invalid_People.csv")
    assert tuple(rows[0]) == (*INVALID_PEOPLE_COLUMNS, "Dedup Key")
    assert [row["Person ID"] for row in rows] == ["P1", "P2"]
    assert rows[0]["Full Name"] == "Jane Roe"


def test_csv_rows_are_added_below_the_earlier_ones_with_one_header(tmp_path: Path) -> None:
    path = tmp_path / "Invalid_People.csv"
    sink = CsvSink(tmp_path)
    sink.deliver(people(2))
    before = path.read_bytes()
    sink.deliver([person(person_id="P8")])
    CsvSink(tmp_path).deliver([person(person_id="P9")])
    assert path.read_bytes().startswith(before)
    assert [row["Person ID"] for row in csv_rows(path)] == ["P0", "P1", "P8", "P9"]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_known_key_is_delivered_already(tmp_path: Path, kind: str) -> None:
    def sink() -> Sink:
        return CsvSink(tmp_path) if kind == "csv" else JsonLinesSink(tmp_path / "out.jsonl")

    first = sink()
    (delivery,) = first.deliver([person()])
    assert delivery.message.startswith("written to")
    content = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for again in (first, sink()):
        (delivery,) = again.deliver([person()])
        assert delivery.delivered
        assert delivery.message.startswith("already in")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == content
    twice = sink().deliver([person(person_id="P2"), person(person_id="P2")])
    assert [each.message.split(" ")[0] for each in twice] == ["written", "already"]


def test_formulas_are_defused_and_numbers_are_not(tmp_path: Path) -> None:
    CsvSink(tmp_path).deliver(
        [
            person(full_name='=HYPERLINK("http://x.example")', email="@cmd", title="+1 202-555-0100"),
            person(full_name="\t=1+1", email="-cmd", title="-5"),
            person(full_name="\uff1d1", email="a=b", title="+1,000.5"),
        ]
    )
    rows = csv_rows(tmp_path / "Invalid_People.csv")
    assert [row["Full Name"] for row in rows] == ['\'=HYPERLINK("http://x.example")', "'=1+1", "'\uff1d1"]
    assert [row["Email"] for row in rows] == ["'@cmd", "'-cmd", "a=b"]
    assert [row["Title"] for row in rows] == ["'+1 202-555-0100", "-5", "+1,000.5"]


def test_line_breaks_and_long_cells_fit_a_spreadsheet(tmp_path: Path) -> None:
    CsvSink(tmp_path).deliver([person(full_name='Jane\r\n"Roe"\x0b', title="x" * 1_000_000)])
    path = tmp_path / "Invalid_People.csv"
    assert path.read_bytes().count(b"\n") == 2
    (row,) = csv_rows(path)
    assert row["Full Name"] == 'Jane "Roe"'
    assert len(row["Title"]) == 32_767


def test_the_name_of_a_tab_cannot_leave_the_directory(tmp_path: Path) -> None:
    content = {**person().to_json(), "sheet_tab": "../../etc/passwd"}
    assert all_delivered(CsvSink(tmp_path / "out").deliver([Payload.from_json(content)]))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["_etc_passwd.csv"]


def test_json_lines_hold_the_payloads(tmp_path: Path) -> None:
    path = tmp_path / "below" / "out.jsonl"
    sink = JsonLinesSink(path)
    assert all_delivered(sink.deliver([person(), company()]))
    assert all_delivered(sink.deliver([person(person_id="P2", full_name="Zo\u00eb\nRoe")]))
    assert [Payload.from_json(row) for row in json_rows(path)] == [
        person(),
        company(),
        person(person_id="P2", full_name="Zo\u00eb\nRoe"),
    ]


def test_nothing_to_deliver(tmp_path: Path) -> None:
    assert CsvSink(tmp_path).deliver([]) == []
    assert JsonLinesSink(tmp_path / "out.jsonl").deliver([]) == []


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_file_cut_anywhere_is_mended_by_the_next_delivery(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("Invalid_People.csv" if kind == "csv" else "out.jsonl")

    def sink() -> Sink:
        return CsvSink(tmp_path) if kind == "csv" else JsonLinesSink(path)

    payloads = [person(full_name='Jane "J", Roe'), person(person_id="P2")]
    sink().deliver(payloads)
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        assert all_delivered(sink().deliver(payloads)), length
        if kind == "csv":
            assert [row["Dedup Key"] for row in csv_rows(path)] == [each.dedup_key for each in payloads], length
        else:
            assert [row["dedup_key"] for row in json_rows(path)] == [each.dedup_key for each in payloads], length


@pytest.mark.parametrize("content", ["name,city\nAcorn,x\n", "name,city\nAcorn,x", "notes", '{"a": 1'])
def test_somebody_elses_file_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "Invalid_People.csv"
    path.write_text(content)
    for _ in range(2):
        deliveries = CsvSink(tmp_path).deliver(people(2))
        assert [delivery.outcome for delivery in deliveries] == [DeliveryOutcome.PERMANENT] * 2
        assert "move it away" in deliveries[0].message
    assert path.read_text() == content


def test_json_lines_below_other_lines_leave_them_alone(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text('notes\n{"other": true}')
    assert all_delivered(JsonLinesSink(path).deliver([person()]))
    assert path.read_text().splitlines()[:2] == ["notes", '{"other": true}']
    assert json.loads(path.read_text().splitlines()[2])["dedup_key"] == person().dedup_key
    path.write_text("notes\nmore notes")
    assert JsonLinesSink(path).deliver([person()])[0].outcome is DeliveryOutcome.PERMANENT
    assert path.read_text() == "notes\nmore notes"


def test_a_sink_notices_that_its_file_was_moved_away(tmp_path: Path) -> None:
    sink = CsvSink(tmp_path)
    path = tmp_path / "Invalid_People.csv"
    sink.deliver(people(2))
    path.rename(tmp_path / "handled.csv")
    (delivery,) = sink.deliver([person(person_id="P0")])
    assert delivery.message.startswith("written to")
    assert [row["Person ID"] for row in csv_rows(path)] == ["P0"]


def test_a_directory_that_cannot_be_made_is_worth_another_try(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (delivery,) = CsvSink(tmp_path / "file" / "below").deliver([person()])
    assert delivery.outcome is DeliveryOutcome.RETRYABLE
    assert "cannot be written" in delivery.message


def test_a_full_disk_is_worth_another_try() -> None:
    (delivery,) = JsonLinesSink("/dev/full").deliver([person()])
    assert delivery.outcome is DeliveryOutcome.RETRYABLE
    assert "No space left" in delivery.message


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A limit of the operating system: a write across it is done in part, the next one fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_ends_in_the_middle_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonLinesSink(path)
    sink.deliver([person()])
    before = path.read_bytes()
    with largest_file(len(before) + 100):
        deliveries = sink.deliver(people(50))
    assert {delivery.outcome for delivery in deliveries} == {DeliveryOutcome.RETRYABLE}
    assert path.read_bytes() == before
    assert all_delivered(sink.deliver(people(50)))
    assert len(json_rows(path)) == 50


def test_the_file_is_held_against_others_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with AppendOnlyFile(path).locked(), path.open("rb") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def deliver_all(directory: str, count: int) -> None:
    sink = CsvSink(directory)
    for payload in people(count):
        sink.deliver([payload])


def test_processes_sharing_a_file_write_every_key_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=deliver_all, args=(os.fspath(tmp_path), 40)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    ids = [row["Person ID"] for row in csv_rows(tmp_path / "Invalid_People.csv")]
    assert sorted(ids) == sorted(f"P{number}" for number in range(40))


@given(st.lists(st.fixed_dictionaries({"full_name": st.text(max_size=12), "title": st.text(max_size=12)}), max_size=5))
def test_any_values_give_one_line_per_record(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    directory = tmp_path_factory.mktemp("rows")
    payloads = [person(**row, person_id=f"P{number}") for number, row in enumerate(rows)]
    for payload in payloads:
        assert all_delivered(CsvSink(directory).deliver([payload]))
    if payloads:
        path = directory / "Invalid_People.csv"
        assert path.read_bytes().count(b"\n") == len(rows) + 1
        written = csv_rows(path)
        assert [row["Person ID"] for row in written] == [f"P{number}" for number in range(len(rows))]
        assert not [row for row in written if row["Full Name"].startswith(("=", "@"))]
