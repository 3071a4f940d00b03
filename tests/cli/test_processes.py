"""Real processes: exit codes and streams, a worker beside the command line, signals, closed pipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from phasegate import Engine, RunStatus, Subject
from tests.cli.conftest import Call
from tests.cli.shop import registry

ROOT = Path(__file__).parent.parent.parent
PROGRAM = [sys.executable, "-m", "phasegate"]
#: Seconds after which a test gives up; nothing is measured by it.
PATIENCE = 60


def environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PHASEGATE_")} | more


def call(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *words], cwd=ROOT, env=environment(**more), capture_output=True, text=True, timeout=PATIENCE
    )


def until(condition: Callable[[], Any]) -> Any:
    """The first true answer."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := condition()):
        assert time.monotonic() < deadline, "it never came to be"
    return answer


@contextmanager
def working(file: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A worker in a process of its own, from its first line on; killed at the end if it still runs."""
    command = [*PROGRAM, "--database", f"sqlite:///{file}", "worker", "--app", "tests.cli.shop:registry", *words]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            if "--json" not in words:
                assert process.stdout
                assert process.stdout.readline().startswith("working on budget, inventory, offer, survey in ")
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def status(cli: Call, subject: str) -> str:
    return str(cli("show", subject, "--json").data["run"]["status"])


def gates(cli: Call, subject: str) -> Any:
    return cli("show", subject, "--json").data["gates"]


def test_the_streams_and_the_exit_codes_are_apart(file: Path) -> None:
    with Engine(f"sqlite:///{file}", registry()) as engine:
        engine.start("offer", Subject("client", "acme"))
    good = call("runs", "--json", PHASEGATE_DATABASE=f"sqlite:///{file}")
    assert (good.returncode, good.stderr) == (0, "")
    assert [run["subject"] for run in json.loads(good.stdout)["runs"]] == ["client:acme"]
    bad = call("show", "nobody", PHASEGATE_DATABASE=f"sqlite:///{file}")
    assert (bad.returncode, bad.stdout, bad.stderr.splitlines()[0]) == (2, "", "error: unknown run 'nobody'")


def test_the_help_imports_neither_the_database_nor_an_application() -> None:
    program = (
        "import sys; from phasegate.cli import main; assert main(['--help']) == 0; assert main(['runs', '--help']) == 0;"
        "found = [name for name in sys.modules if name.startswith(('sqlalchemy', 'phasegate.apps.'))]; assert not found, found"
    )
    ran = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "outreach" in ran.stdout


def test_a_generic_command_imports_no_application(file: Path) -> None:
    Engine(f"sqlite:///{file}").close()
    program = (
        "import sys; from phasegate.cli import main; assert main(['--database', sys.argv[1], 'runs']) == 0;"
        "found = [name for name in sys.modules if name.startswith('phasegate.apps')]; assert not found, found"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, f"sqlite:///{file}"], env=environment(), capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("words", [["--help"], ["flows"], ["flows", "--json"]])
def test_a_reader_who_goes_away_gets_no_traceback(file: Path, words: list[str]) -> None:
    with Engine(f"sqlite:///{file}", registry()) as engine:
        engine.start("offer", Subject("client", "acme"))
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        ran = subprocess.run(
            [*PROGRAM, *words], stdout=closed, stderr=subprocess.PIPE, text=True,
            env=environment(PHASEGATE_DATABASE=f"sqlite:///{file}"),
        )  # fmt: skip
    assert ran.stderr == ""
    assert ran.returncode == (1 if words == ["--help"] else 141)


def test_an_output_that_cannot_be_written_is_said(file: Path) -> None:
    Engine(f"sqlite:///{file}").close()
    with file.open("rb") as only_for_reading:
        ran = subprocess.run(
            [*PROGRAM, "--database", f"sqlite:///{file}", "runs"], stdout=only_for_reading, stderr=subprocess.PIPE,
            text=True, env=environment(),
        )  # fmt: skip
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: OSError: ")
    assert len(ran.stderr.splitlines()) == 1


def test_letters_that_the_terminal_lacks_do_not_stop_the_output(file: Path) -> None:
    with Engine(f"sqlite:///{file}", registry()) as engine:
        engine.start("offer", Subject("client", "caf\u00e9"))
    for words in ([], ["--json"]):
        ran = call("runs", *words, PHASEGATE_DATABASE=f"sqlite:///{file}", PYTHONIOENCODING="ascii")
        assert (ran.returncode, ran.stderr) == (0, "")
        if words:
            assert json.loads(ran.stdout)["runs"][0]["subject"] == "client:caf\u00e9"


@pytest.mark.crash
def test_a_worker_runs_while_the_command_line_decides_pauses_and_retries(cli: Call, file: Path, tmp_path: Path) -> None:
    with Engine(f"sqlite:///{file}", registry()) as engine:
        engine.start("offer", Subject("client", "acme"))
        engine.start("offer", Subject("client", "bolt"), input={"needs_file": str(tmp_path / "paper")})
    with working(file) as process:
        for subject in ("client:acme", "client:bolt"):
            [gate] = until(partial(gates, cli, subject))
            if subject == "client:bolt":
                assert cli("pause", subject).code == 0
                assert status(cli, subject) == "paused"
                assert cli("resume", subject).code == 0
            assert cli("decide", subject, "release", "approved", "--by", "bea", "--seen", gate["seen"]).code == 0
        until(lambda: status(cli, "client:acme") == "succeeded")
        until(lambda: status(cli, "client:bolt") == "failed")
        [one] = cli("workers", "--json").data["workers"]
        assert one["pid"] == process.pid
        (tmp_path / "paper").touch()
        assert cli("retry", "client:bolt").code == 0
        until(lambda: status(cli, "client:bolt") == "succeeded")
        process.send_signal(signal.SIGTERM)
        code, out, err = ended(process)
    assert (code, out) == (0, "stopped by SIGTERM\n")
    assert [line.count("there is no paper") for line in err.splitlines()] == [1, 1]  # warnings: the attempt, the run
    assert cli("workers").out == "No workers.\n"


@pytest.mark.crash
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_worker_cleanly(cli: Call, file: Path, number: signal.Signals) -> None:
    Engine(f"sqlite:///{file}").close()
    with working(file, "--json", "--concurrency", "10") as process:
        until(lambda: cli("workers", "--json").data["workers"])
        process.send_signal(number)
        code, out, err = ended(process)
    assert (code, json.loads(out), err) == (0, {"stopped_by": number.name}, "")
    assert cli("workers", "--json").data == {"workers": []}


@pytest.mark.crash
def test_a_worker_creates_the_database_and_takes_up_what_comes_later(cli: Call, file: Path) -> None:
    with working(file) as process, Engine(f"sqlite:///{file}", registry()) as engine:
        run = engine.start("offer", Subject("client", "late"))
        assert engine.wait(run.id, timeout=PATIENCE).status is RunStatus.WAITING
        process.send_signal(signal.SIGTERM)
        assert ended(process)[0] == 0
    assert cli("history", run.id, "--json").data["history"][-1]["kind"] == "run.parked"
