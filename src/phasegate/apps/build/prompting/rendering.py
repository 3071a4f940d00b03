"""A prompt from a phase and what was selected for it: the same bytes for the same inputs, always."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from phasegate.apps.build.context.records import Selection
from phasegate.apps.build.context.selecting import select
from phasegate.apps.build.context.tokens import Tokenizer, estimate
from phasegate.apps.build.paths.protection import Protection
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.prompting.delimiting import LENGTH, delimiter
from phasegate.apps.build.prompting.feedback import Feedback
from phasegate.apps.build.prompting.system import system_prompt
from phasegate.apps.build.prompting.user import Told, user_prompt
from phasegate.apps.build.schema import Format, PhaseSpec
from phasegate.llm import redact

_FORMS: tuple[Format, ...] = ("files", "edits", "lines")


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model is asked. ``sha256`` is that of both parts; ``tokens`` are estimated."""

    system: str
    user: str
    sha256: str
    tokens: int

    @property
    def masked(self) -> str:
        """Both parts without secrets: what may be stored of them."""
        return redact(f"{self.system}\n{self.user}")


def render(
    spec: PhaseSpec, selection: Selection, *, protection: Protection, delimiter_seed: str,
    feedback: Feedback | None = None, hints: Sequence[str] = (), rules: Sequence[str] = (), only: Sequence[str] = (),
    done: Sequence[str] = (), policy: Policy | None = None,
) -> Prompt:  # fmt: skip
    """The prompt of one call.

    ``hints`` are in order of time; the latest are told first. ``delimiter_seed`` decides the token that marks the ends of files;
    it is none that occurs in them. ``only`` and ``done`` are for calls that ask for a part of the deliverables.
    """
    told = Told(spec, selection, protection, policy or Policy(), feedback, hints, rules, only, done)
    token = delimiter(delimiter_seed, _texts(told))
    return _prompt(system_prompt(selection.format), user_prompt(told, token))


def compose(
    spec: PhaseSpec, root: Root, context_files: Sequence[str], protection: Protection, policy: Policy, *, window: int,
    delimiter_seed: str, share: float = 1.0, extra: Sequence[str] = (), growth: float = 1.0,
    feedback: Feedback | None = None, hints: Sequence[str] = (), rules: Sequence[str] = (), only: Sequence[str] = (),
    done: Sequence[str] = (), tokenizer: Tokenizer | None = None,
) -> tuple[Selection, Prompt]:  # fmt: skip
    """Select and render in one: everything of the prompt that is no file is measured before the files are chosen.

    Raises ``ContextError`` as ``select`` does.
    """
    told = Told(spec, Selection("files"), protection, policy, feedback, hints, rules, only, done)
    selection = select(
        spec, root, context_files, protection, policy, window=window, share=share, extra=extra, growth=growth,
        overhead=overhead(told, tokenizer), only=only, tokenizer=tokenizer,
    )  # fmt: skip
    prompt = render(
        spec, selection, protection=protection, delimiter_seed=delimiter_seed, feedback=feedback, hints=hints, rules=rules,
        only=only, done=done, policy=policy,
    )  # fmt: skip
    return selection, prompt


def overhead(told: Told, tokenizer: Tokenizer | None = None) -> int:
    """Tokens of the prompt without its files, in whichever form of answer it is longest."""
    return max(_bare(told, form, tokenizer) for form in _FORMS)


def _bare(told: Told, form: Format, tokenizer: Tokenizer | None) -> int:
    empty = replace(told, selection=Selection(form))
    parts = (system_prompt(form), user_prompt(empty, "0" * LENGTH))
    return sum(estimate(part, tokenizer=tokenizer) for part in parts)


def _texts(told: Told) -> Iterator[str]:
    """Everything that stands in a prompt, and what of its files is not shown."""
    yield user_prompt(told, "")
    yield from told.selection.originals.values()


def _prompt(system: str, user: str) -> Prompt:
    whole = hashlib.sha256(f"{system}\0{user}".encode("utf-8", "surrogatepass")).hexdigest()
    return Prompt(system, user, whole, estimate(system) + estimate(user))
