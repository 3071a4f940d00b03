"""What all phases share: the rows of many companies in one query per table, one judgement per company, records to write.

A phase that fails for one company fails for that company only: its exception stands at its position.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from phasegate import Context, Fatal
from phasegate.apps.outreach import statements as sql

Row = Mapping[str, Any]
Rows = Sequence[Row]
Read = Callable[[Any, Mapping[str, Any]], list[Row]]

#: The most values in one query.
MOST_VALUES = 500

#: The query for each field of ``CompanyRows``.
QUERIES = {
    "slots": sql.SLOTS,
    "people": sql.PEOPLE,
    "enrichments": sql.ENRICHMENTS,
    "verifications": sql.VERIFICATIONS,
    "answers": sql.ANSWERS,
    "signals": sql.SIGNALS,
    "scores": sql.SCORES,
    "promotions": sql.PROMOTIONS,
}


@dataclass(frozen=True, slots=True)
class CompanyRows:
    """The rows of one company; what the phase did not ask for is empty. People stand in the order of their numbers."""

    company: Row
    slots: Rows = ()
    people: Rows = ()
    enrichments: Rows = ()
    verifications: Rows = ()
    answers: Rows = ()
    signals: Rows = ()
    scores: Rows = ()
    promotions: Rows = field(default=())


Judge = Callable[[Context, CompanyRows], Any]


def for_each_company(contexts: Sequence[Context], tables: Iterable[str], judge: Judge) -> list[Any]:
    """What ``judge`` returns or raises for the company of each context, position by position.

    ``tables`` names the fields of ``CompanyRows`` to be read. A company without a row is ``Fatal``.
    """
    rows = read_companies(contexts, tables)
    return [_judged(ctx, rows.get((ctx.tenant, ctx.subject.id)), judge) for ctx in contexts]


def read_companies(contexts: Sequence[Context], tables: Iterable[str]) -> dict[tuple[str, str], CompanyRows]:
    """The rows of the companies of the contexts, by tenant and id; companies without a row are left out."""
    tables = tuple(tables)
    found: dict[tuple[str, str], CompanyRows] = {}
    for tenant, members in _by_tenant(contexts).items():
        rows = read_rows(members[0].read, tenant, [ctx.subject.id for ctx in members], tables)
        found.update({(tenant, identity): each for identity, each in rows.items()})
    return found


def read_rows(read: Read, tenant: str, ids: Sequence[str], tables: Iterable[str]) -> dict[str, CompanyRows]:
    """The rows of many companies, by id; companies without a row are left out."""
    companies = {row["company_unique_id"]: row for row in read_many(read, sql.COMPANIES, tenant, ids)}
    grouped = {name: group_rows(read_many(read, QUERIES[name], tenant, ids)) for name in tables}
    return {
        identity: CompanyRows(companies[identity], **{name: rows.get(identity, []) for name, rows in grouped.items()})
        for identity in ids
        if identity in companies
    }


def read_many(read: Read, query: Any, tenant: str, ids: Sequence[str]) -> list[Row]:
    """The rows of a query about many ids, asked for at most 500 at a time."""
    return [row for part in parts_of(ids) for row in read(query, {"tenant": tenant, "ids": part})]


def parts_of(ids: Sequence[str]) -> Iterator[list[str]]:
    """The ids, at most 500 at a time."""
    return (list(ids[start : start + MOST_VALUES]) for start in range(0, len(ids), MOST_VALUES))


def group_rows(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows by company, people in the order of their numbers."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["company_unique_id"]].append(row)
    for members in groups.values():
        if "unique_id" in members[0]:
            members.sort(key=_number_order)
    return groups


def _judged(ctx: Context, rows: CompanyRows | None, judge: Judge) -> Any:
    if rows is None:
        return Fatal(f"company {ctx.subject.id} does not exist")
    try:
        return judge(ctx, rows)
    except Exception as error:  # one company's trouble is not the batch's; the engine records it
        return error


def _by_tenant(contexts: Sequence[Context]) -> dict[str, list[Context]]:
    groups: dict[str, list[Context]] = defaultdict(list)
    for ctx in contexts:
        groups[ctx.tenant].append(ctx)
    return groups


def _number_order(person: Row) -> tuple[int, str]:
    """Ids end in a running number without leading zeros beyond three digits, so a longer one is a later one."""
    identity = str(person["unique_id"])
    return len(identity), identity
