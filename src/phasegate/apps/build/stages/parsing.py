"""Read what the model answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from phasegate import Context, Outcome
from phasegate.apps.build.answers.parsing import merge, parse
from phasegate.apps.build.errors import ConcurrentEditError, RefusedError, TruncatedResponseError
from phasegate.apps.build.flow import DONE, MORE, UNFIT
from phasegate.apps.build.schema import Answer, Change, FileFacts
from phasegate.apps.build.stages.common import Stage
from phasegate.apps.build.stages.pieces import Rest
from phasegate.apps.build.workshop import Workshop
from phasegate.llm import redact


@dataclass(frozen=True)
class Parse(Stage):
    """Reads the answer. Gives ``answer``, whole: what came in several pieces is put together."""

    def work(self, context: Context) -> Outcome:
        """``done``; ``more`` when the rest has to be asked for; ``unfit`` when the answer cannot be used, or is a refusal."""
        shop, asked, spec = self.shop(context), self.given(context, "ask"), self.spec(context)
        rest = Rest.from_told(asked["rest"])
        try:
            answer = parse(
                asked["text"], asked["format"], stop_reason=asked["stop_reason"], policy=shop.policy,
                originals=_originals(asked, shop), allow_empty=spec.allow_noop,
            )  # fmt: skip
        except TruncatedResponseError as error:
            salvaged = _salvaged(error)
            left = rest.after_cut(salvaged, spec.deliverables, error.details.get("cut"))
            if left is None or not salvaged.changes or rest.continuations >= shop.policy.max_continuations:
                raise
            return Outcome(MORE, {"rest": left.told()})
        except RefusedError as error:
            error.details = {name: redact(str(value)) for name, value in error.details.items()}
            return Outcome(UNFIT, {"errors": [error.told()], "refused": True})
        left = rest.after(answer)
        if left is not None:
            return Outcome(MORE, {"rest": left.told()})
        whole = merge([*rest.answers, answer])
        return Outcome(DONE, {"answer": whole.told(), "parse_method": answer.repair_method})


def _salvaged(error: TruncatedResponseError) -> Answer:
    """What was whole before the cut; it has no place in an error and is taken out of it."""
    details = dict(error.details)
    changes = details.pop("salvaged", ())
    error.details = details
    found = tuple(Change(each["path"], each["mode"], each["new_content"]) for each in changes)
    satisfied = tuple(details.get("already_satisfied", ()))
    return Answer(str(details.get("summary") or ""), found, already_satisfied=satisfied, repair_method="salvage")


def _originals(asked: Mapping[str, Any], shop: Workshop) -> dict[str, str]:
    """The texts of the files that an answer may edit in part, as the model was shown them. Raises ``ConcurrentEditError``."""
    texts: dict[str, str] = {}
    for each in asked["seen"] if asked["format"] != "files" else ():
        if not each["edited"]:
            continue
        shown = FileFacts(**each["facts"])
        facts, data = shop.root.load(shown.path)
        if facts.sha256 != shown.sha256:
            raise ConcurrentEditError(
                "E_CONCURRENT_EDIT", "it was changed while the model worked on it", path=shown.path
            )
        texts[shown.path] = data.decode(shown.encoding)
    return texts
