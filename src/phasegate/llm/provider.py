"""Real providers, through pydantic-ai, which is imported when the first request is made."""

from __future__ import annotations

import asyncio
import re
import threading
import time
import warnings
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from phasegate.llm.answers import ONLY_TOTAL, Usage, measured, number, stop_reason
from phasegate.llm.errors import LLMError
from phasegate.llm.failures import as_llm_error
from phasegate.llm.request import Client, Request, Response, system_text

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.models import Model, ModelRequestParameters
    from pydantic_ai.settings import ModelSettings
    from pydantic_ai.usage import RequestUsage

#: The interface nearly every local server speaks; pydantic-ai takes "openai" for the newer one, "openai-responses".
CHAT = {"openai": "openai-chat"}
#: Environment variables with keys that are not called after their provider.
KEYS = {
    "openai-chat": "OPENAI_API_KEY", "openai-responses": "OPENAI_API_KEY", "google": "GOOGLE_API_KEY",
    "azure": "AZURE_OPENAI_API_KEY", "bedrock": "AWS_ACCESS_KEY_ID", "huggingface": "HF_TOKEN", "cohere": "CO_API_KEY",
}  # fmt: skip
#: Seconds that a connection waits for the next request.
LINGER = 10.0
VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b")
EXTRA = re.compile(r"pydantic-ai-slim\[[\w,-]+\]")


class ProviderClient(Client):
    """A model of a provider: ``openai:NAME``, ``anthropic:NAME``, and whatever else pydantic-ai reaches.

    ``openai:`` speaks chat completions, ``openai-responses:`` the newer interface. Key and base URL come from the environment
    variables of the provider (``OPENAI_API_KEY``, ``OPENAI_BASE_URL``, ``ANTHROPIC_API_KEY``, ``ANTHROPIC_BASE_URL``, ...), so
    that a local server can stand in. A request makes one call, never more: whoever wants retries wraps it in ``Retrying``.
    ``Request.model`` names another model of the same provider, or of another with its prefix.

    ``stream`` receives the answer in pieces, which keeps long answers from being cut off by proxies; it is returned whole all
    the same. ``timeout`` is seconds for a request that names none. Every failure is an ``LLMError``; cancelling the task
    cancels the call. One client may be used from several threads and event loops; connections stay open for some seconds
    after a request, and need not be closed by the caller.
    """

    def __init__(self, model: str, *, stream: bool = False, timeout: float | None = None) -> None:
        self._model, self._stream, self._timeout = model, stream, timeout
        self._names: dict[str, str] = {}
        self._mine = threading.local()  # what belongs to the event loop of this thread

    async def generate(self, request: Request) -> Response:
        """The model's answer, from one call."""
        name = self._model
        try:
            name = await self._named(request.model)
            held = await self._held(name)
            began = time.perf_counter()
            async with held.used():
                found = await ask(held.model, request, stream=self._stream, timeout=request.timeout or self._timeout)
            return answered(found, request, name, time.perf_counter() - began)
        except Exception as error:
            failure = as_llm_error(error, name, key=key_of(name)) or LLMError(
                "server", f"{name}: the answer cannot be read: {type(error).__name__}: {error}"
            )
        # Outside of the handler, so that the provider's error and what it holds is not chained.
        raise failure

    def ready(self) -> None:
        """Raises ``LLMError`` when a package or the key is missing, or there is no such provider. Sends nothing."""
        build(self._model)

    async def _named(self, wanted: str | None) -> str:
        """The model with its provider. Some names have a colon of their own, such as ``llama3:8b``."""
        if wanted is None:
            return self._model
        if wanted not in self._names:
            provider, colon, _ = wanted.partition(":")
            foreign = bool(colon) and await asyncio.to_thread(is_provider, provider)
            self._names[wanted] = wanted if foreign else f"{self._model.partition(':')[0]}:{wanted}"
        return self._names[wanted]

    async def _held(self, name: str) -> Held:
        """The model for the running event loop: connections of one loop are of no use in another."""
        loop = asyncio.get_running_loop()
        if getattr(self._mine, "loop", None) is not loop:
            self._mine.loop, self._mine.models = loop, {}
        models: dict[str, Held] = self._mine.models
        if name not in models:
            # In a thread, because importing the libraries takes a second or two. Another request may have been faster.
            models.setdefault(name, Held(await asyncio.to_thread(build, name)))
        return models[name]


class Held:
    """A model with its connections, which stay open for a while after a request, because the next may follow soon.

    They are closed by a task of the event loop: when its time is over, or when the loop ends and cancels what still runs.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._active, self._until = 0, 0.0
        self._keeper: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def used(self) -> AsyncIterator[None]:
        """Keep the connections open for a request, and for a while after it."""
        loop = asyncio.get_running_loop()
        self._active += 1
        if self._keeper is None or self._keeper.done():
            # Now and not after the request, so that it takes hold before the request lets go.
            self._keeper = loop.create_task(self._keep(), name="connections of a language model")
        try:
            async with self.model:
                yield
        finally:
            self._active -= 1
            self._until = loop.time() + LINGER

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        async with self.model:
            while self._active or self._until > loop.time():
                await asyncio.sleep(LINGER if self._active else self._until - loop.time())


def is_provider(name: str) -> bool:
    """Whether pydantic-ai knows a provider of that name, installed or not."""
    try:
        from pydantic_ai.providers import infer_provider_class

        infer_provider_class(CHAT.get(name, name))
    except ImportError:
        return True  # told when it is built
    except ValueError:
        return False
    return True


def build(name: str) -> Model:
    """The model of that name. Raises ``LLMError`` when a package or a key is missing, or there is no such provider."""
    try:
        from pydantic_ai.models import infer_model

        hush()
        provider, colon, rest = name.partition(":")
        return lenient(infer_model(f"{CHAT.get(provider, provider)}{colon}{rest}"))
    except ImportError as error:
        needed = " ".join(("'phasegate[llm]'", *(f"'{extra}'" for extra in EXTRA.findall(error.msg))))
        hint = f"install what it needs: pip install {needed}"
        failure = LLMError("bad_request", f"{name}: {error.msg.partition(',')[0]}", hint=hint, calls=0)
    except Exception as error:
        failure = not_built(name, error)
    raise failure


def lenient(model: Model) -> Model:
    """The model, patient with servers that imitate OpenAI."""
    if (
        type(model).__name__ != "OpenAIChatModel" or model.provider is None
    ):  # others of its kind know their provider better
        return model
    from phasegate.llm.chat import LenientChatModel

    return LenientChatModel(model.model_name, provider=model.provider)


def not_built(name: str, error: Exception) -> LLMError:
    """Why a model could not be set up: mostly, because there is no key."""
    said = str(error)
    variable = found.group() if (found := VARIABLE.search(said)) else None
    if variable is None and ("api_key" in said.lower() or "credentials" in said.lower()):
        variable = key_of(name)
    if variable is None:
        hint = "name it as provider:model, for example openai:NAME or anthropic:NAME"
        return LLMError("bad_request", f"{name}: {said}", hint=hint, calls=0)
    hint = f"set the environment variable {variable}"
    if variable.endswith(("KEY", "TOKEN")):
        return LLMError("auth", f"{name}: there is no key", hint=hint, calls=0)
    return LLMError("bad_request", f"{name}: {said}", hint=hint, calls=0)


def key_of(name: str) -> str:
    """The environment variable with the key of a model's provider."""
    provider = name.partition(":")[0]
    provider = CHAT.get(provider, provider)
    return KEYS.get(provider) or f"{provider.upper().replace('-', '_')}_API_KEY"


def hush() -> None:
    """Do not warn of what is dealt with here: tokens that were not told, and settings a provider does not have."""
    from pydantic_ai.exceptions import UnsupportedSettingWarning, UsageExtractionFailedWarning

    for category in (UnsupportedSettingWarning, UsageExtractionFailedWarning):
        warnings.filterwarnings("ignore", category=category)


async def ask(model: Model, request: Request, *, stream: bool, timeout: float | None) -> ModelResponse:
    """One call."""
    from pydantic_ai import direct
    from pydantic_ai.messages import ModelMessage, ModelRequest, ModelRequestPart, SystemPromptPart, UserPromptPart

    system = system_text(request)
    parts: list[ModelRequestPart] = [SystemPromptPart(system)] if system else []
    messages: list[ModelMessage] = [ModelRequest([*parts, UserPromptPart(request.user)])]
    given: dict[str, Any] = {
        "model_settings": settings(request, timeout),
        "model_request_parameters": parameters(request),
        "instrument": False,
    }
    if not stream:
        return await direct.model_request(model, messages, **given)
    async with direct.model_request_stream(model, messages, **given) as pieces:
        async for _ in pieces:
            pass
        return pieces.get()


def settings(request: Request, timeout: float | None) -> ModelSettings:
    """The settings of one call. ``timeout`` is for each wait, ``request_timeout`` for all of it."""
    found: ModelSettings = {"max_retries": 0}
    if request.max_output_tokens is not None:
        found["max_tokens"] = request.max_output_tokens
    if request.temperature is not None:
        found["temperature"] = request.temperature
    if timeout is not None:
        found["timeout"] = found["request_timeout"] = timeout
    return found


def parameters(request: Request) -> ModelRequestParameters:
    """JSON mode where the provider has one and the schema wants an object; the schema itself stands in the system prompt."""
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.output import OutputObjectDefinition

    if request.schema is None or request.schema.get("type") != "object":
        return ModelRequestParameters()
    wanted = OutputObjectDefinition(json_schema=dict(request.schema))
    return ModelRequestParameters(output_mode="prompted", output_object=wanted, prompted_output_template=False)


def answered(found: ModelResponse, request: Request, name: str, seconds: float) -> Response:
    """The provider's answer as ours. A refusal in place of an answer is its text."""
    details = found.provider_details or {}
    return measured(
        Response(
            found.text or str(details.get("refusal") or ""),
            model=found.model_name or name.partition(":")[2],
            stop_reason=stop_reason(found.finish_reason),
            seconds=seconds,
        ),
        told(found.usage, details),
        request,
    )


def told(usage: RequestUsage, details: Mapping[str, object]) -> Usage:
    """The tokens as the provider told them. pydantic-ai has 0 for those it did not."""
    total = number(details, (ONLY_TOTAL,))
    if usage.unmeasured_requests or total is not None or not (usage.input_tokens or usage.output_tokens):
        return Usage(total=total)
    return Usage(usage.input_tokens, usage.output_tokens, cached=usage.cache_read_tokens or None)
