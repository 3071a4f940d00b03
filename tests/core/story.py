"""Telling a run's story in a few words: what the directed tests share."""

from __future__ import annotations

from phasegate.core import commands
from phasegate.core import facts as f
from phasegate.core.commands import Decision
from phasegate.core.flow import Flow, Gate, Phase
from phasegate.core.run import PhaseRun, PhaseStatus, RunStatus, Scope
from tests.core.strategies import History, begun, work


def flow(*phases: Phase) -> Flow:
    return Flow("story", 1, phases)


def tell(*phases: Phase, aim: frozenset[str] | None = None, by: str = "") -> History:
    """A run of these phases, just started."""
    return begun(flow(*phases), aim, by)


def step(name: str, *needs: str, **options: object) -> Phase:
    """A phase with a function."""
    return Phase(name, work, needs=needs, **options)  # type: ignore[arg-type]


def gate(name: str, *needs: str, redo: dict[str, str] | None = None, rounds: int = 3, **options: object) -> Phase:
    """A phase whose worker is a person; the options are the gate's."""
    return Phase(name, needs=needs, gate=Gate(**options), redo=redo or {}, rounds=rounds)  # type: ignore[arg-type]


def at(history: History, name: str, *scope: str) -> PhaseRun:
    return history.run.at(name, scope)


def status(history: History, name: str, *scope: str) -> PhaseStatus:
    return at(history, name, *scope).status


def state(history: History) -> RunStatus:
    """Where the run as a whole stands."""
    return history.run.status


def statuses(history: History) -> dict[str, str]:
    """Status by phase, with the scope behind it: ``{"a": "succeeded", "b/x": "ready"}``."""
    return {"/".join((i.phase, *i.scope)): i.status.value for i in history.run.phases.values()}


def do(
    history: History,
    name: str,
    *scope: str,
    outcome: str = "done",
    items: tuple[str, ...] | None = None,
    sha: str = "0",
) -> None:
    """Start a ready phase and let it succeed."""
    history.start(at(history, name, *scope))
    history.succeed(at(history, name, *scope), outcome, items, sha)


def fail(history: History, name: str, *scope: str, fatal: bool = False, message: str = "boom") -> None:
    """Start a ready phase and let it fail."""
    history.start(at(history, name, *scope))
    attempt = at(history, name, *scope).attempt
    history.record(f.AttemptFailed(history.now, name, scope, attempt, "ValueError", message, fatal))


def lose(history: History, name: str, *scope: str) -> None:
    """Start a ready phase and let its worker vanish."""
    history.start(at(history, name, *scope))
    history.record(f.AttemptLost(history.now, name, scope, at(history, name, *scope).attempt, "the worker vanished"))


def decide(
    history: History, name: str, outcome: str = "approved", *, by: str = "bob", role: str = "",
    seen: str | None = "as shown", scope: Scope = (), comment: str = "",
) -> None:  # fmt: skip
    """Answer a gate, by default having seen what it shows."""
    seen = history.run.at(name, scope).shown if seen == "as shown" else seen
    decision = Decision(outcome=outcome, by=by, role=role, seen=seen, comment=comment)
    history.record(*commands.decide(history.flow, history.run, history.now, (name, scope), decision))


def command(history: History, name: str, *arguments: object, **options: object) -> None:
    """Give a command by its name, with the flow where it wants one."""
    takes_flow = name in ("aim", "retry", "reset", "skip")
    given = (history.flow, history.run, history.now) if takes_flow else (history.run, history.now)
    history.record(*getattr(commands, name)(*given, *arguments, **options))


def kinds(history: History, since: int = 0) -> list[str]:
    """The kinds of the facts recorded, from one on."""
    return [fact.kind for fact in history.log[since:]]


def names(history: History, kind: str, since: int = 0) -> list[str]:
    """The phases, with their scopes, that facts of this kind speak of."""
    return ["/".join((fact.phase, *fact.scope)) for fact in history.log[since:] if fact.kind == kind]  # type: ignore[union-attr]
