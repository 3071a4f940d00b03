from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.outreach.rules.intent_model import (
    EXAMPLE_WEIGHTS,
    Signal,
    company_score,
    decay,
    distinct,
    overview_category,
    tier,
    tier_raised,
)
from tests.apps.outreach.rules.damage import NOW

SECOND = timedelta(seconds=1)


def signal(weight: float, days: float = 0, kind: str = "", confidence: float = 1.0, processed: bool = True) -> Signal:
    return Signal(kind or f"at {days} {weight}", weight, confidence, NOW - timedelta(days=days), processed)


signals = st.builds(
    signal, st.floats(-100, 1000), st.floats(-10, 1000), st.sampled_from(["", "a", "b"]), st.floats(0, 1), st.booleans()
)


@pytest.mark.parametrize(
    ("days", "factor", "after"), [(7, 1.0, 0.85), (30, 0.85, 0.65), (90, 0.65, 0.4), (180, 0.4, 0.2), (365, 0.2, 0.05)]
)
def test_decay_steps_down_after_each_limit(days: int, factor: float, after: float) -> None:
    assert decay(timedelta(days=days)) == factor
    assert decay(timedelta(days=days) + SECOND) == after


@pytest.mark.parametrize(
    ("score", "name"),
    [
        (0, "cold"), (49.9, "cold"), (50, "warm"), (99, "warm"), (100, "engaged"), (199, "engaged"), (200, "hot"),
        (299, "hot"), (300, "burning"), (1000, "burning"),
    ],
)  # fmt: skip
def test_tiers_begin_at_their_lowest_score(score: float, name: str) -> None:
    assert tier(score) == name


def test_one_acts_only_on_a_rise() -> None:
    assert [tier_raised(*pair) for pair in ((49, 50), (50, 99), (100, 99), (0, 300))] == [True, False, False, True]


def test_a_score_is_weight_times_confidence_times_decay() -> None:
    found = company_score([signal(EXAMPLE_WEIGHTS["funding_round"], 20, confidence=0.5), signal(40, 400)], NOW)
    assert found == pytest.approx(60 * 0.5 * 0.85 + 40 * 0.05)


def test_one_day_adds_at_most_three_hundred_and_all_days_a_thousand() -> None:
    assert company_score([signal(200, 0, "a"), signal(200, 0, "b")], NOW) == 300
    assert company_score([signal(300, days, f"day {days}") for days in range(6)], NOW) == 1000


def test_news_of_one_kind_counts_once_in_seventy_two_hours() -> None:
    first, repeated, later = (signal(10, days, "funding") for days in (6, 3 + 1 / 24, 3))
    assert distinct([later, repeated, first]) == (first, later)
    assert company_score([first, repeated, signal(10, 3 + 1 / 24, "hiring")], NOW) == 20


def test_the_future_does_not_count() -> None:
    assert company_score([signal(50, -1)], NOW) == 0


@pytest.mark.parametrize(
    ("found", "category"),
    [
        ([signal(50)], "hot"),
        ([signal(49)], "warm"),
        ([signal(25, 90)], "warm"),
        ([signal(24)], "cold"),
        ([signal(50, 90.1)], "unscored"),
        ([signal(50, processed=False)], "unscored"),
        ([], "unscored"),
    ],
)
def test_the_overview_sums_processed_signals_of_ninety_days(found: list[Signal], category: str) -> None:
    assert overview_category(found, NOW) == category


@given(st.lists(signals, max_size=12), st.randoms())
def test_the_score_is_bounded_and_does_not_depend_on_the_order(found: list[Signal], chance: Random) -> None:
    score = company_score(found, NOW)
    shuffled = chance.sample(found, len(found))
    assert company_score(shuffled, NOW) == pytest.approx(score)
    assert 0 <= score <= 1000
    assert tier(score) in {"cold", "warm", "engaged", "hot", "burning"}
    assert overview_category(found, NOW) in {"hot", "warm", "cold", "unscored"}
