"""Tokens: every one is counted once, none is made up, and nobody spends more than was allowed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phasegate.apps.build import PhaseExecutor, PhaseOrchestrator
from phasegate.llm import LLMError, Request, Response, StopReason
from tests.apps.build.conftest import tree
from tests.apps.build.ledger import check_books, rows
from tests.apps.build.models import Scripted, files, phase

Make = Callable[..., PhaseExecutor]
GOOD = json.dumps(files(("create", "x.txt", "x\n")))
WANTED = phase(deliverables=["x.txt"], max_output_tokens=100)


def said(
    text: str, prompt: int | None, completion: int | None, total: int | None, *, stop_reason: StopReason = "complete"
) -> Response:
    return Response(text, prompt, completion, total, model="scripted", stop_reason=stop_reason)


def orchestrated(executor: PhaseExecutor, *phases: Any, retries: int = 3, stop: bool = False) -> dict[str, Any]:
    result = PhaseOrchestrator(executor, retries, enable_health_checks=False).run_phases(list(phases), stop)
    check_books(executor, result)
    return result


REFUSAL = json.dumps({"summary": "No.", "files": [], "refusal": {"reason": "No.", "needs": ""}})
SERIES: dict[str, tuple[list[Any], int, bool]] = {
    "at-once": ([said(GOOD, 10, 5, 15)], 15, True),
    "on-retry": ([said("no", 10, 5, 15), said("{}", 20, 5, 25), said(GOOD, 30, 5, 35)], 75, True),
    "never": ([said("no", 10, 5, 15)], 45, False),
    "refused": ([said(REFUSAL, 10, 5, 15)], 15, False),
    "cut": ([said(GOOD[:-9], 10, 5, 15, stop_reason="max_tokens"), said(GOOD, 10, 5, 15)], 30, True),
    "bad-path": ([said(GOOD.replace("x.txt", "../x"), 10, 5, 15), said(GOOD, 1, 1, 2)], 17, True),
}


@pytest.mark.parametrize("name", SERIES)
def test_what_a_phase_takes_is_the_sum_of_its_calls_however_it_ends(name: str, executor: Make) -> None:
    answers, expected, success = SERIES[name]
    made = executor(Scripted(*answers))
    result = orchestrated(made, WANTED)
    (told,) = result["phase_results"]
    assert (told["success"], told["token_usage"], result["token_usage"]) == (success, expected, expected)
    assert told["tokens"]["estimated"] is False
    assert told["tokens"]["prompt"] + told["tokens"]["completion"] == expected


def test_a_call_that_fails_counts_as_its_prompt_and_a_run_as_its_phases(executor: Make) -> None:
    model = Scripted(LLMError("server", "no"), said(GOOD, 10, 5, 15), LLMError("bad_request", "no"))
    made = executor(model, sleep=lambda seconds: None)
    result = orchestrated(made, WANTED, phase("Other."))
    guesses = [-(-(len(each.system) + len(each.user)) // 4) for each in model.requests]
    assert [each["token_usage"] for each in result["phase_results"]] == [guesses[0] + 15, guesses[2]]
    assert result["token_usage"] == guesses[0] + 15 + guesses[2]
    assert [each["tokens"]["estimated"] for each in result["phase_results"]] == [True, True]
    assert result["phase_results"][0]["tokens"]["prompt"] is None


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ((None, None, 15), (None, None, 15, 0)),
        ((10, None, 15), (10, None, 15, 0)),
        ((10, 5, None), (10, 5, 15, 0)),
        ((10, 5, 17), (10, 5, 17, 0)),
        ((0, 0, 0), (0, 0, 0, 0)),
        ((10, None, None), (10, None, 10 + -(-len(GOOD) // 4), 1)),
    ],
    ids=["total", "prompt-and-total", "no-total", "odd-total", "nothing", "prompt"],
)
def test_what_the_provider_did_not_say_is_not_made_up(tokens: Any, expected: Any, executor: Make) -> None:
    made = executor(Scripted(said(GOOD, *tokens)))
    result = orchestrated(made, WANTED)
    (call,) = rows(made, "llm_calls")
    assert tuple(call[each] for each in ("prompt_tokens", "completion_tokens", "total_tokens", "estimated")) == expected
    told = result["phase_results"][0]["tokens"]
    assert (told["prompt"], told["completion"], told["total"]) == expected[:3]


# --- caps ---


def needed(executor: PhaseExecutor, model: Scripted) -> int:
    """What the first call of the wanted phase was planned with."""
    request = model.requests[0]
    return -(-(len(request.system) + len(request.user)) // 4) + (request.max_output_tokens or 0)


@pytest.fixture
def planned(executor: Make, repo: Path) -> int:
    model = Scripted("no")
    made = executor(model)
    made.execute_phase(WANTED, [])
    return needed(made, model)


@pytest.mark.parametrize("whose", ["run", "phase"])
@pytest.mark.parametrize("fits", [True, False])
def test_no_call_is_made_that_may_need_nine_tenths_of_what_is_left(
    whose: str, fits: bool, planned: int, executor: Make, repo: Path
) -> None:
    before = tree(repo)
    least = next(cap for cap in range(planned, 2 * planned) if planned <= 0.9 * cap)
    model = Scripted(said(GOOD, 1, 1, 2))
    made = executor(model, **{f"{whose}_token_cap": least if fits else least - 1})
    (told,) = orchestrated(made, WANTED)["phase_results"]
    assert (told["success"], model.calls) == (fits, int(fits))
    if not fits:
        assert told["error_details"][0]["code"] == ("E_BUDGET" if whose == "phase" else "E_BUDGET_RUN")
        assert told["errors"][0].startswith("Token budget exhausted: ")
        assert (told["token_usage"], told["error_details"][0]["retryable"]) == (0, False)
        assert [each["attempt_fk"] for each in rows(made, "llm_calls") if each["total_tokens"] == 2] == []
        assert tree(repo) == before


def test_the_cap_of_a_run_stops_the_run_and_that_of_a_phase_does_not(planned: int, executor: Make) -> None:
    def answer(request: Request) -> Response:
        return said("no", 1, 1, 2 * planned)

    three = [WANTED, phase("Second.", max_output_tokens=100), phase("Third.", max_output_tokens=100)]
    model = Scripted(answer)
    result = orchestrated(executor(model, phase_token_cap=3 * planned), *three)
    assert [each["error_details"][0]["code"] for each in result["phase_results"]] == ["E_BUDGET"] * 3
    assert (model.calls, result["skipped_phases"]) == (3, 0)
    model = Scripted(answer)
    made = executor(model, run_token_cap=3 * planned)
    result = PhaseOrchestrator(made, 3, enable_health_checks=False).run_phases(three, False)
    assert [each["error_details"][0]["code"] for each in result["phase_results"]] == ["E_BUDGET_RUN"]
    assert (model.calls, result["skipped_phases"], result["token_usage"]) == (1, 2, 2 * planned)


def test_somebody_is_told_once_when_four_fifths_of_a_cap_are_used(executor: Make) -> None:
    told: list[Any] = []
    model = Scripted(*(said("no", 1, 1, each) for each in (79_000, 1_000, 1_000)), said(GOOD, 1, 1, 2))
    made = executor(model, phase_token_cap=100_000, run_token_cap=1_000_000, event_sink=told.append)
    varied = phase(deliverables=["x.txt"], max_output_tokens=100)
    orchestrated(made, varied, retries=3)
    warnings = [each for each in told if each["type"] == "budget_warning"]
    assert [(each["whose"], each["used"], each["cap"]) for each in warnings] == [("phase", 80_000, 100_000)]
    (event,) = [each for each in rows(made, "events") if each["type"] == "budget_warning"]
    assert json.loads(event["payload_json"]) == {"whose": "phase", "used": 80_000, "cap": 100_000}


@pytest.mark.parametrize("value", [0, -1, 1.5, "9", True])
@pytest.mark.parametrize("name", ["run_token_cap", "phase_token_cap", "max_tokens"])
def test_a_cap_that_is_none_is_refused(name: str, value: Any, repo: Path, tmp_path: Path) -> None:
    from phasegate.errors import InputError

    with pytest.raises(InputError, match=name):
        PhaseExecutor(Scripted(""), repo, tmp_path / "other.db", **{name: value})


def test_a_retry_is_a_new_call_and_costs_its_own_tokens(executor: Make) -> None:
    model = Scripted(said("no", 10, 5, 15), said(GOOD, 20, 6, 26))
    made = executor(model)
    (told,) = orchestrated(made, WANTED)["phase_results"]
    assert (model.calls, told["token_usage"], told["retry_count"]) == (2, 41, 1)
    assert [each["total_tokens"] for each in rows(made, "llm_calls")] == [15, 26]
    assert [each["attempt_fk"][-2:] for each in rows(made, "llm_calls")] == ["/0", "/1"]
