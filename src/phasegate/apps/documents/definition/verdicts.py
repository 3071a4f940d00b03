"""What checking a definition comes to: codes, places, and the verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class ValidationErrorCode(StrEnum):
    """What can be wrong with a definition. ``MISSING_REQUIRED_FIELD`` and ``OWNERSHIP_CYCLE`` are reserved, never found."""

    SCHEMA_INVALID = "SCHEMA_INVALID"
    MISSING_REQUIRED_FIELD = "MISSING_REQUIRED_FIELD"
    INVALID_SCOPE_HIERARCHY = "INVALID_SCOPE_HIERARCHY"
    UNKNOWN_SCOPE = "UNKNOWN_SCOPE"
    UNKNOWN_DOCUMENT_TYPE = "UNKNOWN_DOCUMENT_TYPE"
    UNKNOWN_ENTITY_TYPE = "UNKNOWN_ENTITY_TYPE"
    OWNERSHIP_CYCLE = "OWNERSHIP_CYCLE"
    OWNERSHIP_MISMATCH = "OWNERSHIP_MISMATCH"
    MISSING_COLLECTION_FIELD = "MISSING_COLLECTION_FIELD"
    SCOPE_MISMATCH = "SCOPE_MISMATCH"
    MISSING_ITERATION_SOURCE = "MISSING_ITERATION_SOURCE"
    ITERATION_SCOPE_MISMATCH = "ITERATION_SCOPE_MISMATCH"
    UNREACHABLE_SCOPE = "UNREACHABLE_SCOPE"
    INVALID_REFERENCE = "INVALID_REFERENCE"
    FORBIDDEN_SIBLING_REFERENCE = "FORBIDDEN_SIBLING_REFERENCE"
    FORBIDDEN_DESCENDANT_REFERENCE = "FORBIDDEN_DESCENDANT_REFERENCE"
    FORBIDDEN_CROSS_BRANCH_REFERENCE = "FORBIDDEN_CROSS_BRANCH_REFERENCE"
    DUPLICATE_INPUT = "DUPLICATE_INPUT"
    DUPLICATE_STEP_ID = "DUPLICATE_STEP_ID"
    DUPLICATE_PRODUCER = "DUPLICATE_PRODUCER"
    INVALID_PROMPT_FORMAT = "INVALID_PROMPT_FORMAT"
    PROMPT_NOT_IN_MANIFEST = "PROMPT_NOT_IN_MANIFEST"
    INPUT_NOT_PRODUCED = "INPUT_NOT_PRODUCED"
    UNREFERENCED_TYPE = "UNREFERENCED_TYPE"


@dataclass(frozen=True, slots=True)
class ValidationError:
    """One finding. ``path`` says where, as in ``steps[2].inputs[0].scope``; it is empty for the definition as a whole."""

    code: ValidationErrorCode
    message: str
    path: str = ""

    def __str__(self) -> str:
        return f"[{self.code}] {self.path}: {self.message}" if self.path else f"[{self.code}] {self.message}"


@dataclass
class ValidationResult:
    """The verdict: true when valid. ``warnings`` never make a definition invalid."""

    valid: bool
    errors: list[ValidationError] = field(default_factory=list)
    warnings: list[ValidationError] = field(default_factory=list)

    def __bool__(self) -> bool:
        return self.valid

    @classmethod
    def success(cls, warnings: Iterable[ValidationError] = ()) -> ValidationResult:
        """Nothing stands against the definition."""
        return cls(valid=True, warnings=list(warnings))

    @classmethod
    def failure(cls, errors: Iterable[ValidationError], warnings: Iterable[ValidationError] = ()) -> ValidationResult:
        """The definition is invalid, for these reasons."""
        return cls(valid=False, errors=list(errors), warnings=list(warnings))
