"""Which executor does the steps of which project: several projects of one definition may have different models and prompts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from phasegate import Context, Run
from phasegate.apps.documents.definition.models import Workflow
from phasegate.apps.documents.digests import digest
from phasegate.apps.documents.statements import STUDIO
from phasegate.apps.documents.step_executor import StepExecutor


def remembered(read: Callable[[Any, Mapping[str, Any]], Any], run: Run) -> Mapping[str, Any]:
    """What a run remembers of its studio: the one it was given last. ``read`` is that of an engine or a context."""
    later = read(STUDIO, {"run": run.id})
    told: Mapping[str, Any] = orjson.loads(later[0]["told"]) if later else run.input["studio"]
    return told


class Executors:
    """The executor given for a project in this process, else one made of what the run remembers."""

    def __init__(self, workflow: Workflow, make: Callable[[Mapping[str, Any]], StepExecutor]) -> None:
        self._workflow, self._make = workflow, make
        self._given: dict[str, StepExecutor] = {}
        self._made: dict[str, StepExecutor] = {}

    def use(self, project: str, executor: StepExecutor) -> None:
        """Have this one do the steps of a project from now on."""
        self._given[project] = self._ready(executor)

    def of(self, context: Context) -> StepExecutor:
        """The one for a run. Raises ``WorkflowError`` when what the run remembers cannot be used here."""
        if context.subject.id in self._given:
            return self._given[context.subject.id]
        told = remembered(context.read, context.run)
        key = digest(told)
        if key not in self._made:
            self._made[key] = self._ready(self._make(told))
        return self._made[key]

    def _ready(self, executor: StepExecutor) -> StepExecutor:
        executor.register_schemas(self._workflow)
        return executor
