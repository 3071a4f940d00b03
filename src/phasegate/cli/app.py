"""The commands, put together; applications are imported only when one of their commands is called."""

from __future__ import annotations

from importlib import import_module, metadata
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from phasegate.cli import changes, database, flows, gates, purging, runs, working
from phasegate.cli.session import GLOBAL, Application, Database, Json, Session, Tenant, Verbose, command, prepare_logs
from phasegate.errors import UsageError

#: Applications by the name of their command: where their Typer application is, and what help says of them.
APPLICATIONS = {
    "outreach": ("phasegate.apps.outreach.cli:app", "Take companies through the outreach phases."),
    "discovery": ("phasegate.apps.discovery.cli:app", "Turn inventory exports into clean assets, with people."),
    "build": ("phasegate.apps.build.cli:app", "Have a language model change a repository, under protection."),
    "documents": ("phasegate.apps.documents.cli:app", "Produce documents with a language model and with people."),
}

_PANELS = {
    "Look": (runs.runs, runs.show, runs.why, runs.history, runs.progress, flows.flows, working.workers, working.quotas),
    "Decide": (gates.decide, gates.answer),
    "Change": (
        changes.retry, changes.reset, changes.skip, changes.pause, changes.resume, changes.cancel,
    ),
    "Work": (working.worker, purging.purge),
}  # fmt: skip


class Commands(TyperGroup):
    """The generic commands, and a door to each application that opens when somebody goes through it."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The generic commands, then the applications."""
        return [*super().list_commands(ctx), *APPLICATIONS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command to show in the help; of an application only its door."""
        if cmd_name in APPLICATIONS:
            return TyperCommand(cmd_name, help=APPLICATIONS[cmd_name][1], rich_help_panel="Applications")
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command to execute."""
        if args and args[0] in APPLICATIONS:
            return args[0], load_application(args[0]), args[1:]
        return super().resolve_command(ctx, args)


def load_application(name: str) -> Any:
    """The command line of an application. Raises ``UsageError`` when this installation does not have it."""
    module_name, _, attribute = APPLICATIONS[name][0].partition(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and module_name.startswith(error.name):
            raise UsageError(f"the application {name!r} is not installed") from None
        raise
    return typer.main.get_command(getattr(module, attribute))


app = typer.Typer(cls=Commands, add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def everywhere(
    ctx: typer.Context,
    database: Database = None,
    tenant: Tenant = None,
    json: Json = False,
    verbose: Verbose = False,
    application: Application = None,
    version: Annotated[bool, typer.Option("--version", help="Say which version of phasegate this is.")] = False,
) -> None:
    """Take subjects through phases and gates, durably.

    Exit codes: 0 done, 1 something went wrong, 2 the request cannot be.
    """
    given = {name: ctx.params[name] for name in GLOBAL}
    ctx.obj = Session(**given)
    prepare_logs(ctx.obj)
    if version:
        number = metadata.version("phasegate")
        ctx.obj.answer({"version": number}, f"phasegate {number}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        ctx.fail("Missing command.")


for panel, functions in _PANELS.items():
    for function in functions:
        command(app, function, panel=panel)
app.add_typer(database.app, name="db", rich_help_panel="Work")
