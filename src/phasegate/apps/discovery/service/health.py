"""How well the tenant's flows are: judged when somebody asks, from the engine's log. Nothing watches, and nothing is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from typing import Any

from phasegate import Run, RunStatus
from phasegate.apps.discovery.phase_names import PHASE_OF, PHASES
from phasegate.apps.discovery.projection import FLOW
from phasegate.apps.discovery.rules.health import ORDER, Health, Situation, Verdict, judge, worst
from phasegate.apps.discovery.service.base import Base
from phasegate.apps.discovery.service.rows import differences, pieces_of
from phasegate.apps.discovery.standing import standing_of
from phasegate.apps.discovery.statements.flows import FLOW as FLOW_ROW
from phasegate.apps.discovery.statements.health import ALL_FLOWS
from phasegate.errors import UnknownName

#: Flows, the latest ones, of which the time in phases is measured: for each its whole log is read.
MEASURED = 20
#: How often a flow is looked at again that moves on meanwhile.
TRIES = 10
#: The facts by which a person lets a flow go on; what it waited before does not count as work.
_LET_GO_ON = frozenset({"run.started", "run.resumed", "run.aimed", "gate.settled", "questions.answered"})
_ENDED = (RunStatus.SUCCEEDED, RunStatus.CANCELLED)
_REPAIR = "phasegate discovery repair"


class Healths(Base):
    """The part that tells how well flows are."""

    def health(self) -> dict[str, Any]:
        """How well every flow of the tenant is that was not deleted, the worst first.

        ``health`` is the worst class of all: healthy, warning, critical, hanging or failed. Each of ``flows`` says which it is
        in, ``why``, and what a person can do ``next``. ``alarms`` are about more than one flow. ``metrics`` count: flows by
        status, failures by phase, and of the latest flows the seconds at work by phase. ``agents`` is the tenant's part of the
        pool, None without one. Raises nothing but ``StoreError``.
        """
        now = self.engine.store.now()
        living = self._held(now)
        rows = self.engine.read(ALL_FLOWS, self.tenant.where)
        runs = {each.id: each for each in self.engine.find(FLOW, tenant=self.tenant.name, limit=None)}
        judged = [(row, self._seen(row, runs.get(row["run_id"]), now, living)) for row in rows]
        judged.sort(key=lambda each: -ORDER.index(each[1].health))
        alarms = list(self._alarms())
        classes = [verdict.health for _, verdict in judged] + [Health.WARNING] * bool(alarms)
        return {
            "checked_at": now, "health": worst(classes).value,
            "counts": {each.value: sum(v.health is each for _, v in judged) for each in Health},
            "flows": [_told(*each) for each in judged], "alarms": alarms,
            "workers": {"living": len(living), "lost": len(self.engine.workers()) - len(living)},
            "metrics": self._metrics(rows), "agents": self._agents(),
        }  # fmt: skip

    # --- one flow ---

    def _held(self, now: datetime) -> dict[str, frozenset[str]]:
        """The runs that each living worker holds, whosever they are."""
        living = [each.id for each in self.engine.workers() if each.lease_until > now]
        return {each: frozenset(self.engine.store.held(each)) for each in living}

    def _seen(
        self, row: Mapping[str, Any], run: Run | None, now: datetime, living: Mapping[str, Collection[str]]
    ) -> Verdict:
        try:
            return _without_run(row) if run is None else self._judged(row, run, now, living)
        except UnknownName:  # purged at this moment
            return _without_run(row)

    def _judged(
        self, row: Mapping[str, Any], run: Run, now: datetime, living: Mapping[str, Collection[str]]
    ) -> Verdict:
        # Of what has ended, only the status is compared: that needs no more of its run.
        if run.status in _ENDED and row["flow_status"] == standing_of(run).master:
            return judge(self._situation(row["flow_id"], run, now, living))
        run, wrong = self._compared(row)
        if wrong:
            why = f"its row is not what its log says: {'; '.join(wrong)}"
            return Verdict(Health.CRITICAL, why, _REPAIR, run.updated_at)
        return judge(self._situation(row["flow_id"], run, now, living))

    def _compared(self, row: Mapping[str, Any]) -> tuple[Run, list[str]]:
        """The run, and in what the row is not what it says. A flow that moves on between the two looks is looked at again."""
        run = self.engine.get(row["run_id"], tenant=self.tenant.name)
        wrong = differences(self.engine, row, run)
        for _ in range(TRIES if wrong else 0):
            run = self.engine.get(row["run_id"], tenant=self.tenant.name)
            rows = self.engine.read(FLOW_ROW, {**self.tenant.where, "flow_id": row["flow_id"]})
            if not rows or rows[0]["flow_status"] == "deleted":
                return run, []
            wrong = differences(self.engine, rows[0], run)
            if self.engine.get(run.id, tenant=self.tenant.name).seq == run.seq:
                return run, wrong
        return run, []  # nothing is wrong, or it moves on and on, which is what a flow should do

    def _situation(self, flow_id: str, run: Run, now: datetime, living: Mapping[str, Collection[str]]) -> Situation:
        changed = run.updated_at or now
        if run.finished:
            return Situation(flow_id, standing_of(run), (), now, changed, changed, len(living))
        standing = standing_of(run, pieces_of(self.engine, run))
        reasons = self.engine.why(run.id, tenant=self.tenant.name)
        held: bool | None = None
        if any(reason.code == "running" for reason in reasons):
            # Somebody may have taken it since the workers were looked at.
            held = _is_held(run, living) or _is_held(run, self._held(self.engine.store.now()))
        return Situation(flow_id, standing, reasons, now, changed, self._let_go_on(run) or changed, len(living), held)

    def _let_go_on(self, run: Run) -> datetime | None:
        """When a person let the run go on last."""
        moving = None
        for each in self.engine.history(run.id, tenant=self.tenant.name):
            fact: Any = each.fact
            if fact.kind in _LET_GO_ON or (fact.kind == "phase.reset" and fact.by):
                moving = each.at
        return moving

    # --- all together ---

    def _alarms(self) -> Iterator[dict[str, Any]]:
        agents = self._agents()
        if agents is not None and agents["memory_alarm"]:
            why = f"the process uses {agents['memory_mb']:.0f} MB of {agents['memory_limit_mb']:.0f} that agents may lead to"
            yield {"why": why, "next": "idle agents were dropped; restart the process when it stays so"}

    def _agents(self) -> dict[str, Any] | None:
        pool = getattr(self.engine.registry.deps, "agents", None)
        return None if pool is None else dict(pool.statistics(self.tenant.key))

    def _metrics(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        failed = Counter(row["error_phase"] or "unknown" for row in rows if row["flow_status"] == "failed")
        return {
            "flows": len(rows), "flows_by_status": dict(sorted(Counter(row["flow_status"] for row in rows).items())),
            "failures_by_phase": dict(sorted(failed.items())), "measured_flows": min(len(rows), MEASURED),
            "phases": self._measured([row["run_id"] for row in rows[:MEASURED]]),
        }  # fmt: skip

    def _measured(self, run_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What the phases of these runs took: flows, attempts, attempts that failed or were lost, seconds at work."""
        found: dict[str, list[_Work]] = {}
        for run_id in run_ids:
            with suppress(UnknownName):  # purged
                for phase, work in _work(self.engine.history(run_id, tenant=self.tenant.name)).items():
                    found.setdefault(phase, []).append(work)
        return {phase: _summed(found[phase]) for phase in PHASES if phase in found}


def _is_held(run: Run, living: Mapping[str, Collection[str]]) -> bool:
    return any(run.id in runs for runs in living.values())


class _Work:
    """What one flow did in one phase."""

    def __init__(self) -> None:
        self.attempts, self.failed, self.seconds = 0, 0, 0.0


def _work(history: Sequence[Any]) -> dict[str, _Work]:
    found: dict[str, _Work] = {}
    begun: dict[str, datetime] = {}
    for each in history:
        noun, _, verb = each.fact.kind.partition(".")
        if noun != "attempt":
            continue
        work = found.setdefault(PHASE_OF[each.fact.phase], _Work())
        if verb == "started":
            begun[each.fact.phase] = each.at
            work.attempts += 1
        else:
            work.failed += verb in ("failed", "lost")
            work.seconds += (each.at - begun.pop(each.fact.phase, each.at)).total_seconds()
    return found


def _summed(works: Sequence[_Work]) -> dict[str, Any]:
    seconds = [each.seconds for each in works]
    return {
        "flows": len(works), "attempts": sum(each.attempts for each in works), "failed": sum(each.failed for each in works),
        "mean_seconds": round(sum(seconds) / len(seconds), 3), "longest_seconds": round(max(seconds), 3),
    }  # fmt: skip


def _without_run(row: Mapping[str, Any]) -> Verdict:
    """A flow whose run was purged with its log; only what has ended is."""
    if row["flow_status"] in ("completed", "cancelled", "failed"):
        return Verdict(Health.HEALTHY, f"it is {row['flow_status']}, and its log was purged", since=row["updated_at"])
    return Verdict(Health.CRITICAL, "its log is gone: it can move no more", "delete it", row["updated_at"])


def _told(row: Mapping[str, Any], verdict: Verdict) -> dict[str, Any]:
    names = ("flow_id", "flow_name", "current_phase", "progress_percentage")
    shown = {name: row[name] for name in names} | {"status": row["flow_status"], "operational_status": row["status"]}
    return {**shown, **asdict(verdict), "health": verdict.health.value}
