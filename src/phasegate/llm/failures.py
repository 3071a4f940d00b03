"""Whatever a provider's library raised, as an ``LLMError``.

The libraries are optional, so that their errors are told apart by the names of their classes, and by the HTTP status they
carry. What they say is quoted, without secrets; they themselves are not chained to our error, because a traceback would
print what they hold.
"""

from __future__ import annotations

import math
import re
from typing import Any

from phasegate.llm.errors import Kind, LLMError
from phasegate.llm.redacting import redact

#: The first line whose class is among the ancestors of an error decides: pydantic-ai, the OpenAI and Anthropic libraries,
#: httpx, Python.
CLASSES: tuple[tuple[str, Kind], ...] = (
    ("ModelRequestTimeout", "timeout"),
    ("ModelTimeoutError", "timeout"),
    ("ModelConnectionError", "connection"),
    ("ModelQuotaExceededError", "credit_exhausted"),
    ("ModelRateLimitError", "rate_limited"),
    ("ModelContextWindowExceededError", "prompt_too_long"),
    ("ModelAuthenticationError", "auth"),
    ("ModelUnavailableError", "server"),
    ("ModelServerError", "server"),
    ("ContentFilterError", "content"),
    ("UnexpectedModelBehavior", "server"),
    ("APITimeoutError", "timeout"),
    ("APIConnectionError", "connection"),
    ("TimeoutException", "timeout"),
    ("TransportError", "connection"),
    ("TimeoutError", "timeout"),
    ("ConnectionError", "connection"),
    ("gaierror", "connection"),
    ("CancelledError", "cancelled"),
)
#: By HTTP status; other 5xx are the server's, other 4xx the request's.
STATUSES: dict[int, Kind] = {
    401: "auth", 402: "credit_exhausted", 403: "auth", 408: "timeout", 409: "server", 413: "prompt_too_long",
    425: "server", 429: "rate_limited", 499: "cancelled",
}  # fmt: skip
#: What a refusal says when its status does not tell.
TOO_LONG = re.compile(
    r"context[ _](?:length|window)|prompt is too long|input is too long|too many (?:input )?tokens|maximum context"
    r"|reduce the length|exceeds? .{0,40}token",
    re.IGNORECASE,
)
FORBIDDEN = re.compile(r"content[ _](?:filter|policy|management)|moderation|safety (?:system|policy)", re.IGNORECASE)
NO_CREDIT = re.compile(r"insufficient_quota|credit balance|billing|exceeded your current quota", re.IGNORECASE)
#: Characters of a provider's message that are quoted.
QUOTED = 300


def as_llm_error(error: BaseException, who: str, *, key: str | None = None) -> LLMError | None:
    """The error in our words; None when it is not one of a provider or of the way to it. ``who`` is the model, for the message;
    ``key`` names the environment variable with its key, for the hint."""
    if isinstance(error, LLMError):
        return error
    kind = kind_of(error)
    if kind is None:
        return None
    status = status_of(error)
    said = redact(message_of(error) + (cause_of(error) if kind == "connection" else ""))
    words = f"{who}: {kind.replace('_', ' ')}" + (f" (HTTP {status})" if status else "")
    return LLMError(
        kind,
        f"{words}: {said[:QUOTED]}" if said else words,
        hint=f"set {key} to a key that is valid for this model" if kind == "auth" and key else None,
        retry_after=retry_after(error),
    )


def kind_of(error: BaseException) -> Kind | None:
    """What went wrong, or None when it is no failure of a provider."""
    ancestors = {each.__name__ for each in type(error).__mro__}
    kind = next((kind for name, kind in CLASSES if name in ancestors), None)
    status = status_of(error)
    if kind is None and status is not None:
        kind = STATUSES.get(status) or ("server" if status >= 500 else "bad_request" if status >= 400 else None)
    if kind is None and "ModelAPIError" in ancestors:
        kind = "server"  # such as a body that is not JSON
    return refined(kind, error) if kind in ("bad_request", "rate_limited", "prompt_too_long") else kind


def refined(kind: Kind, error: BaseException) -> Kind:
    """The kind of a refusal whose words say more than its status."""
    said = f"{getattr(error, 'provider_error_code', '') or getattr(error, 'code', '')} {message_of(error)}"
    if NO_CREDIT.search(said):
        return "credit_exhausted"
    if kind == "bad_request" and TOO_LONG.search(said):
        return "prompt_too_long"
    return "content" if kind == "bad_request" and FORBIDDEN.search(said) else kind


def status_of(error: BaseException) -> int | None:
    """The HTTP status an error carries."""
    for holder in (error, getattr(error, "response", None)):
        status = getattr(holder, "status_code", None)
        if isinstance(status, int) and not isinstance(status, bool):
            return status
    return None


def message_of(error: BaseException) -> str:
    """What the provider said, on one line: the message in its body if there is one, else the error's own text."""
    body: Any = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else None
    said = inner.get("message") if isinstance(inner, dict) else inner
    text = said if isinstance(said, str) and said else str(error)
    return " ".join(text.split()) or type(error).__name__


def cause_of(error: BaseException) -> str:
    """What lies under a failure of the network, which the libraries call just that."""
    cause = error
    while (under := cause.__cause__ or cause.__context__) is not None:
        cause = under
    return "" if cause is error else f" ({type(cause).__name__}: {' '.join(str(cause).split())})"


def retry_after(error: BaseException) -> float | None:
    """Seconds the provider asked to wait."""
    given = getattr(error, "retry_after", None)
    if given is None:
        headers: Any = getattr(error, "headers", None) or getattr(getattr(error, "response", None), "headers", None)
        try:
            given = float(headers["retry-after"])
        except (KeyError, TypeError, ValueError):
            return None
    valid = isinstance(given, int | float) and math.isfinite(given) and given >= 0
    return float(given) if valid else None
