"""What a phase needs, may write and must deliver, put side by side. Only ``check_on_disk`` looks at the repository."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence

from phasegate.apps.build.errors import PhaseExecutorError, SpecError
from phasegate.apps.build.health.commands import is_installed, parse_command
from phasegate.apps.build.paths.names import ancestors, covers, key
from phasegate.apps.build.paths.protection import Protection
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.schema import Found, PhaseSpec


def in_scope(path: str, scope: Iterable[str] | None, folds: bool = False) -> bool:
    """Whether a path lies within a scope; without a scope everything does."""
    return scope is None or any(covers(entry, path, folds) for entry in scope)


def is_read_only(path: str, spec: PhaseSpec, folds: bool = False) -> bool:
    """Whether the phase is shown a file only to read it."""
    return any(covers(entry, path, folds) for entry in spec.read_only)


def is_writable(path: str, spec: PhaseSpec, protection: Protection, folds: bool = False) -> bool:
    """Whether the phase may change a file: within its scope, not read-only, not protected."""
    return in_scope(path, spec.scope, folds) and not is_read_only(path, spec, folds) and protection.match(path) is None


def deliverable_errors(spec: PhaseSpec, protection: Protection, folds: bool = False) -> list[PhaseExecutorError]:
    """Why a phase can never deliver what it must: it is protected, outside of its scope, not to be changed, or two of the paths
    exclude each other. Pure."""
    errors: list[PhaseExecutorError] = []
    for path in spec.deliverables:
        entry = protection.match(path)
        if entry:
            cause = f"this deliverable is protected by the entry '{entry}'; take one of the two away"
            errors.append(SpecError("E_SPEC_PROTECTED", cause, path=path, details={"entry": entry}))
        if not _can_be_delivered(path, spec.scope, folds):
            errors.append(
                SpecError("E_SPEC_SCOPE", "this deliverable is outside of scope.paths; add it there", path=path)
            )
        if is_read_only(path, spec, folds):
            cause = "this deliverable is among the files not to be changed; take one of the two away"
            errors.append(SpecError("E_SPEC_READ_ONLY", cause, path=path))
    return errors + list(_nested(spec.deliverables, folds))


def unknown_phases(spec: PhaseSpec, known: Collection[str]) -> list[PhaseExecutorError]:
    """The phases that a phase depends on and that are not among those before it."""
    return [
        SpecError("E_SPEC_FIELD", f"depends_on names {each!r}, which is no phase before this one")
        for each in spec.depends_on
        if each not in known
    ]


def missing_programs(spec: PhaseSpec) -> list[PhaseExecutorError]:
    """The programs that the phase's criteria would run and that are not installed: it could never meet them."""
    wanted = (parse_command(each["command"]).argv[0] for each in spec.checks if each["check"] == "command")
    return [
        SpecError("E_SPEC_COMMAND", f"a criterion cannot be checked: there is no program {each!r}")
        for each in dict.fromkeys(wanted)
        if not is_installed(each)
    ]


def check_on_disk(spec: PhaseSpec, root: Root) -> Found:
    """What of a phase's deliverables the repository makes impossible: a link on the way, a file where a directory is meant, or
    the other way round. To be asked before the first call; never writes."""
    errors: list[PhaseExecutorError] = []
    for path in spec.deliverables:
        if not path.endswith("/") and os.path.isdir(root.path / path):
            cause = f"this deliverable is a directory; write '{path}/' if the files in it are meant"
            errors.append(SpecError("E_SPEC_PATH", cause, path=path))
            continue
        # A directory is looked at by the way to a file in it.
        found = root.check(f"{path}_" if path.endswith("/") else path)
        errors += [_spec_error(each, path) for each in found]
    return Found(tuple(errors))


def _spec_error(error: PhaseExecutorError, path: str) -> SpecError:
    return SpecError(
        "E_SPEC_PATH", f"this deliverable cannot be written: {error.cause}", path=path, details=error.details
    )


def _can_be_delivered(path: str, scope: Sequence[str] | None, folds: bool) -> bool:
    """A directory is delivered by any file below it that may be written."""
    if in_scope(path, scope, folds):
        return True
    return path.endswith("/") and any(covers(path, entry, folds) for entry in scope or ())


def _nested(deliverables: Sequence[str], folds: bool) -> Iterable[PhaseExecutorError]:
    files = {key(each, folds): each for each in deliverables if not each.endswith("/")}
    for path in deliverables:
        whole = key(path, folds)
        # A directory must not be one of the files itself either.
        itself = [whole.rstrip("/")] if whole.endswith("/") else []
        for above in (*ancestors(whole), *itself):
            if above in files:
                cause = f"the deliverable '{files[above]}' would be a file where this one needs a directory"
                yield SpecError("E_SPEC_NESTED", cause, path=path, details={"other": files[above]})
