"""A run comes back from the database as it went in, whatever its fields hold."""

from __future__ import annotations

from hypothesis import HealthCheck, assume, given, settings

from phasegate.core.run import Run
from phasegate.store.base import Append, Store
from tests.store.conformance import put
from tests.store.records import runs, started


# The store is shared by all examples: every run has an id of its own.
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(runs())
def test_a_run_comes_back_as_it_went_in(store: Store, run: Run) -> None:
    same_flow = store.of_subjects(run.tenant, run.flow, [run.subject.id])
    assume(
        not store.load([run.id]) and not any(other.subject == run.subject for other in same_flow)
    )  # not drawn before
    put(store, Append(run, 0, (started(run),), tuple(run.phases.values())))
    assert store.load([run.id]) == [run]
    changed = run.but(
        seq=2,
        reason="changed",
        phases=run.phases.changed({key: i._replace(attempt=7) for key, i in run.phases.items()}),
    )
    put(store, Append(changed, 1, (started(run),), tuple(changed.phases.values())))
    assert store.load([run.id]) == [changed]
