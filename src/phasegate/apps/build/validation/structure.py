"""Which changes are well formed and name only paths that may be written. Looks at the disk for links, and writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from phasegate.apps.build.errors import (
    ChangeValidationError,
    ContentError,
    DuplicatePathError,
    PhaseExecutorError,
    ScopeError,
    UnsafePathError,
)
from phasegate.apps.build.paths.names import ancestors, covers, key, normalise
from phasegate.apps.build.paths.protection import Protection
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import MODES, Change, PhaseSpec

_MISSING = object()


@dataclass(slots=True)
class _Reading:
    """What was found, each with the change's index; what is wrong with all of them together has an index behind the last."""

    #: The safe paths, also of changes that are wrong in another way.
    paths: list[tuple[int, str]] = field(default_factory=list)
    errors: list[tuple[int, PhaseExecutorError]] = field(default_factory=list)

    def add(self, index: int, *errors: PhaseExecutorError) -> None:
        """Errors of one change."""
        for error in errors:
            error.details.setdefault("index", index)
            self.errors.append((index, error))

    def in_order(self) -> list[PhaseExecutorError]:
        """The errors in the order of the changes."""
        return [error for _, error in sorted(self.errors, key=lambda pair: pair[0])]


def check_changes(
    changes: object, protection: Protection, root: Root, policy: Policy
) -> list[PhaseExecutorError]:  # fmt: skip
    """Everything that forbids the changes as far as it does not depend on what files hold; nothing: they may be written.

    Judged are their form, their paths, their sizes, links and misplaced files on disk, protected paths, and duplicates as this
    disk sees them. ``changes`` is a list of mappings with ``path``, ``mode`` and ``new_content``, or of ``Change``, but may be
    anything. Never raises, writes nothing; the errors stand in the order of the changes, and ``details`` has the change's
    ``index``.
    """
    reading = _read(changes, policy)
    for index, path in reading.paths:
        protected = protection.error(path)
        on_disk = [each for each in root.check(path) if protected is None or each.code != protected.code]
        reading.add(index, *on_disk, *([protected] if protected else []))
    _compare(reading, root.folds)
    return reading.in_order()


def check_scope(changes: Sequence[Change], spec: PhaseSpec, folds: bool) -> list[PhaseExecutorError]:
    """The changes, of safe paths, that are outside of what the phase may write, or are of what it may only read."""
    errors: list[PhaseExecutorError] = []
    for path in (change.path for change in changes):
        if spec.scope is not None and not any(covers(entry, path, folds) for entry in spec.scope):
            allowed = ", ".join(spec.scope[:10]) or "nothing"
            errors.append(ScopeError("E_SCOPE", f"the phase may write only {allowed}", path=path))
        fixed = next((entry for entry in spec.read_only if covers(entry, path, folds)), None)
        if fixed is not None:
            cause = f"'{fixed}' is given to be read only"
            errors.append(ScopeError("E_READ_ONLY", cause, path=path, details={"entry": fixed}))
    return errors


def _read(changes: object, policy: Policy) -> _Reading:
    reading = _Reading()
    if not isinstance(changes, list | tuple):
        reading.errors.append((0, _malformed("S1", f"changes must be a list, not {type(changes).__name__}")))
        return reading
    total = sum(_read_entry(reading, index, entry, policy) for index, entry in enumerate(changes))
    if len(changes) > policy.max_changes:
        cause = f"there are {len(changes)} changes; {policy.max_changes} are allowed at once"
        reading.errors.append((len(changes), _too_large(cause)))
    if total > policy.max_total_bytes:
        cause = f"the changes have {total} bytes together; {policy.max_total_bytes} are allowed"
        reading.errors.append((len(changes), _too_large(cause)))
    return reading


def _read_entry(reading: _Reading, index: int, entry: object, policy: Policy) -> int:
    """Read one change; the answer is its size in bytes."""
    fields = _fields(entry)
    if fields is None:
        reading.add(index, _malformed("S2", f"changes[{index}] must be a mapping, not {type(entry).__name__}"))
        return 0
    name, mode, content = fields.get("path"), fields.get("mode"), fields.get("new_content", _MISSING)
    path, wrong = _read_path(index, name)
    if path is not None:
        reading.paths.append((index, path))
    about = path if path is not None or not isinstance(name, str) else wrong[0].path
    wrong += _mode_errors(f"changes[{index}]", about, mode, content)
    if isinstance(content, str):
        wrong += _text_errors(f"changes[{index}]", about, content, policy)
    reading.add(index, *wrong)
    return _size(content)


def _fields(entry: object) -> Mapping[Any, Any] | None:
    """The entry's fields, None if it is no mapping."""
    if isinstance(entry, Change):
        return entry.told()
    try:
        return dict(entry) if isinstance(entry, Mapping) else None
    except Exception:  # a mapping of the caller's own making may fail in any way
        return None


def _read_path(index: int, name: object) -> tuple[str | None, list[PhaseExecutorError]]:
    if not isinstance(name, str) or not name:
        return None, [_malformed("S3", f"changes[{index}].path must be text that is not empty")]
    try:
        return normalise(name), []
    except UnsafePathError as error:
        return None, [error]


def _mode_errors(where: str, path: str | None, mode: object, content: object) -> Iterator[PhaseExecutorError]:
    absent = content is _MISSING or content is None
    if not isinstance(mode, str) or mode not in MODES:
        shown = repr(mode[:40]) if isinstance(mode, str) else type(mode).__name__
        yield _malformed("S4", f"{where}.mode must be create, modify or delete, not {shown}", path)
    elif mode != "delete" and not isinstance(content, str):
        what = "is missing" if absent else f"must be text, not {type(content).__name__}"
        yield _malformed("S5", f"{where}.new_content {what}; give the whole file, empty text for an empty one", path)
    elif mode == "delete" and not absent and not (isinstance(content, str) and content == ""):
        yield _malformed("S6", f"{where} deletes the file and must not have content", path)


def _text_errors(where: str, path: str | None, content: str, policy: Policy) -> Iterator[PhaseExecutorError]:
    size = _size(content)
    if size > policy.max_file_bytes:
        yield _too_large(f"{where} has {size} bytes; a file may have {policy.max_file_bytes}", path)
    if "\0" in content:
        yield _unwritable(f"{where}.new_content has a zero byte in it", path)
    if size != len(content.encode("utf-8", "ignore")):
        yield _unwritable(f"{where}.new_content has half a character, a lone surrogate, in it", path)


def _compare(reading: _Reading, folds: bool) -> None:
    """Find two changes of one file, and a file where another change needs a directory."""
    first: dict[str, int] = {}
    for index, path in reading.paths:
        other = first.setdefault(key(path, folds), index)
        if other != index:
            cause = f"changes[{other}] and changes[{index}] are about the same file"
            details = {"rule": "D1", "indexes": [other, index]}
            reading.add(index, DuplicatePathError("E_DUPLICATE", cause, path=path, details=details))
    for index, path in reading.paths:
        for parent in (first[above] for above in ancestors(key(path, folds)) if above in first):
            cause = f"changes[{parent}] is about a file where changes[{index}] needs a directory"
            details = {"rule": "D2", "indexes": [parent, index]}
            reading.add(index, ChangeValidationError("E_PATH_NESTED", cause, path=path, details=details))


def _size(content: object) -> int:
    return len(content.encode("utf-8", "surrogatepass")) if isinstance(content, str) else 0


def _malformed(rule: str, cause: str, path: str | None = None) -> ChangeValidationError:
    return ChangeValidationError("E_STRUCTURE", f"{cause} ({rule})", path=path, details={"rule": rule})


def _too_large(cause: str, path: str | None = None) -> ContentError:
    return ContentError("E_TOO_LARGE", f"{cause} (S7)", path=path, details={"rule": "S7"})


def _unwritable(cause: str, path: str | None = None) -> ContentError:
    return ContentError("E_STRUCTURE", f"{cause} (S8)", path=path, details={"rule": "S8"})
