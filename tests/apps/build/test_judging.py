"""What follows from an attempt, without any model: a table, and what holds for every series of failures."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.build.errors import (
    BudgetError,
    ContentError,
    InvalidJSONError,
    LLMResponseError,
    PhaseExecutorError,
    RefusedError,
    TruncatedResponseError,
)
from phasegate.apps.build.judging import AttemptStatus, Past, Step, judge, next_step
from phasegate.apps.build.metering import transport_error
from phasegate.apps.build.schema import Answer, Change, PhaseSpec
from phasegate.apps.build.stages.asking import first_tier
from phasegate.apps.build.stages.pieces import Rest
from phasegate.llm import LLMError


def end(index: int) -> Step:
    return Step(index, diagnostics=False, escalate=False, terminal=True)


@pytest.mark.parametrize(
    ("index", "most", "status", "escalate", "expected"),
    [
        (0, 3, "COMPLETE", False, end(0)),
        (2, 3, "COMPLETE", True, end(2)),
        (5, 3, "COMPLETE", False, end(5)),
        (2, 3, "FAILED", True, end(3)),
        (0, 1, "TOKEN_ESCALATION", False, end(1)),
        (0, 1, "BLOCKED", False, end(1)),
        (7, 3, "FAILED", False, end(8)),
        (0, 3, "TOKEN_ESCALATION", True, Step(1, diagnostics=False, escalate=False, terminal=False)),
        (1, 3, "TOKEN_ESCALATION", False, Step(2, diagnostics=False, escalate=False, terminal=False)),
        (0, 3, "FAILED", False, Step(1, diagnostics=True, escalate=False, terminal=False)),
        (1, 3, "FAILED", True, Step(2, diagnostics=True, escalate=True, terminal=False)),
        (0, 3, "BLOCKED", False, Step(1, diagnostics=True, escalate=False, terminal=False)),
    ],
)
def test_what_follows_an_attempt_stands_in_a_table(
    index: int, most: int, status: AttemptStatus, escalate: bool, expected: Step
) -> None:
    assert next_step(index, most, status, escalate=escalate) == expected


def error(number: int = 0) -> dict[str, Any]:
    """An error that the model can mend; those of different numbers are different ones."""
    return ContentError("E_SYNTAX", f"problem {'x' * number}", path="a.py").told()


TRUNCATED = TruncatedResponseError("E_TRUNCATED", "cut").told()
TOO_LONG = transport_error(LLMError("prompt_too_long", "too long")).told()
TIMEOUT = transport_error(LLMError("timeout", "too slow")).told()
EMPTY = LLMResponseError("E_FILES_EMPTY", "nothing").told()
BUDGET = BudgetError("E_BUDGET", "spent").told()
REFUSED = RefusedError("E_REFUSED", "cannot").told()


def decide(past: Past, *errors: dict[str, Any], most: int = 10, limit: int = 3, levels: int = 1) -> Any:
    return judge(past, list(errors), max_attempts=most, same_error_limit=limit, growth=1.25, levels=levels)


@pytest.mark.parametrize("kind", ["rate_limited", "timeout", "connection", "server"])
def test_a_bad_moment_of_the_provider_costs_no_attempt_and_is_no_success(kind: Any) -> None:
    verdict = decide(Past(), transport_error(LLMError(kind, "x")).told())
    assert (verdict.again, verdict.reason, verdict.past.used) == (False, "transient", 0)


def test_after_a_provider_that_does_not_work_the_next_model_is_asked_once_each() -> None:
    first = decide(Past(), TIMEOUT, levels=3)
    assert (first.again, first.past.level, first.past.index, first.past.used) == (True, 1, 1, 0)
    second = decide(first.past, TIMEOUT, levels=3)
    assert (second.again, second.past.level) == (True, 2)
    assert decide(second.past, TIMEOUT, levels=3).again is False


@pytest.mark.parametrize("kind", ["auth", "credit_exhausted", "bad_request", "response_type", "content", "cancelled"])
def test_what_no_other_call_mends_is_fatal(kind: Any) -> None:
    told = transport_error(LLMError(kind, "x")).told()
    assert (told["category"], told["retryable"]) == ("fatal", False)
    assert decide(Past(), told, error()).again is False


@pytest.mark.parametrize("fatal", [BUDGET, REFUSED], ids=["budget", "refused"])
def test_one_fatal_error_among_others_ends_the_phase(fatal: dict[str, Any]) -> None:
    assert decide(Past(), error(), fatal).again is False


def test_a_cut_answer_gets_more_room_once_without_an_attempt_and_then_pieces() -> None:
    first = decide(Past(), TRUNCATED)
    assert (first.again, first.past.used, first.past.growth, first.past.share) == (True, 0, 1.25, 1.0)
    assert first.past.pieces is False
    second = decide(first.past, TRUNCATED)
    assert (second.again, second.past.used, second.past.growth, second.past.pieces) == (True, 1, 1.25, True)


def test_a_prompt_that_was_too_long_by_half_is_made_shorter_than_that_and_no_roomier() -> None:
    verdict = decide(Past(), TOO_LONG)
    assert (verdict.again, verdict.past.used, verdict.past.share, verdict.past.growth) == (True, 0, 0.25, 1.0)


def test_the_same_error_the_third_time_is_no_progress_whatever_numbers_are_in_it() -> None:
    past, seen = Past(), []
    for line in (3, 14, 159):
        told = ContentError("E_SYNTAX", f"line {line}: bad", path="a.py").told()
        verdict = decide(past, told, error(line))
        seen.append((verdict.again, verdict.reason))
        past = verdict.past
    assert seen == [(True, None), (True, None), (False, "no_progress")]


def test_the_same_error_of_another_file_is_another_error() -> None:
    past = Past()
    for name in ("a.py", "b.py", "c.py", "d.py"):
        verdict = decide(past, ContentError("E_SYNTAX", "bad", path=name).told())
        assert verdict.again
        past = verdict.past


def test_an_empty_answer_is_asked_for_once_more_and_no_further() -> None:
    first = decide(Past(), EMPTY)
    assert first.again
    second = decide(first.past, EMPTY)
    assert (second.again, second.reason) == (False, "no_progress")


def test_models_are_climbed_from_the_second_failure_and_the_top_is_the_end() -> None:
    past, levels = Past(), []
    for number in range(5):
        past = decide(past, error(number), levels=3).past
        levels.append(past.level)
    assert levels == [0, 1, 2, 2, 2]


def test_a_repeated_error_climbs_at_once() -> None:
    once = decide(Past(), error(), levels=2).past
    assert (once.level, decide(once, error(), levels=2).past.level) == (0, 1)


def test_files_that_were_changed_unseen_are_shown_in_the_next_attempt() -> None:
    unseen = ContentError("E_MODIFY_UNSEEN", "not shown", path="a.py").told()
    exists = ContentError("E_CREATE_EXISTS", "is there", path="b.py").told()
    past = decide(Past(extra=("a.py",)), unseen, exists, error()).past
    assert past.extra == ("a.py", "b.py")


ERRORS: list[dict[str, Any]] = [
    *map(error, range(4)), TRUNCATED, TOO_LONG, TIMEOUT, EMPTY, BUDGET, InvalidJSONError("E_JSON_INVALID", "no").told(),
]  # fmt: skip
failures = st.lists(st.sampled_from(ERRORS), min_size=1, max_size=3)


@given(st.lists(failures, min_size=30, max_size=30), st.integers(1, 6), st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=150)
def test_attempts_always_come_to_an_end(series: list[list[dict[str, Any]]], most: int, limit: int, levels: int) -> None:
    past, attempts = Past(), 0
    for errors in series:
        attempts += 1
        verdict = decide(past, *errors, most=most, limit=limit, levels=levels)
        assert verdict.past.used in (past.used, past.used + 1)
        assert 0 <= past.level <= verdict.past.level < levels
        assert Past.from_told(verdict.past.told()) == verdict.past
        if not verdict.again:
            break
        assert verdict.past.index == past.index + 1
        assert verdict.past.used < most
        past = verdict.past
    # One for each that counts, one for want of room, one for each model that did not work.
    assert attempts <= most + 1 + levels
    assert not verdict.again


@pytest.mark.parametrize(
    ("complexity", "named", "tiers", "expected"),
    [
        ("low", None, 3, 0), ("medium", None, 3, 1), ("high", None, 3, 2), ("low", None, 2, 0), ("medium", None, 2, 0),
        ("high", None, 2, 1), ("high", None, 1, 0), ("medium", None, 0, 0), ("low", "mine", 3, 2),
    ],
)  # fmt: skip
def test_a_phase_begins_with_the_model_for_its_complexity(
    complexity: Any, named: str | None, tiers: int, expected: int
) -> None:
    assert first_tier(PhaseSpec("1", "x", "x", complexity=complexity, model=named), tiers) == expected


def answer(*paths: str, satisfied: tuple[str, ...] = ()) -> Answer:
    return Answer("s", tuple(Change(path, "create", "x\n") for path in paths), already_satisfied=satisfied)


def test_after_a_cut_only_what_is_missing_is_asked_for() -> None:
    left = Rest().after_cut(answer("a.py", "./b.py"), ["a.py", "b.py", "c.py", "d/"], "extra.py")
    assert left is not None
    assert (left.only, left.done, left.continuations) == (("c.py", "d/", "extra.py"), ("a.py", "b.py"), 1)


def test_what_was_satisfied_before_the_cut_is_not_asked_for() -> None:
    left = Rest().after_cut(answer("a.py", satisfied=("b.py",)), ["a.py", "b.py", "c.py"], "c.py")
    assert left is not None
    assert left.only == ("c.py",)
    assert left.answers[0].already_satisfied == ("b.py",)


@pytest.mark.parametrize(("deliverables", "cut"), [(["a.py"], None), ([], "b.py"), ([], None)])
def test_a_rest_that_nobody_can_name_is_not_asked_for(deliverables: list[str], cut: str | None) -> None:
    assert Rest().after_cut(answer("a.py"), deliverables, cut) is None


@given(st.lists(st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=5), max_size=5))
@settings(max_examples=200)
def test_in_batches_everything_is_asked_for_once_and_in_order(batches: list[list[str]]) -> None:
    rest: Rest | None = Rest().in_batches(batches)
    asked = []
    while rest is not None:
        assert Rest.from_told(rest.told()) == rest
        asked.append(list(rest.only))
        rest = rest.after(answer(*rest.only))
    assert asked == (batches if len(batches) > 1 else [[]])


def test_internal_errors_are_not_tried_again() -> None:
    assert decide(Past(), PhaseExecutorError("E_INTERNAL", "x").told()).again is False
