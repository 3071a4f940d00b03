"""Commands that work: run a plan, go on with a run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from phasegate.apps.build.cli import talking
from phasegate.apps.build.cli.common import client_of, executor_of, find_run, history_file, looked_at, report, told_of
from phasegate.apps.build.cli.previewing import preview
from phasegate.apps.build.executor import PhaseExecutor
from phasegate.apps.build.plans import Plan, policy_of, read_plan, read_policy
from phasegate.cli import output
from phasegate.cli.session import Session
from phasegate.errors import InputError

PlanFile = Annotated[Path, typer.Argument(metavar="PLAN", help="The file with the phases, YAML or JSON.")]
Approve = Annotated[
    str,
    typer.Option(
        "--approve", metavar="ask|never|FILE",
        help="Who approves risky changes: somebody here; nobody, so that they are rejected; or what a policy file lets pass.",
    ),
]  # fmt: skip


def run(
    session: Session,
    plan: PlanFile,
    *,
    repo: Annotated[Path, typer.Option("--repo", metavar="FOLDER", help="The repository to change.")],
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="PROVIDER:NAME", help="The model; several are tried in their order."),
    ] = None,
    replay: Annotated[
        Path | None, typer.Option("--replay", metavar="FOLDER", help="Recorded answers, to use instead of a model.")
    ] = None,
    record: Annotated[
        Path | None, typer.Option("--record", metavar="FOLDER", help="Keep the model's answers there, for --replay.")
    ] = None,
    approve: Approve = "ask",
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Change nothing: with --replay on a copy that is thrown away, otherwise without asking a model."
        ),
    ] = False,
    max_retries: Annotated[int, typer.Option("--max-retries", metavar="N", min=0, help="Attempts after the first.")] = 3,
    health: Annotated[bool, typer.Option("--health/--no-health", help="Check the health after every phase.")] = True,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Go on after a phase that failed.")] = False,
    window: Annotated[int, typer.Option("--window", metavar="TOKENS", min=1, help="The window of one call.")] = 200_000,
    phase_cap: Annotated[
        int | None, typer.Option("--phase-cap", metavar="TOKENS", min=1, help="What one phase may take.")
    ] = None,
    run_cap: Annotated[
        int | None, typer.Option("--run-cap", metavar="TOKENS", min=1, help="What the whole run may take.")
    ] = None,
    prices: Annotated[
        Path | None, typer.Option("--prices", metavar="FILE", help="Prices per million tokens (TOML or JSON).")
    ] = None,
    go_on: Annotated[
        str | None,
        typer.Option("--continue", metavar="RUN", help="Keep what has succeeded in an earlier run of the same phases."),
    ] = None,
) -> None:  # fmt: skip
    """Execute the phases of a plan, one after another; show each change, the health before and after, and what it cost."""
    read = read_plan(plan)
    policy = policy_of(read.policy, None if approve in ("ask", "never") else read_policy(Path(approve)))
    told = {
        "models": list(model or ()), "replay": _folder(replay, "--replay"), "record": _absolute(record),
        "prices": _absolute(prices), "max_tokens": window, "phase_token_cap": phase_cap, "run_token_cap": run_cap,
        "rules": list(read.rules), "tiers": list(read.tiers), "policy": {**asdict(policy)},
    }  # fmt: skip
    if not repo.is_dir():
        raise InputError(f"{repo} is no folder", hint="--repo names the folder of the repository")
    if dry_run and replay is None:
        preview(session, repo, read, told)
        return
    with _place(session, repo, dry_run) as (database, root):
        provider = talking.Person(session) if approve == "ask" else None
        with executor_of(database, root, told, client=client_of(told), provider=provider) as executor:
            options = {
                "max_retries": max_retries, "health_checks": health, "stop_on_failure": not keep_going, "continues": go_on,
                "about": told,
            }  # fmt: skip
            _work(session, executor, read, options)


def resume(
    session: Session,
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run that was interrupted, or waited for approval.")],
    *,
    approve: Approve = "ask",
) -> None:
    """Go on with a run where it stopped: nothing is asked or paid for twice."""
    with looked_at(session) as engine:
        row = find_run(engine, run)
        told = told_of(engine, row["run_id"])
    provider = talking.Person(session) if approve == "ask" else None
    with executor_of(history_file(session), row["repo_root"], told, provider=provider) as executor:
        with talking.telling(session, executor):
            result = executor.resume(row["run_id"])
        report(session, executor.engine, result)


def _work(session: Session, executor: PhaseExecutor, plan: Plan, options: Mapping[str, Any]) -> None:
    if not session.json:
        names = (
            each.get("phase_id") or each.get("description") if isinstance(each, dict) else each for each in plan.phases
        )
        numbered = (f"{number}. {output.one_line(str(name))[:100]}" for number, name in enumerate(names, 1))
        output.write(f"Plan: {len(plan.phases)} phases", *numbered)
    with talking.telling(session, executor):
        result = executor.run_plan(
            list(plan.phases), context_files=plan.context_files, protected_paths=plan.protected_paths, **options
        )
    report(session, executor.engine, result)


@contextmanager
def _place(session: Session, repo: Path, dry_run: bool) -> Any:
    """The database and the repository: the real ones, or copies that are gone afterwards."""
    if not dry_run:
        yield history_file(session), str(repo)
        return
    with tempfile.TemporaryDirectory(prefix="phasegate-") as folder:
        copy = Path(folder) / "repository"
        shutil.copytree(
            repo, copy, symlinks=True, ignore=shutil.ignore_patterns(".venv", "node_modules", "__pycache__")
        )
        yield Path(folder) / "build.db", str(copy)


def _folder(path: Path | None, option: str) -> str | None:
    if path is not None and not path.is_dir():
        raise InputError(f"there is no folder {path}", hint=f"{option} names a folder that --record filled")
    return _absolute(path)


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())
