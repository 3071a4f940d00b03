"""What every agent is: the task it is given, the answer it gives, the limits it keeps to, and the kinds there are.

An agent answers from what it is given or not at all: there is no answer that stands for a missing one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from phasegate.apps.discovery.errors import AgentError
from phasegate.errors import did_you_mean

#: Who answered: rules of the program, or a language model.
Mode = Literal["direct", "agent"]


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """One kind of agent: what it is, what it is after, and what it knows."""

    agent_type: str
    role: str
    goal: str
    background: str


@dataclass(frozen=True, slots=True)
class AgentTask:
    """One question. ``payload`` is what the answer is to be drawn from, as JSON; ``schema`` a JSON Schema the answer follows."""

    agent_type: str
    instructions: str
    payload: Mapping[str, Any]
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AgentAnswer:
    """One answer, which follows the schema of its task.

    ``requests`` are those made to a model, failed ones and unusable answers included; so are ``tokens`` and ``cost`` (US
    dollars), which are None when they are not known. ``model`` is the one that answered, None in mode ``direct``. ``seconds``
    is how long all of it took.
    """

    data: Any
    mode: Mode
    model: str | None = None
    requests: int = 0
    tokens: int | None = None
    cost: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one task may take: requests to a model, seconds in all, tokens and US dollars; None is no limit.

    A request is not made when it would be one too many, or when what has been spent leaves no room for its prompt. An answer
    that has been paid for is used.
    """

    max_requests: int = 5
    timeout: float = 300.0
    max_tokens: int | None = None
    max_cost: float | None = None

    def __post_init__(self) -> None:
        """Raise ``AgentError`` for limits that allow nothing, or are no numbers."""
        for name in ("max_requests", "max_tokens"):
            value = getattr(self, name)
            if not (name == "max_tokens" and value is None) and not (_is_number(value) and value == int(value) >= 1):
                raise AgentError(f"{name} is {value!r}; it must be a whole number from 1 upwards")
        for name in ("timeout", "max_cost"):
            value = getattr(self, name)
            if not (name == "max_cost" and value is None) and not (_is_number(value) and value > 0):
                raise AgentError(f"{name} is {value!r}; it must be a number above 0")


class Agent(Protocol):
    """Whoever answers tasks: rules, a model, a crew."""

    async def run(self, task: AgentTask) -> AgentAnswer:
        """The answer to one task. Raises ``AgentError`` when there is none that can be used."""
        ...


#: Every kind of agent by its name.
AGENT_TYPES: dict[str, AgentConfig] = {
    each.agent_type: each
    for each in (
        AgentConfig(
            "data_import_validation",
            "Data import validation specialist",
            "Tell whether an inventory export can be imported, and name every problem that stands in the way.",
            "You have taken over inventories of many origins and know how exports break: shifted columns, mixed encodings, "
            "repeated headers, secrets and personal data where none belong.",
        ),
        AgentConfig(
            "field_mapper",
            "Field mapping specialist",
            "Say for each column of an export which field of an asset it fills, and how certain that is.",
            "You know the columns of configuration databases, monitoring exports and spreadsheets kept by hand. You look at "
            "the values as well as at the names, and leave a column unmapped rather than guess.",
        ),
        AgentConfig(
            "data_cleansing",
            "Data cleansing specialist",
            "Bring the values of an inventory into one form without adding any that are not there.",
            "You have cleaned inventories before migrations. You correct spelling, units and formats, and leave alone what "
            "cannot be known.",
        ),
        AgentConfig(
            "asset_inventory",
            "Asset inventory specialist",
            "Say of each row what kind of asset it is, from the evidence in the row.",
            "You tell servers, databases, applications and network devices apart by their names, systems, ports and "
            "software, and say how certain you are.",
        ),
        AgentConfig(
            "dependency_analyst",
            "Dependency analyst",
            "Find which assets need which others, each with the evidence for it.",
            "You read connections, hosting and naming out of inventories, and know that a dependency without evidence "
            "misleads a migration plan.",
        ),
        AgentConfig(
            "tech_debt_analyst",
            "Technical debt analyst",
            "Find what makes assets hard to run or to move: ended support, old versions, missing redundancy.",
            "You have assessed estates before modernisation, and separate what the inventory shows from what would have to "
            "be asked.",
        ),
        AgentConfig(
            "quality_validator",
            "Quality validator",
            "Tell whether an inventory is complete and consistent enough to plan with, and name what is not.",
            "You check results against the rows they came from, and report only problems that can be pointed at.",
        ),
    )
}


def agent_config(agent_type: str) -> AgentConfig:
    """The kind of agent of that name. Raises ``AgentError`` when there is none."""
    found = AGENT_TYPES.get(str(agent_type))
    if found is None:
        hint = did_you_mean(str(agent_type), AGENT_TYPES)
        raise AgentError(f"there is no agent of type {agent_type!r}", hint=hint)
    return found


def payload_json(task: AgentTask, agent_type: str) -> str:
    """The payload of a task as JSON, for the agent of that type to read.

    Raises ``AgentError`` when the task is not for it, when it asks nothing, when its payload is empty, also one of nothing but
    empty lists and texts, and when it cannot be written as JSON.
    """
    if task.agent_type != agent_type:
        raise AgentError(f"the task is for the agent {task.agent_type!r}, and this is {agent_type!r}")
    if not str(task.instructions or "").strip():
        raise AgentError(f"the task for {agent_type} has no instructions", hint="say what is to be answered")
    text = _as_json(task.payload, f"the input of {agent_type}")
    if _is_empty(task.payload):
        hint = "give the rows or columns that the answer is to be drawn from"
        raise AgentError(f"there is no input for {agent_type}: nothing can be answered from nothing", hint=hint)
    return text


def _as_json(value: Any, what: str) -> str:
    try:
        text = json.dumps(dict(value) if isinstance(value, Mapping) else value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise AgentError(
            f"{what} cannot be written as JSON: {error}", hint="give texts, numbers, lists and maps"
        ) from None
    # Half of a surrogate pair cannot be sent; escaped as JSON spells it, it can.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _is_empty(payload: Any) -> bool:
    """Whether there is no number, flag or word anywhere in it. Names of columns are words only where they are values."""
    waiting = [payload]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)
        elif value is not None and not (isinstance(value, str) and not value.strip()):
            return False
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
