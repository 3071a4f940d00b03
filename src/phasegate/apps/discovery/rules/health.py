"""How well a flow is, told from where it stands and what the engine knows of it: no clock, no database.

Only the engine moves flows, so nothing here changes one. What waits for a person is well, however long the person takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from phasegate import Reason
from phasegate.apps.discovery.standing import Standing


class Health(StrEnum):
    """How well a flow is, the best first. A flow that is hanging moves by itself no more; one that is critical still may."""

    HEALTHY = "healthy"
    WARNING = "warning"
    CRITICAL = "critical"
    HANGING = "hanging"
    FAILED = "failed"


#: The classes, the worst last.
ORDER = tuple(Health)
#: How long a phase may be at work without anything recorded of it.
STALLS: Mapping[str, timedelta] = {
    "data_import": timedelta(minutes=15),
    "data_validation": timedelta(minutes=15),
    "field_mapping": timedelta(minutes=30),
    "data_cleansing": timedelta(minutes=20),
    "asset_inventory": timedelta(minutes=25),
    "dependency_analysis": timedelta(minutes=30),
    "tech_debt_assessment": timedelta(minutes=20),
}
#: Within which time somebody takes up what can be done; workers look several times a second.
TAKEN = timedelta(minutes=1)
#: How long a flow may be at work since a person let it go on.
LONG, TOO_LONG = timedelta(hours=1), timedelta(hours=2)
#: When so little (in percent) is done after so long, it is told.
SLOW, LITTLE = timedelta(minutes=30), 20.0


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of one flow.

    ``reasons`` are those of the engine's ``why``. ``changed_at`` is when anything was recorded of it last, ``moving_since`` when
    it was begun, or when a person last let it go on. ``workers`` is how many workers live. ``held`` says whether one of them
    holds the flow, when somebody was at it, and is None when nobody was. All times are aware.
    """

    flow_id: str
    standing: Standing
    reasons: tuple[Reason, ...]
    now: datetime
    changed_at: datetime
    moving_since: datetime
    workers: int
    held: bool | None = None

    def reason(self, *codes: str) -> Reason | None:
        """The first reason with one of these codes."""
        return next((each for each in self.reasons if each.code in codes), None)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How well a flow is, why, and what a person can do; nothing when nothing is to be done. ``due_at`` is when it goes on by
    itself, ``since`` when it began to be so."""

    health: Health
    why: str
    next: str | None = None
    since: datetime | None = None
    due_at: datetime | None = None


def judge(found: Situation) -> Verdict:
    """How well the flow is. The first rule that has something to say decides."""
    for rule in _RULES:
        verdict = rule(found)
        if verdict is not None:
            return verdict
    return Verdict(Health.HEALTHY, _at_work(found), since=found.moving_since)


def worst(classes: list[Health]) -> Health:
    """The worst of these; healthy when there is none."""
    return max(classes, key=ORDER.index, default=Health.HEALTHY)


def _ended(found: Situation) -> Verdict | None:
    if found.standing.master not in ("completed", "cancelled"):
        return None
    return Verdict(Health.HEALTHY, f"it is {found.standing.master}", since=found.changed_at)


def _failed(found: Situation) -> Verdict | None:
    standing = found.standing
    if standing.master != "failed":
        return None
    why = f"{standing.error_phase or 'the flow'} failed: {standing.error or 'it does not say why'}"
    step = f"mend what it says, then phasegate discovery retry --flow {found.flow_id}; or delete it"
    return Verdict(Health.FAILED, why, step, found.changed_at)


def _with_people(found: Situation) -> Verdict | None:
    """Paused, or waiting for a decision: never ill, however long it takes."""
    standing, paused = found.standing, found.reason("paused")
    if standing.child == "paused":
        why = paused.text if paused is not None else "a person stopped it"
        return Verdict(Health.HEALTHY, why, f"phasegate discovery resume --flow {found.flow_id}", found.changed_at)
    if standing.waits_for is None:
        return None
    asked = found.reason("gate_open", "asked")
    step = f"decide; phasegate discovery status --flow {found.flow_id} says how"
    since = asked.since if asked is not None else found.changed_at
    return Verdict(Health.HEALTHY, f"it waits for a person: {standing.waits_for}", step, since)


def _unknown(found: Situation) -> Verdict | None:
    reason = found.reason("unknown_flow")
    return None if reason is None else Verdict(Health.CRITICAL, reason.text, reason.hint, reason.since)


def _abandoned(found: Situation) -> Verdict | None:
    """Somebody was at it who lives no more."""
    reason = found.reason("running")
    if reason is None or found.held is not False:
        return None
    why = f"the worker that was at {found.standing.current_phase} lives no more"
    if found.workers:
        return Verdict(Health.WARNING, f"{why}; another one takes it over", since=found.changed_at)
    return Verdict(Health.HANGING, f"{why}, and no other one does", _start(found), found.changed_at)


def _stalled(found: Situation) -> Verdict | None:
    """Somebody lives and is at it, and yet nothing comes of it."""
    phase = found.standing.current_phase or ""
    if found.reason("running") is None or found.now - found.changed_at <= STALLS.get(phase, LONG):
        return None
    why = f"a worker is at {phase}, but nothing has come of it for {_minutes(found.now - found.changed_at)}"
    step = f"phasegate discovery pause --flow {found.flow_id}, then resume it: what hangs is given up and done again"
    return Verdict(Health.HANGING, why, step, found.changed_at)


def _not_taken(found: Situation) -> Verdict | None:
    """Something could be done, and nobody does it."""
    reason = found.reason("ready", "retry_due", "snoozed")
    if reason is None:
        return None
    since = reason.due_at or reason.since or found.changed_at
    late = found.now - since
    if late <= TAKEN:
        return None
    why = f"{found.standing.current_phase} could begin since {_minutes(late)}"
    if not found.workers:
        return Verdict(Health.HANGING, f"{why}, and nobody works", _start(found), since)
    ill = Health.CRITICAL if late > STALLS.get(found.standing.current_phase or "", LONG) else Health.WARNING
    step = "start more workers, or one that knows this version of the flow"
    return Verdict(ill, f"{why}, and no worker has taken it", step, since)


def _tried_again(found: Situation) -> Verdict | None:
    reason = found.reason("retry_due")
    if reason is None:
        return None
    return Verdict(Health.WARNING, reason.text, "wait: it goes on by itself", reason.since, reason.due_at)


def _long(found: Situation) -> Verdict | None:
    """At work for long, although it does move."""
    moving = found.now - found.moving_since
    step = "see whether it moves: phasegate discovery status says how far it is"
    if moving > LONG:
        ill = Health.CRITICAL if moving > TOO_LONG else Health.WARNING
        return Verdict(ill, f"it has been at work for {_minutes(moving)}", step, found.moving_since)
    if moving > SLOW and found.standing.progress < LITTLE:
        why = f"{found.standing.progress:g} % are done after {_minutes(moving)}"
        return Verdict(Health.WARNING, why, step, found.moving_since)
    return None


_RULES: tuple[Callable[[Situation], Verdict | None], ...] = (
    _ended, _failed, _with_people, _unknown, _abandoned, _stalled, _not_taken, _tried_again, _long,
)  # fmt: skip


def _at_work(found: Situation) -> str:
    return f"{found.standing.current_phase} is at work" if found.held else f"{found.standing.current_phase} is next"


def _start(found: Situation) -> str:
    app = "phasegate.apps.discovery.flow:build_registry"
    return (
        f"phasegate worker --app {app} begins to work; phasegate discovery resume --flow {found.flow_id} does so once"
    )


def _minutes(time: timedelta) -> str:
    return f"{time.total_seconds() / 60:,.0f} minutes"
