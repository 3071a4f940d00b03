"""Which executor does the steps of which project: several projects of one definition may have different models and prompts."""

from __future__ import annotations

from collections.abc import Callable

from phasegate import Run
from phasegate.apps.documents.definition.models import Workflow
from phasegate.apps.documents.digests import digest
from phasegate.apps.documents.step_executor import StepExecutor


class Executors:
    """The executor given for a project in this process, else one made of what the run remembers."""

    def __init__(self, workflow: Workflow, remembered: Callable[[Run], StepExecutor]) -> None:
        self._workflow, self._remembered = workflow, remembered
        self._given: dict[str, StepExecutor] = {}
        self._made: dict[str, StepExecutor] = {}

    def use(self, project: str, executor: StepExecutor) -> None:
        """Have this one do the steps of a project from now on."""
        self._given[project] = self._ready(executor)

    def of(self, run: Run) -> StepExecutor:
        """The one for a run. Raises ``WorkflowError`` when what the run remembers cannot be used here."""
        if run.subject.id in self._given:
            return self._given[run.subject.id]
        key = digest(run.input["studio"])
        if key not in self._made:
            self._made[key] = self._ready(self._remembered(run))
        return self._made[key]

    def _ready(self, executor: StepExecutor) -> StepExecutor:
        executor.register_schemas(self._workflow)
        return executor
