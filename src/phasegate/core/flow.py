"""What a flow is: a named, versioned list of phases, as data.

A flow can be drawn, checked and planned without running anything. It checks itself when it is built and reports every
mistake at once. Nothing here knows of runs, clocks or databases.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from phasegate.core.quota import Quota
from phasegate.core.runs_on import runs_on_problems
from phasegate.errors import FlowError, UnknownName, did_you_mean

#: A phase function, or the name under which a registry knows one (flows loaded from JSON).
Handler = Callable[..., Any] | str

#: Prefix of the implicit phase that undoes another one.
UNDO = "undo:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often and when a failed attempt is repeated.

    ``attempts`` counts all of them, the first included. The n-th repetition is due after a random part (full jitter) of
    ``min(cap, base * factor ** (n - 1))`` seconds. ``retry_on`` limits repetition to these exception types, ``fatal_on``
    excludes some. ``losses`` is how many attempts may vanish with their worker before the phase counts as failed: a crash
    is rarely the fault of the phase, but a phase that kills its worker must not do so for ever.
    """

    attempts: int = 1
    base: float = 1.0
    factor: float = 2.0
    cap: float = 300.0
    jitter: bool = True
    losses: int = 10
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    fatal_on: tuple[type[BaseException], ...] = ()

    def delay(self, failures: int, chance: float) -> float:
        """Seconds to wait after this many failures; ``chance`` in [0, 1) picks the jitter."""
        # The exponent is bounded so that a long series of failures cannot overflow a float.
        longest = min(self.cap, self.base * self.factor ** min(failures - 1, 64))
        return longest * chance if self.jitter else longest


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Join ready attempts of one phase, across runs, into one call of at most ``size``, collected for ``within`` seconds."""

    size: int = 500
    within: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A phase whose worker is a person.

    ``form`` is the JSON Schema of the answers; ``users`` and ``roles`` say who may answer (both empty: anyone);
    ``quorum`` equal answers settle the gate; ``deadline`` is in seconds from opening and settles the gate with
    ``default`` (without a default it fails). ``shows`` names the phases whose outputs the person is shown and the decision
    is bound to. An outcome in ``ends`` fails the phase unless a ``redo`` or a ``when`` takes it up.
    """

    form: Mapping[str, Any] | None = None
    outcomes: tuple[str, ...] = ("approved", "rejected")
    users: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    quorum: int = 1
    no_self_approval: bool = False
    deadline: float | None = None
    default: str | None = None
    shows: tuple[str, ...] = ()
    ends: tuple[str, ...] = ("rejected",)


@dataclass(frozen=True, slots=True)
class Phase:
    """One unit of work.

    ``name`` is its identity, ``label`` what people call it (``1.1``). ``run`` is the function; a gate has ``gate`` instead.
    ``needs`` names the phases that must settle first; ``after`` those it waits for only when the run aims at them too;
    ``each`` repeats the phase once per item of that phase's output;
    ``when`` maps a phase above to the outcome words that let this one run (otherwise it is skipped); ``redo`` maps an own
    outcome to the phase that is reset, with everything downstream of it, at most ``rounds`` times. ``timeout``,
    ``silence`` (how long the function may go without a heartbeat) and ``expects`` are seconds. ``quotas`` bound how many
    attempts may be under way, or begin in a time, over all workers.
    ``compensate`` undoes the phase when the run fails or is cancelled later. ``transactional``
    gives the function a session whose transaction also records the completion. ``reports_failure`` says that a returned
    mapping such as ``{"status": "failed"}`` or ``{"error": ...}`` is a failure. ``runs_on="ray"`` has the function executed
    as a task on a Ray cluster; ``resources`` is what a task asks for there: ``num_cpus`` (1 if not given), ``num_gpus``,
    ``memory`` in bytes, or resources of the cluster's own by name.
    """

    name: str
    run: Handler | None = None
    label: str | None = None
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    each: str | None = None
    when: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    redo: Mapping[str, str] = field(default_factory=dict)
    rounds: int = 3
    retry: Retry = Retry()
    timeout: float | None = None
    silence: float | None = None
    batch: Batch | None = None
    quotas: tuple[Quota, ...] = ()
    gate: Gate | None = None
    compensate: Handler | None = None
    transactional: bool = False
    reports_failure: bool = False
    title: str = ""
    description: str = ""
    expects: float | None = None
    runs_on: str | None = None
    resources: Mapping[str, float] = field(default_factory=dict)

    @property
    def above(self) -> tuple[str, ...]:
        """Every phase this one waits for: what it requires, and what it comes after."""
        return tuple(dict.fromkeys((*self.required, *self.after)))

    @property
    def required(self) -> tuple[str, ...]:
        """What it cannot do without: its needs, what it repeats over, what its conditions ask about, what it shows."""
        shown = self.gate.shows if self.gate else ()
        each = (self.each,) if self.each else ()
        return tuple(dict.fromkeys((*each, *self.needs, *self.when, *shown)))

    def words(self, name: str) -> tuple[str, ...]:
        """The outcomes of phase ``name`` that let this phase run."""
        accepted = self.when[name]
        return (accepted,) if isinstance(accepted, str) else tuple(accepted)


@dataclass(frozen=True)
class Flow:
    """A named, versioned list of phases. Raises ``FlowError`` with every problem when it is wrong."""

    name: str
    version: int
    phases: tuple[Phase, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "phases", tuple(self.phases))
        problems = list(_problems(self))
        if problems:
            raise FlowError(self.name, problems)

    @cached_property
    def by_name(self) -> dict[str, Phase]:
        """Phases by name, the implicit undo phases included."""
        undo = {UNDO + p.name: Phase(UNDO + p.name, p.compensate, retry=p.retry, timeout=p.timeout)
                for p in self.phases if p.compensate}  # fmt: skip
        return {phase.name: phase for phase in self.phases} | undo

    def phase(self, name: str) -> Phase:
        """The phase called ``name`` or labelled so; raises ``UnknownName`` with the nearest known name."""
        found = self.by_name.get(name) or next((p for p in self.phases if p.label == name), None)
        if found is None:
            raise UnknownName("phase", name, [p.name for p in self.phases])
        return found

    @cached_property
    def above(self) -> dict[str, tuple[str, ...]]:
        """For each phase everything directly above it; to undo a phase one may use what it used, and what it gave."""
        above = {phase.name: phase.above for phase in self.phases}
        return above | {UNDO + p.name: (*p.above, p.name) for p in self.phases if p.compensate}

    @cached_property
    def levels(self) -> dict[str, tuple[str, ...]]:
        """For each phase the phases it repeats over, outermost first; as long as its scopes."""
        levels: dict[str, tuple[str, ...]] = {}
        for name in self.order:
            source = self.by_name[name].each
            levels[name] = (*levels[source], source) if source else ()
        for phase in self.phases:
            if phase.compensate:
                levels[UNDO + phase.name] = levels[phase.name]
        return levels

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Phase names such that each stands after everything above it; ties keep the order of writing."""
        return _topological({p.name: p.above for p in self.phases})

    @cached_property
    def position(self) -> dict[str, int]:
        """Where each phase stands in ``order``; the implicit undo phases come last."""
        return {name: index for index, name in enumerate(self.levels)}

    @cached_property
    def dependents(self) -> dict[str, tuple[str, ...]]:
        """For each phase those that wait for it directly, in topological order."""
        below: dict[str, list[str]] = {name: [] for name in self.by_name}
        for name in self.order:
            for source in self.by_name[name].above:
                below[source].append(name)
        return {name: tuple(names) for name, names in below.items()}

    def downstream(self, name: str) -> tuple[str, ...]:
        """Everything that waits for a phase, directly or not, in topological order."""
        reached = _reach(self.dependents, self.dependents[name])
        return tuple(sorted(reached, key=self.position.__getitem__))

    @cached_property
    def repeated_over(self) -> dict[str, tuple[str, ...]]:
        """For each phase that others repeat over, all of them, at whatever depth."""
        return {
            source.name: tuple(n for n in self.order if source.name in self.levels[n])
            for source in self.phases
            if any(p.each == source.name for p in self.phases)
        }

    @cached_property
    def handled(self) -> frozenset[tuple[str, str]]:
        """Pairs (phase, outcome) that some ``when`` below takes up."""
        return frozenset((name, word) for p in self.phases for name in p.when for word in p.words(name))

    @cached_property
    def shown_by(self) -> dict[str, tuple[str, ...]]:
        """For each phase the gates that show its output."""
        shown: dict[str, list[str]] = {}
        for phase in self.phases:
            for name in phase.gate.shows if phase.gate else ():
                shown.setdefault(name, []).append(phase.name)
        return {name: tuple(gates) for name, gates in shown.items()}

    def shared(self, one: str, other: str) -> int:
        """How many levels of iteration two phases have in common."""
        count, ours, theirs = 0, self.levels[one], self.levels[other]
        if not ours or not theirs:
            return 0  # asked for every fact of every run
        for left, right in zip(ours, theirs, strict=False):
            if left != right:
                break
            count += 1
        return count


def _problems(flow: Flow) -> Iterable[str]:
    """Everything wrong with a flow, one sentence each; structure first, since later checks build on it."""
    names = [phase.name for phase in flow.phases]
    if not flow.name:
        yield "it has no name"
    if flow.version < 1:
        yield f"its version must be 1 or more, not {flow.version}"
    if not flow.phases:
        yield "it has no phases"
    yield from (f"phase {name!r} appears twice" for name, times in Counter(names).items() if times > 1)
    unknown = list(_unknown_names(flow, names))
    yield from unknown
    for phase in flow.phases:
        yield from _phase_problems(phase)
    if unknown:
        return
    ring = _ring({p.name: p.above for p in flow.phases})
    if ring:
        yield "phases wait for each other in a ring: " + " -> ".join(ring)
    elif len(set(names)) == len(names):
        yield from _placement_problems(flow)


def _unknown_names(flow: Flow, names: list[str]) -> Iterable[str]:
    known = frozenset(names)
    for phase in flow.phases:
        for role, used in (
            ("needs", phase.needs),
            ("comes after", phase.after),
            ("repeats over", (phase.each,) if phase.each else ()),
            ("has a condition on", tuple(phase.when)),
            ("goes back to", tuple(phase.redo.values())),
            ("shows", phase.gate.shows if phase.gate else ()),
        ):
            for name in used:
                if name not in known:
                    hint = did_you_mean(name, names)
                    yield f"phase {phase.name!r} {role} {name!r}, which does not exist" + (f" ({hint})" if hint else "")


def _phase_problems(phase: Phase) -> Iterable[str]:
    said = f"phase {phase.name!r}"
    if not phase.name or phase.name.startswith(UNDO) or any(c.isspace() for c in phase.name):
        yield f"{said}: a name is not empty, has no spaces and does not begin with {UNDO!r}"
    if (phase.run is None) == (phase.gate is None):
        yield f"{said} must have either a function (run) or a gate"
    if phase.timeout is not None and phase.timeout <= 0:
        yield f"{said}: timeout must be more than 0 seconds"
    if phase.silence is not None and phase.silence <= 0:
        yield f"{said}: silence must be more than 0 seconds"
    if phase.retry.attempts < 1:
        yield f"{said}: retry.attempts counts the first attempt, so it is 1 or more"
    if phase.batch and phase.batch.size < 1:
        yield f"{said}: batch.size must be 1 or more"
    yield from (f"{said}: {problem}" for quota in phase.quotas for problem in quota.problems())
    if phase.batch and phase.transactional:
        yield f"{said} cannot be both batched and transactional"
    if phase.transactional and inspect.iscoroutinefunction(phase.run):
        yield f"{said} is transactional: its function must be a plain def, it runs inside the commit"
    if phase.redo and phase.rounds < 1:
        yield f"{said}: rounds must be 1 or more when there is a redo"
    yield from runs_on_problems(said, phase)
    if phase.gate:
        yield from _gate_problems(said, phase, phase.gate)


def _gate_problems(said: str, phase: Phase, gate: Gate) -> Iterable[str]:
    if phase.batch or phase.transactional or phase.timeout or phase.silence or phase.compensate or phase.quotas:
        yield f"{said} is a gate: batch, quotas, transactional, timeout, silence and compensate are for functions"
    if gate.quorum < 1:
        yield f"{said}: quorum must be 1 or more"
    if gate.deadline is not None and gate.deadline <= 0:
        yield f"{said}: deadline must be more than 0 seconds"
    if gate.default is not None and gate.default not in gate.outcomes:
        yield f"{said}: the default {gate.default!r} is not among its outcomes"
    yield from (f"{said}: redo on {w!r}, not among its outcomes" for w in phase.redo if w not in gate.outcomes)


def _placement_problems(flow: Flow) -> Iterable[str]:
    """Where phases stand to each other: conditions and shows look upward, redo goes back within shared iterations."""
    for phase in flow.phases:
        others = (*phase.needs, *((phase.each,) if phase.each else ()))
        for name in phase.when:
            if not _stands_above(flow, name, others):
                yield f"phase {phase.name!r} has a condition on {name!r}, which is not above it"
        for target in phase.redo.values():
            if target != phase.name and not _stands_above(flow, target, phase.above):
                yield f"phase {phase.name!r} goes back to {target!r}, which is not above it"
            elif flow.shared(phase.name, target) < len(flow.levels[target]):
                yield f"phase {phase.name!r} goes back to {target!r}, which repeats in an iteration {phase.name!r} is not in"


def _stands_above(flow: Flow, name: str, start: Iterable[str]) -> bool:
    """Whether a phase is among some phases, or above one of them. What comes before it in topological order is not looked at."""
    position, first = flow.position, flow.position[name]
    later = {each for each in start if position[each] >= first}
    todo = list(later)
    while todo and name not in later:
        above = {each for each in flow.above[todo.pop()] if position[each] >= first} - later
        later |= above
        todo.extend(above)
    return name in later


def _reach(edges: Mapping[str, Iterable[str]], start: Iterable[str]) -> set[str]:
    """What is reached from some phases along these edges, they included."""
    reached: set[str] = set()
    todo = list(start)
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo.extend(edges[name])
    return reached


def _topological(above: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    waiting = {name: len(set(sources)) for name, sources in above.items()}
    below: dict[str, list[str]] = {name: [] for name in above}
    for name, sources in above.items():
        for source in set(sources):
            below[source].append(name)
    position = {name: index for index, name in enumerate(above)}
    free = [name for name in above if not waiting[name]]
    order: list[str] = []
    while free:
        free.sort(key=position.__getitem__)
        name = free.pop(0)
        order.append(name)
        for dependent in below[name]:
            waiting[dependent] -= 1
            if not waiting[dependent]:
                free.append(dependent)
    return tuple(order)


def _ring(above: Mapping[str, tuple[str, ...]]) -> list[str]:
    """One ring of phases that wait for each other, or nothing."""
    stuck = set(above) - set(_topological(above))
    if not stuck:
        return []
    path: list[str] = []
    name = next(n for n in above if n in stuck and any(s in stuck for s in above[n]))
    while name not in path:
        path.append(name)
        name = next(source for source in above[name] if source in stuck)
    return [*path[path.index(name) :], name]
