"""Runs that go on after others, beside others and instead of others; and what keeps two of them from working at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phasegate.apps.build import PhaseExecutor, PhaseOrchestrator
from phasegate.apps.build import statements as q
from phasegate.apps.build.errors import HistoryError, LockError, RollbackError
from phasegate.apps.build.health.context import CheckResult, HealthContext
from phasegate.apps.build.policy import Policy
from phasegate.errors import InputError
from tests.apps.build.conftest import FILES, tree
from tests.apps.build.models import Scripted, files, phase

Make = Callable[..., PhaseExecutor]


class Pending:
    """Nobody has decided yet."""

    def decide(self, request: Any) -> str:
        return "pending"


def creating(name: str, **more: Any) -> dict[str, Any]:
    return phase(f"Write {name}.", [f"{name}.txt"], phase_id=name, **more)


def writing(name: str) -> Any:
    return files(("create", f"{name}.txt", f"{name}\n"))


def plain(executor: PhaseExecutor, **options: Any) -> PhaseOrchestrator:
    return PhaseOrchestrator(executor, enable_health_checks=False, **options)


def spent(executor: PhaseExecutor, run_id: str) -> tuple[int, int, int]:
    """The tokens of a run: as it says, as its phases say, as its calls say."""
    (run,), phases = executor.engine.read(q.RUN, {"run": run_id}), executor.engine.read(q.PHASES, {"run": run_id})
    calls = executor.engine.read(q.COSTS, {"run": run_id})
    return run["token_usage"], sum(each["tokens_used"] for each in phases), sum(each["total_tokens"] for each in calls)


# --- one at a time -----------------------------------------------------------------------------------------------------


def test_only_one_executor_works_on_a_repository(executor: Make, repo: Path) -> None:
    idle, refused = Scripted("never asked"), list[Any]()

    def meanwhile(_: Any) -> Any:
        second = executor(idle)
        refused.append(second.execute_phase(phase()))
        with pytest.raises(LockError) as raised:
            plain(second).run_phases([phase()])
        refused.append(str(raised.value))
        with pytest.raises(LockError):
            second.resume("any")
        assert second.restored == []
        return writing("one")

    first = executor(Scripted(meanwhile))
    result = first.execute_phase(creating("one"))
    assert result["status"] == "succeeded"
    told, said = refused
    assert [(each["code"], each["category"]) for each in told["error_details"]] == [("E_LOCKED", "fatal")]
    assert f"process {os.getpid()}" in told["errors"][0]
    assert f"process {os.getpid()}" in said
    assert idle.calls == 0
    assert executor(Scripted(writing("two"))).execute_phase(creating("two"))["success"]


def test_a_run_that_waits_is_left_alone_by_the_next_one(executor: Make, repo: Path) -> None:
    """Also when it has been approved meanwhile: one run at a time changes the tree, and a run goes on when somebody says so."""
    model = Scripted(writing("one"), writing("two"))
    made = executor(model, approval_provider=Pending())
    waiting = plain(made).run_phases([creating("one", requires_approval=True)])
    request = waiting["phase_results"][0]["approval"]
    made.decide(request["request_id"], "approved", by="ann")
    assert plain(made).run_phases([creating("two")])["status"] == "succeeded"
    assert not (repo / "one.txt").exists()
    told = made.resume(waiting["run_id"])
    assert (told["status"], model.calls) == ("succeeded", 2)
    assert (repo / "one.txt").exists()


def test_repositories_that_share_a_history_do_not_disturb_each_other(
    executor: Make, repo: Path, tmp_path: Path
) -> None:
    model = Scripted(writing("one"))
    made = executor(model, approval_provider=Pending())
    waiting = plain(made).run_phases([creating("one", requires_approval=True)])
    made.decide(waiting["phase_results"][0]["approval"]["request_id"], "approved", by="ann")
    (tmp_path / "other").mkdir()
    with PhaseExecutor(Scripted(writing("two")), tmp_path / "other", tmp_path / "build.db", state_dir="s") as other:
        assert plain(other).run_phases([creating("two")])["status"] == "succeeded"
        with pytest.raises(InputError, match="another repository"):
            other.resume(waiting["run_id"])
        with pytest.raises(InputError, match="another repository"):
            plain(other).run_phases([creating("one")], run_id=waiting["run_id"])
    assert made.resume(waiting["run_id"])["status"] == "succeeded"
    assert (repo / "one.txt").exists()
    assert not (repo / "two.txt").exists()


def test_a_policy_with_another_time_to_decide_goes_on_with_old_runs_and_begins_new_ones(
    executor: Make, repo: Path
) -> None:
    first = executor(Scripted(writing("one")), approval_provider=Pending())
    waiting = plain(first).run_phases([creating("one", requires_approval=True)])
    second = executor(Scripted(writing("two")), policy=Policy(approval_timeout=50.0))
    assert plain(second).run_phases([creating("two")])["status"] == "succeeded"
    second.decide(waiting["phase_results"][0]["approval"]["request_id"], "approved", by="ann")
    assert second.resume(waiting["run_id"])["status"] == "succeeded"
    assert (repo / "one.txt").exists()


# --- going on with an earlier run ---------------------------------------------------------------------------------------


def test_what_has_succeeded_is_kept_and_the_rest_repeated(executor: Make, repo: Path) -> None:
    model = Scripted(writing("one"), "no json", writing("two"), writing("three"))
    made = executor(model)
    orchestrator = plain(made, max_retries=0)
    plan = [creating("one"), creating("two"), creating("three")]
    first = orchestrator.run_phases(plan)
    assert (first["successful_phases"], first["failed_phases"], first["skipped_phases"]) == (1, 1, 1)
    second = orchestrator.run_phases(plan, run_id=first["run_id"])
    assert [each["status"] for each in second["phase_results"]] == ["succeeded"] * 3
    assert (model.calls, second["token_usage"]) == (4, 300)
    assert spent(made, second["run_id"]) == (300, 300, 300)
    assert second["phase_results"][0]["files_changed"] == ["one.txt"]
    third = orchestrator.run_phases(plan, run_id=second["run_id"])
    assert (third["successful_phases"], third["token_usage"], model.calls) == (3, 0, 4)


def test_a_phase_with_another_specification_is_done_again(executor: Make, repo: Path) -> None:
    model = Scripted(writing("one"), writing("two"), files(("modify", "one.txt", "one, changed\n")))
    made = executor(model)
    first = plain(made).run_phases([creating("one"), creating("two")])
    changed = {**creating("one"), "description": "Write one.txt anew.", "context_files": ["one.txt"]}
    second = plain(made).run_phases([changed, creating("two")], run_id=first["run_id"])
    assert [each["status"] for each in second["phase_results"]] == ["succeeded"] * 2
    assert model.calls == 3
    assert (repo / "one.txt").read_text() == "one, changed\n"


def test_a_run_that_waits_is_gone_on_with_only_by_the_same_plan(executor: Make, repo: Path) -> None:
    model = Scripted(writing("one"), writing("two"), writing("three"))
    made = executor(model, approval_provider=Pending())
    plan = [creating("one"), creating("two", requires_approval=True)]
    first = plain(made).run_phases(plan)
    again = plain(made).run_phases(plan, run_id=first["run_id"])
    assert (again["run_id"], again["status"], model.calls) == (first["run_id"], "awaiting_approval", 2)
    other = plain(made).run_phases([creating("one"), creating("three")], run_id=first["run_id"])
    assert (other["status"], other["successful_phases"], model.calls) == ("succeeded", 2, 3)
    assert made.engine.read(q.RUN, {"run": first["run_id"]})[0]["status"] == "cancelled"
    assert not (repo / "two.txt").exists()


def test_a_run_that_nobody_knows_cannot_be_gone_on_with(executor: Make) -> None:
    made = executor(Scripted(""))
    with pytest.raises(InputError, match="there is no run 'nobody'"):
        made.resume("nobody")
    with pytest.raises(InputError, match="there is no run 'nobody'"):
        plain(made).run_phases([phase()], run_id="nobody")
    assert made.execute_phase({"description": ""})["success"] is False  # the lock is free


def test_a_run_that_has_ended_tells_again_how(executor: Make) -> None:
    made = executor(Scripted(writing("one")))
    first = plain(made).run_phases([creating("one")])
    again = made.resume(first["run_id"])
    assert again["phase_results"] == first["phase_results"]
    assert again["status"] == "succeeded"


# --- what somebody else changes -----------------------------------------------------------------------------------------


def test_what_somebody_changes_after_the_apply_is_never_overwritten(executor: Make, repo: Path) -> None:
    mine = "LIMIT = 5  # mine\n"

    def meddle(context: HealthContext) -> CheckResult:
        (repo / "src/util.py").write_text(mine)
        return CheckResult("meddling", "fail", "not healthy")

    answer = files(("modify", "src/util.py", "LIMIT = 4\n"), ("create", "new.txt", "x\n"))
    model = Scripted(answer, writing("one"), answer)
    spec = phase(deliverables=["src/util.py"], context_files=["src/util.py"])
    made = executor(model, checks=[meddle])
    result = PhaseOrchestrator(made).run_phases([spec, creating("one")], stop_on_failure=False)
    (told,) = result["phase_results"]
    (error,) = told["error_details"]
    assert (error["code"], error["category"], error["details"]["paths"]) == (
        "E_ROLLBACK_CONFLICT", "fatal", ["src/util.py"],
    )  # fmt: skip
    assert (told["files_changed"], told["status"], model.calls) == ([], "failed", 1)
    assert (result["skipped_phases"], result["stopped_early"]) == (1, True)
    assert "could not be put back" in told["summary"]
    assert (repo / "src/util.py").read_text() == mine
    assert not (repo / "new.txt").exists()
    saved = Path(made.shop.state_dir) / error["details"]["transaction"] / error["details"]["saved"][0]
    assert saved.read_text() == FILES["src/util.py"]
    made.close()

    # Whoever comes later may change other files, but not this one: its change could be taken for the old one, and undone.
    later = executor(model)
    assert later.restored == []
    with pytest.raises(RollbackError, match=r"src/util\.py"):
        later.recover()
    assert later.execute_phase(creating("one"))["success"]
    refused = later.execute_phase(spec)
    assert [each["code"] for each in refused["error_details"]] == ["E_ROLLBACK_CONFLICT"]
    assert (repo / "src/util.py").read_text() == mine
    assert later.recover(keep_edits=True) == []
    assert later.execute_phase(spec)["success"]
    assert (repo / "src/util.py").read_text() == "LIMIT = 4\n"
    assert later.recover() == []


def test_what_somebody_puts_back_settles_the_conflict(executor: Make, repo: Path) -> None:
    def meddle(context: HealthContext) -> CheckResult:
        (repo / "src/util.py").write_text("mine\n")
        return CheckResult("meddling", "fail", "not healthy")

    made = executor(Scripted(files(("modify", "src/util.py", "LIMIT = 4\n"))), checks=[meddle])
    spec = phase(deliverables=["src/util.py"], context_files=["src/util.py"])
    PhaseOrchestrator(made, max_retries=0).run_phases([spec])
    (repo / "src/util.py").write_text(FILES["src/util.py"])
    before = tree(repo)
    made.recover()
    assert tree(repo) == before
    assert made.execute_phase(spec)["success"]


# --- the database ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["no database", "a folder", "below a file", "another schema"])
def test_a_history_that_cannot_be_used_is_said_at_once(kind: str, repo: Path, tmp_path: Path) -> None:
    before, place = tree(repo), tmp_path / "history.db"
    if kind == "no database":
        place.write_bytes(b"this is a text and no database at all\n" * 200)
    elif kind == "a folder":
        place.mkdir()
    elif kind == "below a file":
        (tmp_path / "file").write_text("x")
        place = tmp_path / "file" / "history.db"
    else:
        import sqlite3

        with sqlite3.connect(place) as connection:
            connection.execute("CREATE TABLE runs (id INTEGER)")
        connection.close()
    with pytest.raises(HistoryError):
        PhaseExecutor(Scripted(""), repo, place)
    assert tree(repo) == before


def test_a_history_that_may_only_be_read_is_said_at_once(repo: Path, tmp_path: Path) -> None:
    """As another user, where the tests are run by one who may do everything."""
    folder = tmp_path / "history"
    folder.mkdir()
    PhaseExecutor(Scripted(""), repo, folder / "build.db").close()
    for each in (*folder.rglob("*"), folder):
        each.chmod(0o555 if each.is_dir() else 0o444)
    for each in (tmp_path, *tmp_path.parents):
        if each.name and each.stat().st_uid == os.geteuid() and not each.stat().st_mode & 0o001:
            each.chmod(each.stat().st_mode | 0o055)
    pid = os.fork()
    if pid == 0:
        code = 3
        try:
            if os.geteuid() == 0:
                os.setuid(65_534)
            PhaseExecutor(Scripted(""), repo, folder / "build.db").close()
        except HistoryError as error:
            code = 0 if "/" not in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    folder.chmod(0o755)
