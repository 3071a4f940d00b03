"""How many tokens a text is, a call needs, and an answer may take. Estimates only: what was spent is what the provider says.

All of it is pure, and one function computes the room for an answer, so that no second rule can cancel the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from phasegate.apps.build.context.kinds import Kind, kind
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import Format, PhaseSpec

#: Counts the tokens of a text; a caller's own takes the place of the estimate.
Tokenizer = Callable[[str], int]

#: Tokens in four characters, in hundredths, by the ending of the file.
_WEIGHTS = {
    "py": 120, "ts": 120, "js": 110, "html": 110, "sql": 110, "json": 100, "css": 100,
    "yaml": 95, "yml": 95, "toml": 95, "md": 90, "txt": 80,
}  # fmt: skip
#: What a call needs besides the phase and its context when its prompt is not built yet: the rules, the instructions, facts
#: about the phase, the form of the answer. And the answer.
FIXED_PARTS = 1_500 + 2_000 + 500 + 300
_ANSWER = 8_000
TIERS = (50_000, 100_000, 150_000, 200_000)
_FULL = 0.85

_BASE = {"low": 8_192, "medium": 12_288, "high": 16_384}
_LOW_BASE = {"docs": 4_096, "tests": 6_144}
_NEW: dict[Kind, int] = {
    "backend": 2_000, "frontend": 2_800, "test": 1_400, "doc": 500, "config": 1_000, "other": 1_000,
}  # fmt: skip
_CHANGED: dict[Kind, int] = {
    "backend": 700, "frontend": 1_100, "test": 600, "doc": 400, "config": 500, "other": 700,
}  # fmt: skip
_REWRITE = 1.2
_BUFFER, _UNSURE, _MANY, _SYNTHESIS = 1.2, 1.4, 1.6, 2.2
_MANY_FROM = 8
#: From so many files a document is a synthesis of them.
_SYNTHESIS_FROM = 5


def estimate(text: str, path: str | None = None, *, tokenizer: Tokenizer | None = None) -> int:
    """Tokens of a text: four characters are one, of other scripts than ASCII two, more or less by the ending of ``path``.

    Never less for a longer text. ``tokenizer`` counts instead when there is one.
    """
    if tokenizer is not None:
        return max(0, tokenizer(text))
    narrow = len(text) if text.isascii() else len(text.encode("ascii", "ignore"))
    quarters = narrow + 2 * (len(text) - narrow)
    return -(-quarters * _weight(path) // 400)


def _weight(path: str | None) -> int:
    name = (path or "").rpartition("/")[2]
    return _WEIGHTS.get(name.rpartition(".")[2].casefold(), 100) if "." in name else 100


def call_estimate(spec_text: str, context: Iterable[int], *, prompt: int | None = None) -> int:
    """Tokens of a whole call, its answer included, with a tenth to be safe.

    ``context`` are the tokens of each file. ``prompt`` is what the prompt without its files was measured to be; without it the
    usual sizes of its parts are taken, and that of the phase's own text.
    """
    rest = FIXED_PARTS + -(-len(spec_text) // 4) if prompt is None else prompt
    # In whole numbers, so that the tenth is the same everywhere.
    return -(-(rest + _ANSWER + sum(context)) * 11 // 10)


@dataclass(frozen=True, slots=True)
class Tier:
    """How large a call is for its window; ``fits`` is false when even the largest is too small, and the context must shrink."""

    tokens: int
    fits: bool = True


def tier(estimated: int, max_tokens: int) -> Tier:
    """The smallest usual window that an estimate fills to 85 % at most, never above ``max_tokens``."""
    sizes = [min(size, max_tokens) for size in TIERS]
    chosen = next((size for size in sizes if estimated <= size * _FULL), None)
    return Tier(sizes[-1], fits=False) if chosen is None else Tier(chosen)


@dataclass(frozen=True, slots=True)
class OutputBudget:
    """Room for one answer, in tokens: ``tokens`` may be used, ``estimated`` are expected for the deliverables (with the
    buffer, without any cap), so that both can be recorded beside what it took."""

    tokens: int
    estimated: int

    @property
    def exceeded(self) -> bool:
        """Whether the deliverables do not fit into one answer, and are to be asked for in batches."""
        return self.estimated > self.tokens


def output_budget(
    spec: PhaseSpec, sizes: Mapping[str, int], policy: Policy, *, window: int, format: Format = "files",
    context_files: int = 0, growth: float = 1.0, only: Sequence[str] = (),
) -> OutputBudget:  # fmt: skip
    """Room for the answer to one call.

    ``sizes`` has the present tokens of each file that the answer will change (a deliverable that is missing there is new; a file
    that is no deliverable counts too). ``only`` are the deliverables of this call when they are not all. ``growth`` is
    the factor after an answer that was cut. What the phase itself asks for is taken instead of any estimate. Never more than the
    policy's limit or half the window, and at least 1.
    """
    files = tuple(only) or (*spec.deliverables, *(path for path in sizes if path not in spec.deliverables))
    needed = sum(_tokens_of(each, sizes.get(each), format) for each in files)
    estimated = ceil(needed * _buffer(spec, files, context_files))
    wanted = spec.max_output_tokens or max(_base(spec), estimated)
    return OutputBudget(max(1, min(ceil(wanted * growth), policy.max_output_tokens, window // 2)), estimated)


def _tokens_of(path: str, size: int | None, format: Format) -> int:
    if size is None:
        return _NEW[kind(path)]
    changed = _CHANGED[kind(path)]
    return max(changed, ceil(size * _REWRITE)) if format == "files" else changed


def _base(spec: PhaseSpec) -> int:
    low = _LOW_BASE.get(spec.category) if spec.complexity == "low" else None
    return low or _BASE[spec.complexity]


def _buffer(spec: PhaseSpec, files: Sequence[str], context_files: int) -> float:
    """Documents that draw on many files turn out longest; an estimate from a directory or an odd name is not a sure one."""
    if context_files >= _SYNTHESIS_FROM and (spec.category == "docs" or _only_documents(files)):
        return _SYNTHESIS
    if len(files) >= _MANY_FROM:
        return _MANY
    unsure = any(each.endswith("/") or kind(each) == "other" for each in files)
    return _UNSURE if unsure else _BUFFER


def _only_documents(files: Sequence[str]) -> bool:
    return bool(files) and all(kind(each) == "doc" for each in files)
