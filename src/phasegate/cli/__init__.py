"""The command line: generic commands for any flow, and the door to each application's own.

This is the only place where exceptions become messages and exit codes.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from phasegate.errors import PhasegateError

INTERRUPTED = 130  # what shells report for a program that SIGINT ended
READER_GONE = 141  # and for one that SIGPIPE ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 something went wrong, 2 the request cannot be.

    Only a help text that meets a closed pipe leaves it by ``SystemExit``.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    from phasegate.cli.output import ReaderGone

    try:
        return _run(given)
    except ReaderGone:
        _drop_output()
        return READER_GONE
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        return _explain(error, given)


def _run(given: list[str]) -> int:
    import typer

    from phasegate.cli.app import app

    try:
        ended = typer.main.get_command(app).main(given or ["--help"], prog_name="phasegate", standalone_mode=False)
    except typer.Abort:
        raise KeyboardInterrupt from None
    return ended if isinstance(ended, int) else 0


def _explain(error: Exception, given: list[str]) -> int:
    """Say what went wrong: one line, a hint if there is one, and the traceback only to those who asked for it."""
    from phasegate.cli import output

    message, hint, code = _meaning(error)
    verbose = "--verbose" in given
    if hint is None and not verbose and not isinstance(error, PhasegateError):
        message += " (run again with --verbose to see where)"
    try:
        if verbose and (code == 1 or isinstance(error, PhasegateError)):
            traceback.print_exception(error)
        output.complain(f"error: {output.one_line(message)}", *([f"hint: {output.one_line(hint)}"] if hint else []))
        if "--json" in given:
            output.write_json({"error": {"type": type(error).__name__, "message": message, "hint": hint}})
    except (output.ReaderGone, OSError):
        _drop_output()  # nobody listens; the exit code still tells
    return code


def _meaning(error: Exception) -> tuple[str, str | None, int]:
    """Message, hint and exit code."""
    import typer

    mistake = typer.BadParameter.__mro__[1]  # the class of every mistake in the words of a command
    if isinstance(error, PhasegateError):
        return str(error), error.hint, error.exit_code
    if isinstance(error, mistake):
        said: Any = error
        hint = f"{said.ctx.command_path} --help" if said.ctx is not None else "phasegate --help"
        # Where "no arguments" means help, the help is the message; it has been printed already.
        helped = type(error).__name__ == "NoArgsIsHelpError"
        return "Missing command." if helped else said.format_message(), hint, said.exit_code
    return f"{type(error).__name__}: {error}", None, 1


def _drop_output() -> None:
    """Let what is still buffered go nowhere, so that the interpreter does not complain about it when it ends."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        return  # not a real stream: nothing will be flushed into a closed pipe
