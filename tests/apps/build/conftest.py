"""A small repository that is worked on, and executors on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from phasegate.apps.build import PhaseExecutor
from phasegate.llm import Client

FILES = {
    "src/app.py": "def greet(name):\n    return 'Hello ' + name\n",
    "src/util.py": "LIMIT = 3\n",
    "README.md": "# App\n",
}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A folder with a few files, without git."""
    root = tmp_path / "repo"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture
def executor(repo: Path, tmp_path: Path) -> Iterator[Callable[..., PhaseExecutor]]:
    """Makes executors on the repository, whose database lies beside it; all are closed at the end."""
    with ExitStack() as stack:

        def make(client: Client | Any, **options: Any) -> PhaseExecutor:
            return stack.enter_context(PhaseExecutor(client, repo, tmp_path / "build.db", **options))

        yield make


def tree(root: Path) -> Mapping[str, tuple[str, int, bytes]]:
    """Everything in a folder: kind, permission bits and content by path."""
    found: dict[str, tuple[str, int, bytes]] = {}
    for folder, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = Path(folder) / name
            kind = "link" if path.is_symlink() else "folder" if path.is_dir() else "file"
            data = path.read_bytes() if kind == "file" else os.readlink(path).encode() if kind == "link" else b""
            found[path.relative_to(root).as_posix()] = (kind, path.lstat().st_mode & 0o7777, data)
    return found
