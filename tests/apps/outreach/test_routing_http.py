"""The sink that posts: a real HTTP server that answers, refuses, hangs up or stays silent."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from phasegate.apps.outreach.routing import (
    Delivery,
    DeliveryOutcome,
    HttpSink,
)
from phasegate.errors import InputError
from tests.apps.outreach.routing_cases import (
    all_delivered,
    company,
    people,
    person,
)


@dataclass
class Peer:
    """A real server that answers with the given codes, one per request, the last one again and again."""

    url: str = ""
    codes: list[int] = field(default_factory=lambda: [200])
    hold: threading.Event = field(default_factory=threading.Event)
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> int:
        self.requests.append((path, headers, body))
        code = self.codes.pop(0) if len(self.codes) > 1 else self.codes[0]
        if code == 0:
            self.hold.wait()
        return code or 200


@pytest.fixture
def peer() -> Iterator[Peer]:
    state = Peer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            code = state.answer(self.path, dict(self.headers), body)
            if code == 1:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(code)
            self.send_header("Content-Length", "0")
            if 300 <= code < 400:
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """The server's own log is of no interest."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that hung up is part of the test."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    state.hold.set()
    server.shutdown()
    thread.join()
    server.server_close()


def secret_url(peer: Peer) -> str:
    return peer.url.replace("http://", "http://user:password1@") + "/hook/path-secret?token=query-secret"


def free_of_secrets(deliveries: list[Delivery]) -> bool:
    text = " ".join(delivery.message for delivery in deliveries)
    return not [word for word in ("password1", "user", "secret", "token") if word in text]


def test_http_posts_every_payload_as_json(peer: Peer) -> None:
    with HttpSink(secret_url(peer)) as sink:
        deliveries = sink.deliver([person(), company()])
    assert all_delivered(deliveries)
    assert [delivery.message for delivery in deliveries] == [f"{peer.url} answered 200"] * 2
    assert [json.loads(body) for _, _, body in peer.requests] == [person().to_json(), company().to_json()]
    path, headers, _ = peer.requests[0]
    assert path == "/hook/path-secret?token=query-secret"
    assert headers["Authorization"].startswith("Basic ")
    assert headers["Content-Type"] == "application/json"
    assert headers["Idempotency-Key"] == person().dedup_key


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (200, DeliveryOutcome.DELIVERED),
        (201, DeliveryOutcome.DELIVERED),
        (204, DeliveryOutcome.DELIVERED),
        (302, DeliveryOutcome.PERMANENT),
        (400, DeliveryOutcome.PERMANENT),
        (404, DeliveryOutcome.PERMANENT),
        (429, DeliveryOutcome.PERMANENT),
        (500, DeliveryOutcome.RETRYABLE),
        (503, DeliveryOutcome.RETRYABLE),
    ],
)
def test_http_answers(peer: Peer, code: int, outcome: DeliveryOutcome) -> None:
    peer.codes = [code]
    with HttpSink(secret_url(peer)) as sink:
        deliveries = sink.deliver([person()])
    assert deliveries == [Delivery(person().dedup_key, outcome, f"{peer.url} answered {code}")]
    assert len(peer.requests) == 1


def test_http_one_bad_payload_does_not_hold_up_the_others(peer: Peer) -> None:
    peer.codes = [200, 422, 500, 200]
    with HttpSink(peer.url) as sink:
        deliveries = sink.deliver(people(4))
    assert [delivery.outcome.value for delivery in deliveries] == ["delivered", "permanent", "retryable", "delivered"]


def test_http_a_peer_that_does_not_answer(peer: Peer) -> None:
    peer.codes = [0]
    with HttpSink(secret_url(peer), timeout=0.1) as sink:
        deliveries = sink.deliver(people(2))
    message = f"{peer.url} did not answer within 0.1 seconds"
    assert [(delivery.outcome.value, delivery.message) for delivery in deliveries] == [("retryable", message)] * 2
    assert len(peer.requests) == 2


def test_http_a_peer_that_hangs_up(peer: Peer) -> None:
    peer.codes = [1, 200]
    with HttpSink(secret_url(peer)) as sink:
        deliveries = sink.deliver(people(2))
    assert [delivery.outcome.value for delivery in deliveries] == ["retryable", "delivered"]
    assert "broke the connection off" in deliveries[0].message
    assert free_of_secrets(deliveries)


def test_http_a_port_nobody_listens_at() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can take the port
        port = reserved.getsockname()[1]
        with HttpSink(f"http://user:password1@127.0.0.1:{port}/secret?token=1") as sink:
            deliveries = sink.deliver(people(3))
    assert {delivery.outcome for delivery in deliveries} == {DeliveryOutcome.RETRYABLE}
    assert [delivery.dedup_key for delivery in deliveries] == [payload.dedup_key for payload in people(3)]
    assert deliveries[0].message == f"http://127.0.0.1:{port} cannot be reached (ConnectError)"
    assert free_of_secrets(deliveries)


def test_http_a_client_of_the_callers_stays_open(peer: Peer) -> None:
    with httpx.Client(headers={"X-From": "test"}) as client:
        with HttpSink(peer.url, client=client) as sink:
            assert all_delivered(sink.deliver([person()]))
        assert not client.is_closed
        assert peer.requests[0][1]["X-From"] == "test"
    own = HttpSink(peer.url)
    own.close()
    with pytest.raises(RuntimeError):
        own.deliver([person()])


@pytest.mark.parametrize(
    "url", ["", "acorn.example/hook", "ftp://acorn.example", "http://", "http://a:b@[::1/secret", "https:///secret"]
)
def test_http_an_address_that_is_none_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(InputError) as caught:
        HttpSink(url)
    assert "secret" not in str(caught.value)


def test_http_nothing_secret_in_the_place(peer: Peer) -> None:
    with HttpSink(secret_url(peer)) as sink:
        assert sink.place == peer.url
