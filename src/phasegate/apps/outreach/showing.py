"""The demo for people: a progress bar where somebody looks on, and what came of it at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from phasegate.apps.outreach.answers import Answer, Sheet, summary_sheets
from phasegate.apps.outreach.demo import DemoReport, Progress


def only_errors() -> None:
    """Have nothing but errors logged: what a killed process had begun is done again, and that is no news here."""
    import logging

    import structlog

    from phasegate.logs import log_to_stderr

    log_to_stderr()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Progress | None]:
    """What to tell how far it is: a bar on a terminal, otherwise nothing."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description:<34}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True, refresh_per_second=5) as bar:
        task = bar.add_task("loading the files", total=None)

        def tell(done: int, total: int, phase: str) -> None:
            bar.update(task, completed=done, total=total or None, description=phase)

        yield tell


def demo_data(report: DemoReport) -> dict[str, Any]:
    """The report for programs."""
    return {**asdict(report), "changed": report.changed}


def demo_answer(report: DemoReport) -> Answer:
    """The report for people."""
    rows = [(kind, *counts.values()) for kind, counts in report.rows.items()]
    files = Sheet("Rows of the files", ("", "total", "valid", "invalid", "duplicate", "new"), rows)
    lines = (
        _said(report),
        f"database: {report.database}",
        f"outbox:   {report.outbox}/ ({sum(report.summary.outbox.values())} invalid records as CSV and JSON lines)",
    )
    return Answer({}, (files, *summary_sheets(report.summary)), lines)


def _said(report: DemoReport) -> str:
    if not report.changed:
        return f"Nothing to do: all {report.facts} facts were there already. Looked through in {report.seconds:.2f} s."
    total = report.summary.companies
    again = "The work went on where a killed process had left it. " if report.recovered else ""
    return (
        f"{again}{total} companies went as far as they can: {report.new_facts} facts recorded in {report.seconds:.2f} s "
        f"({report.delivered} invalid records delivered)."
    )
