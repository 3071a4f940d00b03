"""Where the state and the context of an execution are kept between processes.

Both implementations keep one execution per workflow and project, and compare ``state.version``: who saves what somebody else
has saved since gets ``ConcurrentUpdateError``. A new execution may take the place of one that has ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import orjson

from phasegate.apps.documents.definition.models import Workflow
from phasegate.apps.documents.errors import ConcurrentUpdateError, PersistenceError
from phasegate.apps.documents.states.context import WorkflowContext
from phasegate.apps.documents.states.paired_files import Pair, PairedFiles
from phasegate.apps.documents.states.workflow_state import WorkflowState, WorkflowStatus

_ENDED = {WorkflowStatus.COMPLETED, WorkflowStatus.FAILED, WorkflowStatus.CANCELLED}


class StatePersistence(Protocol):
    """What executions are saved with."""

    async def save(self, state: WorkflowState, context: WorkflowContext) -> None:
        """Keep both as they are now, together, and count ``state.version`` up.

        Raises ``ConcurrentUpdateError`` when what is kept is not what ``state`` was read from, and ``PersistenceError`` when
        it cannot be written. What is kept, and ``state``, are unchanged then.
        """

    async def load(
        self, workflow_id: str, project_id: str, workflow: Workflow
    ) -> tuple[WorkflowState, WorkflowContext] | None:
        """What was saved last, as new objects; None when nothing was. Raises ``PersistenceError`` when it cannot be read."""

    async def delete(self, workflow_id: str, project_id: str) -> None:
        """Keep it no longer. It is no error when it is not there."""

    async def exists(self, workflow_id: str, project_id: str) -> bool:
        """Whether something is kept, be it readable or not."""


class FileStatePersistence:
    """Keeps executions in a folder, each in two files, ``<workflow>_<project>_state.json`` and ``..._context.json``.

    Ids are percent-encoded in the names. Writing cannot be torn by a crash: whatever happens, the two files of one save are
    found, or those of the save before. For one process at a time: two that save the same execution at the same moment are not
    kept apart. The calls write at once, so that a cancelled task leaves no write behind that it does not know of.
    """

    def __init__(self, base_dir: Path | str) -> None:
        self._folder = Path(base_dir)
        self._lock = Lock()

    async def save(self, state: WorkflowState, context: WorkflowContext) -> None:
        """See ``StatePersistence.save``."""
        with self._lock:
            files = self._files(state.workflow_id, state.project_id)
            kept = files.read()
            _compare(state, kept.state if kept is not None else None)
            replaced = kept.generation if kept is not None else None
            files.write(Pair((replaced or 0) + 1, *_as_saved(state, context)), replaced)
            state.version += 1

    async def load(
        self, workflow_id: str, project_id: str, workflow: Workflow
    ) -> tuple[WorkflowState, WorkflowContext] | None:
        """See ``StatePersistence.load``."""
        with self._lock:
            kept = self._files(workflow_id, project_id).read()
        return _restored(kept.state, kept.context, workflow) if kept is not None else None

    async def delete(self, workflow_id: str, project_id: str) -> None:
        """See ``StatePersistence.delete``."""
        with self._lock:
            self._files(workflow_id, project_id).delete()

    async def exists(self, workflow_id: str, project_id: str) -> bool:
        """See ``StatePersistence.exists``."""
        return self._files(workflow_id, project_id).exist()

    def list_all(self) -> list[tuple[str, str]]:
        """The workflow and project id of everything that is kept, sorted."""
        return PairedFiles.all_in(self._folder)

    def _files(self, workflow_id: str, project_id: str) -> PairedFiles:
        return PairedFiles(self._folder, workflow_id, project_id)


class InMemoryStatePersistence:
    """Keeps executions in memory, for tests: as text, so that nobody's changes get in unsaved."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], bytes] = {}

    async def save(self, state: WorkflowState, context: WorkflowContext) -> None:
        """See ``StatePersistence.save``."""
        key = (state.workflow_id, state.project_id)
        kept = orjson.loads(self._kept[key])[0] if key in self._kept else None
        _compare(state, kept)
        self._kept[key] = _encoded(_as_saved(state, context))
        state.version += 1

    async def load(
        self, workflow_id: str, project_id: str, workflow: Workflow
    ) -> tuple[WorkflowState, WorkflowContext] | None:
        """See ``StatePersistence.load``."""
        kept = self._kept.get((workflow_id, project_id))
        if kept is None:
            return None
        state, context = orjson.loads(kept)
        return _restored(state, context, workflow)

    async def delete(self, workflow_id: str, project_id: str) -> None:
        """See ``StatePersistence.delete``."""
        self._kept.pop((workflow_id, project_id), None)

    async def exists(self, workflow_id: str, project_id: str) -> bool:
        """See ``StatePersistence.exists``."""
        return (workflow_id, project_id) in self._kept

    def list_all(self) -> list[tuple[str, str]]:
        """The workflow and project id of everything that is kept, sorted."""
        return sorted(self._kept)


def _as_saved(state: WorkflowState, context: WorkflowContext) -> tuple[dict[str, Any], dict[str, Any]]:
    return state.to_dict() | {"version": state.version + 1}, context.to_dict()


def _encoded(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise PersistenceError(f"the execution cannot be written as JSON: {error}") from error


def _compare(state: WorkflowState, kept: Mapping[str, Any] | None) -> None:
    if kept is None:
        return
    fresh = state.version == 0 and kept.get("status") in _ENDED
    if not fresh and (state.version, state.execution_id) != (kept.get("version"), kept.get("execution_id")):
        raise ConcurrentUpdateError(
            f"execution of {state.workflow_id!r} in {state.project_id!r} was saved by somebody else since it was read: "
            f"version {kept.get('version')}, not {state.version}"
        )


def _restored(
    state: Mapping[str, Any], context: Mapping[str, Any], workflow: Workflow
) -> tuple[WorkflowState, WorkflowContext]:
    try:
        return WorkflowState.from_dict(state), WorkflowContext.from_dict(context, workflow)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise PersistenceError(f"the saved execution is damaged: {type(error).__name__}: {error}") from error
