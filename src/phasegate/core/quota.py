"""How much may go on at once, or begin in a time, over all workers of a database: what is counted, and the arithmetic.

Pure: the store keeps the counts, and the worker asks it before it starts an attempt.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from phasegate.core.run import Run

#: What a quota may count apart; a value of the run's input is written ``input.NAME``.
APART = ("phase", "tenant", "subject", "key")
_INPUT = "input."


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How many attempts of a phase may be under way, and how many may begin, over all workers.

    ``concurrency`` attempts at once; ``rate`` beginnings in ``seconds`` (as many may begin at once after a rest). ``per`` is
    what is counted apart: ``phase`` (all attempts together), ``tenant``, ``subject``, ``key`` (that of the run), or
    ``input.NAME``, a value of the run's input, such as the account that is used. Phases that give their quota the same
    ``name`` share it; without one it is the phase's own.
    """

    concurrency: int | None = None
    rate: float | None = None
    seconds: float = 1.0
    per: str = "phase"
    name: str = ""

    def problems(self) -> tuple[str, ...]:
        """What is wrong with it, one sentence each."""
        found = []
        if self.concurrency is None and self.rate is None:
            found.append("a quota has a concurrency or a rate")
        if self.concurrency is not None and self.concurrency < 1:
            found.append("the concurrency of a quota is 1 or more")
        if self.rate is not None and self.rate < 1:
            found.append("the rate of a quota is 1 or more: for less than one a second, name more seconds")
        if self.seconds <= 0:
            found.append("the seconds of a quota are more than 0")
        if self.per not in APART and not (self.per.startswith(_INPUT) and len(self.per) > len(_INPUT)):
            found.append(f"a quota counts per {', '.join(APART)} or {_INPUT}NAME, not per {self.per!r}")
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Permit:
    """What an attempt needs before it may start: one place under a quota. ``key`` tells apart what is counted apart."""

    name: str
    key: str
    concurrency: int | None
    rate: float | None
    seconds: float


def permit(quota: Quota, run: Run, phase: str) -> Permit:
    """The place an attempt of ``phase`` of ``run`` needs under ``quota``."""
    name = quota.name or f"{run.flow}/{phase}"
    return Permit(name, _key(quota.per, run), quota.concurrency, quota.rate, quota.seconds)


def _key(per: str, run: Run) -> str:
    if per == "phase":
        return ""
    if per == "tenant":
        return run.tenant
    if per == "subject":
        return f"{run.tenant}/{run.subject}"
    if per == "key":
        return f"{run.tenant}/{run.key}"
    given = run.input.get(per.removeprefix(_INPUT)) if isinstance(run.input, dict) else None
    return "" if given is None else str(given)


@dataclass(frozen=True, slots=True)
class Bucket:
    """What is left of a rate at a time: it refills evenly, up to the whole."""

    tokens: float
    at: datetime

    def refilled(self, permit: Permit, now: datetime) -> Bucket:
        """The bucket at ``now``; a clock that was put back takes nothing away."""
        assert permit.rate is not None
        passed = max(0.0, (now - self.at).total_seconds())
        return Bucket(min(permit.rate, self.tokens + passed * permit.rate / permit.seconds), max(now, self.at))

    def spent(self) -> Bucket:
        """The bucket after one more beginning."""
        return Bucket(self.tokens - 1.0, self.at)

    def next_at(self, permit: Permit) -> datetime:
        """When it holds the next whole token."""
        assert permit.rate is not None
        return self.at + timedelta(seconds=max(0.0, (1.0 - self.tokens) * permit.seconds / permit.rate))


def full(permit: Permit, now: datetime) -> Bucket:
    """A bucket nobody has taken anything from."""
    assert permit.rate is not None
    return Bucket(permit.rate, now)
