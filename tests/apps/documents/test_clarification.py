from __future__ import annotations

import json
import random
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.documents.errors import ClarificationError, WorkflowError
from phasegate.apps.documents.gates.clarification import (
    ClarificationGate,
    ClarificationQuestion,
    mixes_questions_and_work,
    validate_answers,
)
from tests.apps.documents import shapes
from tests.apps.documents.shapes import question, question_set
from tests.apps.documents.test_json_answers import garbage

GATE = ClarificationGate()
CHOICES = [{"value": "web", "label": "The web"}, {"value": "ios, native", "label": "A phone"}]


def test_a_question_set_is_found_with_its_questions() -> None:
    asked = question(answer_type="single_choice", choices=CHOICES, default="web", blocking=False)
    result = GATE.check(json.dumps(question_set(asked)))
    assert result.needs_clarification is True
    assert result.questions == [
        ClarificationQuestion(
            id="Q_ONE", text="Which platform is it for?", intent="It decides the rest.", priority="must",
            answer_type="single_choice", required=True, blocking=False, choices=CHOICES, default="web",
        )
    ]  # fmt: skip
    assert result.raw_question_set == question_set(asked)
    assert (result.validation_errors, result.warnings) == ([], [])


@pytest.mark.parametrize("wrapping", ["```json\n{}\n```", "I have to ask.\n\n{}\n", "```\n{}\n```"])
def test_a_question_set_is_found_in_a_fence_and_in_prose(wrapping: str) -> None:
    result = GATE.check(wrapping.replace("{}", json.dumps(question_set())))
    assert [each.id for each in result.questions] == ["Q_ONE"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Is it for the web?",
        '{"title": "How clarification_question_set.v1 and mode questions_only work"}',
        '{"mode": "other", "questions": []}',
        '{"schema_version": "workflow.v1"}',
        '["questions_only"]',
        '{"schema_version": "clarification_question_set.v1"',
    ],
)
def test_anything_else_is_no_question_set(text: str) -> None:
    result = GATE.check(text)
    assert (result.needs_clarification, result.questions, result.raw_question_set) == (False, [], None)


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"mode": "anything"}, "mode"),
    ({"correlation_id": "seven"}, "uuid"),
    ({"question_set_kind": "small talk"}, "question_set_kind"),
    ({"questions": []}, "questions"),
    ({"questions": [question(f"Q_{each}") for each in range(100, 113)]}, "questions"),
    ({"questions": "none"}, "questions"),
    ({"questions": [question("q one")]}, "id"),
    ({"questions": [question(text="?")]}, "text"),
    ({"questions": [question(text="Tell me more.")]}, "text"),
    ({"questions": [question(text="x" * 300 + "?")]}, "text"),
    ({"questions": [question(intent="")]}, "intent"),
    ({"questions": [question(priority="high")]}, "priority"),
    ({"questions": [question(answer_type="essay")]}, "answer_type"),
    ({"questions": [question(answer_type="single_choice")]}, "choices"),
    ({"questions": [question(answer_type="multi_choice", choices=[])]}, "choices"),
    ({"questions": [question(choices=CHOICES)]}, "choices"),
    ({"questions": [question(reason="none")]}, "reason"),
    ({"questions": [question(references=[{"kind": "memory", "ref": "x"}])]}, "kind"),
    ({"questions": [question(), question()]}, "several"),
    ({"questions": [question(text="You use Postgres. Which version?")]}, "declarative_sentence_count"),
    ({"questions": [question(text="You use Postgres\nWhich version?")]}, "non_question_line_count"),
    ({"qa": {}}, "qa"),
    ({"qa": question_set()["qa"] | {"answer_leadin_count": 1}}, "answer_leadin_count"),
    ({"qa": question_set()["qa"] | {"all_questions_end_with_qmark": False}}, "all_questions_end_with_qmark"),
    ({"must_answer_before_proceeding_ids": ["Q_TWO"]}, "must_answer_before_proceeding_ids"),
    ({"document": {"title": "Plan"}}, "document"),
    ({"artifact_scope": "galaxy"}, "artifact_scope"),
]


@pytest.mark.parametrize(("changes", "says"), BROKEN)
def test_a_set_that_is_not_in_order_asks_nothing_and_says_why(changes: dict[str, Any], says: str) -> None:
    result = GATE.check(json.dumps(question_set(**changes)))
    assert (result.needs_clarification, result.questions) == (True, [])
    assert says in "\n".join(result.validation_errors)


def test_several_sets_in_one_answer_are_not_in_order() -> None:
    text = json.dumps(question_set())
    assert GATE.check(f"{text}\n\n{text}").validation_errors == ["questions come in one set, not in several"]


def test_what_the_later_version_calls_by_other_names_is_understood() -> None:
    asked = question(scope="epic")
    asked["why_it_matters"] = asked.pop("intent")
    result = GATE.check(json.dumps(question_set(asked, schema_version="clarification_question_set.v2")))
    assert result.validation_errors == []
    assert result.questions[0].intent == "It decides the rest."


@pytest.mark.parametrize(
    ("changes", "begins"),
    [
        ({}, []),
        ({"mode": "mixed"}, ["Mode must be"]),
        ({"qa": {"declarative_sentence_count": 2}}, ["declarative_sentence_count"]),
        ({"qa": {"non_question_line_count": 1}}, ["non_question_line_count"]),
        ({"qa": {"answer_leadin_count": True}}, ["answer_leadin_count"]),
        ({"qa": {"all_questions_end_with_qmark": False}}, ["all_questions_end_with_qmark"]),
        ({"questions": [question(text="Tell me.")]}, ["text of question 0"]),
        ({"questions": [question(text="")]}, ["text of question 0"]),
        ({"questions": [question(text=" \n ")]}, ["text of question 0"]),
        ({"questions": [question(text="One.\nTwo?"), question(text="Three! Four.")]},
         ["declarative_sentence_count", "non_question_line_count", "text of question 1"]),
        ({"questions": 7, "qa": None}, []),
        ({"questions": [7, {}]}, ["text of question 0"]),
    ],
)  # fmt: skip
def test_counters_are_counted_and_not_believed(changes: dict[str, Any], begins: list[str]) -> None:
    found = GATE.validate_questions_only(question_set(**changes))
    assert [each[: len(start)] for each, start in zip(found, begins, strict=True)] == begins


@pytest.mark.parametrize(
    "text",
    [
        "Which database (e.g. PostgreSQL) is it?",
        "Is the U.S. Market in it?",
        "Is Dr. Smith the owner?",
        "Is it v1.2 Or later?",
        "Really?! Why?",
        "Which of A, B, etc. Do you mean?",
    ],
)
def test_dots_that_end_no_sentence_make_no_statement(text: str) -> None:
    assert GATE.validate_questions_only(question_set(question(text=text))) == []


def test_many_questions_and_leading_ones_are_warned_of() -> None:
    asked = [question(f"Q_{each}") for each in range(100, 105)]
    assert GATE.check(json.dumps(question_set(*asked))).warnings == []
    leading = question("Q_LAST", "Would you agree that it is for the web?")
    result = GATE.check(json.dumps(question_set(*asked, leading)))
    assert len(result.questions) == 6
    assert [each.split()[0] for each in result.warnings] == ["6", "question"]


def test_blocking_questions_and_those_to_answer_first() -> None:
    asked = GATE.check(
        json.dumps(
            question_set(
                question("Q_ONE"), question("Q_TWO", required=False), question("Q_THREE", blocking=False),
                must_answer_before_proceeding_ids=["Q_TWO"],
            )
        )
    )  # fmt: skip
    assert [each.id for each in GATE.get_blocking_questions(asked.questions)] == ["Q_ONE"]
    assert GATE.get_must_answer_ids(asked.raw_question_set or {}) == ["Q_TWO"]
    assert GATE.get_must_answer_ids({"must_answer_before_proceeding_ids": "Q_TWO"}) == []


def test_another_schema_may_be_given(tmp_path: Path) -> None:
    path = tmp_path / "any.json"
    gate = ClarificationGate(path)  # the file is read when the first set comes
    assert gate.check("{}").needs_clarification is False
    with pytest.raises(WorkflowError, match="cannot be read"):
        gate.check('{"mode": "questions_only"}')
    path.write_text('{"required": ["colour"]}', encoding="utf-8")
    assert gate.check('{"mode": "questions_only"}').validation_errors == ["$: 'colour' is a required property"]


@pytest.mark.parametrize(
    ("text", "mixed"),
    [
        (json.dumps(question_set()), False),
        (f"I have to ask.\n{json.dumps(question_set())}\nThank you. {{}}", False),
        ('{"title": "Plan"}', False),
        ("", False),
        (f'{json.dumps(question_set())}\n{{"title": "Plan"}}', True),
        (f'```json\n{{"title": "Plan"}}\n```\n{json.dumps(question_set())}', True),
        (json.dumps({"document": {"title": "Plan"}, "ask": question_set()}), True),
        (json.dumps([question_set(), {"title": "Plan"}]), True),
        (json.dumps({"result": question_set()}), True),
        ('{"title": "about questions_only", "mode": {"mode": "other"}}', False),
    ],
)
def test_questions_beside_work_are_seen(text: str, mixed: bool) -> None:
    assert mixes_questions_and_work(text) is mixed


def asked(**changes: Any) -> list[ClarificationQuestion]:
    return [ClarificationQuestion.from_item(question(**changes))]


@pytest.mark.parametrize(
    ("kind", "given", "kept"),
    [
        ("free_text", "the web", "the web"),
        ("single_choice", " web ", "web"),
        ("single_choice", "ios, native", "ios, native"),
        ("multi_choice", ["web", "web"], ["web"]),
        ("multi_choice", "ios, native", ["ios, native"]),
        ("multi_choice", "web", ["web"]),
        ("multi_choice", "web, web,", ["web"]),
        ("multi_choice", '["ios, native", "web"]', ["ios, native", "web"]),
        ("yes_no", "YES", "yes"),
        ("yes_no", False, "no"),
        ("yes_no", " n ", "no"),
        ("number", "7", 7),
        ("number", " -2.50 ", -2.5),
        ("number", 1e3, 1000.0),
        ("number", "1" * 30, float("1" * 30)),
        ("date", "2026-02-28", "2026-02-28"),
        ("date", date(2026, 2, 28), "2026-02-28"),
        ("uuid", "6F9619FF8B864011B42D00C04FC964FF", "6f9619ff-8b86-4011-b42d-00c04fc964ff"),
        ("uuid", UUID(int=7), str(UUID(int=7))),
        ("json_object", '{"a": [1]}', {"a": [1]}),
        ("json_object", {"a": [1]}, {"a": [1]}),
        ("of a later version", "anything", "anything"),
    ],
)
def test_an_answer_is_kept_in_one_form(kind: str, given: Any, kept: Any) -> None:
    found = validate_answers(asked(answer_type=kind, choices=CHOICES), {"Q_ONE": given})
    assert found == {"Q_ONE": kept}
    assert type(found["Q_ONE"]) is type(kept)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("free_text", 7),
        ("free_text", "\ud800"),
        ("single_choice", "Web"),
        ("single_choice", ["web"]),
        ("multi_choice", "web, desktop"),
        ("multi_choice", ["web", 7]),
        ("multi_choice", {"web": True}),
        ("multi_choice", "[web"),
        ("yes_no", "maybe"),
        ("yes_no", 1),
        ("number", "seven"),
        ("number", True),
        ("number", "1_000"),
        ("number", "1e999"),
        ("number", float("nan")),
        ("number", 2**64),
        ("date", "2026-02-30"),
        ("date", "20260228"),
        ("date", "2026-02-28T10:00:00Z"),
        ("uuid", "seven"),
        ("json_object", "[1]"),
        ("json_object", "{"),
        ("json_object", [1]),
        ("json_object", {"a": {1}}),
    ],
)
def test_an_answer_of_the_wrong_kind_is_refused(kind: str, given: Any) -> None:
    with pytest.raises(ClarificationError, match="the answer to Q_ONE"):
        validate_answers(asked(answer_type=kind, choices=CHOICES), {"Q_ONE": given})


@pytest.mark.parametrize("nothing", [{}, {"Q_ONE": None}, {"Q_ONE": " "}, {"Q_ONE": []}])
def test_what_nobody_answers_has_its_default_unless_it_must_be_answered(nothing: dict[str, Any]) -> None:
    with pytest.raises(ClarificationError, match="answers are missing: Q_ONE"):
        validate_answers(asked(default="web"), nothing)
    assert validate_answers(asked(blocking=False, default="web"), nothing) == {"Q_ONE": "web"}
    assert validate_answers(asked(required=False, default=False), nothing) == {"Q_ONE": False}
    assert validate_answers(asked(required=False), nothing) == {}
    with pytest.raises(ClarificationError, match="Q_ONE"):
        validate_answers(asked(required=False), nothing, must_answer=["Q_ONE"])


def test_every_problem_is_named_at_once() -> None:
    questions = asked() + asked(name="Q_TWO", answer_type="number") + asked(name="Q_THREE")
    with pytest.raises(ClarificationError) as caught:
        validate_answers(questions, {"Q_TWO": "two", "Q_NINE": "9"})
    said = str(caught.value)
    assert [word in said for word in ("'Q_NINE'", "to Q_TWO must be a number", "missing: Q_ONE, Q_THREE")] == [True] * 3
    with pytest.raises(ClarificationError, match="mapping"):
        validate_answers(questions, ["web"])  # type: ignore[arg-type]


def mutated(count: int) -> list[str]:
    """Question sets with pieces cut out, doubled or replaced."""
    pick = random.Random(11)
    whole = json.dumps(question_set(question(), question("Q_TWO", answer_type="yes_no")))
    texts = []
    for _ in range(count):
        start = pick.randrange(len(whole))
        end = min(len(whole), start + pick.randrange(1, 30))
        texts.append(
            whole[:start] + pick.choice(["", whole[start:end] * 2, "null", '"', "{", "?", "\ud800"]) + whole[end:]
        )
    return texts


def test_no_answer_makes_the_gate_fail() -> None:
    seen = set()
    for text in [*garbage(2_000), *mutated(2_000)]:
        result = GATE.check(text)
        assert bool(result.questions) == (result.needs_clarification and not result.validation_errors)
        mixes_questions_and_work(text)
        seen.add((result.needs_clarification, bool(result.questions)))
    assert seen == {(False, False), (True, False), (True, True)}


@given(st.dictionaries(st.sampled_from([*question_set(), "other"]), shapes.json_values))
def test_no_value_makes_the_gate_fail(changes: dict[str, Any]) -> None:
    result = GATE.check(json.dumps(question_set(**changes)))
    GATE.validate_questions_only(changes)
    GATE.get_must_answer_ids(changes)
    assert result.needs_clarification or "mode" in changes or "schema_version" in changes


@given(
    shapes.asked,
    st.sampled_from(["number", "date", "yes_no", "multi_choice", "json_object", "uuid"]),
    shapes.json_values,
)
def test_no_answer_raises_anything_else(one: ClarificationQuestion, kind: str, given_answer: Any) -> None:
    questions = [ClarificationQuestion(id=one.id, text=one.text, answer_type=kind, choices=one.choices)]
    try:
        found = validate_answers(questions, {one.id: given_answer})
    except ClarificationError:
        return
    json.dumps(found, allow_nan=False)
    assert validate_answers(questions, found) == found
