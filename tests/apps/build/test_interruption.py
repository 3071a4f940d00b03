"""Interruptions, full disks and failures with the user's work around: nothing half done stays, nothing of the user's is lost."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from phasegate import PhaseStatus
from phasegate.apps.build import PhaseExecutor, PhaseOrchestrator
from phasegate.apps.build import statements as q
from phasegate.apps.build.applying.transaction import Transaction
from phasegate.apps.build.health.context import CheckResult, HealthContext
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.stages.applying import Accept
from phasegate.llm import Client, Request, Response
from tests.apps.build.applying_steps import failing
from tests.apps.build.conftest import tree
from tests.apps.build.models import Scripted, files, phase
from tests.chaos_build.applying import manifest
from tests.waiting import wait_for

Make = Callable[..., PhaseExecutor]
CHANGE = files(
    ("modify", "src/util.py", "LIMIT = 4\n"), ("create", "new/deep/file.py", "X = 1\n"), ("delete", "README.md"),
)  # fmt: skip


def spec(**more: Any) -> dict[str, Any]:
    return phase(deliverables=["src/util.py", "new/deep/file.py"], context_files=["src/util.py", "README.md"], **more)


def assert_cancelled(made: PhaseExecutor, before: Any, repo: Path, *, calls: int) -> None:
    """The tree is as it was, the run is on record as cancelled with what it cost, and the lock is free."""
    assert tree(repo) == before
    (run,) = made.engine.read(q.RUNS, {"most": 2})
    assert run["status"] == "cancelled"
    (told,) = made.engine.read(q.PHASES, {"run": run["run_id"]})
    assert told["status"] == "cancelled"
    assert {each["status"] for each in made.engine.read(q.ATTEMPTS, {"run": run["run_id"]})} == {"cancelled"}
    recorded = made.engine.read(q.COSTS, {"run": run["run_id"]})
    assert len(recorded) == calls
    assert sum(each["total_tokens"] for each in recorded) == run["token_usage"] == told["tokens_used"]
    assert (run["token_usage"] > 0) == (calls > 0)
    assert made.recover() == []
    assert list((made.shop.state_dir / "txn").glob("*")) == []


class Interrupted(Client):
    """While it is asked, somebody presses Ctrl-C."""

    async def generate(self, request: Request) -> Response:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)
        raise AssertionError("it went on")


def test_interrupted_while_the_model_is_asked(executor: Make, repo: Path) -> None:
    before, made = tree(repo), executor(Interrupted())
    with pytest.raises(KeyboardInterrupt):
        made.execute_phase(spec())
    assert_cancelled(made, before, repo, calls=1)


def test_what_had_succeeded_before_the_interruption_need_not_be_done_again(executor: Make, repo: Path) -> None:
    def press(_: Request) -> Any:
        raise KeyboardInterrupt

    model = Scripted(files(("create", "one.txt", "1\n")), press, files(("create", "two.txt", "2\n")))
    plan = [phase("Write one.", ["one.txt"]), phase("Write two.", ["two.txt"])]
    made = executor(model)
    with pytest.raises(KeyboardInterrupt):
        PhaseOrchestrator(made).run_phases(plan)
    assert (repo / "one.txt").exists()
    (run,) = made.engine.read(q.RUNS, {"most": 2})
    result = PhaseOrchestrator(made).run_phases(plan, run_id=run["run_id"])
    assert (result["successful_phases"], model.calls) == (2, 3)


#: Once the change is on disk, it interrupts whoever started it, and goes on for a while.
INTERRUPTS = """
import os, pathlib, signal, time
if "4" in pathlib.Path("src/util.py").read_text():
    pathlib.Path(__file__).with_name("pid").write_text(str(os.getpid()))
    os.kill(os.getppid(), signal.SIGINT)
    time.sleep(250)
"""


def test_interrupted_while_the_tests_run(executor: Make, repo: Path, tmp_path: Path) -> None:
    (tmp_path / "interrupts.py").write_text(INTERRUPTS)
    before, made = tree(repo), executor(Scripted(CHANGE))
    with pytest.raises(KeyboardInterrupt):
        PhaseOrchestrator(made).run_phases([spec(test_cmd=[sys.executable, str(tmp_path / "interrupts.py")])])
    assert_cancelled(made, before, repo, calls=1)
    for each in threading.enumerate():
        if each.name.startswith("phasegate-phase"):
            each.join(timeout=60)
    with pytest.raises(ProcessLookupError):  # nothing of the command is left
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_interrupted_while_it_waits_for_an_approval(executor: Make, repo: Path) -> None:
    class Pending:
        def decide(self, request: Any) -> str:
            return "pending"

    def sleep(_: float) -> None:
        raise KeyboardInterrupt

    before = tree(repo)
    made = executor(Scripted(CHANGE), approval_provider=Pending(), policy=Policy(approval_blocks=True), sleep=sleep)
    with pytest.raises(KeyboardInterrupt):
        made.execute_phase(spec(requires_approval=True))
    assert_cancelled(made, before, repo, calls=1)


@contextmanager
def only_while_applying(at: int, error: Callable[[], BaseException]) -> Iterator[list[int]]:
    """Whatever ``failing`` does, at the ``at``-th step of putting changes on disk."""
    real, counted = Transaction.commit, [0]

    def commit(self: Transaction) -> None:
        with failing(at, error) as count:
            try:
                real(self)
            finally:
                counted[0] = count[0]

    Transaction.commit = commit  # type: ignore[method-assign]
    try:
        yield counted
    finally:
        Transaction.commit = real  # type: ignore[method-assign]


def pressed() -> BaseException:
    """Ctrl-C is pressed, and the system call is interrupted."""
    os.kill(os.getpid(), signal.SIGINT)
    return InterruptedError(errno.EINTR, "interrupted")


@pytest.mark.parametrize("how", [KeyboardInterrupt, pressed], ids=["raised", "pressed"])
def test_interrupted_while_files_are_changed(how: Callable[[], BaseException], executor: Make, repo: Path) -> None:
    before = tree(repo)
    made = executor(Scripted(CHANGE))
    with only_while_applying(0, how) as counted:
        assert PhaseOrchestrator(made).run_phases([spec()])["status"] == "succeeded"
    steps = counted[0]
    assert steps > 15
    after = tree(repo)
    for step in range(1, steps + 1, 5):
        _put_back(repo, before)
        with only_while_applying(step, how), pytest.raises(KeyboardInterrupt):
            made.execute_phase(spec())
        assert tree(repo) == before, step
        (run, *_) = made.engine.read(q.RUNS, {"most": 1})
        assert (run["status"], run["token_usage"]) == ("cancelled", 150)
    assert made.execute_phase(spec())["success"]
    assert tree(repo) == after


def _put_back(repo: Path, before: Any) -> None:
    (repo / "README.md").write_bytes(before["README.md"][2])
    (repo / "src/util.py").write_bytes(before["src/util.py"][2])
    (repo / "new/deep/file.py").unlink(missing_ok=True)
    for each in ("new/deep", "new"):
        if (repo / each).exists():
            (repo / each).rmdir()


def test_an_interruption_between_the_acceptance_and_the_end_undoes_the_phase(executor: Make, repo: Path) -> None:
    """Whoever stopped it was never told that the phase had succeeded, and the history says that it was cancelled."""
    before = tree(repo)

    def sink(event: Any) -> None:
        if event["type"] == "phase_finished":
            os.kill(os.getpid(), signal.SIGINT)

    made = executor(Scripted(CHANGE), event_sink=sink)
    try:
        result = made.execute_phase(spec())
    except KeyboardInterrupt:
        (run,) = made.engine.read(q.RUNS, {"most": 2})
        (told,) = made.engine.read(q.PHASES, {"run": run["run_id"]})
        assert (tree(repo) == before) == (told["status"] == "cancelled")
    else:  # the signal came when everything was over
        assert result["success"]


def test_what_was_undone_just_before_its_acceptance_is_put_on_disk_again(
    executor: Make, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a process that has died there, and the one that came after it."""
    real, restored = Accept.work, list[Any]()

    def later(self: Accept, context: Any) -> Any:
        restored.extend(made.shop.applier.recover(lambda _: False))
        assert tree(repo) == before
        return real(self, context)

    monkeypatch.setattr(Accept, "work", later)
    before, made = tree(repo), executor(Scripted(CHANGE))
    result = PhaseOrchestrator(made).run_phases([spec()])
    assert ([each.outcome for each in restored], result["status"]) == (["rolled_back"], "succeeded")
    assert (repo / "src/util.py").read_text() == "LIMIT = 4\n"
    assert not (repo / "README.md").exists()
    assert made.recover() == []


class Busy:
    """Somebody presses Ctrl-C when a stage is about to have the tree, which it has put in order before; it gets it later."""

    def __init__(self) -> None:
        self.own, self.go_on, self.wanted = threading.RLock(), threading.Event(), 0

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            self.wanted += 1
            if self.wanted == 3:
                os.kill(os.getpid(), signal.SIGINT)
                assert self.go_on.wait(60)
        self.own.acquire()

    def __exit__(self, *_: object) -> None:
        self.own.release()


def test_a_stage_that_nobody_waits_for_any_more_changes_nothing(executor: Make, repo: Path) -> None:
    before, made, busy = tree(repo), executor(Scripted(CHANGE)), Busy()
    made.shop.busy = busy  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        made.execute_phase(spec())
    late = [each for each in threading.enumerate() if each.name.startswith("phasegate-phase")]
    assert late
    with made.shop.lock:  # the next run has begun
        busy.go_on.set()
        for each in late:
            each.join()
    assert_cancelled(made, before, repo, calls=1)


def test_a_process_that_has_lost_the_lock_changes_nothing(executor: Make, repo: Path) -> None:
    """It was stopped for long, and another one has taken over."""
    before = tree(repo)

    def stopped(_: Request) -> Any:
        (made.shop.state_dir / "new").write_text("")
        os.replace(made.shop.state_dir / "new", made.shop.state_dir / "lock")
        return CHANGE

    made = executor(Scripted(stopped))
    result = made.execute_phase(spec())
    assert [each["code"] for each in result["error_details"]] == ["E_LOCKED"]
    assert tree(repo) == before


def test_an_interruption_of_another_executor_is_raised() -> None:
    class Other:
        def execute_phase(self, phase_spec: Any, context_files: Any, protected_paths: Any = None) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        PhaseOrchestrator(Other()).run_phases([phase()])


# --- disks and databases ------------------------------------------------------------------------------------------------


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_takes_no_more_leaves_the_tree_and_stops_the_run(
    executor: Make, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, model = tree(repo), Scripted(files(("create", "new.txt", "x" * 10_000 + "\n")))
    made = executor(model)
    begin = made.shop.applier.begin

    def short(id: str, *arguments: Any, **options: Any) -> Transaction:
        # The database is not to be written to meanwhile: that the stage has begun is on record soon.
        run_id = id.rsplit("-", 2)[0]
        wait_for(
            lambda: made.engine.get(run_id).at("1.apply").status is PhaseStatus.RUNNING, "the stage to be recorded"
        )
        with no_file_longer_than(4_096):
            return begin(id, *arguments, **options)

    monkeypatch.setattr(made.shop.applier, "begin", short)
    plan = [phase("Write.", ["new.txt"]), phase("Write more.", ["new.txt"])]
    result = PhaseOrchestrator(made, enable_health_checks=False).run_phases(plan, stop_on_failure=False)
    (told,) = result["phase_results"]
    assert [(each["code"], each["category"]) for each in told["error_details"]] == [("E_FS", "fatal")]
    assert (result["skipped_phases"], model.calls, tree(repo)) == (1, 1, before)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_an_error_of_the_disk_at_any_step_of_the_apply_stops_the_run(number: int, executor: Make, repo: Path) -> None:
    before, model = tree(repo), Scripted(CHANGE)
    made = executor(model)
    plan = [spec(), spec(phase_id="second")]
    for step in (1, 4, 9, 14):
        with only_while_applying(step, lambda: OSError(number, os.strerror(number))):
            result = PhaseOrchestrator(made, enable_health_checks=False).run_phases(plan, stop_on_failure=False)
        (told,) = result["phase_results"]
        assert told["error_details"][0]["code"] in ("E_FS", "E_DISK_FULL")
        assert (told["files_changed"], result["skipped_phases"], tree(repo)) == ([], 1, before)
    assert model.calls == 4


def test_a_database_that_fails_after_the_apply_takes_the_change_back(
    executor: Make, repo: Path, tmp_path: Path
) -> None:
    before = tree(repo)

    def fill(event: Any) -> None:
        if event["type"] == "applied":
            assert tree(repo) != before
            resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, hard))

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    made = executor(Scripted(CHANGE), event_sink=fill)
    try:
        result = made.execute_phase(spec())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [each["code"] for each in result["error_details"]] == ["E_HISTORY"]
    assert (result["files_changed"], tree(repo)) == ([], before)
    made.close()
    later = executor(Scripted("never asked"))
    (run,) = later.engine.read(q.RUNS, {"most": 2})
    assert run["status"] == "interrupted"
    told = later.resume(run["run_id"])
    assert (told["status"], told["token_usage"]) == ("succeeded", 150)
    assert (repo / "src/util.py").read_text() == "LIMIT = 4\n"


# --- the user's own work -------------------------------------------------------------------------------------------------


def unhealthy(context: HealthContext) -> CheckResult:
    return CheckResult("never", "fail", "not healthy")


@pytest.mark.parametrize("git", [True, False], ids=["git", "no git"])
def test_everything_else_survives_a_failed_phase_byte_for_byte(git: bool, executor: Make, repo: Path) -> None:
    """Staged, changed, untracked and ignored files, links, modes, times, and whatever git keeps."""
    if git:
        run_git(repo, "init", "--quiet")
        (repo / ".gitignore").write_text("ignored/\n")
        run_git(repo, "add", "-A")
        run_git(repo, "commit", "--quiet", "-m", "before")
        (repo / "src/app.py").write_text("staged = True\n")
        run_git(repo, "add", "src/app.py")
    (repo / "src/app.py").write_bytes(b"changed = True\r\n\xff\xfe")
    (repo / "README.md").write_text("# Mine\n")
    for name, data in (("untracked.bin", bytes(range(256))), ("ignored/cache.txt", b"x"), ("run.sh", b"#!/bin/sh\n")):
        (repo / name).parent.mkdir(exist_ok=True)
        (repo / name).write_bytes(data)
        os.utime(repo / name, ns=(10**18, 10**18))
    (repo / "run.sh").chmod(0o755)
    (repo / "empty").mkdir()
    (repo / "link").symlink_to("nowhere")
    before = manifest(repo)
    made = executor(Scripted(CHANGE), checks=[unhealthy])
    result = PhaseOrchestrator(made, max_retries=1).run_phases([spec()])
    (told,) = result["phase_results"]
    assert "E_HEALTH_" in told["error_details"][0]["code"]
    assert told["retry_count"] == 1
    assert manifest(repo) == before


def run_git(repo: Path, *words: str) -> None:
    settings = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *settings, *words], cwd=repo, check=True, capture_output=True)
