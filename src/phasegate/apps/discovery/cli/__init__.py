"""``phasegate discovery``: bring an inventory in, decide about it, look at it."""

from __future__ import annotations

from collections.abc import Callable

import typer

from phasegate.apps.discovery.cli import deciding, looking, steering
from phasegate.cli.session import Application, Database, Json, Session, Verbose, command, prepare_logs

app = typer.Typer(
    add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False, no_args_is_help=True
)  # fmt: skip


@app.callback(no_args_is_help=True)
def everywhere(
    ctx: typer.Context,
    database: Database = None,
    json: Json = False,
    verbose: Verbose = False,
    application: Application = None,
) -> None:
    """Turn an inventory export into clean assets, with people who approve mappings, assets and conflicts.

    Exit codes: 0 done or waiting for a person, 1 failed, 2 the request cannot be.
    """
    session = ctx.obj if isinstance(ctx.obj, Session) else Session()
    ctx.obj = session.with_options(database=database, json=json, verbose=verbose, application=application)
    prepare_logs(ctx.obj)


_COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    "Bring in": (steering.run,),
    "Decide": (deciding.approve, deciding.reject, deciding.edit, deciding.decide_data, deciding.resolve),
    "Look": (
        looking.status, looking.flows, looking.profile, looking.skipped, looking.mappings, looking.preview,
        looking.conflicts, looking.assets, looking.dependencies, looking.debts, looking.export, looking.audit,
    ),
    "Change": (steering.pause, steering.resume, steering.retry, steering.execute, steering.cancel, steering.delete),
}  # fmt: skip
for panel, functions in _COMMANDS.items():
    for function in functions:
        command(app, function, panel=panel)
