"""What answers cost. Prices change and differ by contract, so that none stands in the code: they are given or loaded."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from phasegate.errors import InputError, did_you_mean
from phasegate.llm.request import Response

MILLION = 1_000_000
FIELDS = ("input", "output", "cached")


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens; ``cached`` is for prompt tokens read from the provider's cache, as ``input`` if None."""

    input: float
    output: float
    cached: float | None = None


class Prices:
    """Prices by model.

    A name may contain ``*``: ``claude-sonnet-*``. The most specific name that fits is used, an exact one before any pattern.
    """

    def __init__(self, table: Mapping[str, Mapping[str, Any]]) -> None:
        """``table`` has, by model, ``input``, ``output`` and perhaps ``cached``. Raises ``InputError`` for what it cannot be."""
        self._prices = {name: price(name, entry) for name, entry in table.items()}
        # Most letters that are not a star first.
        self._patterns = sorted(self._prices, key=lambda name: (-len(name.replace("*", "")), name))

    @classmethod
    def load(cls, path: str | Path) -> Prices:
        """The prices in a TOML or JSON file, told apart by its ending. Raises ``InputError`` when it cannot be read."""
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
            table = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
        except (OSError, ValueError) as error:
            said = error.strerror if isinstance(error, OSError) else error
            raise InputError(f"the prices in {path} cannot be read: {said}") from error
        if not isinstance(table, dict):
            raise InputError(f"the prices in {path} must be a table of models")
        return cls(table)

    @property
    def all(self) -> tuple[Price, ...]:
        """Every price there is."""
        return tuple(self._prices.values())

    def of(self, model: str) -> Price | None:
        """The price of a model, with or without its provider before a colon; None when nobody has named one."""
        for name in dict.fromkeys((model, model.partition(":")[2] or model)):
            if name in self._prices:
                return self._prices[name]
            for pattern in self._patterns:
                if "*" in pattern and fnmatchcase(name, pattern.replace("[", "[[]").replace("?", "[?]")):
                    return self._prices[pattern]
        return None

    def cost(self, response: Response) -> float | None:
        """US dollars for an answer; None when the model has no price here, or the split of its tokens is unknown.

        Estimated tokens give an estimated cost. What a provider charges for writing to its cache is not in it.
        """
        found = None if response.model is None else self.of(response.model)
        if found is None or response.prompt_tokens is None or response.completion_tokens is None:
            return None
        cached = min(response.cached_tokens or 0, response.prompt_tokens)
        reading = found.input if found.cached is None else found.cached
        fresh = response.prompt_tokens - cached
        return (fresh * found.input + cached * reading + response.completion_tokens * found.output) / MILLION


def price(name: str, entry: object) -> Price:
    """One entry of a table of prices, checked."""
    if not isinstance(entry, Mapping):
        raise InputError(f"the price of {name!r} must be a table with {', '.join(FIELDS)}")
    for field, value in entry.items():
        if field not in FIELDS:
            raise InputError(
                f"the price of {name!r} has an unknown entry {field!r}", hint=did_you_mean(str(field), FIELDS)
            )
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < float("inf"):
            raise InputError(f"the price of {name!r} for {field} is {value!r}; it must be a number from 0 upwards")
    missing = [field for field in ("input", "output") if field not in entry]
    if missing:
        raise InputError(f"the price of {name!r} lacks {' and '.join(missing)}")
    return Price(**{field: float(value) for field, value in entry.items()})
