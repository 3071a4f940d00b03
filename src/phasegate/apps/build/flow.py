"""The flow of a plan: for every phase of it the same twelve stages, one phase after another.

::

    baseline -> 1.check -> 1.context -> 1.ask -> 1.parse -> 1.validate -> 1.approval -> 1.apply -> 1.health
                              ^           ^----------'                                               |
                              |                                                          1.accept | 1.restore
                              '---------------- again ------------------------------------ 1.verdict -> 1.commit -> 2.check ...

A stage never fails as the engine understands it: what went wrong is the outcome ``unfit``, the stages up to the verdict are
skipped then, and the verdict says what becomes of the phase. ``again`` goes back to the context with what is to be told to the
model. So attempts, feedback, decisions and everything that was paid for are the engine's own log.

An executor that is not ours has one stage, ``work``, in the place of those from the context to the apply.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from phasegate.core.flow import Flow, Gate, Phase

NAME = "build"
#: Raised whenever the stages change, so that a run keeps to those it was begun with.
REVISION = 1
#: Plans have at most so many phases.
MOST_PHASES = 1_000
#: Of rounds the engine counts every one; attempts are counted by the verdict, continuations by the stage that parses.
UNBOUNDED = 1_000_000
#: The first phase of the flow, which belongs to no phase of the plan.
BASELINE = "baseline"

OWN = ("check", "context", "ask", "parse", "validate", "approval", "apply", "health", "accept", "restore", "verdict")
FOREIGN = ("check", "work", "health", "verdict")
#: Outcomes of stages.
DONE, UNFIT, RISKY, NOOP, MORE, UNDONE, AGAIN, SKIP, KEPT = (
    "done", "unfit", "risky", "noop", "more", "undone", "again", "skip", "kept"
)  # fmt: skip

#: Functions of the stages, by stage; ``baseline`` included.
Stages = Mapping[str, Callable[[int], Callable[..., Any]]]


def stage(number: int, name: str) -> str:
    """What a stage of the n-th phase of a plan (from 1) is called in the flow."""
    return f"{number}.{name}"


def place_of(phase: str) -> tuple[int, str] | None:
    """The number and the stage that ``stage`` made the name of; None for the baseline."""
    number, _, name = phase.partition(".")
    return (int(number), name) if name else None


def version_of(count: int, approval_timeout: float | None = None) -> int:
    """The version of the flow for a plan of so many phases. Another time to decide makes another flow."""
    return REVISION * 10_000 + count + 1_000_000 * round(1_000 * (approval_timeout or 0))


def flow_of(count: int, stages: Stages, *, foreign: bool = False, approval_timeout: float | None = None) -> Flow:
    """The flow of a plan of ``count`` phases. ``approval_timeout`` is how many seconds a risky change waits before it counts as
    rejected."""
    phases = [Phase(BASELINE, stages[BASELINE](0), title="Health before the first phase")]
    before: tuple[str, ...] = (BASELINE,)
    for number in range(1, count + 1):
        phases += _foreign(number, before, stages) if foreign else _own(number, before, stages, approval_timeout)
        before = (stage(number, "verdict"),) if foreign else (stage(number, "verdict"), stage(number, "commit"))
    name = f"{NAME}-foreign" if foreign else NAME
    return Flow(name, version_of(count, approval_timeout), tuple(phases))


def _own(number: int, before: tuple[str, ...], stages: Stages, approval_timeout: float | None) -> list[Phase]:
    at = {name: stage(number, name) for name in (*OWN, "commit")}

    def phase(
        name: str, title: str, needs: tuple[str, ...] = (), when: Mapping[str, Any] | None = None, **more: Any
    ) -> Phase:
        wanted = tuple(at.get(each, each) for each in (*needs, *(when or ())))
        conditions = {at[each]: words for each, words in (when or {}).items()}
        run = None if name == "approval" else stages[name](number)
        return Phase(at[name], run, needs=wanted, when=conditions, title=title, **more)

    gate = Gate(
        outcomes=("approved", "rejected"), shows=(at["validate"],), deadline=approval_timeout, ends=(),
        default="rejected" if approval_timeout else None,
    )  # fmt: skip
    again = {"redo": {MORE: at["ask"]}, "rounds": UNBOUNDED}
    return [
        phase("check", "Check the specification", before),
        phase("context", "Select what the model is shown", when={"check": DONE}),
        phase("ask", "Ask the model", ("check",), {"context": DONE}),
        phase("parse", "Read the answer", ("check", "context"), {"ask": DONE}, **again),
        phase("validate", "Validate the changes", ("check", "context", "ask"), {"parse": DONE}),
        phase("approval", "Approve a risky change", when={"validate": RISKY}, gate=gate),
        phase(
            "apply", "Apply the changes", ("check", "context"),
            {"validate": (DONE, RISKY), "approval": ("approved", "skipped")},
        ),
        phase(
            "health", "Check the health", ("check", "context", "validate"), {"apply": DONE},
            redo={UNDONE: at["apply"]}, rounds=UNBOUNDED,
        ),
        phase("accept", "Keep the changes", ("check", "context", "apply"), {"health": DONE}),
        phase("restore", "Put everything back", ("check", "context", "apply"), {"health": UNFIT}),
        phase(
            "verdict", "Decide what follows", OWN[:-1], redo={AGAIN: at["context"]}, rounds=UNBOUNDED,
        ),
        phase("commit", "Commit to git, where the policy wants that", ("check", "validate"), {"verdict": DONE}),
    ]  # fmt: skip


def _foreign(number: int, before: tuple[str, ...], stages: Stages) -> list[Phase]:
    at = {name: stage(number, name) for name in FOREIGN}
    run = {name: stages[name](number) for name in FOREIGN}
    check, work, health = at["check"], at["work"], at["health"]
    return [
        Phase(check, run["check"], needs=before, title="Check the phase"),
        Phase(work, run["work"], needs=(check,), when={check: DONE}, title="Execute the phase"),
        Phase(health, run["health"], needs=(check, work), when={work: DONE}, title="Check the health"),
        Phase(
            at["verdict"], run["verdict"], needs=(check, work, health), redo={AGAIN: work}, rounds=UNBOUNDED,
            title="Decide what follows",
        ),
    ]  # fmt: skip
