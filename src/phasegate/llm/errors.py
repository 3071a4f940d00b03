"""The one error of this package. What went wrong is its ``kind``, so that callers decide by a word, not by a class."""

from __future__ import annotations

from typing import Literal

from phasegate.errors import PhasegateError
from phasegate.llm.redacting import redact

Kind = Literal[
    "rate_limited",  # 429: too many requests just now
    "timeout",  # no answer in time
    "connection",  # not reached, or cut off
    "server",  # 5xx, overloaded, or an answer that makes no sense
    "auth",  # 401, 403, no key
    "credit_exhausted",  # the account has no money or quota left
    "prompt_too_long",  # more text than the model takes
    "bad_request",  # the request itself is wrong: model, parameters, a package that is not installed
    "cancelled",  # somebody else stopped the call
    "response_type",  # a client of the caller's returned something that is not an answer
    "content",  # refused by the provider's content rules
    "no_recording",  # a replay does not know the request
]

#: Worth another try with the same request.
RETRYABLE: frozenset[Kind] = frozenset({"rate_limited", "timeout", "connection", "server"})

#: What to do next, where one sentence holds for every provider.
HINTS: dict[Kind, str] = {
    "rate_limited": "wait, or lower the concurrency of the phase",
    "timeout": "raise the timeout of the request, or ask for fewer tokens",
    "connection": "check the network and the base URL of the provider",
    "server": "try again later, or name a second model to fall back on",
    "credit_exhausted": "add credit to the provider's account, or name a second model to fall back on",
    "prompt_too_long": "shorten the prompt, or use a model with a larger context window",
    "bad_request": "check the name of the model and the parameters of the request",
    "response_type": "return a string, a mapping or object with 'text' or 'content', or phasegate.llm.Response",
    "content": "change the prompt: the provider's content rules refused it",
    "no_recording": "record the request first: open_client(..., record=FOLDER)",
}


class LLMError(PhasegateError):
    """A language model gave no answer.

    ``kind`` says why, ``retryable`` whether the same request may succeed later, ``retry_after`` how many seconds the provider
    asked to wait, if it did, and ``calls`` how many calls to providers were made. Neither message nor hint contains a secret,
    and the error carries no other exception that could.
    """

    status = 502

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        hint: str | None = None,
        retry_after: float | None = None,
        retryable: bool | None = None,
        calls: int = 1,
    ) -> None:
        """``retryable`` follows from the kind unless it is given."""
        super().__init__(redact(message), hint=redact(hint) if hint else HINTS.get(kind))
        self.kind: Kind = kind
        self.retryable = kind in RETRYABLE if retryable is None else retryable
        self.retry_after = retry_after
        self.calls = calls
