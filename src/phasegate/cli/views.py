"""A run as the command line shows it: its phases, its attempts, and what it asks of people. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from phasegate.core.flow import Flow
from phasegate.core.report import Entry
from phasegate.core.run import PhaseRun, PhaseStatus, Run, Scope, Vote


@dataclasses.dataclass(frozen=True, slots=True)
class AttemptView:
    """One execution of a phase, or one opening of a gate. ``status`` is ``running`` until it has ended."""

    phase: str
    scope: Scope
    attempt: int
    status: str
    outcome: str | None = None
    error: str | None = None
    message: str | None = None
    worker: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class GateView:
    """A gate that waits. ``shows`` has what the person is to look at, ``seen`` the sha256 to answer with."""

    phase: str
    label: str | None
    title: str
    scope: Scope
    outcomes: tuple[str, ...]
    users: tuple[str, ...]
    roles: tuple[str, ...]
    quorum: int
    due_at: datetime | None
    form: Mapping[str, Any] | None
    shows: dict[str, Any]
    seen: str | None
    votes: tuple[Vote, ...]


def phases(flow: Flow | None, run: Run) -> list[PhaseRun]:
    """Every phase instance in the order of the flow; phases that nothing has happened to are pending."""
    if flow is None:
        return sorted(run.phases.values(), key=lambda instance: (instance.phase, instance.scope))
    untouched = [run.at(name) for name in flow.order if not flow.levels[name] and (name, ()) not in run.phases]
    last = len(flow.position)
    return sorted(
        [*run.phases.values(), *untouched], key=lambda i: (flow.position.get(i.phase, last), i.phase, i.scope)
    )


def run_data(run: Run) -> dict[str, Any]:
    """A run without its phases."""
    left_out = ("phases", "tally")
    return {f.name: getattr(run, f.name) for f in dataclasses.fields(run) if f.name not in left_out}


def entry_data(entry: Entry) -> dict[str, Any]:
    """A fact as an object: its number, its kind and its fields."""
    fields = {f.name: getattr(entry.fact, f.name) for f in dataclasses.fields(entry.fact)}
    return {"seq": entry.seq, "kind": entry.fact.kind, **fields}


def attempts(history: Iterable[Entry]) -> list[AttemptView]:
    """The attempts that a run's facts tell of, in the order in which they began."""
    found: dict[tuple[str, Scope, int], AttemptView] = {}
    for fact in (entry.fact for entry in history):
        number = getattr(fact, "attempt", None)
        if number is None:
            continue
        phase, scope = getattr(fact, "phase", ""), getattr(fact, "scope", ())
        key = (phase, scope, number)
        known = found.get(key) or AttemptView(phase, scope, number, "running", started_at=fact.at)
        found[key] = dataclasses.replace(known, **_told(fact))
    return list(found.values())


def _told(fact: Any) -> dict[str, Any]:
    """What a fact of an attempt says about it."""
    if fact.kind == "attempt.started":
        return {"worker": fact.worker or None}
    if fact.kind == "gate.opened":
        return {"status": "waiting"}
    if fact.kind == "questions.answered":
        return {}
    ended = {"status": fact.kind.partition(".")[2], "finished_at": fact.at}
    named = {name: getattr(fact, name, None) or None for name in ("outcome", "error", "message")}
    named["message"] = named["message"] or getattr(fact, "reason", None) or None
    if fact.kind == "gate.settled":
        ended["status"] = "succeeded"
        named["message"] = f"by {fact.by}" if fact.by else None
    return {**ended, **named}


def open_gates(flow: Flow | None, run: Run, outputs: Mapping[str, Any]) -> list[GateView]:
    """The gates that wait for a decision now."""
    if flow is None:
        return []
    waiting = [i for i in phases(flow, run) if i.status is PhaseStatus.WAITING and i.phase in flow.by_name]
    return [_gate(flow, instance, outputs) for instance in waiting if flow.by_name[instance.phase].gate]


def _gate(flow: Flow, instance: PhaseRun, outputs: Mapping[str, Any]) -> GateView:
    phase = flow.by_name[instance.phase]
    gate = phase.gate
    assert gate is not None  # the caller picked gates
    shows = {name: _shown(flow, instance, name, outputs) for name in gate.shows}
    return GateView(
        phase.name, phase.label, phase.title, instance.scope, gate.outcomes, gate.users, gate.roles, gate.quorum,
        instance.due_at, gate.form, shows, instance.shown or None, instance.votes,
    )  # fmt: skip


def _shown(flow: Flow, gate: PhaseRun, name: str, outputs: Mapping[str, Any]) -> Any:
    """The output of ``name`` as the gate shows it: of the same item, of the item around it, or of all items inside."""
    value = outputs.get(name)
    depth = len(flow.levels[name])
    if not depth or not isinstance(value, Mapping):
        return value
    shared = flow.shared(gate.phase, name)
    here = "/".join(gate.scope[:shared])
    if shared == depth:
        return value.get(here)
    return {place: each for place, each in value.items() if not here or place.startswith(here + "/")}


def questions(instances: Sequence[PhaseRun]) -> list[dict[str, Any]]:
    """What phases have asked and nobody has answered yet."""
    return [{"phase": i.phase, "scope": i.scope, "questions": i.questions} for i in instances if i.asked]
