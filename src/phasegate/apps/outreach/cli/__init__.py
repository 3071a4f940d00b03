"""``phasegate outreach``: phases by id or name, and the questions people ask of the pipeline."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from phasegate.apps.outreach import looking
from phasegate.apps.outreach.cli import working
from phasegate.apps.outreach.cli.questions import question, show_phases
from phasegate.cli import main as phasegate_main
from phasegate.cli.session import application, command


class Phases(TyperGroup):
    """Commands, and phases: a first word that is no command is the id or the name of a phase."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command to execute."""
        if args and args[0] not in self.commands:
            return "run", self.commands["run"], args
        return super().resolve_command(ctx, args)


app = application(
    """Take companies through the outreach phases.

A phase is named by its id or its name: phasegate outreach 1.1 --state WV. Several ids are a sequence: 1 1.1 3.
Exit codes: 0 complete, 1 failed, 2 the request cannot be.
""",
    cls=Phases,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m phasegate.apps.outreach``: the same commands. Returns the exit code."""
    return phasegate_main(["outreach", *(sys.argv[1:] if arguments is None else arguments)])


_WORK: dict[str, Callable[..., None]] = {
    "run": working.run, "load": working.load, "demo": working.demo, "retry": working.retry, "all": working.everything,
    "revalidate": working.revalidate, "outbox": working.outbox,
}  # fmt: skip
_QUESTIONS = (
    looking.status, looking.companies, looking.history, looking.why, looking.stuck, looking.failed, looking.orphans,
    looking.doubts, looking.intent,
)  # fmt: skip

for name, function in _WORK.items():
    command(app, function, name=name, panel="Work")
command(app, show_phases, name="list", panel="Look")
for each in _QUESTIONS:
    command(app, question(each), panel="Look")
rules = typer.Typer(help="Check records against a table of rules.")
command(rules, question(looking.check_rules), name="check")
app.add_typer(rules, name="rules", rich_help_panel="Look")
