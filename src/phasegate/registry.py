"""What an engine knows by name: flows by name and version, handlers, validators, projections and shared objects.

A registry is built and passed; importing a module never fills one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from phasegate.core.facts import RecordedFact
from phasegate.core.flow import Flow, Phase
from phasegate.errors import FlowError, UnknownName, did_you_mean

Projection = Callable[[Any, Sequence[RecordedFact]], None]


class Registry:
    """Flows, and what their phases refer to.

    ``deps`` is handed to every phase function as ``ctx.deps``. ``schemas`` are the database schemas in which the application
    keeps tables of its own, where the database has schemas: their names need not be qualified then.

    Raises ``FlowError`` when a flow names a handler that does
    not exist or when the same name and version is registered with another definition.
    """

    def __init__(self, *flows: Flow, deps: Any = None, schemas: Sequence[str] = ()) -> None:
        self._flows: dict[tuple[str, int], Flow] = {}
        self._handlers: dict[str, Callable[..., Any]] = {}
        self._projections: list[Projection] = []
        self.deps, self.schemas = deps, tuple(schemas)
        for flow in flows:
            self.add(flow)

    def add(self, flow: Flow) -> Flow:
        """Register a flow; returns it with its handler names resolved. Several versions of one name may stand side by side."""
        resolved = self._resolve(flow)
        present = self._flows.get((flow.name, flow.version))
        if present is not None and present != resolved:
            raise FlowError(flow.name, [f"version {flow.version} is registered already with other phases"])
        self._flows[flow.name, flow.version] = resolved
        return resolved

    def handler(self, name: str, function: Callable[..., Any]) -> None:
        """Make a function known under a name, for flows that are loaded from data."""
        self._handlers[name] = function

    @property
    def handlers(self) -> Mapping[str, Callable[..., Any]]:
        """The handlers by name."""
        return MappingProxyType(self._handlers)

    def projection(self, function: Projection) -> None:
        """Have ``function(connection, recorded_facts)`` called inside every commit."""
        self._projections.append(function)

    @property
    def projections(self) -> tuple[Projection, ...]:
        """The projections, in the order they were added."""
        return tuple(self._projections)

    @property
    def flows(self) -> tuple[Flow, ...]:
        """All flows, by name and version."""
        return tuple(self._flows[key] for key in sorted(self._flows))

    def known(self, name: str, version: int) -> Flow | None:
        """The flow of this name and version, or None."""
        return self._flows.get((name, version))

    def latest(self, name: str) -> Flow:
        """The highest version of a flow. Raises ``UnknownName`` with the nearest known name."""
        versions = [flow for (known, _), flow in self._flows.items() if known == name]
        if not versions:
            raise UnknownName("flow", name, {known for known, _ in self._flows})
        return max(versions, key=lambda flow: flow.version)

    def _resolve(self, flow: Flow) -> Flow:
        problems = list(self._unknown_handlers(flow))
        if problems:
            raise FlowError(flow.name, problems)
        if not any(isinstance(p.run, str) or isinstance(p.compensate, str) for p in flow.phases):
            return flow
        return replace(flow, phases=tuple(self._resolved(phase) for phase in flow.phases))

    def _resolved(self, phase: Phase) -> Phase:
        run = self._handlers[phase.run] if isinstance(phase.run, str) else phase.run
        undo = self._handlers[phase.compensate] if isinstance(phase.compensate, str) else phase.compensate
        return replace(phase, run=run, compensate=undo)

    def _unknown_handlers(self, flow: Flow) -> Iterable[str]:
        for phase in flow.phases:
            for name in (phase.run, phase.compensate):
                if isinstance(name, str) and name not in self._handlers:
                    hint = did_you_mean(name, self._handlers)
                    yield f"phase {phase.name!r} names the handler {name!r}, which is not registered" + (
                        f" ({hint})" if hint else ""
                    )
