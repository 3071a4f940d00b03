"""The page about the command line mentions every command and every option."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from phasegate.cli.app import APPLICATIONS, app, load_application
from phasegate.cli.reference import reference

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "cli.md"


def commands(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(f"{path} {name}", below)


def every_command() -> dict[str, Any]:
    """The generic commands and those of the applications, by what is typed."""
    found = dict(commands("phasegate", typer.main.get_command(app)))
    for name in APPLICATIONS:
        found.update(commands(f"phasegate {name}", load_application(name)))
    return found


def test_every_command_and_every_option_is_mentioned() -> None:
    text = PAGE.read_text(encoding="utf-8")
    named = every_command()
    assert len(named) > 30
    for path, command in named.items():
        assert path in text
        for parameter in command.params:
            for option in parameter.opts if parameter.param_type_name == "option" else ():
                assert f"`{option}" in text or option == "--help", (path, option)


def test_the_page_is_what_the_program_says_now() -> None:
    renew = "python -m phasegate.cli.reference > docs/reference/cli.md"
    assert PAGE.read_text(encoding="utf-8") == reference() + "\n", f"renew it: {renew}"


def test_every_command_has_a_sentence_and_every_option_a_meaning() -> None:
    for path, command in every_command().items():
        assert command.help, path
        assert all(parameter.help for parameter in command.params), path
