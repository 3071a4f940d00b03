"""A plan of three phases, one tried twice, one that a person approves, as a program that dies at one of its commits or at one of
its steps on the file system; started again it puts the tree in order, and goes on where it was."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import alembic.command  # noqa: F401 - imported when it is needed, which would be in every fork

from phasegate import Engine, RunStatus
from phasegate.apps.build import PhaseExecutor, PhaseOrchestrator, executor
from phasegate.apps.build import statements as q
from phasegate.apps.build.approval import Answer, ApprovalRequest
from phasegate.apps.build.flow import DONE, stage
from phasegate.llm import Client, Request, Response
from phasegate.testing import CrashPoint
from tests.apps.build.conftest import FILES, tree
from tests.apps.build.models import files, phase
from tests.chaos_build.applying import Killer

#: Where the parts of one life lie in its folder.
REPO, DATABASE, CALLS = "repo", "build.db", "calls"
#: What an executor opens its database with: from then on commits and steps are counted.
OPEN = "open_engine"
#: It says that the program is well unless the limit is 13, and takes no time.
CHECK = "import pathlib, sys; sys.exit('13' in pathlib.Path('src/util.py').read_text())\n"
TOKENS = 150
PHASES = 3


def plan() -> list[dict[str, Any]]:
    """The first phase is tried again, because the limit of its first answer is 13; the second one has to be approved."""
    test = {"test_cmd": [sys.executable, "-S", "-E", "check.py"]}
    return [
        phase("Raise the limit.", ["src/util.py"], phase_id="one", context_files=["src/util.py"], **test),
        phase("Write the rest.", ["new/deep/file.py"], phase_id="two", requires_approval=True, **test),
        phase(
            "Remove what is old.", ["src/app.py"], phase_id="three", **test,
            context_files=["src/app.py", "README.md", "new/deep/file.py"],
        ),
    ]  # fmt: skip


ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "Raise the limit.": files(("modify", "src/util.py", "LIMIT = 4\n"), ("create", "limits.txt", "4\n")),
    "Write the rest.": files(("create", "new/deep/file.py", "X = 1\n"), ("create", "new/other.txt", "")),
    "Remove what is old.": files(
        ("modify", "src/app.py", "def greet(name):\n    return f'Hello {name}'\n"), ("delete", "README.md"),
        ("delete", "new/deep/file.py"),
    ),
}  # fmt: skip
FIRST = files(("modify", "src/util.py", "LIMIT = 13\n"), ("create", "limits.txt", "13\n"))


class Model(Client):
    """Answers by what it is asked, and writes every call down before it answers."""

    def __init__(self, calls: Path) -> None:
        self._calls = calls

    async def generate(self, request: Request) -> Response:
        with self._calls.open("a", encoding="utf-8") as file:
            file.write("called\n")
        name = next(each for each in ANSWERS if each in request.user)
        again = "E_HEALTH_TESTS" in request.user or name != "Raise the limit."
        return Response(json.dumps(ANSWERS[name] if again else FIRST), 100, 50, TOKENS, stop_reason="complete")


class Pending:
    """Nobody decides at once."""

    def decide(self, request: ApprovalRequest) -> Answer:
        return "pending"


def main(folder: str, commit: int = 0, after: bool = False, step: int = 0, counted: str = "") -> None:
    """Work in a folder until the plan is done. Dies at the commit of that number, before it or ``after`` it, or at that step on
    the file system; how many of both there were is written into the file ``counted``."""
    place, points = Path(folder), list[CrashPoint]()
    killer = Killer(step)
    open_engine = getattr(executor, OPEN)

    def opened(*arguments: Any, **options: Any) -> Engine:
        engine: Engine = open_engine(*arguments, **options)
        points.append(CrashPoint(engine, commit=commit or None, after=after))
        killer.arm()
        return engine

    setattr(executor, OPEN, opened)
    with PhaseExecutor(Model(place / CALLS), place / REPO, place / DATABASE, approval_provider=Pending()) as made:
        check_tree(made)
        finish(made)
        check_tree(made)
    if counted:
        Path(counted).write_text(f"{points[0].commits} {killer.count}", encoding="utf-8")


def finish(made: PhaseExecutor) -> None:
    """Begin the plan, or go on with it, and approve what waits."""
    rows = made.engine.read(q.RUNS, {"most": 2})
    if not rows:
        told = PhaseOrchestrator(made).run_phases(plan())
        run_id = told["run_id"]
    else:
        (row,) = rows
        run_id = row["run_id"]
        assert row["status"] != "running", "it is not known that its process has ended"
        told = made.resume(run_id)
    if told["status"] == "awaiting_approval":
        (request,) = (each["approval"] for each in told["phase_results"] if each["approval"])
        made.decide(request["request_id"], "approved", by="ann")
        told = made.resume(run_id)
    assert told["status"] == "succeeded", told["phase_results"]


def check_tree(made: PhaseExecutor) -> None:
    """As soon as there is an executor, all of a phase is on disk if it was accepted, and nothing otherwise."""
    runs = made.engine.read(q.RUNS, {"most": 2})
    accepted = 0
    for row in runs:
        run = made.engine.get(row["run_id"])
        assert run.status is not RunStatus.FAILED, run.reason
        accepted = sum(run.at(stage(number, "accept")).outcome == DONE for number in range(1, PHASES + 1))
    found, wanted = tree(made.shop.root.path), TREES[accepted]
    assert {path: each[2] for path, each in found.items() if each[0] == "file"} == wanted
    assert {path for path, each in found.items() if each[0] == "folder"} == _folders(wanted)
    assert not list((made.shop.state_dir / "txn").glob("*")), "a transaction is left"


def _folders(wanted: Mapping[str, bytes]) -> set[str]:
    return {str(above) for path in wanted for above in Path(path).parents} - {"."}


def _trees() -> list[dict[str, bytes]]:
    """The files before the first phase and after each, told by other means than those that are tested."""
    now = {name: text.encode() for name, text in {**FILES, "check.py": CHECK}.items()}
    found = [dict(now)]
    for answer in ANSWERS.values():
        for each in answer["files"]:
            if each["mode"] == "delete":
                del now[each["path"]]
            else:
                now[each["path"]] = each["new_content"].encode()
        found.append(dict(now))
    return found


TREES = _trees()


def write_files(folder: Path) -> None:
    """What ``main`` works on."""
    for name, data in TREES[0].items():
        (folder / REPO / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / REPO / name).write_bytes(data)
        os.chmod(folder / REPO / name, 0o644)
