"""The conference example on the engine: what is asked of the model, what waits, what comes of decisions, answers and crashes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from phasegate import Engine, RunStatus
from phasegate.apps.documents import projects, studio
from phasegate.apps.documents.errors import AcceptanceError, ClarificationError, WorkflowError
from phasegate.apps.documents.projects import Verdict
from phasegate.apps.documents.prompts import PromptLoader
from phasegate.apps.documents.staleness import minimal, stale
from phasegate.apps.documents.statements import CALLS as CALLS_OF
from phasegate.errors import NotAllowed, Stale
from phasegate.llm import LLMError, Request
from tests import postgres
from tests.apps.documents.conference import CHAIR, DEFINITION, Counting, begin, contents, finish, kind_of, step

CALLS = Counter(event_brief=1, track_plan=1, track_outline=2, talk_list=2, talk_abstract=4)
NAMES = [
    "event_brief",
    "track_plan",
    "track_outline[track=small-data]",
    "track_outline[track=quiet-nights]",
    "talk_list[track=small-data]",
    "talk_list[track=quiet-nights]",
    "talk_abstract[track=small-data/talk=one-file]",
    "talk_abstract[track=small-data/talk=plans]",
    "talk_abstract[track=quiet-nights/talk=five-minutes]",
    "talk_abstract[track=quiet-nights/talk=wall]",
]
QUESTIONS = {
    "schema_version": "clarification_question_set.v1",
    "mode": "questions_only",
    "correlation_id": "0b6f6b1e-3f0c-4e55-9d0e-2f6d9f0f5a11",
    "question_set_kind": "discovery",
    "questions": [
        {"id": "ROOMS", "text": "How many rooms are there?", "intent": "Tracks need rooms.", "priority": "must",
         "answer_type": "number", "required": True, "blocking": True, "choices": None, "default": None, "references": []},
    ],
    "qa": {"non_question_line_count": 0, "declarative_sentence_count": 0, "answer_leadin_count": 0,
           "all_questions_end_with_qmark": True},
}  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/documents.db" if request.param == "sqlite" else postgres.database_of(tmp_path)


@pytest.fixture
def engine(address: str) -> Iterator[Engine]:
    with studio.open_engine(address, None) as opened:
        yield opened


def once(kind: str, text: str) -> Any:
    """Say something else the first time that a document of this type is asked for."""
    said: list[Request] = []

    def say(asked: str, request: Request) -> str | None:
        if asked != kind or said:
            return None
        said.append(request)
        return text

    return say


def test_ten_calls_three_acceptances_ten_documents(engine: Engine) -> None:
    client = Counting()
    run, waiting = step(engine, begin(engine, client))
    assert [each.name for each in waiting] == ["track_plan"]
    assert client.kinds == ["event_brief", "track_plan"]
    projects.decide(engine, run, waiting[0], CHAIR)
    run, waiting = step(engine, run)
    assert [each.name for each in waiting] == ["talk_list[track=small-data]", "talk_list[track=quiet-nights]"]
    run = finish(engine, run)
    assert run.status is RunStatus.SUCCEEDED
    assert Counter(client.kinds) == CALLS
    found = projects.documents(engine, run)
    assert [each.name for each in found] == NAMES
    assert {each.name: each.accepted_by for each in found if each.accepted_by} == {
        name: ("chair@example.com",) for name in NAMES if name.startswith(("track_plan", "talk_list"))
    }
    assert all(each.row["model"] == "invented" and len(each.row["role_sha256"]) == 64 for each in found)


def test_every_prompt_has_the_inputs_of_its_own_instance(engine: Engine) -> None:
    client = Counting()
    finish(engine, begin(engine, client))
    prompts = [request.user for request in client.requests if kind_of(request) == "talk_abstract"]
    (one,) = [text for text in prompts if '"one-file"' in text]
    assert "How far one file carries" in one
    assert "It grows until it hurts" in one  # the outline of its own track
    assert "minute by minute" not in one  # and of no other
    assert "Reading the plan" not in one


def test_documents_given_from_the_start_are_not_made(engine: Engine) -> None:
    def change(definition: dict[str, Any]) -> None:
        definition["steps"] = definition["steps"][1:]

    client = Counting(lambda kind, request: json.dumps({"tracks": []}) if kind == "track_plan" else None)
    run, _ = step(engine, begin(engine, client, change=change, documents={"event_brief": {"title": "Given"}}))
    assert client.kinds == ["track_plan"]
    assert '"title": "Given"' in client.requests[0].user
    assert finish(engine, run).status is RunStatus.SUCCEEDED  # no track: nothing to do


def test_another_definition_for_the_same_project_is_refused(engine: Engine) -> None:
    begin(engine, Counting())
    with pytest.raises(WorkflowError, match="follows another revision"):
        begin(engine, Counting(), change=lambda definition: definition.update(revision="r2"))


def test_projects_of_one_definition_share_an_engine(engine: Engine) -> None:
    client = Counting()
    first, second = begin(engine, client), begin(engine, client, project="other")
    assert [finish(engine, run).status for run in (first, second)] == [RunStatus.SUCCEEDED] * 2
    assert Counter(client.kinds) == CALLS + CALLS


# --- what is not fit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no JSON at all", "Invalid JSON"),
        ("", "Invalid JSON"),
        ("{}", "empty document"),
        ("[1]", "document must be an object"),
        ('{"tracks": [{"id": "a"}, {"id": "a"}]}', "the same id"),
        ('{"tracks": "none"}', "must be an array"),
        (json.dumps({**QUESTIONS, "questions": []}), "questions"),
        (json.dumps(QUESTIONS) + '\n{"tracks": []}', "either the one or the other"),
    ],
)
def test_an_answer_that_is_not_fit_is_asked_for_again_with_the_reason(engine: Engine, text: str, said: str) -> None:
    client = Counting(once("track_plan", text))
    run, waiting = step(engine, begin(engine, client))
    assert [each.name for each in waiting] == ["track_plan"]
    assert client.kinds == ["event_brief", "track_plan", "track_plan"]
    again = client.requests[2].user
    assert said in again
    assert "attempt 2 of 3" in again
    assert "Plain Software Days" in again  # the inputs are there as well
    (plan,) = [each for each in projects.documents(engine, run) if each.doc_type == "track_plan"]
    assert plan.row["attempts"] == 2
    assert finish(engine, run).status is RunStatus.SUCCEEDED


def test_three_unfit_answers_fail_the_project(engine: Engine) -> None:
    client = Counting(lambda kind, request: "prose" if kind == "track_plan" else None)
    run, _ = step(engine, begin(engine, client))
    assert client.kinds == ["event_brief"] + ["track_plan"] * 3
    assert run.status is RunStatus.FAILED
    assert "max attempts (3)" in (run.reason or "")
    assert projects.may_be_retried(run)


def test_a_model_that_cannot_be_reached_costs_no_attempt(engine: Engine) -> None:
    class Away(Counting):
        async def generate(self, request: Request) -> Any:
            if len(self.requests) == 1:
                self.requests.append(request)
                raise LLMError("connection", "the model is away")
            return await super().generate(request)

    client = Away()
    run, _ = step(engine, begin(engine, client))
    assert run.at("plan_tracks").reason == "LLMError: the model is away"
    engine.retry(run.id)
    run, waiting = step(engine, run)
    assert [each.name for each in waiting] == ["track_plan"]
    assert [each.row["attempts"] for each in projects.documents(engine, run)] == [1, 1]


# --- questions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["event_brief", "talk_list", "talk_abstract"])
def test_questions_are_answered_and_the_step_goes_on(engine: Engine, address: str, kind: str) -> None:
    client = Counting(once(kind, json.dumps(QUESTIONS)))
    run, waiting = step(engine, begin(engine, client))
    while not any(each.kind == "clarification" for each in waiting):
        for each in waiting:
            projects.decide(engine, run, each, CHAIR)
        run, waiting = step(engine, run)
    (asking,) = [each for each in waiting if each.kind == "clarification"]
    assert [each["id"] for each in asking.questions] == ["ROOMS"]
    before = len(client.requests)
    for wrong in ({}, {"ROOMS": "many"}, {"ROOMS": 2, "DOORS": 1}):
        with pytest.raises(ClarificationError):
            projects.answer(engine, run, asking, wrong, by="ann")
    assert (engine.get(run.id).seq, len(client.requests)) == (run.seq, before)
    with studio.open_engine(address, None) as other:  # somebody else answers, elsewhere
        projects.answer(other, other.get(run.id), asking, {"ROOMS": "2"}, by="ann")
    run = finish(engine, run)
    assert run.status is RunStatus.SUCCEEDED
    assert Counter(client.kinds) == CALLS + Counter([kind])
    told = [request.user for request in client.requests if "How many rooms are there?" in request.user]
    assert len(told) == 1
    assert "\n  2" in told[0]


def test_whoever_asks_for_the_third_time_has_to_assume(engine: Engine) -> None:
    client = Counting(lambda kind, request: json.dumps(QUESTIONS))
    run = begin(engine, client)
    for _ in range(2):
        run, waiting = step(engine, run)
        projects.answer(engine, run, waiting[0], {"ROOMS": 2}, by="ann")
    run, waiting = step(engine, run)
    assert "No more questions" not in client.requests[1].user
    assert "No more questions" in client.requests[2].user
    assert (run.status, waiting, len(client.requests)) == (RunStatus.FAILED, [], 3)
    assert "produce the document with stated assumptions" in (run.reason or "")


# --- decisions ------------------------------------------------------------------------------------------------------


def test_a_rejection_ends_the_project(engine: Engine) -> None:
    run, waiting = step(engine, begin(engine, Counting()))
    projects.decide(engine, run, waiting[0], Verdict(False, by="bob", role="chair", comment="too few tracks"))
    run, waiting = step(engine, run)
    assert (run.status, waiting) == (RunStatus.FAILED, [])
    assert "rejected: too few tracks" in (run.reason or "")
    assert not projects.may_be_retried(run)


def revising(definition: dict[str, Any]) -> None:
    definition["document_types"]["track_plan"]["on_reject"] = "revise"


def test_a_rejected_document_is_revised_with_the_reviewers_words_and_asked_about_again(engine: Engine) -> None:
    client = Counting()
    run, waiting = step(engine, begin(engine, client, change=revising))
    first = waiting[0]
    projects.decide(engine, run, first, Verdict(False, by="bob", role="chair", comment="name the rooms"))
    run, waiting = step(engine, run)
    assert [each.name for each in waiting] == ["track_plan"]
    prompt = client.requests[-1].user
    assert "name the rooms" in prompt
    assert "Those who are called when something fails." in prompt  # the rejected document
    versions = [each for each in projects.documents(engine, run) if each.doc_type == "track_plan"]
    assert [(each.version, each.latest, each.accepted_by) for each in versions] == [(1, False, ()), (2, True, ())]
    assert finish(engine, run).status is RunStatus.SUCCEEDED


def test_a_revision_knows_what_was_answered_before(engine: Engine) -> None:
    client = Counting(once("track_plan", json.dumps(QUESTIONS)))
    run, waiting = step(engine, begin(engine, client, change=revising))
    projects.answer(engine, run, waiting[0], {"ROOMS": 2}, by="ann")
    run, waiting = step(engine, run)
    projects.decide(engine, run, waiting[0], Verdict(False, by="bob", role="chair", comment="shorter"))
    step(engine, run)
    assert "How many rooms are there?\n  2" in client.requests[-1].user
    assert "shorter" in client.requests[-1].user


def test_every_answer_of_the_model_is_on_record_once(engine: Engine) -> None:
    said = ["prose", json.dumps(QUESTIONS), "[]"]
    client = Counting(lambda kind, request: said.pop(0) if kind == "track_plan" and said else None)

    def change(definition: dict[str, Any]) -> None:
        definition["steps"][1]["max_attempts"] = 4

    run, waiting = step(engine, begin(engine, client, change=change))
    projects.answer(engine, run, waiting[0], {"ROOMS": 2}, by="ann")
    run = finish(engine, run)
    calls = [row for row in engine.read(CALLS_OF, {"run": run.id}) if row["step"] == "plan_tracks"]
    assert sorted(row["number"] for row in calls) == [1, 2, 3, 4]
    assert len(engine.read(CALLS_OF, {"run": run.id})) == len(client.requests) == 13


def test_a_document_is_revised_three_times_and_no_more(engine: Engine) -> None:
    client = Counting()
    run = begin(engine, client, change=revising)
    for count in range(1, 5):
        run, waiting = step(engine, run)
        assert client.kinds.count("track_plan") == count
        projects.decide(engine, run, waiting[0], Verdict(False, by="bob", role="chair", comment=f"no {count}"))
    run, waiting = step(engine, run)
    assert (run.status, waiting, client.kinds.count("track_plan")) == (RunStatus.FAILED, [], 4)


def test_wrong_roles_documents_and_states_change_nothing(engine: Engine) -> None:
    run, waiting = step(engine, begin(engine, Counting()))
    with pytest.raises(NotAllowed, match="may not answer"):
        projects.decide(engine, run, waiting[0], Verdict(True, by="bob", role="track_lead"))
    with pytest.raises(Stale):
        projects.decide(engine, run, waiting[0], Verdict(True, by="bob", role="chair", seen="0" * 64))
    with pytest.raises(AcceptanceError, match="event_brief does not wait for acceptance"):
        projects.pick(waiting, "acceptance", "event_brief")
    assert engine.get(run.id).seq == run.seq
    projects.decide(engine, run, waiting[0], CHAIR)
    with pytest.raises((NotAllowed, Stale)):
        projects.decide(engine, run, waiting[0], CHAIR)


def test_a_revision_that_failed_is_taken_up_again_with_the_reviewers_words(engine: Engine) -> None:
    broken = {"is": False}
    client = Counting(lambda kind, request: "prose" if broken["is"] and kind == "track_plan" else None)
    run, waiting = step(engine, begin(engine, client, change=revising))
    projects.decide(engine, run, waiting[0], Verdict(False, by="bob", role="chair", comment="name the rooms"))
    broken["is"] = True
    run, waiting = step(engine, run)
    assert (run.status, waiting) == (RunStatus.FAILED, [])
    broken["is"] = False
    engine.retry(run.id)
    run, waiting = step(engine, run)
    assert [each.name for each in waiting] == ["track_plan"]
    assert "name the rooms" in client.requests[-1].user
    assert "Quiet Nights" in client.requests[-1].user  # the rejected document
    assert len(engine.read(CALLS_OF, {"run": run.id})) == len(client.requests)  # also those of what failed


def test_a_document_that_was_accepted_and_is_made_anew_is_no_revision(engine: Engine) -> None:
    client = Counting()
    run, waiting = step(engine, begin(engine, client, change=revising))
    projects.decide(engine, run, waiting[0], Verdict(False, by="bob", role="chair", comment="name the rooms"))
    run, waiting = step(engine, run)
    projects.decide(engine, run, waiting[0], CHAIR)
    for _ in range(4):  # as often as somebody likes: these are no revisions
        engine.reset(run.id, "plan_tracks", by="ann")
        run, waiting = step(engine, run)
        assert "name the rooms" not in client.requests[-1].user
        assert [each.name for each in waiting] == ["track_plan"]
    projects.decide(engine, run, waiting[0], Verdict(False, by="bob", role="chair", comment="shorter"))
    run, waiting = step(engine, run)
    assert [each.name for each in waiting] == ["track_plan"]
    assert "shorter" in client.requests[-1].user


def test_nothing_waits_in_a_project_that_has_ended(engine: Engine) -> None:
    run, waiting = step(engine, begin(engine, Counting()))
    projects.decide(engine, run, waiting[0], CHAIR)
    run, waiting = step(engine, run)
    projects.decide(engine, run, waiting[0], Verdict(False, by="bob", role="chair", comment="no"))
    run, waiting = step(engine, run)
    assert (run.status, waiting) == (RunStatus.FAILED, [])


def test_every_project_has_the_model_it_was_begun_with(engine: Engine) -> None:
    first, second = Counting(), Counting()
    one, other = begin(engine, first), begin(engine, second, project="other")
    finish(engine, one)
    finish(engine, other)
    assert (Counter(first.kinds), Counter(second.kinds)) == (CALLS, CALLS)


# --- what has changed -----------------------------------------------------------------------------------------------


def test_what_rests_on_a_changed_document_is_stale(engine: Engine) -> None:
    said = {"outline": 0}

    def say(kind: str, request: Request) -> str | None:
        if kind != "track_outline":
            return None
        said["outline"] += 1
        return json.dumps({"storyline": "another", "themes": []}) if said["outline"] > 2 else None

    run = finish(engine, begin(engine, Counting(say)))
    workflow, prompts = projects.workflow_of(run), PromptLoader(DEFINITION.parent / "prompts")
    assert stale(engine, run, workflow, prompts) == []
    engine.aim(run.id, ["outline_track"], by="ann")
    engine.drain()
    run = engine.get(run.id)
    found = {each.document.name: each.reasons for each in stale(engine, run, workflow, prompts)}
    assert found["talk_list[track=small-data]"] == ("track_outline[track=small-data] has changed",)
    assert set(found) == {name for name in NAMES if name.startswith("talk_")}
    assert set(found["talk_abstract[track=small-data/talk=plans]"]) == {
        "track_outline[track=small-data] has changed",
        "talk_list[track=small-data] is stale",
    }
    again = minimal(stale(engine, run, workflow, prompts))
    assert {each.step for each in again} == {"list_talks", "write_abstract"}


# --- crashes --------------------------------------------------------------------------------------------------------


@pytest.mark.crash
def test_whoever_dies_while_the_model_answers_loses_nothing_and_repeats_that_call_only(tmp_path: Path) -> None:
    with studio.open_engine("sqlite://", None) as whole:
        expected = contents(whole, finish(whole, begin(whole, Counting())))
    for dies in (1, 2, 3, 5, 8, 10):
        database, log = tmp_path / f"{dies}.db", tmp_path / f"{dies}.log"
        program = [sys.executable, "-m", "tests.apps.documents.conference", f"sqlite:///{database}", str(log)]
        killed = subprocess.run([*program, str(dies)], cwd=Path(__file__).parents[3])
        assert killed.returncode == -signal.SIGKILL
        subprocess.run([*program, "0"], check=True, cwd=Path(__file__).parents[3])
        with studio.open_engine(f"sqlite:///{database}", None) as engine:
            run = engine.get(engine.find("conference_programme")[0].id)
            assert contents(engine, run) == expected
            assert run.status is RunStatus.SUCCEEDED
        calls = Counter(log.read_text().split())
        under_way = sum((calls - CALLS).values())
        assert calls >= CALLS
        assert 1 <= under_way <= 4  # those that the dead process was waiting for: at most one per instance


def test_a_restart_at_every_pause_asks_nothing_twice(address: str) -> None:
    calls: list[str] = []
    while True:
        client = Counting()
        with studio.open_engine(address, None) as engine:
            run, waiting = step(engine, begin(engine, client))
            calls += client.kinds
            if not waiting:
                assert run.status is RunStatus.SUCCEEDED
                break
            projects.decide(engine, run, waiting[0], CHAIR)
    assert Counter(calls) == CALLS
