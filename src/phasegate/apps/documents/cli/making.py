"""Commands that make documents: run a definition, check one."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from phasegate import Engine, Run, RunStatus
from phasegate.apps.documents import projects, studio
from phasegate.apps.documents.cli import talking
from phasegate.apps.documents.cli.common import Models, Replayed, recordings, report, work
from phasegate.apps.documents.definition.loader import WorkflowLoader
from phasegate.apps.documents.errors import WorkflowLoadError
from phasegate.apps.documents.studio import Studio
from phasegate.cli.session import Session
from phasegate.errors import InputError, NotAllowed
from phasegate.llm.budget import Budgets

Definition = Annotated[Path, typer.Argument(metavar="DEFINITION", help="The file with the workflow's definition.")]


def run(
    session: Session,
    definition: Definition,
    *,
    project: Annotated[str, typer.Option("--project", metavar="NAME", help="The project whose documents are made.")],
    model: Models = None,
    replay: Replayed = None,
    record: Annotated[
        str | None, typer.Option("--record", metavar="FOLDER", help="Keep the model's answers there, for --replay.")
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option("--prompts", metavar="FOLDER", help="The prompts; else prompts beside the definition."),
    ] = None,
    document: Annotated[
        list[str] | None, typer.Option("--document", metavar="TYPE=FILE", help="A document that is there already.")
    ] = None,
    prices: Annotated[
        str | None, typer.Option("--prices", metavar="FILE", help="Prices per million tokens (TOML or JSON).")
    ] = None,
    budget: Annotated[
        Path | None, typer.Option("--budget", metavar="FILE", help="Limits on what the model may cost (TOML or JSON).")
    ] = None,
    budget_usd: Annotated[
        float | None, typer.Option("--budget-usd", metavar="AMOUNT", help="What the project may cost, in USD.")
    ] = None,
    budget_tokens: Annotated[
        int | None, typer.Option("--budget-tokens", metavar="N", help="How many tokens the project may take.")
    ] = None,
    interactive: Annotated[bool, typer.Option("--interactive", help="Ask here what a person has to decide.")] = False,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides, with --interactive.")] = "",
    again: Annotated[bool, typer.Option("--again", help="Begin anew when the project has ended.")] = False,
) -> None:
    """Make a project's documents, as far as they can be made without a person; go on where it stood.

    What failed is tried again, at once; a rejection that ended the project stands.
    """
    if interactive and session.json:
        raise InputError("--interactive and --json exclude each other")
    read = studio.read_definition(definition)
    place = Studio(
        str((prompts or definition.parent / "prompts").resolve()), tuple(model or ()), recordings(replay), _folder(record),
        _folder(prices), _budgets(budget, budget_usd, budget_tokens),
    )  # fmt: skip
    given = dict(_given(each) for each in document or ())
    with studio.open_engine(session.address, session.tenant) as engine:
        place = _remembered(engine, read, project, place)
        studio.check_prompts(WorkflowLoader().load_dict(read), place)
        if again or not _is_done(engine, read, project):
            place.client().ready()  # better before anything begins
        begun = studio.start(engine, read, project, place, given, again=again, by=by)
        begun = engine.get(begun.id)  # with its phases
        moved = work(engine, _tried_again(engine, begun, by), quiet=session.json)
        if interactive:
            moved = talking.until_done(engine, moved, by)
        report(session, engine, moved, definition=str(definition))


def _tried_again(engine: Engine, run: Run, by: str) -> Run:
    """The run with what failed ready once more: also what would be tried again by itself, only later."""
    if projects.may_be_retried(run):
        return engine.retry(run.id, by=by)
    if run.finished or run.ending:
        return run
    found = projects.held(run, projects.workflow_of(run))
    for step in dict.fromkeys(each.step for each in found if each.kind in ("retry", "failed")):
        with suppress(NotAllowed):  # a worker was first
            run = engine.retry(run.id, step, by=by)
    return run


def _remembered(engine: Engine, definition: dict[str, Any], project: str, place: Studio) -> Studio:
    """The studio with which the project is begun; one that was begun before goes on with what it remembers where nothing
    is given now."""
    found = engine.find(definition["workflow_id"], subject=projects.subject(project), limit=1)
    if not found or found[0].input is None:
        return place
    before = Studio.of(engine, found[0])
    return before.with_options(
        prompts=place.prompts, models=place.models, replay=place.replay, record=place.record, prices=place.prices,
        budgets=place.budgets,
    )  # fmt: skip


def _is_done(engine: Engine, definition: dict[str, Any], project: str) -> bool:
    """Whether there is nothing left to make: then no model is needed either."""
    found = engine.find(definition["workflow_id"], subject=projects.subject(project), limit=1)
    return bool(found) and found[0].status is RunStatus.SUCCEEDED


def _budgets(file: Path | None, usd: float | None, tokens: int | None) -> Budgets | None:
    found = Budgets.load(file) if file is not None else None
    if usd is None and tokens is None:
        return found
    own = Budgets.of("run", usd=usd, tokens=tokens)
    return own if found is None else found.with_limits(own)


def _given(text: str) -> tuple[str, Any]:
    name, equals, file = text.partition("=")
    if not (name and equals and file):
        raise InputError(f"a document is given as TYPE=FILE, not {text!r}")
    try:
        return name, json.loads(Path(file).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read as JSON: {error}") from None


def _folder(path: str | None) -> str | None:
    return None if path is None else str(Path(path).resolve())


def validate(session: Session, definition: Definition) -> None:
    """Check a definition: every problem with its place, and what is only strange."""
    try:
        loaded = WorkflowLoader().load_checked(definition)
    except WorkflowLoadError as error:
        if not error.errors:
            raise
        problems = [{"code": each.code, "path": each.path, "message": each.message} for each in error.errors]
        session.answer({"errors": problems}, *(str(each) for each in error.errors))
        raise typer.Exit(2) from None
    steps = len(loaded.workflow.get_production_steps())
    data = {"workflow": loaded.workflow.workflow_id, "warnings": [str(each) for each in loaded.warnings]}
    said = f"{definition} is a workflow: {loaded.workflow.name}, {steps} documents"
    session.answer(data, said, *(f"warning: {each}" for each in loaded.warnings))
