"""``phasegate documents``: make a project's documents, decide on them, look at them."""

from __future__ import annotations

from collections.abc import Callable

import typer

from phasegate.apps.documents.cli import deciding, looking, making
from phasegate.cli.session import Application, Database, Json, Session, Tenant, Verbose, command, prepare_logs

app = typer.Typer(
    add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False, no_args_is_help=True
)  # fmt: skip


@app.callback(no_args_is_help=True)
def everywhere(
    ctx: typer.Context,
    database: Database = None,
    tenant: Tenant = None,
    json: Json = False,
    verbose: Verbose = False,
    application: Application = None,
) -> None:
    """Produce JSON documents step by step with a language model, with people who answer and accept.

    Exit codes: 0 done or waiting for a person, 1 failed, 2 the request cannot be.
    """
    session = ctx.obj if isinstance(ctx.obj, Session) else Session()
    ctx.obj = session.with_options(
        database=database, tenant=tenant, json=json, verbose=verbose, application=application
    )
    prepare_logs(ctx.obj)


_COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    "Make": (making.run, making.validate),
    "Decide": (deciding.accept, deciding.reject, deciding.answer),
    "Look": (looking.show, looking.diff, looking.export, looking.stale, looking.costs),
}
for panel, functions in _COMMANDS.items():
    for function in functions:
        command(app, function, panel=panel)
