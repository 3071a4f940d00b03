"""Limits on what models may cost: what they are, what a request may cost at most, what an answer has cost.

Nothing is counted here, and no database is known: whoever keeps the accounts does that. Amounts are whole numbers, of tokens or
of billionths of a dollar, so that sums are exact.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from phasegate.errors import InputError, did_you_mean
from phasegate.llm.errors import Kind, LLMError
from phasegate.llm.prices import MILLION, Price, Prices
from phasegate.llm.request import Request, Response, system_text

#: What one budget is for: everything of a tenant, one run, or one phase of a run with all its items.
Per = Literal["tenant", "run", "phase"]
PERS: tuple[Per, ...] = ("tenant", "run", "phase")
Unit = Literal["usd", "tokens"]
UNITS: tuple[Unit, ...] = ("usd", "tokens")

#: What money is counted in: billionths of a dollar.
NANO = 1_000_000_000
#: More is rather a mistake, and would not fit into 64 bits with everything that is added to it.
MOST = 10**18
#: Tokens of an answer that are reckoned with when neither the request nor the budgets say how many it may have.
OUTPUT_TOKENS = 16_384
#: Bytes of a prompt that make one token at least, in any language and in JSON; in English it is four.
BYTES = 3
#: Refusals, for which no provider takes money.
FREE: frozenset[Kind] = frozenset(
    {"rate_limited", "auth", "credit_exhausted", "prompt_too_long", "bad_request", "no_recording"}
)


@dataclass(frozen=True, slots=True)
class Budget:
    """One limit. ``limit`` is in the amounts of this module (``amount`` makes it); ``phase`` is None for every phase."""

    per: Per
    unit: Unit
    limit: int
    phase: str | None = None


@dataclass(frozen=True, slots=True)
class Budgets:
    """The limits that somebody has set. ``output_tokens`` stands for the length of answers that have no limit of their own.

    As a file or a mapping: ``{"tenant": {"usd": 100}, "run": {"usd": 5, "tokens": 500000}, "phase": {"usd": 1}, "phases":
    {"write": {"usd": 2}}, "output_tokens": 4000}``, each part optional. What ``phases`` says of a phase goes before ``phase``.
    """

    limits: tuple[Budget, ...] = ()
    output_tokens: int = field(default=OUTPUT_TOKENS, kw_only=True)

    @classmethod
    def of(cls, per: Per = "run", *, usd: float | None = None, tokens: int | None = None) -> Budgets:
        """One limit or two. Raises ``InputError`` for numbers that are none."""
        given = {"usd": usd, "tokens": tokens}
        return cls.from_dict({per: {unit: value for unit, value in given.items() if value is not None}})

    @classmethod
    def load(cls, path: str | Path) -> Budgets:
        """The limits in a TOML or JSON file, told apart by its ending. Raises ``InputError`` when it cannot be used."""
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
            table = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
        except (OSError, ValueError) as error:
            raise InputError(f"the budgets in {path} cannot be read: {error}") from error
        return cls.from_dict(table)

    @classmethod
    def from_dict(cls, table: Any) -> Budgets:
        """The limits in a mapping. Raises ``InputError`` for what is none."""
        _check_names("the budgets", table, (*PERS, "phases", "output_tokens"))
        limits = [limit for per in PERS for limit in _limits(f"the budget per {per}", per, table.get(per, {}))]
        phases = table.get("phases", {})
        if not isinstance(phases, Mapping):
            raise InputError(f"the budgets of phases must be a table, not {phases!r}")
        for name, entry in phases.items():
            limits += _limits(f"the budget of phase {name!r}", "phase", entry, name)
        tokens = table.get("output_tokens", OUTPUT_TOKENS)
        return cls(tuple(limits), output_tokens=amount("tokens", tokens, "output_tokens"))

    def to_dict(self) -> dict[str, Any]:
        """The mapping of which ``from_dict`` makes the same."""
        told: dict[str, Any] = {"output_tokens": self.output_tokens}
        for each in self.limits:
            place = told if each.phase is None else told.setdefault("phases", {})
            place.setdefault(each.phase or each.per, {})[each.unit] = number(each.unit, each.limit)
        return told

    def with_limits(self, others: Budgets) -> Budgets:
        """These with the others' limits, which take the place of those for the same."""
        found = {(each.per, each.unit, each.phase): each for each in (*self.limits, *others.limits)}
        return replace(self, limits=tuple(found.values()))

    def of_phase(self, name: str) -> tuple[Budget, ...]:
        """The limits that a call in this phase has to keep to."""
        found: dict[tuple[Per, Unit], Budget] = {}
        for each in sorted(self.limits, key=lambda limit: limit.phase is not None):
            if each.phase in (None, name):
                found[each.per, each.unit] = each
        return tuple(found.values())

    @property
    def phases(self) -> tuple[str, ...]:
        """The phases that have limits of their own."""
        return tuple(dict.fromkeys(each.phase for each in self.limits if each.phase is not None))

    @property
    def in_money(self) -> bool:
        """Whether any limit is one of money, for which prices are needed."""
        return any(each.unit == "usd" for each in self.limits)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call costs, or may cost; ``nanos`` is None when nobody has named a price."""

    tokens: int
    nanos: int | None

    def amount(self, unit: Unit) -> int | None:
        """The cost in one unit."""
        return self.tokens if unit == "tokens" else self.nanos


#: What a call costs that was not made.
NOTHING = Cost(0, 0)


class Estimator:
    """Reckons what calls cost. ``models`` are those that may answer; without any, every model with a price may."""

    def __init__(self, prices: Prices | None, models: Sequence[str] = (), output_tokens: int = OUTPUT_TOKENS) -> None:
        self._prices, self._models, self._output = prices, tuple(models), output_tokens

    def at_most(self, request: Request) -> Cost:
        """What a request may cost, with the dearest of the models.

        The prompt is reckoned at a token for every three bytes, the answer at its full length. An answer may be longer than that
        when the request does not limit it.
        """
        prompt = math.ceil(len(f"{system_text(request)}{request.user}".encode()) / BYTES)
        answer = request.max_output_tokens or self._output
        prices = self._prices_of([request.model] if request.model else self._models)
        if not prices or None in prices:
            return Cost(prompt + answer, None)
        dearest = max(_dollars(each, prompt, answer) for each in prices if each is not None)
        return Cost(prompt + answer, math.ceil(dearest * NANO))

    def of(self, response: Response, reserved: Cost) -> Cost:
        """What an answer has cost. What cannot be known of it counts as much as was reserved."""
        tokens = response.total_tokens
        if tokens is None and response.prompt_tokens is not None and response.completion_tokens is not None:
            tokens = response.prompt_tokens + response.completion_tokens
        dollars = None if self._prices is None else self._prices.cost(response)
        nanos = reserved.nanos if dollars is None else round(dollars * NANO)
        return Cost(reserved.tokens if tokens is None else tokens, nanos)

    def unpriced(self, more: Iterable[str] = ()) -> list[str]:
        """Those of the models, and of some more, that have no price."""
        names = dict.fromkeys((*self._models, *more))
        return [name for name in names if self._prices is None or self._prices.of(name) is None]

    def _prices_of(self, models: Sequence[str]) -> list[Price | None]:
        if self._prices is None:
            return []
        return [self._prices.of(each) for each in models] if models else list(self._prices.all)


def after_failure(error: LLMError, reserved: Cost) -> Cost:
    """What a call has cost that gave no answer: nothing when it was refused, and else as much as was reserved, because the model
    may have worked before the answer was lost."""
    return NOTHING if not error.calls or error.kind in FREE else reserved


def amount(unit: Unit, value: Any, what: str = "the limit") -> int:
    """A number of dollars or tokens as an amount. Raises ``InputError`` when it is no limit: not finite, zero, less."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    if not good or (unit == "tokens" and value != int(value)):
        kind = "whole number of tokens" if unit == "tokens" else "number of US dollars"
        raise InputError(f"{what} is {value!r}; it must be a {kind} above 0")
    found = int(value) if unit == "tokens" else round(Decimal(str(value)) * NANO)
    if not 0 < found <= MOST:
        raise InputError(f"{what} is {value!r}, which is too {'small' if found <= 0 else 'large'}")
    return found


def number(unit: Unit, found: int) -> int | float:
    """An amount as people say it: dollars or tokens."""
    return found if unit == "tokens" else found / NANO


def shown(unit: Unit, found: int) -> str:
    """An amount in words: ``4.90 USD``, ``12,000 tokens``. Nothing is rounded away."""
    if unit == "tokens":
        return f"{found:,} tokens"
    whole, _, rest = f"{Decimal(found) / NANO:f}".partition(".")
    return f"{whole}.{rest.rstrip('0'):0<2} USD"


def _dollars(price: Price, prompt: int, answer: int) -> float:
    return (prompt * max(price.input, price.cached or 0.0) + answer * price.output) / MILLION


def _limits(what: str, per: Per, entry: Any, phase: str | None = None) -> list[Budget]:
    _check_names(what, entry, UNITS)
    return [Budget(per, unit, amount(unit, entry[unit], f"{what} in {unit}"), phase) for unit in UNITS if unit in entry]


def _check_names(what: str, table: Any, known: Sequence[str]) -> None:
    if not isinstance(table, Mapping):
        raise InputError(f"{what} must be a table with {', '.join(known)}, not {table!r}")
    for name in table:
        if name not in known:
            raise InputError(f"{what}: there is no {name!r}", hint=did_you_mean(str(name), known))
