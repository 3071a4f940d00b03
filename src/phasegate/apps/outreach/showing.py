"""Results and the demo for people: lines, tables, a progress bar where somebody looks on."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phasegate.apps.outreach.answers import Answer
    from phasegate.apps.outreach.demo import DemoReport, Progress

#: How many entries of a list people are shown.
_SHOWN = 3


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
    from phasegate.apps.outreach.answers import Answer, Sheet, summary_sheets

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


def held_lines(found: Mapping[str, Any]) -> list[str]:
    """How the people of a loaded file came to a company that the file does not name, and how many have none."""
    counts = found["people"]["statistics"] if "people" in found else {}
    lines = []
    if matched := counts.get("matched_rows"):
        lines.append(f"  {matched} found their company by likeness")
    if held := counts.get("held_rows"):
        reasons = ", ".join(f"{reason} {count}" for reason, count in held.items())
        lines.append(f"  {sum(held.values())} without a company: {reasons} (phasegate outreach orphans)")
    return lines


# --- results of phases -------------------------------------------------------------------------------------------------


def result_lines(result: dict[str, Any], *, verbose: bool) -> list[str]:
    """The result of a phase for people; ``verbose`` shows long lists whole."""
    lines = [
        f"Phase {result['phase_id']}: {result['phase_name']}",
        f"  status    {result['status']}",
        f"  duration  {result['duration_seconds']:.2f} s",
    ]
    if result["error_message"]:
        lines.append(f"  error     {result['error_message']}")
    if result["result"] is not None:
        lines.append(indented(result["result"] if verbose else _shortened(result["result"])))
    return lines


def _shortened(value: Any) -> Any:
    """Long lists cut; ``--verbose`` and ``--json`` show all of them."""
    if isinstance(value, dict):
        return {key: _shortened(each) for key, each in value.items()}
    if isinstance(value, list) and len(value) > _SHOWN:
        return [*(_shortened(each) for each in value[:_SHOWN]), f"... and {len(value) - _SHOWN} more (--verbose)"]
    return value


def indented(value: Any) -> str:
    """A value as JSON for people."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def program() -> str:
    """How this program is started from here, so that printed commands work as they are."""
    script = Path(sys.executable).with_name("phasegate")
    first, more = (
        (script, ["outreach"]) if script.is_file() else (Path(sys.executable), ["-m", "phasegate.apps.outreach"])
    )
    if first.is_relative_to(Path.cwd()):
        first = first.relative_to(Path.cwd())
    return shlex.join([str(first), *more])
