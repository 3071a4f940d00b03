"""What people can do about a row that meets an asset: the choices, whether one is possible, and carrying it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from phasegate.apps.discovery.asset_service import AssetService, Made
from phasegate.apps.discovery.rules.names import normalised_name
from phasegate.apps.discovery.schema import CUSTOM, MERGEABLE
from phasegate.errors import did_you_mean


class Action(StrEnum):
    """The choices."""

    KEEP_EXISTING = "keep_existing"
    REPLACE_WITH_NEW = "replace_with_new"
    MERGE = "merge"
    CREATE_BOTH = "create_both_with_dependency"


@dataclass(frozen=True, slots=True)
class Resolution:
    """A person's choice for one conflict.

    ``selections`` says of a merge which fields are taken from the row (``{"memory_gb": "new"}``). To create both, ``dependency``
    has the new asset's ``name``, and what connects it with ``parent_asset_id`` (else the existing one): ``dependency_type`` and
    ``confidence``.
    """

    conflict_id: str
    action: str
    selections: Mapping[str, str] = field(default_factory=dict)
    dependency: Mapping[str, Any] = field(default_factory=dict)


def problem_with(resolution: Resolution, conflict: Mapping[str, Any]) -> str | None:
    """Why this choice cannot be made for this conflict, or None. ``conflict`` is its row, its JSON as values."""
    if resolution.action not in list(Action):
        hint = did_you_mean(resolution.action, list(Action))
        return f"there is no action {resolution.action!r}" + (f" ({hint})" if hint else f": {', '.join(Action)}")
    if resolution.action == Action.MERGE:
        return _problem_with_merge(resolution.selections)
    if resolution.action == Action.CREATE_BOTH:
        return _problem_with_both(resolution.dependency, conflict)
    return None


def _problem_with_merge(selections: Mapping[str, str]) -> str | None:
    if "new" not in selections.values():
        return "a merge takes at least one field from the new data"
    unknown = sorted(set(selections) - MERGEABLE)
    if unknown:
        return f"{', '.join(unknown)} cannot be merged: an import may change {', '.join(sorted(MERGEABLE))}"
    wrong = sorted(name for name, which in selections.items() if which not in ("new", "existing"))
    return f"of {', '.join(wrong)} either new or existing is taken" if wrong else None


def _problem_with_both(dependency: Mapping[str, Any], conflict: Mapping[str, Any]) -> str | None:
    name = str(dependency.get("name") or "").strip()
    if not name:
        return "to create both, the new asset needs a name of its own"
    if normalised_name(name) in {normalised_name(conflict[which]["name"]) for which in ("existing", "new")}:
        return f"{name!r} is the name of one of the two: the new asset needs another one"
    if not str(dependency.get("dependency_type") or "").strip():
        return "to create both, say what connects them: dependency_type"
    confidence = dependency.get("confidence", 1.0)
    if not isinstance(confidence, int | float) or isinstance(confidence, bool) or not 0 <= confidence <= 1:
        return "the confidence of a dependency is a number between 0 and 1"
    return None


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of one conflict: the row's asset, the connection that was asked for, or why it could not be done."""

    asset_id: str | None
    dependency: Mapping[str, Any] | None = None
    error: str = ""


def apply(service: AssetService, conflict: Mapping[str, Any], existing: Mapping[str, Any]) -> Applied:
    """Carry out what was chosen for a conflict. ``existing`` is the asset as it is now."""
    new, action = conflict["new"], Action(conflict["resolution_action"])
    match action:
        case Action.KEEP_EXISTING:
            return Applied(existing["id"])
        case Action.REPLACE_WITH_NEW:
            return _changed(service, existing, new)
        case Action.MERGE:
            chosen = {name: new.get(name) for name, which in conflict["selections"].items() if which == "new"}
            return _changed(service, existing, chosen)
        case Action.CREATE_BOTH:
            return _both(service, conflict, existing)


def _changed(service: AssetService, existing: Mapping[str, Any], new: Mapping[str, Any]) -> Applied:
    made = service.update(existing, new, "overwrite")
    return Applied(None, error=made.error) if made.outcome is Made.FAILED else Applied(existing["id"])


def _both(service: AssetService, conflict: Mapping[str, Any], existing: Mapping[str, Any]) -> Applied:
    wanted = conflict["dependency"]
    made = service.create_beside({**conflict["new"], "name": wanted["name"].strip()})
    if made.outcome is not Made.CREATED or made.asset is None:
        said = made.error or f"{wanted['name']!r} is the name of another asset by now"
        return Applied(None, error=said)
    connection = {
        "source_id": made.asset["id"], "target_id": wanted.get("parent_asset_id") or existing["id"],
        "dependency_type": wanted["dependency_type"], "confidence": float(wanted.get("confidence", 1.0)),
        "description": "chosen when a conflict was resolved",
    }  # fmt: skip
    return Applied(made.asset["id"], connection)


def snapshot(asset: Mapping[str, Any]) -> dict[str, Any]:
    """What a person is shown of an asset: neither its raw data nor its own attributes, nor what is empty."""
    hidden = (CUSTOM, "raw_data", "client_account_id", "engagement_id", "normalised_name")
    return {name: value for name, value in asset.items() if value is not None and name not in hidden}
