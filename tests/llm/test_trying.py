"""Trying again and falling back: how often, how long, and never after an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import get_args

import pytest

from phasegate.errors import InputError
from phasegate.llm import Client, Fallback, LLMError, ProviderClient, Request, Response, Retrying
from phasegate.llm.errors import RETRYABLE, Kind
from tests.llm.server import Answer, Cut, Failure, FakeProvider

REQUEST = Request("", "hi")
OPENAI, ANTHROPIC = "openai:gpt-4o-mini", "anthropic:claude-test"


class Scripted(Client):
    """Gives what it was given, one after the other."""

    def __init__(self, *outcomes: Response | LLMError) -> None:
        self.outcomes, self.asked = list(outcomes), 0

    async def generate(self, request: Request) -> Response:
        self.asked += 1
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, LLMError):
            raise outcome
        return outcome


class Sleeps:
    """A sleep that only writes down how long it was asked to be."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def failed(kind: Kind = "server", retry_after: float | None = None) -> LLMError:
    return LLMError(kind, f"it was {kind}", retry_after=retry_after)


def generate(client: Client) -> Response:
    return asyncio.run(client.generate(REQUEST))


def refused(client: Client) -> LLMError:
    with pytest.raises(LLMError) as caught:
        generate(client)
    return caught.value


def test_an_answer_ends_it() -> None:
    inner = Scripted(failed(), failed("rate_limited"), Response("ok"), Response("never"))
    sleeps = Sleeps()
    assert generate(Retrying(inner, sleep=sleeps)) == Response("ok", calls=3)
    assert (inner.asked, len(sleeps.seconds)) == (3, 2)


def test_the_last_failure_is_raised() -> None:
    inner, sleeps = Scripted(failed("timeout"), failed("connection"), failed("server")), Sleeps()
    error = refused(Retrying(inner, attempts=3, sleep=sleeps))
    assert (error.kind, error.calls, inner.asked, len(sleeps.seconds)) == ("server", 3, 3, 2)


@pytest.mark.parametrize("kind", sorted(set(get_args(Kind)) - RETRYABLE))
def test_what_will_not_get_better_is_not_tried_again(kind: Kind) -> None:
    inner, sleeps = Scripted(failed(kind), Response("never")), Sleeps()
    assert refused(Retrying(inner, sleep=sleeps)).kind == kind
    assert (inner.asked, sleeps.seconds) == (1, [])


@pytest.mark.parametrize(
    ("chance", "waits"), [(1.0, [1, 2, 4, 8, 16, 30, 30]), (0.5, [0.5, 1, 2, 4, 8, 15, 15]), (0.0, [0] * 7)]
)
def test_waits_grow_up_to_the_cap(chance: float, waits: Sequence[float]) -> None:
    sleeps = Sleeps()
    refused(Retrying(Scripted(*(failed() for _ in range(8))), attempts=8, sleep=sleeps, chance=lambda: chance))
    assert sleeps.seconds == waits


def test_very_many_attempts_do_not_overflow() -> None:
    sleeps = Sleeps()
    refused(Retrying(Scripted(*(failed() for _ in range(3000))), attempts=3000, sleep=sleeps, chance=lambda: 1.0))
    assert sleeps.seconds[-1] == 30.0


def test_the_time_a_provider_asks_for_is_waited() -> None:
    sleeps = Sleeps()
    inner = Scripted(failed("rate_limited", 7.0), failed("rate_limited", 45.0), failed("server", 0.0), Response("ok"))
    generate(Retrying(inner, sleep=sleeps, chance=lambda: 0.5))
    assert sleeps.seconds == [7.5, 45.5, 0.5]


def test_a_time_that_is_too_long_is_the_callers() -> None:
    sleeps = Sleeps()
    error = refused(Retrying(Scripted(failed("rate_limited", 3600.0)), sleep=sleeps))
    assert (error.retry_after, error.retryable, sleeps.seconds) == (3600.0, True, [])


def test_other_exceptions_are_not_caught() -> None:
    class Broken(Client):
        async def generate(self, request: Request) -> Response:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        generate(Retrying(Fallback([Broken()])))


@pytest.mark.parametrize("kind", ["server", "timeout", "connection", "rate_limited", "auth", "credit_exhausted"])
def test_the_next_model_is_asked(kind: Kind) -> None:
    first, second, third = Scripted(failed(kind)), Scripted(Response("ok", model="second")), Scripted()
    assert generate(Fallback([first, second, third])) == Response("ok", model="second", calls=2)
    assert (first.asked, second.asked, third.asked) == (1, 1, 0)


@pytest.mark.parametrize(
    "kind", ["bad_request", "prompt_too_long", "content", "cancelled", "response_type", "no_recording"]
)
def test_a_request_that_is_wrong_is_not_passed_on(kind: Kind) -> None:
    error, second = failed(kind), Scripted(Response("never"))
    assert refused(Fallback([Scripted(error), second])) is error
    assert second.asked == 0


def test_when_all_fail_all_are_named() -> None:
    error = refused(
        Fallback([Scripted(failed("rate_limited", 9.0)), Scripted(failed("server", 4.0)), Scripted(failed("auth"))])
    )
    assert str(error) == "no model answered: it was rate_limited; it was server; it was auth"
    assert (error.kind, error.retryable, error.retry_after, error.calls) == ("auth", True, 4.0, 3)


def test_when_the_last_finds_the_request_wrong_it_is_not_tried_again() -> None:
    error = refused(Fallback([Scripted(failed("server", 4.0)), Scripted(failed("bad_request"))]))
    assert (error.kind, error.retryable) == ("bad_request", False)


def test_nonsense_is_refused() -> None:
    with pytest.raises(InputError):
        Fallback([])
    with pytest.raises(InputError):
        Retrying(Scripted(), attempts=0)


def test_over_http_every_attempt_is_one_call(server: FakeProvider) -> None:
    sleeps = Sleeps()
    server.script(Failure(429, headers={"retry-after": "3"}), Failure(503), Cut(), Answer("ok"))
    found = generate(Retrying(ProviderClient(OPENAI), sleep=sleeps, chance=lambda: 1.0))
    assert (found.text, found.calls, sleeps.seconds) == ("ok", 4, [4.0, 2.0, 4.0])
    assert len(server.seen) == 4


def test_over_http_the_second_provider_answers(server: FakeProvider) -> None:
    sleeps = Sleeps()
    server.script(Failure(529), Failure(529), Answer("ok"))
    chain = Fallback([Retrying(ProviderClient(name), attempts=2, sleep=sleeps) for name in (ANTHROPIC, OPENAI)])
    found = generate(chain)
    assert (found.text, found.model, found.calls) == ("ok", "gpt-4o-mini", 3)
    assert [seen.anthropic for seen in server.seen] == [True, True, False]
