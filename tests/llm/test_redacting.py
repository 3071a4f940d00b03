"""Secrets are taken out of whatever is shown."""

from __future__ import annotations

import json
import os
import string
from unittest.mock import patch
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.llm import LLMError, redact

SECRET = 's3cr3t/+value=with%odd"chars'
letters = st.text(string.ascii_letters + string.digits + "/+=_-.%\"'\\&# ", min_size=8, max_size=40)


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-proj-abcdEFGH1234_-xyz.",
        "Authorization: Bearer abcdEFGH1234",
        "{'authorization': 'Bearer abcdEFGH1234'}",
        '{"Authorization": "Basic abcdEFGH1234=="}',
        '{\\"x-api-key\\": \\"abcdEFGH1234\\"}',
        "headers=[(b'x-api-key', b'abcdEFGH1234'), ('Authorization', 'Bearer abcdEFGH1234')]",
        "x-goog-api-key=abcdEFGH1234",
        "https://api.example/v1?api_key=abcdEFGH1234&x=1",
        "postgresql://user:abcdEFGH1234@host/db",
        "redis://:abcdEFGH1234@host",
        "password = abcdEFGH1234",
        "https://api.example/v1/password=abcdEFGH1234",
        "sent bearer abcdEFGH1234 to the server",
        "AIzaSyabcdEFGH1234abcdEFGH1234abcdEFGH",
        "ghp_abcdEFGH1234abcdEFGH1234abcdEFGH1234",
        "AKIAABCDEFGHIJKLMNOP",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdEFGH1234",
    ],
)
def test_known_shapes(text: str) -> None:
    shown = redact(text)
    assert "abcdEFGH1234" not in shown
    assert "AKIAABCDEFGHIJKLMNOP" not in shown
    assert "[redacted]" in shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "the maximum is 8192 tokens, max_tokens: 500",
        "see https://docs.example/errors?page=2#key and mailto:someone@example.com",
        "desk-chairs and task-12345678 and risk-assessment",
        "the bearer of bad news",
        "http://127.0.0.1:8080/v1",
        "12:30 at user@host",
        "Missing deliverables: docs/password: it is not in the answer",
        "reset/client_secret: found x, expected y; depends_on names '/etc/passwd', which is no phase",
    ],
)
def test_innocent_text_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "name", ["OPENAI_API_KEY", "HF_TOKEN", "MY_CLIENT_SECRET", "AWS_SECRET_ACCESS_KEY", "db_password"]
)
def test_values_of_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, SECRET)
    for spelled in (SECRET, json.dumps(SECRET), quote(SECRET, safe="")):
        assert redact(f"before {spelled} after").startswith("before ")
        assert "s3cr3t" not in redact(f"x{spelled}x")


def test_short_values_are_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USE_TOKEN", "true")
    monkeypatch.setenv("MARK_TOKEN", "redacted")
    assert redact("it is true that it is redacted") == "it is true that it is redacted"


def test_of_two_secrets_the_longer_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "abcdefgh")
    monkeypatch.setenv("B_TOKEN", "abcdefghijklmnop")
    assert redact("abcdefghijklmnop abcdefgh") == "[redacted] [redacted]"


@given(letters, st.text(max_size=20), st.text(max_size=20))
def test_no_value_of_the_environment_gets_through(secret: str, before: str, after: str) -> None:
    if secret in "[redacted]":
        return
    with patch.dict(os.environ, {"SOME_API_KEY": secret}):
        for shown in (redact(before + secret + after), str(LLMError("server", before + secret + after, hint=secret))):
            assert secret not in shown


@given(st.text(max_size=60) | letters)
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    assert redact(redact(text)) == redact(text)


def test_a_long_text_without_secrets_is_gone_through_once() -> None:
    for piece in ("a.", "a://", "a://b:", "x"):  # what secrets begin with, again and again
        text = piece * 100_000
        assert redact(text) == text
