"""The conference example on an engine, with a model that counts, and that can be told to say something else or to die."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from phasegate import Engine, Run
from phasegate.apps.documents import projects, studio
from phasegate.apps.documents.projects import Verdict, Waiting
from phasegate.apps.documents.studio import Studio
from phasegate.llm import Client, Request, Response

EXAMPLES = Path(__file__).parents[3] / "examples"
DEFINITION = EXAMPLES / "workflows" / "conference_programme.json"
RECORDINGS = EXAMPLES / "recordings" / "conference"
_spec = importlib.util.spec_from_file_location("record_conference", RECORDINGS.parent / "record_conference.py")
assert _spec is not None
assert _spec.loader is not None
recording = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(recording)

PLACE = Studio(str(DEFINITION.parent / "prompts"), replay=str(RECORDINGS))
CHAIR = Verdict(True, by="chair@example.com", role="chair")

#: (type of document, request) -> another answer than the recorded one, or None.
Say = Callable[[str, Request], str | None]


def kind_of(request: Request) -> str:
    """The type of the document that is asked for."""
    return re.findall(r"of type (\w+)", request.user)[-1]


class Counting(Client):
    """The example's answers; every request is noted in ``requests`` and, as a line, in ``log`` before it is answered.

    The process dies by SIGKILL at its ``dies``-th request, before it is answered.
    """

    def __init__(self, say: Say | None = None, *, log: Path | None = None, dies: int | None = None) -> None:
        self._model, self._say, self._log, self._dies = recording.Invented(), say, log, dies
        self.requests: list[Request] = []

    @property
    def kinds(self) -> list[str]:
        """The types of the documents that were asked for, in order."""
        return [kind_of(request) for request in self.requests]

    async def generate(self, request: Request) -> Response:
        self.requests.append(request)
        if self._log is not None:
            with self._log.open("a") as file:
                file.write(f"{kind_of(request)}\n")
        if len(self.requests) == self._dies:
            os.kill(os.getpid(), signal.SIGKILL)
        other = self._say(kind_of(request), request) if self._say else None
        return await self._model.generate(request) if other is None else Response(other, model="other")


def begin(
    engine: Engine, client: Client, *, change: Callable[[dict[str, Any]], None] | None = None, project: str = "demo",
    documents: dict[str, Any] | None = None,
) -> Run:  # fmt: skip
    """The run of the example; ``change`` alters its definition first."""
    definition = json.loads(DEFINITION.read_text(encoding="utf-8"))
    if change is not None:
        change(definition)
    return studio.start(engine, definition, project, PLACE, documents, executor=PLACE.executor(client))


def step(engine: Engine, run: Run) -> tuple[Run, list[Waiting]]:
    """Do what can be done; the run, and what waits for a person."""
    engine.drain()
    found = engine.get(run.id)
    return found, projects.waiting(found, projects.workflow_of(found))


def finish(engine: Engine, run: Run) -> Run:
    """Accept everything until nothing waits."""
    while True:
        run, waiting = step(engine, run)
        if not waiting:
            return run
        for each in waiting:
            projects.decide(engine, run, each, CHAIR)


def contents(engine: Engine, run: Run) -> dict[str, Any]:
    """The latest version of every document, by name."""
    found = projects.documents(engine, run)
    return {each.name: projects.content(engine, run, each) for each in found if each.latest}


if __name__ == "__main__":
    address, log, dies = sys.argv[1:]
    with studio.open_engine(address, None) as here:
        finish(here, begin(here, Counting(log=Path(log), dies=int(dies))))
