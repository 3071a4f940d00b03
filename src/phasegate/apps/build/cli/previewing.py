"""A look at a plan that asks no model and changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from phasegate.apps.build.context.selecting import select
from phasegate.apps.build.errors import ContextError, SpecError, told
from phasegate.apps.build.health.commands import is_installed
from phasegate.apps.build.paths.protection import Protection
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.plans import Plan, policy_of
from phasegate.apps.build.spec import read_spec
from phasegate.apps.build.spec_rules import check_on_disk, missing_programs, unknown_phases
from phasegate.cli import output
from phasegate.cli.session import Session


def preview(session: Session, repo: Path, plan: Plan, about: Mapping[str, Any], *, health: bool) -> None:
    """Say of every phase what is wrong with it, what the model would be shown, and about how many tokens that takes. Ends the
    command with 1 when a phase cannot be executed like this."""
    root, found = Root(repo.resolve()), list[dict[str, Any]]()
    for index in range(len(plan.phases)):
        found.append(_looked_at(root, plan, about, index, [each["phase_id"] for each in found], health))
    rows = [(each["phase_id"], _shown(each), _tokens(each)) for each in found]
    said = [f"{each['phase_id']}: {error['message']}" for each in found for error in each["errors"]]
    said += [f"{each['phase_id']}: warning: {warning}" for each in found for warning in each["warnings"]]
    session.answer(
        found, output.Table(("phase", "shown to the model", "tokens of a call, at most"), rows), *said,
        "No model was asked, and nothing was changed.",
    )  # fmt: skip
    if any(each["errors"] for each in found):
        raise typer.Exit(1)


def _looked_at(
    root: Root, plan: Plan, about: Mapping[str, Any], index: int, taken: Sequence[str], health: bool
) -> dict[str, Any]:  # fmt: skip
    raw, policy = plan.phases[index], policy_of(about["policy"])
    given = raw.get("protected_paths")
    one: dict[str, Any] = {"phase_id": raw.get("phase_id") or f"phase-{index + 1}", "errors": [], "warnings": []}
    try:
        protection = Protection(plan.protected_paths if given is None else given, folds=root.folds)
        spec, errors, warnings = read_spec(
            raw, index=index, protection=protection, taken=taken, folds=root.folds, policy=policy
        )
        if spec is not None:
            one["phase_id"] = spec.phase_id
            errors += unknown_phases(spec, taken) + missing_programs(spec)
            errors += check_on_disk(spec, root).errors
            if health and spec.test_cmd and not is_installed(spec.test_cmd[0]):
                warnings.append(f"test_cmd cannot be run: there is no program {spec.test_cmd[0]!r}")
        one |= {"errors": told(errors), "warnings": list(warnings)}
        if spec is None:
            return one
        files = plan.context_files if spec.context_files is None else spec.context_files
        chosen = select(spec, root, files or (), protection, policy, window=about["max_tokens"])
    except (SpecError, ContextError) as error:
        return {**one, "errors": [*one["errors"], *told([error])]}
    return {**one, "report": dict(chosen.report), "warnings": [*one["warnings"], *chosen.warnings]}


def _shown(one: Mapping[str, Any]) -> str:
    files = one.get("report", {}).get("files", [])
    return ", ".join(f"{each['path']} ({each['shown']})" for each in files)


def _tokens(one: Mapping[str, Any]) -> Any:
    report = one.get("report")
    return None if report is None else report["estimated_call"] + report["output_tokens"]
