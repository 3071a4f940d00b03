"""What import-linter cannot say: who may name which library, and where databases may be told apart."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "phasegate"

# Library -> the files that may name it, as patterns below src/phasegate.
HOMES = {
    "sqlalchemy": [
        "store/*",
        "sqltypes.py",
        "apps/*/tables.py",
        "apps/*/statements.py",
        "apps/*/statements/*.py",
        "apps/*/queries.py",
        "apps/*/reports.py",
        "apps/*/projection.py",
        "apps/*/migrations/*.py",
    ],
    "alembic": ["store/*", "apps/*/migrations/*.py"],
    "sqlite3": ["store/*"],
    "psycopg": ["store/postgres*.py"],
    "fastapi": ["api/*", "dashboard/*"],
    "pydantic_ai": ["llm/*"],
    "openai": ["llm/*"],
    "anthropic": ["llm/*"],
    "ray": ["runtime/ray.py"],
}
DIALECT_FILES = ["store/sqlite.py", "store/postgres.py"]


def imported(source: str) -> Iterator[str]:
    """Every module named in an import, wherever in the file it stands; `from a import b` names both a and a.b."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import in line {node.lineno} hides its direction"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def impure(source: str) -> set[str]:
    """The imports that the core may not have."""
    return {
        module
        for module in imported(source)
        if module.partition(".")[0] not in sys.stdlib_module_names
        and module != "phasegate"
        and not within(module, "phasegate.core", "phasegate.errors")
    } | ({"phasegate"} if names_the_package_itself(source) else set())


def names_the_package_itself(source: str) -> bool:
    return any(
        isinstance(node, ast.Import) and any(alias.name == "phasegate" for alias in node.names)
        for node in ast.walk(ast.parse(source))
    )


def strangers(path: str, source: str) -> set[str]:
    """The libraries that the file at `path`, below src/phasegate, names although it is not their home."""
    roots = {module.partition(".")[0] for module in imported(source)}
    return {root for root in roots & HOMES.keys() if not any(fnmatch(path, pattern) for pattern in HOMES[root])}


def dialect_questions(source: str) -> list[int]:
    """The lines that ask a database for its name: `dialect.name`, `engine.dialect.name`."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and node.attr == "name" and called(node.value) == "dialect"
    ]


def called(node: ast.expr) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def files(below: str = "") -> list[str]:
    return sorted(path.relative_to(PACKAGE).as_posix() for path in (PACKAGE / below).rglob("*.py"))


def read(path: str) -> str:
    return (PACKAGE / path).read_text(encoding="utf-8")


def test_the_core_imports_only_the_standard_library_and_the_errors() -> None:
    assert files("core")
    assert {path: found for path in files("core") if (found := impure(read(path)))} == {}


def test_the_errors_import_only_the_standard_library() -> None:
    assert impure(read("errors.py")) == set()


def test_libraries_are_named_only_at_home() -> None:
    assert {path: found for path in files() if (found := strangers(path, read(path)))} == {}


def test_databases_are_told_apart_only_in_the_dialect_files() -> None:
    others = [path for path in files() if path not in DIALECT_FILES]
    assert {path: lines for path in others if (lines := dialect_questions(read(path)))} == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import json\nfrom datetime import UTC", set()),
        ("from phasegate.errors import Stale\nfrom phasegate.core.flow import Flow", set()),
        ("from phasegate import errors", set()),
        ("import orjson", {"orjson"}),
        ("def later():\n    import sqlalchemy.orm", {"sqlalchemy.orm"}),
        ("from phasegate import engine", {"phasegate.engine"}),
        ("from phasegate.store.codec import encode", {"phasegate.store.codec", "phasegate.store.codec.encode"}),
        ("import phasegate", {"phasegate"}),
    ],
)
def test_an_impure_import_is_seen(source: str, found: set[str]) -> None:
    assert impure(source) == found


@pytest.mark.parametrize(
    ("path", "source", "found"),
    [
        ("store/sql.py", "from sqlalchemy import select", set()),
        ("store/migrations/versions/0001.py", "from alembic import op\nimport sqlalchemy as sa", set()),
        ("apps/outreach/tables.py", "import sqlalchemy", set()),
        ("apps/outreach/phases.py", "from sqlalchemy.orm import Session", {"sqlalchemy"}),
        ("engine.py", "import sqlalchemy, sqlite3", {"sqlalchemy", "sqlite3"}),
        ("apps/outreach/tables.py", "import alembic.op", {"alembic"}),
    ],
)
def test_a_library_away_from_home_is_seen(path: str, source: str, found: set[str]) -> None:
    assert strangers(path, source) == found


@pytest.mark.parametrize("expression", ["engine.dialect.name", "dialect.name", "a.b.dialect.name == 'sqlite'"])
def test_a_question_for_the_dialect_is_seen(expression: str) -> None:
    assert dialect_questions(f"x = 1\ny = {expression}") == [2]


def test_a_relative_import_is_refused() -> None:
    with pytest.raises(AssertionError, match="line 1"):
        list(imported("from . import flow"))
