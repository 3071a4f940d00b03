"""A flow checks itself when it is built, and knows how its phases stand to each other."""

from __future__ import annotations

import pytest

from phasegate.core.flow import Batch, Flow, Gate, Phase, Retry
from phasegate.core.flowdata import flow_data, flow_from_data
from phasegate.errors import FlowError, UnknownName
from tests.core.story import flow, gate, step
from tests.core.strategies import work


async def later(_ctx: object) -> None:
    """An asynchronous phase function."""


def problems(*phases: Phase, name: str = "f", version: int = 1) -> tuple[str, ...]:
    with pytest.raises(FlowError) as caught:
        Flow(name, version, phases)
    return caught.value.problems


@pytest.mark.parametrize(
    ("phase", "problem"),
    [
        (Phase("a"), "phase 'a' must have either a function (run) or a gate"),
        (Phase("a", work, gate=Gate()), "phase 'a' must have either a function (run) or a gate"),
        (Phase("", work), "phase '': a name is not empty, has no spaces and does not begin with 'undo:'"),
        (Phase("a b", work), "phase 'a b': a name is not empty, has no spaces and does not begin with 'undo:'"),
        (Phase("undo:a", work), "phase 'undo:a': a name is not empty, has no spaces and does not begin with 'undo:'"),
        (step("a", timeout=0), "phase 'a': timeout must be more than 0 seconds"),
        (
            step("a", retry=Retry(attempts=0)),
            "phase 'a': retry.attempts counts the first attempt, so it is 1 or more",
        ),
        (step("a", batch=Batch(size=0)), "phase 'a': batch.size must be 1 or more"),
        (step("a", batch=Batch(), transactional=True), "phase 'a' cannot be both batched and transactional"),
        (
            Phase("a", later, transactional=True),
            "phase 'a' is transactional: its function must be a plain def, it runs inside the commit",
        ),
        (step("a", runs_on="rya"), "phase 'a' runs on 'rya', which is not known (did you mean 'ray'?)"),
        (step("a", resources={"num_cpus": 2}), "phase 'a' has resources, which are for a phase with runs_on"),
        (
            step("a", runs_on="ray", transactional=True),
            "phase 'a' is transactional: its function runs inside the commit and cannot run on 'ray'",
        ),
        (Phase("a", gate=Gate(), runs_on="ray"), "phase 'a' is a gate: runs_on is for functions"),
        (step("a", runs_on="ray", resources={"GPU": 1}), "phase 'a': the resource 'GPU' is called 'num_gpus'"),
        (
            step("a", runs_on="ray", resources={"memory": -1}),
            "phase 'a': resource 'memory' must be a number, 0 or more, not -1",
        ),
        (
            step("a", runs_on="ray", resources={"num_cpus": True}),
            "phase 'a': resource 'num_cpus' must be a number, 0 or more, not True",
        ),
        (step("a", redo={"again": "a"}, rounds=0), "phase 'a': rounds must be 1 or more when there is a redo"),
        (
            Phase("a", gate=Gate(), timeout=5),
            "phase 'a' is a gate: batch, quotas, transactional, timeout, silence and compensate are for functions",
        ),
        (gate("a", quorum=0), "phase 'a': quorum must be 1 or more"),
        (gate("a", deadline=0.0), "phase 'a': deadline must be more than 0 seconds"),
        (gate("a", default="maybe"), "phase 'a': the default 'maybe' is not among its outcomes"),
        (gate("a", redo={"maybe": "a"}), "phase 'a': redo on 'maybe', not among its outcomes"),
        (step("a", "b"), "phase 'a' needs 'b', which does not exist (known: a)"),
        (step("abc", "abd"), "phase 'abc' needs 'abd', which does not exist (did you mean 'abc'?)"),
        (step("abc", after=("abd",)), "phase 'abc' comes after 'abd', which does not exist (did you mean 'abc'?)"),
        (step("abc", each="abd"), "phase 'abc' repeats over 'abd', which does not exist (did you mean 'abc'?)"),
        (
            step("abc", when={"abd": "done"}),
            "phase 'abc' has a condition on 'abd', which does not exist (did you mean 'abc'?)",
        ),
        (step("abc", redo={"x": "abd"}), "phase 'abc' goes back to 'abd', which does not exist (did you mean 'abc'?)"),
        (gate("abc", shows=("abd",)), "phase 'abc' shows 'abd', which does not exist (did you mean 'abc'?)"),
        (step("a", "a"), "phases wait for each other in a ring: a -> a"),
    ],
)
def test_a_mistake_in_one_phase_is_named(phase: Phase, problem: str) -> None:
    assert problems(phase) == (problem,)


@pytest.mark.parametrize(
    ("phases", "problem"),
    [
        ((), "it has no phases"),
        ((step("a"), step("a"), step("a")), "phase 'a' appears twice"),
        ((step("a", "c"), step("b", "a"), step("c", "b")), "phases wait for each other in a ring: a -> c -> b -> a"),
        (
            (step("a"), step("b", when={"a": "done"})),
            "phase 'b' has a condition on 'a', which is not above it",
        ),
        (
            (step("a"), step("b", redo={"again": "a"})),
            "phase 'b' goes back to 'a', which is not above it",
        ),
        (
            (step("a"), step("b", each="a"), step("c", "b", redo={"again": "b"})),
            "phase 'c' goes back to 'b', which repeats in an iteration 'c' is not in",
        ),
    ],
)
def test_a_mistake_in_how_phases_stand_to_each_other_is_named(phases: tuple[Phase, ...], problem: str) -> None:
    assert problems(*phases) == (problem,)


def test_a_flow_has_a_name_and_a_version() -> None:
    assert problems(step("a"), name="", version=0) == ("it has no name", "its version must be 1 or more, not 0")


def test_all_problems_are_reported_at_once() -> None:
    found = problems(
        step("enrich"), Phase("score", needs=("enrch",)), gate("chair", quorum=0), step("score"), version=0
    )
    assert found == (
        "its version must be 1 or more, not 0",
        "phase 'score' appears twice",
        "phase 'score' needs 'enrch', which does not exist (did you mean 'enrich'?)",
        "phase 'score' must have either a function (run) or a gate",
        "phase 'chair': quorum must be 1 or more",
    )


def test_the_message_holds_every_problem() -> None:
    with pytest.raises(FlowError, match=r"flow 'f' cannot be built: it has no phases"):
        Flow("f", 1, ())


def test_a_phase_is_found_by_name_and_by_label() -> None:
    built = flow(step("enrich", label="1.1"), step("score", compensate=work))
    assert built.phase("1.1") is built.phase("enrich")
    assert built.phase("undo:score").run is work


def test_an_unknown_phase_is_answered_with_the_nearest_name() -> None:
    built = flow(step("enrich"), step("score", compensate=work))
    with pytest.raises(UnknownName, match="unknown phase 'enrch'") as caught:
        built.phase("enrch")
    assert caught.value.hint == "did you mean 'enrich'?"
    with pytest.raises(UnknownName) as caught:
        built.phase("zzz")
    assert caught.value.hint == "known: enrich, score"


def test_levels_name_the_phases_an_instance_repeats_over_outermost_first() -> None:
    built = flow(step("a"), step("b", each="a"), step("c", each="b", compensate=work), step("d", "c"))
    assert built.levels == {"a": (), "b": ("a",), "c": ("a", "b"), "d": (), "undo:c": ("a", "b")}
    assert built.repeated_over == {"a": ("b", "c"), "b": ("c",)}


def test_the_order_puts_everything_after_what_is_above_it_and_keeps_the_order_of_writing() -> None:
    built = flow(step("d", "b", "c"), step("c", "a"), step("b", "a"), step("a"))
    assert built.order == ("a", "c", "b", "d")
    assert built.downstream("a") == ("c", "b", "d")
    assert built.dependents["a"] == ("c", "b")
    assert built.position == {"a": 0, "c": 1, "b": 2, "d": 3}


def test_two_phases_share_the_levels_they_have_in_common() -> None:
    built = flow(step("a"), step("b", each="a"), step("c", each="b"), step("o"), step("p", each="o"))
    assert built.shared("b", "c") == 1
    assert built.shared("c", "c") == 2
    assert built.shared("c", "p") == 0


def test_what_a_phase_requires_is_not_merely_after() -> None:
    phase = gate("g", "a", shows=("b",))
    both = Phase(phase.name, needs=phase.needs, gate=phase.gate, after=("a", "b", "c"))
    assert both.above == ("a", "b", "c")
    assert both.required == ("a", "b")


def test_where_a_phase_runs_is_part_of_the_flow_as_data() -> None:
    built = flow(step("a"), step("b", runs_on="ray", resources={"num_cpus": 2, "telescope": 0.5}))
    data = flow_data(built)
    assert "runs_on" not in data["phases"][0]
    assert data["phases"][1]["resources"] == {"num_cpus": 2, "telescope": 0.5}
    again = flow_from_data(data)
    assert [(phase.runs_on, phase.resources) for phase in again.phases] == [
        (None, {}),
        ("ray", {"num_cpus": 2, "telescope": 0.5}),
    ]


def test_a_delay_grows_up_to_its_cap_and_never_overflows() -> None:
    retry = Retry(attempts=9, base=2.0, factor=3.0, cap=50.0, jitter=False)
    assert [retry.delay(failures, 0.5) for failures in (1, 2, 3, 4, 10_000)] == [2.0, 6.0, 18.0, 50.0, 50.0]


def test_full_jitter_takes_a_random_part_of_the_delay() -> None:
    retry = Retry(attempts=9, base=2.0, factor=2.0, cap=50.0)
    assert [retry.delay(2, chance) for chance in (0.0, 0.25, 0.5)] == [0.0, 1.0, 2.0]


def test_a_flow_of_ten_thousand_phases_is_built_at_once() -> None:
    # Were a phase compared with every other one, this would take longer than the time that a test has.
    chain = [Phase("0", work)]
    for number in range(1, 10_000):
        chain.append(
            Phase(
                str(number),
                work,
                needs=(str(number - 1),),
                when={str(number - 1): "done"},
                redo={"again": str(number - 1)},
            )
        )
    built = Flow("long", 1, tuple(chain))
    assert built.order[-1] == "9999"
    assert len(built.downstream("5000")) == 4_999
