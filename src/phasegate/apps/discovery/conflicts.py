"""What people can do about a row that meets an asset: the choices, whether one is possible, and carrying it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from phasegate.apps.discovery.asset_service import AssetService, Made, key_of, keys_of, merged
from phasegate.apps.discovery.asset_service import problem_with as problem_with_values
from phasegate.apps.discovery.asset_service import read as read_asset
from phasegate.apps.discovery.schema import CUSTOM, MERGEABLE
from phasegate.apps.discovery.statements.inventory import ASSET, ASSETS_LIKE
from phasegate.errors import did_you_mean

#: Characters of the word that says what connects two assets.
_LONGEST_TYPE = 100


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
    name, kind = dependency.get("name"), dependency.get("dependency_type")
    if not isinstance(name, str) or not name.strip():
        return "to create both, the new asset needs a name of its own"
    if key_of(name.strip()) in {key_of(conflict[which]["name"]) for which in ("existing", "new")}:
        return f"{name!r} is the name of one of the two: the new asset needs another one"
    if not isinstance(kind, str) or not kind.strip():
        return "to create both, say what connects them: dependency_type"
    if len(kind) > _LONGEST_TYPE or not kind.isprintable():
        return f"a dependency_type is one line of at most {_LONGEST_TYPE} characters"
    confidence = dependency.get("confidence", 1.0)
    if not isinstance(confidence, int | float) or isinstance(confidence, bool) or not 0 <= confidence <= 1:
        return "the confidence of a dependency is a number between 0 and 1"
    return None


# --- what the inventory has against a choice --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Inventory:
    """The tenant's assets as they are now. ``read`` gives the rows of a statement and its parameters; ``where`` is the tenant."""

    read: Callable[[Any, Mapping[str, Any]], Sequence[Mapping[str, Any]]]
    where: Mapping[str, str]

    def asset(self, asset_id: str) -> dict[str, Any] | None:
        """The asset with this id; None when it has been deleted."""
        rows = self.read(ASSET, {**self.where, "asset_id": asset_id})
        return read_asset(rows[0]) if rows else None

    def has_name(self, name: str) -> bool:
        """Whether an asset has this name, or one that is equal to it."""
        return bool(self._like("normalised_name", [key_of(name)]))

    def shares_address(self, asset_id: str, changes: Mapping[str, Any]) -> str | None:
        """Which host name or address of these is that of another asset than the one they are for, as a sentence, or None."""
        hosts = keys_of(changes, "hostname")
        for column, keys in (("ip_address", keys_of(changes, "ip_address")), ("hostname", hosts), ("fqdn", hosts)):
            for row in self._like(column, keys) if keys else ():
                if row["id"] != asset_id:
                    return f"{keys[0]} is the {column} of another asset, {row['name']!r}"
        return None

    def _like(self, column: str, keys: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        return self.read(ASSETS_LIKE[column], {**self.where, "keys": list(keys)})


def obstacle(resolution: Resolution, conflict: Mapping[str, Any], inventory: Inventory) -> str | None:
    """Why a choice that has no problem of its own cannot be carried out with the assets there are now, or None."""
    existing = inventory.asset(conflict["existing_asset_id"])
    if resolution.action == Action.CREATE_BOTH:
        return _name_in_the_way(resolution.dependency, conflict, inventory)
    if resolution.action == Action.REPLACE_WITH_NEW and existing is None:
        return None  # the row becomes an asset as if it had met none
    if existing is None:
        name = conflict["existing"]["name"]
        return f"{name!r} has been deleted: choose {Action.REPLACE_WITH_NEW} to make an asset of the row"
    changes = merged(existing, _chosen(resolution, conflict["new"]), "overwrite")
    shared = inventory.shares_address(existing["id"], changes)
    return f"{shared}: merge without it, or create both" if shared else None


def _name_in_the_way(dependency: Mapping[str, Any], conflict: Mapping[str, Any], inventory: Inventory) -> str | None:
    name, parent = dependency["name"].strip(), dependency.get("parent_asset_id")
    if parent is not None and inventory.asset(str(parent)) is None:
        return f"there is no asset {parent}"
    problem = problem_with_values({**conflict["new"], "name": name})
    if problem is not None:
        return problem
    return f"{name!r} is the name of another asset already" if inventory.has_name(name) else None


def _chosen(resolution: Resolution, new: Mapping[str, Any]) -> Mapping[str, Any]:
    """What of the row an existing asset is changed by."""
    if resolution.action == Action.KEEP_EXISTING:
        return {}
    if resolution.action == Action.REPLACE_WITH_NEW:
        return new
    return {name: new.get(name) for name, which in resolution.selections.items() if which == "new"}


# --- carrying it out --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of one conflict: the row's asset, the connection that was asked for, or why it could not be done."""

    asset_id: str | None
    dependency: Mapping[str, Any] | None = None
    error: str = ""


def apply(service: AssetService, conflict: Mapping[str, Any], inventory: Inventory) -> Applied:
    """Carry out what was chosen for a conflict. Nothing is changed when there is an error."""
    chosen = Resolution(conflict["id"], conflict["resolution_action"], conflict["selections"], conflict["dependency"])
    problem = obstacle(chosen, conflict, inventory)
    if problem is not None:
        return Applied(None, error=problem)
    existing = inventory.asset(conflict["existing_asset_id"])
    if chosen.action == Action.CREATE_BOTH:
        return _both(service, conflict, existing)
    if existing is None:
        return _made(service, conflict["new"])
    made = service.update(existing, _chosen(chosen, conflict["new"]), "overwrite")
    return Applied(None, error=made.error) if made.outcome is Made.FAILED else Applied(existing["id"])


def _made(service: AssetService, new: Mapping[str, Any]) -> Applied:
    """The row's asset, when the one that it met has been deleted."""
    made = service.create_or_update(new)
    if made.outcome is Made.CREATED and made.asset is not None:
        return Applied(made.asset["id"])
    met = ", ".join(repr(each.asset["name"]) for each in made.matches)
    return Applied(None, error=made.error or f"the row meets {met} by now: choose {Action.CREATE_BOTH}")


def _both(service: AssetService, conflict: Mapping[str, Any], existing: Mapping[str, Any] | None) -> Applied:
    wanted = conflict["dependency"]
    made = service.create_beside({**conflict["new"], "name": wanted["name"].strip()})
    if made.outcome is not Made.CREATED or made.asset is None:
        said = made.error or f"{wanted['name']!r} is the name of another asset by now"
        return Applied(None, error=said)
    target = wanted.get("parent_asset_id") or (existing["id"] if existing else None)
    if target is None:
        return Applied(made.asset["id"])  # what it was to be connected with has been deleted
    connection = {
        "source_id": made.asset["id"], "target_id": target, "dependency_type": wanted["dependency_type"],
        "confidence": float(wanted.get("confidence", 1.0)), "description": "chosen when a conflict was resolved",
    }  # fmt: skip
    return Applied(made.asset["id"], connection)


def snapshot(asset: Mapping[str, Any]) -> dict[str, Any]:
    """What a person is shown of an asset: neither its raw data nor its own attributes, nor what is empty."""
    hidden = (CUSTOM, "raw_data", "client_account_id", "engagement_id", "normalised_name")
    return {name: value for name, value in asset.items() if value is not None and name not in hidden}
