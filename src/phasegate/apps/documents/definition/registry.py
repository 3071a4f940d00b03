"""The workflows of a directory, by id."""

from __future__ import annotations

import logging
from pathlib import Path

from phasegate.apps.documents.definition.loader import WorkflowLoader
from phasegate.apps.documents.definition.models import Workflow
from phasegate.apps.documents.definition.verdicts import ValidationError
from phasegate.apps.documents.errors import WorkflowLoadError, WorkflowNotFoundError

_log = logging.getLogger("phasegate.documents")


class WorkflowRegistry:
    """Every ``*.json`` of a directory, loaded when the registry is made.

    A file that cannot be loaded is left out, logged, and listed in ``load_errors`` with its error; so is one whose workflow
    id another file has already, of which the first by name counts. ``warnings`` has what was found in files that were
    loaded. Without a directory, or when it does not exist, the registry is empty.
    """

    def __init__(self, workflows_dir: Path | None = None, loader: WorkflowLoader | None = None) -> None:
        self._directory = None if workflows_dir is None else Path(workflows_dir)
        self._loader = loader if loader is not None else WorkflowLoader()
        self._workflows: dict[str, Workflow] = {}
        self.load_errors: dict[Path, WorkflowLoadError] = {}
        self.warnings: dict[Path, list[ValidationError]] = {}
        self.reload()

    def reload(self) -> None:
        """Read the directory again. What was added by hand is dropped, what was removed by hand comes back."""
        self._workflows, self.load_errors, self.warnings = {}, {}, {}
        homes: dict[str, Path] = {}
        for path in sorted(self._directory.glob("*.json")) if self._directory is not None else []:
            try:
                self._load(path, homes)
            except WorkflowLoadError as error:
                self.load_errors[path] = error
                _log.warning("workflow.skipped file=%s error=%s", path.name, error)

    def _load(self, path: Path, homes: dict[str, Path]) -> None:
        loaded = self._loader.load_checked(path)
        workflow_id = loaded.workflow.workflow_id
        before = homes.setdefault(workflow_id, path)
        if before != path:
            raise WorkflowLoadError(f"workflow id {workflow_id!r} is defined by {before.name} already")
        self._workflows[workflow_id] = loaded.workflow
        if loaded.warnings:
            self.warnings[path] = loaded.warnings

    def get(self, workflow_id: str) -> Workflow:
        """The workflow with this id; ``WorkflowNotFoundError`` when there is none."""
        found = self._workflows.get(workflow_id)
        if found is None:
            raise WorkflowNotFoundError(workflow_id, self._workflows)
        return found

    def get_optional(self, workflow_id: str) -> Workflow | None:
        """The workflow with this id, or None."""
        return self._workflows.get(workflow_id)

    def list_ids(self) -> list[str]:
        """Every id: those of files in the order of the file names, then those added by hand."""
        return list(self._workflows)

    def list_all(self) -> list[Workflow]:
        """Every workflow, in the order of ``list_ids``."""
        return list(self._workflows.values())

    def count(self) -> int:
        """How many workflows there are."""
        return len(self._workflows)

    def add(self, workflow: Workflow) -> None:
        """Have a workflow that is in no file; one with the same id is replaced."""
        self._workflows[workflow.workflow_id] = workflow

    def remove(self, workflow_id: str) -> bool:
        """Forget a workflow until the next ``reload``; False when there was none. No file is touched."""
        return self._workflows.pop(workflow_id, None) is not None
