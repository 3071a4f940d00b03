"""Prompts from text files: who the model is (roles), and what it is asked to do (tasks)."""

from __future__ import annotations

import hashlib
from pathlib import Path

from phasegate.apps.documents.errors import PromptNotFoundError, WorkflowError

#: Where prompts are looked for when nobody says: below the directory the program was started in.
DEFAULT_PROMPTS_DIR = Path("prompts")

_FOLDERS = {"role": "roles", "task": "tasks"}


class PromptLoader:
    """Loads ``roles/<name>.txt`` and ``tasks/<name>.txt``, UTF-8, and keeps what it has read.

    Anything may stand in its place that has ``load_role``, ``load_task``, ``role_exists`` and ``task_exists``. A name is
    that of a file in the folder: with separators, or dots alone, it is the name of no prompt.
    """

    def __init__(self, prompts_dir: Path | None = None) -> None:
        self._directory = Path(prompts_dir if prompts_dir is not None else DEFAULT_PROMPTS_DIR).absolute()
        self._texts: dict[tuple[str, str], str] = {}

    def load_role(self, name: str) -> str:
        """The text of a role prompt, the same object each time until ``clear_cache``.

        Raises ``PromptNotFoundError``, and ``WorkflowError`` for a file that is empty or not text.
        """
        return self._load("role", name)

    def load_task(self, name: str) -> str:
        """The text of a task prompt; as ``load_role``."""
        return self._load("task", name)

    def role_sha256(self, name: str) -> str:
        """The digest of a role prompt's text; raises what ``load_role`` raises."""
        return prompt_sha256(self.load_role(name))

    def task_sha256(self, name: str) -> str:
        """The digest of a task prompt's text; raises what ``load_task`` raises."""
        return prompt_sha256(self.load_task(name))

    def role_exists(self, name: str) -> bool:
        """Whether there is a file for this role prompt."""
        return self._file("role", name) is not None

    def task_exists(self, name: str) -> bool:
        """Whether there is a file for this task prompt."""
        return self._file("task", name) is not None

    def list_roles(self) -> list[str]:
        """The names of the role prompts, sorted; empty when the folder is missing."""
        return self._list("role")

    def list_tasks(self) -> list[str]:
        """The names of the task prompts, sorted; empty when the folder is missing."""
        return self._list("task")

    def clear_cache(self) -> None:
        """Read every file anew when it is next asked for."""
        self._texts.clear()

    def _load(self, kind: str, name: str) -> str:
        if (kind, name) not in self._texts:
            path = self._file(kind, name)
            if path is None:
                raise PromptNotFoundError(kind, name, self._list(kind))
            self._texts[kind, name] = _read(path, f"{kind} prompt {name!r}")
        return self._texts[kind, name]

    def _file(self, kind: str, name: str) -> Path | None:
        if not _is_plain(name):
            return None
        path = self._directory / _FOLDERS[kind] / f"{name}.txt"
        try:
            return path if path.is_file() else None
        except OSError:  # the name is too long for a file
            return None

    def _list(self, kind: str) -> list[str]:
        files = (path for path in (self._directory / _FOLDERS[kind]).glob("*.txt") if path.is_file())
        return sorted(path.stem for path in files if _is_plain(path.stem))


def prompt_sha256(text: str) -> str:
    """The sha256, in hexadecimal, of a prompt's text: two prompts with the same digest ask the same."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _is_plain(name: str) -> bool:
    return bool(name.strip(". ")) and name.isprintable() and not set(name) & set("/\\:")


def _read(path: Path, what: str) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise WorkflowError(f"{what} cannot be read: {error}") from error
    if not text.strip():
        raise WorkflowError(f"{what} is empty", hint=f"write it to {path}")
    return text
