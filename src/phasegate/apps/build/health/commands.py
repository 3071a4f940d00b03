"""Running the caller's commands: without a shell, with little environment, a time limit and a limit of output.

A command is a list of arguments. It runs in a session of its own, and all that it started is killed when it ends or takes too
long. What tools keep for themselves (caches, compiled files) goes to a folder that is removed afterwards. Needs a POSIX system.
"""

from __future__ import annotations

import math
import os
import re
import selectors
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from phasegate.apps.build.errors import SpecError, one_line
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import Command, digest
from phasegate.llm import redact

#: What of the environment a command gets, as names and beginnings of names.
_KEPT = frozenset({"PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP", "VIRTUAL_ENV", "SYSTEMROOT"})
_KEPT_BEGINNINGS = ("PYTHON", "LC_")
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH|COOKIE|SESSION", re.IGNORECASE)
#: What means something to a shell. It is refused in a string, since nobody interprets it here.
_FOR_A_SHELL = frozenset("|&;<>()$`\\\n\r{}[]*?~!#\0")
_CHUNK = 65_536
#: Characters of a command's name.
_NAME = 80
_TICK = 0.05
_PATIENCE = 1.0


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended. ``exit`` is None when it did not start (``missing`` says why) or was killed for its time.

    ``output`` is what it wrote to both streams; of a long output the end.
    """

    exit: int | None
    output: str = ""
    timed_out: bool = False
    missing: str | None = None
    shortened: bool = False

    @property
    def ok(self) -> bool:
        """Whether it ran to its end and was content."""
        return self.exit == 0


def named(argv: Sequence[str], timeout: float) -> Command:
    """A test command under a name by which it is told from all others, and that fits on a line."""
    words = " ".join(argv)
    name = words if len(words) <= _NAME else f"{words[: _NAME - 10]} {digest(list(argv))[:8]}"
    return Command(tuple(argv), timeout, name)


def parse_command(given: object, *, timeout: float = 300.0, name: str = "tests") -> Command:
    """The command a caller means by a list of arguments or by a string of plain words; raises ``SpecError`` (E_SPEC_COMMAND).

    A string is split like words on a command line, quotes included, but must not contain anything that a shell would interpret.
    """
    if isinstance(given, Command):
        return given
    argv = _words(given) if isinstance(given, str) else given
    if not isinstance(argv, Sequence) or not all(isinstance(each, str) for each in argv):
        raise _refused("a command is a list of strings, or a string")
    if not argv or not argv[0].strip():
        raise _refused("the command is empty")
    if any("\0" in each for each in argv):
        raise _refused("the command contains a NUL character")
    if not (math.isfinite(timeout) and timeout > 0):
        raise _refused("the time limit of a command is a positive number of seconds")
    return Command(tuple(argv), float(timeout), name)


def _words(text: str) -> list[str]:
    found = sorted(_FOR_A_SHELL.intersection(text))
    if found:
        shown = " ".join(repr(each) for each in found)
        raise _refused(f"{shown} would need a shell, and none is used; give the command as a list of arguments")
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise _refused(f"the command cannot be split into words: {error}") from error
    if words and "=" in words[0]:
        raise _refused("variables cannot be set in front of a command; there is no shell")
    return words


def _refused(cause: str) -> SpecError:
    return SpecError("E_SPEC_COMMAND", cause)


def run(
    command: Command, cwd: Path, policy: Policy | None = None, *, stopped: Callable[[], bool] = lambda: False
) -> CommandResult:  # fmt: skip
    """Run the command in a folder and wait for it, at most for its time limit. Never raises for what the command does.

    ``stopped`` is asked many times a second whether nobody waits for it any more; it is killed then, as when its time is over.
    """
    policy = policy or Policy()
    with tempfile.TemporaryDirectory(prefix="phasegate-", ignore_cleanup_errors=True) as scratch:
        environment = reduced_environment(os.environ, scratch)
        program = _program(command.argv[0], cwd, environment.get("PATH", os.defpath))
        if program is None:
            return CommandResult(None, missing=f"{one_line(command.argv[0])} is not installed")
        begun = time.monotonic()
        try:
            process = subprocess.Popen(
                [program, *command.argv[1:]], cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            cause = getattr(error, "strerror", None) or type(error).__name__
            return CommandResult(None, missing=f"{one_line(command.argv[0])} cannot be started: {cause}")
        return _watch(process, begun + _limit(command, policy), policy.max_output_bytes, stopped)


def reduced_environment(given: Mapping[str, str], scratch: str) -> dict[str, str]:
    """The environment of a command: what programs need to start, nothing that looks like a secret, and caches in ``scratch``."""
    kept = {
        k: v for k, v in given.items() if (k in _KEPT or k.startswith(_KEPT_BEGINNINGS)) and not _SECRET_NAME.search(k)
    }
    kept = {k: v for k, v in kept.items() if k == "PATH" or redact(v) == v}
    # A relative entry would make the repository's own files commands.
    kept["PATH"] = os.pathsep.join(p for p in kept.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(p))
    return {
        **kept,
        "PYTHONDONTWRITEBYTECODE": "1",
        # The summary of failures is what the report is read from.
        "PYTEST_ADDOPTS": f"-rfE -o {shlex.quote(f'cache_dir={scratch}/pytest')}",
        "MYPY_CACHE_DIR": f"{scratch}/mypy",
        "RUFF_CACHE_DIR": f"{scratch}/ruff",
        "COVERAGE_FILE": f"{scratch}/coverage",
        "HYPOTHESIS_STORAGE_DIRECTORY": f"{scratch}/hypothesis",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "NO_COLOR": "1",
    }


def is_installed(name: str) -> bool:
    """Whether a program can be found; of one in the repository nobody knows before the phase is done."""
    return (
        "/" in name or _program(name, Path(), reduced_environment(os.environ, "").get("PATH", os.defpath)) is not None
    )


def _program(name: str, cwd: Path, path: str) -> str | None:
    if "/" in name:
        there = cwd / name
        return str(there) if there.is_file() else None
    return shutil.which(name, path=path)


def _limit(command: Command, policy: Policy) -> float:
    return command.timeout if math.isfinite(command.timeout) and command.timeout > 0 else policy.test_timeout


def _watch(
    process: subprocess.Popen[bytes], deadline: float, most: int, stopped: Callable[[], bool]
) -> CommandResult:  # fmt: skip
    """Read until the command has ended or its time is over, then kill whatever it left behind."""
    tail = _Tail(most)
    try:
        timed_out = not _read_until_end(process, deadline, tail, stopped)
    finally:
        # Before the leader is reaped, so that the number still belongs to this group.
        _kill_group(process)
        code = process.wait()
        _wait_for_group(process.pid)
        if process.stdout is not None:
            process.stdout.close()
    return CommandResult(None if timed_out else code, tail.text(), timed_out, shortened=tail.shortened)


def _read_until_end(
    process: subprocess.Popen[bytes], deadline: float, tail: _Tail, stopped: Callable[[], bool]
) -> bool:  # fmt: skip
    """Whether the command ended by itself before the deadline, and before it was stopped. A child that keeps the stream open is
    not waited for."""
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        is_open = True
        while (left := deadline - time.monotonic()) > 0 and not stopped():
            if is_open and selector.select(min(_TICK, left)):
                is_open = _take(process, tail)
            elif not is_open:
                time.sleep(min(_TICK, left))
            if _ended(process):
                while is_open and selector.select(0):
                    is_open = _take(process, tail)
                return True
    return False


def _take(process: subprocess.Popen[bytes], tail: _Tail) -> bool:
    """Read what is there; whether more may come."""
    assert process.stdout is not None
    try:
        data = os.read(process.stdout.fileno(), _CHUNK)
    except BlockingIOError:
        return True
    tail.add(data)
    return bool(data)


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process is over, without taking its number away where the system allows that."""
    if not hasattr(os, "waitid"):
        return process.poll() is not None
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        # Nothing of it is left (macOS says "not permitted" of a group of zombies).
        pass


def _wait_for_group(group: int) -> None:
    """Wait a moment until what was killed is gone, so that it writes nothing any more.

    Not for long: where nobody collects orphans, the dead stay in the group.
    """
    deadline = time.monotonic() + _PATIENCE
    try:
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(_TICK / 5)
    except (ProcessLookupError, PermissionError):
        pass


class _Tail:
    """The end of a stream of bytes."""

    def __init__(self, most: int) -> None:
        self._most, self._size = most, 0
        self._chunks: deque[bytes] = deque()
        self.shortened = False

    def add(self, data: bytes) -> None:
        """Add bytes, and let go of those that are too old."""
        self._chunks.append(data)
        self._size += len(data)
        while self._size - len(self._chunks[0]) >= self._most:
            self._size -= len(self._chunks.popleft())
            self.shortened = True

    def text(self) -> str:
        """The text, without bytes that are no UTF-8."""
        data = b"".join(self._chunks)
        if len(data) > self._most:
            self.shortened, data = True, data[-self._most :]
        return data.decode("utf-8", "replace")
