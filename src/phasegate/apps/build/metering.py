"""Asking the model: every call on record at once, within what may be spent, and again when the provider has a bad moment."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from phasegate import Context
from phasegate.apps.build import statements as q
from phasegate.apps.build.errors import BudgetError, LLMTransportError, PhaseExecutorError
from phasegate.apps.build.workshop import Workshop, Workshops
from phasegate.llm import Client, LLMError, Request, Response, Retrying

#: Kinds of failures that another call may mend; the client has tried for a while by then.
_TRANSIENT = frozenset({"rate_limited", "timeout", "connection", "server"})
#: As much of what is left as one call may be planned with.
_MOST_OF_THE_REST = 0.9
#: From which share of a cap somebody is told.
_WARN_FROM = 0.8


@dataclass(frozen=True, slots=True)
class Place:
    """Where calls belong: a phase of a run, and its attempt, by the ids of the history."""

    run: str
    phase: str
    attempt: str


class Meter(Client):
    """The model of one attempt. Each call is recorded before anybody reads its answer, in a commit of its own.

    ``generate`` raises ``BudgetError``, and asks nothing, when the call might need more than nine tenths of what a cap has left.
    A call that fails counts as its prompt, guessed.
    """

    def __init__(self, context: Context, shop: Workshop, place: Place, purpose: str) -> None:
        self._context, self._shop, self._place, self.purpose = context, shop, place, purpose
        self._deps: Workshops = context.deps
        self._sequence = 0

    async def generate(self, request: Request) -> Response:
        """The model's answer. Raises ``LLMError`` and ``BudgetError``."""
        await asyncio.to_thread(self._check, request)
        began = time.monotonic()
        try:
            response = await self._shop.client.generate(request)
        except asyncio.CancelledError:
            self._record(request, None, "cancelled", time.monotonic() - began)
            raise
        except LLMError as error:
            await asyncio.to_thread(self._record, request, None, f"{error.kind}: {error}", time.monotonic() - began)
            raise
        seconds = response.seconds if response.seconds is not None else time.monotonic() - began
        await asyncio.to_thread(self._record, request, response, None, seconds)
        return response

    def _check(self, request: Request) -> None:
        shop = self._shop
        caps = {"run": shop.run_token_cap, "phase": shop.phase_token_cap}
        if caps["run"] is None and caps["phase"] is None:
            return
        spent = self._context.read(q.SPENT, {"run": self._place.run, "phase": self._place.phase})[0]
        needed = guessed(request) + (request.max_output_tokens or 0)
        for whose, cap in caps.items():
            if cap is None:
                continue
            used = spent[whose] or 0
            if needed > _MOST_OF_THE_REST * (cap - used):
                raise BudgetError(
                    "E_BUDGET" if whose == "phase" else "E_BUDGET_RUN",
                    f"the {whose} has {max(0, cap - used)} of {cap} tokens left, and the next call may need {needed}",
                    hint=f"raise {whose}_token_cap, or make the phase smaller",
                )
            if used >= _WARN_FROM * cap:
                shop.tell(
                    {"type": "budget_warning", "run_id": self._place.run, "whose": whose, "used": used, "cap": cap}
                )

    def _record(self, request: Request, response: Response | None, error: str | None, seconds: float) -> None:
        self._sequence += 1
        place, price = self._place, self._shop.prices
        tokens = response.total_tokens if response is not None else None
        total = guessed(request) if tokens is None else tokens
        model = (response.model if response else None) or request.model or self._shop.model
        row: Mapping[str, Any] = {
            "id": f"{place.attempt}/{self._context.attempt}/{self.purpose}/{self._sequence}",
            "attempt_fk": place.attempt, "seq": self._sequence, "purpose": self.purpose,
            "provider": model.partition(":")[0] if model and ":" in model else None, "model": model,
            "prompt_tokens": response.prompt_tokens if response else None,
            "completion_tokens": response.completion_tokens if response else None,
            "total_tokens": total, "estimated": response.estimated if response else True,
            "cost": price.cost(response) if price is not None and response is not None else None,
            "stop_reason": response.stop_reason if response else None, "latency_ms": round(seconds * 1000), "error": error,
            "created_at": self._context.now(),
        }  # fmt: skip
        counted = [(statement, {"its_key": key, "its_tokens": total}) for statement, key in (
            (q.COUNT_FOR_PHASE, place.phase), (q.COUNT_FOR_RUN, place.run)
        )]  # fmt: skip
        self._deps.write([(q.ADD_CALL, row), *counted])
        shown = {name: row[name] for name in ("purpose", "model", "total_tokens", "estimated", "latency_ms", "error")}
        self._shop.tell({"type": "llm_called", "run_id": place.run, "attempt_id": place.attempt, **shown})


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
    return LLMTransportError(code, str(error), category=category, hint=error.hint)  # type: ignore[arg-type]


def guessed(request: Request) -> int:
    """Tokens of a prompt at four characters each."""
    return -(-(len(request.system) + len(request.user)) // 4)
