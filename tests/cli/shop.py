"""A small shop: the flows that the tests of the command line work on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from phasegate import Context, Flow, Gate, Phase, Registry

FORM = {"type": "object", "required": ["budget"], "properties": {"budget": {"type": "integer"}}}


def draft(ctx: Context) -> dict[str, Any]:
    return {"text": f"offer for {ctx.subject.id}", "attempt": ctx.attempt}


def send(ctx: Context) -> dict[str, Any]:
    """Fails until the file that the run's input names is there."""
    wanted = (ctx.input or {}).get("needs_file")
    if wanted and not Path(wanted).exists():
        raise FileNotFoundError(f"there is no {Path(wanted).name}")
    return {"sent": True}


def interview(ctx: Context) -> Any:
    return ctx.ask(["which colour?"]) if ctx.answers is None else {"colour": ctx.answers["colour"]}


def stock(_ctx: Context) -> list[str]:
    return ["hats", "gloves"]


def count(ctx: Context) -> int:
    return len(str(ctx.item))


OFFER = Flow(
    "offer",
    1,
    (
        Phase("draft", draft, label="1"),
        Phase("release", label="2", needs=("draft",), gate=Gate(shows=("draft",)), title="Release the offer"),
        Phase("send", send, label="3", needs=("release",)),
    ),
)
BUDGET = Flow("budget", 1, (Phase("approve", gate=Gate(form=FORM, roles=("chair",))),))
SURVEY = Flow("survey", 1, (Phase("interview", interview),))
INVENTORY = Flow(
    "inventory",
    2,
    (
        Phase("stock", stock),
        Phase("count", count, each="stock"),
        Phase("check", each="stock", needs=("count",), gate=Gate(shows=("count",)), redo={"rejected": "count"}),
        Phase("report", lambda ctx: "done", needs=("check",), when={"check": ("approved", "rejected")}),
    ),
)


def registry() -> Registry:
    return Registry(OFFER, BUDGET, SURVEY, INVENTORY)


NOT_A_REGISTRY = 7
