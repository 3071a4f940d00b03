"""Plans of an executor that is not ours: the same engine, on a database that is gone afterwards."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from phasegate import Registry, Subject
from phasegate.apps.build import statements as q
from phasegate.apps.build.flow import flow_of
from phasegate.apps.build.health import commands
from phasegate.apps.build.health.baseline import Baseline
from phasegate.apps.build.health.checking import check_health, take_baseline
from phasegate.apps.build.health.commands import CommandResult
from phasegate.apps.build.health.context import HealthContext
from phasegate.apps.build.opening import open_engine
from phasegate.apps.build.paths.protection import Protection
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.plain import plain
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.results import orchestration_result
from phasegate.apps.build.schema import Command, PhaseSpec
from phasegate.apps.build.spec import read_spec
from phasegate.apps.build.stages import FOREIGN_STAGES
from phasegate.apps.build.stages.common import load
from phasegate.apps.build.stages.foreign import ForeignShop
from phasegate.apps.build.workshop import Workshops


class ForeignPlan:
    """One run of phases by an executor that has ``execute_phase`` and nothing else that is needed."""

    def __init__(self, executor: Any, max_retries: int, health_checks: bool) -> None:
        self._executor, self._max_retries, self._health_checks = executor, max_retries, health_checks

    def run(self, phases: Sequence[Any], stop_on_failure: bool) -> dict[str, Any]:
        """The result of all phases."""
        if not phases:
            return orchestration_result([], run_id="", total=0, duration=0.0, health=[], status="succeeded")
        workshops, policy = Workshops(), Policy()
        shop = ForeignShop(
            policy=policy,
            executor=self._executor,
            health=checks_of(self._executor, policy) if self._health_checks else None,
        )
        where = f"foreign:{uuid.uuid4().hex}"
        workshops.use(where, shop)
        began = shop.seconds()
        given = {
            "plan": [plain(each) for each in phases], "repo_root": where, "stop_on_failure": stop_on_failure,
            "max_retries": self._max_retries, "health_checks": self._health_checks, "policy": asdict(policy), "continues": None,
        }  # fmt: skip
        with tempfile.TemporaryDirectory(prefix="phasegate-") as folder:
            engine = open_engine(Path(folder) / "plan.db", Registry(deps=workshops))
            try:
                workshops.engine = engine
                flow = flow_of(len(phases), FOREIGN_STAGES, foreign=True)
                run = engine.start(flow, Subject("plan", where), input=given)
                engine.drain()
                rows = engine.read(q.PHASES, {"run": run.id})
                results = [load(row["result_json"]) for row in rows if row["result_json"]]
                status = engine.read(q.RUN, {"run": run.id})[0]["status"]
            finally:
                engine.close()
        health = [each["health"] for each in results if each.get("health")]
        return orchestration_result(
            results, run_id=run.id, total=len(phases), duration=shop.seconds() - began, health=health, status=status
        )


class ForeignChecks:
    """Checks of a repository that another executor works on: what can be told from outside."""

    def __init__(self, root: Path, policy: Policy) -> None:
        self._root, self._policy = Root(root), policy
        self._protection = Protection(None, folds=self._root.folds)

    def baseline(self, plan: Sequence[Any]) -> dict[str, Any]:
        """What the test commands of the plan say before anything is done."""
        reports = [take_baseline(self._context(self._spec(raw, index))) for index, raw in enumerate(plan)]
        return Baseline({name: report for each in reports for name, report in each.reports.items()}).told()

    def check(
        self, raw: Any, number: int, attempt: int, tests: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The health after a phase, and what the tests say now."""
        context = replace(
            self._context(self._spec(raw, number - 1)), baseline=Baseline.from_told(tests) if tests else None
        )
        found = check_health(context, phase_index=number, attempt=attempt, only=("workspace", "vcs_state", "tests"))
        return found.told(), Baseline().advanced(found.reports).told()

    def _spec(self, raw: Any, index: int) -> PhaseSpec:
        spec, _, _ = read_spec(raw, index=index, protection=self._protection)
        return spec or PhaseSpec(f"phase-{index + 1}", "a phase", "A phase whose executor knows what it means")

    def _context(self, spec: PhaseSpec) -> HealthContext:
        def run(command: Command) -> CommandResult:
            return commands.run(command, self._root.path, self._policy)

        return HealthContext(self._root, spec, self._policy, self._protection, run)


def checks_of(executor: Any, policy: Policy) -> ForeignChecks | None:
    """The checks of what an executor works on, when it says where that is, in an attribute ``repo_root``."""
    root = getattr(executor, "repo_root", None)
    if not isinstance(root, str | Path) or not Path(root).is_dir():
        return None
    return ForeignChecks(Path(root).resolve(), policy)
