"""``phasegate purge``: let old runs go."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phasegate.cli import output
from phasegate.cli.output import Table
from phasegate.cli.session import Session
from phasegate.core.retention import FINISHED, PurgeReport
from phasegate.core.run import RunStatus
from phasegate.errors import InputError, UnknownName

if TYPE_CHECKING:
    from phasegate.engine import Engine

#: Seconds between two lines about how far a purge is.
EVERY = 1.0

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGE = re.compile(rf"([0-9]+(?:\.[0-9]+)?)([{''.join(_UNITS)}])")


def purge(
    session: Session,
    *,
    older_than: Annotated[
        str,
        typer.Option("--older-than", metavar="AGE", help="Only runs that have not changed for so long: 90d, 12h, 2w."),
    ],
    flow: Annotated[str | None, typer.Option("--flow", metavar="NAME", help="Only runs of this flow.")] = None,
    status: Annotated[
        list[RunStatus] | None,
        typer.Option("--status", help="Only runs that ended so: succeeded, failed or cancelled; repeatable."),
    ] = None,
    archive: Annotated[
        Path | None,
        typer.Option("--archive", metavar="FILE", help="Write each run to the end of this file first, as a line of JSON."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many runs.")] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="At most so many runs in one commit.")] = 500,
) -> None:  # fmt: skip
    """Delete finished runs that are old enough, with all their rows; a tombstone of each stays."""
    age = parse_age(older_than)
    with session.engine() as engine:
        _check_flow(engine, flow)
        report = engine.purge(
            age, flow=flow, statuses=tuple(status or FINISHED), archive=archive, dry_run=dry_run, limit=limit,
            batch=batch, listen=None if session.json else _Telling(),
        )  # fmt: skip
    session.answer(
        {"purged": report, "runs": report.runs, "archive": archive}, *_drawn(report), _sentence(report, archive)
    )


def parse_age(text: str) -> timedelta:
    """The time written as a number and its unit. Raises ``InputError``."""
    written = _AGE.fullmatch(text.strip())
    try:
        if written:
            return timedelta(**{_UNITS[written[2]]: float(written[1])})
    except OverflowError:
        pass  # longer than a calendar is: no age either
    raise InputError(f"{text!r} is not an age", hint="such as 90d, 12h, 30m, 45s or 2w")


def _check_flow(engine: Engine, name: str | None) -> None:
    # The name alone: a version written behind it would be passed over, and all versions would go.
    known = {flow.name for flow in engine.flows()}
    if name is not None and name not in known:
        raise UnknownName("flow", name, known)


class _Telling:
    """Says now and then how far a purge is."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, report: PurgeReport) -> None:
        if time.monotonic() - self._last >= EVERY:
            self._last = time.monotonic()
            output.write(f"{report.runs} runs purged so far")


def _drawn(report: PurgeReport) -> list[str | Table]:
    if not report.groups:
        return []
    rows = [(group.flow, group.status, group.runs, group.oldest, group.newest) for group in report.groups]
    return [Table(("flow", "status", "runs", "oldest", "newest"), rows), ""]


def _sentence(report: PurgeReport, archive: Path | None) -> str:
    if not report.groups:
        return "No runs are old enough."
    rows = f"{_counted(report.runs, 'run')} with {_counted(sum(report.rows.values()), 'row')}"
    if report.dry_run:
        return f"would purge {rows}, about {_size(report.size or 0)} of facts and outputs"
    return f"purged {rows}" + (f"; {report.archived} archived in {archive}" if archive else "")


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" + "s" * (count != 1)


def _size(count: float) -> str:
    for unit in ("bytes", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
