"""What a scripted provider can say, and how OpenAI's chat completions and Anthropic's messages spell it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

#: What the fake accepts and what must never be seen anywhere else.
KEY = "sk-test-0123456789-very-secret"


@dataclass(frozen=True)
class Answer:
    """An answer. ``usage`` replaces what would be told of tokens in the format of the provider; None tells nothing."""

    text: str = "ok"
    prompt_tokens: int = 11
    completion_tokens: int = 7
    cached_tokens: int = 0
    stop: str | None = None  # in the provider's words; None for its word for being done, "" for none at all
    model: str | None = None  # None for the one asked for
    refusal: str | None = None  # OpenAI only
    usage: Mapping[str, Any] | str | None = "told"


@dataclass(frozen=True)
class Failure:
    """An HTTP error in the format of the provider."""

    status: int
    message: str = "something went wrong"
    type: str = "invalid_request_error"
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Raw:
    """Any bytes."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"


@dataclass(frozen=True)
class Cut:
    """The connection is closed: at once, or after the head and a piece of an answer."""

    late: bool = False


@dataclass(frozen=True)
class Hang:
    """Nothing happens until the client gives up or the server is closed."""


Reply = Answer | Failure | Raw | Cut | Hang


@dataclass(frozen=True)
class Seen:
    """A request as the server saw it."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def anthropic(self) -> bool:
        return self.path.endswith("/messages")

    @property
    def stream(self) -> bool:
        return bool(self.body.get("stream"))

    @property
    def model(self) -> str:
        return str(self.body["model"])

    @property
    def key(self) -> str:
        """The API key that was sent."""
        return self.headers.get("x-api-key") or self.headers.get("authorization", "").removeprefix("Bearer ")

    @property
    def system(self) -> str:
        if self.anthropic:
            return words(self.body.get("system", ""))
        return "\n".join(
            words(each["content"]) for each in self.body["messages"] if each["role"] in ("system", "developer")
        )

    @property
    def user(self) -> str:
        return "\n".join(words(each["content"]) for each in self.body["messages"] if each["role"] == "user")


def words(content: Any) -> str:
    """The text of a message, which may be a list of blocks."""
    return content if isinstance(content, str) else "".join(block.get("text", "") for block in content)


def failure(reply: Failure, seen: Seen) -> bytes:
    error = {"message": reply.message, "type": reply.type}
    if seen.anthropic:
        return json.dumps({"type": "error", "error": error, "request_id": "req_1"}).encode()
    return json.dumps({"error": {**error, "code": reply.code, "param": None}}).encode()


def usage_of(reply: Answer, seen: Seen) -> Any:
    """What is told of tokens."""
    if not isinstance(reply.usage, str):
        return reply.usage
    if seen.anthropic:
        # Anthropic counts what comes from the cache apart.
        return {
            "input_tokens": reply.prompt_tokens - reply.cached_tokens,
            "output_tokens": reply.completion_tokens,
            "cache_read_input_tokens": reply.cached_tokens,
            "cache_creation_input_tokens": 0,
        }
    return {
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "total_tokens": reply.prompt_tokens + reply.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": reply.cached_tokens},
    }


def whole(reply: Answer, seen: Seen) -> dict[str, Any]:
    """The answer in one piece."""
    usage, model = usage_of(reply, seen), reply.model or seen.model
    if seen.anthropic:
        return {
            "id": "msg_1", "type": "message", "role": "assistant", "model": model, "usage": usage,
            "content": [{"type": "text", "text": reply.text}] if reply.text else [],
            "stop_reason": stopped(reply, "end_turn"), "stop_sequence": None,
        }  # fmt: skip
    message = {"role": "assistant", "content": reply.text, "refusal": reply.refusal}
    found = {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000, "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": stopped(reply, "stop"), "logprobs": None}],
    }  # fmt: skip
    return found if usage is None else {**found, "usage": usage}


def events(reply: Answer, seen: Seen) -> Iterator[bytes]:
    """The answer in pieces, as server-sent events."""
    if seen.anthropic:
        for data in anthropic_events(reply, seen):
            yield f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode()
        return
    for data in openai_chunks(reply, seen):
        yield f"data: {json.dumps(data)}\n\n".encode()
    yield b"data: [DONE]\n\n"


def stopped(reply: Answer, done: str) -> str | None:
    return done if reply.stop is None else reply.stop or None


def halves(text: str) -> list[str]:
    middle = len(text) // 2
    return [part for part in (text[:middle], text[middle:]) if part]


def openai_chunks(reply: Answer, seen: Seen) -> Iterator[dict[str, Any]]:
    head = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": reply.model or seen.model,
    }

    def chunk(delta: dict[str, Any], stop: str | None = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": stop}]}

    yield chunk({"role": "assistant", "content": ""})
    if reply.refusal is not None:
        yield chunk({"refusal": reply.refusal})
    for part in halves(reply.text):
        yield chunk({"content": part})
    yield chunk({}, stopped(reply, "stop"))
    usage = usage_of(reply, seen)
    if usage is not None and seen.body.get("stream_options", {}).get("include_usage"):
        yield {**head, "choices": [], "usage": usage}


def anthropic_events(reply: Answer, seen: Seen) -> Iterator[dict[str, Any]]:
    usage = usage_of(reply, seen)
    message = {**whole(reply, seen), "content": [], "stop_reason": None}
    if usage is not None:
        message["usage"] = {**usage, "output_tokens": 1}
    yield {"type": "message_start", "message": message}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    for part in halves(reply.text):
        yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": part}}
    yield {"type": "content_block_stop", "index": 0}
    ending = {"type": "message_delta", "delta": {"stop_reason": stopped(reply, "end_turn"), "stop_sequence": None}}
    yield ending if usage is None else {**ending, "usage": {"output_tokens": usage.get("output_tokens", 0)}}
    yield {"type": "message_stop"}
