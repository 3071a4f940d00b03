"""A provider that does what a script says, over real HTTP.

It speaks the OpenAI chat completions format (at ``/v1/chat/completions``) and the Anthropic messages format (at
``/v1/messages``), whole or streamed as the request wants it. In a test:

    with FakeProvider() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        server.script(Failure(429, headers={"retry-after": "7"}), Answer("hello"))
        ...
        assert [seen.user for seen in server.seen] == ["hi", "hi"]

When the script is over, ``server.respond`` is asked, a function from what was seen to a reply; without one, the server fails
the request and the test, so that an unexpected call is never answered.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.llm.wire import KEY, Answer, Cut, Failure, Hang, Raw, Reply, Seen, events, failure, whole

__all__ = ["KEY", "Answer", "Cut", "Failure", "FakeProvider", "Hang", "Raw", "Reply", "Seen"]


class FakeProvider:
    """The server. ``url`` is its address, ``environment`` what clients find it by, ``seen`` what was asked, on how many
    ``connections``."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.respond: Callable[[Seen], Reply | str] | None = None
        self.unexpected: list[Seen] = []
        self.connections = 0
        self.hanging = threading.Event()  # set when a request hangs
        self._released = threading.Event()
        self._script: deque[Reply] = deque()
        self._lock = threading.Lock()
        self._http = Server(("127.0.0.1", 0), Handler)
        self._http.fake = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), name="fake provider")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._released.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
        if kind is None:
            assert self.unexpected == [], "requests that no script foresaw"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that lead clients here."""
        return {
            "OPENAI_BASE_URL": f"{self.url}/v1",
            "OPENAI_API_KEY": KEY,
            "ANTHROPIC_BASE_URL": self.url,
            "ANTHROPIC_API_KEY": KEY,
        }

    def script(self, *replies: Reply | str) -> None:
        """Add to what will be replied, one request each; a string is an answer."""
        with self._lock:
            self._script.extend(Answer(each) if isinstance(each, str) else each for each in replies)

    def reply(self, seen: Seen) -> Reply:
        """The next reply of the script, or what ``respond`` says."""
        with self._lock:
            self.seen.append(seen)
            if self._script:
                return self._script.popleft()
        if self.respond is not None:
            found = self.respond(seen)
            return Answer(found) if isinstance(found, str) else found
        self.unexpected.append(seen)
        return Failure(400, "the script is over")

    def connected(self) -> None:
        with self._lock:
            self.connections += 1

    def hang(self) -> None:
        self.hanging.set()
        self._released.wait(30)


class Server(ThreadingHTTPServer):
    fake: FakeProvider
    request_queue_size = (
        128  # as many as a test asks at once; the default of 5 resets connections where the machine is slow
    )
    daemon_threads = False  # they are joined when the server is closed, so that no socket stays open

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone away is part of the game."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer leaves in one piece, or whoever waits for it waits for delayed acknowledgements, too
    disable_nagle_algorithm = True
    timeout = 5  # for connections that a client keeps open and forgets
    server: Server

    def setup(self) -> None:
        super().setup()
        self.server.fake.connected()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        seen = Seen(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        reply = self.server.fake.reply(seen)
        if isinstance(reply, Failure):
            self._send(reply.status, failure(reply, seen), headers=reply.headers)
        elif isinstance(reply, Raw):
            self._send(reply.status, reply.body, reply.content_type)
        elif isinstance(reply, Hang):
            self.server.fake.hang()
            self.close_connection = True
        elif isinstance(reply, Cut):
            self._cut(reply, seen)
        elif seen.stream:
            self._stream(events(reply, seen))
        else:
            self._send(200, json.dumps(whole(reply, seen)).encode())

    def _send(
        self, status: int, body: bytes, content_type: str = "application/json", headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {"content-type": content_type, "content-length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, pieces: Iterator[bytes], *, end: bool = True) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        if end:
            self.wfile.write(b"0\r\n\r\n")

    def _cut(self, reply: Cut, seen: Seen) -> None:
        self.close_connection = True
        with suppress(OSError):
            if reply.late and seen.stream:
                pieces = list(events(Answer("this answer is never finished"), seen))
                self._stream(iter(pieces[: len(pieces) // 2]), end=False)
            elif reply.late:
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", "1000")
                self.end_headers()
                self.wfile.write(b'{"id": ')
