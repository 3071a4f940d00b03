"""Changes that need a person's approval: who is asked, what an answer is worth, and what happens when there is none."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from phasegate.apps.build import PhaseExecutor, PhaseOrchestrator
from phasegate.apps.build import statements as q
from phasegate.apps.build.approval import ApprovalRequest
from phasegate.apps.build.errors import ApprovalError
from phasegate.apps.build.policy import Policy
from phasegate.errors import AlreadyDecided, InputError
from phasegate.testing import FakeClock
from tests.apps.build.conftest import tree
from tests.apps.build.models import Scripted, files, phase

Make = Callable[..., PhaseExecutor]
CHANGE = files(("modify", "src/util.py", "LIMIT = 4\n"), summary="Raised the limit.")
AFTER = "LIMIT = 4\n"


class Provider:
    """Gives one answer after the other, the last one again and again; remembers the requests."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.requests = list(answers), list[ApprovalRequest]()

    def decide(self, request: ApprovalRequest) -> Any:
        self.requests.append(request)
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer


def risky(**more: Any) -> dict[str, Any]:
    return phase(deliverables=["src/util.py"], context_files=["src/util.py"], requires_approval=True, **more)


def approvals(executor: PhaseExecutor) -> list[tuple[str, str | None]]:
    return [(row["status"], row["decided_by"]) for row in executor.engine.read(q.APPROVALS)]


def statuses(executor: PhaseExecutor, run_id: str) -> tuple[str, str, str]:
    """How run, phase and last attempt stand in the history."""
    (run,), (its_phase,) = (executor.engine.read(each, {"run": run_id}) for each in (q.RUN, q.PHASES))
    return run["status"], its_phase["status"], executor.engine.read(q.ATTEMPTS, {"run": run_id})[-1]["status"]


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        (None, "there is nobody who could approve it"),
        (Provider(RuntimeError("out of order")), "RuntimeError: out of order"),
        (Provider("yes"), "which is no decision"),
        (Provider("rejected"), "rejected by Provider"),
    ],
    ids=["nobody", "raises", "no decision", "no"],
)
def test_without_a_yes_nothing_is_applied(provider: Any, said: str, executor: Make, repo: Path) -> None:
    before, model = tree(repo), Scripted(CHANGE)
    result = executor(model, approval_provider=provider).execute_phase(risky())
    assert (result["status"], result["success"], result["files_changed"]) == ("rejected", False, [])
    assert said in result["errors"][0]
    assert [(each["code"], each["category"]) for each in result["error_details"]] == [("E_APPROVAL_REJECTED", "fatal")]
    assert tree(repo) == before
    assert model.calls == (0 if provider is None else 1)  # nobody is paid for what nobody could approve


def test_a_rejected_phase_is_not_tried_again_and_stops_the_run_only_when_wanted(executor: Make, repo: Path) -> None:
    model = Scripted(CHANGE, files(("create", "other.txt", "x\n")), CHANGE)
    made = executor(model, approval_provider=Provider("rejected"))
    plan = [risky(), phase("Another.", ["other.txt"])]
    result = PhaseOrchestrator(made, enable_health_checks=False).run_phases(plan, stop_on_failure=False)
    assert [each["status"] for each in result["phase_results"]] == ["rejected", "succeeded"]
    assert model.calls == 2
    result = PhaseOrchestrator(made, enable_health_checks=False).run_phases(plan)
    assert [each["status"] for each in result["phase_results"]] == ["rejected"]


def test_a_yes_is_bound_to_what_was_shown_and_used_once(executor: Make, repo: Path) -> None:
    provider = Provider("approved")
    made = executor(Scripted(CHANGE), approval_provider=provider)
    result = made.execute_phase(risky())
    assert (result["status"], result["files_changed"]) == ("succeeded", ["src/util.py"])
    (request,) = provider.requests
    (row,) = made.engine.read(q.APPROVALS)
    assert (request.sha256, request.risk, request.attempt) == (row["change_sha256"], 100, 0)
    assert "+LIMIT = 4" in request.diff
    assert request.phase_id == result["phase_id"]
    assert approvals(made) == [("consumed", "Provider")]
    assert result["approval"] == {
        "request_id": request.request_id, "outcome": "approved", "by": ["Provider"], "comment": "",
    }  # fmt: skip
    assert (repo / "src/util.py").read_text() == AFTER


def test_what_waits_is_returned_at_once_and_goes_on_when_approved(executor: Make, repo: Path) -> None:
    before, model, provider = tree(repo), Scripted(CHANGE), Provider("pending")
    made = executor(model, approval_provider=provider)
    result = made.execute_phase(risky())
    assert (result["status"], result["success"], result["files_changed"]) == ("awaiting_approval", False, [])
    assert (result["token_usage"], len(provider.requests)) == (150, 1)
    request = result["approval"]
    assert request["request_id"] == provider.requests[0].request_id
    assert result["errors"] == ["Approval pending: a person has to approve the change first"]
    assert tree(repo) == before
    assert statuses(made, request["run_id"]) == ("awaiting_approval",) * 3
    assert made.resume(request["run_id"])["status"] == "awaiting_approval"  # asked again, and still nobody decides
    assert tree(repo) == before
    made.decide(request["request_id"], "approved", by="ann", comment="go")
    told = made.resume(request["run_id"])
    (done,) = told["phase_results"]
    assert (told["status"], done["status"], done["errors"]) == ("succeeded", "succeeded", [])
    assert (done["files_changed"], done["token_usage"], model.calls) == (["src/util.py"], 150, 1)
    assert (done["approval"]["by"], done["approval"]["comment"]) == (["ann"], "go")
    assert (repo / "src/util.py").read_text() == AFTER
    assert statuses(made, request["run_id"]) == ("succeeded",) * 3
    assert approvals(made) == [("consumed", "ann")]


def test_a_request_says_what_of_the_change_it_does_not_show(executor: Make) -> None:
    provider = Provider("rejected")
    long = files(
        ("create", "long.py", "".join(f"N{n} = {n}\n" for n in range(5_000))), ("modify", "src/util.py", AFTER)
    )
    executor(Scripted(long), approval_provider=provider).execute_phase(risky())
    (request,) = provider.requests
    lines = request.diff.splitlines()
    assert lines[:4] == [
        "create long.py (+5000 -0)",
        "modify src/util.py (+1 -1)",
        "--- a/src/util.py",
        "+++ b/src/util.py",
    ]
    assert "+N0 = 0" in lines
    assert lines[-1].startswith("... not shown: ")
    assert lines[-1].endswith(" characters of long.py; `phasegate build diff` shows more")
    assert len(request.diff) < 20_200


def test_deciding_reads_nothing_of_other_runs_or_phases(executor: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = executor(Scripted(CHANGE), approval_provider=Provider("pending"))
    first, second, third = (made.execute_phase(risky())["approval"] for _ in range(3))
    read, rows = made.engine.read, list[str]()

    def reading(*about: Any) -> Any:
        found = read(*about)
        rows.extend(each["request_id"] for each in found if "request_id" in each)
        return found

    monkeypatch.setattr(made.engine, "read", reading)
    monkeypatch.setattr(made.engine, "outputs", None)  # nobody loads all of a run
    made.decide(second["request_id"], "approved", by="ann")
    assert made.resume(second["run_id"])["status"] == "succeeded"
    assert made.resume(third["run_id"])["status"] == "awaiting_approval"
    assert set(rows) == {second["request_id"], third["request_id"]}
    assert first["request_id"] not in rows


def test_a_provider_that_was_slow_is_asked_about_the_same_request(executor: Make) -> None:
    provider, model = Provider("pending", "approved"), Scripted(CHANGE)
    made = executor(model, approval_provider=provider)
    waiting = made.execute_phase(risky())
    told = made.resume(waiting["approval"]["run_id"])
    assert (told["status"], model.calls) == ("succeeded", 1)
    one, other = provider.requests
    assert one == other


def approve_elsewhere(repo: str, database: str, request: str, run_id: str, answer: str, result: Any) -> None:
    """In another process: decide, and go on."""
    model = Scripted("never asked")
    with PhaseExecutor(model, repo, database) as executor:
        executor.decide(request, answer, by="ben", comment="seen")
        result.put((executor.resume(run_id), model.calls))


@pytest.mark.parametrize("answer", ["approved", "rejected"])
def test_another_process_decides_and_goes_on(answer: str, executor: Make, repo: Path, tmp_path: Path) -> None:
    before, model = tree(repo), Scripted(CHANGE, files(("create", "second.txt", "x\n")))
    plan = [risky(phase_id="one"), phase("The second.", ["second.txt"], depends_on=["one"])]
    first = executor(model, approval_provider=Provider("pending"))
    waiting = PhaseOrchestrator(first, max_retries=0, enable_health_checks=False).run_phases(plan)
    assert (waiting["status"], waiting["stopped_early"]) == ("awaiting_approval", True)
    assert (waiting["successful_phases"], waiting["failed_phases"]) == (0, 0)
    (request,) = (each["approval"] for each in waiting["phase_results"])
    first.close()
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    child = context.Process(
        target=approve_elsewhere,
        args=(str(repo), str(tmp_path / "build.db"), request["request_id"], waiting["run_id"], answer, queue),
    )
    child.start()
    told, calls = queue.get(timeout=120)
    child.join()
    (done, *others) = told["phase_results"]
    if answer == "approved":
        assert done["files_changed"] == ["src/util.py"]
        assert [each["status"] for each in others] == ["failed"]  # the other process has another model
        assert calls == 1
    else:
        assert (done["status"], told["skipped_phases"], calls) == ("rejected", 1, 0)
        assert "rejected by ben: seen" in done["errors"][0]
        assert tree(repo) == before


def test_a_rejection_later_ends_the_phase(executor: Make, repo: Path) -> None:
    before, model = tree(repo), Scripted(CHANGE)
    made = executor(model, approval_provider=Provider("pending"))
    request = made.execute_phase(risky())["approval"]
    made.decide(request["request_id"], "rejected", by="ann", comment="not now")
    told = made.resume(request["run_id"])
    (done,) = told["phase_results"]
    assert (told["status"], done["status"], model.calls) == ("failed", "rejected", 1)
    assert "rejected by ann: not now" in done["errors"][0]
    assert tree(repo) == before
    assert approvals(made) == [("rejected", "ann")]
    (row,) = made.engine.read(q.APPROVALS)
    assert row["comment"] == "not now"


def test_a_request_that_expires_is_a_rejection(executor: Make, repo: Path) -> None:
    before, clock, provider = tree(repo), FakeClock(), Provider("pending", "approved")
    made = executor(Scripted(CHANGE), approval_provider=provider, clock=clock)
    request = made.execute_phase(risky())["approval"]
    clock.advance(3_601)
    with pytest.raises((AlreadyDecided, ApprovalError)):
        made.decide(request["request_id"], "approved", by="ann")
    (done,) = made.resume(request["run_id"])["phase_results"]
    assert (done["status"], len(provider.requests)) == ("rejected", 1)
    assert done["error_details"][0]["code"] == "E_APPROVAL_EXPIRED"
    assert approvals(made)[0][0] == "expired"
    assert tree(repo) == before


def test_nobody_decides_twice(executor: Make) -> None:
    made = executor(Scripted(CHANGE), approval_provider=Provider("pending"))
    request = made.execute_phase(risky())["approval"]
    made.decide(request["request_id"], "approved", by="ann")
    with pytest.raises(AlreadyDecided, match="ann"):
        made.decide(request["request_id"], "rejected", by="ben")
    made.resume(request["run_id"])
    with pytest.raises(AlreadyDecided, match="ann"):
        made.decide(request["request_id"], "rejected", by="ben")
    with pytest.raises(ApprovalError, match="no request 'nobody/knows'"):
        made.decide("nobody/knows", "approved", by="ann")


def test_what_somebody_edits_while_it_waits_is_not_overwritten(executor: Make, repo: Path) -> None:
    model, provider = Scripted(CHANGE), Provider("pending")
    made = executor(model, approval_provider=provider)
    request = made.execute_phase(risky())["approval"]
    (repo / "src/util.py").write_text("LIMIT = 30  # mine\n")
    before = tree(repo)
    made.decide(request["request_id"], "approved", by="ann")
    (done,) = made.resume(request["run_id"])["phase_results"]
    assert (done["status"], done["files_changed"]) == ("failed", [])
    assert [each["code"] for each in done["error_details"]] == ["E_CONCURRENT_EDIT"]
    assert tree(repo) == before


@pytest.mark.parametrize("wrong", [{"request_id": []}, {"outcome": None}, {"by": 5}, {"comment": None}])
def test_a_decision_is_made_of_texts(wrong: dict[str, Any], executor: Make) -> None:
    made = executor(Scripted(CHANGE), approval_provider=Provider("pending"))
    request = made.execute_phase(risky())["approval"]
    said = {"request_id": request["request_id"], "outcome": "approved", "by": "ann", "comment": ""} | wrong
    with pytest.raises(InputError, match=next(iter(wrong))):
        made.decide(said["request_id"], said["outcome"], by=said["by"], comment=said["comment"])
    assert approvals(made) == [("pending", None)]


def test_a_stored_change_that_is_not_what_was_shown_is_refused(executor: Make, repo: Path, tmp_path: Path) -> None:
    """Somebody has written into the database while it waited."""
    before, made = tree(repo), executor(Scripted(CHANGE), approval_provider=Provider("pending"))
    request = made.execute_phase(risky())["approval"]
    made.close()
    with closing(sqlite3.connect(tmp_path / "build.db")) as connection, connection:
        changed = connection.execute(
            "UPDATE phasegate_outputs SET body = replace(body, 'LIMIT = 4', 'LIMIT = 9') WHERE phase = '1.validate'"
        )
        assert changed.rowcount == 1
    later = executor(Scripted("never asked"))
    later.decide(request["request_id"], "approved", by="ann")
    (done,) = later.resume(request["run_id"])["phase_results"]
    assert [each["code"] for each in done["error_details"]] == ["E_APPROVAL_MISMATCH"]
    assert (done["status"], tree(repo)) == ("failed", before)


def test_another_attempt_needs_another_approval(executor: Make, repo: Path) -> None:
    other = files(("modify", "src/util.py", "LIMIT = 31  # mine\n"))
    model, provider = Scripted(CHANGE, other), Provider("pending")
    made = executor(model, approval_provider=provider)
    orchestrator = PhaseOrchestrator(made, max_retries=1, enable_health_checks=False)
    (waiting,) = orchestrator.run_phases([risky()])["phase_results"]
    first = waiting["approval"]
    (repo / "src/util.py").write_text("LIMIT = 30  # mine\n")
    made.decide(first["request_id"], "approved", by="ann")
    (again,) = made.resume(first["run_id"])["phase_results"]
    second = again["approval"]
    assert (again["status"], model.calls) == ("awaiting_approval", 2)
    assert (repo / "src/util.py").read_text() == "LIMIT = 30  # mine\n"
    assert second["request_id"] != first["request_id"]
    assert second["sha256"] != first["sha256"]
    with pytest.raises(AlreadyDecided):
        made.decide(first["request_id"], "approved", by="ann")
    assert made.resume(first["run_id"])["status"] == "awaiting_approval"
    made.decide(second["request_id"], "approved", by="ann")
    (done,) = made.resume(first["run_id"])["phase_results"]
    assert (done["status"], done["retry_count"], done["token_usage"]) == ("succeeded", 1, 300)
    assert (repo / "src/util.py").read_text() == "LIMIT = 31  # mine\n"
    assert [status for status, _ in approvals(made)] == ["consumed", "consumed"]


@pytest.mark.parametrize(
    ("path", "passes"),
    [("tests/test_new.py", True), ("docs/new.md", True), ("src/new.py", False), ("docs/new.py", False)],
)
def test_the_policy_lets_only_new_tests_and_documents_pass(
    path: str, passes: bool, executor: Make, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = Policy(auto_approve=True, approval_from_risk=0, notify_from_risk=6)
    model = Scripted(files(("create", path, "X = 1\n")))
    result = executor(model, policy=policy).execute_phase(phase("Write.", [path]))
    assert result["status"] == ("succeeded" if passes else "rejected")
    assert (repo / path).exists() == passes
    if passes:
        assert result["approval"]["by"] == ["policy"]


def test_in_production_no_policy_approves(executor: Make, repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_ENV", "production")
    policy = Policy(auto_approve=True, approval_from_risk=0, notify_from_risk=6)
    result = executor(Scripted(files(("create", "docs/new.md", "New.\n"))), policy=policy).execute_phase(
        phase("Write.")
    )
    assert result["status"] == "rejected"


def test_blocking_mode_asks_about_one_request_until_there_is_an_answer(executor: Make, repo: Path) -> None:
    clock, slept = FakeClock(), list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.advance(seconds)

    provider = Provider("pending", "pending", "approved")
    made = executor(
        Scripted(CHANGE), approval_provider=provider, policy=Policy(approval_blocks=True), clock=clock, sleep=sleep
    )
    result = made.execute_phase(risky())
    assert (result["status"], slept) == ("succeeded", [10.0, 10.0])
    assert len({each.request_id for each in provider.requests}) == 1


def test_blocking_mode_notices_what_somebody_decides_elsewhere(executor: Make, repo: Path) -> None:
    provider, made = Provider("pending"), list[PhaseExecutor]()

    def sleep(_: float) -> None:
        if len(provider.requests) == 2:
            made[0].decide(provider.requests[0].request_id, "approved", by="ann")

    made.append(
        executor(Scripted(CHANGE), approval_provider=provider, policy=Policy(approval_blocks=True), sleep=sleep)
    )
    result = made[0].execute_phase(risky())
    assert (result["status"], result["approval"]["by"], len(provider.requests)) == ("succeeded", ["ann"], 2)


def test_blocking_mode_ends_when_the_time_is_over(executor: Make, repo: Path) -> None:
    before, clock, provider = tree(repo), FakeClock(), Provider("pending")

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)

    made = executor(
        Scripted(CHANGE), approval_provider=provider, clock=clock, sleep=sleep,
        policy=Policy(approval_blocks=True, approval_timeout=35.0),
    )  # fmt: skip
    result = made.execute_phase(risky())
    assert (result["status"], len(provider.requests)) == ("rejected", 4)
    assert result["error_details"][0]["code"] == "E_APPROVAL_EXPIRED"
    assert tree(repo) == before
