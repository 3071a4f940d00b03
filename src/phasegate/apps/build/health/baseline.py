"""What a test command says after a change, compared with what it said before: only what is new counts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from phasegate.apps.build.health.testreports import Report
from phasegate.apps.build.schema import digest

Severity = Literal["none", "low", "medium", "high", "critical"]
#: From how many newly failing tests on.
_SEVERITIES: tuple[tuple[int, Severity], ...] = ((10, "critical"), (5, "high"), (2, "medium"), (1, "low"), (0, "none"))


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the commands said before the first phase, or after the last one that was accepted, by the name of the command."""

    reports: Mapping[str, Report] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Equal for baselines that say the same of the same tests."""
        about = {k: {**v.told(), "output": ""} for k, v in self.reports.items()}
        return digest(about)[:16]

    def advanced(self, reports: Mapping[str, Report]) -> Baseline:
        """The baseline after an accepted phase; a command that could not be run keeps its report."""
        return Baseline({**self.reports, **{k: v for k, v in reports.items() if v.missing is None}})

    def told(self) -> dict[str, Any]:
        """The baseline as JSON; ``from_told`` is the inverse."""
        return {name: self.reports[name].told() for name in sorted(self.reports)}

    @classmethod
    def from_told(cls, told: Mapping[str, Any]) -> Baseline:
        """The inverse of ``told``."""
        return cls({name: Report.from_told(report) for name, report in told.items()})


@dataclass(frozen=True, slots=True)
class Delta:
    """What is different after a change. Lists are sorted.

    ``broke`` says that the command as a whole does not work any more, ``lost`` that it finds no tests although there were some.
    ``undetermined`` are tests that fail and of which nobody knows whether they failed before; ``unclear`` says that of the
    whole command.
    """

    failing: tuple[str, ...] = ()
    collection: tuple[str, ...] = ()
    undetermined: tuple[str, ...] = ()
    broke: str | None = None
    unclear: bool = False
    lost: bool = False
    fewer: int = 0
    skipped: str | None = None

    @property
    def regressed(self) -> bool:
        """Whether anything is worse than before."""
        return bool(self.failing or self.collection or self.broke or self.lost)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a delta means, after the command was run once more where something was worse."""

    status: Literal["pass", "warn", "fail", "skip"]
    message: str
    severity: Severity = "none"
    regressions: tuple[str, ...] = ()
    flaky: tuple[str, ...] = ()


def severity(newly_failing: int) -> Severity:
    """How bad so many newly failing tests are."""
    return next(name for least, name in _SEVERITIES if newly_failing >= least)


def compare(before: Report | None, after: Report) -> Delta:
    """What is worse than before. Without a baseline everything that fails is new."""
    if after.missing is not None:
        was_there = before is not None and before.missing is None
        return Delta(broke=f"it ran before, and now {after.missing}") if was_there else Delta(skipped=after.missing)
    if before is not None and before.missing is not None:
        before = None
    if after.timed_out:
        was_slow = before is not None and before.timed_out
        return Delta(unclear=True) if was_slow else Delta(broke="it did not end in time")
    if after.runner == "unknown":
        # Where tests were named before, and none are now, the runner itself does not work any more.
        was_well = before is None or before.green or before.runner != "unknown"
        if after.green and before is not None and before.collected:
            return Delta(lost=True)  # a runner that says nothing any more has not run the tests
        if after.green:
            return Delta()
        return Delta(broke=f"it ended with exit code {after.exit}") if was_well else Delta(unclear=True)
    return _compare_tests(before, after)


def _compare_tests(before: Report | None, after: Report) -> Delta:
    old = before or Report(collected=None)
    new, unread = _minus(after.failing, old.failing), old.runner == "unknown" and not old.green
    # Tests that were not run before, because something stood in the way, may have failed all the time.
    hidden = unread or _hid_tests(old)
    delta = Delta(
        failing=() if hidden else new,
        undetermined=new if hidden else (),
        collection=() if unread else _minus(after.collection, old.collection),
        lost=bool(old.collected and after.collected == 0 and not after.collection),
        fewer=max(0, old.collected - after.collected) if old.collected and after.collected else 0,
    )
    unexplained = not after.green and not after.failing and not after.collection and after.collected
    if unexplained and old.green:
        return replace(delta, broke=f"no test fails, but it ended with exit code {after.exit}")
    return delta


def _hid_tests(before: Report) -> bool:
    """Whether tests may not have been run; pytest stops when it cannot import something, unittest goes on."""
    return before.timed_out or bool(before.collection and (before.runner == "pytest" or not before.collected))


def judge(delta: Delta, again: Delta | None = None) -> Verdict:
    """What follows from a delta, and from the delta of a second run if there was one: only what is worse in both is."""
    if delta.skipped is not None:
        return Verdict("skip", delta.skipped)
    failing = _both(delta.failing, again.failing if again else None)
    collection = _both(delta.collection, again.collection if again else None)
    broke = delta.broke if again is None or again.broke else None
    lost = delta.lost and (again is None or again.lost)
    flaky = _minus((*delta.failing, *delta.collection, *(again.failing if again else ())), (*failing, *collection))
    lasting = (*collection, *failing)
    if lasting or broke or lost:
        said = [broke] if broke else ["no tests are found any more"] if lost else []
        said += [f"{len(collection)} cannot be imported"] if collection else []
        said += [f"{len(failing)} newly failing"] if failing else []
        worst = "critical" if collection or broke or lost else severity(len(failing))
        return Verdict("fail", f"{'; '.join(said)}{_named(lasting)}", worst, lasting, flaky)
    return _mild(delta, flaky)


def _mild(delta: Delta, flaky: tuple[str, ...]) -> Verdict:
    """What is worth saying when nothing is worse for good."""
    said = [f"{len(flaky)} failed only once{_named(flaky)}"] if flaky else []
    if delta.broke or delta.lost:
        said.append("failed only once as a whole")
    if delta.unclear:
        said.append("it failed before and fails now, and does not say in what: nobody knows whether it is worse")
    if delta.undetermined:
        said.append(f"{len(delta.undetermined)} fail that were not run before{_named(delta.undetermined)}")
    if delta.fewer:
        said.append(f"{delta.fewer} tests fewer than before")
    return Verdict("warn", "; ".join(said), flaky=flaky) if said else Verdict("pass", "nothing is worse than before")


def _named(names: tuple[str, ...]) -> str:
    return f": {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}" if names else ""


def _both(first: tuple[str, ...], again: tuple[str, ...] | None) -> tuple[str, ...]:
    return first if again is None else tuple(sorted(set(first) & set(again)))


def _minus(some: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(some) - set(others)))
