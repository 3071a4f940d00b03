"""The validators that the discovery flow names: what must be there before a phase begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phasegate.apps.discovery.phases.cleansing import mappings_of
from phasegate.apps.discovery.phases.common import load
from phasegate.apps.discovery.registries import ValidationResult, ValidatorRegistry
from phasegate.apps.discovery.rules.mapping_checks import check_mappings
from phasegate.apps.discovery.statements.imports import COUNT_CLEANSED, COUNT_MADE, COUNT_ROWS, IMPORT
from phasegate.apps.discovery.statements.mappings import MAPPINGS

FORMATS = ("csv", "tsv", "json", "jsonl", "xlsx", "parquet")

_Mapping = Mapping[str, Any]


def required_fields(given: _Mapping, _state: _Mapping, _overrides: _Mapping) -> ValidationResult:
    """The ids without which nothing can be done."""
    needed = ("flow_id", "data_import_id", "client_account_id", "engagement_id")
    return ValidationResult.of([f"{name} is missing" for name in needed if given.get(name) in (None, "", "None")])


def file_format_validation(given: _Mapping, state: _Mapping, overrides: _Mapping) -> ValidationResult:
    """The import is there, and of a kind that can be read."""
    missing = required_fields(given, state, overrides)
    rows = state["read"](IMPORT, state["where"]) if missing.valid else []
    if not rows:
        return ValidationResult.of([*missing.errors] or ["there is no such import"])
    kind = (load(rows[0]["inventory"]) or {}).get("format")
    known = kind is None or kind in FORMATS
    return ValidationResult.of([] if known else [f"{kind!r} is no format that can be read: {', '.join(FORMATS)}"])


def data_quality_check(_given: _Mapping, state: _Mapping, _overrides: _Mapping) -> ValidationResult:
    """There are rows to judge."""
    rows = state["read"](COUNT_ROWS, state["where"])[0]["n"]
    return ValidationResult.of([] if rows else ["no row was brought in"])


def schema_validation(_given: _Mapping, state: _Mapping, _overrides: _Mapping) -> ValidationResult:
    """The rows have columns that can be mapped."""
    (row,) = state["read"](IMPORT, state["where"])
    headings = load(row["headings"]) or []
    return ValidationResult.of([] if headings else ["the import has no columns"])


def mapping_completeness(_given: _Mapping, state: _Mapping, _overrides: _Mapping) -> ValidationResult:
    """Every column is decided on, and what was approved can be cleansed by."""
    undecided = [row["source_field"] for row in state["read"](MAPPINGS, state["where"]) if row["status"] == "suggested"]
    approved, _ = mappings_of(state["read"], state["where"])
    problems = check_mappings(approved)
    errors = [f"{name!r} is neither approved nor rejected" for name in undecided]
    errors += [each.message for each in problems if each.critical]
    return ValidationResult.of(errors, [each.message for each in problems if not each.critical])


def cleansing_quality(_given: _Mapping, state: _Mapping, _overrides: _Mapping) -> ValidationResult:
    """Every row is cleansed."""
    rows, cleansed = (state["read"](each, state["where"])[0]["n"] for each in (COUNT_ROWS, COUNT_CLEANSED))
    fits = rows and rows == cleansed
    return ValidationResult.of([] if fits else [f"CLEANSING_REQUIRED: {cleansed} of {rows} rows are cleansed"])


def asset_completeness(_given: _Mapping, state: _Mapping, _overrides: _Mapping) -> ValidationResult:
    """There are assets to look at."""
    made = state["read"](COUNT_MADE, state["where"])[0]["n"]
    return ValidationResult.of([] if made else ["no row of the import belongs to an asset"])


def register_validators(validators: ValidatorRegistry) -> None:
    """Know all of them by their names."""
    for each in (
        required_fields, file_format_validation, data_quality_check, schema_validation, mapping_completeness,
        cleansing_quality, asset_completeness,
    ):  # fmt: skip
        validators.register(each.__name__, each)
