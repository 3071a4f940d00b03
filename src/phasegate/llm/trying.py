"""Trying again, and trying another model. Nothing here asks again after an answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from phasegate.errors import InputError
from phasegate.llm.errors import Kind, LLMError
from phasegate.llm.request import Client, Request, Response

#: Failures of one provider that say nothing about the next, beside the retryable ones.
OF_ONE_PROVIDER: frozenset[Kind] = frozenset({"auth", "credit_exhausted"})


class Retrying(Client):
    """A client that asks again after a retryable failure, ``attempts`` times in all.

    Between two attempts it waits a random time up to ``base``, twice that, four times that, and so on, at most ``cap``
    seconds; a provider that names a time is given that time besides. If it names more than ``patience`` seconds, the error is
    raised at once, with ``retry_after``, so that the caller can put the work aside instead of waiting here.
    """

    def __init__(
        self,
        client: Client,
        attempts: int = 4,
        base: float = 1.0,
        cap: float = 30.0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        *,
        patience: float = 120.0,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """``sleep`` and ``chance`` (from 0 to 1) are for tests."""
        if attempts < 1:
            raise InputError(f"attempts is {attempts}; it must be at least 1")
        self._client, self._attempts, self._base, self._cap = client, attempts, base, cap
        self._sleep, self._patience, self._chance = sleep, patience, chance

    async def generate(self, request: Request) -> Response:
        """The first answer. Raises the last ``LLMError``, or the first that another attempt cannot mend."""
        calls = 0
        for attempt in range(1, self._attempts + 1):
            try:
                response = await self._client.generate(request)
                return replace(response, calls=calls + response.calls)
            except LLMError as error:
                calls = error.calls = calls + error.calls
                if attempt == self._attempts or not error.retryable or (error.retry_after or 0.0) > self._patience:
                    raise
                wait = self._wait(attempt, error.retry_after)
            await self._sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def ready(self) -> None:
        """As the client says."""
        self._client.ready()

    def _wait(self, attempt: int, asked: float | None) -> float:
        """Seconds until the next attempt. The random part stays when a time was named: all who were refused heard the same."""
        if asked is not None:
            return asked + self._chance() * self._base
        # The exponent is bounded, because a float is.
        return self._chance() * min(self._cap, self._base * 2.0 ** min(attempt - 1, 60))


class Fallback(Client):
    """Several clients in order: the next is asked when one fails for a reason that says nothing about the next.

    That is a retryable failure, wrong credentials, or an exhausted account. A request that is itself wrong fails at once.
    ``Response.model`` tells who answered.
    """

    def __init__(self, clients: Sequence[Client]) -> None:
        """At least one client."""
        if not clients:
            raise InputError("a fallback needs at least one client")
        self._clients = tuple(clients)

    async def generate(self, request: Request) -> Response:
        """The first answer. When all have failed, the ``LLMError`` names every failure and has the kind of the last."""
        failures: list[LLMError] = []
        for client in self._clients:
            try:
                response = await client.generate(request)
                return replace(response, calls=response.calls + sum(each.calls for each in failures))
            except LLMError as error:
                failures.append(error)
                if not error.retryable and error.kind not in OF_ONE_PROVIDER:
                    break
        raise together(failures)

    def ready(self) -> None:
        """Raises ``LLMError`` when none of the clients is ready."""
        failures: list[LLMError] = []
        for client in self._clients:
            try:
                return client.ready()
            except LLMError as error:
                failures.append(error)
        raise together(failures)


def together(failures: Sequence[LLMError]) -> LLMError:
    """Several failures as one error: it may be retried if one of them may, when the first of them allows it."""
    last = failures[-1]
    if len(failures) == 1:
        return last
    waits = [each.retry_after for each in failures if each.retry_after is not None and each.retryable]
    # A request that is itself wrong ends the round, whatever went before.
    ended = last.kind not in OF_ONE_PROVIDER and not last.retryable
    return LLMError(
        last.kind,
        "no model answered: " + "; ".join(map(str, failures)),
        hint=last.hint,
        retryable=not ended and any(each.retryable for each in failures),
        retry_after=min(waits, default=None),
        calls=sum(each.calls for each in failures),
    )
