"""Select what the model is shown, ask it, and read what it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from phasegate import Context, Outcome
from phasegate.apps.build.answers.parsing import merge, parse
from phasegate.apps.build.context.batching import batches
from phasegate.apps.build.context.records import Selection
from phasegate.apps.build.context.selecting import select
from phasegate.apps.build.errors import (
    BuildTimeoutError,
    ConcurrentEditError,
    ContextError,
    LLMResponseError,
    RefusedError,
    TruncatedResponseError,
)
from phasegate.apps.build.flow import DONE, MORE
from phasegate.apps.build.judging import Past
from phasegate.apps.build.metering import Meter, patient, transport_error
from phasegate.apps.build.prompting.feedback import Feedback
from phasegate.apps.build.prompting.rendering import Prompt, render
from phasegate.apps.build.schema import Answer, Change, FileFacts, PhaseSpec
from phasegate.apps.build.stages.common import Stage
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
            selection = selected(self, context, past)
        except ContextError as error:
            return Outcome("unfit", {**began, "errors": [error.told()]})
        return Outcome(DONE, {**began, "report": dict(selection.report), "warnings": list(selection.warnings)})


@dataclass(frozen=True)
class Ask(Stage):
    """Asks once. Gives the text of the answer, and ``seen``: what of which files the model was shown.

    An answer that was cut short, or a phase with more deliverables than fit into one, is asked about again for the rest;
    ``so_far`` then has what was delivered before."""

    async def __call__(self, context: Context) -> Any:
        """``done``, or ``unfit`` when the model gave no answer."""
        try:
            outcome = await self.ask(context, self.shop(context))
        except Exception as error:
            outcome = self.unfit(context, error)
        return self.numbered(context, outcome)

    async def ask(self, context: Context, shop: Workshop) -> Outcome:
        """Render, ask, and say what came back."""
        spec, past = self.spec(context), self.past(context)
        sent_back = context.feedback if isinstance(context.feedback, Mapping) else None
        so_far = sent_back["rest"] if sent_back is not None and "rest" in sent_back else None
        share = past.share
        while True:
            selection = await asyncio.to_thread(selected, self, context, past, share)
            rest = so_far if so_far is not None else _first(spec, selection, shop)
            prompt = self._prompt(context, spec, past, selection, rest)
            request = _request(shop, spec, past, selection, prompt)
            purpose = "continuation" if rest["answers"] else "build"
            meter = Meter(context, shop, self.place(context), purpose)
            try:
                response = await patient(meter, shop).generate(request)
            except LLMError as error:
                # Only the provider knows its window: with half as much it is asked once more.
                if error.kind == "prompt_too_long" and share == past.share:
                    share *= 0.5
                    continue
                raise transport_error(error) from None
            return Outcome(DONE, _asked(shop, selection, prompt, response, rest, past))

    def _prompt(
        self, context: Context, spec: PhaseSpec, past: Past, selection: Selection, rest: Mapping[str, Any]
    ) -> Prompt:
        feedback = Feedback.from_told(past.feedback) if past.feedback is not None else None
        return render(
            spec, selection, protection=self.protection(context), feedback=feedback, hints=past.earlier,
            rules=self.shop(context).rules, delimiter_seed=spec.sha256, only=rest["only"], done=rest["done"],
        )  # fmt: skip


@dataclass(frozen=True)
class Parse(Stage):
    """Reads the answer. Gives ``answer``, whole: what came in several pieces is put together."""

    def work(self, context: Context) -> Outcome:
        """``done``; ``more`` when the rest has to be asked for; ``unfit`` when the answer cannot be used, or the model
        refused."""
        shop, asked = self.shop(context), self.given(context, "ask")
        rest = asked["rest"]
        found: list[Answer] = [Answer.from_told(each) for each in rest["answers"]]
        originals = _originals(asked, shop)
        try:
            answer = parse(
                asked["text"],
                asked["format"],
                stop_reason=asked["stop_reason"],
                policy=shop.policy,
                originals=originals,
            )
        except TruncatedResponseError as error:
            return self._after_cut(context, shop, rest, found, error)
        except LLMResponseError as error:
            if isinstance(error, RefusedError):
                return Outcome("unfit", {"errors": [error.told()], "refused": True, "parse_method": None})
            raise
        if answer.refusal is not None:
            needs = f"; it needs: {answer.refusal.needs}" if answer.refusal.needs else ""
            refused = RefusedError("E_REFUSED", f"{answer.refusal.reason}{needs}")
            return Outcome("unfit", {"errors": [refused.told()], "refused": True, "parse_method": answer.repair_method})
        found.append(answer)
        if rest["batches"]:
            return Outcome(MORE, {"rest": _next_batch(rest, found)})
        return Outcome(DONE, {"answer": merge(found).told(), "parse_method": answer.repair_method})

    def _after_cut(
        self,
        context: Context,
        shop: Workshop,
        rest: Mapping[str, Any],
        found: list[Answer],
        error: TruncatedResponseError,
    ) -> Outcome:
        """What was complete before the cut is kept, and the rest asked for, a few times."""
        salvaged = tuple(Change(c["path"], c["mode"], c["new_content"]) for c in error.details.get("salvaged", ()))
        told = dict(error.details)
        told.pop("salvaged", None)
        error.details = told  # whole files have no place in an error
        if not salvaged or rest["continuations"] >= shop.policy.max_continuations:
            raise error
        found.append(Answer(str(told.get("summary") or ""), salvaged, repair_method="salvage"))
        delivered = [change.path for answer in found for change in answer.changes]
        wanted = rest["only"] or list(self.spec(context).deliverables)
        remaining = [each for each in wanted if each not in delivered]
        return Outcome(
            MORE,
            {
                "rest": {
                    "answers": [each.told() for each in found], "done": delivered, "only": remaining,
                    "batches": rest["batches"], "continuations": rest["continuations"] + 1,
                }
            },
        )  # fmt: skip


def selected(stage: Stage, context: Context, past: Past, share: float | None = None) -> Selection:
    """What the model is shown in this attempt. Raises ``ContextError`` when what it must see does not fit."""
    shop, spec = stage.shop(context), stage.spec(context)
    given = context.input["context_files"] if spec.context_files is None else spec.context_files
    return select(
        spec, shop.root, given or (), stage.protection(context), shop.policy, window=shop.max_tokens,
        share=past.share if share is None else share, extra=past.extra, growth=past.growth,
    )  # fmt: skip


def _request(shop: Workshop, spec: PhaseSpec, past: Past, selection: Selection, prompt: Prompt) -> Request:
    model = spec.model or (shop.tiers[past.level] if shop.tiers else shop.model)
    return Request(
        prompt.system, prompt.user, model=model, max_output_tokens=selection.output_tokens, temperature=spec.temperature,
        timeout=spec.timeout_s or shop.timeout_s or shop.policy.call_timeout,
    )  # fmt: skip


def _first(spec: PhaseSpec, selection: Selection, shop: Workshop) -> dict[str, Any]:
    """What the first call asks for: everything, or the first batch of more than one answer can hold."""
    plan: Sequence[Sequence[str]] = ()
    if selection.output_tokens > shop.policy.max_output_tokens:
        plan = batches(spec.deliverables, shop.policy)
    if len(plan) < 2:
        return {"answers": [], "done": [], "only": [], "batches": [], "continuations": 0}
    return {
        "answers": [],
        "done": [],
        "only": list(plan[0]),
        "batches": [list(each) for each in plan[1:]],
        "continuations": 0,
    }


def _next_batch(rest: Mapping[str, Any], found: Sequence[Answer]) -> dict[str, Any]:
    return {
        "answers": [each.told() for each in found], "done": [c.path for answer in found for c in answer.changes],
        "only": rest["batches"][0], "batches": rest["batches"][1:], "continuations": rest["continuations"],
    }  # fmt: skip


def _asked(
    shop: Workshop, selection: Selection, prompt: Prompt, response: Response, rest: Mapping[str, Any], past: Past
) -> dict[str, Any]:
    seen = [{"facts": asdict(each.facts), "shown": each.shown, "priority": each.priority} for each in selection.files]
    return {
        "text": response.text, "stop_reason": response.stop_reason, "model": response.model, "format": selection.format,
        "prompt_sha256": prompt.sha256, "prompt": redact(prompt.user) if shop.policy.keep_prompts else None,
        "level": past.level, "seen": seen, "missing": list(selection.missing), "warnings": list(selection.warnings),
        "report": dict(selection.report), "rest": dict(rest), "kept_text": redact(response.text)[:KEPT],
    }  # fmt: skip


def _originals(asked: Mapping[str, Any], shop: Workshop) -> dict[str, str]:
    """The texts of the files that an answer may edit in part, as the model was shown them."""
    texts: dict[str, str] = {}
    if asked["format"] == "files":
        return texts
    for each in asked["seen"]:
        facts = FileFacts(**each["facts"])
        if not facts.exists or facts.encoding == "binary" or each["shown"] in ("name", "omitted"):
            continue
        if shop.root.facts(facts.path).sha256 != facts.sha256:
            raise ConcurrentEditError(
                "E_CONCURRENT_EDIT", "it was changed while the model worked on it", path=facts.path
            )
        texts[facts.path] = shop.root.read(facts.path).decode(facts.encoding)
    return texts
