"""What is around a phase: the machine, the test commands and what they do, other executors, the phases before."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from phasegate.apps.build import PhaseExecutor, PhaseOrchestrator, Policy
from phasegate.apps.build.errors import LockError
from phasegate.apps.build.health.baseline import compare
from phasegate.apps.build.health.commands import named
from phasegate.apps.build.health.testreports import Report
from phasegate.errors import InputError
from tests.apps.build.conftest import tree
from tests.apps.build.models import Scripted, files, phase

Make = Callable[..., PhaseExecutor]
GOOD = files(("modify", "src/util.py", "LIMIT = 4\n"))


def changing(**more: Any) -> dict[str, Any]:
    return phase("Raise the limit.", ["src/util.py"], **more)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_tests_whose_program_is_missing_are_skipped_and_told(executor: Make) -> None:
    made = executor(Scripted(GOOD))
    result = PhaseOrchestrator(made).run_phases([changing(test_cmd=["no-such-program-here"])])
    (told,), (health,) = result["phase_results"], result["health_check_results"]
    (tests,) = (each for each in health["checks"] if each["name"] == "tests")
    assert (told["success"], tests["status"]) == (True, "skip")
    assert "there is no program 'no-such-program-here'" in told["warnings"][0]


def test_a_criterion_whose_program_is_missing_is_refused_before_anything_is_paid_for(executor: Make) -> None:
    model = Scripted(GOOD)
    criterion = {"check": "command", "command": ["no-such-program-here"]}
    told = executor(model).execute_phase(changing(acceptance_criteria=[criterion]))
    assert (model.calls, told["success"]) == (0, False)
    assert told["error_details"][0]["code"] == "E_SPEC_COMMAND"
    assert "before its first attempt" in told["summary"]


def test_whoever_checks_no_health_is_told_that_no_tests_are_run(executor: Make) -> None:
    told = executor(Scripted(GOOD)).execute_phase(changing(test_cmd=python("1/0")))
    assert told["success"]
    assert any(each.startswith("test_cmd is not run") for each in told["warnings"])


def test_a_machine_that_is_not_fit_is_found_before_anything_is_paid_for(executor: Make, repo: Path) -> None:
    before, model = tree(repo), Scripted(GOOD)
    made = executor(model, policy=Policy(min_free_bytes=1 << 60))
    result = PhaseOrchestrator(made).run_phases([changing(), changing()], stop_on_failure=False)
    assert (model.calls, result["failed_phases"], result["skipped_phases"]) == (0, 1, 1)
    assert result["phase_results"][0]["error_details"][0]["code"] == "E_HEALTH_WORKSPACE"
    assert tree(repo) == before


@pytest.mark.parametrize(
    ("code", "path"),
    [
        ("open('README.md', 'w').write('gone')", "README.md"),
        ("import os; os.remove('secrets/key')", "secrets/key"),
        ("open('src/util.py', 'a').write('LATER = 1\\n')", "src/util.py"),
    ],
    ids=["watched", "protected", "changed by the phase"],
)
def test_what_the_tests_do_to_the_repository_fails_the_phase(code: str, path: str, executor: Make, repo: Path) -> None:
    (repo / "secrets").mkdir()
    (repo / "secrets/key").write_text("k\n")
    # Only with the change on disk: the baseline is run before.
    command = python(f"import pathlib\nif '4' in pathlib.Path('src/util.py').read_text(): {code}")
    spec = changing(test_cmd=command, context_files=["README.md", "src/util.py"], protected_paths=["secrets/"])
    (told,) = PhaseOrchestrator(executor(Scripted(GOOD)), max_retries=0).run_phases([spec])["phase_results"]
    assert not told["success"]
    assert ("E_HEALTH_SIDE_EFFECTS", path) in [(each["code"], each["path"]) for each in told["error_details"]] or (
        path == "src/util.py" and told["error_details"][0]["code"] == "E_ROLLBACK_CONFLICT"
    )


def test_a_runner_that_says_nothing_any_more_has_not_run_the_tests() -> None:
    before = Report("pytest", 0, collected=3)
    assert compare(before, Report("unknown", 0)).lost
    assert not compare(Report("unknown", 0), Report("unknown", 0)).regressed


def test_long_commands_have_names_of_their_own() -> None:
    one, other = (named(["x" * 90, word], 1.0) for word in ("a", "b"))
    assert one.name != other.name
    assert len(one.name) <= 80


@pytest.fixture
def second(repo: Path, tmp_path: Path) -> Iterator[PhaseExecutor]:
    with PhaseExecutor(Scripted(GOOD), repo, tmp_path / "other.db") as made:
        yield made


def test_two_histories_of_one_repository_have_one_lock(executor: Make, second: PhaseExecutor) -> None:
    def meanwhile(_: Any) -> Any:
        with pytest.raises(LockError, match="another history"):
            PhaseOrchestrator(second).run_phases([changing()])
        return GOOD

    assert executor(Scripted(meanwhile)).execute_phase(changing())["success"]
    assert PhaseOrchestrator(second).run_phases([changing()])["successful_phases"] == 1


def test_what_is_kept_was_paid_for_by_the_run_before(executor: Make) -> None:
    made = executor(Scripted(GOOD, "no json", files(("create", "x.txt", "x\n"))))
    plan = [changing(), phase("Make a file.", ["x.txt"])]
    first = PhaseOrchestrator(made, max_retries=0).run_phases(plan)
    again = PhaseOrchestrator(made, max_retries=0).run_phases(plan, run_id=first["run_id"])
    kept, done = again["phase_results"]
    assert (kept["success"], kept["token_usage"], kept["attempt_ids"], kept["kept_from"]) == (
        True,
        0,
        [],
        first["run_id"],
    )
    assert again["token_usage"] == done["token_usage"] == 150


def test_a_run_that_waits_is_not_gone_on_with_under_other_rules(executor: Make, repo: Path) -> None:
    class Later:
        def decide(self, request: Any) -> Any:
            return "pending"

    made = executor(Scripted(files(("create", "secret/a.txt", "x\n"))), approval_provider=Later())
    plan = [phase("Make a file.", ["secret/a.txt"], requires_approval=True)]
    waiting = made.run_plan(plan)
    assert waiting["status"] == "awaiting_approval"
    told = made.run_plan(plan, continues=waiting["run_id"], protected_paths=["secret/"])
    assert told["run_id"] != waiting["run_id"]
    assert told["phase_results"][0]["error_details"][0]["code"].startswith("E_SPEC")
    assert not (repo / "secret").exists()


def test_an_id_that_is_made_up_is_no_other_phases(executor: Make) -> None:
    model = Scripted(files(("create", "x.txt", "x\n")), files(("create", "y.txt", "y\n")))
    plan = [phase("Do it.", ["x.txt"], phase_id="2-do-it"), phase("Do it.", ["y.txt"])]
    result = PhaseOrchestrator(executor(model)).run_phases(plan)
    assert [each["phase_id"] for each in result["phase_results"]] == ["2-do-it", "2-do-it-2"]
    assert result["successful_phases"] == 2


def test_what_depends_on_a_failure_does_not_stop_the_rest(executor: Make) -> None:
    model = Scripted(lambda request: "no json" if "first" in request.user else files(("create", "x.txt", "x\n")))
    plan = [
        phase("The first.", phase_id="one"), phase("Needs it.", phase_id="two", depends_on=["one"]), phase("Alone.", ["x.txt"]),
    ]  # fmt: skip
    result = PhaseOrchestrator(executor(model), max_retries=0).run_phases(plan, stop_on_failure=False)
    assert (result["skipped_phases"], result["stopped_early"]) == (1, False)


@pytest.mark.parametrize("given", [None, 5, "", ":memory:", "sqlite:///x.db"])
def test_a_history_is_a_path_of_a_file(given: Any, repo: Path) -> None:
    before = tree(repo)
    with pytest.raises(InputError, match="no path of a file"):
        PhaseExecutor(Scripted(""), repo, given)
    assert tree(repo) == before


def test_what_tests_rewrite_anyway_is_charged_to_no_phase(executor: Make, repo: Path) -> None:
    (repo / "log.txt").write_text("")
    spec = changing(test_cmd=python("open('log.txt', 'a').write('ran')"), context_files=["log.txt", "src/util.py"])
    (told,) = PhaseOrchestrator(executor(Scripted(GOOD)), max_retries=0).run_phases([spec])["phase_results"]
    assert told["errors"] == []
    assert (repo / "log.txt").read_text() == "ranran"


def test_what_a_phase_without_tests_breaks_is_not_charged_to_the_next(executor: Make) -> None:
    broken = files(("modify", "src/util.py", "LIMIT = 0\n"))
    model = Scripted(broken, files(("create", "new.txt", "x\n")))
    first = phase("Lower the limit.", ["src/util.py"], context_files=["src/util.py"])
    second = phase(
        "Make a file.",
        ["new.txt"],
        test_cmd=python("import sys; sys.path.insert(0, 'src')\nimport util; 1 / util.LIMIT"),
    )
    result = PhaseOrchestrator(executor(model), max_retries=0).run_phases([first, second])
    assert [each["errors"] for each in result["phase_results"]] == [[], []]


@pytest.mark.parametrize("given", ["./src/util.py", "../out.log", "/etc/hostname"])
def test_context_in_another_spelling_or_from_outside_is_no_change(given: str, executor: Make, repo: Path) -> None:
    outside = repo.parent / "out.log"
    outside.write_text("a\n")
    code = f"open({str(outside)!r}, 'a').write('b')"
    spec = changing(test_cmd=python(code), context_files=[given, "src/util.py"])
    (told,) = PhaseOrchestrator(executor(Scripted(GOOD)), max_retries=0).run_phases([spec])["phase_results"]
    assert told["errors"] == []


class Exits:
    """Ends the program wherever it is asked."""

    def decide(self, request: Any) -> Any:
        raise SystemExit(1)


def test_whoever_ends_the_program_inside_of_a_phase_ends_that_phase_only(executor: Make, repo: Path) -> None:
    def check(context: Any) -> Any:
        raise SystemExit(2)

    def ask(request: Any) -> Any:
        raise SystemExit(3)

    before = tree(repo)
    plan = [changing(), changing()]
    made = executor(Scripted(GOOD), checks=[check])
    result = PhaseOrchestrator(made, max_retries=0).run_phases(plan, stop_on_failure=False)
    assert [each["error_details"][0]["code"] for each in result["phase_results"]] == ["E_HEALTH_CHECK"] * 2
    result = PhaseOrchestrator(executor(ask), max_retries=0).run_phases(plan, stop_on_failure=False)
    assert [each["error_details"][0]["code"] for each in result["phase_results"]] == ["E_LLM_CLIENT"] * 2
    told = executor(Scripted(GOOD), approval_provider=Exits()).execute_phase(changing(requires_approval=True))
    assert told["status"] == "rejected"
    assert tree(repo) == before


def test_a_file_that_could_not_be_put_back_stops_the_run_and_is_told(
    executor: Make, repo: Path, tmp_path: Path
) -> None:
    def damage(context: Any) -> Any:
        for kept in tmp_path.glob("build.db.state/*/txn/*/old/0"):
            kept.write_text("damaged")
        raise ValueError("no")

    model = Scripted(GOOD)
    made = executor(model, checks=[damage])
    result = PhaseOrchestrator(made, max_retries=0).run_phases([changing(), changing()], stop_on_failure=False)
    (told,) = result["phase_results"]
    assert told["error_details"][-1]["code"] == "E_ROLLBACK"
    assert "Nothing was changed" not in told["summary"]
    assert (model.calls, result["skipped_phases"]) == (1, 1)


@pytest.mark.parametrize("spelled", ["link/h.db", "sub/../h.db", "../repo/h.db", "linked.db"])
def test_the_history_is_out_of_reach_however_its_path_is_spelled(spelled: str, repo: Path) -> None:
    (repo / "sub").mkdir()
    (repo / "link").symlink_to(repo, target_is_directory=True)
    (repo / "linked.db").symlink_to(repo / "h.db")
    own = ["linked.db", "h.db"] if spelled == "linked.db" else ["h.db", "h.db-journal", "h.db.state/x"]
    for path in own:
        model = Scripted(files(("create", path, "x\n")), files(("delete", path)))
        with PhaseExecutor(model, repo, repo / spelled) as made:
            told = made.execute_phase(phase(), ["h.db", "h.db.state/**"])
            again = made.execute_phase(phase(), ["h.db"])
        assert {each["error_details"][0]["code"] for each in (told, again)} <= {"E_PROTECTED", "E_SYMLINK"}, path
        assert all(not each["path"].startswith("h.db") for each in told["context"].get("files", ()))


def test_a_folder_that_may_not_be_looked_into_fails_its_phase_and_no_other(executor: Make, repo: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("the administrator may look everywhere")
    (repo / "sec").mkdir(mode=0)
    result = PhaseOrchestrator(executor(Scripted(GOOD)), max_retries=0).run_phases(
        [phase("Write.", ["sec/x.py"]), changing(context_files=["sec/x.py", "src/util.py"])], stop_on_failure=False
    )
    (repo / "sec").chmod(0o700)
    assert [each["success"] for each in result["phase_results"]] == [False, True]
