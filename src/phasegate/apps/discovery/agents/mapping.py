"""Have an agent propose the field mapping, within what can be approved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from phasegate.apps.discovery.agents.protocol import Agent, AgentTask
from phasegate.apps.discovery.errors import AgentError
from phasegate.apps.discovery.rules.mapping import Suggestion
from phasegate.apps.discovery.schema import CUSTOM, FIELDS, UNMAPPED

#: Values of a column that a model is shown.
_SHOWN = 5

_INSTRUCTIONS = (
    "For every source column name the one field of the target schema that it is for, and how sure you are (0 to 1). "
    f"Say {UNMAPPED} when no field fits. No field may be used for two columns; {CUSTOM} may. Return every column once."
)


async def propose(
    agent: Agent, direct: Sequence[Suggestion], samples: Mapping[str, Sequence[str]]
) -> tuple[Suggestion, ...]:
    """The agent's proposal for the columns of ``direct``. Raises ``AgentError`` when it cannot be used: it has another set of
    columns, or a field twice."""
    columns = [each.source_field for each in direct]
    payload = {
        "columns": [{"name": name, "samples": list(samples.get(name, ()))[:_SHOWN]} for name in columns],
        "target_schema": sorted(FIELDS),
    }
    answer = await agent.run(AgentTask("field_mapper", _INSTRUCTIONS, payload, _schema(columns)))
    found = {each["source_field"]: each for each in answer.data["mappings"]}
    if sorted(found) != sorted(columns) or len(answer.data["mappings"]) != len(columns):
        raise AgentError("the agent's mapping has not every column once")
    targets = [each["target_field"] for each in found.values() if each["target_field"] not in (UNMAPPED, CUSTOM)]
    if len(set(targets)) != len(targets):
        raise AgentError("the agent's mapping has a field for two columns")
    return tuple(_suggestion(each, found[each.source_field]) for each in direct)


def _suggestion(direct: Suggestion, said: Mapping[str, Any]) -> Suggestion:
    unmapped = said["target_field"] == UNMAPPED
    return replace(
        direct, target_field=said["target_field"], confidence=0.0 if unmapped else float(said["confidence"]),
        match_type="none" if unmapped else "inferred", reasoning=str(said.get("reasoning") or "the agent's proposal"),
    )  # fmt: skip


def _schema(columns: Sequence[str]) -> dict[str, Any]:
    mapping = {
        "type": "object",
        "properties": {
            "source_field": {"enum": list(columns)},
            "target_field": {"enum": [*sorted(FIELDS), CUSTOM, UNMAPPED]},
            "confidence": {"type": "number", "minimum": 0, "maximum": 1},
            "reasoning": {"type": "string"},
        },
        "required": ["source_field", "target_field", "confidence"],
    }
    return {
        "type": "object", "properties": {"mappings": {"type": "array", "items": mapping}}, "required": ["mappings"]
    }  # fmt: skip
