"""What is asked of a language model, and what it answers: plain frozen records, the same for every provider."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from phasegate.errors import InputError

#: Why a model stopped: it was done, it ran out of tokens, somebody's rules forbade the rest, or nobody says.
StopReason = Literal["complete", "max_tokens", "content_filter", "unknown"]
STOP_REASONS: tuple[StopReason, ...] = ("complete", "max_tokens", "content_filter", "unknown")


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a model.

    ``schema`` is a JSON Schema the answer is asked to follow; whether it does is for the caller to check. ``model`` is None
    for the client's own. ``timeout`` is seconds for one call. ``metadata`` is never sent to a provider; of it, only
    ``occurrence`` has a meaning here: which of several equal requests this is, counted from 0 by the caller, so that a
    replay after a restart still gives each its own answer.
    """

    system: str
    user: str
    schema: Mapping[str, Any] | None = field(default=None, hash=False)
    model: str | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    timeout: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Raise ``InputError`` for numbers that no provider can make sense of."""
        if self.max_output_tokens is not None and self.max_output_tokens < 1:
            raise InputError(f"max_output_tokens is {self.max_output_tokens}; it must be at least 1")
        if self.temperature is not None and not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise InputError(f"temperature is {self.temperature}; it must be a number from 0 upwards")
        if self.timeout is not None and not self.timeout > 0:
            raise InputError(f"timeout is {self.timeout}; it must be more than 0 seconds")

    @property
    def timeout_s(self) -> float | None:
        """``timeout``, as some clients call it."""
        return self.timeout

    @property
    def occurrence(self) -> int:
        """Which of several equal requests this is, from 0. Raises ``InputError`` when the metadata says nonsense."""
        number = self.metadata.get("occurrence", 0)
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise InputError(f"metadata['occurrence'] is {number!r}; it must be a whole number from 0 upwards")
        return number


@dataclass(frozen=True, slots=True)
class Response:
    """One answer of a model.

    Token numbers are the provider's own, and None where it did not say: a total without its parts stays one. Only when it
    said nothing at all are they guessed from the lengths of the texts, and then ``estimated`` is true. ``prompt_tokens``
    includes ``cached_tokens``. ``model`` is the one that answered. ``seconds`` is how long the call took that succeeded, and
    ``calls`` how many it took, failed ones included.
    """

    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    model: str | None = None
    stop_reason: StopReason = "unknown"
    estimated: bool = False
    seconds: float | None = None
    calls: int = 1


class Client(Protocol):
    """Whoever answers requests: a provider, a replay, a fake."""

    async def generate(self, request: Request) -> Response:
        """The answer to one request. Raises ``LLMError`` when there is none."""
        ...

    def ready(self) -> None:
        """Raise ``LLMError`` when it is known without asking anybody that no request can be answered: a key or a library is
        missing. Sends nothing."""
        return  # not abstract: who says nothing is ready


def deciding(request: Request) -> dict[str, Any]:
    """The parts of a request that decide its answer, as JSON values: not the timeout, not the metadata."""
    return {
        "system": request.system,
        "user": request.user,
        "schema": None if request.schema is None else dict(request.schema),
        "model": request.model,
        "max_output_tokens": request.max_output_tokens,
        # 0 and 0.0 are one temperature, and must be one key.
        "temperature": None if request.temperature is None else float(request.temperature),
    }


def request_key(request: Request) -> str:
    """The sha256, in hexadecimal, of everything that decides the answer: equal requests have equal keys in every process.

    Raises ``InputError`` when the schema is not JSON.
    """
    return hashlib.sha256(canonical(deciding(request)).encode("ascii")).hexdigest()


def canonical(value: object) -> str:
    """A JSON value in the one spelling that compares equal: sorted keys, no spaces, ASCII."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"the request cannot be written as JSON: {error}") from error


def system_text(request: Request) -> str:
    """The system prompt with the schema, for models that are told of it in words."""
    if request.schema is None:
        return request.system
    wanted = "Answer with one JSON value only, no prose and no code fences. It must follow this JSON Schema:\n"
    return f"{request.system}\n\n{wanted}{canonical(dict(request.schema))}".lstrip("\n")
