"""Have an agent propose the field mapping, within what can be approved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from phasegate.apps.discovery.agents.protocol import Agent, AgentTask
from phasegate.apps.discovery.errors import AgentError
from phasegate.apps.discovery.rules.mapping import Suggestion
from phasegate.apps.discovery.schema import CUSTOM, FIELDS, UNMAPPED

#: Values of a column that a model is shown.
_SHOWN = 5
#: Columns and fields that an error names, and characters of each.
_NAMED, _NAME = 5, 60
_ADVICE = "retry the phase, or begin the flow with mode direct"

_INSTRUCTIONS = (
    "For every source column name the one field of the target schema that it is for, and how sure you are (0 to 1). "
    f"Say {UNMAPPED} when no field fits. No field may be used for two columns; {CUSTOM} may. Return every column once."
)


async def propose(
    agent: Agent, direct: Sequence[Suggestion], samples: Mapping[str, Sequence[str]]
) -> tuple[Suggestion, ...]:
    """The agent's proposal for the columns of ``direct``. Raises ``AgentError`` when it cannot be used: it leaves a column out,
    has one twice, or has a field for two of them."""
    columns = [each.source_field for each in direct]
    payload = {
        "columns": [{"name": name, "samples": list(samples.get(name, ()))[:_SHOWN]} for name in columns],
        "target_schema": sorted(FIELDS),
    }
    answer = await agent.run(AgentTask("field_mapper", _INSTRUCTIONS, payload, _schema(columns)))
    problems = list(_problems(columns, answer.data["mappings"]))
    if problems:
        raise AgentError(f"the agent's mapping cannot be used: {'; '.join(problems)}: {_ADVICE}")
    found = {each["source_field"]: each for each in answer.data["mappings"]}
    return tuple(_suggestion(each, found[each.source_field]) for each in direct)


def _problems(columns: Sequence[str], mappings: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    sources = Counter(each["source_field"] for each in mappings)
    targets = Counter(each["target_field"] for each in mappings if each["target_field"] not in (UNMAPPED, CUSTOM))
    if missing := [name for name in columns if not sources[name]]:
        yield f"it leaves out {_some(missing)}"
    if repeated := [name for name, count in sources.items() if count > 1]:
        yield f"it has {_some(repeated)} more than once"
    if taken := [name for name, count in targets.items() if count > 1]:
        yield f"it uses {_some(taken)} for more than one column"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:_NAME]) for name in names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"


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
