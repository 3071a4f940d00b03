"""Close: end a run, or park it, when nothing can go on."""

from __future__ import annotations

from collections.abc import Iterator

from phasegate.core import facts as f
from phasegate.core.draft import IDLE, Draft
from phasegate.core.flow import UNDO
from phasegate.core.run import PhaseStatus, RunStatus
from phasegate.core.tally import fails, settled_below


def close(draft: Draft) -> Iterator[f.Fact]:
    """End the run, or park it, when nothing can go on."""
    run, tally, now = draft.run, draft.tally, draft.now
    if run.status in IDLE or tally.active:
        return
    undone = [i for i in draft.snapshot().values() if i.phase.startswith(UNDO)] if run.ending else []
    if run.ending and not any(i.status is PhaseStatus.WAITING for i in undone):
        failed = {i.phase[len(UNDO) :] for i in undone if i.status is PhaseStatus.FAILED}
        lost = [name for name in draft.flow.order if name in failed]
        reason = (run.reason or "") + (f"; undoing {', '.join(lost)} failed" if lost else "")
        if run.ending is RunStatus.CANCELLED and not lost:
            yield f.RunCancelled(now, reason)
        else:
            yield f.RunFailed(now, reason)
    elif run.ending:
        return
    elif tally.unsettled == 0:
        yield f.RunSucceeded(now)
    elif tally.failures and not _timed(draft):
        yield f.RunEnding(now, RunStatus.FAILED, _failure_reason(draft))
    elif tally.statuses[PhaseStatus.WAITING]:
        if run.status is not RunStatus.WAITING:
            yield f.RunParked(now)
    else:
        yield f.RunEnding(now, RunStatus.FAILED, "nothing can move: " + ", ".join(_unsettled(draft)))


def _timed(draft: Draft) -> bool:
    """Whether some phase (not a gate) will be tried again by itself."""
    return any(draft.flow.by_name[name].gate is None for name, _ in draft.tally.timers)


def _failure_reason(draft: Draft) -> str:
    failed = [i for i in draft.snapshot().values() if fails(draft.flow, draft.run.aim, i)]
    first = min(failed, key=lambda i: (draft.flow.position[i.phase], i.scope))
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    return f"{first.phase}: {first.reason or 'failed'}{more}"


def _unsettled(draft: Draft) -> list[str]:
    aim = draft.run.aim
    return [
        name
        for name in draft.flow.order
        if (aim is None or name in aim) and not settled_below(draft.flow, draft.phases, draft.tally, name, ())
    ]
