"""What the commands share: the file of the history, executors made of what a run remembers, and what to type next."""

from __future__ import annotations

import shlex
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from phasegate import Engine
from phasegate.apps.build import statements as q
from phasegate.apps.build.approval import ApprovalProvider
from phasegate.apps.build.executor import PhaseExecutor
from phasegate.apps.build.plans import policy_of
from phasegate.apps.build.policy import Policy
from phasegate.cli import output
from phasegate.cli.session import Session
from phasegate.errors import InputError, NotADatabase
from phasegate.llm import Client, Prices, open_client

RunId = Annotated[
    str | None, typer.Argument(metavar="[RUN]", help="The run, or the beginning of its id; without it the latest.")
]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides.")]
Comment = Annotated[str, typer.Option("--comment", metavar="TEXT", help="Why.")]

_PREFIX = "sqlite:///"
#: The table that only a database with builds has.
_MARK = "build_version"
#: As many runs are looked through for one that is named.
_MOST_RUNS = 10_000
#: What a run remembers that a program began with a client of its own: what an executor needs in order to decide or put back.
BY_A_PROGRAM: Mapping[str, Any] = {
    "models": [], "replay": None, "record": None, "prices": None, "max_tokens": 200_000, "phase_token_cap": None,
    "run_token_cap": None, "rules": [], "tiers": [], "policy": asdict(Policy()), "approve": "never",
}  # fmt: skip


def history_file(session: Session) -> Path:
    """The SQLite file of the history. Raises ``InputError`` when the database is another one."""
    name = session.address.removeprefix(_PREFIX)
    if not session.address.startswith(_PREFIX) or not name:
        raise InputError(
            "builds keep their history in a SQLite file",
            hint="--database sqlite:///build.db, on the repository's machine",
        )
    if name == ":memory:":
        raise InputError("a history in memory would be gone at once", hint="--database sqlite:///build.db")
    return Path(name).absolute()


@contextmanager
def looked_at(session: Session) -> Iterator[Engine]:
    """An engine to look at the history with. Raises ``StoreError`` for a file without builds, which stays as it is."""
    file = history_file(session)
    if not file.exists():
        raise InputError(
            f"there is no database {file.name}", hint="phasegate build run begins one; --database names another"
        )
    with session.engine() as engine:
        if not engine.read("SELECT 1 FROM sqlite_master WHERE name = :name", {"name": _MARK}):
            raise NotADatabase(
                f"there are no builds in {file.name}", hint="name another database with --database; build run makes one"
            )
        yield engine


def client_of(told: Mapping[str, Any]) -> Client:
    """The model that a run remembers. Each call is tried again by whoever asks, so that every one is counted."""
    if not told["models"] and told["replay"] is None:
        raise InputError("no model is named", hint="--model provider:name, or --replay FOLDER with recorded answers")
    return open_client(told["models"] or ["replay"], record=told.get("record"), replay=told["replay"], attempts=1)


@contextmanager
def executor_of(
    database: Path, root: str, told: Mapping[str, Any], *, client: Any = None, provider: ApprovalProvider | None = None,
) -> Iterator[PhaseExecutor]:  # fmt: skip
    """The executor that a run remembers. Raises ``InputError`` when its repository is not there any more."""
    if not Path(root).is_dir():
        raise InputError(f"the repository {root} is not there any more", hint="put it back where it was")
    with _interruptible(), PhaseExecutor(
        client or client_of(told), root, database, told["max_tokens"], policy=policy_of(told["policy"]),
        phase_token_cap=told["phase_token_cap"], run_token_cap=told["run_token_cap"], rules=told["rules"],
        tiers=told["tiers"], approval_provider=provider, prices=Prices.load(told["prices"]) if told["prices"] else None,
    ) as executor:  # fmt: skip
        yield executor


@contextmanager
def _interruptible() -> Iterator[None]:
    """Have Ctrl-C, and ending this process politely or closing its terminal, interrupt what is done, once: whoever cannot wait
    until everything is put back would otherwise keep that from being done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal heard
        if heard:
            output.complain("still putting back what was being changed; it does not take long")
            return
        heard = True
        raise KeyboardInterrupt

    before = {signal.SIGINT: signal.signal(signal.SIGINT, interrupt)}
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            number = getattr(signal, name)
            before[number] = signal.signal(number, lambda _number, _frame: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def find_run(engine: Engine, given: str | None) -> Mapping[str, Any]:
    """The row of a run, by its id or the beginning of it; the latest when none is named. Raises ``InputError``."""
    rows = engine.read(q.RUNS, {"most": _MOST_RUNS})
    found = [row for row in rows if row["run_id"].startswith(given or "")]
    if not rows:
        raise InputError("there are no runs yet", hint="phasegate build run begins one")
    if not found:
        raise InputError(f"there is no run {given!r}", hint="phasegate build history lists them")
    exact = next((row for row in found if row["run_id"] == given), None)
    if given and exact is None and len(found) > 1:
        raise InputError(f"{len(found)} runs begin with {given!r}", hint="write more of it")
    return exact or found[0]


def remembered(engine: Engine, run_id: str) -> Mapping[str, Any] | None:
    """What a run remembers of how it was begun; None for one that a program began, with a client of its own."""
    about: Mapping[str, Any] | None = engine.get(run_id).input.get("about")
    return about


def told_of(engine: Engine, run_id: str) -> Mapping[str, Any]:
    """The same. Raises ``InputError`` for a run that a program began: nobody here could ask its model."""
    about = remembered(engine, run_id)
    if about is None:
        raise InputError(
            "the run was begun by a program, with a client of its own",
            hint="go on with PhaseExecutor.resume in that program",
        )
    return about


def typed(session: Session, *words: str) -> str:
    """What a person types for a command on the same database."""
    named = ["--database", session.database] if session.database else []
    return shlex.join(["phasegate", "build", *words, *named])
