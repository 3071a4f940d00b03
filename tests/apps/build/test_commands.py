"""Running commands: no shell, a time limit for the whole family, little environment, no droppings."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from phasegate.apps.build.errors import SpecError
from phasegate.apps.build.health.commands import CommandResult, _Tail, parse_command, reduced_environment, run
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import Command


def python(code: str, cwd: Path, *words: str, timeout: float = 30.0, policy: Policy | None = None) -> CommandResult:
    return run(Command((sys.executable, "-c", code, *words), timeout), cwd, policy)


def test_exit_code_and_both_streams_are_kept(tmp_path: Path) -> None:
    result = python("import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit(3)", tmp_path)
    assert (result.exit, result.output, result.ok, result.timed_out, result.missing) == (
        3,
        "out\nerr\n",
        False,
        False,
        None,
    )
    assert python("", tmp_path).ok


def test_words_are_arguments_and_nothing_is_expanded(tmp_path: Path) -> None:
    words = ("; touch x", "$HOME", "*", "a b", "`id`", "|", "")
    result = python("import sys; print(sys.argv[1:])", tmp_path, *words)
    assert result.output.strip() == repr(list(words))
    assert list(tmp_path.iterdir()) == []


def test_it_runs_in_the_folder_without_input(tmp_path: Path) -> None:
    result = python("import os, sys; print(os.getcwd(), repr(sys.stdin.read()))", tmp_path)
    assert result.output.split()[-2:] == [str(tmp_path.resolve()), "''"]


CHILD = """
import subprocess, sys, time
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(grandchild.pid, flush=True)
time.sleep(600)
"""
FAMILY = """
import subprocess, sys
if sys.argv[1] == "stay":
    subprocess.run([sys.executable, "-c", sys.argv[2]])
first = subprocess.Popen([sys.executable, "-c", sys.argv[2]], stdout=subprocess.PIPE, text=True)
print(first.stdout.readline(), flush=True)
"""
#: pytest without what is installed beside it, which makes it slow to start.
PYTEST = """
import os, sys
os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")
@pytest.mark.parametrize(("how", "timeout"), [("stay", 2.0), ("leave", 30.0)])
def test_the_whole_family_is_gone_afterwards(tmp_path: Path, how: str, timeout: float) -> None:
    result = python(FAMILY, tmp_path, how, CHILD, timeout=timeout)
    assert result.timed_out == (how == "stay")
    assert (result.exit is None) == (how == "stay")
    grandchild = int(result.output.split()[0])
    assert not is_alive(grandchild)


def test_a_child_that_keeps_the_stream_open_is_not_waited_for(tmp_path: Path) -> None:
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); print('done')"
    result = python(code, tmp_path)
    assert (result.exit, result.output, result.timed_out) == (0, "done\n", False)


def test_a_command_that_closes_its_streams_is_still_limited(tmp_path: Path) -> None:
    result = python("import os, time; os.close(1); os.close(2); time.sleep(600)", tmp_path, timeout=0.5)
    assert result.timed_out


def test_of_a_long_output_the_end_is_kept(tmp_path: Path) -> None:
    code = "import sys\nfor n in range(30000): sys.stdout.write(f'{n:09}\\n')"
    result = python(code, tmp_path, policy=Policy(max_output_bytes=1_000))
    assert result.shortened
    assert len(result.output) == 1_000
    assert result.output.endswith("000029999\n")


@pytest.mark.parametrize("sizes", [[10], [4, 4, 4], [1] * 30, [9, 1, 1], [25, 3], []])
def test_the_tail_is_exact_however_the_stream_is_cut(sizes: list[int]) -> None:
    stream = bytes(range(48, 48 + sum(sizes)))
    tail, at = _Tail(10), 0
    for size in sizes:
        tail.add(stream[at : at + size])
        at += size
    assert tail.text() == stream[-10:].decode()
    assert tail.shortened == (len(stream) > 10)


def test_output_that_is_no_text_is_shown_anyway(tmp_path: Path) -> None:
    assert python("import sys; sys.stdout.buffer.write(b'a\\xff\\xfe')", tmp_path).output == "a\ufffd\ufffd"


def test_a_missing_program_is_told_and_not_raised(tmp_path: Path) -> None:
    assert run(Command(("no-such-program-here",)), tmp_path).missing == "no-such-program-here is not installed"
    (tmp_path / "plain").write_text("x")
    assert run(Command(("./plain",)), tmp_path).missing == "./plain cannot be started: Permission denied"
    assert run(Command(("./gone",)), tmp_path).exit is None


def test_a_program_of_the_repository_needs_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "check").write_text("#!/bin/sh\necho here\n")
    (tmp_path / "check").chmod(0o755)
    monkeypatch.setenv("PATH", f".:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    assert run(Command(("check",)), tmp_path).missing
    assert run(Command(("./check",)), tmp_path).output == "here\n"


def test_the_environment_has_what_programs_need_and_no_secrets(tmp_path: Path) -> None:
    given = {
        "PATH": "/usr/bin:.:bin:/bin",
        "HOME": "/somewhere",
        "LANG": "C.UTF-8",
        "LC_ALL": "C",
        "VIRTUAL_ENV": "/v",
        "PYTHONPATH": "src",
        "PYTHON_KEYRING": "x",
        "PYTHONTOKEN": "x",
        "OPENAI_API_KEY": "sk-x",
        "AWS_PROFILE": "p",
        "EDITOR": "vi",
        "LD_PRELOAD": "x",
        "PYTHONURL": "https://user:password=abcdefgh12345678@example.org",
        "GIT_DIR": "/elsewhere",
    }
    made = reduced_environment(given, str(tmp_path))
    assert made["PATH"] == "/usr/bin:/bin"
    assert {"HOME", "LANG", "LC_ALL", "VIRTUAL_ENV", "PYTHONPATH"} <= made.keys()
    assert not made.keys() & {
        "PYTHON_KEYRING",
        "PYTHONTOKEN",
        "OPENAI_API_KEY",
        "AWS_PROFILE",
        "EDITOR",
        "LD_PRELOAD",
        "GIT_DIR",
    }
    assert "password" not in " ".join(made.values())
    assert made["PYTHONDONTWRITEBYTECODE"] == "1"


def test_the_callers_secrets_do_not_reach_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_API_KEY", "very-secret-value")
    assert "very-secret-value" not in python("import os; print(dict(os.environ))", tmp_path).output


def test_a_test_run_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "mod.py").write_text("def one(): return 1\n")
    (tmp_path / "test_it.py").write_text("from mod import one\ndef test_one(): assert one() == 2\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -r N --strict-config\n")
    before = sorted(p.name for p in tmp_path.rglob("*"))
    result = python(PYTEST, tmp_path, "-q", "--lf")
    assert result.exit == 1
    assert "FAILED test_it.py::test_one" in result.output
    assert sorted(p.name for p in tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("given", "argv"),
    [
        ("pytest -q tests", ("pytest", "-q", "tests")), ("pytest -k 'a and b'", ("pytest", "-k", "a and b")),
        (["sh", "-c", "a | b"], ("sh", "-c", "a | b")), (("make", "check"), ("make", "check")), (Command(("x",)), ("x",)),
        ("python -m pytest --maxfail=1", ("python", "-m", "pytest", "--maxfail=1")),
    ],
    ids=range(6),
)  # fmt: skip
def test_a_command_is_words(given: object, argv: tuple[str, ...]) -> None:
    assert parse_command(given).argv == argv


@pytest.mark.parametrize(
    "given",
    [
        "",
        "  ",
        [],
        [""],
        ["  ", "x"],
        None,
        3,
        {"a": 1},
        ["x", 3],
        b"x",
        ["a\0b"],
        "pytest; rm -rf x",
        "pytest && x",
        "a | b",
        "a > b",
        "a < b",
        "a $(b)",
        "a `b`",
        "a $HOME",
        "a &",
        "a\nb",
        "rm *",
        "ls ?",
        "a {b,c}",
        "a ~",
        "a # b",
        "a !b",
        "a \\b",
        "it's",
        "X=1 pytest",
        "pytest 'a;b'",
        "pytest tests/a.py::test[x]",
    ],
    ids=range(32),
)
def test_what_is_no_command_or_needs_a_shell_is_refused(given: object) -> None:
    with pytest.raises(SpecError) as raised:
        parse_command(given)
    assert raised.value.code == "E_SPEC_COMMAND"
    assert not raised.value.retryable


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan")])
def test_a_time_limit_is_mandatory(timeout: float) -> None:
    assert parse_command("pytest").timeout == 300
    with pytest.raises(SpecError):
        parse_command("pytest", timeout=timeout)


def test_a_command_without_a_limit_gets_the_policys(tmp_path: Path) -> None:
    command = Command((sys.executable, "-c", "import time; time.sleep(600)"), float("inf"))
    assert run(command, tmp_path, Policy(test_timeout=0.5)).timed_out
