"""Between the executor and the model: what is asked, how often, of whom, and what follows from the answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from phasegate.apps.build import PhaseExecutor, PhaseOrchestrator, Policy
from phasegate.llm import LLMError, Request, Response
from tests.apps.build.conftest import tree
from tests.apps.build.ledger import check_books, rows, types
from tests.apps.build.models import Scripted, files, phase

Make = Callable[..., PhaseExecutor]
GOOD = files(("create", "x.txt", "x\n"))


class Naps:
    """Counts seconds instead of sleeping."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def run(executor: PhaseExecutor, *phases: Mapping[str, Any], retries: int = 3, stop: bool = True) -> dict[str, Any]:
    """The result of phases without health checks; the books are checked."""
    result = PhaseOrchestrator(executor, retries, enable_health_checks=False).run_phases(list(phases), stop)
    check_books(executor, result)
    return result


def cut(text: str, after: str) -> Response:
    """The beginning of an answer, as a model gives it that has no more tokens."""
    return Response(text[: text.index(after) + len(after)], 10, 20, 30, model="scripted", stop_reason="max_tokens")


# --- bad moments of the provider ---


def test_a_bad_moment_is_waited_out_and_costs_no_attempt(executor: Make) -> None:
    naps = Naps()
    bad = [LLMError(kind, "no") for kind in ("rate_limited", "timeout", "connection", "server")]
    model = Scripted(*bad, LLMError("rate_limited", "no", retry_after=17.0), GOOD)
    made = executor(model, sleep=naps)
    result = run(made, phase(deliverables=["x.txt"]))
    (told,) = result["phase_results"]
    assert (told["success"], told["retry_count"], model.calls) == (True, 0, 6)
    for nap, base in zip(naps.seconds[:4], (1, 2, 4, 8), strict=True):
        assert 0.5 * base <= nap <= 1.5 * base
    assert 17.0 <= naps.seconds[4] <= 18.5
    calls = rows(made, "llm_calls")
    assert [str(each["error"]).partition(":")[0] for each in calls] == [
        "rate_limited", "timeout", "connection", "server", "rate_limited", "None",
    ]  # fmt: skip
    assert [bool(each["estimated"]) for each in calls] == [True] * 5 + [False]
    assert len({request.user for request in model.requests}) == 1
    assert len(rows(made, "attempts")) == 1


def test_a_provider_that_stays_bad_is_given_up_after_five_more_calls(executor: Make, repo: Path) -> None:
    before, naps = tree(repo), Naps()
    model = Scripted(LLMError("server", "overloaded"))
    result = run(executor(model, sleep=naps), phase(deliverables=["x.txt"]))
    (told,) = result["phase_results"]
    assert (model.calls, len(naps.seconds)) == (6, 5)
    assert (told["status"], told["retry_count"]) == ("failed", 0)
    assert [(each["code"], each["category"]) for each in told["error_details"]] == [("E_LLM_SERVER", "transient")]
    assert told["errors"][0].startswith("Model call failed: overloaded")
    assert tree(repo) == before


def test_the_next_model_is_asked_when_one_does_not_work_and_is_told_nothing_of_it(executor: Make) -> None:
    def answer(request: Request) -> Any:
        return LLMError("connection", "unreachable") if request.model == "a:weak" else GOOD

    model, naps = Scripted(answer), Naps()
    made = executor(model, sleep=naps, tiers=["a:weak", "b:strong"])
    (told,) = run(made, phase(deliverables=["x.txt"], complexity="low"))["phase_results"]
    assert (told["success"], told["retry_count"]) == (True, 0)
    assert [request.model for request in model.requests] == ["a:weak"] * 6 + ["b:strong"]
    assert "attempt failed" not in model.requests[-1].user
    first, second = rows(made, "attempts")
    assert (first["status"], first["error_code"], first["model"]) == ("failed", "E_LLM_CONNECTION", "a:weak")
    assert (second["status"], second["escalation_level"]) == ("succeeded", 1)
    assert [each["provider"] for each in rows(made, "llm_calls")] == ["a"] * 6 + [None]


def test_a_model_that_did_not_work_is_left_alone_for_the_rest_of_the_run(executor: Make) -> None:
    def answer(request: Request) -> Any:
        made = files(("create", "y.txt" if "Second" in request.user else "x.txt", "x\n"))
        return LLMError("connection", "unreachable") if request.model == "a:weak" else made

    model = Scripted(answer)
    made = executor(model, sleep=Naps(), tiers=["a:weak", "b:strong"])
    plan = [phase("First.", ["x.txt"], complexity="low"), phase("Second.", ["y.txt"], complexity="low")]
    assert run(made, *plan)["successful_phases"] == 2
    assert [request.model for request in model.requests] == ["a:weak"] * 6 + ["b:strong"] * 2


@pytest.mark.parametrize("kind", ["auth", "credit_exhausted"])
def test_wrong_credentials_and_an_empty_account_stop_the_run(kind: Any, executor: Make) -> None:
    model = Scripted(LLMError(kind, "no"))
    made = executor(model)
    result = run(made, phase(deliverables=["x.txt"]), phase("Second.", ["y.txt"]), stop=False)
    assert model.calls == 1
    assert (result["failed_phases"], result["skipped_phases"], result["stopped_early"]) == (1, 1, True)
    assert result["phase_results"][0]["error_details"][0]["code"] == f"E_LLM_{kind.upper()}"
    assert [each["status"] for each in rows(made, "phases")] == ["failed", "skipped"]


def test_a_client_that_breaks_is_no_fault_of_the_phase_and_counted(executor: Make) -> None:
    made = executor(Scripted(ZeroDivisionError("oops")))
    (told,) = run(made, phase(deliverables=["x.txt"]))["phase_results"]
    assert told["errors"] == ["Model call failed: the client raised ZeroDivisionError: oops"]
    (call,) = rows(made, "llm_calls")
    assert (call["estimated"], call["prompt_tokens"], call["total_tokens"] > 0) == (1, None, True)


def test_a_client_of_ones_own_may_raise_what_its_library_does(executor: Make) -> None:
    naps = Naps()
    model = Scripted(TimeoutError("slow"), ConnectionResetError("gone"), GOOD)
    (told,) = run(executor(model, sleep=naps), phase(deliverables=["x.txt"]))["phase_results"]
    assert (told["success"], len(naps.seconds)) == (True, 2)


def test_a_provider_may_say_what_no_database_takes(executor: Make) -> None:
    naps = Naps()
    text = json.dumps(GOOD)
    model = Scripted(
        LLMError("server", "half \ud800\x00"), Response(text, 1, 1, 2, model="m\ud800", stop_reason="complete")
    )
    made = executor(model, sleep=naps)
    assert run(made, phase(deliverables=["x.txt"]))["successful_phases"] == 1
    assert [(each["model"], each["error"]) for each in rows(made, "llm_calls")] == [
        (None, "server: half ??"), ("m?", None)
    ]  # fmt: skip


# --- too long, and cut short ---


def test_a_prompt_that_is_too_long_is_halved_once_in_the_same_attempt(executor: Make, repo: Path) -> None:
    for number in range(8):
        (repo / f"src/big{number}.py").write_text("".join(f"v{number}_{line} = {line}\n" for line in range(900)))
    model = Scripted(LLMError("prompt_too_long", "too long"), GOOD)
    made = executor(model, max_tokens=40_000)
    context = [f"src/big{number}.py" for number in range(8)]
    (told,) = run(made, phase(deliverables=["x.txt"], context_files=context))["phase_results"]
    assert (told["success"], told["retry_count"], told["tokens"]["calls"]) == (True, 0, 2)
    whole, half = (len(request.user) for request in model.requests)
    assert whole / 4 < half < whole * 0.6
    assert len(rows(made, "attempts")) == 1
    assert [bool(each["error"]) for each in rows(made, "llm_calls")] == [True, False]


def test_what_is_still_too_long_gets_one_shorter_attempt_that_costs_none(executor: Make) -> None:
    bad = LLMError("prompt_too_long", "too long")
    model = Scripted(bad, bad, GOOD)
    made = executor(model)
    (told,) = run(made, phase(deliverables=["x.txt"]), retries=0)["phase_results"]
    assert (told["success"], told["retry_count"], model.calls) == (True, 0, 3)
    assert [each["error_code"] for each in rows(made, "attempts")] == ["E_LLM_PROMPT_TOO_LONG", None]


def test_a_cut_answer_is_gone_on_with_and_only_the_rest_is_asked_for(executor: Make, repo: Path) -> None:
    whole = json.dumps(
        files(("create", "a.py", "A = 1\n"), ("create", "b.py", "B = 1\n"), ("create", "c.py", "C = 1\n"))
    )
    model = Scripted(cut(whole, '"new_content": "C'), files(("create", "c.py", "C = 2\n")))
    made = executor(model)
    (told,) = run(made, phase(deliverables=["a.py", "b.py", "c.py"]), retries=0)["phase_results"]
    assert (told["errors"], told["files_changed"]) == ([], ["a.py", "b.py", "c.py"])
    assert (repo / "c.py").read_text() == "C = 2\n"
    assert (told["token_usage"], told["retry_count"]) == (180, 0)
    asked = model.requests[1].user
    wanted = asked.partition("In this answer deliver these and nothing else")[2].partition("must appear")[0]
    assert "c.py" in wanted
    assert "a.py" not in wanted
    assert asked.partition("Already delivered")[2].partition("In this answer")[0].split("- ")[1:] == [
        "a.py\n",
        "b.py\n",
    ]
    assert [each["purpose"] for each in rows(made, "llm_calls")] == ["build", "continuation"]
    (attempt,) = rows(made, "attempts")
    assert (attempt["truncated"], attempt["status"]) == (1, "succeeded")
    assert types(made).count("applied") == 1


def test_there_are_two_continuations_and_no_third(executor: Make, repo: Path) -> None:
    before, names = tree(repo), ["a.py", "b.py", "c.py", "d.py"]

    def answer(request: Request) -> Any:
        left = [name for name in names if f"- {name}\n" in request.user.partition("deliver these and nothing else")[2]]
        left = left or names
        whole = json.dumps(files(*(("create", name, "X = 1\n") for name in left)))
        return cut(whole, f'"path": "{left[1]}"' if len(left) > 1 else '"path"')

    model = Scripted(answer)
    made = executor(model)
    (told,) = run(made, phase(deliverables=names), retries=0)["phase_results"]
    first = [each["purpose"] for each in rows(made, "llm_calls") if each["attempt_fk"].endswith("/0")]
    assert first == ["build", "continuation", "continuation"]
    assert told["error_details"][0]["code"] == "E_TRUNCATED"
    assert tree(repo) == before


def test_a_cut_answer_with_nothing_whole_gets_more_room_and_costs_no_attempt(executor: Make, repo: Path) -> None:
    before = tree(repo)
    whole = json.dumps(files(("create", "x.txt", "a long text\n")))
    model = Scripted(cut(whole, "a long"), lambda request: (tree(repo) == before and GOOD) or "the tree was changed")
    made = executor(model)
    (told,) = run(made, phase(deliverables=["x.txt"]), retries=0)["phase_results"]
    assert (told["success"], told["retry_count"], model.calls) == (True, 0, 2)
    first, second = (request.max_output_tokens or 0 for request in model.requests)
    assert second == pytest.approx(first * 1.25, abs=1)
    assert (repo / "x.txt").read_text() == "x\n"
    assert [(each["status"], each["truncated"]) for each in rows(made, "attempts")] == [("failed", 1), ("succeeded", 0)]


def test_what_was_cut_without_being_told_so_is_never_applied(executor: Make, repo: Path) -> None:
    before = tree(repo)
    whole = json.dumps(files(("modify", "src/app.py", "def greet(name):\n    return name\n")))
    model = Scripted(whole[: whole.index("return")])
    (told,) = run(executor(model), phase(deliverables=["src/app.py"]), retries=0)["phase_results"]
    assert {each["code"] for each in told["error_details"]} == {"E_TRUNCATED"}
    assert told["errors"][0].startswith("Truncated response: ")
    assert tree(repo) == before


def test_an_attempt_after_a_continued_one_begins_from_the_beginning(executor: Make, repo: Path) -> None:
    whole = json.dumps(files(("create", "a.py", "A = (\n"), ("create", "b.py", "B = 1\n")))
    rest = files(("create", "b.py", "B = 1\n"))
    both = files(("create", "a.py", "A = 1\n"), ("create", "b.py", "B = 2\n"))
    model = Scripted(cut(whole, '"path": "b.py"'), rest, both)
    made = executor(model)
    (told,) = run(made, phase(deliverables=["a.py", "b.py"]), retries=1)["phase_results"]
    assert (told["errors"], told["retry_count"]) == ([], 1)
    assert "Already delivered" not in model.requests[2].user
    assert "E_SYNTAX" in model.requests[2].user
    assert (repo / "b.py").read_text() == "B = 2\n"
    assert [each["purpose"] for each in rows(made, "llm_calls")] == ["build", "continuation", "build"]


def test_what_does_not_fit_into_one_answer_is_asked_for_in_batches_and_applied_at_once(
    executor: Make, repo: Path
) -> None:
    code, tests = [f"src/m{number}.py" for number in range(7)], ["tests/test_a.py", "tests/test_b.py"]
    texts = {**dict.fromkeys(code, "X = 1\n"), **dict.fromkeys(tests, "def test_x():\n    pass\n"), "guide.md": "# G\n"}
    asked, before = [], tree(repo)

    def answer(request: Request) -> Any:
        assert tree(repo) == before
        wanted = request.user.partition("deliver these and nothing else")[2].partition("Every one")[0]
        names = [name for name in texts if f"- {name}\n" in wanted]
        asked.append(names)
        if "one JSON object per line" in request.system or '"type":"meta"' in request.system.replace(" ", ""):
            meta = {"type": "meta", "summary": "Part.", "total_operations": len(names)}
            made = [{"type": "create", "file_path": name, "content": texts[name]} for name in names]
            return "\n".join(json.dumps(each) for each in (meta, *made))
        return files(*(("create", name, texts[name]) for name in names))

    model = Scripted(answer)
    made = executor(model, max_tokens=30_000)
    given = phase(deliverables=["guide.md", *tests, *code])
    (told,) = run(made, given, retries=0)["phase_results"]
    assert told["errors"] == []
    assert asked == [code[:5], code[5:], tests, ["guide.md"]]
    assert told["files_changed"] == sorted(texts)
    assert (told["tokens"]["calls"], types(made).count("applied")) == (4, 1)


# --- the next attempt ---


def test_stronger_models_are_climbed_to_and_each_call_says_which_it_was(executor: Make) -> None:
    def answer(request: Request) -> Any:
        said = {"low": "no json", "mid": '{"files": 5}', "top": json.dumps(GOOD)}[request.model or ""]
        return Response(said, 1, 1, 2, model=request.model, stop_reason="complete")

    model = Scripted(answer)
    made = executor(model, tiers=["low", "mid", "top"])
    (told,) = run(made, phase(deliverables=["x.txt"], complexity="low"), retries=5)["phase_results"]
    assert told["success"]
    assert [request.model for request in model.requests] == ["low", "low", "mid", "top"]
    assert [each["model"] for each in rows(made, "llm_calls")] == ["low", "low", "mid", "top"]
    assert [each["escalation_level"] for each in rows(made, "attempts")] == [0, 0, 1, 2]


def test_a_model_that_the_phase_names_stays(executor: Make) -> None:
    model = Scripted("no json", "no json at all", GOOD)
    made = executor(model, tiers=["low", "top"], model="other")
    (told,) = run(made, phase(deliverables=["x.txt"], model="mine"))["phase_results"]
    assert (told["success"], {request.model for request in model.requests}) == (True, {"mine"})
    assert {each["escalation_level"] for each in rows(made, "attempts")} == {0}


def test_the_same_error_the_third_time_ends_the_phase(executor: Make, repo: Path) -> None:
    before = tree(repo)
    model = Scripted(files(("create", ".git/hooks/pre-commit", "x\n")))
    (told,) = run(executor(model), phase(), retries=9)["phase_results"]
    assert model.calls == 3
    assert [each["code"] for each in told["error_details"]] == ["E_PROTECTED", "E_NO_PROGRESS"]
    assert told["retry_count"] == 2
    assert tree(repo) == before


def test_the_next_prompt_says_what_was_wrong_and_older_attempts_have_one_line(executor: Make) -> None:
    model = Scripted(
        "no json",
        files(("create", "../out.txt", "x\n"), summary="Wrote outside."),
        files(("create", "y.txt", "x\n")),
        GOOD,
    )
    made = executor(model)
    (told,) = run(made, phase(deliverables=["x.txt"]))["phase_results"]
    assert (told["success"], told["retry_count"], told["tokens"]["calls"]) == (True, 3, 4)
    prompts = [request.user for request in model.requests]
    assert "Your last attempt failed" not in prompts[0]
    assert "This is attempt 2 of 4" in prompts[1]
    assert "E_JSON_INVALID" in prompts[1]
    assert "E_PATH_UNSAFE" in prompts[2]
    last = prompts[3].partition("# Your last attempt failed")[2].partition("\n# ")[0]
    assert "E_DELIVERABLE_MISSING" in last
    assert "E_PATH_UNSAFE" not in last
    assert "✗ x.txt" in last
    earlier = last.partition("Before the last attempt:\n")[2].partition("\nWhat was wrong")[0].splitlines()
    assert [line[:13] for line in earlier] == ["- attempt 1: ", "- attempt 2: "]
    stored = [each["feedback_json"] for each in rows(made, "attempts")]
    assert ["E_JSON_INVALID" in (stored[0] or ""), stored[3]] == [True, None]
    # The part that says who the model is stays the same; there is a new call for each attempt.
    assert len({request.system for request in model.requests}) == 1
    assert len(set(prompts)) == 4


def test_what_somebody_elses_orchestrator_knows_of_earlier_attempts_is_told(executor: Make) -> None:
    model = Scripted(GOOD)
    given = phase(deliverables=["x.txt"], _retry={"attempt": 2, "max_attempts": 4, "errors": ["x.txt was upside down"]})
    told = executor(model).execute_phase(given, [])
    assert (told["success"], told["warnings"]) == (True, [])
    assert "x.txt was upside down" in model.requests[0].user
    assert "This is attempt 2 of 4" in model.requests[0].user


def test_another_executor_is_told_which_attempt_this_is_and_why() -> None:
    class Other:
        specs: list[Any] = []  # noqa: RUF012  # of one test

        def execute_phase(self, phase_spec: Any, context_files: Any, protected_paths: Any = None) -> Any:
            self.specs.append(phase_spec)
            return {"success": False, "errors": [f"reason {len(self.specs)}"], "token_usage": 7}

    given = phase("Do it.")
    result = PhaseOrchestrator(Other(), 2).run_phases([given])
    assert given == phase("Do it.")
    assert [each.get("_retry", {}).get("attempt") for each in Other.specs] == [None, 2, 3]
    assert [each["_retry"]["max_attempts"] for each in Other.specs[1:]] == [3, 3]
    assert [each["_retry"]["errors"] for each in Other.specs[1:]] == [["reason 1"], ["reason 2"]]
    assert result["token_usage"] == 21


def test_a_refusal_blocks_the_phase_and_is_not_asked_again(executor: Make, repo: Path) -> None:
    before = tree(repo)
    model = Scripted({"summary": "No.", "files": [], "refusal": {"reason": "No credentials.", "needs": "an account"}})
    made = executor(model)
    (told,) = run(made, phase(deliverables=["x.txt"]))["phase_results"]
    assert (told["status"], told["success"], model.calls) == ("blocked", False, 1)
    assert told["errors"] == ["Task refused by the model: No credentials.; it needs: an account"]
    assert [each["status"] for each in rows(made, "attempts")] == ["blocked"]
    assert tree(repo) == before


# --- nothing to do ---

SAID = {"summary": "Nothing.", "files": [], "no_changes_reason": "It is so already."}


@pytest.mark.parametrize(
    ("answer", "more", "success"),
    [
        ({"summary": "Nothing.", "files": []}, {"allow_noop": True}, True),
        ({**SAID, "already_satisfied": ["src/util.py"]}, {"deliverables": ["src/util.py"]}, True),
        (SAID, {"deliverables": ["src/util.py"]}, False),
        ({**SAID, "already_satisfied": ["new.py"]}, {"deliverables": ["new.py"]}, False),
        ({"summary": "Nothing.", "files": []}, {}, False),
        (files(("modify", "src/util.py", "LIMIT = 3\n")), {"deliverables": ["src/util.py"]}, True),
        (files(("create", "src/util.py", "LIMIT = 3\n")), {"deliverables": ["src/util.py"]}, True),
    ],
    ids=["allowed", "satisfied", "not-listed", "not-there", "no-reason", "same-modify", "same-create"],
)
def test_nothing_to_do_is_a_success_only_when_it_is_one(
    answer: Any, more: Any, success: bool, executor: Make, repo: Path
) -> None:
    before = tree(repo)
    made = executor(Scripted(answer))
    (told,) = run(made, {"description": "Have it so.", **more}, retries=0)["phase_results"]
    assert (told["success"], told["files_changed"]) == (success, [])
    if success:
        assert any(each.startswith("no_effective_change") for each in told["warnings"])
    assert tree(repo) == before
    assert "applied" not in types(made)


def test_an_empty_answer_is_asked_for_once_more_in_so_many_words(executor: Make) -> None:
    model = Scripted({"summary": "Done.", "files": []})
    (told,) = run(executor(model), phase(deliverables=["x.txt"]), retries=9)["phase_results"]
    assert model.calls == 2
    assert "E_FILES_EMPTY" in model.requests[1].user
    assert [each["code"] for each in told["error_details"]] == ["E_FILES_EMPTY", "E_NO_PROGRESS"]


# --- time ---


class Clock:
    """A clock that somebody moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def answering(self, seconds: float, answer: Any) -> Callable[[Request], Any]:
        """An answer that takes a while."""

        def answered(request: Request) -> Any:
            self.now += timedelta(seconds=seconds)
            return answer

        return answered


def test_an_attempt_that_takes_more_than_half_of_its_time_is_warned_about(executor: Make) -> None:
    clock = Clock()
    made = executor(Scripted(clock.answering(6, GOOD)), clock=clock, policy=Policy(attempt_timeout=10))
    (told,) = run(made, phase(deliverables=["x.txt"]))["phase_results"]
    assert told["success"]
    assert any(each.startswith("slow_attempt") for each in told["warnings"])


def test_an_attempt_without_time_makes_no_further_call(executor: Make) -> None:
    clock, naps = Clock(), Naps()
    model = Scripted(clock.answering(6, LLMError("server", "no")))
    made = executor(model, clock=clock, policy=Policy(attempt_timeout=10), sleep=naps)
    (told,) = run(made, phase(deliverables=["x.txt"]), retries=0)["phase_results"]
    assert model.calls == 2
    assert [each["code"] for each in told["error_details"]] == ["E_ATTEMPT_TIMEOUT"]


def test_a_run_without_time_makes_no_further_attempt_and_ends(executor: Make) -> None:
    clock = Clock()
    model = Scripted(clock.answering(6, "no json"))
    made = executor(model, clock=clock, policy=Policy(run_timeout=10))
    result = run(made, phase(deliverables=["x.txt"]), phase("Second."), stop=False)
    assert model.calls == 2
    assert result["phase_results"][0]["error_details"][0]["code"] == "E_RUN_TIMEOUT"
    assert result["skipped_phases"] == 1
    assert [each["status"] for each in rows(made, "attempts")] == ["failed"] * 3


@pytest.mark.parametrize("deliverables", [["x.txt"], [f"{name}.py" for name in "abcde"]], ids=["files", "lines"])
def test_a_prompt_asks_for_one_form_of_answer_and_for_nothing_else(deliverables: list[str], executor: Make) -> None:
    model = Scripted("no")
    run(executor(model), phase(deliverables=deliverables), retries=0)
    system = model.requests[0].system
    assert sum(word in system for word in ('"files"', '"start_line"', "total_operations")) == 1
    assert "diff" not in system.casefold()
    assert '"files"' in system if len(deliverables) == 1 else "total_operations" in system
