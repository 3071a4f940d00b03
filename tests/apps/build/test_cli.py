"""The command line of builds: a plan from the first command to the last, and everything that is typed wrongly."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from phasegate.apps.build import PhaseExecutor
from phasegate.apps.build.applying.lock import RepositoryLock
from phasegate.apps.build.applying.staging import plan as staged
from phasegate.apps.build.applying.transaction import Applier
from phasegate.apps.build.cli import app
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.runs import subject_of
from phasegate.apps.build.schema import Change
from phasegate.apps.build.stages import validating
from phasegate.cli import main
from phasegate.llm import Recorder
from tests.apps.build.conftest import FILES, tree
from tests.apps.build.models import Scripted, files

Call = Callable[..., tuple[int, str, str]]

#: Two phases, of which the second needs somebody who approves it.
PLAN = """\
phases:
- phase_id: limit
  description: Raise the limit.
  deliverables: [src/util.py]
- phase_id: readme
  description: Tell of the limit.
  deliverables: [README.md]
  requires_approval: true
"""
LIMIT = files(("modify", "src/util.py", "LIMIT = 4\n"), summary="Raised the limit.")
README = files(("modify", "README.md", "# App\n\nAt most four \u2014 Übung.\n"), summary="Told of the limit.")
CHANGED = {"src/util.py": "LIMIT = 4\n", "README.md": "# App\n\nAt most four \u2014 Übung.\n"}
RUN = ("run", "plan.yaml", "--repo", "repo", "--replay", "answers")


class Yes:
    """Approves everything."""

    def decide(self, request: object) -> Any:
        return "approved"


def write(root: Path) -> None:
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recorded answers to the plan."""
    folder = tmp_path_factory.mktemp("answers")
    write(folder / "repo")
    model = Scripted(lambda request: LIMIT if "Id: limit" in request.user else README)
    recorder = Recorder(model, folder / "answers")
    with PhaseExecutor(recorder, folder / "repo", folder / "build.db", approval_provider=Yes()) as executor:
        result = executor.run_plan(yaml.safe_load(PLAN)["phases"])
    assert result["status"] == "succeeded"
    return folder / "answers"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, answers: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the repository, the plan and the answers, in which commands are typed; no settings of this machine."""
    for name in [name for name in os.environ if name.startswith("PHASEGATE_")]:
        monkeypatch.delenv(name)
    write(tmp_path / "repo")
    (tmp_path / "plan.yaml").write_text(PLAN)
    (tmp_path / "answers").symlink_to(answers)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Call:
    """Call a command; no call may ever show a traceback, or control what a terminal does."""

    def call(*words: str, database: str = "sqlite:///build.db") -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["--database", database, "build", *words])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert [c for c in out + err if not (c.isprintable() or c in "\n\t")] == []
        return code, out, err

    return call


def told(cli: Call, *words: str) -> Any:
    """What a command answers as JSON: one document, and nothing beside it."""
    code, out, err = cli(*words, "--json")
    assert (code, err) == (0, ""), out + err
    return json.loads(out)


def texts(root: Path = Path("repo")) -> dict[str, str]:
    return {name: (root / name).read_text() for name in FILES}


# --- the main job -----------------------------------------------------------------------------------------------------


def test_a_plan_by_one_command_after_the_other(cli: Call) -> None:
    code, out, err = cli(*RUN)
    assert (code, err) == (0, ""), out + err
    assert "Raise the limit." in out
    assert "Health before the first phase: healthy" in out
    assert (
        "limit: scripted answered, 150 tokens\nmodify src/util.py (+1 -1)\n--- a/src/util.py\n+++ b/src/util.py\n"
        in out
    )
    assert "limit: applied src/util.py\nlimit: health: healthy\nlimit: succeeded\n" in out
    assert "readme: needs approval, risk 100" in out
    assert ": awaiting_approval, 300 tokens.\n" in out
    run = told(cli, "show")["run"]["run_id"]
    approve = f"phasegate build approve {run}/2/0/approval --by NAME --database sqlite:///build.db"
    assert approve in out
    assert approve in cli("show")[1]
    assert texts() == FILES | {"src/util.py": "LIMIT = 4\n"}

    code, out, _ = cli("diff", run, "--phase", "readme")
    assert (code, out.splitlines()[1:4]) == (0, ["modify README.md (+2 -0)", "--- a/README.md", "+++ b/README.md"])
    assert out.startswith("readme (awaiting_approval), change ")
    code, out, _ = cli("approve", f"{run}/2/0/approval", "--by", "ann", "--comment", "fine")
    assert (code, "readme: applied README.md" in out, "answered" in out) == (0, True, False)
    assert f"Run {run}: succeeded, 300 tokens." in out
    assert texts() == FILES | CHANGED

    code, out, _ = cli("show", run[:12])
    assert (code, "Health before: " in out, "Health after attempt 1 of readme: " in out) == (0, True, True)
    shown = told(cli, "show")
    assert [(each["phase_id"], each["status"]) for each in shown["phases"]] == [
        ("limit", "succeeded"), ("readme", "succeeded"),
    ]  # fmt: skip
    assert cli("diff")[1].count("+++ b/") == 2
    assert "succeeded" in cli("history")[1]
    kinds = [each["type"] for each in told(cli, "history", run)]
    assert (kinds[0], kinds[-1], "approval_decided" in kinds) == ("run_started", "run_finished", True)
    assert "approval_requested" in cli("history", run)[1]
    assert cli("restore")[1] == "Nothing had to be put back.\n"


def test_a_diff_that_is_not_all_of_it_says_so(cli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validating, "MOST_DIFF", 60)
    assert cli(*RUN, "--no-health")[0] == 0
    code, out, _ = cli("diff", "--phase", "readme")
    assert (code, out.splitlines()[1]) == (0, "modify README.md (+2 -0)")
    assert out.splitlines()[-1].startswith("... not shown: ")
    assert out.endswith(" characters of README.md\n")
    assert told(cli, "diff")["limit"]["diff"].endswith(" characters of src/util.py\n")


def test_every_command_answers_with_one_json_document(cli: Call) -> None:
    found: dict[str, Any] = {}

    def ask(*words: str) -> Any:
        found[words[0]] = told(cli, *words)
        return found[words[0]]

    assert ask(*RUN)["status"] == "awaiting_approval"
    assert ask("show")["waiting"][0]["status"] == "pending"
    assert list(ask("diff")) == ["limit", "readme"]
    assert ask("resume")["status"] == "awaiting_approval"
    assert ask("approve", "--by", "ann")["status"] == "succeeded"
    assert ask("restore")["restored"] == []
    assert [each["status"] for each in ask("history")] == ["succeeded"]
    shutil.rmtree("repo")
    write(Path("repo"))
    assert told(cli, *RUN)["status"] == "awaiting_approval"
    code, out, _ = cli("reject", "--by", "ann", "--json")
    found["reject"] = json.loads(out)
    assert (code, found["reject"]["phase_results"][1]["status"]) == (1, "rejected")
    names = {each.name or (each.callback.__name__ if each.callback else "") for each in app.registered_commands}
    assert names == set(found)
    code, out, err = cli("show", "nothing", "--json")
    assert (code, json.loads(out)["error"]["type"], "nothing" in err) == (2, "InputError", True)


def test_what_is_rejected_is_not_applied_and_the_reason_is_told(cli: Call) -> None:
    assert cli(*RUN)[0] == 0
    code, out, _ = cli("reject", "--by", "ann", "--comment", "not these words")
    assert (code, "rejected by ann: not these words" in out) == (1, True), out
    assert texts() == FILES | {"src/util.py": "LIMIT = 4\n"}
    code, _, err = cli("approve", "--by", "bob")
    assert (code, "nothing waits for approval" in err) == (2, True), err


def test_a_decision_can_be_recorded_without_going_on(cli: Call) -> None:
    assert subprocess.run([*PROGRAM, *RUN], capture_output=True).returncode == 0  # a process that has ended since
    run = told(cli, "show")["run"]["run_id"]
    assert cli("approve", run[:10], "--by", "ann", "--stay")[1].endswith("/2/0/approval: approved\n")
    assert texts()["README.md"] == FILES["README.md"]
    assert "The decision is recorded. Go on with:" in cli("show")[1]
    code, _, err = cli("approve", "--by", "bob")
    assert (code, "build show says what to do" in err) == (2, True), err
    code, out, _ = cli("resume")
    assert (code, "answered" in out) == (0, False)
    assert texts() == FILES | CHANGED
    code, _, err = cli("resume")
    assert (code, "no run to go on with" in err) == (2, True), err


@pytest.mark.parametrize(
    ("model", "said"), [("anthropic:b", "ANTHROPIC_API_KEY"), ("a:b", "name it as provider:model")]
)
def test_a_model_that_cannot_be_asked_is_told_before_anything_begins(
    cli: Call, place: Path, monkeypatch: pytest.MonkeyPatch, model: str, said: str
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    before = tree(place)
    code, out, err = cli("run", "plan.yaml", "--repo", "repo", "--model", model)
    assert (code, out, said in err) == (1, "", True), err
    assert tree(place) == before


def test_answers_that_could_not_be_kept_are_not_paid_for(cli: Call, place: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a key")
    before = tree(place)
    record = ("--record", "/proc/kept")  # where not even the administrator may write
    code, _, err = cli("run", "plan.yaml", "--repo", "repo", "--model", "anthropic:b", *record)
    assert (code, "/proc/kept cannot be written" in err) == (2, True), err
    assert tree(place) == before


SLOW = """
import pathlib, time
if 'LIMIT = 4' in pathlib.Path('src/util.py').read_text() and pathlib.Path('../slow').exists(): time.sleep(600)
"""


@pytest.mark.parametrize("numbers", [[2], [2, 2], [2, 2, 2], [15, 15], [1, 2]], ids=str)
def test_whoever_interrupts_more_than_once_has_everything_put_back(cli: Call, numbers: list[int]) -> None:
    plan = [{"phase_id": "limit", "description": "Raise it.", "deliverables": ["src/util.py"]}]
    plan[0]["test_cmd"] = [sys.executable, "-c", SLOW]
    Path("slow.yaml").write_text(yaml.safe_dump(plan))
    with PhaseExecutor(Recorder(Scripted(LIMIT), "recorded"), "repo", Path("first.db").absolute()) as executor:
        assert executor.run_plan(plan)["status"] == "succeeded"
    write(Path("repo"))
    Path("slow").write_text("")
    before = tree(Path("repo"))
    words = [*PROGRAM, "run", "slow.yaml", "--repo", "repo", "--replay", "recorded"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [""]
    while "applied src/util.py" not in lines[-1]:
        lines.append(process.stdout.readline())
        assert lines[-1], "".join(lines)
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.05)  # as fast as somebody types; the outcome is the same with any pause
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "as it was before" in err, "Traceback" in err) == (130, True, False), err
    assert tree(Path("repo")) == before
    assert told(cli, "show")["run"]["status"] == "cancelled"


@pytest.mark.parametrize(
    ("policy", "approved"),
    [(None, False), ("approval_from_risk: 101", True), ("auto_approve: true", False)],
)
def test_without_anybody_to_ask_the_policy_decides(cli: Call, policy: str | None, approved: bool) -> None:
    if policy:
        Path("policy.yaml").write_text(policy)
    code, out, _ = cli(*RUN, "--approve", "policy.yaml" if policy else "never", "--no-health")
    assert (code, "Health before" in out) == (0 if approved else 1, False)
    assert texts() == FILES | (CHANGED if approved else {"src/util.py": "LIMIT = 4\n"})


def test_costs_are_told_when_prices_are_given(cli: Call) -> None:
    Path("prices.toml").write_text("[scripted]\ninput = 10\noutput = 100\n")
    assert "300 tokens, 0.0120 USD." in cli(*RUN, "--prices", "prices.toml", "--no-health")[1]
    assert told(cli, "show")["cost"] == pytest.approx(0.012)
    assert "0.0060" in cli("show")[1]


def test_a_dry_run_changes_nothing(cli: Call, place: Path) -> None:
    before = tree(place)
    code, out, _ = cli("run", "plan.yaml", "--repo", "repo", "--dry-run")
    assert (code, "src/util.py (full)" in out, "No model was asked" in out) == (0, True, True)
    assert [each["phase_id"] for each in told(cli, *RUN[:4], "--dry-run")] == ["limit", "readme"]
    code, out, _ = cli(*RUN, "--dry-run", "--no-health")
    assert (code, "on a copy" in out, "+LIMIT = 4" in out) == (0, True, True)
    assert tree(place) == before
    Path("bad.yaml").write_text(
        "- {description: x, deliverables: [.git/config]}\n- {description: x, protected_paths: [..]}\n- {}\n"
    )
    code, out, _ = cli("run", "bad.yaml", "--repo", "repo", "--dry-run")
    assert (code, out.count("Invalid phase specification")) == (1, 3), out


def test_a_dry_run_finds_what_the_run_would_refuse(cli: Call) -> None:
    Path("bad.yaml").write_text("""
- {phase_id: a, description: x, depends_on: [b]}
- {phase_id: b, description: x, acceptance_criteria: [{check: command, command: [no-such-program]}]}
- {phase_id: c, description: x, depends_on: [b], test_cmd: [no-such-program]}
- {phase_id: d, description: x, deliverables: [src/app.py/x]}
""")
    found = json.loads(cli("run", "bad.yaml", "--repo", "repo", "--dry-run", "--json")[1])
    codes = [[error["code"] for error in each["errors"]] for each in found]
    assert codes == [["E_SPEC_FIELD"], ["E_SPEC_COMMAND"], [], ["E_SPEC_PATH"]]
    assert found[2]["warnings"] == ["test_cmd cannot be run: there is no program 'no-such-program'"]
    code, out, _ = cli("run", "bad.yaml", "--repo", "repo", "--replay", "answers", "--keep-going")
    result = told(cli, "show")
    assert (code, result["run"]["failed_phases"], result["run"]["skipped_phases"]) == (1, 3, 1), out
    assert result["run"]["token_usage"] == 0


def test_a_history_in_the_repository_makes_no_difference_to_a_copy(cli: Call) -> None:
    write(Path("own"))
    model = Scripted(lambda request: LIMIT if "Id: limit" in request.user else README)
    with PhaseExecutor(Recorder(model, "recorded"), "own", "build.db", approval_provider=Yes()) as executor:
        assert executor.run_plan(yaml.safe_load(PLAN)["phases"])["status"] == "succeeded"
    for name, text in FILES.items():
        Path("own", name).write_text(text)
    words = ("run", "plan.yaml", "--repo", "own", "--replay", "recorded", "--dry-run", "--no-health")
    code, out, _ = cli(*words, database="sqlite:///own/build.db")
    assert (code, "+LIMIT = 4" in out) == (0, True), out
    assert texts(Path("own")) == FILES


def test_what_succeeded_in_an_earlier_run_is_kept(cli: Call) -> None:
    assert cli(*RUN, "--no-health")[0] == 0
    assert cli("reject", "--by", "ann")[0] == 1
    run = told(cli, "show")["run"]["run_id"]
    code, out, _ = cli(*RUN, "--no-health", "--continue", run[:10])
    assert (code, "limit: attempt" in out, "readme: needs approval" in out) == (0, False, True), out
    write(Path("other"))
    code, _, err = cli("run", "plan.yaml", "--repo", "other", "--replay", "answers", "--continue", run)
    assert (code, "is of another repository" in err) == (2, True), err
    assert texts(Path("other")) == FILES


# --- what was interrupted ---------------------------------------------------------------------------------------------


def half_done(content: str) -> None:
    """Leave the repository as a process does that dies between the change and its acceptance."""
    root = Root(Path("repo").resolve())
    facts = {"src/util.py": root.facts("src/util.py")}
    change = staged([Change("src/util.py", "modify", content)], facts, Policy())
    Applier(root, state_of(root)).begin("unknown-1-1", change, about={}).commit()
    assert texts()["src/util.py"] == content


def state_of(root: Root) -> Path:
    """Where an executor keeps what it needs to undo a change of a repository."""
    return Path("build.db.state").resolve() / subject_of(root.path).id


def test_what_an_interrupted_run_has_left_is_put_back(cli: Call) -> None:
    assert cli(*RUN, "--no-health")[0] == 0
    half_done("LIMIT = 99\n")
    assert cli("restore")[:2] == (0, "put back as before: src/util.py\n")
    assert texts()["src/util.py"] == "LIMIT = 4\n"
    half_done("LIMIT = 99\n")
    Path("repo/src/util.py").write_text("LIMIT = 100  # mine\n")
    code, _, err = cli("restore")
    assert (code, "src/util.py" in err) == (1, True), err
    assert texts()["src/util.py"] == "LIMIT = 100  # mine\n"


def test_a_repository_that_somebody_works_on_is_left_alone(cli: Call) -> None:
    with RepositoryLock(state_of(Root(Path("repo").resolve())), stale_after=600):
        code, _, err = cli(*RUN)
    assert (code, str(os.getpid()) in err) == (1, True), err
    assert texts() == FILES


def test_a_repository_that_is_gone_is_named(cli: Call) -> None:
    assert cli(*RUN, "--no-health")[0] == 0
    shutil.rmtree("repo")
    for words in (("resume",), ("approve", "--by", "ann"), ("restore",)):
        code, _, err = cli(*words)
        assert (code, "is not there any more" in err) == (2, True), err
    assert cli("diff")[0] == 0


def test_a_run_that_a_program_began_is_decided_on_and_goes_on_there(cli: Call, place: Path) -> None:
    def later(request: object) -> str:
        return "pending"

    provider = type("Later", (), {"decide": staticmethod(later)})()
    spec = {"description": "Tell of the limit.", "deliverables": ["README.md"], "requires_approval": True}
    with PhaseExecutor(Scripted(README), "repo", place / "build.db", approval_provider=provider) as executor:
        assert executor.run_plan([spec])["status"] == "awaiting_approval"
    code, _, err = cli("resume")
    assert (code, "begun by a program" in err) == (2, True), err
    assert "goes on with PhaseExecutor.resume" in cli("approve", "--by", "ann")[1]
    assert cli("restore")[0] == 0
    run = told(cli, "show")["run"]["run_id"]
    with PhaseExecutor(Scripted("never asked"), "repo", place / "build.db") as executor:
        assert executor.resume(run)["status"] == "succeeded"
    assert texts()["README.md"] == CHANGED["README.md"]


# --- in the terminal --------------------------------------------------------------------------------------------------

PROGRAM = [sys.executable, "-m", "phasegate", "--database", "sqlite:///build.db", "build"]


@contextlib.contextmanager
def typing(*words: str, **environment: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A command in a terminal of its own."""
    ours, theirs = pty.openpty()
    given = {"PAGER": "cat", "TERM": "xterm", "COLUMNS": "100", "LINES": "12", "LOGNAME": "ann", **environment}
    process = subprocess.Popen(
        [*PROGRAM, *words], stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, **given}
    )
    os.close(theirs)
    killer = threading.Timer(60, process.kill)
    killer.start()
    try:
        yield ours, process
    finally:
        killer.cancel()
        process.kill()
        process.wait()
        os.close(ours)


def read(terminal: int, until: str | None = None) -> str:
    """What is shown until the text, or until the end."""
    shown = b""
    while until is None or until.encode() not in shown:
        select.select([terminal], [], [])
        try:
            piece = os.read(terminal, 65_536)
        except OSError:  # how Linux tells that nobody is there any more
            piece = b""
        if not piece:
            assert until is None, shown.decode()
            break
        shown += piece
    return shown.decode()


@pytest.mark.parametrize(
    ("typed", "status", "text"),
    [
        ("perhaps\napprove\n", "succeeded", "readme: applied README.md"),
        ("reject\nnot these\n", "failed", "rejected by ann: not these"),
    ],
)
def test_a_risky_change_is_asked_about_in_the_terminal(cli: Call, typed: str, status: str, text: str) -> None:
    with typing(*RUN, "--no-health") as (terminal, process):
        shown = read(terminal, "Apply this change?")
        assert "\x1b[32m" in shown  # green
        assert "Risk 100: " in shown
        assert shown.count("At most four") == 1
        os.write(terminal, typed.encode())
        rest = read(terminal)
        assert process.wait() == (0 if status == "succeeded" else 1), rest
    assert text in rest
    assert told(cli, "show")["run"]["status"] == status


@pytest.mark.parametrize("typed", ["\n", "\x04"])
def test_who_does_not_answer_answers_later(cli: Call, typed: str) -> None:
    with typing(*RUN, "--no-health") as (terminal, process):
        read(terminal, "Apply this change?")
        os.write(terminal, typed.encode())
        assert "waits for approval" in read(terminal)
        assert process.wait() == 0
    assert told(cli, "show")["run"]["status"] == "awaiting_approval"


def test_long_diffs_are_paged_and_colours_can_be_turned_off(cli: Call, place: Path) -> None:
    assert cli(*RUN, "--no-health")[0] == 0
    pager = place / "pager"
    pager.write_text("#!/bin/sh\necho paged\nexec cat\n")
    pager.chmod(0o755)
    with typing("diff", PAGER=str(pager), LINES="5") as (terminal, process):
        shown = read(terminal)
        assert process.wait() == 0
    assert ("paged" in shown, "\x1b[31m-LIMIT = 3" in shown, "\x1b[1m--- a/src" in shown) == (True, True, True), shown
    with typing("diff", LINES="500", NO_COLOR="1") as (terminal, process):
        assert "\x1b[3" not in read(terminal)
        assert process.wait() == 0


def test_a_terminal_without_letters_beyond_ascii_gets_them_written_out(cli: Call) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for words in ((*RUN, "--no-health"), ("diff",)):
        done = subprocess.run([*PROGRAM, *words], capture_output=True, env=environment)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.isascii()
        assert b"\\u2014 \\xdcbung" in done.stdout


def test_a_reader_that_goes_away_stops_no_build(cli: Call) -> None:
    process = subprocess.Popen(
        [*PROGRAM, *RUN, "--no-health"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )
    assert process.stdout is not None
    assert process.stdout.read(1)
    process.stdout.close()
    _, err = process.communicate()
    assert (process.returncode, err) == (141, b"")
    assert told(cli, "show")["run"]["status"] == "awaiting_approval"
    quiet = subprocess.Popen([*PROGRAM, "diff"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert quiet.stdout is not None
    quiet.stdout.close()
    assert (quiet.communicate()[1], quiet.returncode) == (b"", 141)


# --- what is typed wrongly --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run",), "PLAN"),
        (("run", "plan.yaml"), "--repo"),
        (("run", "nowhere.yaml", *RUN[2:]), "nowhere.yaml cannot be read"),
        (("run", "repo", *RUN[2:]), "Is a directory"),
        (("run", "numbers.yaml", *RUN[2:]), "phase 1 is no object"),
        (("run", "unknown.yaml", *RUN[2:]), "a plan has no 'phasez'"),
        (("run", "limits.yaml", *RUN[2:]), "max_changes cannot be inf"),
        (("run", "plan.yaml", "--repo", "nowhere", "--replay", "answers"), "nowhere is no folder"),
        (("run", "plan.yaml", "--repo", "plan.yaml", "--replay", "answers"), "plan.yaml is no folder"),
        (("run", "plan.yaml", "--repo", "repo"), "no model is named"),
        (("run", "plan.yaml", "--repo", "repo", "--replay", "nowhere"), "there is no folder nowhere"),
        ((*RUN, "--record", "kept"), "either records or replays"),
        (("run", "plan.yaml", "--repo", "repo", "--model", "a:b", "--record", "plan.yaml"), "plan.yaml is no folder"),
        (("run", "plan.yaml", "--repo", ".", "--model", "a:b", "--record", "kept"), "kept lies in the repository"),
        ((*RUN, "--approve", "none.yaml"), "the limit call_timeout is 0"),
        ((*RUN, "--prices", "nowhere.toml"), "nowhere.toml cannot be read"),
        ((*RUN, "--prices", "plan.yaml"), "cannot be read"),
        ((*RUN, "--approve", "sometimes"), "no policy file sometimes"),
        ((*RUN, "--approve", "numbers.yaml"), "is no policy"),
        ((*RUN, "--approve", "plan.yaml"), "no limit 'phases'"),
        ((*RUN, "--max-retries", "-1"), "--max-retries"),
        ((*RUN, "--max-retries", "9" * 30), "--max-retries"),
        ((*RUN, "--window", "0"), "--window"),
        ((*RUN, "--run-cap", "many"), "--run-cap"),
        ((*RUN, "--continue", "nothing"), "there is no database"),
        (("aprove",), "aprove"),
        (("approve",), "--by"),
        (("show",), "there is no database build.db"),
        (("diff", "x"), "there is no database build.db"),
        (("restore",), "there is no database build.db"),
        (("approve", "--by", "ann"), "there is no database build.db"),
    ],
)
def test_what_cannot_be_is_said_before_anything_begins(
    cli: Call, place: Path, words: tuple[str, ...], said: str
) -> None:
    Path("numbers.yaml").write_text("[1, 2]")
    Path("unknown.yaml").write_text("phasez: []\nphases: []")
    Path("none.yaml").write_text("call_timeout: 0")
    Path("limits.yaml").write_text("phases: [{description: x}]\npolicy: {max_changes: .inf}")
    before = tree(place)
    code, out, err = cli(*words)
    assert (code, out) == (2, ""), out + err
    assert said in err
    assert tree(place) == before


@pytest.fixture(scope="module")
def waiting(answers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with two runs, of which the latest waits for approval."""
    folder = tmp_path_factory.mktemp("waiting")
    write(folder / "repo")
    (folder / "plan.yaml").write_text(PLAN)
    words = ["run", str(folder / "plan.yaml"), "--repo", str(folder / "repo"), "--replay", str(answers), "--no-health"]
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PHASEGATE_DATABASE", raising=False)
        address = f"sqlite:///{folder}/build.db"
        assert main(["--database", address, "build", *words, "--window", "9"]) == 1
        assert main(["--database", address, "build", *words]) == 0
    return folder / "build.db"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "nothing"), "there is no run 'nothing'"),
        (("show", "k"), "2 runs begin with 'k'"),
        (("diff", "nothing"), "there is no run 'nothing'"),
        (("diff", "--phase", "nothing"), "has no phase 'nothing'"),
        (("history", "nothing"), "there is no run 'nothing'"),
        (("restore", "nothing"), "there is no run 'nothing'"),
        (("resume", "nothing"), "there is no run 'nothing'"),
        (("resume", "--approve", "sometimes"), "no policy file sometimes"),
        (("approve", "nothing", "--by", "ann"), "nothing that waits is called 'nothing'"),
        (("reject", "nothing", "--by", "ann"), "nothing that waits is called 'nothing'"),
        ((*RUN, "--continue", "nothing"), "there is no run 'nothing'"),
    ],
)
def test_what_does_not_fit_changes_nothing(cli: Call, waiting: Path, words: tuple[str, ...], said: str) -> None:
    before = rows_of(waiting)
    code, out, err = cli(*words, database=f"sqlite:///{waiting}")
    assert (code, out) == (2, ""), out + err
    assert said in err
    assert rows_of(waiting) == before


def rows_of(database: Path) -> Mapping[str, Any]:
    with closing(sqlite3.connect(database)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in tables}


@pytest.mark.parametrize("words", [("show",), ("history",), ("restore",), ("approve", "--by", "ann"), RUN])
def test_databases_of_others_are_refused_and_stay_as_they_are(cli: Call, place: Path, words: tuple[str, ...]) -> None:
    with closing(sqlite3.connect("other.db")) as connection:
        connection.execute("CREATE TABLE customers (name)")
    Path("text.db").write_text("a text of somebody else, and longer than the head of a database\n" * 9)
    before = tree(place)
    for address, said in (
        ("sqlite:///text.db", "is not a database"), ("sqlite:///other.db", "phasegate"),
        ("sqlite:///repo", "repo is a directory"), ("sqlite://", "in a SQLite file"), ("sqlite:///", "in a SQLite file"),
        ("postgresql://u:secret@192.0.2.1/x", "in a SQLite file"), ("build.db", "in a SQLite file"),
    ):  # fmt: skip
        code, out, err = cli(*words, database=address)
        assert (code, out, said in err, "secret" in err) == (2, "", True, False), address + out + err
    assert tree(place) == before


def test_a_database_of_phasegate_without_builds_gets_none_by_looking(cli: Call) -> None:
    assert main(["--database", "sqlite:///runs.db", "db", "upgrade"]) == 0
    before = rows_of(Path("runs.db"))
    for words in (("show",), ("history",), ("restore",), ("resume",)):
        code, _, err = cli(*words, database="sqlite:///runs.db")
        assert (code, "there are no builds in runs.db" in err) == (2, True), err
    assert rows_of(Path("runs.db")) == before
    assert cli(*RUN, "--no-health", database="sqlite:///runs.db")[0] == 0


def test_a_plan_without_phases_is_done_at_once(cli: Call, place: Path) -> None:
    Path("none.yaml").write_text("phases: []")
    before = tree(place)
    code, out, _ = cli("run", "none.yaml", *RUN[2:])
    assert (code, out) == (0, "The plan has no phases; there was nothing to do.\n")
    assert told(cli, "run", "none.yaml", *RUN[2:])["total_phases"] == 0
    assert tree(place) == before


def test_what_fails_is_told_and_ends_with_one(cli: Call) -> None:
    Path("wrong.yaml").write_text(
        "- {description: A, deliverables: {a: 5}, complexity: [1], test_cmd: 'a|b'}\n"
        "- {description: 'B \\e[31m', 1: 2, notes: [2020-01-01], deliverables: [src/util.py]}\n"
        "- {description: C, depends_on: [nothing]}\n"
    )
    code, out, _ = cli("run", "wrong.yaml", *RUN[2:], "--no-health", "--keep-going")
    assert code == 1
    for said in (
        "deliverables.a must be a list", "test_cmd cannot be run", "has no recording",
        "depends_on names 'nothing'", "warning: unknown key '1'",
    ):  # fmt: skip
        assert said in out
    assert texts() == FILES
    assert cli("diff")[1] == "Nothing was changed.\n"
    code, out, _ = cli(*RUN, "--run-cap", "5", "--no-health", "--json")
    assert (code, json.loads(out)["phase_results"][0]["token_usage"]) == (1, 0)
