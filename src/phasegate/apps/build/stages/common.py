"""What every stage does: find its inputs and its workshop, and turn whatever goes wrong into an outcome."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from phasegate import Context, Fatal, Outcome, Snooze
from phasegate.apps.build.errors import FileSystemError, HistoryError, PhaseExecutorError, one_line, told
from phasegate.apps.build.flow import DONE, UNFIT, place_of, stage
from phasegate.apps.build.health import commands
from phasegate.apps.build.health.commands import CommandResult
from phasegate.apps.build.judging import Past
from phasegate.apps.build.metering import Place, trace
from phasegate.apps.build.paths.protection import Protection
from phasegate.apps.build.schema import Command, PhaseSpec
from phasegate.apps.build.stages.telling import events_of
from phasegate.apps.build.workshop import Workshop
from phasegate.errors import StoreError

#: Stages whose output the next phase begins with.
_INDISPENSABLE = frozenset({"check", "verdict"})


@dataclass(frozen=True)
class Stage:
    """One stage of the n-th phase of a plan, as a function of the engine's. Equal to any other one of the same."""

    number: int

    def __call__(self, context: Context) -> Any:
        """What ``work`` gives, with the ``index`` of the attempt; ``unfit`` with the errors when it raises any."""
        try:
            outcome = self.work(context)
        except Exception as error:
            outcome = self.unfit(context, error)
        return self.ending(context, outcome)

    def work(self, context: Context) -> Outcome:
        """Do it. Raises ``PhaseExecutorError`` when the phase cannot be done like this."""
        raise NotImplementedError

    def unfit(self, context: Context, error: Exception) -> Outcome:
        """An error as an outcome. One that the engine acts on is raised again, as is one of a stage without which nothing can be
        decided: that ends the run."""
        if isinstance(error, Fatal | Snooze) or context.cancelled:
            raise error
        place = place_of(context.phase)
        if place is not None and place[1] in _INDISPENSABLE:
            raise as_error(error, context) from None
        return unfit([as_error(error, context)])

    def ending(self, context: Context, outcome: Outcome) -> Outcome:
        """The outcome with the index of the attempt, by which the history knows where it belongs. Listeners are told."""
        ended = Outcome(outcome.word, {"index": self.past(context).index, **outcome.value})
        self.tell(context, ended)
        return ended

    def tell(self, context: Context, outcome: Outcome) -> None:
        """Tell whoever listens how the stage ended."""
        place, shop = place_of(context.phase), context.deps.of(context.run, context.now())
        named = {**outcome.value, **self.given(context, "check")} if place else {}
        attempt = outcome.value.get("index") if place and place[1] != "check" else None
        ids = {"run_id": context.run.id, "phase_id": named.get("phase_id"), "attempt": attempt}
        name = place[1] if place else context.phase
        for event in events_of(name, outcome.word, outcome.value, self.given(context, "approval")):
            shop.tell({**ids, **event})
        if name == "verdict" and outcome.word == DONE and self.number == len(context.input["plan"]):
            statuses = outcome.value["carry"]["statuses"]
            good = len(statuses) == self.number and set(statuses.values()) == {"succeeded"}
            ended = {"type": "run_finished", "status": "succeeded" if good else "failed"}
            shop.tell({**ids, "phase_id": None, "attempt": None, **ended})

    def past(self, context: Context) -> Past:
        """What earlier attempts decide of this one."""
        return Past.from_told(self.given(context, "context").get("past"))

    def given(self, context: Context, name: str) -> Mapping[str, Any]:
        """The output of an earlier stage of the same phase; empty when that was skipped."""
        return context.inputs.get(stage(self.number, name)) or {}

    def ended(self, context: Context, name: str) -> str | None:
        """The outcome of an earlier stage of the same phase."""
        return context.run.at(stage(self.number, name)).outcome

    def spec(self, context: Context) -> PhaseSpec:
        """The phase's specification, as it was validated."""
        return PhaseSpec.from_told(self.given(context, "check")["spec"])

    def shop(self, context: Context) -> Workshop:
        """The workshop of the run. Raises ``Snooze`` when this process has none."""
        found: Workshop = context.deps.of(context.run, context.now())
        return found

    def protection(self, context: Context) -> Protection:
        """What this phase must not change."""
        spec = self.spec(context)
        return self.shop(context).protection(
            context.input["protected"] if spec.protected_paths is None else spec.protected_paths
        )

    def phase_key(self, context: Context) -> str:
        """The phase's id in the history."""
        return f"{context.run.id}/{self.number}"

    def place(self, context: Context) -> Place:
        """Where calls of the present attempt belong."""
        phase, index = self.phase_key(context), self.past(context).index
        named = str(self.given(context, "check")["phase_id"])
        return Place(context.run.id, phase, f"{phase}/{index}", named, index)


def unfit(errors: Iterable[PhaseExecutorError], **more: Any) -> Outcome:
    """The outcome of a stage that found errors; ``more`` is what later stages want to know all the same."""
    return Outcome(UNFIT, {"errors": told(errors), **more})


def as_error(error: Exception, context: Context) -> PhaseExecutorError:
    """Any exception as an error of ours: one line, without paths of the machine."""
    if isinstance(error, PhaseExecutorError):
        return error
    if isinstance(error, StoreError):
        return HistoryError("E_HISTORY", str(error), hint=error.hint)
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        said = "the disk is full: make room and go on" if full else error.strerror or type(error).__name__
        return FileSystemError("E_DISK_FULL" if full else "E_FS", said)
    context.log.error("build.stage_failed", traceback=trace(error))
    return PhaseExecutorError("E_INTERNAL", one_line(f"{type(error).__name__}: {error}")[:300])


def runner(shop: Workshop) -> Callable[[Command], CommandResult]:
    """Runs commands in the repository, as long as this process works on the run it works on now."""
    run_id = shop.working
    return lambda command: commands.run(command, shop.root.path, shop.policy, stopped=lambda: shop.working != run_id)
