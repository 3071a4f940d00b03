"""The files around the code: pins, commands, and nothing that only makes sense on the machine it was written on."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ADDRESS = re.compile(r"\w+://|--(?:extra-)?index-url|--find-links|--trusted-host|^-[fi]\b", re.MULTILINE)
# Where people keep their checkouts. What goes before tells such a path from the middle of a web address.
MACHINE_FOLDER = re.compile(r"(?<![\w.*~})/-])/(?:home|root|Users|mnt|work)/\w")


def tracked() -> list[Path]:
    """The files git has or would take in."""
    # A checkout may belong to somebody else than who runs the tests.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def machine_paths(text: str) -> list[str]:
    here = re.compile(rf"(?<![\w./]){re.escape(str(ROOT))}(?![\w-])")
    return [found.group() for pattern in (MACHINE_FOLDER, here) for found in pattern.finditer(text)]


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make as a person would, also when these tests are themselves run by make."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *arguments], cwd=ROOT, env=environment, check=False, capture_output=True, text=True)


def canonical(requirement: str) -> str:
    """The name in a requirement, in the one spelling that compares equal."""
    name = re.match(r"[\w.-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name.group()).lower()


def pins() -> list[str]:
    return (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", ["constraints.txt", "pyproject.toml", "Makefile", ".ci/run"])
def test_no_file_that_installs_names_an_address(name: str) -> None:
    assert ADDRESS.findall((ROOT / name).read_text(encoding="utf-8")) == []


def test_every_constraint_is_an_exact_pin_and_stands_once() -> None:
    assert [line for line in pins() if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    names = [canonical(line) for line in pins()]
    assert sorted(names) == sorted(set(names))


def test_everything_that_make_installs_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {canonical(each) for each in project["dependencies"] + project["optional-dependencies"]["dev"]}
    assert wanted - {canonical(line) for line in pins()} == set()


def test_no_file_names_a_place_on_a_machine() -> None:
    texts = {path: path.read_bytes().decode("utf-8", errors="replace") for path in tracked()}
    assert ROOT / "pyproject.toml" in texts
    assert {str(path): found for path, text in texts.items() if (found := machine_paths(text))} == {}


@pytest.mark.parametrize("text", ["in " + "/home" + "/someone/x", "cd " + "/Users" + "/someone", str(ROOT)])
def test_a_place_on_a_machine_is_seen(text: str) -> None:
    assert machine_paths(text)


@pytest.mark.parametrize("text", ["https://a.example" + "/home" + "/page", "a" + "/work" + "/b", "$HOME/x"])
def test_other_slashes_are_left_alone(text: str) -> None:
    assert machine_paths(text) == []


def test_make_help_describes_every_command() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = set(re.findall(r"^([a-z][\w-]*):(?!=)", makefile, re.MULTILINE))
    assert {"demo", "test", "format", "lint", "types", "layers", "tests", "docs", "bench", "clean"} <= commands
    described = dict(re.findall(r"^  make (\S+) +(\S.*)$", make("help").stdout, re.MULTILINE))
    assert described.keys() == commands


def test_every_command_is_phony() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    assert set(phony.group(1).split()) == set(re.findall(r"^([a-z][\w-]*):(?!=)", makefile, re.MULTILINE))


def test_make_alone_prints_the_help() -> None:
    alone = make()
    assert alone.returncode == 0
    assert alone.stdout == make("help").stdout


def test_an_old_interpreter_is_refused_with_advice(tmp_path: Path) -> None:
    python = tmp_path / "python-of-old"
    python.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2" && exit 0\nexit 1\n')
    python.chmod(0o755)
    # -W: as if the file had just changed, so that the environment must be renewed.
    refused = make("-W", "constraints.txt", "setup", f"PYTHON={python}")
    assert refused.returncode != 0
    assert "needs Python 3.11 or newer" in refused.stderr
    assert "Python 3.9.2" in refused.stderr
    assert "make PYTHON=python3.11 setup" in refused.stderr


def test_continuous_integration_runs_make_test(tmp_path: Path) -> None:
    stand_in = tmp_path / "make"
    stand_in.write_text('#!/bin/sh\npwd\necho "$@"\nexit 7\n')
    stand_in.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    ran = subprocess.run(
        [ROOT / ".ci" / "run"], cwd=tmp_path, env=environment, check=False, capture_output=True, text=True
    )
    assert ran.stdout.splitlines() == [str(ROOT), "test"]
    assert ran.returncode == 7
