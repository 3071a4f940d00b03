"""The command line of the documents: the recorded example from the first call to the last, and what is typed wrongly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from phasegate.cli import main
from tests.apps.documents.conference import DEFINITION, RECORDINGS, recording
from tests.llm.server import FakeProvider, Hang

Call = Callable[..., tuple[int, str, str]]
RUN = ("run", str(DEFINITION), "--project", "demo", "--replay", str(RECORDINGS))
CHAIR = ("--by", "chair@example.com", "--role", "chair")


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PHASEGATE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["--database", f"sqlite:///{tmp_path}/documents.db", "documents", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_the_recordings_are_those_of_the_prompts_as_they_are(tmp_path: Path) -> None:
    recording.record(tmp_path)
    fresh = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert fresh == {path.name: path.read_bytes() for path in RECORDINGS.iterdir()}, (
        "a prompt has changed: python examples/recordings/record_conference.py examples/recordings/conference"
    )
    assert len(fresh) == 10


def test_the_example_from_the_first_document_to_the_last(cli: Call, tmp_path: Path) -> None:
    code, out, _ = cli(*RUN)
    assert code == 0
    assert "event_brief: written" in out
    assert "phasegate documents accept demo track_plan --by NAME --role chair" in out
    seen = json.loads(cli("show", "demo", "track_plan", "--json")[1])["seen"]
    code, out, _ = cli("accept", "demo", *CHAIR, "--seen", seen)
    assert code == 0
    assert out.count("waits to be accepted") == 2
    assert cli("accept", "demo", "talk_list[track=small-data]", *CHAIR)[0] == 0
    code, out, _ = cli("accept", "demo", "talk_list[track=quiet-nights]", *CHAIR, "--json")
    told = json.loads(out)
    assert (code, told["status"], told["waiting"], len(told["documents"])) == (0, "succeeded", [], 10)

    code, out, _ = cli("show", "demo", "talk_abstract[track=small-data/talk=plans]")
    assert code == 0
    assert out.startswith("# Talk Abstract (track=small-data/talk=plans)\n\n**Title:** Reading the plan\n")
    assert json.loads(cli("costs", "demo", "--json")[1])["total"]["answers"] == 10
    assert "nothing is stale" in cli("stale", "demo")[1]
    assert cli("export", "demo", "--to", str(tmp_path / "out"), "--format", "json")[0] == 0
    files = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.json"))
    assert len(files) == 10
    assert json.loads((tmp_path / "out" / "quiet-nights" / "wall" / "talk_abstract.json").read_text())["title"]


def test_a_revision_is_told_apart_from_what_it_replaces(cli: Call, tmp_path: Path) -> None:
    definition = json.loads(DEFINITION.read_text())
    definition["document_types"]["track_plan"]["on_reject"] = "revise"
    changed, answers = tmp_path / "revising.json", tmp_path / "answers"
    changed.write_text(json.dumps(definition))
    recording.record(answers)
    words = ("run", str(changed), "--project", "demo", "--replay", str(answers))
    assert cli(*words, "--prompts", str(DEFINITION.parent / "prompts"))[0] == 0
    code, out, _ = cli("reject", "demo", "track_plan", *CHAIR, "--comment", "more rooms")
    assert (code, "no recording" in out) == (1, True)  # of a revision there is none
    for path in answers.iterdir():
        path.unlink()
    assert cli(*words, "--prompts", str(DEFINITION.parent / "prompts"))[0] == 1
    assert cli("diff", "demo", "event_brief")[0] == 2


def test_decisions_are_asked_for_in_the_terminal(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "phasegate", "--database", f"sqlite:///{tmp_path}/x.db", "documents", *RUN]
    done = subprocess.run(
        [*program, "--interactive", "--by", "ann"],
        input="perhaps\nyes\nchair\nyes\n\nyes\n",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Accept ") == 4  # one of the answers was neither yes nor no
    assert "demo: succeeded" in done.stdout
    assert done.stdout.count("# Talk List") == 2


def test_documents_of_ones_own_are_taken_from_files(cli: Call, tmp_path: Path) -> None:
    definition: dict[str, Any] = json.loads(DEFINITION.read_text())
    del definition["steps"][0]  # nothing writes the event_brief
    own = tmp_path / "own.json"
    own.write_text(json.dumps(definition))
    brief, other = tmp_path / "brief.json", tmp_path / "other.json"
    assert cli(*RUN)[0] == 0
    brief.write_text(json.dumps(json.loads(cli("show", "demo", "event_brief", "--json")[1])["content"]))
    other.write_text("{}")
    words = (
        "run",
        str(own),
        "--project",
        "own",
        *RUN[4:],
        "--prompts",
        str(DEFINITION.parent / "prompts"),
        "--document",
    )
    for _ in range(2):
        code, out, err = cli(*words, f"event_brief={brief}")
        assert (code, "track_plan waits to be accepted" in out) == (0, True), out + err
    code, _, err = cli(*words, f"event_brief={other}")
    assert (code, "was begun with other documents" in err) == (2, True), err


def test_a_document_that_a_step_writes_cannot_be_given(cli: Call, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps(recording.TRACKS))
    code, _, err = cli(*RUN, "--document", f"track_plan={plan}")
    assert (code, "step 'plan_tracks' writes it" in err) == (2, True), err
    code, _, err = cli(*RUN, "--document", f"trackplan={plan}")
    assert (code, "track_plan" in err) == (2, True), err
    assert "there is no project" in cli("show", "demo")[2]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "nowhere.json", "--project", "demo", "--replay", "."), "Workflow file not found: nowhere.json"),
        (("run", str(DEFINITION), "--project", "demo"), "no model is named"),
        (("run", str(DEFINITION), "--project", "demo", "--replay", "nowhere"), "there is no folder nowhere"),
        ((*RUN, "--prompts", "nowhere"), "'Event Planner 1.0' not found"),
        ((*RUN, "--document", "event_brief"), "TYPE=FILE"),
        ((*RUN, "--document", "event_brief=nowhere.json"), "cannot be read as JSON"),
        ((*RUN, "--interactive", "--json"), "exclude each other"),
        (("show", "demo"), "there is no database"),
    ],
)
def test_what_cannot_be_is_said_before_anything_begins(cli: Call, words: tuple[str, ...], said: str) -> None:
    code, out, err = cli(*words)
    assert (code, said in err) == (2, True), err
    assert "Traceback" not in out + err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "other"), "there is no project 'other'"),
        (("show", "demo", "nothing"), "there is no document 'nothing'"),
        (("show", "demo", "event_brief", "--version", "7"), "version 7"),
        (("accept", "demo", "event_brief", *CHAIR), "event_brief does not wait for acceptance"),
        (("accept", "demo", "track_plan", "--by", "bob", "--role", "copywriter"), "bob may not answer"),
        (("accept", "demo", *CHAIR, "--seen", "abc"), "has changed since you saw it"),
        (("answer", "demo", "--by", "ann", "--answers", "{}"), "nothing waits for clarification"),
        (("answer", "demo", "--by", "ann", "--answers", "[1]"), "one JSON object"),
        (("diff", "demo", "event_brief"), "no version before 1"),
        (("export", "demo", "--to", "/proc/nowhere"), "cannot be written"),
    ],
)
def test_what_does_not_fit_changes_nothing(cli: Call, words: tuple[str, ...], said: str) -> None:
    assert cli(*RUN)[0] == 0
    before = cli("show", "demo", "--json")[1]
    code, out, err = cli(*words)
    assert code in (1, 2)
    assert said in err, err
    assert "Traceback" not in out + err
    assert cli("show", "demo", "--json")[1] == before


def test_every_problem_of_a_definition_is_listed(cli: Call, tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    definition: dict[str, Any] = json.loads(DEFINITION.read_text())
    definition["steps"][0]["produces"] = "nothing"
    definition["steps"][1]["scope"] = "moon"
    broken.write_text(json.dumps(definition))
    code, out, _ = cli("validate", str(broken))
    assert code == 2
    assert "[UNKNOWN_DOCUMENT_TYPE] steps[0].produces" in out
    assert "steps[1]" in out
    assert cli("validate", str(DEFINITION))[:2] == (
        0,
        f"{DEFINITION} is a workflow: Conference Programme, 5 documents\n",
    )


def test_a_project_that_failed_for_want_of_a_recording_goes_on_with_one(cli: Call, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert cli("run", str(DEFINITION), "--project", "demo", "--replay", str(empty))[0] == 1
    code, out, _ = cli(*RUN)
    assert (code, "track_plan waits" in out) == (0, True)
    code, out, _ = cli("accept", "demo", "track_plan", *CHAIR)  # with what it was given last
    assert (code, "talk_list[track=small-data] waits" in out) == (0, True)


def test_costs_tell_what_budgets_have_left(cli: Call) -> None:
    assert cli(*RUN, "--budget-tokens", "100000")[0] == 0
    told = json.loads(cli("costs", "demo", "--json")[1])
    spent = told["total"]["tokens in"] + told["total"]["tokens out"]
    assert spent > 0
    assert told["budgets"] == [{"budget": "run", "unit": "tokens", "limit": 100_000, "spent": spent, "reserved": 0}]
    assert f" {spent} " in cli("costs", "demo")[1]


def test_ctrl_c_gives_up_the_call_under_way_and_the_next_command_makes_it_again(tmp_path: Path) -> None:
    with FakeProvider() as server, interruptible():
        server.script(Hang())
        program = [sys.executable, "-m", "phasegate", "--database", f"sqlite:///{tmp_path}/x.db", "documents", *RUN[:4]]
        environment = {**os.environ, **server.environment}
        with subprocess.Popen(
            [*program, "--model", "openai:gpt-4o-mini"], env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            assert server.hanging.wait(30)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)  # the server would answer later
        assert process.returncode == 130
        assert "Traceback" not in out + err
    done = subprocess.run([*program, *RUN[4:]], capture_output=True, text=True)
    assert (done.returncode, "track_plan waits to be accepted" in done.stdout) == (0, True), done.stderr


@contextmanager
def interruptible() -> Iterator[None]:
    """What starts the tests in the background may have them ignore SIGINT, and so all that they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
