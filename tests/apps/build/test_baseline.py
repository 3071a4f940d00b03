"""Only what is worse than before counts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.build.health.baseline import Baseline, Delta, compare, judge, severity
from phasegate.apps.build.health.testreports import Report


def pytest_of(*failing: str, collection: tuple[str, ...] = (), collected: int = 20, exit: int | None = None) -> Report:
    code = exit if exit is not None else 2 if collection else 1 if failing else 0
    return Report("pytest", code, tuple(sorted(failing)), collection, collected)


GREEN, RED = Report("unknown", 0), Report("unknown", 1)
SLOW = Report("unknown", None, timed_out=True)
GONE = Report("unknown", None, missing="x is not installed")


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "none"),
        (1, "low"),
        (2, "medium"),
        (4, "medium"),
        (5, "high"),
        (9, "high"),
        (10, "critical"),
        (99, "critical"),
    ],
)
def test_severity_goes_by_the_number_of_newly_failing_tests(count: int, expected: str) -> None:
    assert severity(count) == expected
    failing = tuple(f"t{n:03}" for n in range(count))
    verdict = judge(compare(pytest_of(), pytest_of(*failing)))
    assert (verdict.status, verdict.severity, verdict.regressions) == ("fail" if count else "pass", expected, failing)


def test_a_red_baseline_fails_nothing_and_a_new_failure_does() -> None:
    assert judge(compare(pytest_of("a", "b"), pytest_of("a", "b"))).status == "pass"
    assert judge(compare(pytest_of("a", "b"), pytest_of("b"))).status == "pass"
    assert compare(pytest_of("a", "b"), pytest_of("b")) == Delta()
    verdict = judge(compare(pytest_of("a", "b"), pytest_of("b", "c")))
    assert (verdict.status, verdict.regressions) == ("fail", ("c",))


def test_without_a_baseline_every_failure_is_new() -> None:
    assert judge(compare(None, pytest_of("a"))).status == "fail"
    assert judge(compare(GONE, pytest_of("a"))).status == "fail"
    assert judge(compare(None, pytest_of())).status == "pass"


def test_what_fails_once_is_flaky_and_what_fails_twice_is_not() -> None:
    first = compare(pytest_of("old"), pytest_of("old", "a", "b"))
    verdict = judge(first, compare(pytest_of("old"), pytest_of("old", "b")))
    assert (verdict.status, verdict.regressions, verdict.flaky, verdict.severity) == ("fail", ("b",), ("a",), "low")
    mild = judge(first, compare(pytest_of("old"), pytest_of("old", "c")))
    assert (mild.status, mild.regressions, mild.flaky) == ("warn", (), ("a", "b", "c"))


def test_a_new_import_error_is_critical_and_an_old_one_is_not_charged() -> None:
    old, new = pytest_of(collection=("b.py",)), pytest_of(collection=("a.py", "b.py"))
    verdict = judge(compare(old, new))
    assert (verdict.status, verdict.severity, verdict.regressions) == ("fail", "critical", ("a.py",))
    assert judge(compare(old, old)).status == "pass"
    assert judge(compare(pytest_of(), old)).severity == "critical"


def test_tests_that_an_import_error_hid_are_not_charged() -> None:
    hidden = judge(compare(pytest_of(collection=("b.py",)), pytest_of("a")))
    assert (hidden.status, hidden.regressions) == ("warn", ())
    unittest = Report("unittest", 1, (), ("b",), 5)
    assert judge(compare(unittest, Report("unittest", 1, ("a",), ("b",), 5))).status == "fail"


def test_no_tests_where_there_were_some_is_a_failure() -> None:
    assert judge(compare(pytest_of(), pytest_of(collected=0, exit=5))).status == "fail"
    assert judge(compare(pytest_of(collected=0, exit=5), pytest_of(collected=0, exit=5))).status == "pass"
    assert judge(compare(None, pytest_of(collected=0, exit=5))).status == "pass"


def test_fewer_tests_are_worth_a_word() -> None:
    verdict = judge(compare(pytest_of(collected=20), pytest_of(collected=19)))
    assert (verdict.status, verdict.message) == ("warn", "1 tests fewer than before")
    assert judge(compare(pytest_of(collected=20), pytest_of(collected=21))).status == "pass"


@pytest.mark.parametrize(
    ("before", "after", "status"),
    [
        (GREEN, GREEN, "pass"),
        (GREEN, RED, "fail"),
        (RED, RED, "warn"),
        (RED, GREEN, "pass"),
        (None, RED, "fail"),
        (None, GREEN, "pass"),
        (GREEN, SLOW, "fail"),
        (SLOW, SLOW, "warn"),
        (SLOW, RED, "warn"),
        (RED, SLOW, "fail"),
        (None, SLOW, "fail"),
        (GREEN, GONE, "fail"),
        (RED, GONE, "fail"),
        (GONE, GONE, "skip"),
        (None, GONE, "skip"),
        (GONE, RED, "fail"),
        (GONE, GREEN, "pass"),
        (pytest_of("a"), RED, "fail"),
        (pytest_of(), RED, "fail"),
        (RED, pytest_of("a"), "warn"),
        (GREEN, pytest_of("a"), "fail"),
        (pytest_of("a"), SLOW, "fail"),
        (SLOW, pytest_of("a"), "warn"),
        (RED, pytest_of(collection=("a",)), "pass"),
    ],
    ids=range(24),
)
def test_of_a_runner_that_names_nothing_only_the_exit_code_counts(
    before: Report | None, after: Report, status: str
) -> None:
    assert judge(compare(before, after)).status == status


def test_a_runner_that_fails_without_a_failing_test_counts() -> None:
    assert judge(compare(pytest_of(), pytest_of(exit=1))).status == "fail"
    assert judge(compare(pytest_of(exit=1), pytest_of(exit=1))).status == "pass"


def test_a_command_that_fails_as_a_whole_only_once_is_a_warning() -> None:
    assert judge(compare(GREEN, RED), compare(GREEN, GREEN)).status == "warn"
    assert judge(compare(GREEN, RED), compare(GREEN, RED)).status == "fail"


NAMES = st.sets(st.sampled_from("abcdefghijklmno"), max_size=15)


@given(NAMES, NAMES, NAMES)
@settings(max_examples=100)
def test_verdicts_are_sorted_and_only_about_what_is_new_and_lasting(
    old: set[str], new: set[str], again: set[str]
) -> None:
    before = pytest_of(*old)
    first, second = compare(before, pytest_of(*new)), compare(before, pytest_of(*again))
    verdict = judge(first, second)
    assert set(verdict.regressions) == (new & again) - old
    assert set(verdict.flaky) == (new ^ again) - old if first.failing or second.failing else not verdict.flaky
    assert list(verdict.regressions) == sorted(verdict.regressions)
    assert (verdict.status == "fail") == bool(verdict.regressions)
    assert first.regressed == bool(new - old)
    assert judge(compare(before, before)) == judge(Delta())


def test_a_baseline_survives_json_advances_and_has_one_id() -> None:
    baseline = Baseline({"b": pytest_of("x"), "a": RED})
    again = Baseline.from_told(json.loads(json.dumps(baseline.told())))
    assert again == baseline
    assert again.id == baseline.id == Baseline({"a": RED, "b": pytest_of("x")}).id
    later = baseline.advanced({"b": pytest_of(), "a": GONE})
    assert later.reports == {"a": RED, "b": pytest_of()}
    assert later.id != baseline.id
    assert baseline.reports["b"] == pytest_of("x")
