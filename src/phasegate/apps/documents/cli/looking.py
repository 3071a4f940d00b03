"""Commands that look: documents, versions, what is stale, what it has cost."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from phasegate import Engine, Run
from phasegate.apps.documents import exporting, projects
from phasegate.apps.documents.cli.common import Project, WorkflowName, described, how_to_accept, looked_at, report
from phasegate.apps.documents.errors import WorkflowError
from phasegate.apps.documents.projects import Document
from phasegate.apps.documents.prompts import PromptLoader
from phasegate.apps.documents.spending.ledger import Ledger, Place
from phasegate.apps.documents.staleness import minimal
from phasegate.apps.documents.staleness import stale as stale_documents
from phasegate.apps.documents.statements import CALLS
from phasegate.apps.documents.studio import Studio
from phasegate.cli import output
from phasegate.cli.session import Session
from phasegate.llm.budget import number

Form = Annotated[Literal["md", "json"], typer.Option("--format", help="Markdown or JSON.")]
Version = Annotated[int | None, typer.Option("--version", metavar="N", help="Which version; else the latest.")]


def show(
    session: Session,
    project: Project,
    document: Annotated[
        str | None, typer.Argument(metavar="[DOCUMENT]", help="Which; without it all are listed.")
    ] = None,
    version: Version = None,
    format: Form = "md",
    workflow: WorkflowName = None,
) -> None:
    """Show where a project stands, or one of its documents."""
    with looked_at(session, project, workflow) as (engine, run):
        if document is None:
            report(session, engine, run, stay=True)
            return
        found = _pick(projects.documents(engine, run), document, version)
        value = projects.content(engine, run, found)
        gates = (
            projects.waiting(run, projects.workflow_of(run)) if found.latest else []
        )  # what is older is not decided on
        gate = next((each for each in gates if each.name == found.name and each.shown), None)
        data = {**described(found), "content": value, "seen": gate.shown if gate else None}
        text = _as_text(run, found, value, format)
        session.answer(
            data, text.rstrip("\n"), *([f"seen: {gate.shown}", f"    {how_to_accept(run, gate)}"] if gate else [])
        )


def diff(
    session: Session,
    project: Project,
    document: Annotated[str, typer.Argument(metavar="DOCUMENT", help="Which document.")],
    before: Annotated[
        int | None, typer.Option("--from", metavar="N", help="The older version; else the one before.")
    ] = None,
    after: Annotated[int | None, typer.Option("--to", metavar="N", help="The newer version; else the latest.")] = None,
    workflow: WorkflowName = None,
) -> None:
    """Show what has changed between two versions of a document."""
    with looked_at(session, project, workflow) as (engine, run):
        found = projects.documents(engine, run)
        newer = _pick(found, document, after)
        older = [
            e for e in found if e.name == newer.name and (e.version == before if before else e.version < newer.version)
        ]
        if not older:
            raise WorkflowError(f"{newer.name} has no version {before or f'before {newer.version}'}")
        one, two = older[-1], newer
        names = f"{one.name} version {one.version}", f"{two.name} version {two.version}"
        text = exporting.difference(projects.content(engine, run, one), projects.content(engine, run, two), names)
        session.answer({"from": one.version, "to": two.version, "diff": text}, text or "nothing has changed")


def export(
    session: Session,
    project: Project,
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Where the files go.")],
    format: Form = "md",
    workflow: WorkflowName = None,
) -> None:
    """Write the latest version of every document as files."""
    with looked_at(session, project, workflow) as (engine, run):
        written = []
        for each in (found for found in projects.documents(engine, run) if found.latest):
            value = projects.content(engine, run, each)
            text = _as_text(run, each, value, format)
            try:
                written.append(exporting.write(to, exporting.file_name(each.doc_type, each.path, format), text))
            except OSError as error:
                raise WorkflowError(f"{to} cannot be written: {error.strerror}") from None
        session.answer({"files": written}, *(str(each) for each in written), f"{len(written)} documents written")


def _as_text(run: Run, document: Document, value: Any, form: str) -> str:
    if form == "json":
        return exporting.as_json(value)
    return exporting.as_markdown(value, projects.title(projects.workflow_of(run), document))


def stale(session: Session, project: Project, workflow: WorkflowName = None) -> None:
    """List the documents that rest on something that has changed, and the phases a minimal re-run needs."""
    with looked_at(session, project, workflow) as (engine, run):
        definition = projects.workflow_of(run)
        found = stale_documents(engine, run, definition, PromptLoader(Path(Studio.of(engine, run).prompts)))
        first = minimal(found)
        data = {
            "stale": [{"document": each.document.name, "reasons": each.reasons} for each in found],
            "again": [{"phase": each.step, "scope": each.scope} for each in first],
        }
        rows = [(each.document.name, "; ".join(each.reasons)) for each in found]
        again = [_reset(run.id, each) for each in first]
        session.answer(data, *([output.Table(("document", "reason"), rows)] if rows else ["nothing is stale"]), *again)


def _reset(run_id: str, document: Document) -> str:
    scope = [word for key in document.scope for word in ("--scope", key)]
    return f"{shlex.join(['phasegate', 'reset', run_id, document.step, *scope])} --by NAME"


def costs(session: Session, project: Project, workflow: WorkflowName = None) -> None:
    """Show what the model was asked for, what it cost, and what budgets have left."""
    with looked_at(session, project, workflow) as (engine, run):
        calls = engine.read(CALLS, {"run": run.id})
        steps: dict[str, list[Any]] = {}
        for call in calls:
            steps.setdefault(call["step"], []).append(call)
        rows = [(step, *_summed(found)) for step, found in steps.items()]
        total = _summed(list(calls))
        columns = ("step", "answers", "tokens in", "tokens out", "cost in USD")
        budgets = _budgets(engine, run)
        data = {"calls": calls, "total": dict(zip(columns[1:], total, strict=True)), "budgets": budgets}
        tables = [output.Table(columns, [*rows, ("all", *total)])]
        if budgets:
            tables.append(output.Table(tuple(budgets[0]), [tuple(each.values()) for each in budgets]))
        session.answer(data, *tables)


def _budgets(engine: Engine, run: Run) -> list[dict[str, Any]]:
    ledger = Ledger(engine)
    steps = projects.workflow_of(run).get_production_steps()
    found = [each for step in steps for each in ledger.accounts(Place(run.tenant, run.id, step.step_id, ()))]
    return [
        {
            "budget": account.key.partition("/")[2] if account.per == "phase" else account.per,
            "unit": account.unit,
            **{
                name: number(account.unit, value)
                for name, value in (
                    ("limit", account.allowed),
                    ("spent", account.spent),
                    ("reserved", account.reserved),
                )
            },
        }
        for account in dict.fromkeys(found)
    ]


def _summed(calls: list[Any]) -> tuple[int, int, int, float | None]:
    tokens = [sum(call[name] or 0 for call in calls) for name in ("prompt_tokens", "completion_tokens")]
    known = [call["cost"] for call in calls if call["cost"] is not None]
    return len(calls), tokens[0], tokens[1], sum(known) if known else None


def _pick(found: list[Document], name: str, version: int | None) -> Document:
    those = [each for each in found if name in (each.name, each.doc_type)]
    names = list(dict.fromkeys(each.name for each in those))
    if len(names) > 1:
        raise WorkflowError(f"{name!r} is several: {', '.join(names)}", hint="name one of them in full")
    chosen = [each for each in those if (each.version == version if version is not None else each.latest)]
    if not chosen:
        known = ", ".join(dict.fromkeys(each.name for each in found)) or "none"
        raise WorkflowError(
            f"there is no document {name!r}{f' version {version}' if version else ''}", hint=f"there are: {known}"
        )
    return chosen[0]
