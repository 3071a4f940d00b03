"""Which asset needs which other: from columns that say so, from applications in common, from hosts that are mentioned.

A network in common is no evidence: hundreds of assets share one and have nothing to do with each other.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

EXPLICIT, SAME_APPLICATION, MENTIONED = 0.95, 0.8, 0.6
#: More application assets of one name than this do not say which of them a server belongs to.
MOST_NAMESAKES = 3
#: How many cycles are looked for, and from how many dependents on an asset is critical.
MOST_CYCLES, CRITICAL_FROM = 100, 3

_COLUMNS = {
    "dependson": "depends_on", "dependencies": "depends_on", "upstream": "depends_on", "connectsto": "connects_to",
    "connectedto": "connects_to", "parent": "child_of",
}  # fmt: skip
_HOSTS = frozenset({"server", "virtual_machine", "container", "database"})
#: The types that say an asset cannot do without the other: only they make a cycle that is worth a warning.
_NEEDS = frozenset({"depends_on", "child_of", "runs_on", "uses_database"})
_SEPARATOR = re.compile(r"[,;|\n]")
_TOKEN = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")
_LONGEST_TEXT = 10_000


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What of an asset says where it stands. ``custom`` has the columns that no asset field was for."""

    id: str
    name: str = ""
    hostname: str = ""
    fqdn: str = ""
    ip_address: str = ""
    application_name: str = ""
    asset_type: str = ""
    depends_on: str = ""
    custom: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""


@dataclass(frozen=True, slots=True)
class Dependency:
    """The source needs the target. Types: depends_on, connects_to, child_of, runs_on, uses_database, mentions."""

    source_id: str
    target_id: str
    dependency_type: str
    confidence: float
    description: str


def find_dependencies(assets: Sequence[Endpoint]) -> tuple[Dependency, ...]:
    """The dependencies between these assets: both ends are among them and differ, each pair has a type at most once.

    The columns depends_on, connects_to, connected to, parent and upstream name others by name, host, fully qualified name
    or address (.95); an application has the servers and databases that give its name (.8); a description or a name
    mentions another's host as a word of its own (.6), which counts only where nothing better joins the two. A name that
    several assets have says nothing.
    """
    places = _Places(assets)
    found: dict[tuple[str, str, str], Dependency] = {}
    joined: set[tuple[str, str]] = set()
    for rule in (_explicit, _same_application, _mentioned):
        for each in rule(assets, places):
            pair = (each.source_id, each.target_id)
            if each.source_id != each.target_id and not (each.dependency_type == "mentions" and pair in joined):
                found.setdefault((*pair, each.dependency_type), each)
                joined.add(pair)
    return tuple(found.values())


class _Places:
    """The assets by everything they can be named by."""

    def __init__(self, assets: Iterable[Endpoint]) -> None:
        self._indexes: dict[str, defaultdict[str, set[str]]] = {
            kind: defaultdict(set) for kind in ("name", "hostname", "fqdn", "ip_address", "short")
        }
        for asset in assets:
            for kind in ("name", "hostname", "fqdn", "ip_address"):
                if key := _key(getattr(asset, kind)):
                    self._indexes[kind][key].add(asset.id)
            for host in (asset.hostname, asset.fqdn):
                if "." in host:
                    self._indexes["short"][_key(host).split(".")[0]].add(asset.id)

    def named(self, text: str) -> str | None:
        """The one asset of this name, host or address; None when there is none, or no single one."""
        return self._one(text, ("name", "hostname", "fqdn", "ip_address", "short"))

    def host(self, text: str) -> str | None:
        """The one asset of this host or fully qualified name."""
        return self._one(text, ("hostname", "fqdn"))

    def _one(self, text: str, kinds: Sequence[str]) -> str | None:
        key = _key(text)
        for kind in kinds:
            ids = self._indexes[kind].get(key)
            if ids and key:
                return next(iter(ids)) if len(ids) == 1 else None
        return None


def _key(text: object) -> str:
    return text.strip().strip("\"'").rstrip(".").casefold() if isinstance(text, str) else ""


def _explicit(assets: Iterable[Endpoint], places: _Places) -> Iterator[Dependency]:
    for asset in assets:
        columns = [("depends_on", "depends_on", asset.depends_on)]
        for column, value in asset.custom.items():
            if kind := _COLUMNS.get(re.sub(r"[\W_]+", "", str(column)).lower()):
                columns.append((str(column), kind, value))
        for column, kind, value in columns:
            for reference in _references(value, places):
                target = places.named(reference)
                if target:
                    said = f"column {column!r} names {reference[:100]!r}"
                    yield Dependency(asset.id, target, kind, EXPLICIT, said)


def _references(value: object, places: _Places) -> list[str]:
    if isinstance(value, list | tuple):
        return [reference for each in value for reference in _references(each, places)] if _flat(value) else []
    if not isinstance(value, str):
        return []
    text = value[:_LONGEST_TEXT]
    return [text] if places.named(text) else [part for each in _SEPARATOR.split(text) if (part := each.strip())]


def _flat(value: Iterable[object]) -> bool:
    return all(isinstance(each, str) for each in value)


def _same_application(assets: Sequence[Endpoint], places: _Places) -> Iterator[Dependency]:
    applications: defaultdict[str, list[Endpoint]] = defaultdict(list)
    for asset in assets:
        if asset.asset_type == "application":
            for key in {_key(asset.name), _key(asset.application_name)} - {""}:
                applications[key].append(asset)
    for asset in assets:
        owners = applications.get(_key(asset.application_name), ()) if asset.asset_type in _HOSTS else ()
        for owner in owners if len(owners) <= MOST_NAMESAKES else ():
            kind = "uses_database" if asset.asset_type == "database" else "runs_on"
            yield Dependency(
                owner.id, asset.id, kind, SAME_APPLICATION, f"both belong to {asset.application_name[:100]!r}"
            )


def _mentioned(assets: Iterable[Endpoint], places: _Places) -> Iterator[Dependency]:
    for asset in assets:
        own = {_key(asset.name), _key(asset.hostname), _key(asset.fqdn)}
        for text in (asset.name, asset.description):
            for token in dict.fromkeys(_TOKEN.findall(text[:_LONGEST_TEXT].casefold())):
                target = places.host(token) if token not in own and _looks_like_host(token) else None
                if target:
                    yield Dependency(asset.id, target, "mentions", MENTIONED, f"its text mentions {token[:100]!r}")


def _looks_like_host(token: str) -> bool:
    """A host called "mail" or "oracle" is a word of many descriptions; one with a digit, hyphen or full stop is not."""
    return len(token) >= 4 and not token.isalpha()


def cycles(dependencies: Iterable[Dependency]) -> tuple[tuple[str, ...], ...]:
    """Assets that need each other in a circle, each circle once and from its first id on; at most ``MOST_CYCLES``.

    At least one is found wherever there are any. Where circles overlap, not every combination of them is listed: there
    can be more of those than anybody reads.
    """
    needs: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for each in dependencies:
        needs[each.source_id][each.target_id] = None
    found: dict[tuple[str, ...], None] = {}
    done: set[str] = set()
    for start in sorted(needs):
        for cycle in _circles(start, needs, done):
            first = cycle.index(min(cycle))
            found[tuple(cycle[first:] + cycle[:first])] = None
            if len(found) >= MOST_CYCLES:
                return tuple(found)
    return tuple(found)


def _circles(start: str, needs: Mapping[str, Iterable[str]], done: set[str]) -> Iterator[list[str]]:
    """Walk in depth from the start, without recursion: chains are as long as the inventory. Adds to ``done``."""
    if start in done:
        return
    path, places, branches = [start], {start: 0}, [iter(needs.get(start, ()))]
    while path:
        following = next(branches[-1], None)
        if following is None:
            branches.pop()
            done.add(path[-1])
            del places[path.pop()]
        elif following in places:
            yield path[places[following] :]
        elif following not in done:
            places[following] = len(path)
            path.append(following)
            branches.append(iter(needs.get(following, ())))


def summary(assets: Sequence[Endpoint], dependencies: Sequence[Dependency]) -> dict[str, Any]:
    """The result of a dependency analysis as JSON. Cycles are warnings; lists have the weightiest first.

    ``complexity_score`` is from 0 to 100: 25 for every dependency an asset has on average, at most 50; up to 30 for the
    share that goes from one application to another; 20 when there are cycles.
    """
    by_id = {asset.id: asset for asset in assets}
    known = [each for each in dependencies if each.source_id in by_id and each.target_id in by_id]
    across = _across(by_id, known)
    circles = cycles(each for each in known if each.dependency_type in _NEEDS)
    labels = {asset.id: asset.name or asset.hostname or asset.id for asset in assets}
    share = sum(across.values()) / len(known) if known else 0.0
    score = min(50.0, 25 * len(known) / max(1, len(assets))) + 30 * share + (20 if circles else 0)
    return {
        "success": True,
        "app_server_mapping": _app_servers(assets),
        "cross_application_mapping": [
            {"source_application": source, "target_application": target, "dependencies": count}
            for (source, target), count in across.most_common()
        ],
        "dependency_relationships": [
            {"source": each.source_id, "target": each.target_id, "type": each.dependency_type,
             "confidence": each.confidence, "description": each.description} for each in known
        ],
        "dependency_matrix": _matrix(by_id, known),
        "critical_dependencies": _critical(labels, known),
        "complexity_score": round(score, 1),
        "warnings": [_told(each, labels) for each in circles],
    }  # fmt: skip


def _told(circle: Sequence[str], labels: Mapping[str, str]) -> str:
    names = [labels[id] for id in (*circle, circle[0])]
    if len(names) > 12:
        names[10:-1] = [f"({len(names) - 11} more)"]
    return f"a cycle: {' -> '.join(names)}"


def _across(by_id: Mapping[str, Endpoint], dependencies: Iterable[Dependency]) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for each in dependencies:
        source, target = (_application(by_id[id]) for id in (each.source_id, each.target_id))
        if source and target and _key(source) != _key(target):
            counts[source, target] += 1
    return counts


def _application(asset: Endpoint) -> str:
    return asset.application_name.strip() or (asset.name.strip() if asset.asset_type == "application" else "")


def _app_servers(assets: Iterable[Endpoint]) -> list[dict[str, Any]]:
    names: dict[str, str] = {}
    members: defaultdict[str, dict[str, list[str]]] = defaultdict(lambda: {"applications": [], "servers": []})
    for asset in assets:
        if key := _key(name := _application(asset)):
            names.setdefault(key, name)
            if asset.asset_type == "application":
                members[key]["applications"].append(asset.id)
            elif asset.asset_type in _HOSTS:
                members[key]["servers"].append(asset.id)
    return [{"application": names[key], **members[key]} for key in sorted(names)]


def _matrix(by_id: Mapping[str, Endpoint], dependencies: Iterable[Dependency]) -> dict[str, dict[str, int]]:
    matrix: dict[str, dict[str, int]] = {}
    for each in dependencies:
        source, target = (by_id[id].asset_type or "other" for id in (each.source_id, each.target_id))
        row = matrix.setdefault(source, {})
        row[target] = row.get(target, 0) + 1
    return matrix


def _critical(labels: Mapping[str, str], dependencies: Iterable[Dependency]) -> list[dict[str, Any]]:
    dependents: defaultdict[str, set[str]] = defaultdict(set)
    for each in dependencies:
        dependents[each.target_id].add(each.source_id)
    critical = sorted((-len(sources), id) for id, sources in dependents.items() if len(sources) >= CRITICAL_FROM)
    return [{"asset_id": id, "name": labels[id], "dependents": -count} for count, id in critical]
