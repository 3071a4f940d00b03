"""Whatever words an executor uses for success and failure, it is understood in one way."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.discovery import PhaseResult
from phasegate.apps.discovery.results import PhaseOutcome, outcome_of


class Word(Enum):
    GOOD = "completed"
    BAD = "failed"


#: What executors say when they failed.
FAILURES: dict[str, dict[str, Any]] = {
    "failed": {"status": "failed"},
    "error as status": {"status": "error"},
    "failure": {"status": "FAILURE "},
    "cancelled": {"status": "cancelled"},
    "aborted": {"status": "aborted"},
    "timeout": {"status": "timeout"},
    "only an error": {"error": "x"},
    "only an error message": {"error_message": "x"},
    "no success": {"success": False},
    "no success as text": {"success": "False"},
    "no success as number": {"success": 0},
    "status against error": {"status": "completed", "error": "x"},
    "status against success": {"status": "success", "success": False},
    "an unknown word": {"status": "fine, I suppose"},
    "false as status": {"status": False},
    "a number as status": {"status": 0},
    "a list as status": {"status": ["completed"]},
    "a word of an enumeration": {"status": Word.BAD},
}
SUCCESSES: dict[str, Any] = {
    "success": {"status": "success"},
    "completed": {"status": "completed"},
    "complete": {"status": " Complete "},
    "done": {"status": "done"},
    "ok": {"status": "ok"},
    "only success": {"success": True},
    "without an error": {"status": "success", "error": None, "error_message": ""},
    "nothing of it": {"assets_created": 3},
    "empty": {},
    "nothing": None,
    "text": "failed",
    "a list": [{"status": "failed"}],
    "a word of an enumeration": {"status": Word.GOOD},
}
WAITING = {
    "paused": PhaseOutcome.PAUSED, "waiting": PhaseOutcome.WAITING, "waiting_for_approval": PhaseOutcome.WAITING,
    "already_running": PhaseOutcome.ALREADY_RUNNING,
}  # fmt: skip
_failures = pytest.mark.parametrize("said", FAILURES.values(), ids=FAILURES)
_wrappers = pytest.mark.parametrize("wrapper", ["crew_results", "result", "results"])


@_failures
def test_every_way_to_say_failure_is_failure_with_a_reason(said: dict[str, Any]) -> None:
    outcome, error = outcome_of(said)
    assert outcome is PhaseOutcome.FAILED
    assert error
    assert error == "x" or "x" not in said.values()


@pytest.mark.parametrize("said", SUCCESSES.values(), ids=SUCCESSES)
def test_every_way_to_say_success_is_success_without_an_error(said: Any) -> None:
    assert outcome_of(said) == (PhaseOutcome.COMPLETED, None)
    assert outcome_of({"status": "completed", "crew_results": said}) == (PhaseOutcome.COMPLETED, None)


@_wrappers
@_failures
def test_a_failure_in_a_wrapper_that_says_completed_is_a_failure(wrapper: str, said: dict[str, Any]) -> None:
    inner = outcome_of(said)
    wrapped: dict[str, Any] = {"phase": "asset_inventory", "status": "completed", "success": True, wrapper: said}
    assert outcome_of(wrapped) == inner
    assert outcome_of({"result": wrapped}) == inner


@_wrappers
@pytest.mark.parametrize("word", WAITING)
def test_a_wrapper_that_says_completed_does_not_end_a_phase_that_waits(wrapper: str, word: str) -> None:
    assert outcome_of({"status": word}) == (WAITING[word], None)
    assert outcome_of({"status": word, "success": False}) == (WAITING[word], None)  # it is not complete
    assert outcome_of({"status": "completed", wrapper: {"status": word}}) == (WAITING[word], None)
    both = {"status": word, wrapper: {"status": "completed"}}
    assert outcome_of(both) == (WAITING[word], None)
    assert outcome_of(both | {"data": {"success": False}})[0] is PhaseOutcome.FAILED


def test_the_reason_of_the_outermost_failure_is_told() -> None:
    assert outcome_of({"status": "error", "message": "no agent", "result": {"error": "deeper"}})[1] == "no agent"
    assert outcome_of({"result": {"status": "failed", "error": {"code": 7}}})[1] == "{'code': 7}"


def test_a_status_in_the_data_that_is_no_word_for_an_outcome_says_nothing() -> None:
    asset = {"name": "web-1", "status": "discovered"}
    assert outcome_of({"status": "success", "data": asset}) == (PhaseOutcome.COMPLETED, None)
    assert outcome_of({"status": "success", "data": {"status": "failed"}})[0] is PhaseOutcome.FAILED


def test_skipped_is_a_success_of_its_own() -> None:
    assert outcome_of({"status": "skipped"}) == (PhaseOutcome.SKIPPED, None)
    assert PhaseResult(phase="tech_debt_assessment", status=PhaseOutcome.SKIPPED).success


_KEYS = st.sampled_from(["status", "success", "error", "error_message", "message", "crew_results", "result", "data"])
_WORDS = st.sampled_from(["completed", "success", "failed", "error", "paused", "skipped", "odd", ""])
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | _WORDS | st.binary(max_size=2)
_ANYTHING = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS | st.integers(0, 2), inner, max_size=4),
    max_leaves=12,
)


@given(_ANYTHING)
def test_anything_is_understood_and_a_failure_always_has_a_reason(said: Any) -> None:
    outcome, error = outcome_of(said)
    assert isinstance(outcome, PhaseOutcome)
    assert (outcome is PhaseOutcome.FAILED) == bool(error)
    result = PhaseResult(phase="data_import", status=outcome, error=error)
    assert result.success == (outcome in (PhaseOutcome.COMPLETED, PhaseOutcome.SKIPPED))
    # What is told of it is understood in the same way when it comes back.
    assert outcome_of(result.to_dict()) == (outcome, error)


@given(_ANYTHING, _ANYTHING)
def test_no_wrapper_makes_a_failure_a_success(said: Any, more: Any) -> None:
    wrapped = {"status": "completed", "crew_results": said, "data": more}
    if outcome_of(said)[0] is PhaseOutcome.FAILED:
        assert outcome_of(wrapped)[0] is PhaseOutcome.FAILED
    if outcome_of(wrapped)[0] is PhaseOutcome.COMPLETED:
        assert outcome_of(said)[0] in (PhaseOutcome.COMPLETED, PhaseOutcome.SKIPPED)


def test_nesting_without_end_is_understood_too() -> None:
    endless: dict[str, Any] = {"status": "success"}
    endless["result"] = endless
    assert outcome_of(endless) == (PhaseOutcome.COMPLETED, None)


@pytest.mark.parametrize("status", list(PhaseOutcome), ids=[each.value for each in PhaseOutcome])
def test_success_agrees_with_the_status_and_a_failure_has_an_error(status: PhaseOutcome) -> None:
    result = PhaseResult(phase="data_import", status=status)
    told = result.to_dict()
    assert (told["status"], told["success"]) == (status.value, status.value in ("completed", "skipped"))
    assert type(told["status"]) is str
    assert bool(told["error"]) == (status is PhaseOutcome.FAILED)
    assert told["warnings"] == []
    assert outcome_of(told) == outcome_of({"result": told}) == (status, told["error"])
    with pytest.raises(AttributeError):
        result.status = PhaseOutcome.COMPLETED  # type: ignore[misc]
