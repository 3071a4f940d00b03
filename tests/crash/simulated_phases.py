"""What the phases of a simulated flow do: take their time, and end in every way there is, as a seed decides."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from phasegate import Batch, Context, Fatal, Outcome, Phase, Skip, Snooze
from phasegate.core.run import Scope
from tests.crash.store_double import REFUSED
from tests.crash.virtual_time import VirtualLoop

#: Attempts after which a phase does well, so that every run can end.
ENOUGH = 6


def entry(run_id: str, phase: str, scope: Scope, attempt: int) -> str:
    """What an attempt enters into the ledger."""
    return f"{run_id} {phase} {scope} {attempt}"


def _entry(context: Context) -> str:
    return entry(context.run.id, context.phase, context.scope, context.attempt)


class Played:
    """Functions for phases; what each attempt does depends on nothing but the seed and the attempt."""

    def __init__(self, seed: int, loop: VirtualLoop, chance: random.Random) -> None:
        self._seed, self._loop, self._chance = seed, loop, chance

    def phase(self, phase: Phase) -> Phase:
        """The phase with functions of some kind."""
        if phase.gate is not None:
            return phase
        values = {name: getattr(phase, name) for name in Phase.__dataclass_fields__}
        kind = self._chance.choice(["async", "async", "plain", "batch", "transactional"])
        run = {"async": self.act, "plain": self.perform, "batch": self.act_all, "transactional": self.book}[kind]
        batch = Batch(size=3, within=0.5) if kind == "batch" else None
        timeout = self._chance.choice([None, 4.0]) if kind in ("async", "batch") else None
        compensate = self.undo if phase.compensate else None
        values |= {"run": run, "batch": batch, "timeout": timeout, "compensate": compensate}
        return Phase(**values | {"transactional": kind == "transactional"})

    def _dice(self, context: Context) -> random.Random:
        return random.Random(f"{self._seed} {_entry(context)}")

    async def act(self, context: Context) -> Any:
        slow = context.attempt < ENOUGH
        await asyncio.sleep(self._dice(context).choice([0, 0.1, 1, 3, 5] if slow else [0.1]))
        return self.perform(context)

    async def act_all(self, contexts: Sequence[Context]) -> list[Any]:
        await asyncio.sleep(self._dice(contexts[0]).choice([0, 1, 3]))
        return [self._tried(context) for context in contexts]

    def _tried(self, context: Context) -> Any:
        try:
            return self.perform(context)
        except Exception as error:
            return error

    async def undo(self, context: Context) -> None:
        await asyncio.sleep(self._dice(context).choice([0, 1, 3]))
        context.write("ledger", {"entry": _entry(context)})

    def book(self, context: Context) -> Any:
        context.session.execute(_entry(context))
        return self._result(context, self._dice(context))

    def perform(self, context: Context) -> Any:
        dice = self._dice(context)
        if context.attempt < ENOUGH and dice.random() < 0.04:
            context.write(REFUSED, {"entry": "never"})
        context.write("ledger", {"entry": _entry(context)})
        return self._result(context, dice)

    def _result(self, context: Context, dice: random.Random) -> Any:
        value = dice.choice([["a", "b"], ["a"], [], ["b", "c"]])
        kind = dice.random()
        if context.attempt >= ENOUGH or kind < 0.7:
            return value
        if kind < 0.8:
            raise ConnectionError("no answer")
        if kind < 0.84:
            raise Fatal("never")
        if kind < 0.88:
            raise Snooze(self._loop.now() + timedelta(seconds=dice.choice([1, 20])))
        if kind < 0.92:
            return Skip("nothing to do")
        if kind < 0.95 and context.answers is None and not context.phase.startswith("undo:"):
            return context.ask(["why?"]) if context.session is None else value
        return Outcome(dice.choice(["again", "alt", "failed"]), value)
