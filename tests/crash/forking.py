"""Processes that start at once: forked from one that has imported everything and has no threads.

``python -m tests.crash.forking MODULE SECONDS`` is that one; ``Forks`` talks to it. A fork runs ``main(*arguments)`` of the
module; SIGALRM ends it after so many seconds (0: never).
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]
#: What a program imports when it is needed: most of the time of a short life, were it done in every fork.
LATER = (
    "phasegate.store.sqlite", "phasegate.store.postgres", "sqlalchemy.orm", "sqlalchemy.dialects.sqlite",
    "sqlalchemy.dialects.postgresql.psycopg", "psycopg", "structlog", "structlog.stdlib",
)  # fmt: skip


class Forks:
    """Starts and ends processes that run ``main`` of a module, for at most ``within`` seconds each if it is not 0; those
    still alive at the end of the block are killed."""

    def __init__(self, module: str, *, within: int = 0) -> None:
        self._alive: set[int] = set()
        # Settings of whoever runs the tests would change what the processes do.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PHASEGATE_")}
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.forking", module, str(within)], cwd=ROOT, env=environment,
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def start(self, *arguments: Any) -> int:
        """The id of a new process with these arguments."""
        pid = int(self._ask(["start", *arguments]))
        self._alive.add(pid)
        return pid

    def wait(self, pid: int) -> int:
        """The exit code of a process, once it has ended; negative for a signal."""
        code = int(self._ask(["wait", pid]))
        self._alive.discard(pid)
        return code

    def kill(self, pid: int) -> None:
        """Kill a process; nothing of it runs any more afterwards."""
        os.kill(pid, signal.SIGKILL)
        assert self.wait(pid) == -signal.SIGKILL, f"process {pid} had ended by itself"

    def run(self, *arguments: Any) -> int:
        """The exit code of a new process."""
        return self.wait(self.start(*arguments))

    def _ask(self, request: list[Any]) -> str:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        print(json.dumps(request), file=self._server.stdin, flush=True)
        return self._server.stdout.readline()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in list(self._alive):
            os.kill(pid, signal.SIGKILL)
        self._server.communicate()


def serve(module: str, within: int) -> None:
    """Fork and wait as told, until nobody is there to tell."""
    program = importlib.import_module(module)
    for name in LATER:
        importlib.import_module(name)
    assert threading.active_count() == 1, "a fork has only the thread that forked: locks of others would stay locked"
    gc.freeze()  # what is there already need not be looked through, and so not be copied, in every fork
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        print(_start(program, arguments, within) if command == "start" else _wait(arguments[0]), flush=True)


def _wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _start(program: Any, arguments: list[Any], within: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.alarm(within)
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # the server's answers are not disturbed
        program.main(*arguments)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
