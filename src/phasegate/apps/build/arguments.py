"""What an executor is given, as it is used: checked, absolute, callable."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from phasegate.errors import InputError


def directory(given: Path | str) -> Path:
    """The folder of a repository, links on the way to it followed once. Raises ``InputError`` when there is none."""
    try:
        path = Path(given).resolve(strict=True)
    except (OSError, TypeError, ValueError, RuntimeError):
        raise InputError("repo_root does not exist", hint="give the folder of the repository") from None
    if not path.is_dir():
        raise InputError("repo_root is not a folder", hint="give the folder of the repository")
    if str(path).encode("utf-8", "replace").decode() != str(path):
        raise InputError("repo_root has a name that is no text", hint="rename the folder")
    return path


def absolute(given: object, root: Path) -> Path:
    """A path that is meant from the repository when it is relative. Raises ``InputError`` for what is none."""
    if not isinstance(given, str | Path) or not str(given) or str(given).startswith((":memory:", "sqlite:")):
        raise InputError(f"{given!r} is no path of a file", hint="give a path such as history/build.db")
    path = Path(given)
    return path if path.is_absolute() else root / path


def is_whole(value: object, *, least: int) -> bool:
    """Whether a value is a whole number of at least so much."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_list_of_text(value: object) -> bool:
    """Whether a value is a list of texts."""
    return isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)


def with_arguments(spec: object, context_files: Sequence[str] | None, protected_paths: Sequence[str] | None) -> object:
    """A phase whose own lists have what was given beside it in front; as it is where it has none, or something else."""
    if not isinstance(spec, Mapping):
        return spec
    given = (("context_files", context_files), ("protected_paths", protected_paths))
    lists = {name: [*value, *spec[name]] for name, value in given if value and is_list_of_text(spec.get(name))}
    return {**spec, **lists}


def awaitable(sleep: Callable[[float], object] | None) -> Callable[[float], Awaitable[object]] | None:
    """A sleep that may be awaited, whatever kind was given."""
    if sleep is None:
        return None

    async def slept(seconds: float) -> object:
        result = sleep(seconds)
        return await result if inspect.isawaitable(result) else result

    return slept


def blocking(sleep: Callable[[float], object] | None) -> Callable[[float], object]:
    """A sleep that blocks, whatever kind was given."""

    def slept(seconds: float) -> object:
        result = (sleep or time.sleep)(seconds)
        return asyncio.run(result) if inspect.iscoroutine(result) else result

    return slept
