"""The one place where assets come into being and change: without doubles, inside the caller's transaction.

It flushes and never commits. What fails is undone to a savepoint of its own, so that earlier rows of the transaction stay.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

import orjson

from phasegate.apps.discovery.errors import DiscoveryError
from phasegate.apps.discovery.identifiers import ordered_id
from phasegate.apps.discovery.rules.names import host_of, normalised_name
from phasegate.apps.discovery.schema import CUSTOM, FIELDS, MERGEABLE, AssetField, Kind
from phasegate.apps.discovery.statements.common import news
from phasegate.apps.discovery.statements.inventory import ADD_ASSET, ASSETS_LIKE, REFUSED, change_asset
from phasegate.apps.discovery.tenancy import Tenant
from phasegate.errors import did_you_mean

#: How many names are looked for in one query.
_TOGETHER = 500
#: By what an asset is known, in the order in which it is looked for; each with the columns that may have it.
_KEYS = (("name", ("normalised_name",)), ("hostname", ("hostname", "fqdn")), ("ip_address", ("ip_address",)),
         ("external_id", ("external_id",)))  # fmt: skip
#: What there is for an asset that exists: fill what is empty, or replace.
STRATEGIES = ("enrich", "overwrite")
#: What is raised at a row that cannot be stored: by the database, or by what makes JSON of its values.
_REFUSED = (*REFUSED, orjson.JSONEncodeError)
_TEXTS = frozenset({Kind.TEXT, Kind.CATEGORY, Kind.DATE})
_COLUMNS = frozenset(ADD_ASSET.table.columns.keys())
_TOO_LARGE = 2**63
#: Zero bytes, and halves of letters: no database has room for both.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
#: Characters of a value in a message.
_SHOWN = 60


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
        problem = problem_with(data)
        if problem is not None:
            return Result(None, Made.FAILED, error=problem)
        found = Index.of(self._matching([data])).matches(data)
        if not found:
            return self._created([{"id": ordered_id(), **data}])[0]
        if len({each.asset["id"] for each in found}) > 1:
            return Result(None, Made.CONFLICT, found)
        if not upsert:
            return Result(found[0].asset, Made.EXISTED, found)
        return self.update(found[0].asset, data, merge_strategy, found)

    def create_beside(self, data: Mapping[str, Any]) -> Result:
        """Create an asset although its host name or address is that of another; its name must be its own."""
        problem = problem_with(data)
        if problem is not None:
            return Result(None, Made.FAILED, error=problem)
        name = {"name": data["name"]}
        found = Index.of(self._matching([name])).matches(name)
        return Result(None, Made.CONFLICT, found) if found else self._created([{"id": ordered_id(), **data}])[0]

    def create_many(self, rows: Sequence[Mapping[str, Any]]) -> list[Result]:
        """Create the assets that are new, row by row: one that meets another, also one of the same list, is a conflict."""
        problems = [problem_with(data) for data in rows]
        index = Index.of(self._matching([data for data, said in zip(rows, problems, strict=True) if said is None]))
        results: dict[int, Result] = {}
        fresh: dict[int, Mapping[str, Any]] = {}
        for place, (data, problem) in enumerate(zip(rows, problems, strict=True)):
            found = () if problem else index.matches(data)
            if problem:
                results[place] = Result(None, Made.FAILED, error=problem)
            elif found:
                results[place] = Result(None, Made.CONFLICT, found)
            else:
                fresh[place] = {"id": ordered_id(), **data}
                index.add(fresh[place])
        results |= zip(fresh, self._created(list(fresh.values())), strict=True)
        # What met a row that then did not become an asset has met nothing.
        gone = {each["id"] for place, each in fresh.items() if results[place].outcome is not Made.CREATED}
        again = [place for place, each in results.items() if any(met.asset["id"] in gone for met in each.matches)]
        if again:
            results |= zip(again, self.create_many([rows[place] for place in again]), strict=True)
        return [results[place] for place in range(len(rows))]

    def update(
        self, asset: Mapping[str, Any], data: Mapping[str, Any], strategy: str, matches: tuple[Match, ...] = ()
    ) -> Result:
        """Change an asset that exists, within what imports may change. One that the tenant does not have is a failure."""
        if strategy not in STRATEGIES:
            hint = did_you_mean(strategy, STRATEGIES)
            raise DiscoveryError(f"there is no merge strategy {strategy!r}", hint=hint)
        changes = merged(asset, data, strategy)
        problem = problem_with({"name": asset["name"], **changes})
        if problem is not None:
            return Result(asset, Made.FAILED, matches, problem)
        if not changes:
            return Result(asset, Made.EXISTED, matches)
        try:
            with self._undoable():
                known = self._change(asset["id"], {**stored(changes), "updated_at": self._now})
        except _REFUSED as error:
            return Result(asset, Made.FAILED, matches, _said(asset, error))
        if not known:
            return Result(None, Made.FAILED, matches, f"{asset['name']}: there is no such asset any more")
        return Result({**asset, **changes, "updated_at": self._now}, Made.UPDATED, matches)

    def _change(self, asset_id: str, values: Mapping[str, Any]) -> bool:
        where = {**self._tenant.where, "asset_id": asset_id}
        changed = self._session.execute(change_asset(tuple(values)), {**where, **news(**values)})
        return bool(changed.rowcount)

    def _undoable(self) -> Any:
        """A savepoint. Before it comes a write that changes nothing: Python's driver for SQLite begins a transaction only at a
        write, and without one the end of the savepoint would be a commit."""
        self._change("", {"updated_at": self._now})
        return self._session.begin_nested()

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
            with self._undoable():
                self._insert(made)
        except _REFUSED:
            return [self._created_alone(each) for each in made]
        return [Result(each, Made.CREATED) for each in made]

    def _created_alone(self, row: Mapping[str, Any]) -> Result:
        try:
            with self._undoable():
                self._insert([row])
        except _REFUSED as error:
            # Somebody else may have made it since it was looked for.
            found = Index.of(self._matching([row])).matches(row)
            return Result(None, Made.CONFLICT, found) if found else Result(None, Made.FAILED, error=_said(row, error))
        return Result(row, Made.CREATED)

    def _insert(self, rows: Sequence[Mapping[str, Any]]) -> None:
        names = dict.fromkeys(name for row in rows for name in row)
        self._session.execute(ADD_ASSET, [{name: row.get(name) for name in names} for row in map(stored, rows)])
        self._session.flush()

    def _row(self, data: Mapping[str, Any]) -> dict[str, Any]:
        hosts = {name: host_of(str(data[name])) for name in ("hostname", "fqdn") if data.get(name)}
        return {
            **data, **hosts, **self._tenant.columns,
            "normalised_name": key_of(data["name"]), "master_flow_id": self._flow_id,
            "created_by": self._tenant.user_id or None, "created_at": self._now, "updated_at": self._now,
            "deleted_at": None, "deleted_by": None,
        }  # fmt: skip


class Index:
    """Assets by everything they are known by, in the order in which they came."""

    def __init__(self) -> None:
        self._by: dict[tuple[str, str], list[tuple[str, Mapping[str, Any]]]] = {}

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
            for field, key in _named_keys(asset, kind):
                self._by.setdefault((kind, key), []).append((field, asset))

    def matches(self, data: Mapping[str, Any]) -> tuple[Match, ...]:
        """The assets that these values could be, the surest first."""
        found: dict[str, Match] = {}
        for kind, _ in _KEYS:
            for key in keys_of(data, kind):
                for field, asset in self._by.get((kind, key), ()):
                    found.setdefault(asset["id"], Match(asset, field, key))
        return tuple(found.values())


@lru_cache(maxsize=16_384)  # each name is asked for several times while its piece is made
def key_of(name: str) -> str:
    """By what a name is equal to another; of one that has neither letters nor digits it is the name."""
    return normalised_name(name) or name


def keys_of(data: Mapping[str, Any], kind: str) -> list[str]:
    """By what an asset is known, in one respect: equal keys, never similar ones."""
    return [key for _, key in _named_keys(data, kind)]


def _named_keys(data: Mapping[str, Any], kind: str) -> list[tuple[str, str]]:
    """The keys, each with the field that has it."""
    if kind == "name":
        return [("name", key_of(data["name"]))]
    names = ("hostname", "fqdn") if kind == "hostname" else (kind,)
    keys = [(name, str(data[name])) for name in names if data.get(name)]
    return [(name, host_of(key).lower()) for name, key in keys] if kind == "hostname" else keys


def problem_with(data: Mapping[str, Any]) -> str | None:
    """Why no asset can have these values, or None: the same on every kind of database."""
    name = data.get("name")
    if not isinstance(name, str) or not name.strip():
        return "an asset needs a name"
    for each, value in data.items():
        if each not in _COLUMNS:
            hint = did_you_mean(str(each), FIELDS)
            return f"{name}: an asset has no field {each!r}" + (f" ({hint})" if hint else "")
        if value is None:
            continue
        if each in FIELDS and not _fits(FIELDS[each], value):
            return f"{name}: {each} cannot be {_shortened(value)}"
        if each == CUSTOM and not isinstance(value, Mapping):
            return f"{name}: {each} cannot be {_shortened(value)}"
    return None


def _fits(field: AssetField, value: Any) -> bool:
    if isinstance(value, str):  # nearly all of them
        storable = (value.isascii() and "\0" not in value) or not _UNSTORABLE.search(value)
        return field.kind in _TEXTS and len(value) <= field.limit and storable
    match field.kind:
        case Kind.FLAG:
            return isinstance(value, bool)
        case Kind.WHOLE:
            return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _TOO_LARGE
        case Kind.NUMBER:
            whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < _TOO_LARGE
            return whole or (isinstance(value, float) and math.isfinite(value))
        case Kind.TAGS:
            return isinstance(value, list | tuple)
        case _:
            return False


def _shortened(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _said(asset: Mapping[str, Any], error: Exception) -> str:
    """Why the database refuses an asset, without its values."""
    return f"{asset['name']}: {type(getattr(error, 'orig', None) or error).__name__}"


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
