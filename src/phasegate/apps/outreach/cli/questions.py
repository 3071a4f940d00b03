"""The commands that look: questions about the database, each made from a function that gives an answer."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phasegate.apps.outreach.cli.common import fail_if, open_database, show
from phasegate.cli.session import Session

if TYPE_CHECKING:
    from phasegate.apps.outreach.answers import Answer


def show_phases(
    session: Session, check: Annotated[bool, typer.Option("--check", help="Load the code of every phase.")] = False
) -> None:
    """List the phases."""
    from phasegate.apps.outreach import answers

    found = answers.phases(check=check)
    show(session, found)
    fail_if(bool(found.data.get("problems")))


def question(function: Callable[..., Answer]) -> Callable[..., None]:
    """A question about the database as a command."""
    # What it returns is evaluated nowhere: its name is known to the type checker only.
    hints = {name: hint for name, hint in function.__annotations__.items() if name != "return"}
    function.__annotations__ = hints
    asked = inspect.signature(function, eval_str=True)

    def ask(session: Session, **values: Any) -> None:
        with open_database(session) as engine:
            show(session, function(engine, **values))

    ask.__name__, ask.__doc__ = function.__name__, function.__doc__
    first, *others = asked.parameters.values()
    parameters = [first.replace(name="session", annotation=Session), *others]
    ask.__signature__ = asked.replace(parameters=parameters)  # type: ignore[attr-defined]
    return ask
