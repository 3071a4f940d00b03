"""Which runs are next: every tenant in turn, within a tenant the higher priority first, within a priority the earliest due.

Runs that may be claimed are found in groups of one tenant and one priority, which the index puts side by side. One probe of
the index finds the next group, another the runs of a group that are due, so that the cost depends on how many groups there
are and not on how many runs wait, or for how long.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from phasegate.store.queries import Queries

Given = Mapping[str, Any]  # the parameters ``now`` and ``flows``


class Group(NamedTuple):
    """Runs of one tenant and one priority."""

    tenant: str
    priority: int


class Groups:
    """The groups of runs that nobody holds, by tenant, higher priorities first. Each is looked up when it is first needed, and
    once: an idle worker asks about them twice."""

    def __init__(self, connection: sa.Connection, queries: Queries) -> None:
        self._found: list[Group] = []
        self._more = _groups(connection, queries)

    def __iter__(self) -> Iterator[Group]:
        yield from self._found
        for group in self._more:
            self._found.append(group)
            yield group


def _groups(connection: sa.Connection, queries: Queries) -> Iterator[Group]:
    row = connection.execute(queries.first_group).first()
    while row is not None:
        group = Group(row.tenant, row.priority)
        yield group
        row = connection.execute(queries.next_group, group._asdict()).first()


def any_due(connection: sa.Connection, queries: Queries, given: Given, groups: Groups) -> bool:
    """Whether anything could be claimed now."""
    return any(
        connection.execute(queries.due, {**given, **group._asdict(), "most": 1}).first() is not None for group in groups
    )


def next_due(connection: sa.Connection, queries: Queries, given: Given, groups: Groups) -> datetime | None:
    """When the next run becomes due of those that are not yet."""
    found = (connection.execute(queries.later, {**given, **group._asdict()}).scalar() for group in groups)
    return min((at for at in found if at is not None), default=None)


def pick(connection: sa.Connection, queries: Queries, given: Given, limit: int, after: str) -> list[str]:
    """Up to ``limit`` runs that are due, as many of each tenant as of the next, beginning behind the tenant ``after``.

    What some tenants leave is divided among those that have more.
    """
    by_tenant: dict[str, list[Group]] = {}
    for group in Groups(connection, queries):
        by_tenant.setdefault(group.tenant, []).append(group)
    waiting = [*(name for name in by_tenant if name > after), *(name for name in by_tenant if name <= after)]
    taken: dict[str, list[str]] = {}
    left = limit
    while waiting and left:
        share = -(-left // len(waiting))
        more: list[str] = []
        for tenant in waiting:
            have = taken.get(tenant, [])
            wanted = len(have) + min(share, left)
            found = _due_of(connection, queries, given, by_tenant[tenant], wanted) if wanted > len(have) else have
            left -= len(found) - len(have)
            taken[tenant] = found
            if len(found) == wanted:
                more.append(tenant)
        waiting = more
    return [run_id for tenant in taken for run_id in taken[tenant]]


def _due_of(connection: sa.Connection, queries: Queries, given: Given, mine: Sequence[Group], wanted: int) -> list[str]:
    """The first ``wanted`` runs of a tenant that are due; those found before stay found, since they are locked."""
    found: list[str] = []
    for group in mine:
        if len(found) < wanted:
            values = {**given, **group._asdict(), "most": wanted - len(found)}
            found.extend(row.id for row in connection.execute(queries.due_and_free, values))
    return found
