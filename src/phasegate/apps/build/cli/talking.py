"""What is said while a run works, and how somebody at the terminal is asked about a risky change."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from phasegate.apps.build.approval import Answer, ApprovalRequest
from phasegate.apps.build.cli.common import health_words
from phasegate.apps.build.executor import PhaseExecutor
from phasegate.cli import output
from phasegate.cli.session import Session

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}
#: Lines of a difference that are shown while a run works; ``build diff`` shows all of it.
_MOST_LINES = 60


class Person:
    """Whoever sits at the terminal. Without one the answer is: later."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def decide(self, request: ApprovalRequest) -> Answer:
        """Show the change and ask about it."""
        if self._session.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
            return "pending"
        page(request.diff)
        output.write(f"Risk {request.risk}: {'; '.join(request.reasons)}")
        said = click.prompt("Apply this change?", type=click.Choice(["approve", "reject", "later"]), default="later")
        answers: dict[str, Answer] = {"approve": "approved", "reject": "rejected"}
        return answers.get(said, "pending")


@contextmanager
def telling(session: Session, executor: PhaseExecutor) -> Iterator[None]:
    """Tell of what happens within the block."""
    if not session.json:
        executor.shop.event_sink = _tell
    try:
        yield
    finally:
        executor.shop.event_sink = None


def _tell(event: Mapping[str, Any]) -> None:
    said = _SAYINGS.get(event["type"])
    words = said(event) if said is not None else None
    if words:
        output.write(f"{event['phase_id']}: {words}" if event.get("phase_id") else words)
    if event["type"] == "validated" and event.get("diff"):
        _show_start(event["diff"])


def _show_start(diff: str) -> None:
    lines = diff.splitlines()
    shown = lines[:_MOST_LINES]
    if len(lines) > len(shown):
        shown.append(f"... {len(lines) - len(shown)} more lines: phasegate build diff")
    click.echo("\n".join(_coloured(shown)), color=None if sys.stdout.isatty() else False)


_SAYINGS: Mapping[str, Any] = {
    "run_started": lambda e: f"Health before the first phase: {health_words(e['health'])}" if e["health"] else None,
    "attempt_started": lambda e: f"attempt {e['attempt'] + 1}" + (", told what was wrong" if e["with_feedback"] else ""),
    "llm_called": lambda e: " ".join(
        [f"asked {e['model'] or 'the model'}: {e['total_tokens']} tokens", *([f"({e['error']})"] if e["error"] else [])]
    ),
    "validation_failed": lambda e: "; ".join(e["errors"]),
    "approval_requested": lambda e: f"waits for approval, risk {e['risk']}",
    "applied": lambda e: f"applied {', '.join(e['files'])}",
    "health_checked": lambda e: f"health: {'; '.join([health_words(e['health']), *e['errors']])}",
    "rolled_back": lambda e: "everything was put back",
    "phase_finished": lambda e: e["status"],
    "budget_warning": lambda e: f"{e['used']} of {e['cap']} tokens of the {e['whose']} are used",
}  # fmt: skip


def page(diff: str) -> None:
    """Show a difference in colours, a page at a time when it is longer than the terminal."""
    text = "\n".join(_coloured(diff.splitlines()))
    if sys.stdout.isatty() and len(diff.splitlines()) > shutil.get_terminal_size().lines:
        click.echo_via_pager(text, color=True)
    else:
        click.echo(text, color=None if sys.stdout.isatty() else False)


def _coloured(lines: list[str]) -> list[str]:
    return [
        click.style(output.visible(line), fg=_COLOURS.get(line[:1]), bold=line.startswith(("---", "+++")))
        for line in lines
    ]
