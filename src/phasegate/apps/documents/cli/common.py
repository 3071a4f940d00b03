"""What the commands share: options, working until somebody has to decide, and the report on where a project stands."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from phasegate import Engine, Run, RunStatus
from phasegate.apps.documents import projects
from phasegate.apps.documents.building import executors_of
from phasegate.apps.documents.layout import Layout
from phasegate.apps.documents.projects import Document, Held, Waiting
from phasegate.apps.documents.studio import Studio, flow_for, open_engine
from phasegate.cli import output
from phasegate.cli.session import Session
from phasegate.core import facts as f
from phasegate.database import check_prepared
from phasegate.errors import InputError
from phasegate.llm import Client, LLMError

Project = Annotated[str, typer.Argument(metavar="PROJECT", help="The name of the project.")]
WorkflowName = Annotated[
    str | None, typer.Option("--workflow", metavar="ID", help="Which workflow, when the project follows several.")
]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides.")]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="PROVIDER:NAME", help="The model; several are tried in their order."),
]
Replayed = Annotated[
    str | None, typer.Option("--replay", metavar="FOLDER", help="Recorded answers, to use instead of a model.")
]
Priced = Annotated[
    str | None, typer.Option("--prices", metavar="FILE", help="Prices per million tokens (TOML or JSON).")
]
Stay = Annotated[bool, typer.Option("--stay", help="Record it, and do not go on working.")]

#: Seconds between two looks at what has happened.
LOOK = 0.2


@contextmanager
def opened(
    session: Session, project: str, workflow: str | None, *, stay: bool, replay: str | None, **given: Any
) -> Iterator[tuple[Engine, Run]]:
    """An engine that knows the project's flow, and its run; ``given`` are options of the studio.

    Raises what is in the way of going on afterwards, unless one wants to ``stay``: ``InputError`` when there is no folder
    ``replay``, ``LLMError`` when the model cannot be asked.
    """
    given["replay"] = recordings(replay)
    check_prepared(session.address)
    with open_engine(session.address, session.tenant) as engine:
        run = projects.find_project(engine, project, workflow)
        studio = Studio.of(engine, run).with_options(**given)
        flow = engine.registry.add(flow_for(projects.workflow_of(run)))
        client = studio.client()
        if not stay:
            _check_ready(client)
        executors_of(flow).use(project, studio.executor(client))
        yield engine, run


def _check_ready(client: Client) -> None:
    try:
        client.ready()
    except LLMError as error:
        error.hint = "; ".join(filter(None, (error.hint, "or only record it: --stay")))
        raise


def recordings(path: str | None) -> str | None:
    """The folder of recorded answers that was named, from the root. Raises ``InputError`` when there is none."""
    if path is not None and not Path(path).is_dir():
        raise InputError(f"there is no folder {path}", hint="--replay names a folder that --record filled")
    return None if path is None else str(Path(path).resolve())


@contextmanager
def looked_at(session: Session, project: str, workflow: str | None) -> Iterator[tuple[Engine, Run]]:
    """An engine to look at a project with."""
    with session.engine() as engine:
        yield engine, projects.find_project(engine, project, workflow)


def work(engine: Engine, run: Run, *, quiet: bool) -> Run:
    """Do what can be done now, telling of every document; the run as it is then."""
    with nullcontext() if quiet else _telling(engine, run):
        engine.drain()  # here, in the main thread, Ctrl-C gives up what is under way
    return engine.get(run.id)


@contextmanager
def _telling(engine: Engine, run: Run) -> Iterator[None]:
    """Tell of every document of a run that comes about within the block."""
    layout = Layout(projects.workflow_of(run))
    position = max((commit.position for commit in engine.watch()), default=0)
    done = threading.Event()

    def tell() -> None:
        nonlocal position
        while not done.wait(LOOK):
            position = _tell(engine, run, layout, position)
        _tell(engine, run, layout, position)

    with ThreadPoolExecutor(1, "phasegate-telling") as thread:
        telling = thread.submit(tell)
        try:
            yield
        finally:
            done.set()
        telling.result()


def _tell(engine: Engine, run: Run, layout: Layout, position: int) -> int:
    for commit in engine.watch(position):
        position = commit.position
        for fact in commit.facts if commit.run_id == run.id else ():
            step = layout.workflow.get_step(getattr(fact, "phase", ""))
            if step is None or not step.is_production:
                continue
            name = projects.named(step.produces or "", layout.path(step, getattr(fact, "scope", ())))
            if isinstance(fact, f.AttemptSucceeded):
                output.write(f"{name}: {'written' if fact.outcome == 'done' else 'not fit, asked again'}")
            elif isinstance(fact, f.AttemptFailed):
                output.write(f"{name}: {fact.message}")
    return position


def report(session: Session, engine: Engine, run: Run, *, stay: bool = False, definition: str = "DEFINITION") -> None:
    """Where the project stands, and what a person can do next; ``definition`` is the file to type, where it is known.

    Ends the command with 1 unless the project is done, or waits for persons and nothing has gone wrong; what has not gone on is
    no failure when one wanted to ``stay``.
    """
    found = projects.documents(engine, run)
    workflow = projects.workflow_of(run)
    waiting, held = projects.waiting(run, workflow), projects.held(run, workflow)
    data = {
        "project": run.subject.id, "workflow": run.flow, "run": run.id, "status": run.status, "reason": run.reason,
        "documents": [described(each) for each in found if each.latest], "waiting": waiting,
        "held": held,
    }  # fmt: skip
    rows = [(each.name, each.version, each.row["attempts"], _accepted(each, waiting)) for each in found if each.latest]
    table = output.Table(("document", "version", "answers", "accepted by"), rows)
    said = f"{run.subject.id}: {run.status.value}" + (f" ({run.reason})" if run.reason else "")
    steps = [*(next_step(run, each) for each in waiting), *how_to_go_on(run, held, definition)]
    session.answer(data, *([table] if rows else []), said, *steps)
    if not _is_well(run, waiting, held, stay):
        raise typer.Exit(1)


def _is_well(run: Run, waiting: list[Waiting], held: list[Held], stay: bool) -> bool:
    """Whether the run is done, or a person is what it waits for."""
    if run.finished or run.status is RunStatus.PAUSED or run.ending:
        return run.status is RunStatus.SUCCEEDED
    return stay or (bool(waiting) and not any(each.error for each in held))


def how_to_go_on(run: Run, held: list[Held], definition: str) -> list[str]:
    """What holds the run up other than persons, and what to type."""
    again = shlex.join(["phasegate", "documents", "run", definition, "--project", run.subject.id])
    lines = [_holding(each) for each in held if not (each.error and each.error in (run.reason or ""))]
    if run.status is RunStatus.CANCELLED or (run.status is RunStatus.FAILED and not projects.may_be_retried(run)):
        return [*lines, f"to begin anew: {again} --again"]
    if run.status is RunStatus.PAUSED:
        return [*lines, f"to go on: {shlex.join(['phasegate', 'resume', run.id])} --by NAME"]
    return [*lines, f"to go on at once: {again}"] if held else []


def _holding(held: Held) -> str:
    error = f": {held.error}" if held.error else ""
    if held.kind == "retry":
        due = output.words(held.due_at) or "some time"
        return f"{held.name} is tried again at {due}, by a worker or when you go on{error}"
    if held.kind == "running":
        return f"{held.name} is under way in another process, or in one that has died, since {output.words(held.since)}{error}"
    state = "has failed" if held.kind == "failed" else "waits for a worker, or one has just begun with it"
    return f"{held.name} {state}{error}"


def _accepted(document: Document, waiting: list[Waiting]) -> str:
    if any((each.step, each.scope) == (document.step, document.scope) for each in waiting if each.kind == "acceptance"):
        return "waiting"
    return ", ".join(document.accepted_by)


def described(document: Document) -> dict[str, Any]:
    """A document as JSON for programs, without its content."""
    return {
        "document": document.name, "type": document.doc_type, "path": document.path, "version": document.version,
        "sha256": document.sha256, "latest": document.latest, "accepted_by": document.accepted_by, "step": document.step,
        "model": document.row["model"], "attempts": document.row["attempts"], "produced_at": document.row["produced_at"],
        "role_sha256": document.row["role_sha256"], "task_sha256": document.row["task_sha256"],
        "prompt_sha256": document.row["prompt_sha256"],
    }  # fmt: skip


def next_step(run: Run, waiting: Waiting) -> str:
    """What to type."""
    project, name = shlex.quote(run.subject.id), shlex.quote(waiting.name)
    if waiting.kind == "acceptance":
        return (
            f"{waiting.name} waits to be accepted: phasegate documents show {project} {name}\n"
            f"    {how_to_accept(run, waiting)}"
        )
    said = "needs more than its budget" if waiting.kind == "budget" else "has questions"
    lines = [f"{waiting.name} {said}:"]
    lines += [f"    {each.get('id') or each.get('question_id')}: {_text(each)}" for each in waiting.questions]
    lines.append(f"    phasegate documents answer {project} {name} --by NAME --answers '{{...}}'")
    return "\n".join(lines)


def how_to_accept(run: Run, waiting: Waiting) -> str:
    """The command that accepts what is shown now, and nothing that comes after it."""
    role = ["--role", waiting.roles[0]] if waiting.roles else []
    seen = ["--seen", waiting.shown] if waiting.shown else []
    words = ["phasegate", "documents", "accept", run.subject.id, waiting.name, "--by", "NAME", *role, *seen]
    return shlex.join(words)


def _text(question: Any) -> str:
    return str(question.get("text") or question.get("question"))
