"""Propose which column of an import is for which field of an asset."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from phasegate import Context, Fatal
from phasegate.apps.discovery.agents.mapping import propose
from phasegate.apps.discovery.errors import AgentError
from phasegate.apps.discovery.identifiers import new_id
from phasegate.apps.discovery.phases.common import Place, dump, load, rows_after, settings
from phasegate.apps.discovery.rules.mapping import Learned, Suggestion, suggest
from phasegate.apps.discovery.statements.imports import IMPORT
from phasegate.apps.discovery.statements.mappings import ADD_MAPPING, FORGET_SUGGESTIONS, LEARNED, MAPPINGS

#: Rows whose values are looked at when columns are guessed.
SAMPLED = 200
#: Different values of a column that a guess may use.
_SAMPLES = 20


async def map_fields(context: Context) -> dict[str, Any]:
    """The proposal: one mapping per column. What people have decided before stays, also when it is proposed again."""
    place = Place.of(context)
    (row,) = context.read(IMPORT, place.where)
    headings = load(row["headings"]) or []
    samples = samples_of(rows_after(context, place, 0, SAMPLED))
    decided = {each["source_field"] for each in context.read(MAPPINGS, place.where) if each["status"] != "suggested"}
    suggestions, mode = await _suggestions(context, headings, samples)
    context.write(FORGET_SUGGESTIONS, place.where)
    for number, each in enumerate(suggestions):
        if each.source_field not in decided:
            context.write(ADD_MAPPING, _row(context, place, number, each, mode))
    return {
        "mode": mode,
        "mappings": [
            {"source_field": s.source_field, "target_field": s.target_field, "confidence": s.confidence}
            for s in suggestions
        ],
    }


async def _suggestions(
    context: Context, headings: Sequence[str], samples: Mapping[str, Sequence[str]]
) -> tuple[tuple[Suggestion, ...], str]:
    known = await asyncio.to_thread(learned, context.read, Place.of(context).tenant.where)
    direct = suggest(headings, samples, known)
    if settings(context).get("mode") != "agent":
        return direct, "direct"
    if context.deps.agents is None:
        raise Fatal(
            "the flow wants an agent, and there is none here: give the engine an agent pool, or use mode direct"
        )
    agent = context.deps.agents.get(Place.of(context).tenant.key, "field_mapper")
    try:
        return await propose(agent, direct, samples), "agent"
    except AgentError as error:
        raise Fatal(f"{error}" + (f" ({error.hint})" if error.hint else "")) from None


def learned(read: Any, where: Mapping[str, str]) -> list[Learned]:
    """What the tenant's people have decided about columns."""
    return [
        Learned(row["source_field"], row["target_field"], bool(row["approved"]), row["times"])
        for row in read(LEARNED, where)
    ]


def samples_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Different values of each column, in the order of the rows."""
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        for name, value in load(row["raw_data"]).items():
            values = found.setdefault(name, {})
            if value not in (None, "") and len(values) < _SAMPLES:
                values[str(value)] = None
    return {name: list(values) for name, values in found.items()}


def _row(context: Context, place: Place, number: int, each: Suggestion, mode: str) -> dict[str, Any]:
    now = context.now()
    return {
        "id": new_id(), **place.columns, "master_flow_id": place.flow_id, "place": number,
        "source_field": each.source_field, "target_field": each.target_field, "suggested_target": each.target_field,
        "match_type": each.match_type, "confidence_score": each.confidence, "status": "suggested",
        "suggested_by": mode, "field_type": each.field_type, "agent_reasoning": each.reasoning,
        "alternatives": dump([list(pair) for pair in each.alternatives]), "created_at": now, "updated_at": now,
    }  # fmt: skip
