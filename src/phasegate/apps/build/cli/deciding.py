"""Commands with which people decide, and put back what was interrupted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from phasegate import Engine
from phasegate.apps.build import statements as q
from phasegate.apps.build.cli import talking
from phasegate.apps.build.cli.common import (
    BY_A_PROGRAM,
    By,
    Comment,
    RunId,
    executor_of,
    find_run,
    history_file,
    looked_at,
    remembered,
)
from phasegate.apps.build.cli.reporting import report
from phasegate.cli.session import Session
from phasegate.errors import InputError

Request = Annotated[
    str | None,
    typer.Argument(
        metavar="[REQUEST]", help="The request or its run, or the beginning of it; without it the only one that waits."
    ),
]
Stay = Annotated[bool, typer.Option("--stay", help="Record the decision, and do not go on working.")]


def approve(session: Session, request: Request = None, *, by: By, comment: Comment = "", stay: Stay = False) -> None:
    """Approve the change that waits, exactly as it was shown, and go on. The model is asked for it again only when somebody has
    changed its files since."""
    _decide(session, request, "approved", by, comment, stay)


def reject(session: Session, request: Request = None, *, by: By, comment: Comment = "", stay: Stay = False) -> None:
    """Reject the change that waits; nothing of it is applied."""
    _decide(session, request, "rejected", by, comment, stay)


def _decide(session: Session, request: str | None, outcome: str, by: str, comment: str, stay: bool) -> None:
    with looked_at(session) as engine:
        found = _waiting(engine, request)
        row = engine.read(q.RUN, {"run": found["run_id"]})[0]
        told = remembered(engine, row["run_id"])
    stay = stay or told is None
    with executor_of(
        history_file(session), row["repo_root"], told or BY_A_PROGRAM, client=_nobody if stay else None,
        provider=talking.provider_of(told or BY_A_PROGRAM),
    ) as executor:  # fmt: skip
        executor.decide(found["request_id"], outcome, by=by, comment=comment)
        if stay:
            said = [f"{found['request_id']}: {outcome}"]
            said += [] if told else ["The run was begun by a program; it goes on with PhaseExecutor.resume."]
            session.answer({"request_id": found["request_id"], "outcome": outcome}, *said)
            return
        result = talking.worked(session, executor, lambda: executor.resume(row["run_id"]))
        report(session, executor.engine, result)


def _waiting(engine: Engine, request: str | None) -> Mapping[str, Any]:
    """What waits, and is meant. Raises ``InputError`` when that is nothing, or could be several."""
    waiting = engine.read(q.WAITING)
    found = [each for each in waiting if request is None or each["request_id"].startswith(request)]
    listed = (
        f"waiting: {', '.join(each['request_id'] for each in waiting)}" if waiting else "build show says what to do"
    )
    if not found:
        raise InputError(
            f"nothing that waits is called {request!r}" if request else "nothing waits for approval", hint=listed
        )
    if len(found) > 1:
        raise InputError("several changes wait for approval: name one", hint=listed)
    return found[0]


def restore(
    session: Session,
    run: RunId = None,
    *,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave files that somebody has changed since as they are now, for good.")
    ] = False,
) -> None:
    """Put back what an interrupted run has left half changed. Files that somebody has changed since are named and left alone."""
    with looked_at(session) as engine:
        row = find_run(engine, run)
        told = remembered(engine, row["run_id"])
    with executor_of(history_file(session), row["repo_root"], told or BY_A_PROGRAM, client=_nobody) as executor:
        paths = sorted({*executor.restored, *executor.recover(keep_edits=keep)})
        session.answer(
            {"run_id": row["run_id"], "restored": paths},
            *(f"put back as before: {each}" for each in paths),
            *([] if paths else ["Nothing had to be put back."]),
        )


def _nobody(prompt: str) -> str:
    raise AssertionError(f"nobody is asked: {prompt[:20]}")
