"""``PhaseExecutor``: one phase, or a plan of them, on one repository; everything it does is a run of the engine."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import os
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from phasegate import Engine, Flow, Registry, Run, RunStatus, Subject
from phasegate.apps.build import statements as q
from phasegate.apps.build.applying.transaction import Recovered
from phasegate.apps.build.approval import ApprovalProvider
from phasegate.apps.build.deciding import Approvals
from phasegate.apps.build.errors import (
    CancelledError,
    FileSystemError,
    HistoryError,
    LockError,
    PhaseExecutorError,
    SpecError,
    told,
)
from phasegate.apps.build.flow import MOST_PHASES, flow_of
from phasegate.apps.build.health.context import Check
from phasegate.apps.build.opening import SCHEMA_IS, open_engine
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.plain import plain
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.results import orchestration_result, phase_result
from phasegate.apps.build.shop import EventSink
from phasegate.apps.build.stages import STAGES
from phasegate.apps.build.stages.common import dump, load
from phasegate.apps.build.validation.structure import check_changes
from phasegate.apps.build.workshop import Workshop, Workshops
from phasegate.errors import InputError, NotAllowed, PhasegateError, StoreError
from phasegate.llm import Prices, as_client

#: What a run's key is made of; a repository may have many runs, one after another.
KIND = "repository"


class PhaseExecutor:
    """Has a model change one repository, phase by phase.

    Each phase is checked, asked about, validated, applied whole, and kept or undone to the byte; what happened is in the
    database. One executor works on a repository at a time. Use it as a context manager, or ``close`` it."""

    def __init__(
        self, llm_client: Any, repo_root: Path | str, db_path: Path | str, max_tokens: int = 200_000, *,
        model: str | None = None, clock: Callable[[], datetime] | None = None,
        sleep: Callable[[float], object] | None = None, id_factory: Callable[[], str] | None = None,
        approval_provider: ApprovalProvider | None = None, policy: Policy | None = None,
        event_sink: EventSink | None = None, timeout_s: float | None = None, phase_token_cap: int | None = None,
        run_token_cap: int | None = None, state_dir: Path | str | None = None, tiers: Sequence[str] = (),
        prices: Prices | None = None, checks: Iterable[Check] = (), rules: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """``llm_client`` is anything that ``phasegate.llm.as_client`` takes. ``db_path`` is the SQLite file of the history;
        relative, it is meant from ``repo_root``, once. ``max_tokens`` is the window of one call, prompt and answer together.

        ``tiers`` are models to climb when one fails, the weakest first; ``checks`` are health checks of one's own; ``rules``
        are told to the model in every prompt; ``state_dir`` is where changes are staged, by default beside the database.

        Raises ``InputError`` for arguments that cannot be used, and ``HistoryError`` when the database cannot.
        """
        if llm_client is None:
            raise InputError(
                "llm_client is None", hint="give a client: an object with generate, complete or chat, or a function"
            )
        for name, value in (
            ("max_tokens", max_tokens),
            ("phase_token_cap", phase_token_cap),
            ("run_token_cap", run_token_cap),
        ):
            if value is not None and not _is_whole(value, least=1):
                raise InputError(f"{name} is {value!r}; it must be a whole number of at least 1")
        root = Root(_directory(repo_root))
        database = _absolute(db_path, root.path)
        self.policy = policy or Policy()
        self._new_id = id_factory or (lambda: uuid.uuid4().hex)
        with _database_errors(database):
            database.parent.mkdir(parents=True, exist_ok=True)
            self._workshops = Workshops()
            self.engine: Engine = open_engine(database, Registry(deps=self._workshops), clock=clock)
        self._workshops.engine = self.engine
        self.shop = Workshop(
            root=root, client=as_client(llm_client), policy=self.policy, database=database,
            state_dir=_absolute(state_dir, root.path) if state_dir is not None else Path(f"{database}.state"),
            max_tokens=max_tokens, model=model, prices=prices, phase_token_cap=phase_token_cap,
            run_token_cap=run_token_cap, timeout_s=timeout_s, approval_provider=approval_provider, checks=tuple(checks),
            rules=tuple(rules), sleep=_awaitable(sleep), tiers=tuple(tiers), event_sink=event_sink, clock=clock,
            history_problem=self._history_problem,
        )  # fmt: skip
        self._workshops.use(str(root.path), self.shop)
        #: Paths that an interrupted run had changed, and that were put back when this executor was made.
        self.restored: list[str] = []
        self._approvals = Approvals(self.engine, self.shop, _blocking(sleep))
        self._sweep()

    # --- the API of the brief ---

    def execute_phase(
        self, phase_spec: Mapping[str, Any], context_files: Sequence[str] | None = None,
        protected_paths: Sequence[str] | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Execute one phase, once. Never raises for anything that concerns the phase, the model, the files or the database: the
        result says what went wrong, and nothing is changed then. Only an interruption is raised, after everything was put
        back."""
        began = self.shop.seconds()
        if context_files is not None and not _is_list_of_text(context_files):
            return self._refused([SpecError("E_SPEC_FIELD", "context_files must be a list of paths")], began)
        if protected_paths is not None and not _is_list_of_text(protected_paths):
            return self._refused([SpecError("E_SPEC_FIELD", "protected_paths must be a list of paths")], began)
        try:
            ran = self.run_plan(
                [phase_spec],
                max_retries=0,
                health_checks=False,
                context_files=context_files,
                protected_paths=protected_paths,
            )
        except PhaseExecutorError as error:
            return self._refused([error], began)
        except PhasegateError as error:
            return self._refused([_history_error(error, self.shop.database)], began)
        result: dict[str, Any] = ran["phase_results"][0]
        return {**result, "retry_count": 0}

    def validate_changes(self, changes: Any, protected_paths: Any) -> tuple[bool, list[str]]:
        """Whether changes are well-formed and of paths that may be written; with every problem, in their order. Writes nothing,
        and never raises."""
        try:
            protection = self.shop.protection(protected_paths)
        except SpecError as error:
            return False, [error.message]
        errors = check_changes(changes, protection, self.shop.root, self.policy)
        return not errors, [each.message for each in errors]

    # --- plans ---

    def run_plan(
        self, phases: Sequence[Any], *, max_retries: int = 3, health_checks: bool = True, stop_on_failure: bool = True,
        context_files: Sequence[str] | None = None, protected_paths: Sequence[str] | None = None,
        continues: str | None = None, about: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Execute phases one after another; the result is that of ``PhaseOrchestrator.run_phases``.

        ``continues`` is an earlier run: one that has not ended is gone on with when it has the same phases, and cancelled
        otherwise; what has succeeded in it with the same specification is kept. Raises ``LockError``, ``HistoryError`` and
        ``InputError``.
        """
        if len(phases) > MOST_PHASES:
            raise InputError(f"a plan has at most {MOST_PHASES} phases, not {len(phases)}")
        if not phases:
            return orchestration_result([], run_id="", total=0, duration=0.0, health=[], status="succeeded")
        plan = [plain(each) for each in phases]
        with self.shop.lock:
            earlier = self._own_run(continues) if continues is not None else None
            if earlier is not None and not earlier.finished:
                if dump(earlier.input["plan"]) == dump(plan):
                    return self._go_on(earlier.id)
                self.engine.cancel(earlier.id, reason="another plan takes its place")
            with _database_errors(self.shop.database):
                self._workshops.recover(self.shop)
            return self._go_on(
                self._start(
                    plan, max_retries, health_checks, stop_on_failure, context_files, protected_paths, continues, about
                )
            )

    def resume(self, run_id: str) -> dict[str, Any]:
        """Go on with a run that was interrupted, or whose approval has been given; the result is that of ``run_plan``."""
        with self.shop.lock:
            return self._go_on(run_id)

    def decide(self, request_id: str, outcome: str, *, by: str, comment: str = "") -> None:
        """Approve or reject a change that waits, by the id of its request; ``resume`` goes on then.

        Raises ``ApprovalError`` when there is no such request, ``AlreadyDecided`` and ``Stale`` as the engine does.
        """
        self._approvals.decide(request_id, outcome, by=by, comment=comment)

    def recover(self, *, keep_edits: bool = False) -> list[str]:
        """Undo what was interrupted while files were changed; the paths that are as they were before. Done by every run, too.

        Raises ``RollbackError`` for files that somebody has changed since; with ``keep_edits`` they stay as they are now, and
        what was kept to put them back is dropped.
        """
        with self.shop.lock:
            recovered = self._workshops.recover(self.shop)
            if keep_edits:
                recovered = [each for each in recovered if not self.shop.forget(each)]
        conflicts = [each.error for each in recovered if each.error is not None]
        if conflicts:
            raise conflicts[0]
        return _restored(recovered)

    def close(self) -> None:
        """Let go of the database."""
        self.engine.close()

    def __enter__(self) -> PhaseExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- inside ---

    def _start(
        self, plan: list[Any], max_retries: int, health_checks: bool, stop_on_failure: bool,
        context_files: Sequence[str] | None, protected_paths: Sequence[str] | None, continues: str | None,
        about: Mapping[str, Any] | None,
    ) -> str:  # fmt: skip
        flow = _flow(len(plan), self.policy.approval_timeout)
        given = {
            "plan": plan, "repo_root": str(self.shop.root.path), "stop_on_failure": stop_on_failure,
            "max_retries": max_retries, "health_checks": health_checks, "policy": asdict(self.policy),
            "context_files": None if context_files is None else list(context_files),
            "protected": None if protected_paths is None else list(protected_paths), "continues": continues,
            "about": None if about is None else dict(about),
        }  # fmt: skip
        with _database_errors(self.shop.database):
            run = self.engine.start(flow, subject_of(self.shop.root.path), input=given, key=self._new_id())
        return run.id

    def _go_on(self, run_id: str) -> dict[str, Any]:
        """Do what can be done. The lock is held."""
        began = self.shop.seconds()
        self.shop.begin(run_id, 0)
        try:
            with _database_errors(self.shop.database):
                self._take(run_id)
                self.engine.drain()
                while self._approvals.ask(run_id):
                    self.engine.drain()
                self.shop.working = None
                self._workshops.recover(self.shop)
                return self._result(run_id, self.shop.seconds() - began)
        except (KeyboardInterrupt, asyncio.CancelledError):
            self._let_go(run_id, cancelled=True)
            raise
        except BaseException:
            self._let_go(run_id, cancelled=False)
            raise

    def _take(self, run_id: str) -> None:
        """Make a run, whoever has begun it, the one that this process works on."""
        run = self._own_run(run_id)
        self._know(run)
        self.shop.working = run_id
        if run.status is RunStatus.PAUSED:
            self.engine.resume(run_id)
        elif not run.finished:
            self._own(run_id)
            with suppress(NotAllowed):  # nothing of it was put off
                self.engine.retry(run_id)

    def _own_run(self, run_id: str) -> Run:
        run = self._run(run_id)
        if run.input["repo_root"] != str(self.shop.root.path):
            raise InputError("the run is of another repository", hint="go on with it by an executor on that one")
        return run

    def _own(self, run_id: str) -> None:
        """Have the history say that this process has the run: should it die, the run is known to be left."""
        row = self.engine.read(q.RUN, {"run": run_id})[0]
        if (row["pid"], row["host"]) != (os.getpid(), socket.gethostname()):
            here = {"pid": os.getpid(), "host": socket.gethostname(), "heartbeat_at": self.engine.store.now()}
            self.engine.write([(q.RUN_TAKEN, q.setting(run_id, status=row["status"], **here))])

    def _know(self, run: Run) -> None:
        """Have the engine know the flow of a run that another process has begun."""
        if self.engine.registry.known(run.flow, run.version) is None:
            self.engine.registry.add(_flow(len(run.input["plan"]), run.input["policy"]["approval_timeout"]))

    def _let_go(self, run_id: str, *, cancelled: bool) -> None:
        """Work on the run has ended by an exception: put back what is half done, and put on record that it was cancelled, if it
        was. What fails here is done by whoever works on the repository next."""
        self.shop.working = None
        if cancelled:
            with suppress(PhasegateError):
                self.engine.cancel(run_id, reason="interrupted")
        with suppress(PhasegateError):
            self._workshops.recover(self.shop)

    def _history_problem(self) -> str | None:
        """What is wrong with the database, if anything is."""
        if not self.shop.database.is_file():
            return "the database is not there"
        try:
            said = str(next(iter(self.engine.read("PRAGMA quick_check(1)")[0].values())))
            found = {row["key"]: row["value"] for row in self.engine.read(q.META)}
        except StoreError as error:
            return f"the database cannot be read: {error}"
        if said != "ok":
            return f"the database is damaged: {said}"
        return None if found == SCHEMA_IS else "the tables are of another version of phasegate"

    def _run(self, run_id: str) -> Run:
        return self.engine.get(run_id)

    def _result(self, run_id: str, duration: float) -> dict[str, Any]:
        run, rows = self._run(run_id), self.engine.read(q.PHASES, {"run": run_id})
        recorded = self.engine.read(q.RUN, {"run": run_id})[0]
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
            request = self._approvals.waiting(row["run_id"])
            return phase_result(
                phase_id=row["phase_id"], status="awaiting_approval", approval=request, token_usage=row["tokens_used"],
                summary="The change waits for approval; nothing has been changed.",
                errors=["Approval pending: a person has to approve the change first"],
            )  # fmt: skip
        run = self._run(row["run_id"])
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

    def _refused(self, errors: Sequence[PhaseExecutorError], began: float) -> dict[str, Any]:
        return phase_result(error_details=told(errors), duration=self.shop.seconds() - began)

    def _sweep(self) -> None:
        """Runs of this repository whose process is gone are interrupted: they go on when somebody says so, not by themselves."""
        with _database_errors(self.shop.database), suppress(LockError, FileSystemError), self.shop.lock:
            for row in self.engine.read(q.UNFINISHED):
                if row["repo_root"] == str(self.shop.root.path) and row["status"] == "running" and _is_left(row):
                    with suppress(PhasegateError):
                        self.engine.pause(row["run_id"], reason="its process has ended")
            self.restored += _restored(self._workshops.recover(self.shop))


def _flow(count: int, approval_timeout: float) -> Flow:
    """The flow of a plan. Another time to decide makes another flow, which must not have the version of that one."""
    flow = flow_of(count, STAGES, approval_timeout=approval_timeout)
    return replace(flow, version=flow.version + 1_000_000 * round(1_000 * approval_timeout))


def subject_of(root: Path) -> Subject:
    """What a repository is called: the name of its folder, and enough of a hash of where it lies to be told from others."""
    name = "".join(c if c.isalnum() or c in "-_." else "-" for c in root.name) or "repository"
    return Subject(KIND, f"{name}-{hashlib.sha256(os.fsencode(root)).hexdigest()[:8]}")


class _database_errors:  # noqa: N801  # reads like the functions of contextlib
    """Errors of the database as ours."""

    def __init__(self, database: Path) -> None:
        self._database = database

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, StoreError):
            raise _history_error(error, self._database) from None
        if isinstance(error, OSError):
            raise HistoryError("E_HISTORY", error.strerror or type(error).__name__) from None


def _history_error(error: PhasegateError, database: Path) -> HistoryError:
    """An error of the engine's as ours, which names no folder of the machine."""
    return HistoryError("E_HISTORY", str(error).replace(f"{database.parent}{os.sep}", ""), hint=error.hint)


def _directory(given: Path | str) -> Path:
    try:
        path = Path(given).resolve(strict=True)
    except (OSError, TypeError, ValueError, RuntimeError):
        raise InputError("repo_root does not exist", hint="give the folder of the repository") from None
    if not path.is_dir():
        raise InputError("repo_root is not a folder", hint="give the folder of the repository")
    return path


def _absolute(given: Path | str, root: Path) -> Path:
    path = Path(given)
    return path if path.is_absolute() else root / path


def _restored(recovered: Iterable[Recovered]) -> list[str]:
    return sorted({path for each in recovered if each.outcome == "rolled_back" for path in each.paths})


def _is_whole(value: object, *, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_list_of_text(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)


def _awaitable(sleep: Callable[[float], object] | None) -> Callable[[float], Awaitable[object]] | None:
    """A sleep that may be awaited, whatever kind was given."""
    if sleep is None:
        return None

    async def slept(seconds: float) -> object:
        result = sleep(seconds)
        return await result if inspect.isawaitable(result) else result

    return slept


def _blocking(sleep: Callable[[float], object] | None) -> Callable[[float], object]:
    """A sleep that blocks, whatever kind was given."""

    def slept(seconds: float) -> object:
        result = (sleep or time.sleep)(seconds)
        return asyncio.run(result) if inspect.iscoroutine(result) else result

    return slept


def _is_left(row: Mapping[str, Any]) -> bool:
    """Whether nobody works on a run that is on record as running, when nobody has the repository's lock: its process is gone, or
    this one, which may have the number of one that is gone."""
    elsewhere = row["host"] != socket.gethostname()
    return elsewhere or row["pid"] in (None, os.getpid()) or not _alive(row["pid"])


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
