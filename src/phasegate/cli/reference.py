"""``docs/reference/cli.md``, made from the commands themselves: ``python -m phasegate.cli.reference``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from phasegate.cli import output
from phasegate.cli.app import APPLICATIONS, app, load_application
from phasegate.cli.session import GLOBAL

_HEAD = """\
# The command line

This page is made from the program: `python -m phasegate.cli.reference > docs/reference/cli.md`.

A run is named by its id, by the beginning of its id when no other run's begins so, or by its subject written `kind:id`,
which means the latest run of that subject. A phase is named by its name or its label. Times are UTC.

Exit codes: 0 done; 1 something went wrong; 2 the request cannot be (unknown name, bad value, unusable database); 130
interrupted; 141 whoever read the output has closed it. Errors are one line on standard error, with a hint below where
there is one. With `--json` standard output has exactly one JSON document, also for an error: `{"error": {...}}`.
"""


def reference() -> str:
    """The whole page, as Markdown."""
    root: Any = typer.main.get_command(app)
    shared = [parameter for parameter in root.params if parameter.name in GLOBAL]
    alone = [parameter for parameter in root.params if parameter.name == "version"]
    lines = [_HEAD, "## Global options", "", "They may stand before or after the name of a command.", ""]
    lines += [*_table(shared), "", "Without a command:", "", *_table(alone), ""]
    lines += _sections("phasegate", root)
    for name in APPLICATIONS:
        application = load_application(name)
        lines += [f"## phasegate {name}", "", application.help, ""]
        lines += _sections(f"phasegate {name}", application)
    return "\n".join(lines).rstrip()


def _sections(path: str, group: Any) -> Iterator[str]:
    for name, command in _commands(path, group):
        yield from (f"## {name}", "", command.help or "", "", f"    {_usage(name, command)}", "")
        own = [parameter for parameter in command.params if parameter.name not in (*GLOBAL, "help")]
        yield from (*_table(own), "") if own else ()


def _commands(path: str, group: Any) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(f"{path} {name}", command)
        else:
            yield f"{path} {name}", command


def _usage(path: str, command: Any) -> str:
    arguments = [_name(p) for p in command.params if p.param_type_name == "argument"]
    return " ".join([path, *arguments, "[OPTIONS]"])


def _table(parameters: list[Any]) -> list[str]:
    bar = r"\|"  # within a table a plain one ends the cell
    rows = [f"| `{_name(p).replace('|', bar)}` | {'yes' if p.required else ''} | {p.help} |" for p in parameters]
    return ["| name | required | meaning |", "| --- | --- | --- |", *rows]


def _name(parameter: Any) -> str:
    """``RUN`` for an argument, ``--by NAME`` for an option."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    flag = getattr(parameter, "is_flag", False)
    value = "" if flag else f" {parameter.metavar or parameter.name.upper()}"
    return f"{parameter.opts[0]}{value}"


if __name__ == "__main__":
    output.write(reference())
