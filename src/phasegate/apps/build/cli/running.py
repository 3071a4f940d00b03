"""Commands that work: run a plan, go on with a run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from phasegate.apps.build import statements as q
from phasegate.apps.build.cli import talking
from phasegate.apps.build.cli.common import (
    client_of,
    executor_of,
    find_run,
    history_file,
    looked_at,
    told_of,
)
from phasegate.apps.build.cli.previewing import preview
from phasegate.apps.build.cli.reporting import report
from phasegate.apps.build.executor import PhaseExecutor
from phasegate.apps.build.paths.protection import DATABASE_SUFFIXES
from phasegate.apps.build.plans import Plan, policy_of, read_plan, read_policy
from phasegate.apps.build.results import orchestration_result
from phasegate.apps.build.tables import OPEN
from phasegate.cli import output
from phasegate.cli.session import Session
from phasegate.errors import InputError

#: As far as anybody counts.
_MOST = 10**9
_MOST_RETRIES = 1_000
#: What a copy of a repository is made without.
_NOT_COPIED = (".venv", "node_modules", "__pycache__")

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
    max_retries: Annotated[
        int, typer.Option("--max-retries", metavar="N", min=0, max=_MOST_RETRIES, help="Attempts after the first.")
    ] = 3,
    health: Annotated[bool, typer.Option("--health/--no-health", help="Check the health after every phase.")] = True,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Go on after a phase that failed.")] = False,
    window: Annotated[
        int, typer.Option("--window", metavar="TOKENS", min=1, max=_MOST, help="The window of one call.")
    ] = 200_000,
    phase_cap: Annotated[
        int | None, typer.Option("--phase-cap", metavar="TOKENS", min=1, max=_MOST, help="What one phase may take.")
    ] = None,
    run_cap: Annotated[
        int | None, typer.Option("--run-cap", metavar="TOKENS", min=1, max=_MOST, help="What the whole run may take.")
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
    policy = policy_of(read.policy, _policy_file(approve))
    told = {
        "models": list(model or ()), "replay": _folder(replay, "--replay"), "record": _record(record, repo),
        "prices": _absolute(prices), "max_tokens": window, "phase_token_cap": phase_cap, "run_token_cap": run_cap,
        "rules": list(read.rules), "tiers": list(read.tiers), "policy": asdict(policy),
        "approve": "ask" if approve == "ask" else "never",
    }  # fmt: skip
    if not repo.is_dir():
        raise InputError(f"{repo} is no folder", hint="--repo names the folder of the repository")
    if dry_run and replay is None:
        preview(session, repo, read, told, health=health)
        return
    client = client_of(told)
    client.ready()  # before anything is checked and run for a model that cannot be asked
    if record is not None:
        _check_writable(record)
    if not read.phases:
        history_file(session)
        nothing = orchestration_result([], run_id="", total=0, duration=0.0, health=[], status="succeeded")
        session.answer(nothing, "The plan has no phases; there was nothing to do.")
        return
    options = {
        "max_retries": max_retries, "health_checks": health, "stop_on_failure": not keep_going,
        "continues": None if go_on is None else _earlier(session, go_on, repo), "about": told,
    }  # fmt: skip
    with (
        _place(session, repo, dry_run) as (database, root),
        executor_of(database, root, told, client=client, provider=talking.provider_of(told)) as executor,
    ):
        _work(session, executor, read, options)


def resume(
    session: Session,
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="The run; without it the latest that has not ended.")
    ] = None,
    *,
    approve: Annotated[
        str | None,
        typer.Option("--approve", metavar="ask|never|FILE", help="As of run; without it as the run was begun."),
    ] = None,
) -> None:
    """Go on with a run where it stopped: nothing is asked or paid for twice."""
    with looked_at(session) as engine:
        waiting = [row["run_id"] for row in engine.read(q.RUNS, {"most": _MOST}) if row["status"] in OPEN]
        if run is None and not waiting:
            raise InputError("there is no run to go on with", hint="phasegate build run begins one")
        row = find_run(engine, run or waiting[0])
        told = dict(told_of(engine, row["run_id"]))
    if approve is not None:
        policy = policy_of(told["policy"], _policy_file(approve))
        told |= {"approve": "ask" if approve == "ask" else "never", "policy": asdict(policy)}
    provider = talking.provider_of(told)
    with executor_of(history_file(session), row["repo_root"], told, provider=provider) as executor:
        result = talking.worked(session, executor, lambda: executor.resume(row["run_id"]))
        report(session, executor.engine, result)


def _work(session: Session, executor: PhaseExecutor, plan: Plan, options: Mapping[str, Any]) -> None:
    if not session.json:
        output.write(_shown(plan))
        _tell_restored(executor)
    options = {"context_files": plan.context_files, "protected_paths": plan.protected_paths, **options}
    result = talking.worked(session, executor, lambda: executor.run_plan(list(plan.phases), **options))
    report(session, executor.engine, result)


def _shown(plan: Plan) -> output.Table:
    """The plan as it was written; whether it can be executed is found out phase by phase."""
    rows = [
        (number, each.get("phase_id"), each.get("name") or each.get("description"), each.get("deliverables"))
        for number, each in enumerate(plan.phases, 1)
    ]
    return output.Table(
        ("", "phase", "what", "delivers"), [(n, id, _line(what), _listed(files)) for n, id, what, files in rows]
    )


def _line(text: object) -> str:
    return next(iter(str(text or "").strip().splitlines()), "")[:100]


def _listed(files: object) -> str:
    return ", ".join(map(str, files)) if isinstance(files, list) else output.words(files)


def _tell_restored(executor: PhaseExecutor) -> None:
    for each in executor.restored:
        output.write(f"put back as before, of a run that was interrupted: {each}")


def _earlier(session: Session, given: str, repo: Path) -> str:
    """The id of an earlier run of the same repository. Raises ``InputError``."""
    with looked_at(session) as engine:
        row = find_run(engine, given)
    if row["repo_root"] != str(repo.resolve()):
        raise InputError(f"run {row['run_id']} is of another repository, {row['repo_root']}")
    return str(row["run_id"])


@contextmanager
def _place(session: Session, repo: Path, dry_run: bool) -> Iterator[tuple[Path, str]]:
    """The database and the repository: the real ones, or copies that are gone afterwards."""
    if not dry_run:
        yield history_file(session), str(repo)
        return
    with tempfile.TemporaryDirectory(prefix="phasegate-") as folder:
        copy = Path(folder) / "repository"
        try:
            shutil.copytree(repo, copy, symlinks=True, ignore=_left_out(session))
        except OSError as error:
            raise InputError(f"{repo} cannot be copied: {error.strerror or 'some files cannot be read'}") from None
        if not session.json:
            output.write("This is done on a copy, which is thrown away: nothing is changed.")
        yield _beside(history_file(session), repo, copy), str(copy)


def _beside(file: Path, repo: Path, copy: Path) -> Path:
    """The history of a copy: in the same place if that is in the repository, since the model is told what it must not change."""
    file, repo = file.resolve(), repo.resolve()
    return copy / file.relative_to(repo) if file.is_relative_to(repo) else copy.with_name("build.db")


def _left_out(session: Session) -> Callable[[str, list[str]], set[str]]:
    """What is not copied: what others can make again, and the history, which no model is shown."""
    usual, file = shutil.ignore_patterns(*_NOT_COPIED), history_file(session)
    own = {Path(f"{file}{end}") for end in (*DATABASE_SUFFIXES, ".state")}

    def left_out(folder: str, names: list[str]) -> set[str]:
        return usual(folder, names) | {name for name in names if (Path(folder) / name).absolute() in own}

    return left_out


def _policy_file(approve: str) -> Mapping[str, Any] | None:
    """What the file says that ``--approve`` names, if it names one."""
    if approve in ("ask", "never"):
        return None
    path = Path(approve)
    if not path.is_file():
        raise InputError(f"there is no policy file {approve}", hint="--approve is ask, never, or the name of a file")
    return read_policy(path)


def _folder(path: Path | None, option: str) -> str | None:
    if path is not None and not path.is_dir():
        raise InputError(f"there is no folder {path}", hint=f"{option} names a folder that --record filled")
    return _absolute(path)


def _record(path: Path | None, repo: Path) -> str | None:
    """Where answers are recorded."""
    if path is not None and path.exists() and not path.is_dir():
        raise InputError(f"{path} is no folder", hint="--record names a folder, which may be new")
    if path is not None and path.resolve().is_relative_to(repo.resolve()):
        raise InputError(
            f"{path} lies in the repository, where every recording would change what the model is shown next",
            hint="--record names a folder outside of it",
        )
    return _absolute(path)


def _check_writable(folder: Path) -> None:
    """Raises ``InputError`` when answers could not be recorded there, before they are paid for."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written: {error.strerror}", hint="--record names another folder"
        ) from None


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())
