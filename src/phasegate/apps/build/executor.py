"""``PhaseExecutor``: one phase, or a plan of them, on one repository; everything it does is a run of the engine."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from phasegate import Engine, Registry
from phasegate.apps.build import arguments
from phasegate.apps.build.approval import ApprovalProvider
from phasegate.apps.build.columns import dump
from phasegate.apps.build.errors import FileSystemError, LockError, PhaseExecutorError, SpecError, told
from phasegate.apps.build.flow import MOST_PHASES
from phasegate.apps.build.health.context import Check
from phasegate.apps.build.opening import history_problem, open_engine
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.plain import plain
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.results import orchestration_result, phase_result
from phasegate.apps.build.runs import Runs, database_errors, history_error, restored, subject_of
from phasegate.apps.build.shop import EventSink
from phasegate.apps.build.validation.structure import check_changes
from phasegate.apps.build.workshop import Workshop, Workshops
from phasegate.errors import InputError, PhasegateError
from phasegate.llm import Prices, as_client


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
            if value is not None and not arguments.is_whole(value, least=1):
                raise InputError(f"{name} is {value!r}; it must be a whole number of at least 1")
        root = Root(arguments.directory(repo_root))
        database = arguments.absolute(db_path, root.path)
        self.policy = policy or Policy()
        self._new_id = id_factory or (lambda: uuid.uuid4().hex)
        client = as_client(llm_client)
        with database_errors(database):
            database.parent.mkdir(parents=True, exist_ok=True)
            self._workshops = Workshops()
            self.engine: Engine = open_engine(database, Registry(deps=self._workshops), clock=clock)
        self._workshops.engine = self.engine
        self.shop = Workshop(
            root=root, client=client, policy=self.policy, database=database,
            state_dir=arguments.absolute(state_dir or f"{database}.state/{subject_of(root.path).id}", root.path),
            max_tokens=max_tokens, model=model, prices=prices, phase_token_cap=phase_token_cap,
            run_token_cap=run_token_cap, timeout_s=timeout_s, approval_provider=approval_provider, checks=tuple(checks),
            rules=tuple(rules), sleep=arguments.awaitable(sleep), tiers=tuple(tiers), event_sink=event_sink, clock=clock,
            history_problem=lambda whole: history_problem(self.engine, database, whole=whole),
        )  # fmt: skip
        self._workshops.use(str(root.path), self.shop)
        #: Paths that an interrupted run had changed, and that were put back when this executor was made.
        self.restored: list[str] = []
        self._runs = Runs(self.engine, self._workshops, self.shop, arguments.blocking(sleep))
        with suppress(LockError, FileSystemError), self.shop.lock:
            self.restored += self._runs.sweep()

    # --- the API of the brief ---

    def execute_phase(
        self, phase_spec: Mapping[str, Any], context_files: Sequence[str] | None = None,
        protected_paths: Sequence[str] | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Execute one phase, once. Never raises for anything that concerns the phase, the model, the files or the database: the
        result says what went wrong, and nothing is changed then. Only an interruption is raised, after everything was put
        back. What the phase itself names as context and as protected is added to the arguments."""
        began = self.shop.seconds()
        if context_files is not None and not arguments.is_list_of_text(context_files):
            return self._refused([SpecError("E_SPEC_FIELD", "context_files must be a list of paths")], began)
        if protected_paths is not None and not arguments.is_list_of_text(protected_paths):
            return self._refused([SpecError("E_SPEC_FIELD", "protected_paths must be a list of paths")], began)
        try:
            ran = self.run_plan(
                [arguments.with_arguments(plain(phase_spec), context_files, protected_paths)],
                max_retries=0,
                health_checks=False,
                context_files=context_files,
                protected_paths=protected_paths,
            )
        except PhaseExecutorError as error:
            return self._refused([error], began)
        except PhasegateError as error:
            return self._refused([history_error(error, self.shop.database)], began)
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

        ``continues`` is an earlier run: one that has not ended is gone on with when it was asked for in the same words, and
        cancelled otherwise; what has succeeded in it with the same specification is kept. Raises ``LockError``,
        ``HistoryError`` and ``InputError``."""
        if len(phases) > MOST_PHASES:
            raise InputError(f"a plan has at most {MOST_PHASES} phases, not {len(phases)}")
        if not phases:
            return orchestration_result([], run_id="", total=0, duration=0.0, health=[], status="succeeded")
        given = {
            "plan": [plain(each) for each in phases], "repo_root": str(self.shop.root.path),
            "stop_on_failure": stop_on_failure, "max_retries": max_retries, "health_checks": health_checks,
            "context_files": None if context_files is None else [plain(each) for each in context_files],
            "protected": None if protected_paths is None else [plain(each) for each in protected_paths],
        }  # fmt: skip
        with self.shop.lock:
            earlier = self._runs.get(continues) if continues is not None else None
            if earlier is not None and not earlier.finished:
                if dump({name: earlier.input[name] for name in given}) == dump(given):
                    return self._runs.go_on(earlier.id)
                self.engine.cancel(earlier.id, reason="another plan takes its place")
            with database_errors(self.shop.database):
                self._workshops.recover(self.shop)
            remembered = {
                "policy": asdict(self.policy),
                "continues": continues,
                "about": None if about is None else dict(about),
            }
            return self._runs.go_on(self._runs.start(given | remembered, self._new_id()))

    def resume(self, run_id: str) -> dict[str, Any]:
        """Go on with a run that was interrupted, or whose approval has been given; the result is that of ``run_plan``."""
        with self.shop.lock:
            return self._runs.go_on(run_id)

    def decide(self, request_id: str, outcome: str, *, by: str, comment: str = "") -> None:
        """Approve or reject a change that waits, by the id of its request; ``resume`` goes on then.

        Raises ``ApprovalError`` when there is no such request, ``InputError`` for what is no text, ``AlreadyDecided`` and
        ``Stale`` as the engine does.
        """
        for name, value in (("request_id", request_id), ("outcome", outcome), ("by", by), ("comment", comment)):
            if not isinstance(value, str):
                raise InputError(f"{name} is {value!r}; it must be text")
        self._runs.approvals.decide(request_id, outcome, by=by, comment=comment)

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
        return restored(recovered)

    @property
    def latest(self) -> str | None:
        """The id of the run that this executor has worked on last."""
        return self._runs.latest

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

    def _refused(self, errors: Sequence[PhaseExecutorError], began: float) -> dict[str, Any]:
        said = f"The phase failed before its first attempt: {errors[0].message}. Nothing was changed."
        return phase_result(error_details=told(errors), summary=said, duration=self.shop.seconds() - began)
