"""What a caller asks of a phase: a context mapping, checked and turned into a record."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from phasegate import InputError
from phasegate.apps.outreach.entries import PhaseEntry


class BadContext(InputError, ValueError):
    """A context with a key that no phase knows, or with a value that cannot be."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one phase is to do. ``company`` and ``person`` are ids of stored records or records themselves.

    ``state`` None means every state; ``named_state`` whether the caller said so. ``retrying`` takes only companies in which
    the phase has failed.
    """

    company: str | Mapping[str, Any] | None = None
    person: str | Mapping[str, Any] | None = None
    state: str | None = None
    named_state: bool = False
    limit: int | None = None
    only_pending: bool = False
    only_validated: bool = False
    revalidate: bool = False
    slot_rows: Sequence[Mapping[str, Any]] | None = None
    known_companies: Collection[str] | None = None
    files: Mapping[str, Any] | None = None
    check_needs: bool = True
    retrying: bool = False


def check_keys(context: Mapping[str, Any], entries: Iterable[PhaseEntry]) -> None:
    """Raise ``BadContext`` for keys that none of these phases accepts; where there is no phase, nothing is wrong."""
    phases = list(entries)
    if not phases:
        return
    known = frozenset[str]().union(*(entry.accepts for entry in phases))
    unknown = [str(key) for key in context if key not in known]
    if not unknown:
        return
    near = get_close_matches(unknown[0], sorted(known), n=1)
    who = " and ".join(f"phase {entry.number}" for entry in phases)
    raise BadContext(
        f"{who} {'does' if len(phases) == 1 else 'do'} not know the context key {', '.join(map(repr, unknown))}",
        hint=f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}",
    )


def ask(entry: PhaseEntry, context: Mapping[str, Any], *, check_needs: bool = True, retrying: bool = False) -> Asked:
    """The record of a context for one phase; keys the phase does not accept are left out. Raises ``BadContext``."""
    given = {key: value for key, value in context.items() if key in entry.accepts}
    company = _one(given, "company", "company_id", "company_unique_id")
    return Asked(
        company=_record_or_id("company", company),
        person=_record_or_id("person", _one(given, "person", "person_id")),
        state=_state(given.get("state")),
        named_state="state" in given,
        limit=_limit(given.get("limit")),
        only_pending=_flag(given, "only_pending"),
        only_validated=_flag(given, "only_validated"),
        revalidate=_flag(given, "revalidate"),
        slot_rows=given.get("slot_rows"),
        known_companies=given.get("valid_company_ids"),
        files={key: given.get(key) for key in ("csv_file", "people_file", "mapping", "people_mapping")},
        check_needs=check_needs,
        retrying=retrying,
    )


def asks_for_dry_run(context: Mapping[str, Any]) -> bool:
    """Whether nothing is to stay. Raises ``BadContext``."""
    return _flag(context, "dry_run")


def _one(given: Mapping[str, Any], *names: str) -> Any:
    return next((given[name] for name in names if given.get(name) is not None), None)


def _record_or_id(key: str, value: Any) -> str | Mapping[str, Any] | None:
    if value is None or isinstance(value, Mapping):
        return value
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise BadContext(f"{key} is {_shown(value)}: give the id of a stored record, or a mapping with the record")


def _state(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and value.strip()):
        return value.strip() if value else None
    raise BadContext(f"state is {_shown(value)}: give a code such as 'WV', or None for every state")


def _limit(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadContext(f"limit is {_shown(value)}: give a whole number from 0, or None for no limit")
    return value


def _flag(given: Mapping[str, Any], key: str) -> bool:
    value = given.get(key)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise BadContext(f"{key} is {_shown(value)}: give True or False")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
