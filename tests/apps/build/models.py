"""Models that answer from a script: what a build's tests ask instead of a provider."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from phasegate.llm import Client, Request, Response

Said = str | Mapping[str, Any] | Exception | Response | Callable[[Request], Any]


class Scripted(Client):
    """Gives one answer after the other, the last one again and again; remembers what it was asked."""

    def __init__(self, *answers: Said) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []

    @property
    def calls(self) -> int:
        """How often it was asked."""
        return len(self.requests)

    async def generate(self, request: Request) -> Response:
        """The next answer; raises it when it is an exception."""
        self.requests.append(request)
        said = self.answers[min(len(self.requests), len(self.answers)) - 1]
        if callable(said):
            said = said(request)
        if isinstance(said, Exception):
            raise said
        if isinstance(said, Response):
            return said
        text = said if isinstance(said, str) else json.dumps(said)
        return Response(text, 100, 50, 150, model="scripted", stop_reason="complete")


def files(
    *changes: tuple[str, str, str | None] | tuple[str, str], summary: str = "Did it.", **more: Any
) -> dict[str, Any]:
    """An answer in the form of whole files, of (mode, path, content)."""
    listed = [
        {"path": change[1], "mode": change[0], "new_content": change[2] if len(change) > 2 else None}
        for change in changes
    ]
    return {"summary": summary, "files": listed, **more}


def phase(description: str = "Change the program.", deliverables: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    """A phase with what most tests need."""
    return {"description": description, "deliverables": list(deliverables), **more}
