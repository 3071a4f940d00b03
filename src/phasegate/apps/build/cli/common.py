"""What the commands share: the file of the history, executors made of what a run remembers, and the report on a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from phasegate import Engine, Registry
from phasegate.apps.build import statements as q
from phasegate.apps.build.approval import ApprovalProvider
from phasegate.apps.build.errors import HistoryError
from phasegate.apps.build.executor import PhaseExecutor
from phasegate.apps.build.opening import open_engine
from phasegate.apps.build.plans import policy_of
from phasegate.cli import output
from phasegate.cli.session import Session
from phasegate.database import check_prepared
from phasegate.errors import InputError
from phasegate.llm import Client, Prices, open_client

RunId = Annotated[str | None, typer.Argument(metavar="[RUN]", help="The run; without it the latest.")]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides.")]
Comment = Annotated[str, typer.Option("--comment", metavar="TEXT", help="Why.")]

_PREFIX = "sqlite:///"


def history_file(session: Session) -> Path:
    """The SQLite file of the history. Raises ``InputError`` when the database is another one."""
    if not session.address.startswith(_PREFIX):
        raise InputError(
            "builds keep their history in a SQLite file",
            hint="--database sqlite:///build.db, on the repository's machine",
        )
    return Path(session.address.removeprefix(_PREFIX)).absolute()


def client_of(told: Mapping[str, Any]) -> Client:
    """The model that a run remembers. Each call is tried again by whoever asks, so that every one is counted."""
    if not told["models"] and told["replay"] is None:
        raise InputError("no model is named", hint="--model provider:name, or --replay FOLDER with recorded answers")
    return open_client(told["models"] or ["replay"], record=told.get("record"), replay=told["replay"], attempts=1)


def executor_of(
    database: Path, root: str, told: Mapping[str, Any], *, client: Client | None = None,
    provider: ApprovalProvider | None = None,
) -> PhaseExecutor:  # fmt: skip
    """The executor that a run remembers."""
    return PhaseExecutor(
        client or client_of(told), root, database, told["max_tokens"], policy=policy_of(told["policy"]),
        phase_token_cap=told["phase_token_cap"], run_token_cap=told["run_token_cap"], rules=told["rules"],
        tiers=told["tiers"], approval_provider=provider, prices=Prices.load(told["prices"]) if told["prices"] else None,
    )  # fmt: skip


@contextmanager
def looked_at(session: Session) -> Iterator[Engine]:
    """An engine to look at the history with; a file without one is refused."""
    check_prepared(session.address)
    engine = open_engine(history_file(session), Registry())
    try:
        yield engine
    finally:
        engine.close()


def find_run(engine: Engine, given: str | None) -> Mapping[str, Any]:
    """The row of a run, by its id or the beginning of it; the latest when none is named. Raises ``HistoryError``."""
    rows = engine.read(q.RUNS, {"most": 10_000})
    found = [row for row in rows if row["run_id"].startswith(given or "")]
    if not found:
        raise HistoryError("E_HISTORY_RUN", f"there is no run {given!r}" if given else "there are no runs yet")
    if given and len(found) > 1 and found[0]["run_id"] != given:
        raise HistoryError("E_HISTORY_RUN", f"several runs begin with {given!r}: write more of it")
    return found[0]


def told_of(engine: Engine, run_id: str) -> Mapping[str, Any]:
    """What a run remembers of how it was begun. Raises ``InputError`` for one that a program began, with a client of its own."""
    about: Mapping[str, Any] | None = engine.get(run_id).input.get("about")
    if about is None:
        raise InputError(
            "the run was begun by a program, with a client of its own",
            hint="go on with PhaseExecutor.resume in that program",
        )
    return about


def report(session: Session, engine: Engine, result: Mapping[str, Any]) -> None:
    """What became of a run; ends the command with 1 when it has failed."""
    session.answer(result, *lines_of(engine, result))
    if result["status"] not in ("succeeded", "awaiting_approval"):
        raise typer.Exit(1)


def lines_of(engine: Engine, result: Mapping[str, Any]) -> list[str | output.Table]:
    """A run's result for people."""
    rows = [
        (
            each["phase_id"], each["status"], each["retry_count"] + 1, ", ".join(each["files_changed"]),
            health_words(each["health"]), each["token_usage"],
        )
        for each in result["phase_results"]
    ]  # fmt: skip
    table = output.Table(("phase", "status", "attempts", "files", "health", "tokens"), rows)
    cost = engine.read(q.COST, {"run": result["run_id"]})[0]["cost"] if result["run_id"] else None
    said = [f"Run {result['run_id']}: {result['status']}, {result['token_usage']} tokens{cost_words(cost)}."]
    for each in result["phase_results"]:
        said += [f"{each['phase_id']}: {error}" for error in each["errors"]]
        said += [f"{each['phase_id']}: warning: {warning}" for warning in each["warnings"]]
        if each["status"] == "awaiting_approval" and each["approval"]:
            said += next_steps(each["approval"])
    if result["skipped_phases"]:
        said.append(f"{result['skipped_phases']} of {result['total_phases']} phases were not begun.")
    return [table, *said] if rows else list(said)


def next_steps(request: Mapping[str, Any]) -> list[str]:
    """What a person can type about a change that waits."""
    id = request["request_id"]
    return [
        f"The change waits for approval (risk {request['risk']}: {'; '.join(request['reasons'])}):",
        f"    phasegate build diff {request['run_id']}",
        f"    phasegate build approve {id} --by NAME",
        f"    phasegate build reject {id} --by NAME --comment TEXT",
    ]


def health_words(health: Mapping[str, Any] | None) -> str:
    """A health in a word or two."""
    if health is None:
        return ""
    bad = [each["name"] for each in health["checks"] if each["status"] == "fail"]
    return "healthy" if health["passed"] else f"failed: {', '.join(bad)}"


def cost_words(cost: float | None) -> str:
    """A cost, if anybody knows it."""
    return "" if cost is None else f", {cost:.4f} USD"
