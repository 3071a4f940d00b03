"""A model that takes money: a call may cost 0.01 USD, and costs 0.001. As a program it dies in its first call."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from phasegate import Engine, Run
from phasegate.apps.documents import studio
from phasegate.apps.documents.studio import Studio
from phasegate.llm import Client, Request, Response
from phasegate.llm.budget import NANO, Budgets
from tests.apps.documents.definitions import small

MODEL = "teller"
#: What a call may cost: the thousand tokens that its answer may have. The prompt is free.
CALL = NANO // 100
MOST_TOKENS = 1000
PRICES = {MODEL: {"input": 0, "output": 10}}


class Model(Client):
    """Answers with what is asked for. ``meanwhile`` is awaited before each answer, ``say`` may give another one; both are told
    the call's number, from 1."""

    def __init__(self, say: Callable[[int, Request], str | None] | None = None, *, name: str = MODEL) -> None:
        self._say, self._name = say, name
        self.meanwhile: Callable[[int], Awaitable[None]] | None = None
        self.requests: list[Request] = []
        self.parts = 1

    @property
    def asked(self) -> int:
        """How many calls there were."""
        return len(self.requests)

    async def generate(self, request: Request) -> Response:
        self.requests.append(request)
        number = self.asked
        if self.meanwhile is not None:
            await self.meanwhile(number)
        text = self._say(number, request) if self._say is not None else None
        return Response(
            text or self._document(request), prompt_tokens=50, completion_tokens=100, total_tokens=150, model=self._name
        )

    def _document(self, request: Request) -> str:
        if re.findall(r"of type (\w+)", request.user)[-1] == "note":
            return json.dumps({"text": "noted"})
        return json.dumps({"parts": [{"id": f"p{number}"} for number in range(self.parts)]})


def place(folder: Path, budgets: Budgets | None, models: tuple[str, ...] = (MODEL,)) -> Studio:
    """A studio with prompts and prices in a folder."""
    prompts = folder / "prompts"
    for name in ("roles/Writer 1.0.txt", "tasks/Some Document v1.0.txt"):
        (prompts / name).parent.mkdir(parents=True, exist_ok=True)
        (prompts / name).write_text("Do it.")
    prices = folder / "prices.json"
    prices.write_text(json.dumps(PRICES))
    return Studio(str(prompts), models, prices=str(prices), budgets=budgets)


def begin(
    engine: Engine, folder: Path, model: Model, budgets: Budgets | None, *, parts: int = 1, models: tuple[str, ...] = (MODEL,),
    project: str = "demo",
) -> Run:  # fmt: skip
    """A run of the small definition: one plan, and a note for each of its parts."""
    definition: dict[str, Any] = small()
    steps = [definition["steps"][0], *definition["steps"][1]["steps"]]
    for step in steps:
        step["max_tokens"] = MOST_TOKENS
    model.parts = parts
    engine.registry._flows.clear()  # as in another process, which would have another model
    here = place(folder, budgets, models)
    return studio.start(engine, definition, project, here, executor=here.executor(model))


class Deadly(Model):
    """Dies of a call, with the whole process."""

    async def generate(self, request: Request) -> Response:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


if __name__ == "__main__":
    address, folder = sys.argv[1:]
    with studio.open_engine(address, None) as engine:
        begin(engine, Path(folder), Deadly(), Budgets.of(usd=1))
        engine.drain()
