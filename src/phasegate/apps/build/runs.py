"""The runs of plans on one repository: begun, gone on with, let go of, and told about. Whoever uses them holds the repository's
lock."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from phasegate import Engine, Run, RunStatus, Subject
from phasegate.apps.build import statements as q
from phasegate.apps.build.applying.transaction import Recovered
from phasegate.apps.build.columns import load
from phasegate.apps.build.deciding import Approvals
from phasegate.apps.build.errors import CancelledError, HistoryError, PhaseExecutorError, told
from phasegate.apps.build.flow import flow_of
from phasegate.apps.build.results import orchestration_result, phase_result
from phasegate.apps.build.stages import STAGES
from phasegate.apps.build.workshop import Workshop, Workshops
from phasegate.errors import InputError, NotAllowed, PhasegateError, StoreError, UnknownName

#: The kind of subject that moves through a plan.
KIND = "repository"
#: Seconds until a run is free of a process that ended without a word, and how long between two looks.
FREE_AFTER, LOOK = 20.0, 0.2


class Runs:
    """The runs of one repository that are on record in one database."""

    def __init__(self, engine: Engine, workshops: Workshops, shop: Workshop, sleep: Callable[[float], object]) -> None:
        """``sleep`` is how time is spent where the policy says to wait for a decision."""
        self._engine, self._workshops, self._shop = engine, workshops, shop
        self.approvals = Approvals(engine, shop, sleep)
        #: The run that was worked on last.
        self.latest: str | None = None

    def start(self, given: Mapping[str, Any], key: str) -> str:
        """Begin a run of a plan, whose input this is; its id."""
        flow = flow_of(len(given["plan"]), STAGES, approval_timeout=self._shop.policy.approval_timeout)
        with database_errors(self._shop.database):
            return self._engine.start(flow, subject_of(self._shop.root.path), input=given, key=key).id

    def go_on(self, run_id: str) -> dict[str, Any]:
        """Do what can be done, and the result. Raises ``HistoryError``, and what interrupts it, after everything was put back."""
        began, self.latest = self._shop.seconds(), run_id
        self._shop.go_on(run_id)
        try:
            with database_errors(self._shop.database):
                self._take(run_id)
                self._work(run_id)
                while self.approvals.ask(run_id):
                    self._work(run_id)
                self._shop.working = None
                self._workshops.recover(self._shop)
                return self._result(run_id, self._shop.seconds() - began)
        except (KeyboardInterrupt, asyncio.CancelledError):
            self._let_go(run_id, cancelled=True)
            raise
        except BaseException:
            self._let_go(run_id, cancelled=False)
            raise

    def _work(self, run_id: str) -> None:
        """Work until nothing can be done, also when the run is still held by a process that has ended: one that had the number of
        this one is not known to be gone until its lease has passed."""
        self._engine.drain()
        end = time.monotonic() + FREE_AFTER
        while self._engine.get(run_id).status in (RunStatus.PENDING, RunStatus.RUNNING) and time.monotonic() < end:
            time.sleep(LOOK)
            self._engine.drain()

    def _take(self, run_id: str) -> None:
        """Make a run, whoever has begun it, the one that this process works on."""
        run = self.get(run_id)
        self._know(run)
        self._shop.working = run_id
        if run.status is RunStatus.PAUSED:
            self._engine.resume(run_id)
        if not run.finished:
            self._own(run_id)
            with suppress(NotAllowed):  # nothing of it was put off
                self._engine.retry(run_id)

    def get(self, run_id: str) -> Run:
        """A run of this repository. Raises ``InputError`` for one of another, and for one that there is not."""
        try:
            run = self._engine.get(run_id)
        except UnknownName as error:
            raise InputError(f"there is no run {run_id!r} in this history", hint=error.hint) from None
        if run.input["repo_root"] != str(self._shop.root.path):
            raise InputError("the run is of another repository", hint="go on with it by an executor on that one")
        return run

    def _own(self, run_id: str) -> None:
        """Have the history say that this process has the run: should it die, the run is known to be left."""
        row = self._engine.read(q.RUN, {"run": run_id})[0]
        if (row["pid"], row["host"]) != (os.getpid(), socket.gethostname()):
            here = {"pid": os.getpid(), "host": socket.gethostname(), "heartbeat_at": self._engine.store.now()}
            self._engine.write([(q.RUN_TAKEN, q.setting(run_id, status=row["status"], **here))])

    def _know(self, run: Run) -> None:
        """Have the engine know the flow of a run that another process has begun."""
        if self._engine.registry.known(run.flow, run.version) is None:
            wait = run.input["policy"]["approval_timeout"]
            self._engine.registry.add(flow_of(len(run.input["plan"]), STAGES, approval_timeout=wait))

    def _let_go(self, run_id: str, *, cancelled: bool) -> None:
        """Work on the run has ended by an exception: put back what is half done, and put on record that it was cancelled, if it
        was. What fails here is done by whoever works on the repository next."""
        self._shop.working = None
        if cancelled:
            with suppress(PhasegateError):
                self._engine.cancel(run_id, reason="interrupted")
        with suppress(PhasegateError):
            self._workshops.recover(self._shop)

    def _result(self, run_id: str, duration: float) -> dict[str, Any]:
        run, rows = self._engine.get(run_id), self._engine.read(q.PHASES, {"run": run_id})
        recorded = self._engine.read(q.RUN, {"run": run_id})[0]
        results = [load(row["result_json"]) or self._unfinished(row) for row in rows]
        if not results:
            said = run.reason or "the engine gave no reason"
            error = HistoryError("E_HISTORY", f"the run stopped before its first phase: {said}")
            results = [phase_result(error_details=told([error]))]
        health = [each["health"] for each in results if each.get("health")]
        return orchestration_result(
            results, run_id=run_id, total=len(run.input["plan"]), duration=duration, health=health,
            status=recorded["status"], tokens=recorded["token_usage"],
        )  # fmt: skip

    def _unfinished(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The result of a phase without a verdict: it waits for a person, or something kept it from being decided."""
        if row["status"] == "awaiting_approval":
            request = self.approvals.waiting(row["run_id"])
            return phase_result(
                phase_id=row["phase_id"], status="awaiting_approval", approval=request, token_usage=row["tokens_used"],
                summary="The change waits for approval; nothing has been changed.",
                errors=["Approval pending: a person has to approve the change first"],
            )  # fmt: skip
        run = self._engine.get(row["run_id"])
        said = run.reason or "the phase was not finished"
        error = (
            CancelledError("E_CANCELLED", said)
            if row["status"] == "cancelled"
            else PhaseExecutorError("E_INTERNAL", said)
        )
        status = row["status"] if row["status"] in ("cancelled", "interrupted") else "failed"
        return phase_result(
            phase_id=row["phase_id"], status=status, error_details=told([error]), token_usage=row["tokens_used"]
        )

    def sweep(self) -> list[str]:
        """Runs that no process works on any more are interrupted: they go on when somebody says so, not by themselves. What they
        had half changed is put back; the paths."""
        with database_errors(self._shop.database):
            for row in self._engine.read(q.UNFINISHED):
                if row["repo_root"] == str(self._shop.root.path) and row["status"] == "running":
                    with suppress(PhasegateError):
                        self._engine.pause(row["run_id"], reason="its process has ended")
            return restored(self._workshops.recover(self._shop))


def subject_of(root: Path) -> Subject:
    """What a repository is called: the name of its folder, and enough of a hash of where it lies to be told from others."""
    name = "".join(c if c.isalnum() or c in "-_." else "-" for c in root.name) or "repository"
    return Subject(KIND, f"{name}-{hashlib.sha256(os.fsencode(root)).hexdigest()[:8]}")


class database_errors:  # noqa: N801  # reads like the functions of contextlib
    """Errors of the database as ours."""

    def __init__(self, database: Path) -> None:
        self._database = database

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, StoreError):
            raise history_error(error, self._database) from None
        if isinstance(error, OSError):
            raise HistoryError("E_HISTORY", error.strerror or type(error).__name__) from None


def history_error(error: PhasegateError, database: Path) -> HistoryError:
    """An error of the engine's as ours, which names no folder of the machine."""
    return HistoryError("E_HISTORY", str(error).replace(f"{database.parent}{os.sep}", ""), hint=error.hint)


def restored(recovered: Iterable[Recovered]) -> list[str]:
    """The paths that a recovery has put back."""
    return sorted({path for each in recovered if each.outcome == "rolled_back" for path in each.paths})
