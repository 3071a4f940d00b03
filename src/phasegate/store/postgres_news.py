"""Who has committed: ``LISTEN`` to hear of it, and a bell that is rung after commits.

A ``NOTIFY`` inside a transaction makes all transactions that notify commit one after another, each waiting for the disk. So
the bell is rung afterwards, on a connection of its own, and not more often than anybody could make use of. Should a process
die between its commit and the bell, the others find out when their next look is due.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg

CHANNEL = "phasegate"
#: Seconds between two strokes: what is committed meanwhile is told with the second.
GAP = 0.01
#: Seconds until somebody who could not listen tries again.
TRY_AGAIN = 1.0


class Bell:
    """Tells other processes that something was committed. ``connect`` opens a connection for it, at the first stroke."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]]) -> None:
        self._connect = connect
        self._rung = threading.Event()
        self._closed = False
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def ring(self) -> None:
        """Tell them soon. Costs the caller nothing, and never fails."""
        self._rung.set()
        if self._thread is None:
            self._begin()

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._toll, name="phasegate-bell", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Ring what is to be rung, and stop."""
        with self._lock:
            self._closed = True
            thread = self._thread
        self._rung.set()
        if thread is not None:
            thread.join()

    def _toll(self) -> None:
        connection: psycopg.Connection[Any] | None = None
        while True:
            self._rung.wait()
            self._rung.clear()
            try:
                connection = connection or self._connect()
                connection.execute(f"NOTIFY {CHANNEL}")
            except psycopg.Error:
                if connection is not None:
                    connection.close()
                connection = None  # whoever commits next tries with a new one
            if self._closed:
                break
            time.sleep(GAP)
        if connection is not None:
            connection.close()


class Ear:
    """Hears the bells of all processes, without a query. ``connect`` opens the connection that listens."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None
        self._heard = 0
        self._again_at = 0.0
        self._closed = False

    def heard(self) -> int:
        """A number that rises with every stroke heard, and whenever some may have been missed. Never fails."""
        with self._lock:
            try:
                if self._connection is None:
                    self._listen()
                elif any(True for _ in self._connection.notifies(timeout=0)):
                    self._heard += 1
            except psycopg.Error:
                self._hang_up()
                self._again_at = time.monotonic() + TRY_AGAIN
                self._heard += 1
            return self._heard

    def close(self) -> None:
        """Stop listening, for good: somebody may ask once more on the way out."""
        with self._lock:
            self._closed = True
            self._hang_up()

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _listen(self) -> None:
        if self._closed or time.monotonic() < self._again_at:
            return
        self._connection = self._connect()
        self._connection.execute(f"LISTEN {CHANNEL}")
        self._heard += 1
