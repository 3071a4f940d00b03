"""Random flows, and random histories played on them.

Every phase and every move is read off one number by rolling dice, so that drawing is fast and hypothesis shrinks towards
plain phases and plain moves. A history drives the real planner with the real commands: what a command refuses is part of
the game, what the transition tables refuse is a defect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from hypothesis import strategies as st

from phasegate.core import commands
from phasegate.core import facts as f
from phasegate.core.commands import Decision
from phasegate.core.flow import UNDO, Flow, Gate, Phase, Retry
from phasegate.core.planner import advance, scopes
from phasegate.core.run import Instance, PhaseRun, PhaseStatus, Run, RunStatus, Subject
from phasegate.errors import NeedsNotMet, Stale, UsageError

T = TypeVar("T")

START = datetime(2030, 1, 1, tzinfo=UTC)
PEOPLE = ("ann", "bob", "cat")
#: A low and a high half.
Number = tuple[int, int]
# Of wider ranges hypothesis mostly draws small numbers, and the later rolls of a small number are all 0.
_EVEN = st.integers(0, (1 << 24) - 1)


def work(_ctx: object) -> None:
    """Stands for a phase function; the planner never calls one."""


class Dice:
    """Choices read off one number; 0 is always the plainest."""

    def __init__(self, number: Number) -> None:
        self._left = number[0] + (number[1] << 24)

    def roll(self, sides: int) -> int:
        self._left, face = divmod(self._left, sides)
        return face

    def one_in(self, sides: int) -> bool:
        return self.roll(sides) == sides - 1

    def pick(self, options: Sequence[T]) -> T:
        return options[self.roll(len(options))]


# --- flows ----------------------------------------------------------------------------------------------------------


def flows(max_phases: int = 7) -> st.SearchStrategy[Flow]:
    """Valid flows of 1 to ``max_phases`` phases: needs, each (nested), when, redo, gates, retries, undoing."""
    return numbers(1, max_phases).map(build_flow)


def numbers(least: int, most: int) -> st.SearchStrategy[list[Number]]:
    """Lists of numbers, of every length alike: left alone, hypothesis prefers lists too short to get anywhere."""
    number = st.tuples(_EVEN, _EVEN)
    return st.integers(least, most).flatmap(lambda size: st.lists(number, min_size=size, max_size=size))


def build_flow(numbers: Sequence[Number]) -> Flow:
    """The flow these numbers stand for."""
    phases: list[Phase] = []
    for index, number in enumerate(numbers):
        phases.append(_phase(f"p{index}", Dice(number), phases))
    return Flow("random", 1, tuple(phases))


def _phase(name: str, dice: Dice, above: list[Phase]) -> Phase:
    names = [phase.name for phase in above]
    # The later a phase, the likelier it hangs on its neighbour: long chains and deep nesting are where mistakes hide.
    each = dice.pick([None, None, *reversed(names)]) if names else None
    needs = tuple(dict.fromkeys(dice.pick(names[::-1]) for _ in range(dice.roll(3)))) if names else ()
    reach = _reach(above, [*needs, *([each] if each else [])])
    when = {dice.pick(reach): dice.pick(WORDS)} if reach and dice.one_in(4) else {}
    after = (dice.pick(names),) if names and dice.one_in(5) else ()
    if dice.one_in(4):
        gate = _gate(dice, names)
        redo = {"rejected": name} if dice.one_in(3) else {}
        plain = Phase(
            name, needs=needs, after=after, each=each, when=when, gate=gate, redo=redo, rounds=1 + dice.roll(2)
        )
    else:
        redo = {dice.pick(["again", "failed"]): name} if dice.one_in(4) else {}
        plain = Phase(
            name, work, needs=needs, after=after, each=each, when=when, redo=redo, rounds=1 + dice.roll(2),
            retry=Retry(attempts=1 + dice.roll(3), base=5.0, losses=dice.roll(3)),
            compensate=work if dice.one_in(3) else None,
        )  # fmt: skip
    return _sent_back(plain, dice, above) if redo else plain


WORDS: tuple[str | tuple[str, ...], ...] = (("done", "approved"), "failed", "skipped", "alt", ("rejected", "failed"))


def _gate(dice: Dice, names: list[str]) -> Gate:
    shows = tuple(dict.fromkeys(dice.pick(names[::-1]) for _ in range(dice.roll(2)))) if names else ()
    deadline = dice.pick([None, 10.0])
    default = dice.pick([None, "approved", "rejected"]) if deadline else None
    return Gate(quorum=1 + dice.roll(2), deadline=deadline, default=default, shows=shows)


def _reach(above: list[Phase], start: list[str]) -> list[str]:
    by_name, reached, todo = {phase.name: phase for phase in above}, dict[str, None](), list(start)
    while todo:
        name = todo.pop()
        if name not in reached:
            reached[name] = None
            todo.extend(by_name[name].above)
    return list(reached)


def _sent_back(phase: Phase, dice: Dice, above: list[Phase]) -> Phase:
    """The phase, going back to itself or to something above it within the iterations both are in."""
    flow = Flow("part", 1, (*above, phase))
    fitting = [n for n in _reach(above, list(phase.above)) if flow.shared(phase.name, n) == len(flow.levels[n])]
    redo = dict.fromkeys(phase.redo, dice.pick([phase.name, *fitting]))
    return Phase(**{name: getattr(phase, name) for name in Phase.__dataclass_fields__} | {"redo": redo})


# --- histories ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One call of ``advance``: what went in and what came out."""

    before: Run | None
    now: datetime
    given: tuple[f.Fact, ...]
    facts: tuple[f.Fact, ...]
    after: Run


@dataclass
class History:
    """A run being played with: every step taken, and every request refused."""

    flow: Flow
    now: datetime = START
    steps: list[Step] = field(default_factory=list)
    refused: list[Exception] = field(default_factory=list)

    @property
    def run(self) -> Run:
        return self.steps[-1].after

    @property
    def log(self) -> list[f.Fact]:
        return [fact for step in self.steps for fact in step.facts]

    def record(self, *given: f.Fact) -> None:
        before = self.steps[-1].after if self.steps else None
        after, facts = advance(self.flow, before, self.now, *given)
        self.steps.append(Step(before, self.now, given, facts, after))

    def instances(self, *statuses: PhaseStatus) -> list[PhaseRun]:
        return [i for i in self.run.phases.values() if i.status in statuses]

    def start(self, instance: PhaseRun) -> None:
        self.record(f.AttemptStarted(self.now, instance.phase, instance.scope, instance.attempt + 1, "worker"))

    def succeed(
        self, instance: PhaseRun, outcome: str = "done", items: tuple[str, ...] | None = None, sha256: str = "0"
    ) -> None:
        self.record(
            f.AttemptSucceeded(
                self.now, instance.phase, instance.scope, instance.attempt, outcome, sha256=sha256, items=items
            )
        )

    def decide(self, key: Instance, decision: Decision) -> None:
        self.record(*commands.decide(self.flow, self.run, self.now, key, decision))

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.record()


def begun(flow: Flow, aim: frozenset[str] | None = None, by: str = "", run_id: str = "run-1") -> History:
    """A history whose run has just been started."""
    history = History(flow)
    subject = Subject("company", "acme")
    history.record(f.RunStarted(START, run_id, "default", flow.name, flow.version, subject, aim=aim, by=by))
    return history


def histories(max_phases: int = 7, max_moves: int = 60) -> st.SearchStrategy[History]:
    """Random histories of random flows."""
    return st.builds(play, flows(max_phases), numbers(0, max_moves))


def play(flow: Flow, moves: Sequence[Number]) -> History:
    """The history these numbers stand for."""
    history = begun(flow, by="ann")
    for number in moves:
        dice = Dice(number)
        move = dice.pick(_MOVES)
        try:
            move(history, dice)
        except (UsageError, Stale) as refused:
            history.refused.append(refused)
    return history


def finish(history: History, limit: int = 400) -> None:
    """Do whatever can be done, everything going well, until the run has ended or waits for nothing that comes."""
    for _ in range(limit):
        if history.run.finished:
            return
        # Of a run that is ending only what undoes something is still going on.
        ending = history.run.ending is not None
        waiting = [i for i in history.instances(PhaseStatus.WAITING) if is_undo(i.phase) or not ending]
        if history.run.status is RunStatus.PAUSED:
            history.record(*commands.resume(history.run, history.now))
        elif running := history.instances(PhaseStatus.RUNNING):
            items = ("a", "b") if running[0].phase in history.flow.repeated_over else None
            history.succeed(running[0], items=items)
        elif ready := history.instances(PhaseStatus.READY):
            history.start(ready[0])
        elif open_gates := [i for i in waiting if _gate_of(history, i)]:
            gate = open_gates[0]
            voters = [who for who in PEOPLE if who not in {vote.by for vote in gate.votes}]
            history.decide(
                (gate.phase, gate.scope), Decision(outcome="approved", by=(voters or PEOPLE)[0], seen=gate.shown)
            )
        elif asked := [i for i in waiting if i.asked]:
            history.record(*commands.answer(history.run, history.now, (asked[0].phase, asked[0].scope), {}))
        else:
            history.wait(3600)


def _gate_of(history: History, instance: PhaseRun) -> Gate | None:
    return history.flow.by_name[instance.phase].gate


def _work(history: History, dice: Dice) -> None:
    """Start something or end something: most of what happens to a run."""
    running, ready = history.instances(PhaseStatus.RUNNING), history.instances(PhaseStatus.READY)
    if history.run.status is RunStatus.PAUSED and dice.roll(4):
        _resume(history, dice)
    elif running and (not ready or dice.roll(2)):
        _end(history, dice, dice.pick(running))
    elif ready:
        history.start(dice.pick(ready))
    else:
        history.wait(dice.pick([10.0, 60.0, 3600.0]))


def _end(history: History, dice: Dice, instance: PhaseRun, late: int = 0) -> None:
    key, attempt, now = (instance.phase, instance.scope), instance.attempt - late, history.now
    items = dice.pick([("a", "b"), ("a",), (), ("b", "c"), None]) if key[0] in history.flow.repeated_over else None
    endings: list[f.Fact] = [
        f.AttemptSucceeded(now, *key, attempt, "done", dice.pick(["1", "2", None]), items),
        f.AttemptSucceeded(now, *key, attempt, dice.pick(["done", "again", "alt"]), "3", items),
        f.AttemptFailed(now, *key, attempt, "ValueError", "boom", fatal=dice.one_in(3)),
        f.AttemptLost(now, *key, attempt, "the worker vanished"),
        f.AttemptSnoozed(now, *key, attempt, now + timedelta(seconds=30), "later"),
        f.AttemptAsked(now, *key, attempt, ("why?",)),
        f.AttemptSkipped(now, *key, attempt, "nothing to do"),
        f.AttemptStopped(now, *key, attempt, "handed back"),
    ]
    history.record(endings[dice.pick([0, 0, 0, 1, 1, 2, 2, 3, 4, 5, 6, 7])])


def _end_late(history: History, dice: Dice) -> None:
    begun_ones = [i for i in history.run.phases.values() if i.attempt]
    if begun_ones:
        _end(history, dice, dice.pick(begun_ones), late=dice.pick([1, 0]))


def _decide(history: History, dice: Dice) -> None:
    gates = [phase for phase in history.flow.phases if phase.gate]
    if not gates:
        _work(history, dice)
        return
    waiting = [i for i in history.instances(PhaseStatus.WAITING) if _gate_of(history, i)]
    key = (waiting[0].phase, waiting[0].scope) if waiting and dice.roll(3) else _some_instance(history, dice, gates)
    shown = history.run.at(*key).shown
    seen = dice.pick([shown, shown, shown, None, "something else"])
    history.decide(key, Decision(outcome=dice.pick(["approved", "rejected"]), by=dice.pick(PEOPLE), seen=seen))


def _some_instance(history: History, dice: Dice, phases: Sequence[Phase]) -> Instance:
    """An instance that exists by now, or one that only a mistaken person would name."""
    phase = dice.pick(phases)
    known = [*scopes(history.flow, history.run, phase.name)]
    return phase.name, dice.pick([*known, ("a",) * len(history.flow.levels[phase.name]), ("nobody",)])


def _wait(history: History, dice: Dice) -> None:
    history.wait(dice.pick([5.0, 30.0, 3600.0]))


def _pause(history: History, _dice: Dice) -> None:
    history.record(*commands.pause(history.run, history.now, by="ann"))


def _resume(history: History, _dice: Dice) -> None:
    history.record(*commands.resume(history.run, history.now, by="ann"))


def _cancel(history: History, dice: Dice) -> None:
    if dice.roll(2):
        history.record(*commands.cancel(history.run, history.now, by="ann"))


def _retry(history: History, dice: Dice) -> None:
    phase = dice.pick([None, *(phase.name for phase in history.flow.phases)])
    history.record(*commands.retry(history.flow, history.run, history.now, phase=phase, by="ann"))


def _skip(history: History, dice: Dice) -> None:
    key = _some_instance(history, dice, list(history.flow.by_name.values()))
    history.record(*commands.skip(history.flow, history.run, history.now, key, by="ann"))


def _reset(history: History, dice: Dice) -> None:
    key = _some_instance(history, dice, history.flow.phases)
    history.record(*commands.reset(history.flow, history.run, history.now, key, by="ann"))


def _aim(history: History, dice: Dice) -> None:
    names = {dice.pick(history.flow.order) for _ in range(1 + dice.roll(2))}
    try:
        history.record(*commands.aim(history.flow, history.run, history.now, names, unchecked=dice.one_in(3)))
    except NeedsNotMet as refused:
        history.record(*commands.refuse(history.now, refused.phase, refused.missing, by="ann"))


def _answer(history: History, dice: Dice) -> None:
    waiting = history.instances(PhaseStatus.WAITING)
    if waiting:
        chosen = dice.pick(waiting)
        history.record(*commands.answer(history.run, history.now, (chosen.phase, chosen.scope), "because", by="ann"))


_MOVES = (
    *[_work] * 16, *[_decide] * 6, *[_wait] * 3, *[_answer] * 2, *[_resume] * 2, _pause, _cancel, *[_retry] * 2,
    _skip, _reset, *[_aim] * 2, _end_late,
)  # fmt: skip


def is_undo(name: str) -> bool:
    return name.startswith(UNDO)
