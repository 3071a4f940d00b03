"""Delivering the outbox through a real engine: to files, and to a server that fails first."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from phasegate import Engine, InputError, Registry
from phasegate.apps.outreach.outbox import OUTBOX, FileSink, OutboxReport, deliver_outbox
from phasegate.apps.outreach.projection import project
from phasegate.apps.outreach.routing import Delivery, DeliveryOutcome, HttpSink, Payload, Sink
from phasegate.apps.outreach.schema import create_tables
from phasegate.apps.outreach.tables import failure_outbox
from tests.apps.outreach.pipeline_cases import Clock
from tests.apps.outreach.routing_cases import NOW, company, people


@dataclass
class Outbox:
    """An engine whose registry has a sink, and its clock."""

    engine: Engine
    clock: Clock

    def put(self, *payloads: Payload, tenant: str = "default") -> None:
        rows = [
            {"dedup_key": each.dedup_key, "payload": each.to_json(), "sheet_tab": each.sheet_tab, "tenant": tenant}
            for each in payloads
        ]
        with self.engine.store.writing() as connection:  # type: ignore[attr-defined]
            connection.execute(failure_outbox.insert(), rows)

    def rows(self, *names: str) -> list[tuple[Any, ...]]:
        columns = [failure_outbox.c[name] for name in names]
        return [tuple(row.values()) for row in self.engine.read(sa.select(*columns).order_by(failure_outbox.c.id))]


@contextmanager
def outbox(folder: Path, sink: Sink | None) -> Iterator[Outbox]:
    registry = Registry(OUTBOX, deps=SimpleNamespace(sink=sink))
    registry.projection(project)
    clock = Clock(NOW)
    with Engine(f"sqlite:///{folder / 'outreach.db'}", registry, tenant="default", clock=clock) as engine:
        create_tables(engine)
        yield Outbox(engine, clock)


@dataclass
class Peer:
    """A server that answers with the given codes, one per request, and 200 afterwards."""

    url: str = ""
    codes: list[int] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)


@pytest.fixture
def peer() -> Iterator[Peer]:
    state = Peer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            state.keys.append(self.headers["Idempotency-Key"])
            self.send_response(state.codes.pop(0) if state.codes else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """The server's own log is of no interest."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


class Scripted:
    """A sink that answers as it is told, by key; what it accepts it keeps."""

    def __init__(self, answer: Callable[[Payload], DeliveryOutcome]) -> None:
        self.answer = answer
        self.accepted: list[str] = []
        self.calls: list[list[str]] = []

    def deliver(self, payloads: Sequence[Payload]) -> list[Delivery]:
        self.calls.append([each.dedup_key for each in payloads])
        answers = [(each.dedup_key, self.answer(each)) for each in payloads]
        self.accepted += [key for key, outcome in answers if outcome is DeliveryOutcome.DELIVERED]
        return [Delivery(key, outcome, f"answer: {outcome}") for key, outcome in answers]


def test_an_empty_outbox_is_no_work(tmp_path: Path) -> None:
    with outbox(tmp_path, FileSink(tmp_path / "out")) as made:
        assert deliver_outbox(made.engine) == OutboxReport()
        assert made.engine.find() == []


def test_records_arrive_in_the_files_and_are_marked(tmp_path: Path) -> None:
    with outbox(tmp_path, FileSink(tmp_path / "out")) as made:
        made.put(*people(3), company())
        report = deliver_outbox(made.engine)
        assert (report.total, report.delivered, report.pending, report.failed) == (4, 4, 0, 0)
        assert report.statistics() == {"routed_to_sheets": 4, "webhook_success": 4, "webhook_failed": 0}
        assert made.rows("status", "attempts", "last_error", "delivered_at") == [("delivered", 1, None, NOW)] * 4
    with (tmp_path / "out" / "Invalid_People.csv").open(newline="", encoding="utf-8") as file:
        assert [row["Person ID"] for row in csv.DictReader(file)] == ["P0", "P1", "P2"]
    lines = (tmp_path / "out" / "failures.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["type"] for line in lines] == ["person", "person", "person", "company"]


def test_what_is_delivered_is_not_sent_again(tmp_path: Path) -> None:
    with outbox(tmp_path, FileSink(tmp_path / "out")) as made:
        made.put(*people(2))
        deliver_outbox(made.engine)
        made.put(company())
        assert deliver_outbox(made.engine).total == 1
    assert len((tmp_path / "out" / "failures.jsonl").read_text(encoding="utf-8").splitlines()) == 3


def test_a_record_sent_but_not_marked_is_recognised_by_the_files(tmp_path: Path) -> None:
    FileSink(tmp_path / "out").deliver(people(2))
    with outbox(tmp_path, FileSink(tmp_path / "out")) as made:
        made.put(*people(2))
        assert deliver_outbox(made.engine).delivered == 2
    assert len((tmp_path / "out" / "failures.jsonl").read_text(encoding="utf-8").splitlines()) == 2


def test_a_server_that_fails_twice_gets_the_record_at_the_third_try(tmp_path: Path, peer: Peer) -> None:
    peer.codes = [503, 500]
    with HttpSink(peer.url) as sink, outbox(tmp_path, sink) as made:
        made.put(company())
        report = deliver_outbox(made.engine, wait=0)
        assert (report.delivered, report.pending) == (0, 1)
        assert report.messages == (f"{peer.url} answered 503",)
        made.clock.advance(1.9)
        made.engine.drain()
        assert len(peer.keys) == 1
        made.clock.advance(0.1)
        made.engine.drain()
        assert made.rows("status", "attempts", "last_error") == [("pending", 2, f"{peer.url} answered 500")]
        made.clock.advance(4)
        made.engine.drain()
        assert made.rows("status", "attempts", "last_error") == [("delivered", 3, None)]
    assert peer.keys == [company().dedup_key] * 3


def test_what_did_not_arrive_in_three_tries_is_kept_for_the_next_delivery(tmp_path: Path, peer: Peer) -> None:
    peer.codes = [503] * 3
    with HttpSink(peer.url) as sink, outbox(tmp_path, sink) as made:
        made.put(company())
        deliver_outbox(made.engine, wait=0)
        for _ in range(5):
            made.clock.advance(10)
            made.engine.drain()
        assert made.rows("status", "attempts") == [("pending", 3)]
        assert deliver_outbox(made.engine).delivered == 1
        assert made.rows("status", "attempts") == [("delivered", 4)]


def test_what_is_refused_is_given_up_and_can_be_asked_for_again(tmp_path: Path, peer: Peer) -> None:
    peer.codes = [400]
    with HttpSink(peer.url) as sink, outbox(tmp_path, sink) as made:
        made.put(company())
        report = deliver_outbox(made.engine)
        assert (report.failed, report.statistics()["webhook_failed"]) == (1, 1)
        assert made.rows("status", "last_error") == [("failed", f"{peer.url} answered 400")]
        assert deliver_outbox(made.engine).total == 0
        assert deliver_outbox(made.engine, include_failed=True).delivered == 1


def test_only_what_did_not_arrive_is_tried_again(tmp_path: Path) -> None:
    late = people(5)[3]
    tries = [DeliveryOutcome.RETRYABLE]
    sink = Scripted(
        lambda each: tries.pop() if each.dedup_key == late.dedup_key and tries else DeliveryOutcome.DELIVERED
    )
    with outbox(tmp_path, sink) as made:
        made.put(*people(5))
        report = deliver_outbox(made.engine, wait=0)
        assert (report.delivered, report.pending) == (4, 1)
        made.clock.advance(2)
        made.engine.drain()
        assert [len(call) for call in sink.calls] == [5, 1]
        assert sorted(sink.accepted) == sorted(each.dedup_key for each in people(5))


def test_records_go_together_oldest_first(tmp_path: Path) -> None:
    sink = Scripted(lambda each: DeliveryOutcome.DELIVERED)
    payloads = list(reversed(people(40)))
    with outbox(tmp_path, sink) as made:
        made.put(*payloads)
        deliver_outbox(made.engine)
    assert sink.calls == [[each.dedup_key for each in payloads]]


def test_a_limit_takes_the_oldest(tmp_path: Path) -> None:
    sink = Scripted(lambda each: DeliveryOutcome.DELIVERED)
    with outbox(tmp_path, sink) as made:
        made.put(*people(5))
        assert deliver_outbox(made.engine, limit=2).delivered == 2
        assert [row[0] for row in made.rows("status")] == ["delivered"] * 2 + ["pending"] * 3


def test_a_sink_that_raises_loses_nothing(tmp_path: Path) -> None:
    def explode(payload: Payload) -> DeliveryOutcome:
        raise RuntimeError("a defect in the sink")

    with outbox(tmp_path, Scripted(explode)) as made:
        made.put(*people(2))
        report = deliver_outbox(made.engine, wait=0)
        assert (report.pending, report.messages) == (2, ("a defect in the sink",))


def test_a_dry_run_tells_nobody_and_changes_nothing(tmp_path: Path) -> None:
    sink = Scripted(lambda each: DeliveryOutcome.DELIVERED)
    with outbox(tmp_path, sink) as made:
        made.put(*people(2))
        report = deliver_outbox(made.engine, dry_run=True)
        assert (report.total, report.delivered, report.pending, report.dry_run) == (2, 0, 2, True)
        assert report.statistics() == {"routed_to_sheets": 0, "webhook_success": 0, "webhook_failed": 0}
        assert sink.calls == []
        assert made.rows("status", "attempts") == [("pending", 0)] * 2
        assert made.engine.find() == []


def test_without_a_sink_there_is_nowhere_to_deliver_to(tmp_path: Path) -> None:
    with outbox(tmp_path, None) as made:
        made.put(company())
        with pytest.raises(InputError, match="nowhere"):
            deliver_outbox(made.engine)
        assert made.rows("status", "attempts") == [("pending", 0)]


def test_records_of_another_tenant_stay(tmp_path: Path) -> None:
    sink = Scripted(lambda each: DeliveryOutcome.DELIVERED)
    with outbox(tmp_path, sink) as made:
        made.put(company(), tenant="other")
        assert deliver_outbox(made.engine).total == 0
        assert sink.calls == []


def test_a_file_that_cannot_be_written_leaves_the_record_pending(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("this is a file, not a directory", encoding="utf-8")
    with outbox(tmp_path, FileSink(tmp_path / "out")) as made:
        made.put(company())
        assert deliver_outbox(made.engine, wait=0).pending == 1
