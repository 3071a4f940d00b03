"""Select what the model is shown, and ask it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from phasegate import Context, Outcome
from phasegate.apps.build.context.batching import batches
from phasegate.apps.build.context.records import Selection
from phasegate.apps.build.errors import BuildTimeoutError, ContextError
from phasegate.apps.build.flow import DONE, UNFIT
from phasegate.apps.build.judging import Past
from phasegate.apps.build.metering import Meter, patient, transport_error
from phasegate.apps.build.prompting.feedback import Feedback
from phasegate.apps.build.prompting.rendering import Prompt, compose
from phasegate.apps.build.schema import PhaseSpec
from phasegate.apps.build.stages.common import Stage
from phasegate.apps.build.stages.pieces import Rest
from phasegate.apps.build.workshop import Workshop
from phasegate.llm import LLMError, Request, Response, redact

#: Characters of an answer that the history keeps, without secrets; the engine has all of it.
KEPT = 100_000


@dataclass(frozen=True)
class SelectContext(Stage):
    """An attempt begins. Gives ``past``, what earlier attempts decide of it, and ``report``, what the model will be shown."""

    def work(self, context: Context) -> Outcome:
        """``done``, or ``unfit`` when what the model must see does not fit."""
        shop = self.shop(context)
        sent_back = context.feedback if isinstance(context.feedback, Mapping) else {}
        past = Past.from_told(sent_back.get("next"))
        began = {"index": past.index, "past": past.told(), "began": shop.seconds()}
        lasted = shop.lasted(context.run.id, 0)
        if lasted is not None and lasted > shop.policy.run_timeout:
            raise BuildTimeoutError(
                "E_RUN_TIMEOUT", f"the run has taken longer than {shop.policy.run_timeout:g} seconds"
            )
        try:
            selection, _ = composed(self, context, past, Rest(), past.share)
        except ContextError as error:
            return Outcome(UNFIT, {**began, "errors": [error.told()]})
        return Outcome(DONE, {**began, "report": dict(selection.report), "warnings": list(selection.warnings)})


@dataclass(frozen=True)
class Ask(Stage):
    """Asks once. Gives the ``text`` of the answer, and ``seen``: what of which files the model was shown.

    After an answer that was cut short, or when there is more to deliver than fits into one, it asks again, for the rest.
    """

    async def __call__(self, context: Context) -> Any:
        """``done``, or ``unfit`` when the model gave no answer."""
        try:
            outcome = await self.ask(context, self.shop(context))
        except Exception as error:
            outcome = self.unfit(context, error)
        return self.ending(context, outcome)

    async def ask(self, context: Context, shop: Workshop) -> Outcome:
        """Put the prompt together, ask, and say what came back. Raises ``PhaseExecutorError``."""
        spec, past = self.spec(context), self.past(context)
        sent_back = context.feedback if isinstance(context.feedback, Mapping) else {}
        rest = Rest.from_told(sent_back["rest"]) if "rest" in sent_back else None
        share = past.share
        while True:
            selection, prompt = await asyncio.to_thread(composed, self, context, past, rest or Rest(), share)
            if rest is None:
                # What does not fit into one answer is asked for piece by piece, and the context chosen for the first piece.
                rest = Rest().in_batches(batches(spec.deliverables, shop.policy) if selection.exceeded else ())
                if rest.batches:
                    continue
            meter = Meter(context, shop, self.place(context), "continuation" if rest.answers else "build")
            try:
                response = await patient(meter, shop).generate(_request(shop, spec, past, selection, prompt))
            except LLMError as error:
                # Only the provider knows its window: with half as much it is asked once more.
                if error.kind == "prompt_too_long" and share == past.share:
                    share *= 0.5
                    continue
                raise transport_error(error) from None
            return Outcome(DONE, _asked(shop, selection, prompt, response, rest, past))


def composed(stage: Stage, context: Context, past: Past, rest: Rest, share: float) -> tuple[Selection, Prompt]:
    """What the model is shown in this call, and the prompt. Raises ``ContextError`` when what it must see does not fit."""
    shop, spec = stage.shop(context), stage.spec(context)
    given = context.input["context_files"] if spec.context_files is None else spec.context_files
    return compose(
        spec, shop.root, given or (), stage.protection(context), shop.policy, window=shop.max_tokens,
        delimiter_seed=spec.sha256, share=share, extra=past.extra, growth=past.growth,
        feedback=Feedback.from_told(past.feedback) if past.feedback is not None else None,
        hints=stage.given(context, "check")["carry"].get("hints", ()), rules=shop.rules, only=rest.only, done=rest.done,
    )  # fmt: skip


def _request(shop: Workshop, spec: PhaseSpec, past: Past, selection: Selection, prompt: Prompt) -> Request:
    model = spec.model or (shop.tiers[min(past.level, len(shop.tiers) - 1)] if shop.tiers else shop.model)
    return Request(
        prompt.system, prompt.user, model=model, max_output_tokens=selection.output_tokens, temperature=spec.temperature,
        timeout=spec.timeout_s or shop.timeout_s or shop.policy.call_timeout,
    )  # fmt: skip


def _asked(
    shop: Workshop, selection: Selection, prompt: Prompt, response: Response, rest: Rest, past: Past
) -> dict[str, Any]:
    seen = [
        {"facts": asdict(each.facts), "shown": each.shown, "edited": each.original is not None}
        for each in selection.files
    ]
    return {
        "text": response.text, "stop_reason": response.stop_reason, "model": response.model, "format": selection.format,
        "prompt_sha256": prompt.sha256, "prompt": prompt.masked if shop.policy.keep_prompts else None, "level": past.level,
        "seen": seen, "warnings": list(selection.warnings), "report": dict(selection.report), "rest": rest.told(),
        "kept_text": redact(response.text)[:KEPT],
    }  # fmt: skip
