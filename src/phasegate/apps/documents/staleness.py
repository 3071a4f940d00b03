"""Which documents rest on something that has changed since, and what has to be done again.

A document remembers the sha256 of every document it was made from, and of its prompts. It is stale when one of those is another
now, or when something it was made from is stale itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from phasegate import Engine, Run
from phasegate.apps.documents.definition.models import Workflow
from phasegate.apps.documents.layout import Layout
from phasegate.apps.documents.projects import Document, documents
from phasegate.apps.documents.prompts import PromptLoader, prompt_sha256
from phasegate.core.run import Scope


@dataclass(frozen=True, slots=True)
class Stale:
    """A document that rests on something that has changed, and what that is."""

    document: Document
    reasons: tuple[str, ...]


def stale(engine: Engine, run: Run, workflow: Workflow, prompts: PromptLoader | None = None) -> list[Stale]:
    """The stale documents of a run, in the order in which they would be made again."""
    latest = [each for each in documents(engine, run) if each.latest]
    layout = Layout(workflow)
    by_place = {(each.step, each.scope): each for each in latest}
    found: dict[tuple[str, Scope], Stale] = {}
    for each in latest:  # the order of the definition: what a document is made from stands before it
        reasons = [*_changed(run, each, by_place, found, layout), *_other_prompts(each, workflow, prompts)]
        if reasons:
            found[each.step, each.scope] = Stale(each, tuple(reasons))
    return list(found.values())


def _changed(
    run: Run,
    each: Document,
    by_place: dict[tuple[str, Scope], Document],
    found: dict[tuple[str, Scope], Stale],
    layout: Layout,
) -> list[str]:
    reasons = []
    for name, sha256 in orjson.loads(each.row["inputs"]):
        step = layout.workflow.get_step(name)
        depth = len(layout.standing(step)) if step is not None else 0
        place = (name, each.scope[:depth])
        source = by_place.get(place)
        if source is None or run.at(*place).sha256 != sha256:
            reasons.append(f"{source.name if source else name} has changed")
        elif place in found:
            reasons.append(f"{source.name} is stale")
    return reasons


def _other_prompts(each: Document, workflow: Workflow, prompts: PromptLoader | None) -> list[str]:
    step = workflow.get_step(each.step)
    if prompts is None or step is None:
        return []
    kinds = (("role", step.role, prompts.load_role), ("task", step.task_prompt, prompts.load_task))
    return [
        f"the {kind} prompt {name!r} has changed"
        for kind, name, load in kinds
        if name and prompt_sha256(load(name)) != each.row[f"{kind}_sha256"]
    ]


def minimal(found: Sequence[Stale]) -> list[Document]:
    """Where to begin: the stale documents that rest on no other stale one. What follows from them follows by itself."""
    return [each.document for each in found if not all(reason.endswith(" is stale") for reason in each.reasons)]
