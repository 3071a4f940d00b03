"""Validators: what must be there before a phase begins. The discovery flow names some; a flow type of one's own may name any.

Each says what it reads. ``given`` is the phase input; ``state`` the flow's row with its ``configuration``, a function ``read``
for queries, and ``where``, the parameters that find the tenant's import.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from phasegate.apps.discovery.phases.cleansing import mappings_of
from phasegate.apps.discovery.phases.common import load
from phasegate.apps.discovery.reading.kinds import promised_format
from phasegate.apps.discovery.registries import ValidationResult, ValidatorRegistry
from phasegate.apps.discovery.rules.mapping_checks import check_mappings
from phasegate.apps.discovery.statements.imports import COUNT_CLEANSED, COUNT_MADE, COUNT_ROWS, IMPORT
from phasegate.apps.discovery.statements.inventory import BY_TYPE
from phasegate.apps.discovery.statements.mappings import MAPPINGS

FORMATS = ("csv", "tsv", "json", "jsonl", "xlsx", "parquet")
#: Megabytes of a file at most, when the flow's configuration does not say ``size_limit_mb``.
SIZE_LIMIT_MB = 1_000.0

_Mapping = Mapping[str, Any]


def required_fields(given: _Mapping, _state: _Mapping, _overrides: _Mapping) -> ValidationResult:
    """The ids without which nothing can be done. Reads the phase input: flow, import, client account and engagement."""
    needed = ("flow_id", "data_import_id", "client_account_id", "engagement_id")
    return ValidationResult.of([f"{name} is missing" for name in needed if given.get(name) in (None, "", "None")])


def file_format_validation(given: _Mapping, state: _Mapping, overrides: _Mapping) -> ValidationResult:
    """The import is there, and of a kind that can be read. Reads the format that was found when its file was looked at."""
    missing = required_fields(given, state, overrides)
    rows = state["read"](IMPORT, state["where"]) if missing.valid else []
    if not rows:
        return ValidationResult.of([*missing.errors] or ["there is no such import"])
    kind = (load(rows[0]["inventory"]) or {}).get("format")
    known = kind is None or kind in FORMATS
    return ValidationResult.of([] if known else [f"{kind!r} is no format that can be read: {', '.join(FORMATS)}"])


def file_exists(_given: _Mapping, state: _Mapping, _overrides: _Mapping) -> ValidationResult:
    """The file is still where it was. Reads the import's row, and looks at the path in it, on the machine of the worker.

    Records that a program handed over need no file.
    """
    row, path = _import_of(state)
    if row is None:
        return _no_import()
    if path is None:
        return ValidationResult(info=("the import came as records",))
    try:
        there = path.is_file()
    except OSError as error:
        return ValidationResult.of([f"{path} cannot be looked at: {error.strerror or error}"])
    return ValidationResult.of(
        [] if there else [f"there is no file {path}: put it back, or import it from where it is"]
    )


def file_format_valid(_given: _Mapping, state: _Mapping, _overrides: _Mapping) -> ValidationResult:
    """The file is called like what it holds: .csv, .tsv, .json, .jsonl, .xlsx, .parquet and their second spellings.

    Reads the name of the import's file, and the format that was found in it. A name that says nothing, or that of a kind which
    cannot be read (.xml), is refused; one that says another kind than was found is a warning, since what is in it decides.
    """
    row, path = _import_of(state)
    if row is None:
        return _no_import()
    if path is None:
        return ValidationResult(info=("the import came as records",))
    promised, found = promised_format(path), (load(row["inventory"]) or {}).get("format")
    if promised is None:
        return ValidationResult.of([f"{path.name!r} is not called like one of {', '.join(FORMATS)}: export it as one"])
    # Cells may stand apart by commas or by tabs under either name.
    same = found in (None, promised) or {found, promised} == {"csv", "tsv"}
    return ValidationResult.of([], [] if same else [f"{path.name!r} holds {found}, and is read as that"])


def size_limit(_given: _Mapping, state: _Mapping, _overrides: _Mapping) -> ValidationResult:
    """The file is not too large. Reads its size in the import's row, and ``size_limit_mb`` in the flow's configuration.

    A flow type sets that in its ``default_configuration``: megabytes of 1,048,576 bytes. Without it there may be 1,000.
    """
    row, path = _import_of(state)
    if row is None:
        return _no_import()
    limit = (state.get("configuration") or {}).get("size_limit_mb", SIZE_LIMIT_MB)
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not isfinite(limit) or limit <= 0:
        return ValidationResult.of([f"size_limit_mb is {limit!r}; it must be a number above 0"])
    size = (row["file_size"] or 0) / 2**20
    fits = path is None or size <= limit
    return ValidationResult.of(
        [] if fits else [f"the file has {size:,.1f} MB, and {limit:,g} MB are allowed: split it"]
    )


def data_quality_check(_given: _Mapping, state: _Mapping, _overrides: _Mapping) -> ValidationResult:
    """There are rows to judge. Counts the import's rows."""
    rows = state["read"](COUNT_ROWS, state["where"])[0]["n"]
    return ValidationResult.of([] if rows else ["no row was brought in"])


def schema_validation(_given: _Mapping, state: _Mapping, _overrides: _Mapping) -> ValidationResult:
    """The rows have columns that can be mapped. Reads the headings in the import's row."""
    (row,) = state["read"](IMPORT, state["where"])
    headings = load(row["headings"]) or []
    return ValidationResult.of([] if headings else ["the import has no columns"])


def mappings_complete(_given: _Mapping, state: _Mapping, _overrides: _Mapping) -> ValidationResult:
    """Every column of the import has a mapping that a person has approved or rejected, and one is approved.

    Reads the headings in the import's row, and the mappings. Whether rows can be cleansed by what was approved is what
    ``mapping_completeness`` asks.
    """
    row, _ = _import_of(state)
    if row is None:
        return _no_import()
    status = {each["source_field"]: each["status"] for each in state["read"](MAPPINGS, state["where"])}
    columns = [*dict.fromkeys([*(load(row["headings"]) or []), *status])]
    errors = [f"{name!r} has no mapping" for name in columns if name not in status]
    errors += [f"{name!r} is neither approved nor rejected" for name in columns if status.get(name) == "suggested"]
    return ValidationResult.of(errors if errors or "approved" in status.values() else ["no mapping is approved"])


def mapping_completeness(_given: _Mapping, state: _Mapping, _overrides: _Mapping) -> ValidationResult:
    """Every column is decided on, and what was approved can be cleansed by. Reads the mappings."""
    undecided = [row["source_field"] for row in state["read"](MAPPINGS, state["where"]) if row["status"] == "suggested"]
    approved, _ = mappings_of(state["read"], state["where"])
    problems = check_mappings(approved)
    errors = [f"{name!r} is neither approved nor rejected" for name in undecided]
    errors += [each.message for each in problems if each.critical]
    return ValidationResult.of(errors, [each.message for each in problems if not each.critical])


def cleansing_quality(_given: _Mapping, state: _Mapping, _overrides: _Mapping) -> ValidationResult:
    """Every row is cleansed. Counts the import's rows, and those that are."""
    rows, cleansed = (state["read"](each, state["where"])[0]["n"] for each in (COUNT_ROWS, COUNT_CLEANSED))
    fits = rows and rows == cleansed
    return ValidationResult.of([] if fits else [f"CLEANSING_REQUIRED: {cleansed} of {rows} rows are cleansed"])


def asset_completeness(_given: _Mapping, state: _Mapping, _overrides: _Mapping) -> ValidationResult:
    """There are assets to look at. Counts the import's rows of which one was made."""
    made = state["read"](COUNT_MADE, state["where"])[0]["n"]
    return ValidationResult.of([] if made else ["no row of the import belongs to an asset"])


def applications_exist(_given: _Mapping, state: _Mapping, _overrides: _Mapping) -> ValidationResult:
    """The tenant's inventory has an application. Counts its assets of type application that were not deleted, whichever flow made
    them."""
    counts = {row["asset_type"]: row["n"] for row in state["read"](BY_TYPE, state["where"])}
    none = "the inventory has no application: import some, or correct the types of assets"
    return ValidationResult.of([] if counts.get("application") else [none])


def _import_of(state: _Mapping) -> tuple[_Mapping | None, Path | None]:
    """The import's row and the path of its file; None for what there is not."""
    rows = state["read"](IMPORT, state["where"])
    if not rows:
        return None, None
    path = (load(rows[0]["inventory"]) or {}).get("path")
    return rows[0], Path(path) if path else None


def _no_import() -> ValidationResult:
    return ValidationResult.of(["there is no such import"])


#: Every validator that comes with the application; its name is that of its function.
BUILT_IN = (
    required_fields, file_exists, file_format_valid, file_format_validation, size_limit, data_quality_check, schema_validation,
    mappings_complete, mapping_completeness, cleansing_quality, asset_completeness, applications_exist,
)  # fmt: skip


def register_validators(validators: ValidatorRegistry) -> None:
    """Know all of them by their names."""
    for each in BUILT_IN:
        validators.register(each.__name__, each)
