"""Commands by which a person decides: accept, reject, answer."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from phasegate.apps.documents import projects
from phasegate.apps.documents.cli.common import (
    By,
    Models,
    Priced,
    Project,
    Replayed,
    Stay,
    WorkflowName,
    opened,
    report,
    work,
)
from phasegate.apps.documents.errors import AcceptanceError
from phasegate.apps.documents.projects import Verdict, Waiting
from phasegate.cli import naming
from phasegate.cli.session import Session
from phasegate.errors import InputError

Named = Annotated[
    str | None,
    typer.Argument(
        metavar="[DOCUMENT]",
        help="Which document, such as talk_list or 'talk_list[track=t1]'; else, with --seen, the only one that waits.",
    ),
]
Role = Annotated[str, typer.Option("--role", metavar="ROLE", help="In which role.")]
Seen = Annotated[
    str | None, typer.Option("--seen", metavar="SHA256", help="Which state of the document was seen; show tells it.")
]


def accept(
    session: Session,
    project: Project,
    document: Named = None,
    *,
    by: By,
    role: Role = "",
    comment: Annotated[str, typer.Option("--comment", metavar="TEXT", help="What to tell the others.")] = "",
    seen: Seen = None,
    workflow: WorkflowName = None,
    stay: Stay = False,
    model: Models = None,
    replay: Replayed = None,
    prices: Priced = None,
) -> None:
    """Accept a document, and go on."""
    verdict = Verdict(True, by=by, role=role, comment=comment, seen=seen)
    models = tuple(model or ())
    _decide(
        session, project, document, verdict, workflow=workflow, stay=stay, models=models, replay=replay, prices=prices
    )


def reject(
    session: Session,
    project: Project,
    document: Named = None,
    *,
    by: By,
    comment: Annotated[str, typer.Option("--comment", metavar="TEXT", help="Why not; a revision is told.")],
    role: Role = "",
    seen: Seen = None,
    workflow: WorkflowName = None,
    stay: Stay = False,
    model: Models = None,
    replay: Replayed = None,
    prices: Priced = None,
) -> None:
    """Reject a document: the project fails, or the document is revised, as its definition says."""
    verdict = Verdict(False, by=by, role=role, comment=comment, seen=seen)
    models = tuple(model or ())
    _decide(
        session, project, document, verdict, workflow=workflow, stay=stay, models=models, replay=replay, prices=prices
    )


def _decide(
    session: Session, project: str, document: str | None, verdict: Verdict, *, workflow: str | None, stay: bool,
    **given: Any,
) -> None:  # fmt: skip
    with opened(session, project, workflow, stay=stay, **given) as (engine, run):
        here = _meant(projects.waiting(run, projects.workflow_of(run)), document, verdict.seen)
        decided = projects.decide(engine, run, here, verdict)
        report(session, engine, decided if stay else work(engine, decided, quiet=session.json), stay=stay)


def _meant(waiting: list[Waiting], document: str | None, seen: str | None) -> Waiting:
    """The one to decide on. One that is not named must be the only one, and have been seen: nobody should decide on what
    happens to be the first by now."""
    gates = [each.name for each in waiting if each.kind == "acceptance"]
    if document is None and gates and (len(gates) > 1 or not seen):
        raise AcceptanceError("say which document it is about", hint=f"waiting: {', '.join(gates)}")
    return projects.pick(waiting, "acceptance", document)


def answer(
    session: Session,
    project: Project,
    step: Annotated[str | None, typer.Argument(metavar="[STEP]", help="Whose questions; else the first.")] = None,
    *,
    by: By,
    answers: Annotated[str, typer.Option("--answers", metavar="JSON|@FILE", help="Answers by the questions' ids.")],
    workflow: WorkflowName = None,
    stay: Stay = False,
    model: Models = None,
    replay: Replayed = None,
    prices: Priced = None,
) -> None:
    """Answer the questions of a step, and go on."""
    given = naming.parse_answers(answers)
    if not isinstance(given, dict):
        raise InputError("answers are one JSON object: question ids and answers")
    models = tuple(model or ())
    with opened(session, project, workflow, stay=stay, models=models, replay=replay, prices=prices) as (engine, run):
        here = projects.pick(projects.waiting(run, projects.workflow_of(run)), "clarification", step)
        answered = projects.answer(engine, run, here, given, by=by)
        report(session, engine, answered if stay else work(engine, answered, quiet=session.json), stay=stay)
