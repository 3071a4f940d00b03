"""Which column of a file means what: aliases, a mapping of one's own, and what to say when a column is missing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from phasegate.errors import InputError, did_you_mean

#: What a company row may hold, and under which headers, the most trusted first.
COMPANY_FIELDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "company_unique_id": ("company_unique_id", "company_id"),
        "company_name": ("company_name", "company", "organization", "organisation"),
        "website": ("website", "website_url", "url", "domain"),
        "industry": ("industry", "sector", "vertical"),
        "employee_count": ("employee_count", "employees", "headcount", "size"),
        "city": ("city", "address_city"),
        "state": ("state", "address_state"),
        "postal_code": ("postal_code", "zip", "zip_code", "address_zip"),
        "linkedin_url": ("linkedin_url", "linkedin"),
        "phone": ("phone", "company_phone", "phone_number"),
        "contact_name": ("contact_name", "contact", "full_name"),
        "contact_email": ("contact_email", "email", "e_mail", "email_address"),
        "contact_title": ("contact_title", "title", "job_title", "position"),
        "source": ("source", "source_system", "data_source", "origin"),
        "source_record_id": ("source_record_id", "external_id", "record_id", "id"),
    }
)

#: What a person row may hold, and under which headers.
PEOPLE_FIELDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "person_id": ("person_id", "person_unique_id", "unique_id", "contact_id"),
        "company_unique_id": ("company_unique_id", "company_id"),
        "company_name": ("company_name", "company", "organization", "organisation", "employer"),
        "city": ("company_city", "city", "address_city"),
        "full_name": ("full_name", "contact_name", "contact", "person_name"),
        "first_name": ("first_name", "given_name"),
        "last_name": ("last_name", "surname", "family_name"),
        "title": ("title", "contact_title", "job_title", "position"),
        "email": ("email", "contact_email", "e_mail", "email_address"),
        "email_verification": ("email_verification", "email_status", "verification_status"),
        "linkedin_url": ("linkedin_url", "linkedin"),
        "phone": ("phone", "phone_number", "work_phone", "work_phone_e164"),
        "updated_at": ("updated_at", "timestamp_last_updated", "last_updated"),
        "source": ("source", "source_system", "data_source", "origin"),
        "source_record_id": ("source_record_id", "external_id", "record_id", "id"),
    }
)

_SEPARATORS = re.compile(r"[\s_\-]+")


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """Where each known field is found, and the columns nobody knows; those are kept with the record."""

    columns: Mapping[str, str]
    extras: tuple[str, ...] = field(default=())


def header_key(name: str) -> str:
    """A header without its case, spaces, underscores and hyphens."""
    return _SEPARATORS.sub("", name.casefold())


def resolve_columns(
    columns: Sequence[str],
    fields: Mapping[str, tuple[str, ...]],
    *,
    person_field: str,
    mapping: Mapping[str, str] | None = None,
) -> ColumnMap:
    """Find every field of ``fields`` among the columns; the given mapping (header to field) goes before the aliases.

    When two columns mean the same field, the alias named first wins and the other column is an extra. A column called
    ``name`` is the company if no other column is and, in a file of people, another one names the person; otherwise it
    is the ``person_field``. Raises InputError when the mapping does not fit the columns.
    """
    found = _mapped(columns, fields, mapping or {})
    taken = set(found.values())
    by_key: dict[str, str] = {}
    for column in columns:
        if column not in taken:
            by_key.setdefault(header_key(column), column)
    for target, aliases in fields.items():
        keys = (header_key(alias) for alias in aliases)
        match = next((by_key[key] for key in keys if key in by_key), None)
        if target not in found and match is not None:
            found[target] = match
    _assign_name(found, by_key.get("name"), person_field)
    used = set(found.values())
    return ColumnMap(MappingProxyType(found), tuple(column for column in columns if column not in used))


def require(
    table: Path, resolved: ColumnMap, alternatives: Sequence[str], fields: Mapping[str, tuple[str, ...]]
) -> None:
    """Raise InputError, naming every accepted header, unless at least one of the alternative fields was found."""
    if any(target in resolved.columns for target in alternatives):
        return
    accepted = dict.fromkeys(alias for target in alternatives for alias in fields[target])
    raise InputError(
        f"{table}: no column for {' or '.join(alternatives)}: name one of its columns "
        f"{', '.join([*accepted, 'name'])}, or give a mapping file"
    )


def load_mapping(path: str | Path) -> Mapping[str, str]:
    """Read a JSON object from a header of the file to the field it means, such as ``{"Firm": "company_name"}``.

    Raises InputError for a file that is not such an object, for a field that does not exist, and for two headers that
    mean the same field.
    """
    source = Path(path)
    content = _json_object(source)
    known = {*COMPANY_FIELDS, *PEOPLE_FIELDS}
    header_of: dict[str, str] = {}
    for header, target in content.items():
        if not isinstance(target, str):
            raise InputError(f"{source}: {header!r} must be mapped to the name of a field, in quotes")
        _require_known(f"{source}: ", header, target, known)
        if target in header_of:
            raise InputError(f"{source}: {header_of[target]!r} and {header!r} are both mapped to {target!r}: keep one")
        header_of[target] = header
    return {header: target for target, header in header_of.items()}


def _mapped(columns: Sequence[str], fields: Iterable[str], mapping: Mapping[str, str]) -> dict[str, str]:
    by_key = {header_key(column): column for column in reversed(columns)}
    found: dict[str, str] = {}
    for header, target in mapping.items():
        _require_known("", header, target, fields)
        column = header if header in columns else by_key.get(header_key(header))
        if column is None:
            near = _near(header, columns)
            raise InputError(f"the mapping names a column {header!r} that the file does not have: {near}")
        found[target] = column
    return found


def _require_known(where: str, header: str, target: str, known: Iterable[str]) -> None:
    fields = tuple(known)
    if target not in fields:
        raise InputError(f"{where}{header!r} is mapped to the unknown field {target!r}: {_near(target, fields)}")


def _near(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    return did_you_mean(name, names) or f"known: {', '.join(names)}"


def _assign_name(found: dict[str, str], column: str | None, person_field: str) -> None:
    """A file of people whose only name column is ``name`` means the people by it."""
    if column is None or column in found.values():
        return
    company_named = "company_name" in found or "company_unique_id" in found
    person_needed = person_field == "full_name" and not {"full_name", "first_name", "last_name"} & set(found)
    target = person_field if company_named or person_needed else "company_name"
    found.setdefault(target, column)


def _json_object(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_no_duplicates)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: check the path of the mapping file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a mapping file: it must be JSON in UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON ({error}): correct the mapping file") from error
    if not isinstance(content, dict):
        raise InputError(f'{path} must hold one JSON object, such as {{"Firm": "company_name"}}')
    return content


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands in it twice")
    return content
