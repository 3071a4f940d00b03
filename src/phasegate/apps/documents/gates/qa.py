"""The mechanical check of a document: is it JSON, is it an object, does it satisfy its schema.

It never judges the content and never repairs anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from phasegate.apps.documents.definition.models import DocumentTypeConfig
from phasegate.apps.documents.errors import WorkflowError
from phasegate.apps.documents.gates.schemas import Schema, compile_schema, violations
from phasegate.apps.documents.iteration import declared_id, item_key
from phasegate.apps.documents.json_answers import JSONAnswerError, parse_json

Severity = Literal["error", "warning"]

#: The document types that have a schema from the start.
PACKAGED_SCHEMAS: Mapping[str, str] = {
    "clarification_questions": "clarification_question_set.v1.json",
    "intake_gate_result": "intake_gate_result.v1.json",
}


@dataclass(frozen=True, slots=True)
class QAFinding:
    """One thing the check found; ``path`` says where, as in ``$.epics[0].id``, and ``rule`` which check it was."""

    path: str
    message: str
    severity: Severity
    rule: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The finding as JSON."""
        return {"path": self.path, "message": self.message, "severity": self.severity, "rule": self.rule}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> QAFinding:
        """The finding that ``to_dict`` wrote."""
        return cls(data["path"], data["message"], data["severity"], data.get("rule"))


@dataclass
class QAResult:
    """What the check came to. Warnings alone do not keep a document from passing."""

    passed: bool
    findings: list[QAFinding] = field(default_factory=list)
    checked_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    schema_used: str | None = None

    @classmethod
    def of(cls, findings: list[QAFinding], schema_used: str | None = None) -> QAResult:
        """The result of these findings: passed unless one of them is an error."""
        return cls(all(each.severity != "error" for each in findings), findings, schema_used=schema_used)

    @property
    def error_count(self) -> int:
        """How many findings are errors."""
        return sum(each.severity == "error" for each in self.findings)

    @property
    def warning_count(self) -> int:
        """How many findings are warnings."""
        return sum(each.severity == "warning" for each in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON; the counts are for readers and are not read back."""
        return {
            "passed": self.passed,
            "error_count": self.error_count,
            "warning_count": self.warning_count,
            "findings": [each.to_dict() for each in self.findings],
            "checked_at": self.checked_at.isoformat(),
            "schema_used": self.schema_used,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> QAResult:
        """The result that ``to_dict`` wrote."""
        return cls(
            passed=data["passed"],
            findings=[QAFinding.from_dict(each) for each in data["findings"]],
            checked_at=datetime.fromisoformat(data["checked_at"]),
            schema_used=data.get("schema_used"),
        )


class QAGate:
    """Checks answers against the schema registered for their document type, if there is one.

    Schema files are looked for in ``schemas_dir``, then among those that come with the package. What is registered with one
    gate is unknown to every other.
    """

    def __init__(self, schemas_dir: Path | str | None = None) -> None:
        self._folder = Path(schemas_dir) if schemas_dir is not None else None
        self._files = dict(PACKAGED_SCHEMAS)
        self._compiled: dict[str, Schema] = {}

    def register_schema(self, doc_type: str, schema_file: str) -> None:
        """Check documents of this type against this file from now on.

        The file need not exist yet; it is read once, when it is first needed. Raises ``WorkflowError`` for anything but a
        plain file name.
        """
        if not schema_file or Path(schema_file).name != schema_file or "\\" in schema_file:
            raise WorkflowError(f"a schema is named by a plain file name, not {schema_file!r}")
        self._files[doc_type] = schema_file
        self._compiled.pop(schema_file, None)

    def has_schema(self, doc_type: str) -> bool:
        """Whether a schema file is registered for documents of this type."""
        return doc_type in self._files

    def list_schemas(self) -> dict[str, str]:
        """The schema file of each document type that has one."""
        return dict(self._files)

    def check(self, output: Any, doc_type: str, strict: bool = True) -> QAResult:
        """Check an answer: text, which must be JSON, or a value.

        An empty object or list passes with a warning, and so does a document whose schema file is missing, unless ``strict``
        is off. Raises ``WorkflowError`` only when the schema file itself cannot be used.
        """
        if isinstance(output, str):
            try:
                output = parse_json(output)
            except JSONAnswerError as error:
                return QAResult.of([QAFinding("$", str(error), "error", "json_parse")])
        shape = _check_shape(output)
        if shape and shape[0].severity == "error":
            return QAResult.of(shape)
        file = self._files.get(doc_type)
        if file is None:
            return QAResult.of(shape)
        schema = self._schema(file)
        if schema is None:
            missing = QAFinding("$", f"schema file {file!r} is missing", "warning", "schema_missing")
            return QAResult.of([*shape, missing] if strict else shape)
        return QAResult.of([*shape, *_violations(schema, output)], file)

    def _schema(self, file: str) -> Schema | None:
        if file not in self._compiled:
            text = self._read(file)
            if text is None:
                return None
            try:
                self._compiled[file] = compile_schema(parse_json(text))
            except WorkflowError as error:
                raise WorkflowError(f"schema file {file!r} cannot be used: {error}") from error
        return self._compiled[file]

    def _read(self, file: str) -> str | None:
        packaged = files("phasegate.apps.documents") / "schemas" / file
        for place in ([self._folder / file] if self._folder is not None else []) + [packaged]:
            if place.is_file():
                try:
                    return place.read_text(encoding="utf-8-sig")
                except (OSError, UnicodeError) as error:
                    raise WorkflowError(f"schema file {file!r} cannot be read: {error}") from error
        return None


def check_document(
    value: Any, document_type: DocumentTypeConfig, schema: Schema | Mapping[str, Any] | bool | None = None
) -> list[QAFinding]:
    """What keeps a value from being stored as a document of this type; an empty list when nothing does.

    Stricter than the gate: only an object that is not empty is a document. When the type owns entities, its collection must be
    a list of objects, no two of which go by the same id. ``schema`` is a JSON schema, or what ``compile_schema`` made of one;
    as such it may be asked again and again without being compiled each time.
    """
    if not isinstance(value, dict):
        return [QAFinding("$", f"document must be an object, not {_kind(value)}", "error", "document_shape")]
    if not value:
        return [QAFinding("$", "empty document", "error", "document_shape")]
    found = _check_collection(value, document_type)
    if schema is None:
        return found
    compiled = schema if isinstance(schema, Schema) else compile_schema(schema)
    return [*found, *_violations(compiled, value)]


def _check_shape(value: Any) -> list[QAFinding]:
    if value is None:
        return [QAFinding("$", "output is null", "error", "not_null")]
    if not isinstance(value, dict | list):
        return [QAFinding("$", f"output must be object or array, not {_kind(value)}", "error", "json_type")]
    if not value:
        return [QAFinding("$", f"output is an empty {_kind(value)}", "warning", "not_empty")]
    return []


def _check_collection(document: dict[str, Any], document_type: DocumentTypeConfig) -> list[QAFinding]:
    name = document_type.collection_field
    if not document_type.may_own or name is None:
        return []
    items = document.get(name)
    if not isinstance(items, list):
        missing = "is missing" if name not in document else f"must be an array, not {_kind(items)}"
        return [QAFinding(f"$.{name}", f"collection {name!r} {missing}", "error", "collection")]
    findings = []
    taken: dict[str, int] = {}
    for index, item in enumerate(items):
        problem = _item_problem(item, index, document_type.may_own[0], taken)
        if problem is not None:
            findings.append(QAFinding(f"$.{name}[{index}]", problem, "error", "collection"))
    return findings


def _item_problem(item: Any, index: int, entity_type: str, taken: dict[str, int]) -> str | None:
    if not isinstance(item, dict):
        return f"an item must be an object, not {_kind(item)}"
    try:
        declared_id(item, entity_type)
        key = item_key(item, index, entity_type)
    except WorkflowError as error:
        return str(error)
    first = taken.setdefault(key, index)
    return None if first == index else f"the item has the same id as item {first}: {key!r}"


def _violations(schema: Schema, value: Any) -> list[QAFinding]:
    return [QAFinding(path, message, "error", "schema_validation") for path, message in violations(schema, value)]


def _kind(value: Any) -> str:
    names: dict[type, str] = {
        dict: "object",
        list: "array",
        str: "string",
        bool: "boolean",
        int: "number",
        float: "number",
    }
    return "null" if value is None else names.get(type(value), type(value).__name__)
