"""What a path is for, judged by its name: a program, a test, a document, settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

Kind = Literal["backend", "frontend", "test", "doc", "config", "other"]

_DOC = frozenset({"md", "markdown", "rst", "txt", "adoc", "tex"})
_CONFIG = frozenset({
    "json", "jsonc", "yaml", "yml", "toml", "ini", "cfg", "conf", "env", "properties", "xml", "lock",
    "editorconfig",
})  # fmt: skip
_FRONTEND = frozenset({
    "tsx", "jsx", "vue", "svelte", "css", "scss", "sass", "less", "html", "htm",
})  # fmt: skip
_SCRIPT = frozenset({"ts", "js", "mjs", "cjs"})
_BACKEND = frozenset({
    "py", "pyi", "go", "rs", "java", "kt", "kts", "scala", "rb", "php", "c", "h", "cc", "cpp", "hpp", "cs",
    "swift", "sql", "sh", "bash", "ps1", "pl", "lua", "ex", "exs", "erl", "r", "jl",
})  # fmt: skip
_TEST_PLACES = frozenset({"test", "tests", "__tests__", "spec", "specs", "testing"})
_DOC_PLACES = frozenset({"doc", "docs", "documentation"})
_FRONTEND_PLACES = frozenset({"frontend", "components", "pages", "ui", "web", "client"})
_CONFIG_NAMES = frozenset({
    "dockerfile", "makefile", "justfile", "procfile", "gemfile", "pipfile", "jenkinsfile", "codeowners",
})  # fmt: skip
_DOC_NAMES = frozenset({"readme", "license", "changelog", "authors", "contributing", "notice", "copying"})


def kind(path: str) -> Kind:
    """What a file, or a directory with a trailing slash, is for. Never fails, and says ``other`` when the name does not tell."""
    *places, name = path.rstrip("/").casefold().split("/")
    if path.endswith("/"):
        places, name = [*places, name], ""
    stem, _, ending = name.rpartition(".")
    if _is_test(stem or name, places):
        return "test"
    if ending in _DOC or name in _DOC_NAMES or (places and places[0] in _DOC_PLACES):
        return "doc"
    if ending in _FRONTEND or (_FRONTEND_PLACES & set(places) and ending in _SCRIPT | {""}):
        return "frontend"
    if ending in _BACKEND or ending in _SCRIPT:
        return "backend"
    return "config" if ending in _CONFIG or name in _CONFIG_NAMES else "other"


def _is_test(stem: str, places: Iterable[str]) -> bool:
    if not _TEST_PLACES.isdisjoint(places):
        return True
    return stem.startswith("test_") or stem.endswith(("_test", ".test", ".spec", "_spec")) or stem == "conftest"
