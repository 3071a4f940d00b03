"""Whatever a client returned, as a ``Response``: checked by type, never trusted.

A mock that answers every attribute gives attributes that are mocks; here only strings and whole numbers count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard, TypeVar

from phasegate.llm.errors import LLMError
from phasegate.llm.request import Request, Response, StopReason, system_text

#: The detail of a provider's answer with a total that came without its parts.
ONLY_TOTAL = "phasegate_only_total"
#: What providers call the reasons to stop.
STOPS: dict[str, StopReason] = {
    **dict.fromkeys(("complete", "completed", "stop", "end_turn", "stop_sequence", "eos", "eos_token"), "complete"),
    **dict.fromkeys(
        ("max_tokens", "length", "max_output_tokens", "model_length", "model_context_window_exceeded"), "max_tokens"
    ),
    **dict.fromkeys(("content_filter", "content_filtered", "refusal", "safety", "blocked"), "content_filter"),
}

T = TypeVar("T")
PROMPT = ("prompt_tokens", "input_tokens")
COMPLETION = ("completion_tokens", "output_tokens")
TOTAL = ("total_tokens",)
#: No count of tokens that is larger can be meant, nor stored by every database.
MOST = 2**53
CACHED = ("cached_tokens", "cache_read_tokens", "cache_read_input_tokens")


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as somebody reported them; None is what was not reported."""

    prompt: int | None = None
    completion: int | None = None
    total: int | None = None
    cached: int | None = None


def as_response(result: object, request: Request) -> Response:
    """The answer in a result: a string, or the ``text`` or ``content`` of a mapping or an object.

    Raises ``LLMError`` of kind ``response_type`` for anything else.
    """
    text = string(result)
    if text is None:
        text = next((found for name in ("text", "content") if (found := string(look(result, name))) is not None), None)
    if text is None:
        raise LLMError("response_type", f"the client returned {type(result).__name__}, which is not an answer")
    return measured(
        Response(
            text,
            model=string(look(result, "model")),
            stop_reason=stop_reason(look(result, "stop_reason"), look(result, "finish_reason")),
            seconds=seconds(look(result, "seconds")),
            calls=number(result, ("calls",)) or 1,
            estimated=look(result, "estimated") is True,
        ),
        reported(result),
        request,
    )


def measured(response: Response, usage: Usage, request: Request) -> Response:
    """The response with its tokens.

    Reported numbers are kept exactly, and no split is made up where only a total is known. Where no total is known and cannot
    be added up, what is missing is estimated at four characters per token.
    """
    prompt, completion, total, estimated = usage.prompt, usage.completion, usage.total, response.estimated
    if total is None:
        estimated = estimated or prompt is None or completion is None
        prompt = estimate(system_text(request), request.user) if prompt is None else prompt
        completion = estimate(response.text) if completion is None else completion
        total = prompt + completion
    return Response(
        response.text, prompt, completion, total, usage.cached,
        response.model, response.stop_reason, estimated, response.seconds, response.calls,
    )  # fmt: skip


def estimate(*texts: str) -> int:
    """Tokens of the texts at four characters each, rounded up."""
    return -(-sum(map(len, texts)) // 4)


def stop_reason(*values: object) -> StopReason:
    """The first of the values that is a provider's reason to stop, in our words."""
    for value in values:
        name = string(value) or string(look(value, "value"))  # an enumeration's member
        if name is not None:
            return STOPS.get(name.lower(), "unknown")
    return "unknown"


def reported(result: object) -> Usage:
    """The tokens a result tells of: in its ``usage``, else in itself."""
    usage = look(result, "usage")
    return tokens(usage) or tokens(result) or Usage()


def tokens(source: object) -> Usage | None:
    """The tokens named in a mapping or an object, under the names that providers use; None when there are none."""
    found = Usage(number(source, PROMPT), number(source, COMPLETION), number(source, TOTAL), number(source, CACHED))
    if found == Usage():
        return None
    if found.cached is None:
        found = Usage(
            found.prompt, found.completion, found.total, number(look(source, "prompt_tokens_details"), CACHED)
        )
    return found


def number(source: object, names: tuple[str, ...]) -> int | None:
    """The first of the names that holds a whole number from 0 upwards, and no larger than any that could be meant."""
    for name in names:
        value = look(source, name)
        if is_a(value, int) and not is_a(value, bool) and 0 <= value <= MOST:
            return int(value)
    return None


def seconds(value: object) -> float | None:
    """A duration, if it is one."""
    if (is_a(value, int) or is_a(value, float)) and not is_a(value, bool) and 0 <= value < float("inf"):
        return float(value)
    return None


def string(value: object) -> str | None:
    """The value as a plain string, if it is a string; of a subclass only the characters are kept."""
    return str.__str__(value) if is_a(value, str) else None


def is_a(value: object, wanted: type[T]) -> TypeGuard[T]:
    """Whether the value is of the type; ``isinstance`` would believe a mock that only claims to be."""
    return issubclass(type(value), wanted)


def look(source: Any, name: str) -> object:
    """An entry of a mapping or an attribute of an object; None when there is none, or when asking for it fails."""
    try:
        if isinstance(source, Mapping):
            return source.get(name)
        return None if source is None or isinstance(source, str) else getattr(source, name, None)
    except Exception:  # the source is not ours, and may do anything when asked
        return None
