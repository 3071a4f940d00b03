"""Commands that move one run: try again, do again, go on without, stop, go on, end."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from phasegate.cli import naming, views
from phasegate.cli.runs import RunName
from phasegate.cli.session import Session
from phasegate.core.run import Run

PhaseName = Annotated[str, typer.Argument(metavar="PHASE", help="The name or the label of a phase.")]
ScopeKeys = Annotated[
    list[str] | None,
    typer.Option("--scope", metavar="KEY", help="The item, where the phase repeats; once per level, outermost first."),
]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who asks for it; your login name by default.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the history.")]


def retry(
    session: Session,
    run: RunName,
    phase: Annotated[str | None, typer.Argument(metavar="[PHASE]", help="Only this phase.")] = None,
    by: By = None,
) -> None:
    """Try again, at once, what failed in a run."""
    with session.engine(session.code()) as engine:
        found = naming.find_run(engine, run)
        report(session, engine.retry(found.id, phase, by=who(by)))


def reset(
    session: Session, run: RunName, phase: PhaseName, scope: ScopeKeys = None, reason: Reason = "", by: By = None
) -> None:
    """Do a phase, and everything downstream of it, again."""
    with session.engine(session.code()) as engine:
        found = naming.find_run(engine, run)
        report(session, engine.reset(found.id, phase, scope=tuple(scope or ()), reason=reason, by=who(by)))


def skip(
    session: Session, run: RunName, phase: PhaseName, scope: ScopeKeys = None, reason: Reason = "", by: By = None
) -> None:
    """Go on without a phase."""
    with session.engine(session.code()) as engine:
        found = naming.find_run(engine, run)
        report(session, engine.skip(found.id, phase, scope=tuple(scope or ()), reason=reason, by=who(by)))


def pause(session: Session, run: RunName, reason: Reason = "", by: By = None) -> None:
    """Stop a run for now."""
    with session.engine(session.code()) as engine:
        report(session, engine.pause(naming.find_run(engine, run).id, reason=reason, by=who(by)))


def resume(session: Session, run: RunName, by: By = None) -> None:
    """Let a paused run go on."""
    with session.engine(session.code()) as engine:
        report(session, engine.resume(naming.find_run(engine, run).id, by=who(by)))


def cancel(session: Session, run: RunName, reason: Reason = "", by: By = None) -> None:
    """End a run; what can be undone is undone first."""
    with session.engine(session.code()) as engine:
        report(session, engine.cancel(naming.find_run(engine, run).id, reason=reason, by=who(by)))


def who(by: str | None) -> str:
    """The name given, or the one under which the person is logged in; nothing when the system knows none."""
    if by is not None:
        return by
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without an entry, as in some containers
        return ""


def report(session: Session, run: Run) -> None:
    """Answer with how the run stands after a change."""
    ending = f", ending as {run.ending.value}" if run.ending and not run.finished else ""
    session.answer({"run": views.run_data(run)}, f"run {run.id}  {run.subject}  is {run.status.value}{ending}")
