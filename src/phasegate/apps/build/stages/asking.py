"""Select what the model is shown, and ask it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from phasegate import Context, Outcome
from phasegate.apps.build.context.batching import batches
from phasegate.apps.build.context.records import Selection
from phasegate.apps.build.errors import PhaseExecutorError, one_line
from phasegate.apps.build.flow import DONE, UNFIT
from phasegate.apps.build.judging import Past
from phasegate.apps.build.metering import Meter, check_time, patient, transport_error
from phasegate.apps.build.prompting.feedback import Feedback
from phasegate.apps.build.prompting.rendering import Prompt, compose
from phasegate.apps.build.schema import PhaseSpec
from phasegate.apps.build.spec import RETRY_KEY
from phasegate.apps.build.stages.common import Stage, as_error, unfit
from phasegate.apps.build.stages.pieces import Rest
from phasegate.apps.build.workshop import Workshop
from phasegate.llm import LLMError, Request, Response, redact

#: Characters of an answer that the history keeps, without secrets; the engine has all of it.
KEPT = 100_000


@dataclass(frozen=True)
class SelectContext(Stage):
    """An attempt begins. Gives ``past``, what earlier attempts decide of it, and ``report``, what the model will be shown."""

    def work(self, context: Context) -> Outcome:
        """``done``, or ``unfit`` when the attempt cannot be made, because what the model must see does not fit, or for any other
        reason."""
        shop = self.shop(context)
        sent_back = context.feedback if isinstance(context.feedback, Mapping) else {}
        past = Past.from_told(sent_back["next"]) if "next" in sent_back else self._first(context, shop)
        began = {"index": past.index, "past": past.told()}
        shop.begin(f"{self.phase_key(context)}/{past.index}", 0)
        try:
            check_time(shop, "run", context.run.id, shop.policy.run_timeout)
            selection, _ = composed(self, context, past, Rest(), past.share)
        except Exception as error:
            return Outcome(UNFIT, {**began, "errors": [as_error(error, context).told()]})
        return Outcome(DONE, {**began, "report": dict(selection.report), "warnings": list(selection.warnings)})

    def _first(self, context: Context, shop: Workshop) -> Past:
        """Where a phase begins: with the model for its complexity, and with what an orchestrator of somebody else's knows of its
        earlier attempts."""
        spec, raw = self.spec(context), context.input["plan"][self.number - 1]
        retry = raw.get(RETRY_KEY)
        feedback = Feedback.from_told(retry).told() if isinstance(retry, Mapping) else None
        # A model whose provider did not work in an earlier phase is not asked again in this run.
        left = self.given(context, "check")["carry"].get("left", 0)
        return Past(level=max(first_tier(spec, len(shop.tiers)), left), left=left, feedback=feedback)


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
                in_pieces = selection.exceeded or past.pieces
                rest = Rest().in_batches(batches(spec.deliverables, shop.policy) if in_pieces else ())
                if rest.batches:
                    continue
            request = _request(shop, spec, past, selection, prompt, self.place(context).ids)
            meter = Meter(context, shop, self.place(context), "continuation" if rest.answers else "build")
            try:
                response = await patient(meter, shop).generate(request)
            except LLMError as error:
                # Only the provider knows its window: with half as much it is asked once more.
                if error.kind == "prompt_too_long" and share == past.share:
                    share *= 0.5
                    continue
                return unfit([transport_error(error)], **_put(shop, spec, past, prompt, request.model))
            except PhaseExecutorError as error:
                return unfit([error], **_put(shop, spec, past, prompt, request.model))
            put = _put(shop, spec, past, prompt, one_line(response.model or "") or request.model)
            return Outcome(DONE, {**put, **_answered(selection, response, rest, self._slow(context, shop))})

    def _slow(self, context: Context, shop: Workshop) -> list[str]:
        """A warning when the attempt has taken more than half of the time it has."""
        lasted, most = shop.lasted(self.place(context).attempt, 0), shop.policy.attempt_timeout
        slow = lasted is not None and lasted > most / 2
        return (
            [f"slow_attempt: more than half of its {most:g} seconds were gone when the model answered"] if slow else []
        )


def composed(stage: Stage, context: Context, past: Past, rest: Rest, share: float) -> tuple[Selection, Prompt]:
    """What the model is shown in this call, and the prompt. Raises ``ContextError`` when what it must see does not fit."""
    shop, spec = stage.shop(context), stage.spec(context)
    given = context.input["context_files"] if spec.context_files is None else spec.context_files
    return compose(
        spec, shop.root, given or (), stage.protection(context), shop.policy, window=shop.max_tokens,
        delimiter_seed=spec.sha256, share=share, extra=past.extra, growth=past.growth,
        feedback=_for_the_model(past),
        hints=stage.given(context, "check")["carry"].get("hints", ()), rules=shop.rules, only=rest.only, done=rest.done,
    )  # fmt: skip


def first_tier(spec: PhaseSpec, tiers: int) -> int:
    """Which of the models a phase begins with: the weakest for a low complexity, the strongest for a high one. One that the phase
    itself names is the last there is."""
    if tiers < 2:
        return 0
    if spec.model is not None or spec.complexity == "high":
        return tiers - 1
    return 0 if spec.complexity == "low" else (tiers - 1) // 2


def _for_the_model(past: Past) -> Feedback | None:
    """What the model is told of earlier attempts: not what was wrong with the way to another one."""
    if past.feedback is None:
        return None
    feedback = Feedback.from_told(past.feedback)
    errors = tuple(each for each in feedback.errors if each.get("category") != "transient")
    told = replace(feedback, errors=errors)
    return told if errors or told.earlier or told.output or told.newly_failing else None


def _request(
    shop: Workshop, spec: PhaseSpec, past: Past, selection: Selection, prompt: Prompt, ids: Mapping[str, Any]
) -> Request:  # fmt: skip
    model = spec.model or (shop.tiers[min(past.level, len(shop.tiers) - 1)] if shop.tiers else shop.model)
    return Request(
        prompt.system, prompt.user, model=model, max_output_tokens=selection.output_tokens, temperature=spec.temperature,
        timeout=spec.timeout_s or shop.timeout_s or shop.policy.call_timeout, metadata=ids,
    )  # fmt: skip


def _put(shop: Workshop, spec: PhaseSpec, past: Past, prompt: Prompt, model: str | None) -> dict[str, Any]:
    """What was asked, and whom."""
    climbed = 0 if spec.model is not None or not shop.tiers else past.level
    kept = prompt.masked if shop.policy.keep_prompts else None
    return {"prompt_sha256": prompt.sha256, "prompt": kept, "level": climbed, "model": model}


def _answered(selection: Selection, response: Response, rest: Rest, warnings: list[str]) -> dict[str, Any]:
    """What came back, and what the model had been shown."""
    # Halves of characters, which no database takes, as JSON writes them: so the parser finds them.
    text = response.text.encode("utf-8", "backslashreplace").decode()
    seen = [
        {"facts": asdict(each.facts), "shown": each.shown, "edited": each.original is not None}
        for each in selection.files
    ]
    return {
        "text": text, "stop_reason": response.stop_reason, "format": selection.format, "seen": seen,
        "warnings": [*selection.warnings, *warnings], "report": dict(selection.report), "rest": rest.told(),
        "kept_text": redact(text[: KEPT + 1_000])[:KEPT],
    }  # fmt: skip
