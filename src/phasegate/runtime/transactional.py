"""A phase whose own writes and whose completion are one transaction: the function gets the session of the commit."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any

from phasegate.core import facts as f
from phasegate.core.planner import advance
from phasegate.core.run import Run
from phasegate.journal import Extras, compose
from phasegate.runtime import executor
from phasegate.runtime.held import Attempt, Held
from phasegate.store.base import Append, Projection, Store


class Rejected(Exception):
    """The function failed: its transaction was rolled back, and ``ending`` is to be recorded by itself."""

    def __init__(self, ending: executor.Ending) -> None:
        super().__init__(ending.fact.kind)
        self.ending = ending


def perform_transactional(
    store: Store, projections: Sequence[Projection], held: Held, attempt: Attempt, worker: str
) -> tuple[Run, tuple[f.Fact, ...]]:
    """Run the function of a transactional phase and record its completion in the same transaction.

    Called on the journal's thread, because on SQLite nobody else can write meanwhile anyway: in this way the function waits
    for the commit before it, and the commits behind it wait for the function, each in its turn. Raises ``Rejected`` when the
    function failed or took longer than its timeout (it cannot be interrupted, but it can be undone).
    """

    def work(session: Any) -> tuple[Append, tuple[Run, tuple[f.Fact, ...]]]:
        ending = _perform(session, held, attempt, store)
        now = store.now()
        start = () if attempt.recorded else (attempt.start_fact(worker),)
        after, facts = advance(held.flow, held.run, now, *start, ending.fact)
        place = (*attempt.key, attempt.context.attempt)
        outputs = {place: ending.output} if ending.output is not None else {}
        if ending.output is not None:
            held.values[place] = ending.output[1]
        extras = Extras(outputs=outputs, writes=ending.writes)
        append = compose(held.flow, held.run, after, facts, now=now, extras=extras, projecting=bool(projections))
        return append, (after, facts)

    result: tuple[Run, tuple[f.Fact, ...]] = store.transact(work, projections)
    return result


def _perform(session: Any, held: Held, attempt: Attempt, store: Store) -> executor.Ending:
    context, phase = attempt.context, attempt.phase
    context.session = session
    context.writes.clear()
    began = monotonic()
    try:
        result = phase.run(context)  # type: ignore[operator, misc]
        session.flush()
        took = monotonic() - began
        if phase.timeout is not None and took > phase.timeout:
            result = executor.TimedOut(f"took {took:.1f} seconds, longer than {phase.timeout:g}")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a function raises fails its attempt, never its worker
        result = error
    finally:
        context.session = None
    ending = executor.settle(held.flow, phase, context, result, store.now())
    if not isinstance(ending.fact, f.AttemptSucceeded | f.AttemptSkipped):
        raise Rejected(ending)
    return ending
