"""Asking in the terminal what a person has to decide, until nothing waits any more."""

from __future__ import annotations

import getpass
import json
from typing import Any

import typer

from phasegate import Engine, Run
from phasegate.apps.documents import exporting, projects
from phasegate.apps.documents.cli.common import work
from phasegate.apps.documents.errors import ClarificationError
from phasegate.apps.documents.projects import Verdict, Waiting
from phasegate.cli import output


def until_done(engine: Engine, run: Run, by: str) -> Run:
    """Ask for every decision and answer, and go on after each; stops when nothing waits, or the person wants to."""
    name = by or getpass.getuser()
    workflow = projects.workflow_of(run)
    while waiting := projects.waiting(run, workflow):
        here = waiting[0]
        run = _accept(engine, run, here, name) if here.kind == "acceptance" else _answer(engine, run, here, name)
        run = work(engine, run, quiet=False)
    return run


def _accept(engine: Engine, run: Run, here: Waiting, by: str) -> Run:
    latest = next(
        each
        for each in projects.documents(engine, run)
        if each.latest and (each.step, each.scope) == (here.step, here.scope)
    )
    title = projects.title(projects.workflow_of(run), latest)
    output.write("", exporting.as_markdown(projects.content(engine, run, latest), title))
    role = here.roles[0] if here.roles else ""
    if len(here.roles) > 1:
        role = typer.prompt(f"In which role ({', '.join(here.roles)})", default=role)
    while True:
        said = typer.prompt(f"Accept {here.name}? [yes/no/quit]").strip().lower()
        if said in ("q", "quit"):
            raise typer.Exit(0)
        if said in ("y", "yes"):
            return projects.decide(engine, run, here, Verdict(True, by=by, role=role))
        if said in ("n", "no"):
            comment = typer.prompt("Why not")
            return projects.decide(engine, run, here, Verdict(False, by=by, role=role, comment=comment))


def _answer(engine: Engine, run: Run, here: Waiting, by: str) -> Run:
    output.write("", f"{here.name} has questions.")
    while True:
        answers = {str(each.get("id") or each.get("question_id")): _asked(each) for each in here.questions}
        try:
            return projects.answer(engine, run, here, {k: v for k, v in answers.items() if v != ""}, by=by)
        except ClarificationError as error:
            output.write(str(error))


def _asked(question: Any) -> str:
    choices = question.get("choices") or ()
    known = f" [{'/'.join(str(each['value']) for each in choices)}]" if choices else ""
    text = question.get("text") or question.get("question")
    return str(typer.prompt(f"{text}{known}", default=_as_typed(question.get("default"))))


def _as_typed(default: Any) -> str:
    """A default as a person would type it: text as it is, anything else as JSON."""
    if default is None:
        return ""
    return default if isinstance(default, str) else json.dumps(default, ensure_ascii=False)
