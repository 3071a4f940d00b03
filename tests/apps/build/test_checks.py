"""The checks of a repository's health, made on real repositories."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from phasegate.apps.build.health import checks, commands, manifest, testing
from phasegate.apps.build.health.baseline import Baseline
from phasegate.apps.build.health.checking import check_health, make, passed, take_baseline
from phasegate.apps.build.health.context import CheckResult, HealthContext
from phasegate.apps.build.health.manifest import Manifest
from phasegate.apps.build.paths.protection import Protection
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import Command, FileFacts, PhaseSpec, Planned
from phasegate.llm import open_client

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
SPEC = PhaseSpec("one", "One", "Do one thing", deliverables=("src/a.py",))


def context_of(place: Path, **fields: Any) -> HealthContext:
    root = Root(place)
    protection = Protection(fields.pop("protected", None), folds=root.folds)
    made = HealthContext(root, SPEC, Policy(), protection, lambda command: commands.run(command, root.path))
    return replace(made, **fields)


def looked(context: HealthContext, watched: tuple[str, ...] = (), own: tuple[str, ...] = ()) -> HealthContext:
    """The context with what the repository looks like now as what it looked like before."""
    found = observed(context, watched, own)
    return replace(context, manifest=Manifest.from_told(json.loads(json.dumps(found.told()))))


def observed(context: HealthContext, watched: Iterable[str], own: tuple[str, ...] = ()) -> Manifest:
    """What the repository looks like now."""
    return manifest.take(context.root, context.protection, watched, context.run, context.policy, own=own)


def after(context: HealthContext, own: tuple[str, ...] = ()) -> HealthContext:
    """The context as it is after a change."""
    return replace(context, now=observed(context, context.manifest.watched if context.manifest else (), own))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.py").write_text("x = 1\n")
    (tmp_path / "other.txt").write_text("other\n")
    (tmp_path / ".autonomous_runs").mkdir()
    (tmp_path / ".autonomous_runs/log").write_text("kept\n")
    return tmp_path


def git(place: Path, *words: str) -> str:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
    return subprocess.run(("git", *who, *words), cwd=place, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(place: Path) -> Path:
    git(place, "init", "-q")
    (place / ".gitignore").write_text(".autonomous_runs/\n*.log\n")
    git(place, "add", ".")
    git(place, "commit", "-q", "-m", "first")
    return place


def write(path: str, data: bytes = b"x = 2\n") -> Planned:
    return Planned(path, "modify", FileFacts(path, "0" * 64), data)


def test_a_workspace_must_be_there_and_have_room(place: Path) -> None:
    context = context_of(place)
    assert checks.workspace(context).status == "pass"
    full = replace(context, policy=Policy(min_free_bytes=1 << 62))
    assert checks.workspace(full).status == "fail"
    shutil.rmtree(place)
    assert checks.workspace(context).harmful


def test_the_least_room_is_enough() -> None:
    assert checks.has_room(100, 100)
    assert not checks.has_room(99, 100)


def test_a_history_must_be_in_order(place: Path) -> None:
    context = context_of(place)
    assert checks.history_db(context).status == "skip"
    assert checks.history_db(replace(context, history=lambda: None)).status == "pass"
    bad = checks.history_db(replace(context, history=lambda: "the database is damaged"))
    assert (bad.harmful, bad.message) == (True, "the database is damaged")


def test_protected_files_must_stay_as_they_are(place: Path) -> None:
    (place / "secrets").mkdir()
    (place / "secrets/key.txt").write_text("one\n")
    own = (".autonomous_runs/state/",)
    context = looked(context_of(place, protected=["secrets/", "*.pem", ".autonomous_runs/"]), own=own)
    (place / ".autonomous_runs/state").mkdir()
    (place / ".autonomous_runs/state/journal").write_text("mine\n")
    (place / "src/a.py").write_text("x = 2\n")
    assert checks.protected_unchanged(after(context, own)).status == "pass"
    (place / "secrets/key.txt").write_text("two\n")
    (place / "new.pem").write_text("x\n")
    (place / ".autonomous_runs/log").unlink()
    result = checks.protected_unchanged(after(context, own))
    assert result.harmful
    assert result.details["paths"] == [".autonomous_runs/log", "new.pem", "secrets/key.txt"]


@needs_git
def test_the_settings_and_hooks_of_git_are_protected(repository: Path) -> None:
    context = looked(context_of(repository))
    assert checks.protected_unchanged(after(context)).status == "pass"
    (repository / ".git/hooks/post-commit").write_text("#!/bin/sh\n")
    (repository / ".git/config").write_text("[core]\n")
    assert checks.protected_unchanged(after(context)).details["paths"] == [".git/config", ".git/hooks/post-commit"]


def test_without_git_the_watched_files_must_stay(place: Path) -> None:
    context = looked(context_of(place, planned=(write("src/a.py"),)), ("src/a.py", "other.txt", "none.txt"))
    (place / "src/a.py").write_text("x = 2\n")
    (place / "unwatched.txt").write_text("x\n")
    assert checks.unexpected_changes(after(context)).status == "pass"
    (place / "none.txt").write_text("x\n")
    (place / "other.txt").write_text("changed\n")
    result = checks.unexpected_changes(after(context))
    assert result.harmful
    assert result.details["paths"] == ["none.txt", "other.txt"]


def test_a_rewrite_with_the_same_content_is_no_change(place: Path) -> None:
    context = looked(context_of(place), ("other.txt",))
    (place / "other.txt").unlink()
    (place / "other.txt").write_text("other\n")
    assert checks.unexpected_changes(after(context)).status == "pass"


def test_what_is_too_much_to_read_is_compared_by_its_size(place: Path) -> None:
    context = looked(context_of(place, policy=Policy(max_manifest_bytes=0)), ("other.txt",))
    assert checks.unexpected_changes(after(context)).status == "pass"
    (place / "other.txt").write_text("longer than before\n")
    assert checks.unexpected_changes(after(context)).status == "fail"


@needs_git
@pytest.mark.parametrize("inner", ["", "src"], ids=["whole", "part"])
def test_with_git_nothing_else_may_change_and_the_index_is_left_alone(repository: Path, inner: str) -> None:
    (repository / "src/draft \u00e9.txt").write_text("mine, uncommitted\n")
    (repository / "src/a.py").write_text("x = 1\ny = 1\n")
    index = (repository / ".git/index").read_bytes()
    prefix = "" if inner else "src/"
    context = looked(context_of(repository / inner, planned=(write(f"{prefix}b.py"),)))
    (repository / "src/b.py").write_text("x = 2\n")
    (repository / "src/ignored.log").write_text("x\n")
    assert checks.unexpected_changes(after(context)).status == "pass"
    (repository / "src/draft \u00e9.txt").write_text("not mine any more\n")
    (repository / "src/a.py").write_text("x = 1\ny = 2\n")
    (repository / "src/stray.txt").write_text("x\n")
    result = checks.unexpected_changes(after(context))
    assert result.details["paths"] == [f"{prefix}{name}" for name in ("a.py", "draft \u00e9.txt", "stray.txt")]
    assert (repository / ".git/index").read_bytes() == index
    assert not (repository / ".git/index.lock").exists()


@needs_git
def test_asking_git_starts_no_program_of_the_repository(repository: Path) -> None:
    (repository / "spy").write_text("#!/bin/sh\ntouch spied\n")
    (repository / "spy").chmod(0o755)
    git(repository, "config", "core.fsmonitor", str(repository / "spy"))
    looked(context_of(repository))
    assert not (repository / "spied").exists()


@needs_git
def test_git_may_be_in_the_middle_of_nothing(repository: Path) -> None:
    context = looked(context_of(repository))
    assert checks.vcs_state(context).status == "pass"
    (repository / ".git/MERGE_HEAD").write_text("x\n")
    result = checks.vcs_state(context)
    assert (result.status, result.critical, result.message) == ("warn", False, "git is in the middle of a merge")
    (repository / ".git/MERGE_HEAD").unlink()
    git(repository, "commit", "-q", "--allow-empty", "-m", "second")
    assert "another commit" in checks.vcs_state(context).message


def test_without_git_its_state_is_skipped_and_not_passed(place: Path) -> None:
    absent = commands.CommandResult(None, missing="git is not installed")
    assert checks.vcs_state(context_of(place, run=lambda command: absent)).status == "skip"


def test_deliverables_and_changed_files_are_looked_at_on_disk(place: Path) -> None:
    context = context_of(
        place, planned=(write("src/a.py"), Planned("gone.py", "delete", FileFacts("gone.py", "0" * 64)))
    )
    ours: tuple[Callable[[HealthContext], CheckResult], ...] = (
        checks.deliverables_present,
        checks.readable,
        checks.conflict_markers,
    )
    assert [each(context).status for each in ours] == ["pass"] * 3
    (place / "src/a.py").write_text("x = (\n<<<<<<< a\n=======\n>>>>>>> b\n")
    assert [each(context).status for each in ours] == ["pass", "fail", "fail"]
    assert checks.readable(replace(context, unreadable=("src/a.py",))).status == "pass"
    (place / "src/a.py").write_text("\n")
    assert checks.deliverables_present(context).harmful


def test_a_client_without_a_key_is_told_before_anything_is_sent(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = open_client("openai:some-model")
    monkeypatch.setenv("OPENAI_API_KEY", "a key")
    assert checks.credentials(context_of(place)).status == "skip"
    assert checks.credentials(context_of(place, client=client.ready)).status == "pass"
    monkeypatch.delenv("OPENAI_API_KEY")
    result = checks.credentials(context_of(place, client=client.ready))
    assert (result.status, result.critical) == ("warn", False)
    assert "set the environment variable OPENAI_API_KEY" in result.message


def suite(code: str) -> Command:
    return Command((sys.executable, "-c", code), name="suite")


RESULT = (
    "import pathlib, sys; print(pathlib.Path('result').read_text()); sys.exit(int(pathlib.Path('code').read_text()))"
)


def say(place: Path, code: int, *failing: str) -> None:
    words = "".join(f"FAIL: {name} (m.C.{name})\n" for name in failing)
    (place / "result").write_text(f"{words}Ran 5 tests in 0.1s\n")
    (place / "code").write_text(str(code))


def test_tests_are_judged_by_what_is_new(place: Path) -> None:
    say(place, 1, "old")
    context = context_of(place, commands=(suite(RESULT),))
    context = replace(context, baseline=take_baseline(context))
    assert testing.tests(context).status == "pass"
    say(place, 1, "new", "old")
    result = testing.tests(context)
    assert result.harmful
    assert result.details["regressions"] == ["m.C.new"]
    assert "FAIL: new" in result.details["commands"]["suite"]["output"]
    assert context.reports["suite"].failing == ("m.C.new", "m.C.old")


FLAKY = """
import pathlib, sys
first = not pathlib.Path('ran').exists()
pathlib.Path('ran').write_text('x')
print('FAIL: shaky (m.C.shaky)' if first else '')
print('Ran 5 tests in 0.1s')
sys.exit(first)
"""


def test_a_test_that_fails_only_once_is_a_warning_and_no_part_of_the_next_baseline(place: Path) -> None:
    context = context_of(place, commands=(suite(FLAKY),), baseline=Baseline())
    result = testing.tests(context)
    assert (result.status, result.details["flaky"], result.details["regressions"]) == ("warn", ["m.C.shaky"], [])
    assert context.reports["suite"].failing == ()


def test_tests_that_cannot_be_run_are_skipped_and_not_passed(place: Path) -> None:
    assert testing.tests(context_of(place)).status == "skip"
    missing = context_of(place, commands=(Command(("no-such-tool-here",)),))
    result = testing.tests(missing)
    assert (result.status, result.message) == ("skip", "tests: no-such-tool-here is not installed")


def test_the_phases_own_command_is_run_too_and_each_only_once(place: Path) -> None:
    own = replace(SPEC, test_cmd=("no-such-tool-here",))
    assert [c.argv for c in context_of(place, spec=own).all_commands] == [("no-such-tool-here",)]
    both = context_of(place, spec=own, commands=(suite("pass"), Command(("no-such-tool-here",))))
    assert len(both.all_commands) == 2


def test_a_junit_file_counts_only_if_this_run_wrote_it(place: Path) -> None:
    stale = '<testsuite><testcase classname="m" name="t"><failure/></testcase></testsuite>'
    (place / "r.xml").write_text(stale)
    quiet = Command((sys.executable, "-c", "raise SystemExit(1)", "--junitxml=r.xml"), name="suite")
    context = context_of(place, commands=(quiet,))
    assert take_baseline(context).reports["suite"].runner == "unknown"
    code = f"import pathlib; pathlib.Path('r.xml').write_text({stale!r} + '\\n'); raise SystemExit(1)"
    fresh = context_of(place, commands=(Command((sys.executable, "-c", code, "--junitxml=r.xml"), name="suite"),))
    assert take_baseline(fresh).reports["suite"].failing == ("m.t",)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], True), ([("pass", True)], True), ([("warn", True)], True), ([("skip", True)], True), ([("fail", False)], True),
        ([("fail", True)], False), ([("pass", True), ("fail", True), ("pass", True)], False),
    ],
    ids=range(7),
)  # fmt: skip
def test_only_a_critical_failure_is_one_of_the_phase(statuses: list[tuple[Any, bool]], expected: bool) -> None:
    assert passed(CheckResult("x", status, "", critical=critical) for status, critical in statuses) is expected


def test_a_check_that_raises_or_gives_nonsense_has_failed(place: Path) -> None:
    def lint(context: HealthContext) -> CheckResult:
        raise ModuleNotFoundError("no module named lint")

    def nonsense(context: HealthContext) -> Any:
        return True

    def unknown(context: HealthContext) -> Any:
        return CheckResult("unknown", "BLOCKED", "x")  # type: ignore[arg-type]

    health = check_health(context_of(place), custom=(lint, nonsense, unknown), only=())
    assert [each.status for each in health.checks] == ["fail"] * 3
    assert not health.passed
    assert health.checks[0].message == "the check failed itself: ModuleNotFoundError: no module named lint"
    assert [each.code for each in health.errors] == ["E_HEALTH_LINT", "E_HEALTH_NONSENSE", "E_HEALTH_UNKNOWN"]


def test_a_check_of_the_callers_may_be_uncritical(place: Path) -> None:
    health = check_health(
        context_of(place), custom=(lambda _: CheckResult("style", "fail", "ugly", critical=False),), only=()
    )
    assert health.passed
    assert health.warnings == ["style: ugly"]


def test_an_own_check_that_raises_fails_too(place: Path) -> None:
    def broken(command: Command) -> Any:
        raise RuntimeError("no processes left")

    health = check_health(context_of(place, run=broken, manifest=Manifest()), only=("vcs_state",))
    assert not health.passed


@needs_git
def test_the_result_has_its_shape_and_its_order(repository: Path) -> None:
    context = looked(context_of(repository, planned=(write("src/a.py"),), baseline=Baseline()))
    (repository / "src/a.py").write_text("x = 2\n")
    ticks = iter(range(1000))
    health = check_health(context, phase_index=3, attempt=1, clock=lambda: float(next(ticks)))
    told = json.loads(json.dumps(health.told()))
    assert set(told) == {
        "phase_index",
        "phase_id",
        "attempt",
        "passed",
        "checks",
        "regressions",
        "baseline_id",
        "duration",
    }
    assert (told["phase_index"], told["phase_id"], told["attempt"], told["passed"]) == (3, "one", 1, True)
    assert [each["name"] for each in told["checks"]] == [
        "workspace", "history_db", "vcs_state", "protected_unchanged", "unexpected_changes", "deliverables_present", "syntax",
        "conflict_markers", "tests",
    ]  # fmt: skip
    assert set(told["checks"][0]) == {"name", "status", "critical", "message", "duration_ms", "details"}
    assert told["checks"][0]["duration_ms"] == 1000
    before = check_health(replace(context, moment="before"))
    assert [each.name for each in before.checks] == ["workspace", "history_db", "credentials", "vcs_state"]


def test_a_failure_of_the_machine_is_not_the_models(place: Path) -> None:
    def gone(context: HealthContext) -> CheckResult:
        return CheckResult("workspace", "fail", "x")

    health = check_health(context_of(place), custom=(gone, lambda _: CheckResult("tests", "fail", "x")), only=())
    assert [each.retryable for each in health.errors] == [False, True]
    assert make("x", gone, context_of(place)).name == "workspace"


def test_checks_change_nothing(place: Path) -> None:
    def tree() -> dict[Path, bytes]:
        return {p: p.read_bytes() for p in place.rglob("*") if p.is_file()}

    before = tree()
    context = looked(context_of(place, commands=(suite("pass"),)), ("other.txt",))
    check_health(context)
    check_health(replace(context, moment="before"))
    assert tree() == before


def test_what_git_lists_anew_because_of_what_it_ignores_is_only_told(place: Path) -> None:
    git(place, "init", "-q")
    (place / "debug.log").write_text("x\n")
    context = context_of(place)

    def looked() -> Manifest:
        return manifest.take(context.root, context.protection, (), context.run, context.policy)

    before = looked()
    (place / ".gitignore").write_text("*.log\n")
    planned = (Planned(".gitignore", "create", FileFacts(".gitignore"), b"*.log\n", 0o644),)
    found = checks.unexpected_changes(replace(context, planned=planned, manifest=before, now=looked()))
    assert (found.status, found.details["paths"]) == ("warn", ["debug.log"])
    (place / "src/a.py").write_text("other\n")
    found = checks.unexpected_changes(replace(context, planned=planned, manifest=before, now=looked()))
    assert (found.status, found.details["paths"]) == ("fail", ["src/a.py"])


def test_who_works_with_git_meanwhile_changes_nothing_protected(place: Path) -> None:
    git(place, "init", "-q")
    context = context_of(place)
    before = manifest.take(context.root, context.protection, (), context.run, context.policy)
    git(place, "add", ".")
    git(place, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qm", "x")
    after = manifest.take(context.root, context.protection, (), context.run, context.policy)
    assert manifest.differences(before.protected, after.protected) == []
    (place / ".git/hooks/pre-commit").write_text("#!/bin/sh\n")
    after = manifest.take(context.root, context.protection, (), context.run, context.policy)
    assert manifest.differences(before.protected, after.protected) == [".git/hooks/pre-commit"]
