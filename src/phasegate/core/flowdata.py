"""A flow as plain data (for JSON) and back. Functions become their names; policies about exception types stay in code."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from phasegate.core.flow import Batch, Flow, Gate, Handler, Phase, Retry
from phasegate.core.quota import Quota
from phasegate.errors import FlowError, did_you_mean

_PARTS: dict[str, type[Any]] = {"retry": Retry, "batch": Batch, "gate": Gate}
_CODE_ONLY = ("retry_on", "fatal_on")


def flow_data(flow: Flow) -> dict[str, Any]:
    """The flow as dictionaries and lists; fields at their defaults are left out."""
    return {"name": flow.name, "version": flow.version, "phases": [_data(phase) for phase in flow.phases]}


def flow_from_data(data: Mapping[str, Any]) -> Flow:
    """The flow of such dictionaries; functions are handler names. Raises ``FlowError`` naming what is unknown or missing."""
    name = str(data.get("name", ""))
    phases = data.get("phases")
    if not isinstance(phases, list):
        raise FlowError(name, ["it has no list of phases"])
    try:
        version = int(data.get("version", 1))
    except (TypeError, ValueError):
        raise FlowError(name, [f"its version is not a number: {data.get('version')!r}"]) from None
    return Flow(name, version, tuple(_phase(name, each) for each in phases))


def handler_name(handler: Handler | None) -> str | None:
    """What a function is called in data: ``module:name``."""
    if handler is None or isinstance(handler, str):
        return handler
    return f"{getattr(handler, '__module__', '')}:{getattr(handler, '__qualname__', type(handler).__name__)}"


def _data(record: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        default = field.default if field.default is not dataclasses.MISSING else {}
        if field.name in _CODE_ONLY or value == default:
            continue
        if field.name in _PARTS:
            value = _data(value)
        elif field.name == "quotas":
            value = [_data(quota) for quota in value]
        elif field.name in ("run", "compensate"):
            value = handler_name(value)
        elif isinstance(value, Mapping):
            value = dict(value)
        found[field.name] = list(value) if isinstance(value, tuple) else value
    return found


def _phase(flow: str, data: Any) -> Phase:
    if not isinstance(data, Mapping) or "name" not in data:
        raise FlowError(flow, [f"a phase must be a mapping with a name, not {data!r}"[:200]])
    values = _known(flow, str(data["name"]), Phase, data)
    for name, part in _PARTS.items():
        if isinstance(values.get(name), Mapping):
            values[name] = part(**_known(flow, str(data["name"]), part, values[name]))
    if "quotas" in values:
        quotas = [_known(flow, str(data["name"]), Quota, quota) for quota in values["quotas"]]
        values["quotas"] = tuple(Quota(**quota) for quota in quotas)
    return Phase(**values)


def _known(flow: str, phase: str, cls: type[Any], data: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(cls)} - set(_CODE_ONLY)
    unknown = [f"phase {phase!r} has an unknown key {k!r} ({did_you_mean(k, names)})" for k in data if k not in names]
    if unknown:
        raise FlowError(flow, unknown)
    return {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
