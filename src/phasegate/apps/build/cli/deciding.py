"""Commands with which people decide, and put back what was interrupted."""

from __future__ import annotations

from typing import Annotated

import typer

from phasegate.apps.build import statements as q
from phasegate.apps.build.cli import talking
from phasegate.apps.build.cli.common import (
    By,
    Comment,
    RunId,
    executor_of,
    find_run,
    history_file,
    looked_at,
    report,
    told_of,
)
from phasegate.apps.build.errors import ApprovalError
from phasegate.cli.session import Session

Request = Annotated[str, typer.Argument(metavar="REQUEST", help="The request, or its run; build show names it.")]
Stay = Annotated[bool, typer.Option("--stay", help="Record the decision, and do not go on working.")]


def approve(session: Session, request: Request, *, by: By, comment: Comment = "", stay: Stay = False) -> None:
    """Approve the change that waits, exactly as it was shown, and go on; no model is asked again."""
    _decide(session, request, "approved", by, comment, stay)


def reject(session: Session, request: Request, *, by: By, comment: Comment = "", stay: Stay = False) -> None:
    """Reject the change that waits; nothing of it is applied."""
    _decide(session, request, "rejected", by, comment, stay)


def _decide(session: Session, request: str, outcome: str, by: str, comment: str, stay: bool) -> None:
    with looked_at(session) as engine:
        waiting = [each for each in engine.read(q.APPROVALS) if each["status"] == "pending"]
        found = [each for each in waiting if request in (each["request_id"], each["run_id"])]
        if not found:
            ids = ", ".join(each["request_id"] for each in waiting) or "none"
            raise ApprovalError(
                "E_APPROVAL_UNKNOWN", f"nothing that waits is called {request!r}", hint=f"waiting: {ids}"
            )
        row = engine.read(q.RUN, {"run": found[0]["run_id"]})[0]
        told = told_of(engine, row["run_id"])
    with executor_of(history_file(session), row["repo_root"], told) as executor:
        executor.decide(found[0]["request_id"], outcome, by=by, comment=comment)
        if stay:
            session.answer(
                {"request": found[0]["request_id"], "outcome": outcome}, f"{found[0]['request_id']}: {outcome}"
            )
            return
        with talking.telling(session, executor):
            result = executor.resume(row["run_id"])
        report(session, executor.engine, result)


def restore(session: Session, run: RunId = None) -> None:
    """Put back what an interrupted run has left half changed. Files that somebody has changed since are named and left alone."""
    with looked_at(session) as engine:
        row = find_run(engine, run)
        told = told_of(engine, row["run_id"])
    with executor_of(history_file(session), row["repo_root"], told, client=_nobody) as executor:  # type: ignore[arg-type]
        paths = executor.restored + executor.recover()
        session.answer(
            {"restored": paths},
            *(f"restored {each}" for each in paths),
            *([] if paths else ["nothing had to be put back"]),
        )


def _nobody(prompt: str) -> str:
    raise AssertionError(f"nobody is asked: {prompt[:20]}")
