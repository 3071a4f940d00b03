"""Why a run is not moving: a pure answer in full sentences, with reason codes that stay the same.

About the run as a whole, always first:

    finished      the run has succeeded or failed
    cancelled     a person ended the run
    paused        a person stopped the run for now
    ending        the run is to end; what it did is being undone
    unknown_flow  this process has no definition of the run's flow in its version

What holds the run up, in the order of the flow:

    running       a worker is at it
    ready         it may start; no worker has taken it yet
    retry_due     a failed attempt will be repeated
    snoozed       the phase asked to be run again later
    gate_open     a person is asked to decide
    asked         the phase asked questions that nobody has answered
    failed        it failed for good

And what merely waits behind that:

    not_aimed     a phase that is needed, but that the run does not aim at
    item_source   the items that the phase repeats over are not known yet
    needs         phases above it are not settled

Instances of one phase with the same code are one reason: its ``count`` says how many there are, its ``scope`` which is the
first. Only aimed phases that are not settled are explained, and whatever a worker can or does work on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from phasegate.core.flow import UNDO, Flow, Gate
from phasegate.core.opening import excuses
from phasegate.core.run import PhaseRun, PhaseStatus, Run, RunStatus, Scope
from phasegate.core.tally import Tally, count, scopes, settled_below, settles

_BEHIND = ("not_aimed", "item_source", "needs")


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason why a run does not move. ``phase`` is None when it is about the run as a whole.

    ``since`` is when it began, ``due_at`` when it will end by itself, ``hint`` what a person can do about it.
    """

    code: str
    phase: str | None
    scope: Scope
    text: str
    since: datetime | None = None
    due_at: datetime | None = None
    hint: str | None = None
    count: int = 1


def why(flow: Flow | None, run: Run, now: datetime) -> tuple[Reason, ...]:
    """Why the phases of a run are not moving, what blocks first; ``flow`` is None when its version is not registered here.

    Linear in the instances of the run; as many reasons as the flow has phases, not as the run has items.
    """
    whole = tuple(_about_run(flow, run))
    if flow is None or run.status in (RunStatus.SUCCEEDED, RunStatus.CANCELLED):
        return whole
    run = run if run.tally is not None else replace(run, tally=count(flow, run.aim, run.phases))
    found = [reason for group in _groups(flow, run) for reason in group.reasons(now)]
    if run.finished:
        found = [reason for reason in found if reason.code in ("failed", "not_aimed")]
    front = [reason for reason in found if reason.code not in _BEHIND]
    behind = [reason for code in _BEHIND for reason in found if reason.code == code]
    return (*whole, *front, *behind)


def _about_run(flow: Flow | None, run: Run) -> Iterator[Reason]:
    said = f": {run.reason}" if run.reason else ""
    if run.status is RunStatus.CANCELLED:
        hint = "begin anew with engine.start(..., again=True)"
        yield _whole("cancelled", run, f"The run was cancelled{said}.", hint)
    elif run.status is RunStatus.SUCCEEDED:
        yield _whole("finished", run, "The run has succeeded: every phase it aims at is settled.")
    elif run.status is RunStatus.FAILED:
        yield _whole("finished", run, f"The run has failed{said}.", "retry the run, or skip what failed")
    if run.finished:
        return
    if run.status is RunStatus.PAUSED:
        yield _whole("paused", run, f"The run is paused{said}.", "resume the run")
    if run.ending:
        yield _whole("ending", run, f"The run is ending as {run.ending.value}{said}. What it did is being undone.")
    if flow is None:
        text = (
            f"Version {run.version} of flow {run.flow!r} is not registered in this process, so it cannot move the run."
        )
        yield _whole("unknown_flow", run, text, "register this version, or start a worker that has it")


def _whole(code: str, run: Run, text: str, hint: str | None = None) -> Reason:
    return Reason(code, None, (), text, since=run.updated_at, hint=hint)


@dataclass(slots=True)
class _Group:
    """The instances of one phase that wait for the same reason."""

    flow: Flow
    run: Run
    code: str
    first: PhaseRun
    count: int = 0
    total: int = 1
    due_at: datetime | None = None
    names: dict[str, None] = field(default_factory=dict)

    def add(self, instance: PhaseRun, names: list[str]) -> None:
        """Count one more instance, which waits for the phases named."""
        self.count += 1
        self.names.update(dict.fromkeys(names))
        if instance.due_at is not None and (self.due_at is None or instance.due_at < self.due_at):
            self.due_at = instance.due_at

    @property
    def title(self) -> str:
        """The phase at the beginning of a sentence, and for which of its items the sentence holds."""
        name, scope = self.first.phase, "/".join(self.first.scope)
        kind = "Undoing" if name.startswith(UNDO) else "Gate" if self.flow.by_name[name].gate else "Phase"
        label = self.flow.by_name[name].label
        said = f"{kind} {name.removeprefix(UNDO)!r}" + (f" ({label})" if label else "")
        if not scope:
            return said
        return f"{said}, item {scope}," if self.total == 1 else f"{said}, for {self.count} of {self.total} items,"

    def reasons(self, now: datetime) -> Iterator[Reason]:
        """What the group comes to; nothing about phases that somebody else must explain."""
        for text, hint in _SENTENCES[self.code](self, now):
            yield Reason(
                self.code, self.first.phase, self.first.scope, f"{text}.",
                since=self.first.since, due_at=self.due_at, hint=hint, count=self.count,
            )  # fmt: skip


def _groups(flow: Flow, run: Run) -> Iterator[_Group]:
    """What there is to explain, phase by phase in the order of the flow."""
    tally: Tally = run.tally
    missed: dict[str, None] = {}
    names = [name for name in flow.levels if name.startswith(UNDO)] if run.ending and not run.finished else flow.order
    for name in names:
        aimed = run.aim is None or name in run.aim
        if not aimed and not tally.active:
            continue
        if name.startswith(UNDO) or not settled_below(flow, run.phases, tally, name, ()):
            yield from _groups_of(flow, run, name, aimed, missed)
    for name in sorted(missed, key=flow.position.__getitem__):
        yield _Group(flow, run, "not_aimed", PhaseRun(name), 1)


def _groups_of(flow: Flow, run: Run, name: str, aimed: bool, missed: dict[str, None]) -> Iterator[_Group]:
    found: dict[str, _Group] = {}
    total = 0
    for scope in scopes(flow, run.phases, name):
        total += 1
        instance = run.at(name, scope)
        if not aimed and instance.status not in (PhaseStatus.READY, PhaseStatus.RUNNING):
            continue
        code = _code(flow, instance)
        names = _missing(flow, run, name, scope) if code == "needs" else []
        if code == "needs" and not names:
            code = "ready"
        if code is None:
            continue
        if run.aim is not None:
            missed.update(dict.fromkeys(n for n in names if n not in run.aim))
        if code not in found:
            found[code] = _Group(flow, run, code, instance)
        found[code].add(instance, names)
    for group in found.values():
        group.total = total
        yield group
    if aimed and (source := _unknown_items(flow, run, name)):
        yield _Group(flow, run, "item_source", PhaseRun(name), 1, names={source: None})


def _code(flow: Flow, instance: PhaseRun) -> str | None:
    """Why this instance is not settled; None when it is, or when its undoing has not begun."""
    match instance.status:
        case PhaseStatus.RUNNING | PhaseStatus.READY:
            return str(instance.status.value)
        case PhaseStatus.PENDING:
            return None if instance.phase.startswith(UNDO) else "needs"
        case PhaseStatus.WAITING:
            return _waits_for(flow, instance)
        case PhaseStatus.FAILED if not settles(flow, instance):
            return "failed"
    return None


def _waits_for(flow: Flow, instance: PhaseRun) -> str:
    if flow.by_name[instance.phase].gate:
        return "gate_open"
    if instance.asked:
        return "asked"
    return "retry_due" if instance.failures or instance.losses else "snoozed"


def _missing(flow: Flow, run: Run, name: str, scope: Scope) -> list[str]:
    """The phases directly above an instance that it waits for."""
    phase = flow.by_name[name]
    return [
        source
        for source in phase.above
        if not settled_below(flow, run.phases, run.tally, source, scope[: flow.shared(name, source)])
        and not excuses(run, phase, source)
    ]


def _unknown_items(flow: Flow, run: Run, name: str) -> str | None:
    """The outermost phase whose items are not all known, when ``name`` repeats over them."""
    levels = flow.levels[name]
    return next((s for s in levels if not settled_below(flow, run.phases, run.tally, s, ())), None)


# --- sentences ------------------------------------------------------------------------------------------------------

_Said = Iterator[tuple[str, str | None]]


def _running(group: _Group, _now: datetime) -> _Said:
    first = group.first
    yield f"{group.title} is running: attempt {first.attempt}, since {_time(first.started_at)}", None


def _ready(group: _Group, _now: datetime) -> _Said:
    if group.run.status is RunStatus.PAUSED:
        yield f"{group.title} is ready and starts when the run is resumed", None
    else:
        yield f"{group.title} is ready; no worker has taken it yet", "start a worker if none is running"


def _retry_due(group: _Group, now: datetime) -> _Said:
    why_so = f" ({group.first.reason})" if group.first.reason else ""
    yield (
        f"{group.title} is tried again {_when(group.due_at, now)} after attempt {group.first.attempt}{why_so}",
        "retry the run to try at once",
    )


def _snoozed(group: _Group, now: datetime) -> _Said:
    why_so = f" ({group.first.reason})" if group.first.reason else ""
    yield f"{group.title} asked to be run again {_when(group.due_at, now)}{why_so}", "retry the run to wake it at once"


def _gate_open(group: _Group, now: datetime) -> _Said:
    gate = group.flow.by_name[group.first.phase].gate or Gate()
    shows = f" on {' and '.join(map(repr, gate.shows))} (sha256 {group.first.shown})" if gate.shows else ""
    answers = f"; {len(group.first.votes)} of {gate.quorum} answers are in" if gate.quorum > 1 else ""
    ends = f"takes {gate.default!r}" if gate.default else "fails"
    late = f"; it {ends} {_when(group.due_at, now)} if nobody decides" if group.due_at else ""
    yield (
        f"{group.title} waits for {_deciders(gate)} to decide{shows}{answers}{late}",
        f"decide: {' or '.join(gate.outcomes)}, seen={group.first.shown}",
    )


def _deciders(gate: Gate) -> str:
    who = [*gate.users, *(f"somebody in the role {role}" for role in gate.roles)]
    return " or ".join(who) or "somebody"


def _asked(group: _Group, _now: datetime) -> _Said:
    yield f"{group.title} asked questions that nobody has answered", "answer the questions"


def _failed(group: _Group, _now: datetime) -> _Said:
    first = group.first
    after = f" at attempt {first.attempt}" if first.attempt and not group.flow.by_name[first.phase].gate else ""
    yield (
        f"{group.title} failed{after}" + (f": {first.reason}" if first.reason else ""),
        "retry the run, or skip the phase",
    )


def _needs(group: _Group, _now: datetime) -> _Said:
    waits = [_with_progress(group, name) for name in group.names]
    yield f"{group.title} waits for {' and '.join(waits)}", None


def _item_source(group: _Group, _now: datetime) -> _Said:
    waits = _with_progress(group, next(iter(group.names)))
    yield f"{group.title} repeats over the items of {waits}, which is not settled yet", None


def _not_aimed(group: _Group, _now: datetime) -> _Said:
    name = group.first.phase
    yield f"{group.title} is needed, but the run does not aim at it", f"aim the run at {name!r} too"


def _with_progress(group: _Group, source: str) -> str:
    """The name of a phase that is waited for, and of how many items, when it is waited for over several."""
    flow, run, first = group.flow, group.run, group.first
    prefix = first.scope[: flow.shared(first.phase, source)]
    if len(flow.levels[source]) <= len(prefix):
        return repr(source)
    instances = [run.phases.get((source, scope)) for scope in scopes(flow, run.phases, source, prefix)]
    done = sum(instance is not None and settles(flow, instance) for instance in instances)
    return (
        f"{source!r} ({done} of {len(instances)} items)" if instances else f"{source!r} (its items are not known yet)"
    )


def _time(at: datetime | None) -> str:
    return at.isoformat(timespec="seconds") if at else "an unknown time"


def _when(due: datetime | None, now: datetime) -> str:
    if due is None:
        return "some time"
    return f"at {_time(due)}" if due > now else "as soon as a worker comes"


_SENTENCES: dict[str, Callable[[_Group, datetime], _Said]] = {
    "running": _running,
    "ready": _ready,
    "retry_due": _retry_due,
    "snoozed": _snoozed,
    "gate_open": _gate_open,
    "asked": _asked,
    "failed": _failed,
    "needs": _needs,
    "item_source": _item_source,
    "not_aimed": _not_aimed,
}
