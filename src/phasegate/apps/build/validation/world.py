"""Whether changes fit what is on disk now and what the model was shown of it. Reads the repository, and writes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from phasegate.apps.build.applying.staging import encoded
from phasegate.apps.build.errors import (
    ChangeValidationError,
    ConcurrentEditError,
    PhaseExecutorError,
    ScopeError,
)
from phasegate.apps.build.paths.names import covers
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import Change, FileFacts, Found, PhaseSpec, Shown
from phasegate.apps.build.validation import plausibility, syntax
from phasegate.apps.build.validation.plausibility import joined

#: Files of which the model was shown so much that it may write what is to stand in their place.
_SEEN: frozenset[Shown] = frozenset({"full"})
#: Files that it may change: edits of numbered lines refer to the file, not to what was shown of it.
_CHANGEABLE: frozenset[Shown] = frozenset({"full", "numbered"})
NO_EFFECT = "no_effective_change: every change is what is on disk already"

Seen = Mapping[str, tuple[FileFacts, Shown]]


def resolve(
    changes: Sequence[Change], seen: Seen, root: Root, spec: PhaseSpec, policy: Policy
) -> tuple[list[Change], Found]:
    """The changes that have an effect, with the mode that fits the disk, and what forbids them, in the order of the changes.

    ``seen`` says of each file what was known when it was read, and how much of it the model was shown. What would not change
    anything is left out, with a warning.
    """
    effective: list[Change] = []
    found: list[Found] = []
    for change in changes:
        resolved, about = _resolve(change, seen, root, spec, policy)
        effective += [resolved] if resolved is not None else []
        found.append(about)
    if changes and not effective and not any(each.errors for each in found):
        found.append(Found(warnings=(NO_EFFECT,)))
    return effective, joined(*found)


def originals(paths: Iterable[str], root: Root) -> dict[str, str]:
    """The texts, by path, of those files that exist and are text."""
    texts = {path: _text(*root.load(path)) for path in paths}
    return {path: text for path, text in texts.items() if text is not None}


def _resolve(change: Change, seen: Seen, root: Root, spec: PhaseSpec, policy: Policy) -> tuple[Change | None, Found]:
    try:
        facts, data = root.load(change.path)
        if facts.exists and change.content is not None and _is_same(change, facts):
            return None, Found(warnings=(f"{change.path}: is on disk with this content already",))
        known = seen.get(change.path)
        if known is not None and known[0].sha256 != facts.sha256:
            return None, Found((_edited(change.path, known[0], facts),))
        resolved, about = _fit(change, facts, known[1] if known else "omitted", spec, root.folds)
    except PhaseExecutorError as error:
        return None, Found((error,))
    if resolved is None or resolved.content is None:
        return resolved, about
    if facts.links > 1:
        about = joined(
            about, Found(warnings=(f"{change.path}: has other names (hard links), which keep the old content",))
        )
    before = _text(facts, data)
    looks = plausibility.check(resolved, before, spec, policy)
    return resolved, joined(about, looks, syntax.check(resolved.path, resolved.content, policy, before))


def _fit(change: Change, facts: FileFacts, shown: Shown, spec: PhaseSpec, folds: bool) -> tuple[Change | None, Found]:
    """The change with the mode that fits the disk; None with the reason where no mode does."""
    if change.mode == "delete":
        return _fit_delete(change, facts, spec)
    if change.mode == "create":
        return _fit_create(change, facts, shown)
    return _fit_modify(change, facts, shown, spec, folds)


def _fit_create(change: Change, facts: FileFacts, shown: Shown) -> tuple[Change | None, Found]:
    if not facts.exists:
        return change, Found()
    if shown in _SEEN:
        return replace(change, mode="modify"), Found(warnings=(f"{change.path}: exists already, and is modified",))
    cause = "it exists already with other content, which was not shown in full; read it, and modify it"
    return None, Found((_error("E_CREATE_EXISTS", cause, change.path),))


def _fit_modify(
    change: Change, facts: FileFacts, shown: Shown, spec: PhaseSpec, folds: bool
) -> tuple[Change | None, Found]:  # fmt: skip
    if not facts.exists:
        if any(covers(entry, change.path, folds) for entry in (*spec.deliverables, *(spec.scope or ()))):
            return replace(change, mode="create"), Found(
                warnings=(f"{change.path}: does not exist yet, and is created",)
            )
        cause = "it does not exist; create it, or correct the path"
        return None, Found((_error("E_MODIFY_MISSING", cause, change.path),))
    if shown in _CHANGEABLE:
        return change, Found()
    cause = "it was not shown in full, so that it cannot be replaced"
    return None, Found((_error("E_MODIFY_UNSEEN", cause, change.path),))


def _fit_delete(change: Change, facts: FileFacts, spec: PhaseSpec) -> tuple[Change | None, Found]:
    if not spec.allow_delete:
        error = ScopeError(
            "E_SCOPE", "the phase may not delete files", path=change.path, details={"rule": "allow_delete"}
        )
        return None, Found((error,))
    if facts.exists:
        return change, Found()
    return None, Found((_error("E_DELETE_MISSING", "it does not exist, and cannot be deleted", change.path),))


def _is_same(change: Change, facts: FileFacts) -> bool:
    data = encoded(change.content or "", facts, change.path)
    return hashlib.sha256(data).hexdigest() == facts.sha256


def _edited(path: str, known: FileFacts, now: FileFacts) -> ConcurrentEditError:
    what = "was deleted" if not now.exists else "was changed" if known.exists else "was created"
    return ConcurrentEditError("E_CONCURRENT_EDIT", f"it {what} by somebody else since it was read", path=path)


def _error(code: str, cause: str, path: str) -> ChangeValidationError:
    return ChangeValidationError(code, cause, path=path, details={"show": path} if code != "E_DELETE_MISSING" else None)


def _text(facts: FileFacts, data: bytes) -> str | None:
    if not facts.exists or facts.encoding == "binary":
        return None
    # Line ends as the model was shown them, so that counts and comparisons are of lines.
    return data.decode(facts.encoding, "replace").replace("\r\n", "\n")
