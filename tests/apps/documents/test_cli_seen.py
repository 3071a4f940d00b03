"""The command line of the documents: a decision is about what was seen, what is printed can be typed, and an outage is told."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from phasegate import Engine, RunStatus
from phasegate.apps.documents import exporting, projects, studio
from phasegate.apps.documents.cli import looking, talking
from phasegate.apps.documents.gates.answers import validate_answers
from phasegate.apps.documents.gates.questions import ClarificationQuestion
from phasegate.apps.documents.projects import Document, Verdict
from phasegate.cli import main
from phasegate.core.facts import AttemptStarted
from phasegate.llm import Client, Request, Response
from tests.apps.documents.conference import DEFINITION, RECORDINGS, Counting, begin, finish, recording, step
from tests.apps.documents.test_on_the_engine import QUESTIONS
from tests.llm.server import Failure, FakeProvider, Hang

RUN = ("run", str(DEFINITION), "--project", "demo", "--replay", str(RECORDINGS))
ODD = "../../evil x"
CHAIR = ("--by", "chair@example.com", "--role", "chair")
ASKED = ("run", str(DEFINITION), "--project", "demo", "--model", "openai:gpt-4o-mini")


class Cli:
    """The commands, on a database of their own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.address, self._capsys = f"sqlite:///{folder}/documents.db", capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        """Code, standard output and standard error of ``phasegate documents ...``."""
        return self.phasegate("documents", *words)

    def phasegate(self, *words: str) -> tuple[int, str, str]:
        self._capsys.readouterr()
        code = main(["--database", self.address, *words])
        captured = self._capsys.readouterr()
        return code, captured.out, captured.err

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--json")[1])


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    for name in ("PHASEGATE_DATABASE", "PHASEGATE_TENANT", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return Cli(tmp_path, capsys)


@pytest.fixture
def provider(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProvider]:
    with FakeProvider() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def revised(cli: Cli) -> None:
    """A project of whose track_plan version 2 waits, after version 1 was rejected."""

    def revising(definition: dict[str, Any]) -> None:
        definition["document_types"]["track_plan"]["on_reject"] = "revise"

    with studio.open_engine(cli.address, None) as engine:
        run, (waiting,) = step(engine, begin(engine, Counting(), change=revising))
        projects.decide(engine, run, waiting, Verdict(False, by="ann", role="chair", comment="more rooms"))
        step(engine, run)


# --- what was seen --------------------------------------------------------------------------------------------------


def test_only_the_version_that_waits_is_shown_with_what_accepts_it(cli: Cli) -> None:
    revised(cli)
    old, new = (cli.json("show", "demo", "track_plan", "--version", number) for number in "12")
    assert (old["version"], old["seen"], new["version"]) == (1, None, 2)
    assert new["seen"]
    text = cli("show", "demo", "track_plan", "--version", "1")[1]
    assert "seen:" not in text
    assert new["seen"] not in text
    assert f"seen: {new['seen']}" in cli("show", "demo", "track_plan")[1]


def test_the_command_that_is_printed_accepts_what_was_printed(cli: Cli) -> None:
    out = cli(*RUN)[1]
    seen = cli.json("show", "demo", "track_plan")["seen"]
    said = f"phasegate documents accept demo track_plan --by NAME --role chair --seen {seen}"
    assert said in out
    assert said in cli("show", "demo", "track_plan")[1]
    code, out, err = cli.phasegate(*shlex.split(said.replace("NAME", "ann"))[1:])
    assert (code, "talk_list[track=small-data] waits" in out) == (0, True), err


def test_who_has_seen_something_else_is_sent_to_look_and_not_told_what_to_type_blindly(cli: Cli) -> None:
    cli(*RUN)
    seen = cli.json("show", "demo", "track_plan")["seen"]
    code, out, err = cli("accept", "demo", "track_plan", *CHAIR, "--seen", "0" * 64)
    assert (code, "phasegate documents show demo track_plan" in err) == (1, True), err
    assert seen not in out + err


@pytest.mark.parametrize("words", [("accept",), ("reject", "--comment", "no")], ids=["accept", "reject"])
def test_what_is_not_named_is_not_decided_on_unless_it_was_seen(cli: Cli, words: tuple[str, ...]) -> None:
    cli(*RUN)
    code, _, err = cli(words[0], "demo", *words[1:], *CHAIR)
    assert (code, "waiting: track_plan" in err) == (2, True), err
    assert cli("accept", "demo", "track_plan", *CHAIR)[0] == 0
    code, _, err = cli(words[0], "demo", *words[1:], *CHAIR)
    assert (code, "waiting: talk_list[track=small-data], talk_list[track=quiet-nights]" in err) == (2, True), err
    seen = cli.json("show", "demo", "talk_list[track=small-data]")["seen"]
    assert cli(words[0], "demo", *words[1:], *CHAIR, "--seen", seen)[0] == 2
    assert len(cli.json("show", "demo")["waiting"]) == 2


def test_the_only_one_that_waits_needs_no_name_when_it_was_seen(cli: Cli) -> None:
    cli(*RUN)
    seen = cli.json("show", "demo", "track_plan")["seen"]
    assert cli("accept", "demo", *CHAIR, "--seen", seen)[0] == 0


# --- what is written, and what is printed -----------------------------------------------------------------------------


@pytest.mark.parametrize("doc_type", ["../../evil x", "/etc/evil", "..", ".", "a/b", "a\\b", "\x00", "x" * 400, ""])
def test_no_type_of_document_leads_out_of_the_folder(tmp_path: Path, doc_type: str) -> None:
    folder = tmp_path / "to"
    written = exporting.write(folder, exporting.file_name(doc_type, "", "md"), "text")
    assert written.parent == folder
    assert [each.name for each in tmp_path.iterdir()] == ["to"]


class Renaming(Client):
    """The example's answers, in a definition that calls the event_brief something else."""

    async def generate(self, request: Request) -> Response:
        return await recording.Invented().generate(replace(request, user=request.user.replace(ODD, "event_brief")))


def test_every_document_of_an_odd_type_is_exported_below_the_folder(cli: Cli, tmp_path: Path) -> None:
    definition = json.loads(DEFINITION.read_text(encoding="utf-8").replace('"event_brief"', json.dumps(ODD)))
    with studio.open_engine(cli.address, None) as engine:
        step(engine, begin(engine, Renaming(), change=lambda found: found.update(definition)))
    folder = tmp_path / "a" / "b" / "to"
    code, out, err = cli("export", "demo", "--to", str(folder))
    assert (code, "2 documents written" in out) == (0, True), err
    assert sorted(path.parent for path in tmp_path.rglob("*.md")) == [folder, folder]


def test_a_command_that_is_printed_is_one_command() -> None:
    scope = ("a b; touch pwned", "$(touch pwned)", "it's")
    document = Document("note", "", "make_note", scope, 1, "", True, (), {})
    said = looking._reset("0123", document)
    words = shlex.split(said, posix=True)
    assert words == [
        "phasegate",
        "reset",
        "0123",
        "make_note",
        *(w for key in scope for w in ("--scope", key)),
        "--by",
        "NAME",
    ]


# --- outages ----------------------------------------------------------------------------------------------------------


def test_an_outage_is_told_with_what_to_type_and_the_next_command_tries_at_once(
    cli: Cli, provider: FakeProvider
) -> None:
    provider.script(Failure(429, "slow down", headers={"retry-after": "500"}))
    code, out, err = cli(*ASKED)
    assert code == 1, out + err
    assert "event_brief is tried again at 20" in out
    assert "slow down" in out.partition("demo: ")[2]
    assert f"to go on at once: phasegate documents run {DEFINITION} --project demo" in out
    told = cli.json("show", "demo")
    assert [(each["kind"], each["name"]) for each in told["held"]] == [("retry", "event_brief")]
    assert told["held"][0]["due_at"]
    code, out, err = cli(*RUN)
    assert (code, "track_plan waits to be accepted" in out) == (0, True), out + err


def test_a_project_that_was_cancelled_is_not_done(cli: Cli, provider: FakeProvider) -> None:
    provider.script(Failure(429, "slow down", headers={"retry-after": "500"}))
    cli(*ASKED)
    assert cli.phasegate("cancel", "project:demo", "--by", "ann")[0] == 0
    code, out, _ = cli(*ASKED)
    assert (code, "demo: cancelled" in out, "slow down" in out) == (1, True, True), out
    assert "--project demo --again" in out
    assert len(provider.seen) == 1


def test_a_project_that_is_paused_says_how_it_goes_on(cli: Cli) -> None:
    cli(*RUN)
    cli.phasegate("pause", "project:demo", "--by", "ann")
    code, out, _ = cli("show", "demo")
    assert (code, "phasegate resume" in out) == (1, True), out


def test_what_a_dead_process_had_begun_with_is_told_and_gone_on_with(cli: Cli, provider: FakeProvider) -> None:
    provider.script(Hang())
    program = [sys.executable, "-m", "phasegate", "--database", cli.address, "documents", *ASKED]
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        assert provider.hanging.wait(30)
        with Engine(cli.address) as engine:
            next(c for c in engine.watch(follow=True) if any(isinstance(fact, AttemptStarted) for fact in c.facts))
        process.kill()
    code, out, _ = cli("show", "demo")
    assert (code, "event_brief is under way in another process, or in one that has died, since 20" in out) == (0, True)
    assert "to go on at once: phasegate documents run DEFINITION --project demo" in out
    code, out, err = cli(*RUN)
    assert (code, "track_plan waits to be accepted" in out) == (0, True), out + err


def test_a_project_that_failed_says_why_once_and_what_to_type(cli: Cli, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    code, out, _ = cli("run", str(DEFINITION), "--project", "demo", "--replay", str(empty))
    standing = out.partition("demo: failed")[2]
    assert (code, standing.count("no recording")) == (1, 1)
    assert f"to go on at once: phasegate documents run {DEFINITION} --project demo" in standing
    assert cli(*RUN)[0] == 0
    code, out, _ = cli("reject", "demo", "track_plan", *CHAIR, "--comment", "no")
    assert (code, "to begin anew: phasegate documents run DEFINITION --project demo --again" in out) == (1, True), out
    assert cli(*RUN)[0] == 1  # the rejection stands


def test_a_decision_that_one_does_not_go_on_after_is_no_failure(cli: Cli) -> None:
    cli(*RUN)
    code, out, _ = cli("accept", "demo", "track_plan", *CHAIR, "--stay")
    assert (code, "to go on at once" in out) == (0, True), out


# --- before anything begins -------------------------------------------------------------------------------------------


def test_a_conversation_in_json_is_refused_before_anything_begins(cli: Cli, tmp_path: Path) -> None:
    code, _, err = cli(*RUN, "--interactive", "--json")
    assert (code, list(tmp_path.iterdir())) == (2, []), err


def test_a_model_that_cannot_be_asked_is_told_before_a_run_starts(cli: Cli) -> None:
    code, out, err = cli(*ASKED)
    assert code != 0
    assert "OPENAI_API_KEY" in err, out + err
    assert "there is no project" in cli("show", "demo")[2]


def test_a_project_that_is_done_needs_no_model_to_say_so(cli: Cli) -> None:
    with studio.open_engine(cli.address, None) as engine:
        finish(engine, begin(engine, Counting()))
    code, out, err = cli(*ASKED)
    assert (code, "demo: succeeded" in out) == (0, True), err


@pytest.mark.parametrize("words", [("accept",), ("reject", "--comment", "no")], ids=["accept", "reject"])
@pytest.mark.parametrize(
    "model", [("--replay", "/nonexistent"), ("--model", "openai:gpt-4o-mini")], ids=["replay", "model"]
)
def test_a_decision_is_not_recorded_when_nothing_could_go_on_after_it(
    cli: Cli, words: tuple[str, ...], model: tuple[str, ...]
) -> None:
    cli(*RUN)
    before = cli("show", "demo", "--json")[1]
    code, _, err = cli(words[0], "demo", "track_plan", *words[1:], *CHAIR, *model)
    assert code != 0
    assert "there is no folder /nonexistent" in err or ("OPENAI_API_KEY" in err and "--stay" in err), err
    assert cli("show", "demo", "--json")[1] == before


def test_an_answer_is_not_recorded_when_there_is_no_such_folder(cli: Cli) -> None:
    with studio.open_engine(cli.address, None) as engine:
        run, (waiting,) = step(engine, begin(engine, Counting(lambda kind, request: json.dumps(QUESTIONS))))
        assert (run.status, waiting.kind) == (RunStatus.WAITING, "clarification")
    words = ("answer", "demo", "--by", "ann", "--answers", '{"ROOMS": 2}', "--replay", "/nonexistent")
    code, _, err = cli(*words)
    assert (code, "there is no folder /nonexistent" in err) == (2, True), err
    assert [each["kind"] for each in cli.json("show", "demo")["waiting"]] == ["clarification"]


# --- asking in the terminal -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "default", "stored"),
    [
        ("multi_choice", ["it's", "b, c"], ["it's", "b, c"]),
        ("json_object", {"a": [1, None, True]}, {"a": [1, None, True]}),
        ("yes_no", True, "yes"),
        ("number", 2.5, 2.5),
        ("free_text", "it's ü", "it's ü"),
    ],
)  # fmt: skip
def test_enter_takes_a_default_whatever_it_is(
    monkeypatch: pytest.MonkeyPatch, kind: str, default: Any, stored: Any
) -> None:
    choices = [{"value": "it's"}, {"value": "b, c"}] if kind == "multi_choice" else None
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    typed = talking._asked({"text": "Which?", "default": default, "choices": choices})
    asked = ClarificationQuestion("Q", "Which?", answer_type=kind, choices=choices, default=default)
    assert validate_answers([asked], {"Q": typed}) == {"Q": stored}
