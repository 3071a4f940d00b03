"""Language models: one request, one response, whoever answers.

No provider's library is imported until a provider is asked.
"""

from __future__ import annotations

from phasegate.llm.adapting import as_client
from phasegate.llm.errors import Kind, LLMError
from phasegate.llm.opening import open_client
from phasegate.llm.prices import Price, Prices
from phasegate.llm.provider import ProviderClient
from phasegate.llm.recording import Recorder, Replay
from phasegate.llm.redacting import redact
from phasegate.llm.request import Client, Request, Response, StopReason, request_key
from phasegate.llm.trying import Fallback, Retrying

__all__ = [
    "Client",
    "Fallback",
    "Kind",
    "LLMError",
    "Price",
    "Prices",
    "ProviderClient",
    "Recorder",
    "Replay",
    "Request",
    "Response",
    "Retrying",
    "StopReason",
    "as_client",
    "open_client",
    "redact",
    "request_key",
]
