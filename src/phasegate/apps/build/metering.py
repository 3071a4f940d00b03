"""Asking the model: every call on record at once, within what may be spent, and again when the provider has a bad moment."""

from __future__ import annotations

import asyncio
import random
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from phasegate import Context
from phasegate.apps.build import statements as q
from phasegate.apps.build.columns import dump
from phasegate.apps.build.errors import BudgetError, BuildTimeoutError, LLMTransportError, PhaseExecutorError, one_line
from phasegate.apps.build.schema import Tokens
from phasegate.apps.build.workshop import Workshop, Workshops
from phasegate.llm import Client, LLMError, Request, Response, Retrying, redact
from phasegate.llm.failures import as_llm_error

#: Kinds of failures that another call may mend; the client has tried for a while by then.
_TRANSIENT = frozenset({"rate_limited", "timeout", "connection", "server"})
#: As much of what is left as one call may be planned with.
_MOST_OF_THE_REST = 0.9
#: From which share of a cap somebody is told.
_WARN_FROM = 0.8


@dataclass(frozen=True, slots=True)
class Place:
    """Where calls belong: a phase of a run, and its attempt, by the ids of the history; and what people call them."""

    run: str
    phase: str
    attempt: str
    phase_id: str
    index: int

    @property
    def ids(self) -> dict[str, Any]:
        """The ids of an event."""
        return {"run_id": self.run, "phase_id": self.phase_id, "attempt": self.index}


class Meter(Client):
    """The model of one attempt. Each call is recorded before anybody reads its answer, in a commit of its own.

    ``generate`` raises ``BudgetError``, and asks nothing, when the call might need more than nine tenths of what a cap has left,
    and ``BuildTimeoutError`` when the time is over. A call that fails counts as its prompt, guessed. One that takes longer than
    the request allows is given up, also when the client does not do so itself.
    """

    def __init__(self, context: Context, shop: Workshop, place: Place, purpose: str) -> None:
        self._context, self._shop, self._place, self.purpose = context, shop, place, purpose
        self._deps: Workshops = context.deps

    async def generate(self, request: Request) -> Response:
        """The model's answer. Raises ``LLMError`` and ``PhaseExecutorError``."""
        await asyncio.to_thread(self._check, request)
        began = time.monotonic()
        try:
            async with asyncio.timeout(request.timeout):
                response = await self._shop.client.generate(request)
        except (Exception, SystemExit) as error:
            failure = self._failure(error, request)
            if not (isinstance(failure, LLMError) and failure.calls == 0):  # nobody was asked, and nobody is paid
                await asyncio.to_thread(self._record, request, None, _words(failure), time.monotonic() - began)
        except BaseException:  # somebody wants to stop; what was asked may cost all the same
            self._record(request, None, "cancelled", time.monotonic() - began)
            raise
        else:
            seconds = response.seconds if response.seconds is not None else time.monotonic() - began
            await asyncio.to_thread(self._record, request, response, None, seconds)
            return response
        # Outside of the handler, so that what the client's error holds is not chained.
        raise failure

    def _failure(self, error: BaseException, request: Request) -> LLMError | PhaseExecutorError:
        """What a client raised: as a failure of its provider, or as one of the client itself, which another call cannot mend."""
        if isinstance(error, LLMError):
            return error
        failure = as_llm_error(error, request.model or self._shop.model or "the model")
        if failure is not None:
            return failure
        self._context.log.error("build.client_failed", traceback=trace(error))
        # The path of an error of the system is the machine's.
        words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        said = f"the client raised {type(error).__name__}: {words}"[:500]
        return LLMTransportError("E_LLM_CLIENT", said, category="fatal")

    def _check(self, request: Request) -> None:
        shop, place = self._shop, self._place
        for whose, key, most in (
            ("run", place.run, shop.policy.run_timeout), ("attempt", place.attempt, shop.policy.attempt_timeout)
        ):  # fmt: skip
            check_time(shop, whose, key, most)
        needed = guessed(request) + (request.max_output_tokens or 0)
        for whose, cap, used in self._caps():
            if needed > _MOST_OF_THE_REST * (cap - used):
                raise BudgetError(
                    "E_BUDGET" if whose == "phase" else "E_BUDGET_RUN",
                    f"the {whose} has {max(0, cap - used)} of {cap} tokens left, and the next call may need {needed}",
                    hint=f"raise {whose}_token_cap, or make the phase smaller",
                )

    def _caps(self) -> list[tuple[str, int, int]]:
        """Of the run and of the phase, as far as they have a cap: whose it is, the cap, and what is spent of it."""
        shop, place = self._shop, self._place
        caps = {"run": shop.run_token_cap, "phase": shop.phase_token_cap}
        if caps["run"] is None and caps["phase"] is None:
            return []
        spent = self._context.read(q.SPENT, {"run": place.run, "phase": place.phase})[0]
        return [(whose, cap, spent[whose] or 0) for whose, cap in caps.items() if cap is not None]

    def _record(self, request: Request, response: Response | None, error: str | None, seconds: float) -> None:
        place, price = self._place, self._shop.prices
        tokens = _tokens(request, response)
        model = (one_line(response.model) if response and response.model else None) or request.model or self._shop.model
        number = self._context.read(q.CALLS_OF_ATTEMPT, {"attempt": place.attempt})[0]["calls"] + 1
        row: Mapping[str, Any] = {
            "id": f"{place.attempt}/{number}", "attempt_fk": place.attempt, "seq": number, "purpose": self.purpose,
            "provider": model.partition(":")[0] if model and ":" in model else None, "model": model,
            "prompt_tokens": tokens.prompt, "completion_tokens": tokens.completion, "total_tokens": tokens.total,
            "estimated": tokens.estimated,
            "cost": price.cost(response) if price is not None and response is not None else None,
            "stop_reason": response.stop_reason if response else None, "latency_ms": round(seconds * 1000), "error": error,
            "created_at": self._context.now(),
        }  # fmt: skip
        shown = {name: row[name] for name in ("purpose", "model", "total_tokens", "estimated", "latency_ms", "error")}
        told = [("llm_called", shown), *(("budget_warning", each) for each in self._reached(tokens.total))]
        counted = [(statement, {"its_key": key, "its_tokens": tokens.total}) for statement, key in (
            (q.COUNT_FOR_PHASE, place.phase), (q.COUNT_FOR_RUN, place.run)
        )]  # fmt: skip
        self._deps.write([(q.ADD_CALL, row), *counted, *((q.ADD_EVENT, self._event(*each)) for each in told)])
        for type_, payload in told:
            self._shop.tell({**place.ids, "type": type_, **payload})

    def _reached(self, total: int) -> list[dict[str, Any]]:
        """Of which caps this call uses up so much that somebody should know."""
        return [
            {"whose": whose, "used": used + total, "cap": cap}
            for whose, cap, used in self._caps()
            if used < _WARN_FROM * cap <= used + total
        ]

    def _event(self, type_: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        place = self._place
        return {
            "run_fk": place.run, "phase_fk": place.phase, "attempt_fk": place.attempt, "type": type_,
            "payload_json": dump(payload), "created_at": self._context.now(),
        }  # fmt: skip


def check_time(shop: Workshop, whose: str, key: str, most: float) -> None:
    """Raise ``BuildTimeoutError`` when a run or an attempt has taken longer in this process than it may."""
    lasted = shop.lasted(key, 0)
    if lasted is not None and lasted > most:
        said = f"the {whose} has taken longer than {most:g} seconds"
        # Another attempt may be quicker; a run's time does not come back.
        raise BuildTimeoutError(f"E_{whose.upper()}_TIMEOUT", said, category="fatal" if whose == "run" else "model")


def patient(meter: Meter, shop: Workshop) -> Client:
    """The same model, asked again when the provider has a bad moment: waits grow as 1, 2, 4 ... times the base, up to the cap,
    each times 0.5 to 1.5, or are what the provider asked for."""
    policy = shop.policy
    options: dict[str, Any] = {} if shop.sleep is None else {"sleep": shop.sleep}
    return Retrying(
        meter, attempts=1 + policy.max_transient, base=policy.transient_base, cap=policy.transient_cap,
        chance=lambda: 0.5 + random.random(), **options,  # it spreads load, and keeps no secret
    )  # fmt: skip


def transport_error(error: LLMError) -> PhaseExecutorError:
    """A model's failure in the words of this application."""
    code = f"E_LLM_{error.kind.upper()}"
    category = "transient" if error.kind in _TRANSIENT else "capacity" if error.kind == "prompt_too_long" else "fatal"
    said = f"{error}; {error.hint}" if error.hint else str(error)
    return LLMTransportError(code, said, category=category, hint=error.hint)  # type: ignore[arg-type]


def guessed(request: Request) -> int:
    """Tokens of a prompt at four characters each."""
    return -(-(len(request.system) + len(request.user)) // 4)


def trace(error: BaseException) -> str:
    """Where an error comes from, for a log: without secrets."""
    return redact("".join(traceback.format_exception(error)))


def _tokens(request: Request, response: Response | None) -> Tokens:
    """What a call cost: exactly what the provider said. Where it gave no total and not both parts, what is missing of the total
    is guessed; a part is never made up from it."""
    if response is None:
        return Tokens(None, None, guessed(request), 1, True)
    prompt, completion, total = response.prompt_tokens, response.completion_tokens, response.total_tokens
    if total is not None:
        return Tokens(prompt, completion, total, 1, response.estimated)
    if prompt is not None and completion is not None:
        return Tokens(prompt, completion, prompt + completion, 1, response.estimated)
    asked = guessed(request) if prompt is None else prompt
    answered = -(-len(response.text) // 4) if completion is None else completion
    return Tokens(prompt, completion, asked + answered, 1, True)


def _words(failure: LLMError | PhaseExecutorError) -> str:
    return one_line(f"{failure.kind}: {failure}" if isinstance(failure, LLMError) else str(failure))
