"""Agents that are crews of CrewAI, each of one member without tools, delegation or memory.

CrewAI is loaded when the first crew is asked. It is told to send nothing to anybody but the model, and to keep its files in a
folder that goes with the process. Its own retries are not used: what one task takes is counted and limited here, call by call.
"""

from __future__ import annotations

import asyncio
import atexit
import importlib
import math
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any

from phasegate.apps.discovery.agents.llm_agents import RULES, Spent, answer, check_prices
from phasegate.apps.discovery.agents.protocol import Agent, AgentAnswer, AgentConfig, AgentTask, Limits
from phasegate.apps.discovery.errors import AgentError
from phasegate.llm import Prices, Request, Response, redact
from phasegate.llm.failures import as_llm_error
from phasegate.llm.request import canonical

#: What keeps CrewAI from reporting to its makers, whatever else the environment says.
SILENT = {
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_DISABLE_TRACKING": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "CREWAI_DISABLE_VERSION_CHECK": "true",
    # Otherwise the first run of a machine asks on the terminal whether to collect traces.
    "CREWAI_TESTING": "true",
}
#: Stands for the task in everything CrewAI formats, logs and stores; only the model gets the task itself, letter for letter.
PLACE = "<<the task>>"
EXPECTED = "One JSON value that follows the schema of the task, without prose around it."


class CrewAgent(Agent):
    """An agent that is a CrewAI crew of one.

    ``model`` is ``provider:name``, of a provider CrewAI has a client of its own for; key and address come from the environment
    variables of the provider. OpenTelemetry is switched off in the process unless ``OTEL_SDK_DISABLED`` says otherwise, and
    CrewAI reads a ``.env`` in the current folder. What it logs of failures goes to Python's ``logging``.
    """

    def __init__(self, config: AgentConfig, model: str, limits: Limits, prices: Prices | None = None) -> None:
        """Raises ``AgentError`` when CrewAI is not installed, and for a limit of money without prices."""
        if find_spec("crewai") is None:
            raise AgentError("crews need CrewAI, which is not installed", hint='pip install "phasegate[crewai]"')
        check_prices(limits, prices)
        self.config, self._model, self._limits, self._prices = config, model, limits, prices

    async def run(self, task: AgentTask) -> AgentAnswer:
        """The crew's answer to a task. Raises what ``LlmAgent.run`` does.

        When its time is over the crew is given up at once; a call to the model that hangs then ends by itself, within the
        timeout counted from its beginning.
        """
        await asyncio.to_thread(load_crewai)
        return await answer(task, self.config, Spent(self._limits, self._prices), self._ask)

    async def _ask(self, request: Request, spent: Spent) -> Response:
        desk = await asyncio.to_thread(self._desk, request, spent)
        text, failure = "", None
        try:
            text = (await _crew(self.config, desk, self._limits).akickoff()).raw
        except Exception as error:
            failure = error
        finally:
            await desk.close()
        # Outside of the handler, so that the library's error and what it holds is not chained.
        if failure is not None:
            text = desk.after(failure)
        return desk.response(text)

    def _desk(self, request: Request, spent: Spent) -> Desk:
        provider, colon, name = self._model.partition(":")
        if not colon:
            raise AgentError(f"{self._model!r} is no model", hint="name it as provider:model, for example openai:NAME")
        options = {"max_tokens": request.max_output_tokens} if request.max_output_tokens else {}
        try:
            inner = load_crewai().LLM(
                model=name, provider=provider, timeout=self._limits.timeout, max_retries=0, **options
            )
        except Exception as error:
            problem = redact(f"{type(error).__name__}: {error}")
        else:
            return Desk(inner, name, request, spent)
        raise AgentError(
            f"CrewAI cannot use the model {self._model}: {problem}", hint="check its name, package and key"
        )


class Desk:
    """Where the calls of one crew to its model pass: counted, stopped at the limits, each made once."""

    def __init__(self, inner: Any, name: str, request: Request, spent: Spent) -> None:
        self._inner, self._name, self._spent = inner, name, spent
        # CrewAI knows nothing of the schema, so that it is written below the question.
        self._prompt = f"{request.user}\n\nThe JSON Schema of the answer:\n{canonical(request.schema)}"
        self._calls, self._last = 0, ""
        self._calling = self._closed = False
        self._failure: Exception | None = None

    def call(self, messages: Any, *args: Any, **named: Any) -> Any:
        """One call, made in the thread of the crew."""
        self._begin()
        try:
            return self._got(self._inner.call(self._filled(messages), *args, **named))
        except Exception as error:
            self._failure = error
        finally:
            self._calling = False
            if self._closed:
                self._disconnect()
        raise Stopped("the model was not reached")

    async def acall(self, messages: Any, *args: Any, **named: Any) -> Any:
        """One call, made in the event loop of the crew."""
        self._begin()
        try:
            return self._got(await self._inner.acall(self._filled(messages), *args, **named))
        except Exception as error:
            self._failure = error
        finally:
            self._calling = False
        raise Stopped("the model was not reached")

    def after(self, failure: Exception) -> str:
        """The text that counts as the answer after a crew has failed: the last one, which may be empty.

        Raises the ``LLMError`` of the model, or ``AgentError`` when the crew itself has failed.
        """
        cause = self._failure
        if cause is None and (isinstance(failure, Stopped) or (self._calls and not self._last.strip())):
            return self._last
        known = None if cause is None else as_llm_error(cause, self._name)
        if known is not None:
            raise known
        cause = cause or failure
        raise AgentError(redact(f"the crew failed: {type(cause).__name__}: {cause}"))

    async def close(self) -> None:
        """Close the connections to the model, or let a call that still hangs do it when it ends.

        CrewAI has no way to do it; what its models hold would stay open until it is collected.
        """
        self._closed = True
        if not self._calling:
            self._disconnect()
        close = getattr(getattr(self._inner, "_async_client", None), "close", None)
        if close is not None:
            await close()

    @property
    def calls_left(self) -> int:
        """How many calls the limits allow yet."""
        return self._spent.requests_left - self._calls

    def response(self, text: str) -> Response:
        """The answer with what it has taken; tokens are None when the model told of none."""
        told = self._inner.get_token_usage_summary()
        if not told.total_tokens:
            return Response(text, model=self._name, calls=self._calls)
        return Response(
            text, told.prompt_tokens, told.completion_tokens, told.total_tokens, told.cached_prompt_tokens,
            self._name, calls=self._calls,
        )  # fmt: skip

    def _begin(self) -> None:
        limit = self._spent.limits.max_tokens
        used = (self._spent.tokens or 0) + self._inner.get_token_usage_summary().total_tokens
        if self._calls >= self._spent.requests_left or (limit is not None and self._calls and used >= limit):
            raise Stopped("the limits of the task are reached")
        self._calls += 1
        self._calling = True

    def _disconnect(self) -> None:
        close = getattr(getattr(self._inner, "_client", None), "close", None)
        if close is not None:
            close()

    def _got(self, text: Any) -> Any:
        self._last = text if isinstance(text, str) else ""
        return text

    def _filled(self, messages: Any) -> Any:
        """The messages with the task in its place."""
        if isinstance(messages, str):
            return messages.replace(PLACE, self._prompt)
        return [
            {**each, "content": each["content"].replace(PLACE, self._prompt)}
            if isinstance(each.get("content"), str)
            else each
            for each in messages
        ]


class Stopped(Exception):
    """A crew may not ask its model again. It carries nothing, so that CrewAI finds no reason in it to retry."""


@cache
def load_crewai() -> Any:
    """CrewAI, told to be silent before it is imported. Raises ``AgentError`` when it cannot be imported, or is too old."""
    os.environ.update(SILENT)
    os.environ.setdefault("OTEL_SDK_DISABLED", "true")
    if "CREWAI_STORAGE_DIR" not in os.environ:
        folder = os.environ["CREWAI_STORAGE_DIR"] = tempfile.mkdtemp(prefix="phasegate-crewai-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        crewai: Any = importlib.import_module("crewai")
    except ImportError as error:
        hint = 'pip install "phasegate[crewai]" in an environment of its own'
        raise AgentError(f"CrewAI cannot be imported: {error}", hint=hint) from None
    if not hasattr(crewai, "BaseLLM") or not hasattr(crewai.Crew, "akickoff"):
        raise AgentError("this CrewAI is too old: it has no native asynchronous crews", hint="pip install -U crewai")
    return crewai


@cache
def _metered() -> Callable[..., Any]:
    """A model of CrewAI whose calls go over a desk."""

    class Metered(load_crewai().BaseLLM):  # type: ignore[misc]  # known at run time only
        _desk: Any = None

        def call(self, messages: Any, *args: Any, **named: Any) -> Any:
            return self._desk.call(messages, *args, **named)

        async def acall(self, messages: Any, *args: Any, **named: Any) -> Any:
            return await self._desk.acall(messages, *args, **named)

    def build(desk: Desk, name: str) -> Any:
        model = Metered(model=name)
        model._desk = desk
        return model

    return build


def _crew(config: AgentConfig, desk: Desk, limits: Limits) -> Any:
    """A crew of one with one task. Nothing of a tenant is in it."""
    crewai = load_crewai()
    agent = crewai.Agent(
        role=config.role,
        goal=config.goal,
        backstory=f"{config.background}\n\n{RULES}",
        llm=_metered()(desk, config.agent_type),
        tools=[],
        allow_delegation=False,
        max_iter=desk.calls_left,
        max_execution_time=math.ceil(limits.timeout),
        max_retry_limit=0,
        respect_context_window=False,  # it would summarise the input away
        cache=False,
        verbose=False,
    )
    task = crewai.Task(description=PLACE, expected_output=EXPECTED, agent=agent)
    return crewai.Crew(
        agents=[agent], tasks=[task], process=crewai.Process.sequential, memory=False, cache=False, planning=False,
        tracing=False, share_crew=False, verbose=False,
    )  # fmt: skip
