"""Which names a Python file offers to others. Nothing of the file is executed."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator


def removed_names(path: str, before: str | None, after: str | None) -> tuple[list[str], int]:
    """The public names that are gone, sorted, and how many there were; nothing for what is no Python file, or cannot be read.

    ``after`` None means that the file is deleted. A name that is only imported now is not gone.
    """
    if not path.endswith((".py", ".pyi")) or before is None:
        return [], 0
    old = _tree(before)
    new = ast.Module([], []) if after is None else _tree(after)
    if old is None or new is None:
        return [], 0
    offered = set(_offered(old, imports=path.endswith("__init__.py")))
    left = set(_offered(new, imports=True))
    # The methods of a class that now comes from elsewhere cannot be seen.
    imported = set(_imported(new.body))
    gone = {name for name in offered - left if name.partition(".")[0] not in imported}
    return sorted(gone), len(offered)


def _tree(text: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text.removeprefix("\ufeff"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _offered(tree: ast.Module, *, imports: bool) -> Iterator[str]:
    names = [*_defined(tree.body), *(_imported(tree.body) if imports else ())]
    yield from (name for name in names if not any(part.startswith("_") for part in name.split(".")))


def _defined(body: Iterable[ast.stmt], within: str = "") -> Iterator[str]:
    for each in body:
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
            yield within + each.name
        elif isinstance(each, ast.ClassDef):
            yield within + each.name
            if not within:
                yield from _defined(each.body, f"{each.name}.")
        elif isinstance(each, ast.Assign | ast.AnnAssign):
            yield from (within + name for name in _assigned(each))
        else:
            yield from _defined(_inner(each), within)


def _assigned(each: ast.Assign | ast.AnnAssign) -> Iterator[str]:
    for target in each.targets if isinstance(each, ast.Assign) else [each.target]:
        parts = target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
        yield from (part.id for part in parts if isinstance(part, ast.Name))


def _imported(body: Iterable[ast.stmt]) -> Iterator[str]:
    for each in body:
        if isinstance(each, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in each.names)
        else:
            yield from _imported(_inner(each))


def _inner(each: ast.stmt) -> list[ast.stmt]:
    """The statements of an ``if``, ``try`` or ``with``, which are as public as those around it."""
    if not isinstance(each, ast.If | ast.Try | ast.With):
        return []
    inner = [*each.body, *getattr(each, "orelse", []), *getattr(each, "finalbody", [])]
    return inner + [each for handler in getattr(each, "handlers", []) for each in handler.body]
