"""How to test a flow: phases that play a script, a clock that is set by hand, an engine that leaves nothing behind."""

from collections.abc import Callable

from phasegate import Context, Flow, Gate, Phase, PhaseStatus, Retry, RunStatus, Subject
from phasegate.testing import FakeClock, Scripted, drain, temporary_engine

DAY = 24 * 3600.0
ORDER = Subject("order", "a1")


def ship(context: Context) -> str:
    return f"{context.inputs['fetch']['articles']} articles shipped"


def orders(fetch: Callable[[Context], object]) -> Flow:
    """The flow under test; what reaches out into the world is handed in."""
    return Flow(
        "orders",
        version=1,
        phases=(
            Phase("fetch", fetch, retry=Retry(attempts=3, base=60, jitter=False)),
            Phase("release", needs=("fetch",), gate=Gate(shows=("fetch",), deadline=3 * DAY, default="rejected")),
            Phase("ship", ship, needs=("release", "fetch")),
        ),
    )


def test_a_service_that_is_down_is_asked_again() -> None:
    fetch, clock = Scripted(ConnectionError("down"), ConnectionError("down"), {"articles": 2}), FakeClock()
    began = clock()
    with temporary_engine(orders(fetch), clock=clock) as engine:
        run = engine.start("orders", ORDER)
        drain(engine, clock, until=lambda: engine.get(run.id).at("release").status is PhaseStatus.WAITING)
    assert [context.attempt for context in fetch.calls] == [1, 2, 3]
    assert (clock() - began).total_seconds() == 60 + 120  # it has waited, and nobody had to


def test_what_is_approved_is_shipped() -> None:
    with temporary_engine(orders(Scripted({"articles": 2}))) as engine:
        run = engine.start("orders", ORDER)
        drain(engine)
        seen = engine.get(run.id).at("release").shown
        engine.decide(run.id, "release", "approved", by="kim@people.example", seen=seen)
        drain(engine)
        assert engine.outputs(run.id)["ship"] == "2 articles shipped"


def test_what_nobody_answers_is_rejected_after_three_days() -> None:
    clock = FakeClock()
    began = clock()
    with temporary_engine(orders(Scripted({"articles": 2})), clock=clock) as engine:
        run = engine.start("orders", ORDER)
        drain(engine, clock)
        assert engine.get(run.id).status is RunStatus.FAILED
        assert engine.get(run.id).at("ship").status is PhaseStatus.PENDING
        assert (clock() - began).total_seconds() == 3 * DAY


if __name__ == "__main__":  # a test runner such as pytest finds them by their names
    for test in (
        test_a_service_that_is_down_is_asked_again,
        test_what_is_approved_is_shipped,
        test_what_nobody_answers_is_rejected_after_three_days,
    ):
        test()
        print(f"{test.__name__}: passed")
