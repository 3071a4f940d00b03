"""What test commands found, read from what they print. Where it matters the real tools are run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.build.health.commands import CommandResult, run
from phasegate.apps.build.health.testreports import Report, junit_file, read_junit, read_report, shown
from phasegate.apps.build.schema import Command

PYTEST = """
import pytest

def test_good(): pass
def test_bad(): assert 1 == 2
@pytest.mark.parametrize("x", ["a - b", "c"])
def test_named(x): assert x == "c"
@pytest.fixture
def broken(): raise ValueError("no")
def test_error(broken): pass
class TestIn:
    def test_inner(self):
        print("FAILED test_a.py::test_good - a lie")
        assert 0
"""
FAILING = (
    "test_a.py::TestIn::test_inner", "test_a.py::test_bad", "test_a.py::test_error", "test_a.py::test_named[a - b]",
)  # fmt: skip


#: pytest without what is installed beside it, which makes it slow to start.
PLAIN = "import os, sys; os.environ['PYTEST_DISABLE_PLUGIN_AUTOLOAD'] = '1'; import pytest; sys.exit(pytest.main(sys.argv[1:]))"


def pytest_in(folder: Path, *words: str) -> CommandResult:
    return run(Command((sys.executable, "-c", PLAIN, *words)), folder)


def test_pytest_and_its_junit_file_are_read(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(PYTEST)
    words = ("-v", "--color=yes", "--junitxml=report.xml")
    result = pytest_in(tmp_path, *words)
    report = read_report(result)
    assert (report.runner, report.exit, report.failing, report.collection) == ("pytest", 1, FAILING, ())
    assert report.collected == 6
    named = junit_file(words)
    assert named == "report.xml"
    report = read_report(result, (tmp_path / named).read_bytes())
    assert (report.runner, report.exit, report.collected) == ("junit", 1, 6)
    assert report.failing == (
        "test_a.TestIn.test_inner",
        "test_a.test_bad",
        "test_a.test_error",
        "test_a.test_named[a - b]",
    )


def test_quiet_pytest_is_read(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(PYTEST)
    report = read_report(pytest_in(tmp_path, "-q"))
    assert (report.runner, report.exit, report.failing, report.collection) == ("pytest", 1, FAILING, ())
    # It says only how many ran; the one that could not be set up did not.
    assert report.collected == 5


SUBTESTS = """
def test_parts(subtests):
    for n in range(3):
        with subtests.test(msg="part", n=n): assert n != 1
def test_old(): assert 0
"""


@pytest.mark.parametrize("quiet", ["-q", "-qq"])
def test_pytest_with_other_counts_or_without_any_is_read(tmp_path: Path, quiet: str) -> None:
    (tmp_path / "test_a.py").write_text(SUBTESTS)
    report = read_report(pytest_in(tmp_path, quiet))
    assert (report.runner, report.exit, report.collection) == ("pytest", 1, ())
    assert report.failing == ("[part] (n=1) test_a.py::test_parts", "test_a.py::test_old", "test_a.py::test_parts")


def test_of_several_sessions_every_failure_counts(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"test_{name}.py").write_text(f"def test_{name}(): assert 0\n")
    one, other = (pytest_in(tmp_path, f"test_{name}.py") for name in ("a", "b"))
    report = read_report(CommandResult(1, f"{one.output}\nFAILED to say anything\n{other.output}"))
    assert (report.failing, report.collected) == (("test_a.py::test_a", "test_b.py::test_b"), 2)


def test_pytests_collection_errors_are_read(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(PYTEST)
    (tmp_path / "test_b.py").write_text("import no_such_module\n")
    report = read_report(pytest_in(tmp_path))
    assert (report.runner, report.exit, report.failing, report.collection) == ("pytest", 2, (), ("test_b.py",))
    assert report.collected == 6


def test_pytest_without_tests_has_collected_none(tmp_path: Path) -> None:
    report = read_report(pytest_in(tmp_path, "-q"))
    assert (report.runner, report.exit, report.collected) == ("pytest", 5, 0)


UNITTEST = """
import unittest

class Case(unittest.TestCase):
    def test_good(self): pass
    def test_bad(self): self.fail("x")
    def test_error(self): raise ValueError
    def test_parts(self):
        for n in range(2):
            with self.subTest(n=n): self.assertEqual(n, 0)
"""


def test_unittest_is_read(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(UNITTEST)
    (tmp_path / "test_b.py").write_text("import no_such_module\n")
    report = read_report(run(Command((sys.executable, "-m", "unittest")), tmp_path))
    assert (report.runner, report.exit, report.collected, report.collection) == ("unittest", 1, 4, ("test_b",))
    assert report.failing == ("test_a.Case.test_bad", "test_a.Case.test_error", "test_a.Case.test_parts (n=1)")


def test_older_unittests_name_the_class_only() -> None:
    text = "FAIL: test_bad (test_a.Case)\n----\nRan 2 tests in 0.1s\n\nFAILED (failures=1)\n"
    assert read_report(CommandResult(1, text)).failing == ("test_a.Case.test_bad",)


def test_of_another_runner_only_the_exit_code_is_known() -> None:
    report = read_report(CommandResult(1, "FAILED one - two\n3 problems\n"))
    assert (report.runner, report.exit, report.failing, report.collected) == ("unknown", 1, (), None)
    gone = read_report(CommandResult(None, missing="x is not installed"))
    assert (gone.missing, gone.green) == ("x is not installed", False)
    assert read_report(CommandResult(None, timed_out=True)).timed_out


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (("pytest", "--junitxml=a.xml"), "a.xml"),
        (("pytest", "--junit-xml", "b.xml", "-q"), "b.xml"),
        (("pytest", "--junitxml"), None),
        (("pytest", "a.xml"), None),
        ((), None),
    ],
    ids=range(5),
)
def test_a_junit_file_is_one_that_the_command_names(argv: tuple[str, ...], expected: str | None) -> None:
    assert junit_file(argv) == expected


@pytest.mark.parametrize(
    "data",
    [b"", b"<x/>", b"<testsuite", b"\xff\xfe", b'<!DOCTYPE x [<!ENTITY a "b">]><testsuites>&a;</testsuites>', b"{}"],
    ids=range(6),
)
def test_what_is_no_junit_file_does_not_count(data: bytes) -> None:
    assert read_junit(data) is None
    assert read_report(CommandResult(1, "Ran 1 test in 0.1s\n"), data).runner == "unittest"


def test_what_is_shown_is_the_end_without_secrets() -> None:
    text = "\n".join(str(n) for n in range(200)) + "\nAuthorization: Bearer abcdefghijklmnop1234567890\n" + "x" * 1000
    told = shown(text)
    assert len(told.split("\n")) == 80
    assert "abcdefghijklmnop" not in told
    assert len(told.split("\n")[-1]) == 403


KNOWN = (
    "FAILED a.py::t - x",
    "ERROR a.py",
    "===== short test summary info =====",
    "1 failed in 0.1s",
    "Ran 3 tests in 0.1s",
    "FAIL: t (m.C.t)",
    "no tests ran in 0.01s",
    "collected 3 items",
    "ERROR: x (unittest.loader._FailedTest.x)",
    "",
)
WORDS = st.lists(st.sampled_from(KNOWN) | st.text(max_size=20), max_size=12)


@given(WORDS, st.none() | st.binary(max_size=40))
@settings(max_examples=100)
def test_any_output_gives_a_sorted_report_that_survives_json(words: list[str], junit: bytes | None) -> None:
    report = read_report(CommandResult(1, "\n".join(words)), junit)
    assert list(report.failing) == sorted(set(report.failing))
    assert list(report.collection) == sorted(set(report.collection))
    assert Report.from_told(json.loads(json.dumps(report.told()))) == report
