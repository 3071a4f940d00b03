"""Commands by which a person answers: a gate, or the questions of a phase."""

from __future__ import annotations

from typing import Annotated

import typer

from phasegate.cli import naming
from phasegate.cli.changes import PhaseName, ScopeKeys, report
from phasegate.cli.runs import RunName
from phasegate.cli.session import Session

By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who answers.")]
ANSWERS = "JSON, or @FILE with JSON in it."


def decide(
    session: Session,
    run: RunName,
    gate: Annotated[str, typer.Argument(metavar="GATE", help="The name or the label of the gate.")],
    outcome: Annotated[str, typer.Argument(metavar="OUTCOME", help="One of the gate's outcomes, such as approved.")],
    *,
    by: By,
    role: Annotated[str, typer.Option("--role", metavar="ROLE", help="In which role.")] = "",
    seen: Annotated[
        str | None, typer.Option("--seen", metavar="SHA256", help="Which state of what is shown was seen; see show.")
    ] = None,
    comment: Annotated[str, typer.Option("--comment", metavar="TEXT", help="What to tell the others.")] = "",
    answers: Annotated[str | None, typer.Option("--answers", metavar="JSON|@FILE", help=f"Answers: {ANSWERS}")] = None,
    scope: ScopeKeys = None,
) -> None:
    """Answer a gate."""
    given = naming.parse_answers(answers)
    with session.engine(session.code()) as engine:
        found = naming.find_run(engine, run)
        changed = engine.decide(
            found.id, gate, outcome, by=by, role=role, seen=seen, answers=given, comment=comment,
            scope=tuple(scope or ()),
        )  # fmt: skip
        report(session, changed)


def answer(
    session: Session,
    run: RunName,
    phase: PhaseName,
    by: By,
    answers: Annotated[str, typer.Option("--answers", metavar="JSON|@FILE", help=ANSWERS)],
    scope: ScopeKeys = None,
) -> None:
    """Answer the questions with which a phase parked itself."""
    given = naming.parse_answers(answers)
    with session.engine(session.code()) as engine:
        found = naming.find_run(engine, run)
        report(session, engine.answer(found.id, phase, given, by=by, scope=tuple(scope or ())))
