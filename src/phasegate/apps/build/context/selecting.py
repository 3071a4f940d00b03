"""Which files a call shows, and how much of each, so that it fits into the model's window.

Deliverables that exist come first and are shown whole, since the model rewrites them; then what else it may write; then what it
may read; within each, what has most to do with the phase. The same repository and phase always give the same selection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from phasegate.apps.build.context.reading import Source, Sources, gather, is_safe
from phasegate.apps.build.context.records import ContextFile, Selection
from phasegate.apps.build.context.relevance import relevance, topic
from phasegate.apps.build.context.showing import excerpt, lines_of, numbered
from phasegate.apps.build.context.tokens import (
    FIXED_PARTS,
    OutputBudget,
    Tokenizer,
    call_estimate,
    estimate,
    output_budget,
    tier,
)
from phasegate.apps.build.errors import ContextError
from phasegate.apps.build.paths.protection import Protection
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import Format, PhaseSpec, Shown

#: Tokens of the lines around a file's text, besides its path.
_FRAME = 60
#: Tokens of the report on what is not shown, besides the paths that it names.
_REPORT = 200
#: Of the names of other files at most so many are told, for at most so many tokens.
_NAMES, _NAMES_TOKENS = 300, 2_000
#: Names of places that are not of the project itself.
_FOREIGN = frozenset({"node_modules", "venv", "__pycache__", "site-packages", "dist", "build"})


def select(
    spec: PhaseSpec, root: Root, context_files: Sequence[str], protection: Protection, policy: Policy, *, window: int,
    share: float = 1.0, extra: Sequence[str] = (), growth: float = 1.0, overhead: int | None = None,
    only: Sequence[str] = (), tokenizer: Tokenizer | None = None,
) -> Selection:  # fmt: skip
    """What the model is shown for a phase, in a window of so many tokens.

    ``share`` is the part of the room for the context that may be used. ``extra`` are files that an earlier attempt wanted to
    change without having seen them. ``growth`` is the factor on the room for the answer. ``overhead`` are the tokens of the
    prompt without its files if they were measured. ``only`` are the deliverables of this call when they are not all.

    Raises ``ContextError`` (E_CONTEXT_OVERFLOW, not to be tried again as it is) when not even the deliverables fit.
    """
    sources = gather(spec, root, context_files, protection, policy, extra)
    call = _Call(spec, sources, policy, window, share, growth, overhead, tuple(only), tokenizer)
    selection = _first_that_fits(call)
    names = _names(root, protection, selection)
    left = min(selection.available - selection.used, _NAMES_TOKENS)
    told: list[str] = []
    for name in names:
        left -= estimate(f"{name}\n", tokenizer=tokenizer)
        if left < 0:
            break
        told.append(name)
    spent = sum(estimate(f"{name}\n", tokenizer=tokenizer) for name in told)
    report = {**selection.report, "used": selection.used + spent, "names": len(told)}
    return replace(selection, names=tuple(told), used=selection.used + spent, report=report)


@dataclass(frozen=True, slots=True)
class _Call:
    """What a selection is made from."""

    spec: PhaseSpec
    sources: Sources
    policy: Policy
    window: int
    share: float
    growth: float
    overhead: int | None
    only: tuple[str, ...]
    tokenizer: Tokenizer | None

    @property
    def must(self) -> list[Source]:
        """The deliverables that exist as text."""
        return [each for each in self.sources.files if each.priority == 1 and each.kind == "text"]

    @property
    def formats(self) -> list[Format]:
        """The forms of answer that come into question, the one to prefer first. Lines are edited only where a file that the model
        rewrites is too long for anything else."""
        count = len(self.only or self.spec.deliverables)
        preferred: Format = "lines" if count >= self.policy.lines_format_from else "files"
        rewritten = [*self.must, *(each for each in self.sources.files if each.wanted and each.kind == "text")]
        is_long = any(len(lines_of(each.text)) > self.policy.full_text_max_lines for each in rewritten)
        return [preferred, "edits"] if is_long else [preferred]

    def tokens(self, text: str, path: str | None = None) -> int:
        """Tokens of a text."""
        return estimate(text, path, tokenizer=self.tokenizer)

    def budget(self, form: Format) -> OutputBudget:
        """Room for the answer."""
        rewritten = {each.path: each for each in (*self.must, *(s for s in self.sources.files if s.wanted))}
        sizes = {path: self.tokens(each.text, path) for path, each in rewritten.items()}
        return output_budget(
            self.spec, sizes, self.policy, window=self.window, format=form, growth=self.growth, only=self.only,
            context_files=sum(1 for each in self.sources.files if each.priority > 1),
        )  # fmt: skip

    def available(self, budget: OutputBudget) -> int:
        """Tokens for the context; negative when not even the prompt without it fits."""
        margin = max(int(self.window * self.policy.context_margin), self.policy.min_context_margin)
        left = self.window - budget.tokens - self.prompt() - margin
        return int(left * self.share) if left > 0 else left

    def prompt(self) -> int:
        """Tokens of the prompt without its files, measured or as usual."""
        return self.overhead if self.overhead is not None else FIXED_PARTS + self.tokens(spec_text(self.spec))


def spec_text(spec: PhaseSpec) -> str:
    """All words of a phase that a prompt repeats."""
    lists = (
        spec.acceptance_criteria, spec.deliverables, spec.scope or (), spec.protected_paths or (), spec.read_only, spec.notes
    )  # fmt: skip
    return "\n".join([spec.phase_id, spec.name, spec.description, *(each for some in lists for each in some)])


def _first_that_fits(call: _Call) -> Selection:
    """The selection with the first form of answer whose files, and whose answer, there is room for."""
    _refuse_too_large(call)
    problem: ContextError | None = None
    fallback: Selection | None = None
    for form in call.formats:
        try:
            selection = _Filling(call, form).run()
        except ContextError as error:
            problem = error
            continue
        if not selection.exceeded and not _is_unmet(call, selection):
            return selection
        fallback = fallback or selection
    if fallback is not None:
        return fallback
    assert problem is not None
    raise problem


def _is_unmet(call: _Call, selection: Selection) -> bool:
    """Whether a file that the model asked for is not shown so that it can change it."""
    wanted = {each.path for each in call.sources.files if each.wanted and each.kind == "text"}
    return any(each.path in wanted for each in selection.of("excerpt", "omitted"))


def _refuse_too_large(call: _Call) -> None:
    """A deliverable that is larger than anything an answer may contain can never be rewritten."""
    large = [each for each in call.sources.files if each.priority == 1 and each.kind == "large"]
    if large and not call.spec.allow_existing_deliverables:
        raise _overflow(
            f"these deliverables are too large to be shown: {_sizes(large)}",
            {"files": [{"path": each.path, "bytes": each.facts.size} for each in large]},
        )


class _Filling:
    """Fills the room of one call, for one form of answer."""

    def __init__(self, call: _Call, form: Format) -> None:
        self._call, self._form = call, form
        self._budget = call.budget(form)
        self._available = call.available(self._budget)
        self._about = topic(call.spec)
        self._used = 0

    def run(self) -> Selection:
        call = self._call
        self._take_report()
        must = [each for each in call.sources.files if each.priority == 1]
        files = self._take_deliverables(must)
        for each in sorted((s for s in call.sources.files if s.priority > 1), key=self._rank):
            files.append(self._fitted(each))
        return Selection(
            self._form, tuple(files), call.sources.missing, self._warnings(files), self._report(files),
            self._budget.tokens, self._available, self._used, estimated_output=self._budget.estimated,
        )  # fmt: skip

    def _take_report(self) -> None:
        """Keep room for naming what is missing, and as many as are named of what is left out."""
        call = self._call
        costs = sorted((call.tokens(f"{each.path}\n") + 10 for each in call.sources.files), reverse=True)
        missing = sum(call.tokens(f"{each}\n") for each in call.sources.missing)
        self._used = _REPORT + missing + 2 * sum(costs[: call.policy.max_files_named])
        if self._used > self._available:
            cause = (
                f"the phase itself takes {call.prompt()} tokens and its answer {self._budget.tokens}; the window of "
                f"{call.window} has no room left for files"
            )
            raise _overflow(cause, {"window": call.window, "available": self._available, "needed": self._used})

    def _take_deliverables(self, must: Sequence[Source]) -> list[ContextFile]:
        files = [self._whole(each) if each.kind == "text" else self._part(each) for each in must]
        needed = sum(each.tokens for each in files)
        if self._used + needed > self._available:
            largest = sorted(zip(files, must, strict=True), key=lambda pair: (-pair[0].tokens, pair[0].path))
            cause = (
                f"the deliverables take {needed} tokens, and {self._available - self._used} are left: "
                f"{_sizes([source for _, source in largest])}"
            )
            told = [{"path": f.path, "bytes": f.facts.size, "tokens": f.tokens} for f, _ in largest]
            raise _overflow(cause, {"files": told, "available": self._available - self._used, "needed": needed})
        self._used += needed
        return files

    def _rank(self, source: Source) -> tuple[Any, ...]:
        """What is shown first: what the model asked for, what may be written, what has to do with the phase, what is small. Equal
        ones stay in the given order."""
        score = relevance(source.path, source.text, self._about)
        return not source.wanted, source.priority, -score, source.facts.size

    def _fitted(self, source: Source) -> ContextFile:
        """The file whole if there is room, otherwise part of it, otherwise nothing."""
        if source.kind == "text":
            whole = self._whole(source)
            if self._takes(whole):
                return whole
        part = self._part(source)
        if self._takes(part):
            return part
        return self._file(source, "omitted", "", "there was no room for it")

    def _takes(self, file: ContextFile) -> bool:
        fits = self._used + file.tokens <= self._available
        if fits:
            self._used += file.tokens
        return fits

    def _whole(self, source: Source) -> ContextFile:
        if self._form == "edits" and source.writable:
            return self._file(source, "numbered", numbered(source.text, self._about), "with the numbers of its lines")
        return self._file(source, "full", source.text, "whole")

    def _part(self, source: Source) -> ContextFile:
        if source.kind == "binary":
            return self._file(source, "name", "", "it is no text")
        cut = source.text if source.kind == "large" else excerpt(source.text, self._call.policy)
        if cut is None:
            return self._file(source, "omitted", "", "there was no room for it")
        return self._file(source, "excerpt", cut, "it is too long to be shown whole")

    def _file(self, source: Source, shown: Shown, text: str, why: str) -> ContextFile:
        call = self._call
        frame = call.tokens(source.path) + _FRAME if shown in ("full", "numbered", "excerpt") else 0
        tokens = call.tokens(text, source.path) + frame
        original = source.text if shown in ("full", "numbered") else None
        return ContextFile(source.facts, source.priority, shown, text, why, tokens, original, source.writable)

    def _warnings(self, files: Sequence[ContextFile]) -> tuple[str, ...]:
        notes = [
            f"context_binary: {f.path}: a deliverable that is no text cannot be shown" for f in files if _is_odd(f)
        ]
        estimated = self._estimated()
        size = tier(estimated, self._call.window)
        if not size.fits:
            cut = sum(1 for each in files if each.shown in ("excerpt", "omitted"))
            notes.append(
                f"context_reduced: all files would make a call of {estimated} tokens, too much for one of {size.tokens}; "
                f"{cut} are cut or left out"
            )
        return (*self._call.sources.warnings, *notes)

    def _estimated(self) -> int:
        call = self._call
        return call_estimate("", (call.tokens(s.text, s.path) for s in call.sources.files), prompt=call.prompt())

    def _report(self, files: Sequence[ContextFile]) -> Mapping[str, Any]:
        estimated = self._estimated()
        return {
            "format": self._form, "window": self._call.window, "share": self._call.share, "available": self._available,
            "used": self._used, "output_tokens": self._budget.tokens, "estimated_output": self._budget.estimated,
            "estimated_call": estimated, "tier": tier(estimated, self._call.window).tokens,
            "files": [each.told() for each in files],
            "cut": [each.path for each in files if each.shown == "excerpt"],
            "omitted": [each.path for each in files if each.shown == "omitted"],
            "missing": list(self._call.sources.missing),
        }  # fmt: skip


def _is_odd(file: ContextFile) -> bool:
    return file.priority == 1 and file.shown == "name"


def _names(root: Root, protection: Protection, selection: Selection) -> list[str]:
    """Names of other files, without what is protected: so nothing that the application itself writes changes a prompt."""
    known = {each.path for each in selection.files}
    names = []
    for path in root.listing(4 * _NAMES):
        parts = path.split("/")
        if path in known or not is_safe(path) or any(part in _FOREIGN or part.startswith(".") for part in parts[:-1]):
            continue
        if protection.is_secret(path) or protection.match(path) is not None:
            continue
        names.append(path)
    return names[:_NAMES]


def _sizes(sources: Sequence[Source]) -> str:
    shown = ", ".join(f"{each.path} ({each.facts.size} bytes)" for each in sources[:10])
    more = f" and {len(sources) - 10} more" if len(sources) > 10 else ""
    return f"{shown}{more}"


def _overflow(cause: str, details: Mapping[str, Any]) -> ContextError:
    return ContextError("E_CONTEXT_OVERFLOW", cause, retryable=False, details=details)
