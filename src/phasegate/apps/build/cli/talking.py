"""What is said while a run works, and how somebody at the terminal is asked about a risky change."""

from __future__ import annotations

import getpass
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

from phasegate.apps.build import statements as q
from phasegate.apps.build.approval import Answer, ApprovalRequest
from phasegate.apps.build.cli.common import typed
from phasegate.apps.build.cli.reporting import health_words, tests_words
from phasegate.apps.build.executor import PhaseExecutor
from phasegate.cli import output
from phasegate.cli.session import Session
from phasegate.errors import PhasegateError

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}
_OUTCOMES = {"approve": "approved", "reject": "rejected"}
#: Lines of a difference that are shown while a run works; ``build diff`` shows all that is kept of it.
_MOST_LINES = 60


class Later:
    """Puts every decision off: it is made at the terminal when the run has stopped for it, or by ``build approve``."""

    def decide(self, request: ApprovalRequest) -> Answer:
        """Not now."""
        return "pending"


def provider_of(told: Mapping[str, Any]) -> Later | None:
    """Who decides about the risky changes of a run that remembers this; None when they are to be rejected."""
    return Later() if told.get("approve", "ask") == "ask" else None


def somebody_there(session: Session) -> bool:
    """Whether somebody can be asked."""
    return not session.json and sys.stdin.isatty() and sys.stdout.isatty()


def worked(session: Session, executor: PhaseExecutor, work: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """The result of the work, told of while it is done. Who sits at the terminal is asked what to do about changes that wait."""
    asks = somebody_there(session) and executor.shop.approval_provider is not None
    with _telling(session, executor, shows_later=asks):
        try:
            result = work()
            while asks and result["status"] == "awaiting_approval" and _decided(executor, result):
                result = executor.resume(result["run_id"])
        except KeyboardInterrupt:
            for line in _interrupted(executor):
                output.complain(line)
            raise
    return result


def _interrupted(executor: PhaseExecutor) -> Iterator[str]:
    """How things stand after an interruption."""
    run = executor.latest
    status = executor.engine.read(q.RUN, {"run": run})[0]["status"] if run else None
    try:
        executor.recover()
    except PhasegateError as error:
        yield f"interrupted: {error}"
    else:
        if status in ("succeeded", "failed"):
            yield f"interrupted, when the run had ended: it has {status}"
        else:
            yield "interrupted: what was being changed is as it was before"
    if run:
        yield f"what has succeeded is kept by: build run ... --continue {run}"


def _decided(executor: PhaseExecutor, result: Mapping[str, Any]) -> bool:
    """Show the change that waits, and ask about it; whether it was decided on. Who leaves without an answer answers later."""
    request = next(
        (each["approval"] for each in result["phase_results"] if each["status"] == "awaiting_approval"), None
    )
    if request is None:
        return False
    page(request["diff"].splitlines())
    output.write(f"Risk {request['risk']}: {'; '.join(request['reasons'])}")
    try:
        said = click.prompt("Apply this change?", type=click.Choice(["approve", "reject", "later"]), default="later")
        comment = click.prompt("Why not?", default="", show_default=False) if said == "reject" else ""
    except click.Abort:
        output.write("")
        return False
    if said != "later":
        executor.decide(request["request_id"], _OUTCOMES[said], by=_login(), comment=comment)
    return bool(said != "later")


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a process without a name
        return "somebody at the terminal"


@contextmanager
def _telling(session: Session, executor: PhaseExecutor, *, shows_later: bool) -> Iterator[None]:
    """Tell of what happens within the block."""
    if not session.json:
        executor.shop.event_sink = _Teller(session, shows_later=shows_later).tell
    try:
        yield
    finally:
        executor.shop.event_sink = None


class _Teller:
    """Tells of events. Remembers which phase is at work, and what of it is on disk, to say what was put back.

    With ``shows_later`` a change about which somebody is asked is not shown twice."""

    def __init__(self, session: Session, *, shows_later: bool) -> None:
        self._session, self._shows_later = session, shows_later
        self._on_disk: Sequence[str] = ()
        self._phase: str | None = None

    def tell(self, event: Mapping[str, Any]) -> None:
        """Say it in a line, or in none."""
        kind = event["type"]
        self._phase = event.get("phase_id") or self._phase
        if kind == "applied":
            self._on_disk = event["files"]
        elif kind == "rolled_back":
            event = {**event, "files": self._on_disk}
        said = _SAYINGS.get(kind)
        for line in said(event) if said is not None else ():
            output.write(f"{self._phase}: {line}" if self._phase else line)
        if kind == "validated" and event.get("diff") and not (self._shows_later and _needs_approval(event)):
            self._show_start(event["diff"].splitlines(), event)

    def _show_start(self, lines: Sequence[str], event: Mapping[str, Any]) -> None:
        _write(_coloured(lines[:_MOST_LINES]))
        if len(lines) > _MOST_LINES:
            shown = typed(self._session, "diff", event["run_id"], "--phase", event["phase_id"])
            output.write(f"... {len(lines) - _MOST_LINES} more lines: {shown}")


def _baseline(event: Mapping[str, Any]) -> list[str]:
    health = event["health"]
    if not health:
        return []
    return [
        f"Health before the first phase: {health_words(health)}",
        *(f"    {each}" for each in tests_words(health.get("tests", {}))),
    ]


def _attempt(event: Mapping[str, Any]) -> list[str]:
    return [f"attempt {event['attempt'] + 1}" + (", told what was wrong" if event["with_feedback"] else "")]


def _called(event: Mapping[str, Any]) -> list[str]:
    if event["error"]:
        return [f"the model did not answer: {event['error'].partition(':')[0]}"]
    guessed = "about " if event["estimated"] else ""
    return [f"{event['model'] or 'the model'} answered, {guessed}{event['total_tokens']:,} tokens"]


def _validated(event: Mapping[str, Any]) -> list[str]:
    if not event["files"]:
        return ["nothing has to be changed"]
    if _needs_approval(event):
        return [f"needs approval, risk {event['risk']['score']}: {'; '.join(event['risk']['reasons'])}"]
    return []


def _needs_approval(event: Mapping[str, Any]) -> bool:
    return bool(event.get("risk")) and event["risk"]["level"] == "approve"


def _healthy(event: Mapping[str, Any]) -> list[str]:
    if event["outcome"] == "undone":
        return []
    return [f"health: {'; '.join([health_words(event['health']), *event['errors']])}"]


_SAYINGS: Mapping[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "run_started": _baseline,
    "attempt_started": _attempt,
    "llm_called": _called,
    "validation_failed": lambda e: list(e["errors"]),
    "validated": _validated,
    "applied": lambda e: [f"applied {', '.join(e['files'])}"],
    "health_checked": _healthy,
    "rolled_back": lambda e: [f"put back as before: {', '.join(e['files']) or 'everything'}"],
    "phase_finished": lambda e: [e["status"]],
    "budget_warning": lambda e: [f"{e['used']:,} of {e['cap']:,} tokens of the {e['whose']} are used"],
}


def page(lines: Sequence[str]) -> None:
    """Show a difference in colours, a page at a time when it is longer than the terminal."""
    if sys.stdout.isatty() and len(lines) > shutil.get_terminal_size().lines:
        click.echo_via_pager(_encodable("\n".join(_coloured(lines)) + "\n"), color=_in_colours())
    else:
        _write(_coloured(lines))


def _write(lines: Sequence[str]) -> None:
    """Write lines that may have colours, which ``output.write`` would make visible."""
    try:
        click.echo(_encodable("\n".join(lines)), color=_in_colours())
    except BrokenPipeError:
        raise output.ReaderGone from None


def _encodable(text: str) -> str:
    """The text with what the terminal has no letters for written out."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _in_colours() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _coloured(lines: Sequence[str]) -> list[str]:
    return [_in_colour(output.visible(line)) for line in lines]


def _in_colour(line: str) -> str:
    if line.startswith(("---", "+++")):
        return click.style(line, bold=True)
    colour = _COLOURS.get(line[:1])
    return click.style(line, fg=colour) if colour else line
