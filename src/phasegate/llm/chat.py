"""OpenAI's chat completions as servers really speak them. Imported with pydantic-ai only, when a model is set up.

Local servers leave out token counts, tell only a total, or never say why they stopped. pydantic-ai refuses the first two
together with the answer, and takes the third for a complete one; here the answer is kept, and what is not known is not said.
The methods overridden are those pydantic-ai offers for it.
"""

from __future__ import annotations

from typing import Any, Literal

from openai.types import chat
from pydantic_ai.messages import FinishReason
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIStreamedResponse

from phasegate.llm.answers import COMPLETION, ONLY_TOTAL, PROMPT, TOTAL, number


class LenientStream(OpenAIStreamedResponse):
    """A streamed answer."""

    def _map_chunk_provider_details(self, chunk: chat.ChatCompletionChunk) -> dict[str, Any] | None:
        details = super()._map_chunk_provider_details(chunk) or {}
        return details | only_total(chunk) or None

    def _missing_finish_reason(self) -> FinishReason:
        return "error"  # becomes "unknown"


class LenientChatModel(OpenAIChatModel):
    """A model behind chat completions."""

    def _validate_completion(self, response: chat.ChatCompletion) -> Any:
        told = only_total(response)
        if not complete(response.usage):
            response.usage = None
        valid = super()._validate_completion(response)
        for name, value in told.items():
            setattr(valid, name, value)
        return valid

    def _process_provider_details(self, response: chat.ChatCompletion) -> dict[str, Any] | None:
        details = super()._process_provider_details(response) or {}
        total = number(response, (ONLY_TOTAL,))
        return details | ({} if total is None else {ONLY_TOTAL: total}) or None

    def _missing_finish_reason(
        self, choice: object
    ) -> Literal["stop", "length", "tool_calls", "content_filter", "function_call"]:
        return "function_call"  # of those that are possible, the one that becomes "unknown"

    @property
    def _streamed_response_cls(self) -> type[OpenAIStreamedResponse]:
        return LenientStream


def complete(usage: object) -> bool:
    """Whether both parts of a usage are told."""
    return number(usage, PROMPT) is not None and number(usage, COMPLETION) is not None


def only_total(response: chat.ChatCompletion | chat.ChatCompletionChunk) -> dict[str, int]:
    """The total of an answer that does not tell its parts."""
    total = number(response.usage, TOTAL)
    return {} if total is None or complete(response.usage) else {ONLY_TOTAL: total}
