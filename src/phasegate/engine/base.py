"""What all parts of the façade share: the store, the journal, the registry, and the definitions of flows."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from phasegate.core import facts as f
from phasegate.core.flow import Flow
from phasegate.core.flowdata import flow_data, flow_from_data
from phasegate.core.run import Run, Subject
from phasegate.errors import FlowError, UnknownName
from phasegate.journal import Extras, Journal, compose
from phasegate.registry import Registry
from phasegate.runtime.worker import Limits, Worker
from phasegate.store import codec
from phasegate.store.base import Append, Store, Write


class Base:
    """The state of an engine, and what its parts need of each other."""

    def _open(
        self, store: Store, registry: Registry, tenant: str, limits: Limits, *, dry_run: bool, ray_address: str | None
    ) -> None:
        self.store, self.registry, self.tenant, self.dry_run = store, registry, tenant, dry_run
        self._limits, self._ray_address = limits, ray_address
        self._journal = Journal(store, registry.projections)
        self._worker: Worker | None = None
        self._workers: list[Worker] = []
        self._services: list[Worker] = []
        self._handing = threading.Lock()
        self._draining = threading.Lock()
        self._kept: set[tuple[str, int]] = set()

    def _flow(self, flow: str | Flow) -> Flow:
        found = self.registry.latest(flow) if isinstance(flow, str) else self.registry.add(flow)
        self._keep(found)
        return found

    def _keep(self, flow: Flow) -> None:
        """Have the definition in the database, so that other programs can plan runs of it."""
        if (flow.name, flow.version) in self._kept:
            return
        body = codec.canonical(flow_data(flow))[0]
        if not self.store.keep_flow(flow.name, flow.version, body) and not self._is_kept(codec.load(body)):
            raise FlowError(
                flow.name, [f"version {flow.version} has unfinished runs with another definition: give the new one version "
                            f"{flow.version + 1}"]
            )  # fmt: skip
        self._kept.add((flow.name, flow.version))

    def _is_kept(self, body: dict[str, Any]) -> bool:
        """Whether the database has this definition but for the functions' names: a function may move to another module,
        and the module that is run as the program is called ``__main__`` there."""
        return any(_shape(kept) == _shape(body) for kept in self.store.flows())

    def _definition(self, name: str, version: int) -> Flow | None:
        known = self.registry.known(name, version)
        if known is not None:
            return known
        return next(
            (x for x in map(flow_from_data, self.store.flows()) if (x.name, x.version) == (name, version)), None
        )

    def _known(self, run: Run) -> Flow:
        flow = self._definition(run.flow, run.version)
        if flow is None:
            raise UnknownName("flow", f"{run.flow} version {run.version}", {x.name for x in self.registry.flows})
        return flow

    def _runs_of(self, flow: str, subjects: Sequence[Subject], tenant: str, key: str | None) -> dict[Subject, Run]:
        """The latest run of each subject."""
        wanted = set(subjects)
        found = self.store.of_subjects(tenant, flow, sorted({subject.id for subject in wanted})) if wanted else []
        return {run.subject: run for run in found if run.subject in wanted and (key is None or run.key == key)}

    def _compose(
        self, flow: Flow, before: Run | None, after: Run, facts: tuple[f.Fact, ...], now: datetime,
        writes: Sequence[Write] = (),
    ) -> Append:  # fmt: skip
        extras = Extras(writes=tuple(writes))
        return compose(flow, before, after, facts, now=now, extras=extras, projecting=bool(self._journal.projections))

    def _wake(self, run_id: str | None = None) -> None:
        for worker in list(self._workers):
            worker.wake(run_id)


def _shape(body: dict[str, Any]) -> dict[str, Any]:
    unnamed = {"run": True, "compensate": True}
    return body | {"phases": [{name: unnamed.get(name, value) for name, value in p.items()} for p in body["phases"]]}
