"""The records that travel between the parts of the build application. All are frozen, and plain JSON at the edges."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

#: What happens to a file.
Mode = Literal["create", "modify", "delete"]
MODES: tuple[Mode, ...] = ("create", "modify", "delete")
#: How much of a file the model was shown: all of it, all of it with numbered lines (of a long one the parts that matter), its
#: beginning and end, only its name, or nothing although it was wanted.
Shown = Literal["full", "numbered", "excerpt", "name", "omitted"]
#: The three forms an answer may have: whole files, edits of lines, one JSON object per line.
Format = Literal["files", "edits", "lines"]
Complexity = Literal["low", "medium", "high"]
Category = str

#: What becomes of a phase.
Status = Literal[
    "succeeded", "failed", "blocked", "awaiting_approval", "rejected", "interrupted", "cancelled", "skipped"
]


@dataclass(frozen=True, slots=True)
class Change:
    """What is to become of one file. ``path`` is relative to the repository, with forward slashes; ``content`` is None exactly
    for deletions."""

    path: str
    mode: Mode
    content: str | None = None

    def told(self) -> dict[str, Any]:
        """The change in the words of the API: ``path``, ``mode``, ``new_content``."""
        return {"path": self.path, "mode": self.mode, "new_content": self.content}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the model cannot do it, and what it would need."""

    reason: str
    needs: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model's answer says, whatever form it had: not yet checked against anything but its own form."""

    summary: str
    changes: tuple[Change, ...] = ()
    no_changes_reason: str | None = None
    already_satisfied: tuple[str, ...] = ()
    refusal: Refusal | None = None
    warnings: tuple[str, ...] = ()
    #: Which step of the parser made sense of it, as ``direct`` or ``fence+commas``.
    repair_method: str = "direct"

    def told(self) -> dict[str, Any]:
        """The answer as JSON; ``from_told`` is the inverse."""
        return {**asdict(self), "changes": [each.told() for each in self.changes]}

    @classmethod
    def from_told(cls, told: Mapping[str, Any]) -> Answer:
        """The inverse of ``told``."""
        return cls(
            told["summary"], tuple(Change(c["path"], c["mode"], c["new_content"]) for c in told["changes"]),
            told["no_changes_reason"], tuple(told["already_satisfied"]),
            Refusal(**told["refusal"]) if told["refusal"] else None, tuple(told["warnings"]), told["repair_method"],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What was known of a file when it was read. ``sha256`` is None when there was none; ``mode`` are its permission bits.

    ``encoding`` is ``utf-8``, ``utf-8-sig``, ``utf-16`` (with its mark; ``big_endian`` says which), or ``binary``; ``newline``
    is ``\\n``, ``\\r\\n``, ``mixed``, or empty when there is no line end in it."""

    path: str
    sha256: str | None = None
    size: int = 0
    lines: int = 0
    encoding: str = "utf-8"
    newline: str = ""
    mode: int = 0
    links: int = 1
    big_endian: bool = False

    @property
    def exists(self) -> bool:
        """Whether there was a file."""
        return self.sha256 is not None


@dataclass(frozen=True, slots=True)
class Planned:
    """One operation as it will be done: the bytes to write, and what must be on disk before."""

    path: str
    op: Mode
    before: FileFacts
    data: bytes | None = None
    #: Permission bits of the written file; None for those a new file gets.
    mode: int | None = None

    @property
    def sha256_after(self) -> str | None:
        """The sha256 of what is written, None for a deletion."""
        return None if self.data is None else hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class PhaseSpec:
    """A phase as it was validated: every field has its final form."""

    phase_id: str
    name: str
    description: str
    category: Category = "feature"
    complexity: Complexity = "medium"
    acceptance_criteria: tuple[str, ...] = ()
    #: Criteria that a program can check: mappings with ``check``.
    checks: tuple[Mapping[str, Any], ...] = ()
    deliverables: tuple[str, ...] = ()
    context_files: tuple[str, ...] | None = None
    protected_paths: tuple[str, ...] | None = None
    #: Paths the phase may write; None: everything that is not protected. A trailing slash means everything below.
    scope: tuple[str, ...] | None = None
    read_only: tuple[str, ...] = ()
    test_cmd: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    allow_delete: bool = True
    allow_noop: bool = False
    allow_existing_deliverables: bool = False
    allow_mass_change: bool = False
    allow_symbol_removal: bool = False
    max_attempts: int | None = None
    model: str | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    timeout_s: float | None = None
    requires_approval: bool = False
    depends_on: tuple[str, ...] = ()

    def told(self) -> dict[str, Any]:
        """The specification as JSON; ``from_told`` is the inverse."""
        return asdict(self)

    @classmethod
    def from_told(cls, told: Mapping[str, Any]) -> PhaseSpec:
        """The inverse of ``told``."""
        lists: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()}
        return cls(**lists)

    @property
    def sha256(self) -> str:
        """Equal for specifications that ask for the same."""
        return digest(self.told())


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the caller's: an argument list, never a line for a shell."""

    argv: tuple[str, ...]
    timeout: float = 300.0
    name: str = "tests"


@dataclass(frozen=True, slots=True)
class Tokens:
    """What calls cost. Parts are None where the provider gave only the total."""

    prompt: int | None = 0
    completion: int | None = 0
    total: int = 0
    calls: int = 0
    estimated: bool = False

    def __add__(self, other: Tokens) -> Tokens:
        """The sum; a part that nobody knows stays unknown."""
        return Tokens(
            _sum(self.prompt, other.prompt), _sum(self.completion, other.completion), self.total + other.total,
            self.calls + other.calls, self.estimated or other.estimated,
        )  # fmt: skip


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


@dataclass(frozen=True, slots=True)
class Found:
    """What a look at something gave: problems that forbid it (as ``PhaseExecutorError``), and what is only worth saying."""

    errors: tuple[Any, ...] = ()
    warnings: tuple[str, ...] = field(default=())


def digest(value: Any) -> str:
    """The sha256, in hexadecimal, of a JSON value in its one spelling."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
