"""What is promised of a build and is tested nowhere else: end to end, by what callers get and what is on disk."""

from __future__ import annotations

import ast
import importlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

import phasegate.apps.build as package
from phasegate.apps.build import CheckResult, HealthContext, PhaseExecutor, PhaseOrchestrator, Policy
from phasegate.errors import InputError
from phasegate.llm import Request, Response
from tests.apps.build.conftest import tree
from tests.apps.build.ledger import check_books, rows
from tests.apps.build.models import Scripted, files, phase

Make = Callable[..., PhaseExecutor]
GOOD = files(("create", "x.txt", "x\n"))


def run(executor: PhaseExecutor, *phases: Mapping[str, Any], retries: int = 3, health: bool = False) -> dict[str, Any]:
    """The result of phases; the books are checked."""
    result = PhaseOrchestrator(executor, retries, enable_health_checks=health).run_phases(list(phases))
    check_books(executor, result)
    return result


def codes(told: Mapping[str, Any]) -> list[str]:
    return [each["code"] for each in told["error_details"]]


# --- the program itself ---


def imports(path: Path) -> Iterator[tuple[str, str | None]]:
    """Every import of a file, wherever it stands in it: the module, and the name that is taken from it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((each.name, None) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, path
            yield from ((node.module, each.name) for each in node.names)


def test_no_import_waits_for_a_failure_to_be_found_wrong() -> None:
    """Also those inside of functions, which nobody else would notice before they are called."""
    found = {each for path in Path(package.__file__).parent.rglob("*.py") for each in imports(path)}
    assert len(found) > 200
    for module, name in sorted(found, key=str):
        if module in ("fcntl", "msvcrt"):  # each is there on one kind of system only
            continue
        loaded = importlib.import_module(module)
        if name is not None and not hasattr(loaded, name):
            importlib.import_module(f"{module}.{name}")


# --- settings ---


def test_the_limits_of_a_run_are_those_of_its_executor_and_on_record(executor: Make) -> None:
    for most in (1, 5):
        made = executor(
            Scripted(files(("create", "a.txt", "a\n"), ("create", "b.txt", "b\n"))), policy=Policy(max_changes=most)
        )
        assert made.execute_phase(phase())["success"] is (most == 5)
    assert [json.loads(each["policy_json"])["max_changes"] for each in rows(made, "runs")] == [1, 5]


def test_every_limit_of_a_policy_is_read() -> None:
    """One that nobody reads would be believed all the same."""
    read: set[str] = set()
    for path in Path(package.__file__).parent.rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if path.name != "policy.py" else ()
        read |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    assert {each.name for each in fields(Policy)} - read == set()


def test_a_history_is_found_once_and_nowhere_else(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever folder the program is in later."""
    (tmp_path / "elsewhere").mkdir()
    with PhaseExecutor(Scripted(GOOD), str(repo), "var/history.db") as made:
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert made.execute_phase(phase())["success"]
    with PhaseExecutor(Scripted(GOOD), repo, repo / "var/history.db") as made:
        (row,) = rows(made, "runs")
        assert row["repo_root"] == str(repo)
    assert [each.relative_to(tmp_path).as_posix() for each in tmp_path.rglob("*.db")] == ["repo/var/history.db"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_window_is_of_one_call_and_the_caps_are_apart(executor: Make, repo: Path) -> None:
    before, model = tree(repo), Scripted(GOOD)
    made = executor(model, max_tokens=1_000)
    (told,) = run(made, phase())["phase_results"]
    assert (codes(told), model.calls, told["token_usage"]) == (["E_CONTEXT_OVERFLOW"], 0, 0)
    assert told["errors"][0].startswith("Context overflow: ")
    assert tree(repo) == before
    # Two calls take more than the window together, which is no reason to stop.
    said = [Response(text, 30_000, 5_000, 35_000, stop_reason="complete") for text in ("no json", json.dumps(GOOD))]
    (told,) = run(executor(Scripted(*said), max_tokens=40_000), phase(deliverables=["x.txt"]))["phase_results"]
    assert (told["success"], told["token_usage"]) == (True, 70_000)


# --- before anything costs money ---


@pytest.mark.parametrize(
    "more",
    [
        {"deliverables": ["autopack.db"]}, {"deliverables": [".git/hooks/x"]}, {"deliverables": ["../x.py"]},
        {"deliverables": ["secrets/x.py"], "protected_paths": ["secrets"]},
        {"deliverables": ["lib/x.py"], "scope": {"paths": ["src/"]}}, {"deliverables": ["a.py", "a.py/b.py"]},
        {"deliverables": ["src/x.py"], "scope": {"paths": ["/etc"]}},
        {"deliverables": ["README.md/x"]}, {"deliverables": [5]}, {"protected_paths": ["../x"]},
    ],
    ids=str,
)  # fmt: skip
def test_what_can_never_succeed_is_found_before_the_first_call(more: dict[str, Any], executor: Make) -> None:
    model = Scripted("never asked")
    result = run(executor(model), {"description": "Do it.", **more})
    (told,) = result["phase_results"]
    assert (told["success"], told["token_usage"], told["retry_count"], model.calls) == (False, 0, 0, 0)
    assert all(each.startswith("Invalid phase specification: ") for each in told["errors"])
    assert [each["retryable"] for each in told["error_details"]] == [False] * len(told["errors"])


class Unreadable(Mapping[str, Any]):
    """A mapping that fails when it is read."""

    def __getitem__(self, key: str) -> Any:
        raise LookupError(key)

    def __iter__(self) -> Iterator[str]:
        yield "description"

    def __len__(self) -> int:
        return 1


def endless() -> dict[str, Any]:
    """A phase with itself in it."""
    given: dict[str, Any] = phase()
    return given | {"notes": [given, [given]], "scope": given.setdefault("scope", given)}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"deliverables": object()}, "must be a list of paths"), ({"deliverables": [object()]}, "must be a path"),
        ({"deliverables": [b"x.txt"]}, "must be a path"), ({"temperature": float("nan")}, "temperature must be a number"),
        ({"timeout_s": float("inf")}, "timeout_s must be a number"), ({"max_attempts": 10**5000}, "max_attempts must be a whole"),
        ({"category": {1}}, "category must be text"), ({"test_cmd": object()}, "test_cmd must be a command"),
        ({"protected_paths": object()}, "protected"), (endless(), "a phase must be a mapping"),
        (Unreadable(), "a phase must be a mapping"),
    ],
    ids=["object", "objects", "bytes", "nan", "inf", "huge", "set", "command", "protection", "endless", "unreadable"],
)  # fmt: skip
def test_a_phase_that_no_file_could_hold_is_refused_with_what_is_wrong(more: Any, said: str, executor: Make) -> None:
    model = Scripted(GOOD)
    made = executor(model)
    given = phase() | more if type(more) is dict else more
    for told in (made.execute_phase(given), run(made, given)["phase_results"][0]):
        assert said in told["errors"][0]
        assert (told["success"], model.calls) == (False, 0)


def test_a_phase_may_be_made_of_what_programs_have(executor: Make, repo: Path) -> None:
    """Paths, sets, mappings of other kinds; and things of the caller's own under names of its own."""
    own = {"due": date(2026, 3, 1), "owner": object(), "half": "\ud800", 7: 10**30}
    given: Any = MappingProxyType({"description": "Half \ud800.", "deliverables": {Path("x.txt")}, **own})
    told = executor(Scripted(GOOD)).execute_phase(given)
    assert (told["errors"], told["files_changed"]) == ([], ["x.txt"])
    assert sum("unknown key" in each for each in told["warnings"]) == 4


@pytest.mark.parametrize(
    "given", [("src/app.py", None), ([5], None), (5, None), ([], "secrets/"), ([], [None]), ([], ["../x"])]
)
def test_lists_that_are_none_are_a_failed_result(given: tuple[Any, Any], executor: Make, repo: Path) -> None:
    """Protection that cannot be understood protects everything."""
    before, model = tree(repo), Scripted(GOOD)
    told = executor(model).execute_phase(phase(), *given)
    assert (told["success"], told["error_details"][0]["retryable"], model.calls) == (False, False, 0)
    assert tree(repo) == before


def test_of_two_phases_of_one_name_the_second_is_refused(executor: Make) -> None:
    model = Scripted(GOOD)
    made = executor(model)
    result = run(made, phase(phase_id="one"), phase("Another.", phase_id="one"))
    assert [each["status"] for each in result["phase_results"]] == ["succeeded", "failed"]
    assert (codes(result["phase_results"][1]), model.calls) == (["E_SPEC_ID"], 1)
    assert [(each["phase_index"], each["phase_id"]) for each in rows(made, "phases")] == [(1, "one"), (2, "one")]


def test_what_is_said_wins_over_what_words_may_mean(executor: Make) -> None:
    """No category is guessed from the description, and none decides what may be delivered."""
    model = Scripted(files(("create", "server/api.py", "X = 1\n")))
    wanted = phase(
        "Add the React frontend page, CSS and the docs for the tests.", ["server/api.py"], category="backend"
    )
    assert executor(model).execute_phase(wanted)["success"]
    assert "Category: backend\n" in model.requests[0].user
    model = Scripted(GOOD)
    assert executor(model).execute_phase(phase("Write the frontend documentation."))["success"]
    assert "Category: feature\n" in model.requests[0].user


# --- what the model is shown and told ---


def test_without_context_files_a_phase_of_a_plan_shows_what_it_is_about(executor: Make, repo: Path) -> None:
    (repo / "docs").mkdir()
    (repo / "docs/spec.md").write_text("The law.\n")
    scope = {"paths": ["src/"], "read_only_context": [{"path": "docs/spec.md", "reason": "to know"}]}
    model = Scripted(files(("modify", "src/util.py", "LIMIT = 4\n")))
    result = run(executor(model), phase(deliverables=["src/util.py"], scope=scope))
    assert result["status"] == "succeeded"
    shown = {each["path"]: each["shown"] for each in result["phase_results"][0]["context"]["files"]}
    assert shown == {"src/util.py": "full", "src/app.py": "full", "docs/spec.md": "full"}
    assert "README.md (" not in model.requests[0].user
    assert "The law." in model.requests[0].user


def test_more_context_files_than_recommended_are_shown_all(executor: Make, repo: Path) -> None:
    names = [f"src/part{number}.py" for number in range(25)]
    for name in names:
        (repo / name).write_text(f"# {name}\n")
    model = Scripted(GOOD)
    told = executor(model).execute_phase(phase(), names)
    assert {each["path"] for each in told["context"]["files"] if each["shown"] == "full"} == set(names)
    assert all(f"# {name}" in model.requests[0].user for name in names)


def test_a_file_under_a_wrong_folder_is_told_with_the_right_one(executor: Make, repo: Path) -> None:
    model = Scripted(files(("create", "main.py", "X = 1\n")), files(("create", "src/main.py", "X = 1\n")))
    (told,) = run(executor(model), phase(deliverables=["src/main.py"]))["phase_results"]
    assert (told["success"], told["files_changed"]) == (True, ["src/main.py"])
    assert "- src/main.py (new)" in model.requests[0].user
    assert "found main.py, expected src/main.py" in model.requests[1].user
    assert not (repo / "main.py").exists()


def test_a_file_that_was_changed_unseen_is_shown_in_the_next_attempt(executor: Make, repo: Path) -> None:
    model = Scripted(files(("modify", "src/util.py", "LIMIT = 4\n")))
    (told,) = run(executor(model), phase())["phase_results"]
    assert (told["success"], told["retry_count"], model.calls) == (True, 1, 2)
    first, second = (request.user for request in model.requests)
    assert "LIMIT = 3" not in first
    assert "LIMIT = 3" in second
    assert "E_MODIFY_UNSEEN" in second


def test_what_went_wrong_in_a_phase_is_a_hint_for_the_next(executor: Make) -> None:
    answers = [files(("create", name, "X = 1\n")) for name in ("main.py", "src/main.py", "src/next.py")]
    model = Scripted(*answers)
    result = run(executor(model), phase(deliverables=["src/main.py"]), phase("Next.", ["src/next.py"]))
    assert result["status"] == "succeeded"
    title = "# Hints from earlier phases and attempts, the latest first\n"
    assert [title in request.user for request in model.requests] == [False, False, True]
    assert "found main.py, expected src/main.py" in model.requests[2].user.partition(title)[2].partition("\n# ")[0]


def test_a_directory_is_delivered_by_a_file_below_it(executor: Make) -> None:
    model = Scripted({"summary": "Done.", "files": []}, files(("create", "guide/start.md", "# Start\n")))
    (told,) = run(executor(model), phase(deliverables=["guide/"]))["phase_results"]
    assert (told["success"], told["retry_count"]) == (True, 1)
    assert all("A directory is delivered by at least one file below it." in each.user for each in model.requests)


def test_what_an_answer_may_take_is_kept_beside_what_it_took(executor: Make) -> None:
    model = Scripted(GOOD)
    small = executor(model).execute_phase(phase(deliverables=["x.txt"]))
    large = executor(model).execute_phase(phase(deliverables=["x.txt", "a.py", "b.py", "c.py"]))
    assert small["context"]["estimated_output"] < large["context"]["estimated_output"]
    assert (small["tokens"]["completion"], model.requests[0].max_output_tokens) == (
        50,
        small["context"]["output_tokens"],
    )


# --- answers ---


def test_answers_of_all_kinds_are_read_or_change_nothing(executor: Make, repo: Path) -> None:
    made = executor(Scripted(""))
    good = json.dumps(GOOD)
    listed = json.dumps(GOOD["files"])
    readable = [
        good,
        f"```json\n{good}\n```",
        f"Here it is:\n{good}\nI hope it helps.",
        listed,
        good.replace('"}]', '",}]'),
    ]
    for text in readable:
        made.shop.client = Scripted(text)
        told = made.execute_phase(phase(deliverables=["x.txt"]))
        assert (told["errors"], (repo / "x.txt").read_text()) == ([], "x\n"), text
        (repo / "x.txt").unlink()
    before = tree(repo)
    broken = {
        good[:-12]: "E_TRUNCATED", "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-x\n+y\n": "E_DIFF_RESPONSE", "": "E_EMPTY_RESPONSE",
        "Sorry.": "E_JSON_INVALID", '{"summary": "s", "files": [}': "E_JSON_INVALID", '{"files": 5}': "E_FILES_NOT_ARRAY",
    }  # fmt: skip
    for text, code in broken.items():
        made.shop.client = Scripted(text)
        told = made.execute_phase(phase(deliverables=["x.txt"]))
        assert (codes(told), told["files_changed"]) == ([code], []), text
        assert tree(repo) == before


def test_a_file_cut_inside_of_its_text_is_never_written(executor: Make, repo: Path) -> None:
    text = json.dumps(files(("create", "x.txt", "one {two} [three] four\n")))
    before, made = tree(repo), executor(Scripted(""))
    start = text.index("one")
    for end in range(start, text.index("four") + 4, 4):
        made.shop.client = Scripted(text[:end])
        assert codes(made.execute_phase(phase(deliverables=["x.txt"]))) == ["E_TRUNCATED"], text[:end]
    assert tree(repo) == before


@pytest.mark.parametrize(
    ("name", "broken", "fine"),
    [
        ("a.yaml", "a: [1\nb: 2\n", "a: [1]\n"), ("a.json", '{"a": }\n', '{"a": 1}\n'), ("a.toml", "a = \n", "a = 1\n"),
        ("a.py", "def f(:\n", "def f(): ...\n"), ("a.txt", "one\n<<<<<<< ours\ntwo\n=======\nthree\n>>>>>>> theirs\n", "one\n"),
    ],
)  # fmt: skip
def test_nothing_is_written_until_every_file_of_an_answer_can_be_read(
    name: str, broken: str, fine: str, executor: Make, repo: Path
) -> None:
    before = tree(repo)

    def again(request: Request) -> Any:
        assert tree(repo) == before
        assert name in request.user.partition("# Your last attempt failed")[2]
        return files(("create", name, fine), ("create", "x.txt", "x\n"))

    model = Scripted(files(("create", "x.txt", "x\n"), ("create", name, broken)), again)
    (told,) = run(executor(model), phase(deliverables=[name]))["phase_results"]
    assert (told["errors"], told["files_changed"], model.calls) == ([], sorted([name, "x.txt"]), 2)


def test_what_somebody_edits_while_the_model_works_is_read_again_and_kept(executor: Make, repo: Path) -> None:
    mine = "LIMIT = 3\nMINE = True\n"

    def meanwhile(request: Request) -> Any:
        (repo / "src/util.py").write_text(mine)
        return files(("modify", "src/util.py", "LIMIT = 4\n"))

    def again(request: Request) -> Any:
        assert (repo / "src/util.py").read_text() == mine
        assert "MINE = True" in request.user
        assert "E_CONCURRENT_EDIT" in request.user
        return files(("modify", "src/util.py", "LIMIT = 4\nMINE = True\n"))

    (told,) = run(executor(Scripted(meanwhile, again)), phase(deliverables=["src/util.py"]))["phase_results"]
    assert (told["errors"], told["retry_count"]) == ([], 1)
    assert (repo / "src/util.py").read_text() == "LIMIT = 4\nMINE = True\n"


def test_an_attempt_is_one_call_and_there_are_as_many_as_retries_and_one(executor: Make, repo: Path) -> None:
    before = tree(repo)
    wrong = [files(("create", f"wrong{letter}.txt", "x\n")) for letter in "abcdef"]
    spec = phase(deliverables=["x.txt"])
    model = Scripted("no json", files(("create", "../x", "")), '{"files": 5}', *wrong)
    (told,) = run(executor(model), spec)["phase_results"]
    assert (told["status"], told["retry_count"], model.calls, len(told["attempt_ids"])) == ("failed", 3, 4, 4)
    assert "after 4 attempts" in told["summary"]
    model = Scripted(*wrong)
    assert executor(model).execute_phase(spec)["retry_count"] == 0
    assert model.calls == 1
    model = Scripted(*wrong)
    run(executor(model), {**spec, "max_attempts": 2})
    assert model.calls == 2
    assert tree(repo) == before


# --- deliverables and criteria ---


@pytest.mark.parametrize(
    ("more", "said", "success"),
    [
        ({}, {}, False),
        ({"allow_existing_deliverables": True}, {}, True),
        ({}, {"already_satisfied": ["src/util.py"]}, True),
    ],
    ids=["neither", "allowed", "said"],
)
def test_a_deliverable_that_exists_must_be_in_the_answer_unless_allowed(
    more: Any, said: Any, success: bool, executor: Make
) -> None:
    model = Scripted(files(("create", "x.txt", "x\n"), **said))
    told = executor(model).execute_phase(phase(deliverables=["src/util.py", "x.txt"], **more))
    assert told["success"] is success
    if not success:
        assert told["errors"][0].startswith("Missing deliverables: src/util.py: ")


def test_a_phase_that_is_done_again_has_nothing_to_do_and_has_succeeded(executor: Make, repo: Path) -> None:
    model = Scripted(files(("create", "x.txt", "x\n"), ("create", "y.py", "Y = 1\n")))
    made, spec = executor(model), phase(deliverables=["x.txt", "y.py"])
    first, after = made.execute_phase(spec), tree(repo)
    second = made.execute_phase(spec)
    assert [first["files_changed"], second["files_changed"]] == [["x.txt", "y.py"], []]
    assert (second["success"], tree(repo)) == (True, after)
    assert any(each.startswith("no_effective_change") for each in second["warnings"])


def test_criteria_in_words_are_never_claimed_and_those_for_a_program_decide(executor: Make, repo: Path) -> None:
    before = tree(repo)
    words = ["It is used.", "It is fast."]
    told = executor(Scripted(GOOD)).execute_phase(phase(deliverables=["x.txt"], acceptance_criteria=words))
    assert told["success"]
    assert any("2" in each and "criteria" in each for each in told["warnings"])
    (repo / "x.txt").unlink()
    check = {"check": "contains", "path": "x.txt", "text": "never"}
    told = executor(Scripted(GOOD)).execute_phase(phase(deliverables=["x.txt"], acceptance_criteria=[check]))
    assert (told["success"], told["files_changed"], tree(repo)) == (False, [], before)


# --- gates ---


def test_a_gate_that_breaks_is_closed(executor: Make, repo: Path) -> None:
    before = tree(repo)

    def broken(context: HealthContext) -> CheckResult:
        raise AttributeError("no such attribute")

    def nothing(context: HealthContext) -> Any:
        return True

    for check in (broken, nothing):
        result = run(executor(Scripted(GOOD), checks=[check]), phase(deliverables=["x.txt"]), retries=0, health=True)
        (told,) = result["phase_results"]
        assert (told["status"], told["files_changed"]) == ("failed", [])
        assert told["errors"][0].startswith("Health check failed: ")
        assert result["health_check_results"][0]["passed"] is False
        assert tree(repo) == before


class Yes:
    """Approves everything, and keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[Any] = []

    def decide(self, request: Any) -> str:
        self.requests.append(request)
        return "approved"


def test_a_change_that_is_risky_by_itself_needs_an_approval(executor: Make, repo: Path) -> None:
    """Nobody has said that the phase requires one."""
    names = [f"old/part{number:02}.txt" for number in range(20)]
    (repo / "old").mkdir()
    for name in names:
        (repo / name).write_text("one\n")
    before = tree(repo)
    model = Scripted(files(*(("delete", name) for name in names)))
    told = executor(model).execute_phase(phase())
    assert (told["status"], codes(told)) == ("rejected", ["E_APPROVAL_REJECTED"])
    assert tree(repo) == before
    provider = Yes()
    made = executor(model, approval_provider=provider)
    told = made.execute_phase(phase())
    assert (told["files_changed"], (repo / "old").exists()) == (names, False)
    (request,) = provider.requests
    assert request.risk >= Policy().approval_from_risk
    assert "-one" in request.diff
    # What the files were is on record, by hash.
    assert all(each["sha_before"] for each in rows(made, "file_changes"))


def test_health_is_told_of_always_and_is_nothing_without_checks(executor: Make) -> None:
    made = executor(Scripted(GOOD))
    spec = phase(deliverables=["x.txt"], allow_existing_deliverables=True)
    assert [each["phase_id"] for each in run(made, spec, health=True)["health_check_results"]] == [
        "1-change-the-program"
    ]
    assert run(made, spec)["health_check_results"] == []


class Other:
    """An executor of somebody else's, of which nobody knows where it works."""

    def execute_phase(self, phase_spec: Any, context_files: Any, protected_paths: Any = None) -> Any:
        return {"success": True, "files_changed": ["a"], "summary": "s", "errors": [], "token_usage": 7}


@pytest.mark.parametrize("health", [True, False])
def test_of_another_executor_it_is_said_that_the_health_was_not_checked(health: bool) -> None:
    result = PhaseOrchestrator(Other(), enable_health_checks=health).run_phases([phase()])
    (told,) = result["phase_results"]
    assert (told["success"], result["health_check_results"]) == (True, [])
    assert any("health" in each for each in told["warnings"]) is health


# --- the other method of the interface ---


@pytest.mark.parametrize(
    ("path", "phrase"),
    [
        ("secrets/x", "Protected path violation: "), ("./.git/config", "Protected path violation: "),
        (".GIT/config", "Protected path violation: "), ("git~1/x", "Protected path violation: "),
        ("../x", "Unsafe path: "), ("a/../b", "Unsafe path: "), ("/etc/passwd", "Unsafe path: "), ("C:\\x", "Unsafe path: "),
        ("~/x", "Unsafe path: "), ("a\x00b", "Unsafe path: "), ("link/x", "Unsafe path: "), ("src", "Unsafe path: "),
    ],
)  # fmt: skip
def test_changes_can_be_validated_without_anything_else(path: str, phrase: str, executor: Make, repo: Path) -> None:
    (repo / "link").symlink_to("src")
    before, model = tree(repo), Scripted("never asked")
    made = executor(model)
    fine = {"path": "not/there.py", "mode": "modify", "new_content": "X = 1\n"}
    assert made.validate_changes([fine], ["secrets/"]) == (True, [])
    assert made.validate_changes([], []) == (True, [])
    for mode, content in (("create", "x"), ("modify", "x"), ("delete", None)):
        valid, errors = made.validate_changes(
            [{"path": path, "mode": mode, "new_content": content}, fine], ["secrets/"]
        )
        assert (valid, [each.startswith(phrase) for each in errors]) == (False, [True]), errors
    assert (tree(repo), model.calls) == (before, 0)


def test_a_validation_says_yes_exactly_when_it_has_nothing_to_say(executor: Make) -> None:
    made = executor(Scripted(""))
    given: list[Any] = [
        None, 5, "x", {}, [None], [{}], [5, "x"], [{"path": "x", "mode": "chmod", "new_content": "x"}],
        [{"path": "x", "mode": "create", "new_content": ""}], [{"path": "x", "mode": "delete"}], [{"path": 5}],
        [{"path": "x", "mode": "create", "new_content": "x"}] * 2, [{"path": "x", "mode": "delete", "new_content": "x"}],
    ]  # fmt: skip
    for changes in given:
        for protected in ([], None, 5, ["../x"], [None]):
            valid, errors = made.validate_changes(changes, protected)
            assert valid is (errors == []), (changes, protected)
    assert made.validate_changes(given[8], None) == (True, [])
    assert len(made.validate_changes([{"path": "../x"}, {"path": "ok", "mode": "chmod"}, 5], [])[1]) >= 3


# --- bytes ---


def test_bytes_that_nobody_spoke_of_stay_as_they_are(executor: Make, repo: Path) -> None:
    """Line ends, the mark of an encoding, permission bits, names of any language; and an empty file is a file."""
    (repo / "crlf.txt").write_bytes(b"one\r\ntwo\r\n")
    (repo / "mark.txt").write_bytes("\ufeffone\n".encode())
    (repo / "wide.txt").write_bytes("one\n".encode("utf-16"))
    (repo / "run.sh").write_text("#!/bin/sh\n")
    (repo / "run.sh").chmod(0o755)
    (repo / "größe 数.txt").write_text("one\n")
    named = ["crlf.txt", "mark.txt", "wide.txt", "run.sh", "größe 数.txt"]
    answer = files(
        ("modify", "crlf.txt", "one\nthree\n"), ("modify", "mark.txt", "two\n"), ("modify", "wide.txt", "two\n"),
        ("modify", "run.sh", "#!/bin/sh\nexit 0\n"), ("modify", "größe 数.txt", "two\n"), ("create", "pkg/__init__.py", ""),
    )  # fmt: skip
    told = executor(Scripted(answer)).execute_phase(phase(), named)
    assert told["errors"] == []
    assert (repo / "crlf.txt").read_bytes() == b"one\r\nthree\r\n"
    assert (repo / "mark.txt").read_bytes() == "\ufefftwo\n".encode()
    assert (repo / "wide.txt").read_bytes() == "two\n".encode("utf-16")
    assert (repo / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (repo / "größe 数.txt").read_text() == "two\n"
    assert (repo / "pkg/__init__.py").read_bytes() == b""
    assert told["files_changed"] == sorted([*named, "pkg/__init__.py"])


@pytest.mark.parametrize(
    "answer",
    [
        {"summary": "Fine.", "files": [], "no_changes_reason": "all fine"},
        files(("modify", "src/util.py", "LIMIT = 3\n")),
    ],
    ids=["nothing", "as it is"],
)
def test_who_changes_nothing_meets_the_criteria_all_the_same(answer: Any, executor: Make, repo: Path) -> None:
    (repo / "empty.txt").write_text("")
    criterion = {"check": "contains", "path": "src/util.py", "text": "LIMIT = 4"}
    spec = phase(context_files=["src/util.py"], acceptance_criteria=[criterion, "It works."])
    told = executor(Scripted(answer)).execute_phase(spec)
    assert codes(told) == ["E_HEALTH_CRITERION"]
    met = executor(Scripted(answer)).execute_phase({**spec, "acceptance_criteria": ["It works."]})
    assert met["success"]
    assert "1 of 1 acceptance criteria were not machine-checked" in met["warnings"]
    said = {"summary": "Fine.", "files": [], "already_satisfied": ["empty.txt"]}
    assert codes(executor(Scripted(said)).execute_phase(phase(deliverables=["empty.txt"]))) == ["E_DELIVERABLE_EMPTY"]


def test_what_was_shown_only_in_part_is_not_replaced(executor: Make, repo: Path) -> None:
    long = "".join(f"LINE_{n} = {n}  # {'x' * 30}\n" for n in range(6_000))
    (repo / "long.py").write_text(long)
    answer = files(("modify", "long.py", long.replace("LINE_9 = 9", "LINE_9 = 10")))
    model = Scripted(answer, {"summary": "Edited.", "operations": [
        {"type": "replace", "file_path": "long.py", "start_line": 10, "end_line": 10, "content": "LINE_9 = 10\n"}
    ]})  # fmt: skip
    made = executor(model, max_tokens=60_000)
    (told,) = run(made, phase(deliverables=["long.py"]))["phase_results"]
    assert "each line begins with its number" in model.requests[0].user
    assert (told["success"], told["retry_count"]) == (True, 1)
    assert "E_MODIFY_UNSEEN" in model.requests[1].user
    assert (repo / "long.py").read_text() == long.replace(f"LINE_9 = 9  # {'x' * 30}", "LINE_9 = 10")


def test_arguments_hold_beside_what_the_phase_itself_says(executor: Make, repo: Path) -> None:
    model = Scripted(files(("modify", "src/util.py", "LIMIT = 4\n")))
    for own in ([], ["README.md"]):
        spec = phase(protected_paths=own, context_files=["README.md"])
        told = executor(model).execute_phase(spec, ["src/util.py"], ["src/"])
        assert codes(told) == ["E_PROTECTED"]
        assert {"README.md", "src/util.py"} <= {each["path"] for each in told["context"]["files"]}


def test_the_next_prompt_has_what_the_last_answer_was(executor: Make) -> None:
    bad = files(("create", "x.txt", "first line\n"), ("create", "y.py", "def (\n"), summary="My summary.")
    model = Scripted(bad, "no json", files(("create", "x.txt", "x\n"), ("create", "y.py", "y = 1\n")))
    (told,) = run(executor(model), phase(deliverables=["x.txt", "y.py"]))["phase_results"]
    assert told["success"]
    second, third = (each.user for each in model.requests[1:])
    assert all(each in second for each in ("Summary of the last answer: My summary.", "first line", "✓ x.txt"))
    assert all(each in third for each in ("✗ x.txt", "✗ y.py"))
    assert "first line" not in third


def test_a_criterion_that_is_not_met_tells_its_command_and_output(executor: Make) -> None:
    command = [sys.executable, "-c", "print('first\\nsecond'); raise SystemExit(3)"]
    model = Scripted(files(("create", "x.txt", "x\n")))
    run(executor(model), phase(acceptance_criteria=[{"check": "command", "command": command}]), retries=1)
    assert "ended with exit code 3" in model.requests[1].user
    assert "first\nsecond" in model.requests[1].user


def test_all_files_that_were_changed_unseen_are_shown_in_the_next_attempt(executor: Make, repo: Path) -> None:
    for name in "abc":
        (repo / f"{name}.txt").write_text(f"{name}\n")
    new = [f"new{n}.txt" for n in range(5)]
    head = json.dumps({"type": "meta", "summary": "Did it.", "total_operations": 8})
    made = [json.dumps({"type": "create", "file_path": each, "content": "x\n"}) for each in new]
    edits = [
        json.dumps({"type": "modify", "file_path": f"{name}.txt", "operations": [{"type": "append", "content": "z\n"}]})
        for name in "abc"
    ]
    model = Scripted("\n".join([head, *made, *edits]))
    (told,) = run(executor(model), phase(deliverables=new), retries=1)["phase_results"]
    assert (told["success"], told["retry_count"]) == (True, 1)


@pytest.mark.parametrize(
    "limits",
    [{"call_timeout": 0}, {"test_timeout": 0.0}, {"approval_timeout": 10**10}, {"max_output_bytes": 0},
     {"max_answer_depth": 10**10}],
    ids=str,
)  # fmt: skip
def test_limits_with_which_nothing_would_work_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(limits))):
        Policy(**limits)
