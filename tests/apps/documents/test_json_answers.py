from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.documents.json_answers import (
    DEEPEST,
    JSONAnswerError,
    deeper_than,
    json_values,
    parse_json,
    parse_json_answer,
)
from tests.apps.documents import shapes


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        (' \n[1, 2]\n', [1, 2]),
        ("\ufeff{}", {}),
        ('"text"', "text"),
        ("null", None),
        ('Here it is:\n```json\n{"a": 1}\n```\nAnything else?', {"a": 1}),
        ('```JSON\r\n{"a": 1}\r\n```', {"a": 1}),
        ('```json\n[1]\n```', [1]),
        ('```\n{"a": 1}\n```', {"a": 1}),
        ('```json\n{"a": 1}```', {"a": 1}),
        ('```json {"a": 1}```', {"a": 1}),
        ('```json\n{"a": 1}', {"a": 1}),
        ('```\n{"a": 1}\n```\n```json\n{"a": 2}\n```', {"a": 2}),
        ('{"a": 0} then\n```json\n{"a": 1}\n```', {"a": 1}),
        ('```json\n{"a": 1,}\n```\n```\n{"a": 2}\n```', {"a": 2}),
        ('```python\nprint({"a": 1})\n```', {"a": 1}),
        ('Sure. {"a": {"b": "}"}} Done.', {"a": {"b": "}"}}),
        ('{"a": "say \\"}\\" twice"} and {"b": 1}', {"a": 'say "}" twice'}),
        ('use {braces}, {}, and {"a": 1}', {"a": 1}),
        ("an empty one: {}", {}),
        ('{"a": 1,} or {"b": 2}', {"b": 2}),
        ('Look:\n{"code":\n"```"\n}', {"code": "```"}),
        ('```json\n{"code": "```js\\nx\\n```"}\n```', {"code": "```js\nx\n```"}),
        ('It\'s "quoted {"a": 1}', {"a": 1}),
    ],
)  # fmt: skip
def test_the_json_of_an_answer_is_found(text: str, value: Any) -> None:
    assert parse_json_answer(text) == value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Invalid JSON: "),
        ("no idea", "Invalid JSON: "),
        ("{broken", "Invalid JSON: "),
        ('{"a": NaN}', "Invalid JSON: "),
        ('{"a": "\\ud800"}', "surrogate"),
        ("\ud800", "surrogates not allowed"),
        ("```\n42\n```", "Invalid JSON: "),
        ('{"a": 1,}', "trailing comma"),
        ('Sure:\n```json\n{"a": 1,}\n```', "trailing comma"),
        ('Sure: {"title": "x", "meta": {"a": 1}, "rest": "and so', "unexpected end"),
        ('```json\n{"title": "x", "meta": {"a": 1}, "rest": "and so', "unexpected end"),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "nested more than"),
        ("[" * 5_000, "depth limit"),
    ],
)
def test_what_is_wrong_is_said(text: str, says: str) -> None:
    with pytest.raises(JSONAnswerError, match=says) as caught:
        parse_json_answer(text)
    assert str(caught.value).startswith("Invalid JSON: ")


def test_the_deepest_value_is_taken() -> None:
    value = parse_json("[" * DEEPEST + "]" * DEEPEST)
    assert not deeper_than(DEEPEST, value)
    assert deeper_than(DEEPEST - 1, value)


def test_every_value_comes_once() -> None:
    text = 'First {"n": 1}.\n```\n{"n": 2}\n```\nThen {"n": 3}\n```json\n{"n": 4}\n```'
    assert list(json_values(text)) == [{"n": 4}, {"n": 2}, {"n": 1}, {"n": 3}]


@given(
    shapes.documents.filter(bool),
    st.sampled_from(["{}", "Sure:\n\n{}\n\nDone.", "```json\n{}\n```", "a\n```\n{}\n```"]),
)
def test_any_document_is_found_in_any_wrapping(document: dict[str, Any], wrapping: str) -> None:
    assert parse_json_answer(wrapping.replace("{}", json.dumps(document))) == document


PIECES = (
    "{", "}", "[", "]", '"', "\\", ",", ":", "1", "-", "e", "null", "a", " ", "\n", "```", "```json", "\n```\n", "\n```json\n",
    '{"a": 1}', "{}", '{"a": {"b": ', "é", "\ud800", "\\ud800", "\x00", "'", '"mode": "questions_only"',
)  # fmt: skip


def garbage(count: int) -> list[str]:
    pick = random.Random(7)
    return ["".join(pick.choices(PIECES, k=pick.randrange(1, 25))) for _ in range(count)]


def test_garbage_is_refused_and_nothing_else_happens() -> None:
    found = refused = 0
    for text in garbage(6_000):
        try:
            value = parse_json_answer(text)
        except JSONAnswerError:
            refused += 1
        else:
            assert value == next((each for each in json_values(text) if each != {}), value)
            found += 1
    assert found > 500
    assert refused > 500


@given(st.text(alphabet='{}[]",:`\\ \njson1a', max_size=60))
def test_any_text_gives_a_value_or_the_error(text: str) -> None:
    try:
        parse_json_answer(text)
    except JSONAnswerError:
        assert [each for each in json_values(text) if each != {}] == []


@pytest.mark.parametrize("start", ["x ", 'x {"a": "'])
@pytest.mark.parametrize(
    "piece",
    ["{", "[", '{"a":', '{"a"x ', "{" + " " * 50, '"', 'x {"a": "\\"', "```\n", "```json\n{", "` ```",
     '{"a": 1} ', "\\", '\\"', "}{"],
)  # fmt: skip
def test_ten_times_the_text_takes_about_ten_times_as_long(piece: str, start: str) -> None:
    def seconds(length: int) -> float:
        text = start + piece * (length // len(piece))
        began = time.process_time()
        try:
            parse_json_answer(text)
        except JSONAnswerError:
            pass
        return time.process_time() - began

    short = max(seconds(20_000), 0.002)
    # Quadratic time would be a hundredfold.
    assert seconds(200_000) < 40 * short


def test_a_large_answer_is_no_trouble() -> None:
    body = "x" * 5_000_000
    assert parse_json_answer(f'Sure:\n```json\n{{"a": "{body}"}}\n```') == {"a": body}
    assert parse_json_answer(f'Sure: {{"a": "{body}"}}') == {"a": body}
