"""Documents: one iteration over many items, each with a document from a model that answers at once."""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path
from typing import Any

from bench.shapes import Figure
from phasegate.apps.documents import studio
from phasegate.apps.documents.studio import Studio
from phasegate.llm import Client, Request, Response

WORKFLOWS = Path(__file__).parents[1] / "examples" / "workflows"


class AtOnce(Client):
    """A plan with so many tracks, and an outline of two thousand characters for each."""

    def __init__(self, items: int) -> None:
        self._plan = json.dumps({"tracks": [{"id": f"t{number}", "title": "x"} for number in range(items)]})

    async def generate(self, request: Request) -> Response:
        if "of type track_plan" in request.user:
            return Response(self._plan, model="none")
        return Response(json.dumps({"storyline": "y" * 2_000, "themes": []}), model="none")


def _definition() -> dict[str, Any]:
    """The conference as far as the outlines, without acceptance."""
    found: dict[str, Any] = json.loads((WORKFLOWS / "conference_programme.json").read_text(encoding="utf-8"))
    plan, iteration = found["document_types"]["track_plan"], found["steps"][2]
    del plan["acceptance_required"], plan["accepted_by"]
    found["steps"][2] = {**iteration, "max_items": 1_000_000, "steps": iteration["steps"][:1]}
    return found


def items(directory: Path, few: int, many: int) -> list[Figure]:
    """Documents a second with ``few`` and with ``many`` items in one iteration."""
    rates = {count: _rate(directory / f"documents{count}.db", count) for count in (few, many)}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        Figure(f"documents, {few:,} items", rates[few], "documents/s", None, 500),
        Figure(f"documents, {many:,} items", rates[many], "documents/s", rates[few], 0.8 * rates[few]),
        Figure("documents, memory of the whole process at most", peak, "MB"),
    ]


def _rate(path: Path, count: int) -> float:
    place = Studio(str(WORKFLOWS / "prompts"))
    with studio.open_engine(f"sqlite:///{path}", None) as engine:
        studio.start(engine, _definition(), "bench", place, executor=place.executor(AtOnce(count)))
        began = time.perf_counter()
        engine.drain()
        seconds = time.perf_counter() - began
        (row,) = engine.read("SELECT count(*) AS n FROM document_versions")
        assert row["n"] == count + 2
    return count / seconds
