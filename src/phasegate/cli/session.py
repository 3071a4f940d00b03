"""What every command has in common: the global options, the engine they lead to, and the form of the answer.

A command is a function whose first parameter is a ``Session``; ``command`` adds it to a Typer application and gives it the
global options, which may stand before or after the name of the command.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from phasegate import database as databases
from phasegate.cli import output
from phasegate.registry import Registry

if TYPE_CHECKING:
    from phasegate.engine import Engine

PANEL = "Global options"

#: Builds the registry with which runs of the applications that come with phasegate are changed.
BUILT_IN = "phasegate.apps.together:build_registry"

Database = Annotated[
    str | None,
    typer.Option(
        "--database", metavar="ADDRESS", rich_help_panel=PANEL,
        help=f"The database; without it, and without PHASEGATE_DATABASE, {databases.DEFAULT}.",
    ),
]  # fmt: skip
Tenant = Annotated[
    str | None,
    typer.Option("--tenant", metavar="NAME", rich_help_panel=PANEL, help="Whose subjects and runs (PHASEGATE_TENANT)."),
]
Json = Annotated[
    bool, typer.Option("--json", rich_help_panel=PANEL, help="Write one JSON document instead of text.")
]  # fmt: skip
Verbose = Annotated[
    bool, typer.Option("--verbose", rich_help_panel=PANEL, help="Write logs, and tracebacks of errors, to stderr.")
]
Application = Annotated[
    str | None,
    typer.Option(
        "--app", metavar="MODULE:ATTRIBUTE", rich_help_panel=PANEL,
        help="The code of the flows: a Registry, or a function that builds one.",
    ),
]  # fmt: skip

#: Names and annotations of the global options, in the order in which help shows them.
GLOBAL: dict[str, tuple[Any, Any]] = {
    "database": (Database, None),
    "tenant": (Tenant, None),
    "json": (Json, False),
    "verbose": (Verbose, False),
    "application": (Application, None),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """The global options of one call."""

    database: str | None = None
    tenant: str | None = None
    json: bool = False
    verbose: bool = False
    application: str | None = None

    def with_options(self, **given: Any) -> Session:
        """This session with the options given later laid over it."""
        return dataclasses.replace(self, **{name: value for name, value in given.items() if value})

    @property
    def address(self) -> str:
        """The address of the database."""
        return databases.address(self.database)

    @contextmanager
    def engine(self, registry: Registry | None = None, *, create: bool = False) -> Iterator[Engine]:
        """An engine on the database. Without ``create`` a file that does not exist, or has no tables of phasegate, is
        refused with ``StoreError``: a mistyped name should not become an empty database, nor get tables into another."""
        from phasegate.engine import Engine

        if not create:
            databases.check_prepared(self.address)
        with Engine(self.address, registry or self.registry() or Registry(), tenant=self.tenant) as engine:
            yield engine

    def registry(self) -> Registry | None:
        """The registry that ``--app`` names, or None."""
        from phasegate.cli.loading import load_registry

        return load_registry(self.application) if self.application else None

    def code(self) -> Registry:
        """The registry that ``--app`` names, or what the applications that come with phasegate have to say of a change.

        Looking needs no code, but changing a run does: an application's projections are part of every commit.
        """
        from phasegate.cli.loading import load_registry

        return self.registry() or load_registry(BUILT_IN)

    def answer(self, data: Any, *parts: str | output.Table) -> None:
        """Write the answer of a command: ``data`` as JSON, or ``parts`` for people."""
        if self.json:
            output.write_json(data)
        else:
            output.write(*parts)


def command(
    app: typer.Typer, function: Callable[..., None], *, name: str | None = None, panel: str | None = None
) -> None:
    """Add ``function`` to ``app`` as a command. It is called with a ``Session``, then with its own parameters by name."""

    def run(ctx: typer.Context, **values: Any) -> None:
        given = {option: values.pop(option) for option in GLOBAL}
        session = ctx.obj if isinstance(ctx.obj, Session) else Session()
        session = session.with_options(**given)
        prepare_logs(session)
        function(session, **values)

    run.__name__, run.__doc__ = function.__name__, function.__doc__
    run.__annotations__ = {}  # those of run itself would be taken for the command's
    run.__signature__ = inspect.Signature(_parameters(function))  # type: ignore[attr-defined]
    app.command(name, rich_help_panel=panel)(run)


def application(about: str, *, tenant: bool = True, cls: type[TyperGroup] | None = None) -> typer.Typer:
    """The command line of an application, which takes the global options before its commands, too.

    ``about`` is what its help says. Without ``tenant`` it has an option of its own for whose data it works on.
    """
    app = typer.Typer(
        cls=cls, add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False, no_args_is_help=True
    )  # fmt: skip
    options = {name: each for name, each in GLOBAL.items() if tenant or name != "tenant"}

    def everywhere(ctx: typer.Context, **given: Any) -> None:
        session = ctx.obj if isinstance(ctx.obj, Session) else Session()
        ctx.obj = session.with_options(**given)
        prepare_logs(ctx.obj)

    everywhere.__doc__, everywhere.__annotations__ = about, {}
    everywhere.__signature__ = inspect.Signature([_CONTEXT, *_options(options)])  # type: ignore[attr-defined]
    app.callback(no_args_is_help=True)(everywhere)
    return app


def add(app: typer.Typer, commands: Mapping[str, Sequence[Callable[..., None]]]) -> None:
    """Add commands by the panel of the help in which they stand."""
    for panel, functions in commands.items():
        for function in functions:
            command(app, function, panel=panel)


_CONTEXT = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)


def _options(options: Mapping[str, tuple[Any, Any]]) -> list[inspect.Parameter]:
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [inspect.Parameter(n, keyword, annotation=a, default=d) for n, (a, d) in options.items()]


def _parameters(function: Callable[..., None]) -> list[inspect.Parameter]:
    keyword = inspect.Parameter.KEYWORD_ONLY
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    return [_CONTEXT, *(each.replace(kind=keyword) for each in own), *_options(GLOBAL)]


def prepare_logs(session: Session) -> None:
    """With ``--verbose`` everything is logged to standard error; otherwise only what is wrong."""
    if session.verbose:
        from phasegate.logs import log_to_stderr

        log_to_stderr(verbose=True)
