"""Plans of an executor that is not ours: the same engine, on a database that is gone afterwards."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from phasegate import Registry, Subject
from phasegate.apps.build import statements as q
from phasegate.apps.build.flow import flow_of
from phasegate.apps.build.opening import open_engine
from phasegate.apps.build.plain import plain
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.results import orchestration_result
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
        shop = ForeignShop(policy=policy, executor=self._executor, health=self._health())
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

    def _health(self) -> Any:
        """How the health of what the executor works on is checked, when it says where that is."""
        return None
