"""The checks of a repository's health, each a function of the context. They read, and change nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace

from phasegate.apps.build import deliverables
from phasegate.apps.build.errors import PhaseExecutorError, one_line
from phasegate.apps.build.health import manifest
from phasegate.apps.build.health.context import Check, CheckResult, CheckStatus, HealthContext, Moment
from phasegate.apps.build.health.testing import tests
from phasegate.apps.build.validation import plausibility, syntax
from phasegate.llm import LLMError


def workspace(context: HealthContext) -> CheckResult:
    """Whether the repository is there, can be written, and the disk has room."""
    place = context.root.path
    if not place.is_dir():
        return CheckResult("workspace", "fail", "the repository is not there any more")
    if not os.access(place, os.R_OK | os.W_OK | os.X_OK):
        return CheckResult("workspace", "fail", "the repository cannot be written")
    free = shutil.disk_usage(place).free
    if not has_room(free, context.policy.min_free_bytes):
        return CheckResult("workspace", "fail", f"only {free >> 20} MiB are free on its disk", details={"free": free})
    return CheckResult("workspace", "pass", "there, writable, and with room", details={"free": free})


def has_room(free: int, least: int) -> bool:
    """Whether so many free bytes are enough."""
    return free >= least


def history_db(context: HealthContext) -> CheckResult:
    """Whether the database of the history opens, is whole, and has the tables that are expected."""
    if context.history is None:
        return CheckResult("history_db", "skip", "nobody says where the history is")
    problem = context.history()
    return CheckResult("history_db", "fail" if problem else "pass", problem or "opens, and is whole")


def protected_unchanged(context: HealthContext) -> CheckResult:
    """Whether no protected file was changed, made or removed."""
    before, after = context.manifest, context.now
    if before is None or after is None:
        return CheckResult("protected_unchanged", "skip", "nobody looked at the protected files before")
    changed = manifest.differences(before.protected, after.protected)
    return _listed("protected_unchanged", changed, "protected files were changed", "no protected file was changed")


def unexpected_changes(context: HealthContext) -> CheckResult:
    """Whether nothing but what the phase changed is different, as far as git or the watched files tell."""
    before, after = context.manifest, context.now
    if before is None or after is None:
        return CheckResult("unexpected_changes", "skip", "nobody looked at the files before")
    expected = {each.path for each in context.planned}
    changed = set(manifest.differences(before.watched, after.watched, besides=expected))
    relisted: set[str] = set()
    if before.git is not None and after.git is not None:
        changed |= set(manifest.differences(before.git, after.git, besides=expected))
        relisted = manifest.relisted(before.git, after.git, expected) - set(before.watched)
    found = _listed(
        "unexpected_changes", sorted(changed - relisted), "other files were changed", "nothing else was changed"
    )
    if found.status == "pass" and relisted:
        said = "what git ignores was changed, so that it lists these anew, or no more"
        return replace(_listed("unexpected_changes", sorted(relisted), said, ""), status="warn")
    return found


def deliverables_present(context: HealthContext) -> CheckResult:
    """Whether everything that the phase must deliver is there."""
    found = deliverables.check_present(context.spec, context.root)
    return _errors("deliverables_present", list(found.errors), "every deliverable is there")


def readable(context: HealthContext) -> CheckResult:
    """Whether the changed files can be read as what their names say; those that could not be read before are not charged."""
    errors: list[PhaseExecutorError] = []
    for path, text in _changed_texts(context):
        if path not in context.unreadable:
            errors += syntax.check(path, text, context.policy).errors
    return _errors("syntax", errors, "every changed file can be read")


def conflict_markers(context: HealthContext) -> CheckResult:
    """Whether no changed file has the marks of an unresolved merge in it."""
    marked = [path for path, text in _changed_texts(context) if plausibility.has_conflict_markers(text)]
    return _listed("conflict_markers", marked, "marks of an unresolved merge", "no marks of a merge")


def vcs_state(context: HealthContext) -> CheckResult:
    """Whether git is in the middle of nothing, and what is checked out is the same as before. Never critical."""
    if not manifest.has_git(context.root, context.run):
        return CheckResult(
            "vcs_state", "skip", "git is not installed, or the folder is no repository of it", critical=False
        )
    what = manifest.unfinished(context.root, context.run)
    if what is not None:
        return CheckResult("vcs_state", "warn", f"git is in the middle of {what}", critical=False)
    before = context.manifest
    if before is not None and before.git is not None and before.head != manifest.head(context.root, context.run):
        return CheckResult("vcs_state", "warn", "another commit is checked out than before", critical=False)
    return CheckResult("vcs_state", "pass", "nothing unfinished", critical=False)


def credentials(context: HealthContext) -> CheckResult:
    """Whether the model's client has what it needs to ask. Nothing is sent to anybody. Never critical."""
    if context.client is None:
        return CheckResult("credentials", "skip", "nobody says who the model's client is", critical=False)
    try:
        context.client()
    except LLMError as error:
        said = f"{error}; {error.hint}" if error.hint else str(error)
        return CheckResult("credentials", "warn", f"the model cannot be asked: {one_line(said)}", critical=False)
    return CheckResult("credentials", "pass", "nothing is missing to ask the model", critical=False)


#: The checks, in their order, and when they are made.
CHECKS: tuple[tuple[str, Check, tuple[Moment, ...]], ...] = (
    ("workspace", workspace, ("before", "after")),
    ("history_db", history_db, ("before", "after")),
    ("credentials", credentials, ("before",)),
    ("vcs_state", vcs_state, ("before", "after")),
    ("protected_unchanged", protected_unchanged, ("after",)),
    ("unexpected_changes", unexpected_changes, ("after",)),
    ("deliverables_present", deliverables_present, ("after",)),
    ("syntax", readable, ("after",)),
    ("conflict_markers", conflict_markers, ("after",)),
    # Last: what tests leave behind is not charged to the changes.
    ("tests", tests, ("after",)),
)


def _changed_texts(context: HealthContext) -> Iterator[tuple[str, str]]:
    """The texts of the files that the phase wrote, as they are on disk."""
    for each in context.planned:
        if each.op == "delete":
            continue
        facts, data = context.root.load(each.path)
        if facts.exists and facts.encoding != "binary":
            yield each.path, data.decode(facts.encoding, "replace").replace("\r\n", "\n")


def _listed(name: str, paths: list[str], bad: str, good: str) -> CheckResult:
    if not paths:
        return CheckResult(name, "pass", good)
    shown = ", ".join(one_line(path) for path in paths[:5]) + (", ..." if len(paths) > 5 else "")
    return CheckResult(name, "fail", f"{bad}: {shown}", details={"paths": paths[:100], "count": len(paths)})


def _errors(name: str, errors: list[PhaseExecutorError], good: str) -> CheckResult:
    status: CheckStatus = "fail" if errors else "pass"
    details = {"errors": [each.told() for each in errors[:20]]} if errors else {}
    return CheckResult(name, status, "; ".join(each.message for each in errors[:5]) or good, details=details)
