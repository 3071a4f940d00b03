"""From a cleansed row to an asset: its values, its type and its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from phasegate.apps.discovery.rules.classification import Classification, classify
from phasegate.apps.discovery.rules.conversion import Doubt, convert
from phasegate.apps.discovery.rules.names import asset_name

#: What an asset says when its row does not.
DEFAULTS = {"criticality": "Medium", "business_criticality": "Medium", "environment": "Unknown"}


@dataclass(frozen=True, slots=True)
class Assembled:
    """An asset as it would be made. ``values`` has its fields, ``custom`` what no field is for, ``doubts`` what was unclear."""

    values: dict[str, Any]
    custom: dict[str, Any]
    kind: Classification
    doubts: tuple[Doubt, ...]


def assemble(cleansed: Mapping[str, Any], row_number: int, edits: Mapping[str, Any] | None = None) -> Assembled:
    """The asset of a cleansed row, which is ``{"data": ..., "custom": ...}``; ``edits`` are a person's changes to its fields."""
    data = {**cleansed["data"], **(edits or {})}
    values, doubts = convert(data)
    kind = classify(data)
    values["asset_type"] = kind.asset_type
    values["name"] = asset_name(data, row_number, kind.asset_type)
    values.setdefault("description", f"from import row {row_number}")
    return Assembled({**DEFAULTS, **values}, dict(cleansed["custom"]), kind, _about_values(doubts))


def _about_values(doubts: tuple[Doubt, ...]) -> tuple[Doubt, ...]:
    """Doubts without that about the asset type: its column says in free text what classification makes a type of."""
    return tuple(each for each in doubts if each.field != "asset_type")
