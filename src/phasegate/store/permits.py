"""Who holds how many places under which quota: counted per worker, so that those of a dead one go with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from phasegate.core.quota import Bucket, Permit, full
from phasegate.store.base import Granted, QuotaUse
from phasegate.store.tables import permits, rates, workers

Place = tuple[str, str]  # name and key of a quota


class _Book(NamedTuple):
    """What is in use, and what is left of the rates, within one transaction."""

    used: dict[Place, int]
    buckets: dict[Place, Bucket]


def take(connection: sa.Connection, worker: str, wanted: Sequence[Sequence[Permit]], now: datetime) -> Granted:
    """Give each of the attempts all the places it needs, or none, in their order. The caller has locked the places."""
    needed = {place(each): each for attempt in wanted for each in attempt}
    book = _read(connection, needed, now)
    before = dict(book.used)
    queue = dict(book.buckets)  # what would be left if whoever has to wait for a rate had begun as well
    given: list[bool] = []
    waits: list[float | None] = []
    for attempt in wanted:
        free = not _full(book, attempt)
        late = _late(queue, attempt) if free else []
        given.append(free and not late)
        waits.append((max(late) - now).total_seconds() if late else None)
        if free:
            _spend(queue, attempt)
        if given[-1]:
            _spend(book.buckets, attempt)
            _occupy(book, attempt)
    if any(given):
        taken = {spot: count - before[spot] for spot, count in book.used.items() if count != before[spot]}
        _write(connection, worker, taken, book.buckets)
    return Granted(tuple(given), tuple(waits))


def keep(connection: sa.Connection, worker: str, counts: Mapping[Place, int]) -> None:
    """Have exactly so many places in use."""
    mine = permits.c.name == sa.bindparam("of"), permits.c.key == sa.bindparam("per"), permits.c.worker == worker
    rows = [{"of": name, "per": key, "count": count} for (name, key), count in counts.items()]
    less = [row for row in rows if row["count"]]
    if less:
        connection.execute(sa.update(permits).where(*mine).values(taken=sa.bindparam("count")), less)
    none = [{"of": row["of"], "per": row["per"]} for row in rows if not row["count"]]
    if none:
        connection.execute(sa.delete(permits).where(*mine), none)


def in_use(connection: sa.Connection) -> list[QuotaUse]:
    """The quotas as they stand, by name and key."""
    mine = sa.select(permits.c.name, permits.c.key, sa.func.sum(permits.c.taken).label("taken"))
    mine = mine.where(permits.c.worker.in_(sa.select(workers.c.id))).group_by(permits.c.name, permits.c.key)
    found = {(row.name, row.key): QuotaUse(row.name, row.key, int(row.taken)) for row in connection.execute(mine)}
    for row in connection.execute(sa.select(rates)):
        taken = found[row.name, row.key].in_use if (row.name, row.key) in found else 0
        found[row.name, row.key] = QuotaUse(row.name, row.key, taken, row.tokens, row.at)
    return [found[spot] for spot in sorted(found)]


def place(permit: Permit) -> Place:
    """Under which quota, and what it counts apart."""
    return permit.name, permit.key


def _read(connection: sa.Connection, needed: dict[Place, Permit], now: datetime) -> _Book:
    used = dict.fromkeys(needed, 0)
    buckets: dict[Place, Bucket] = {}
    spots = list(needed)
    # Only of workers that are registered: whatever a dead one held is free.
    mine = sa.select(permits.c.name, permits.c.key, sa.func.sum(permits.c.taken).label("taken"))
    mine = mine.where(
        sa.tuple_(permits.c.name, permits.c.key).in_(spots), permits.c.worker.in_(sa.select(workers.c.id))
    )
    for row in connection.execute(mine.group_by(permits.c.name, permits.c.key)):
        used[row.name, row.key] = int(row.taken)
    for row in connection.execute(sa.select(rates).where(sa.tuple_(rates.c.name, rates.c.key).in_(spots))):
        permit = needed[row.name, row.key]
        if permit.rate is not None:
            buckets[row.name, row.key] = Bucket(row.tokens, row.at).refilled(permit, now)
    for spot, permit in needed.items():
        if permit.rate is not None:
            buckets.setdefault(spot, full(permit, now))
    return _Book(used, buckets)


def _full(book: _Book, attempt: Sequence[Permit]) -> bool:
    return any(each.concurrency is not None and book.used[place(each)] >= each.concurrency for each in attempt)


def _late(buckets: Mapping[Place, Bucket], attempt: Sequence[Permit]) -> list[datetime]:
    """When those buckets hold a token again that hold none now."""
    return [
        buckets[place(each)].next_at(each)
        for each in attempt
        if each.rate is not None and buckets[place(each)].tokens < 1.0
    ]


def _occupy(book: _Book, attempt: Sequence[Permit]) -> None:
    for each in attempt:
        if each.concurrency is not None:
            book.used[place(each)] += 1


def _spend(buckets: dict[Place, Bucket], attempt: Sequence[Permit]) -> None:
    for each in attempt:
        if each.rate is not None:
            buckets[place(each)] = buckets[place(each)].spent()


def _write(connection: sa.Connection, worker: str, taken: dict[Place, int], buckets: dict[Place, Bucket]) -> None:
    from sqlalchemy.dialects.postgresql import insert  # writes the same ON CONFLICT for SQLite

    if taken:
        more = insert(permits)
        more = more.on_conflict_do_update(
            index_elements=["name", "key", "worker"], set_={"taken": permits.c.taken + more.excluded.taken}
        )
        rows = [{"name": n, "key": k, "worker": worker, "taken": count} for (n, k), count in taken.items()]
        connection.execute(more, rows)
    if buckets:
        left = insert(rates)
        left = left.on_conflict_do_update(
            index_elements=["name", "key"], set_={"tokens": left.excluded.tokens, "at": left.excluded.at}
        )
        connection.execute(
            left, [{"name": n, "key": k, "tokens": b.tokens, "at": b.at} for (n, k), b in buckets.items()]
        )
