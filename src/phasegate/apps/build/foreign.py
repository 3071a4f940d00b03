"""Plans of an executor that is not ours: the same engine, on a database that is gone afterwards."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from phasegate import Engine, Registry, RunStatus, Subject
from phasegate.apps.build import statements as q
from phasegate.apps.build.columns import load
from phasegate.apps.build.errors import PhaseExecutorError, told
from phasegate.apps.build.flow import flow_of
from phasegate.apps.build.health import commands
from phasegate.apps.build.health.baseline import Baseline
from phasegate.apps.build.health.checking import check_health
from phasegate.apps.build.health.commands import CommandResult
from phasegate.apps.build.health.context import HealthContext
from phasegate.apps.build.health.testing import report_of
from phasegate.apps.build.health.testreports import Report
from phasegate.apps.build.opening import open_engine
from phasegate.apps.build.paths.protection import Protection
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.plain import plain
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.results import orchestration_result, phase_result
from phasegate.apps.build.schema import Command, PhaseSpec
from phasegate.apps.build.spec import read_spec
from phasegate.apps.build.stages import FOREIGN_STAGES
from phasegate.apps.build.stages.foreign import Calls, ForeignShop
from phasegate.apps.build.workshop import Workshops
from phasegate.errors import PhasegateError


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
                _work(engine, run.id, shop.calls)
                results = _results(engine, run.id)
                status = engine.read(q.RUN, {"run": run.id})[0]["status"]
            finally:
                engine.close()
        health = [each["health"] for each in results if each.get("health")]
        return orchestration_result(
            results, run_id=run.id, total=len(phases), duration=shop.seconds() - began, health=health, status=status
        )


def _work(engine: Engine, run_id: str, calls: Calls) -> None:
    """Have the engine work in a thread of its own, and make its calls of the executor in this one. Raises what interrupts
    them, when the engine has stopped."""
    pool = ThreadPoolExecutor(1, "phasegate-foreign")
    try:
        drained = pool.submit(engine.drain)
        drained.add_done_callback(lambda _: calls.end())
        calls.serve()
        drained.result()
    except BaseException:
        calls.close()
        with suppress(PhasegateError):
            engine.cancel(run_id, reason="interrupted")
        raise
    finally:
        pool.shutdown()


def _results(engine: Engine, run_id: str) -> list[dict[str, Any]]:
    """The results of the phases. One that was begun has one also when something kept its verdict from being recorded."""
    run, rows = engine.get(run_id), engine.read(q.PHASES, {"run": run_id})
    results = [load(row["result_json"]) for row in rows]
    named = [row["phase_id"] for row in rows]
    if run.status is not RunStatus.SUCCEEDED and all(results) and len(results) < len(run.input["plan"]):
        results.append(None)  # it was not even checked
        named.append(f"phase-{len(results)}")
    error = PhaseExecutorError("E_INTERNAL", run.reason or "the phase was not finished")
    return [
        each or phase_result(phase_id=name, error_details=told([error]))
        for each, name in zip(results, named, strict=True)
    ]


class ForeignChecks:
    """Checks of a repository that another executor works on: what can be told from outside."""

    def __init__(self, root: Path, policy: Policy) -> None:
        self._root, self._policy = Root(root), policy
        self._protection = Protection(None, folds=self._root.folds)

    def baseline(self, plan: Sequence[Any]) -> dict[str, Any]:
        """What the test commands of the plan say before anything is done."""
        reports: dict[str, Report] = {}
        for raw in plan:
            context = self._context(raw)
            for command in context.all_commands:
                if command.name not in reports:
                    reports[command.name] = report_of(command, context)
        return Baseline(reports).told()

    def check(
        self, raw: Any, number: int, attempt: int, tests: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The health after a phase, and what the tests say now."""
        before = Baseline.from_told(tests)
        context = replace(self._context(raw), baseline=before if tests else None)
        found = check_health(context, phase_index=number, attempt=attempt, only=("workspace", "vcs_state", "tests"))
        return found.told(), before.advanced(found.reports).told()

    def errors(self, raw: Any) -> Sequence[PhaseExecutorError]:
        """What is wrong with the test command of a phase."""
        return self._read(raw)[1]

    def _read(self, raw: Any) -> tuple[PhaseSpec, Sequence[PhaseExecutorError]]:
        """For the checks only the test command of a phase counts: the rest of it is the executor's matter. One that is none is
        left out."""
        given = raw if isinstance(raw, Mapping) else {}
        command, scope = given.get("test_cmd"), given.get("scope")
        if command is None and isinstance(scope, Mapping):
            command = scope.get("test_cmd")
        named = {"description": "A phase whose executor knows what it means", "test_cmd": command}
        spec, errors, _ = read_spec(named, protection=self._protection)
        if spec is None:
            spec, _, _ = read_spec({**named, "test_cmd": None}, protection=self._protection)
        assert spec is not None, "there is nothing in it that could be wrong"
        return spec, errors

    def _context(self, raw: Any) -> HealthContext:
        def run(command: Command) -> CommandResult:
            return commands.run(command, self._root.path, self._policy)

        return HealthContext(self._root, self._read(raw)[0], self._policy, self._protection, run)


def checks_of(executor: Any, policy: Policy) -> ForeignChecks | None:
    """The checks of what an executor works on, when it says where that is, in an attribute ``repo_root``."""
    try:
        root = getattr(executor, "repo_root", None)
        if isinstance(root, str | Path) and str(root) and Path(root).is_dir():
            return ForeignChecks(Path(root), policy)
    except Exception:  # whatever an attribute of somebody else's raises when it is read
        return None
    return None
