"""The one place where assets come into being and change: without doubles, inside the caller's transaction.

It flushes and never commits. What fails is undone to a savepoint of its own, so that earlier rows of the transaction stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson

from phasegate.apps.discovery.identifiers import new_id
from phasegate.apps.discovery.rules.names import normalised_name
from phasegate.apps.discovery.schema import CUSTOM, FIELDS, MERGEABLE, Kind
from phasegate.apps.discovery.statements.common import news
from phasegate.apps.discovery.statements.inventory import ADD_ASSET, ASSETS_LIKE, REFUSED, change_asset
from phasegate.apps.discovery.tenancy import Tenant

#: How many names are looked for in one query.
_TOGETHER = 500
#: By what an asset is known, in the order in which it is looked for; each with the columns that may have it.
_KEYS = (("name", ("normalised_name",)), ("hostname", ("hostname", "fqdn")), ("ip_address", ("ip_address",)),
         ("external_id", ("external_id",)))  # fmt: skip


class Made(StrEnum):
    """What became of an asset that was asked for."""

    CREATED = "created"
    EXISTED = "existed"
    UPDATED = "updated"
    CONFLICT = "conflict"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Match:
    """An asset that is there already, and by what it was recognised: ``kind`` names the field of the asset that matched."""

    asset: Mapping[str, Any]
    kind: str
    key: str


@dataclass(frozen=True, slots=True)
class Result:
    """The asset, what became of it, every asset it could be, and the error of one that failed."""

    asset: Mapping[str, Any] | None
    outcome: Made
    matches: tuple[Match, ...] = ()
    error: str = ""


class AssetService:
    """Creates and changes assets of one tenant in the transaction of ``session``."""

    def __init__(self, session: Any, tenant: Tenant, *, now: datetime, flow_id: str | None = None) -> None:
        self._session, self._tenant, self._now, self._flow_id = session, tenant, now, flow_id

    def create_or_update(
        self, data: Mapping[str, Any], *, upsert: bool = False, merge_strategy: str = "enrich"
    ) -> Result:
        """Create an asset, or find the one that it is: by name, then host name or FQDN or address, then external id.

        With ``upsert`` one that exists is changed: ``enrich`` fills what is empty, ``overwrite`` replaces; both only the
        fields that imports may change. Without, it stays as it is. Several that it could be are a conflict.
        """
        found = Index.of(self._matching([data])).matches(data)
        if not found:
            return self._created([{"id": new_id(), **data}])[0]
        if len({each.asset["id"] for each in found}) > 1:
            return Result(None, Made.CONFLICT, found)
        if not upsert:
            return Result(found[0].asset, Made.EXISTED, found)
        return self.update(found[0].asset, data, merge_strategy, found)

    def create_beside(self, data: Mapping[str, Any]) -> Result:
        """Create an asset although its host name or address is that of another; its name must be its own."""
        name = {"name": data["name"]}
        found = Index.of(self._matching([name])).matches(name)
        return Result(None, Made.CONFLICT, found) if found else self._created([{"id": new_id(), **data}])[0]

    def create_many(self, rows: Sequence[Mapping[str, Any]]) -> list[Result]:
        """Create the assets that are new, row by row: one that meets another, also one of the same list, is a conflict."""
        index = Index.of(self._matching(rows))
        results: dict[int, Result] = {}
        fresh: dict[int, Mapping[str, Any]] = {}
        for place, data in enumerate(rows):
            found = index.matches(data)
            if found:
                results[place] = Result(None, Made.CONFLICT, found)
            else:
                fresh[place] = {"id": new_id(), **data}
                index.add(fresh[place])
        results |= zip(fresh, self._created(list(fresh.values())), strict=True)
        return [results[place] for place in range(len(rows))]

    def update(
        self, asset: Mapping[str, Any], data: Mapping[str, Any], strategy: str, matches: tuple[Match, ...] = ()
    ) -> Result:
        """Change an asset that exists, within what imports may change."""
        changes = merged(asset, data, strategy)
        if not changes:
            return Result(asset, Made.EXISTED, matches)
        with self._session.begin_nested():
            values = {**stored(changes), "updated_at": self._now}
            where = {**self._tenant.where, "asset_id": asset["id"]}
            self._session.execute(change_asset(tuple(values)), {**where, **news(**values)})
        return Result({**asset, **changes}, Made.UPDATED, matches)

    def _matching(self, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Every asset of the tenant that shares a name, host name, address or external id with one of these."""
        wanted = {kind: sorted({key for data in rows for key in keys_of(data, kind)}) for kind, _ in _KEYS}
        found: dict[str, Mapping[str, Any]] = {}
        for kind, columns in _KEYS:
            for column in columns:
                for start in range(0, len(wanted[kind]), _TOGETHER):
                    keys = wanted[kind][start : start + _TOGETHER]
                    for row in self._session.execute(
                        ASSETS_LIKE[column], {**self._tenant.where, "keys": keys}
                    ).mappings():
                        found[row["id"]] = read(row)
        return sorted(found.values(), key=lambda each: (each["created_at"], each["id"]))

    def _created(self, rows: Sequence[Mapping[str, Any]]) -> list[Result]:
        made = [self._row(data) for data in rows]
        if not made:
            return []
        try:
            with self._session.begin_nested():
                self._insert(made)
        except REFUSED:
            return [self._created_alone(each) for each in made]
        return [Result(each, Made.CREATED) for each in made]

    def _created_alone(self, row: Mapping[str, Any]) -> Result:
        try:
            with self._session.begin_nested():
                self._insert([row])
        except REFUSED as error:
            return Result(None, Made.FAILED, error=f"{row['name']}: {type(error.orig or error).__name__}")
        return Result(row, Made.CREATED)

    def _insert(self, rows: Sequence[Mapping[str, Any]]) -> None:
        names = dict.fromkeys(name for row in rows for name in row)
        self._session.execute(ADD_ASSET, [{name: row.get(name) for name in names} for row in map(stored, rows)])
        self._session.flush()

    def _row(self, data: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **data, **self._tenant.columns,
            "normalised_name": key_of(data["name"]), "master_flow_id": self._flow_id,
            "created_by": self._tenant.user_id or None, "created_at": self._now, "updated_at": self._now,
        }  # fmt: skip


class Index:
    """Assets by everything they are known by; the first that came counts."""

    def __init__(self) -> None:
        self._by: dict[tuple[str, str], Mapping[str, Any]] = {}

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> Index:
        """An index of these assets."""
        index = cls()
        for each in rows:
            index.add(each)
        return index

    def add(self, asset: Mapping[str, Any]) -> None:
        """Know one more asset."""
        for kind, _ in _KEYS:
            for key in keys_of(asset, kind):
                self._by.setdefault((kind, key), asset)

    def matches(self, data: Mapping[str, Any]) -> tuple[Match, ...]:
        """The assets that these values could be, the surest first."""
        found: dict[str, Match] = {}
        for kind, _ in _KEYS:
            for key in keys_of(data, kind):
                asset = self._by.get((kind, key))
                if asset is not None:
                    found.setdefault(asset["id"], Match(asset, kind, key))
        return tuple(found.values())


def key_of(name: str) -> str:
    """By what a name is equal to another; of one that has neither letters nor digits it is the name."""
    return normalised_name(name) or name


def keys_of(data: Mapping[str, Any], kind: str) -> list[str]:
    """By what an asset is known, in one respect: equal keys, never similar ones."""
    if kind == "name":
        return [key_of(data["name"])]
    names = ("hostname", "fqdn") if kind == "hostname" else (kind,)
    keys = [str(data[name]) for name in names if data.get(name)]
    return [key.lower() for key in keys] if kind == "hostname" else keys


def merged(asset: Mapping[str, Any], data: Mapping[str, Any], strategy: str) -> dict[str, Any]:
    """What changes in an asset: of the fields that imports may change those that are empty (``enrich``), or all that the data
    has (``overwrite``). Attributes of one's own are merged by their names."""
    changes: dict[str, Any] = {}
    for name in sorted(MERGEABLE):
        new, old = data.get(name), asset.get(name)
        if name == CUSTOM:
            both = {**(new or {}), **(old or {})} if strategy == "enrich" else {**(old or {}), **(new or {})}
            new = both if both != (old or {}) else None
        elif strategy == "enrich" and old is not None:
            continue
        if new not in (None, "") and new != old:
            changes[name] = new
    return changes


_JSON_COLUMNS = (CUSTOM, "raw_data", *(name for name, field in FIELDS.items() if field.kind is Kind.TAGS))


def stored(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as the columns have them."""
    found = dict(values)
    for name in _JSON_COLUMNS:
        if found.get(name) is not None:
            found[name] = orjson.dumps(found[name], default=str).decode()
    return found


def read(row: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of ``stored``."""
    found = dict(row)
    for name in _JSON_COLUMNS:
        if found.get(name) is not None:
            found[name] = orjson.loads(found[name])
    return found
