"""How well a flow is, told from what is known of it: every class, and that waiting for a person is none of the bad ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate import Reason
from phasegate.apps.discovery.phase_names import PHASES, WAITS_FOR
from phasegate.apps.discovery.rules.health import (
    LONG,
    ORDER,
    SLOW,
    STALLS,
    TAKEN,
    TOO_LONG,
    Health,
    Situation,
    judge,
    worst,
)
from phasegate.apps.discovery.standing import Standing

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
MOMENT = timedelta(seconds=1)


def standing(**changes: Any) -> Standing:
    known: dict[str, Any] = {
        "master": "running", "child": "processing", "current_phase": "data_cleansing", "next_phase": "asset_inventory",
        "completed": ("data_import",), "progress": 60.0, "waits_for": None, "shown": None, "error": None,
        "error_phase": None, "pieces": None,
    }  # fmt: skip
    return Standing(**known | changes)


def reason(code: str, ago: timedelta = MOMENT, due: timedelta | None = None) -> Reason:
    return Reason(code, "data_cleansing", (), f"it is {code}.", NOW - ago, None if due is None else NOW + due, "do it")


def situation(*codes: str | Reason, **changes: Any) -> Situation:
    reasons = tuple(each if isinstance(each, Reason) else reason(each) for each in codes)
    known: dict[str, Any] = {
        "flow_id": "f", "standing": standing(), "reasons": reasons, "now": NOW, "changed_at": NOW - MOMENT,
        "moving_since": NOW - MOMENT, "workers": 1, "held": True,
    }  # fmt: skip
    return Situation(**known | changes)


def test_a_flow_that_is_at_work_is_healthy() -> None:
    verdict = judge(situation("running"))
    assert (verdict.health, verdict.why, verdict.next) == (Health.HEALTHY, "data_cleansing is at work", None)
    assert judge(situation("ready", held=None)).why == "data_cleansing is next"


@pytest.mark.parametrize("master", ["completed", "cancelled"])
def test_what_has_ended_is_healthy(master: str) -> None:
    found = standing(master=master, child=master, current_phase=None)
    verdict = judge(situation(standing=found, workers=0, moving_since=NOW - timedelta(days=9), held=None))
    assert (verdict.health, verdict.why) == (Health.HEALTHY, f"it is {master}")


def test_a_failure_says_what_failed_and_how_to_go_on() -> None:
    found = standing(master="failed", child="failed", error="no such file", error_phase="data_import")
    verdict = judge(situation("finished", "failed", standing=found))
    assert (verdict.health, verdict.why) == (Health.FAILED, "data_import failed: no such file")
    assert "retry --flow f" in str(verdict.next)


@pytest.mark.parametrize("waits", [*WAITS_FOR.values(), "cleansing_decisions"])
@pytest.mark.parametrize("workers", [0, 1])
def test_waiting_for_a_person_is_never_hanging(waits: str, workers: int) -> None:
    found = standing(master="paused", child="waiting_for_approval", waits_for=waits)
    long_ago = NOW - timedelta(days=30)
    verdict = judge(
        situation(
            reason("gate_open", timedelta(days=30)), standing=found, workers=workers, held=None, changed_at=long_ago,
            moving_since=long_ago,
        )
    )  # fmt: skip
    assert (verdict.health, verdict.since) == (Health.HEALTHY, long_ago)
    assert waits in verdict.why
    assert "decide" in str(verdict.next)


def test_paused_by_a_person_is_healthy_and_says_how_to_go_on() -> None:
    found = standing(master="paused", child="paused")
    verdict = judge(situation("paused", "ready", standing=found, workers=0, changed_at=NOW - timedelta(days=1)))
    assert (verdict.health, verdict.why) == (Health.HEALTHY, "it is paused.")
    assert "resume --flow f" in str(verdict.next)


def test_a_flow_that_nobody_here_knows_is_critical() -> None:
    assert judge(situation("unknown_flow", "ready")).health is Health.CRITICAL


def test_a_worker_that_died_is_hanging_until_another_one_lives() -> None:
    alone = judge(situation("running", held=False, workers=0))
    assert (alone.health, "worker --app" in str(alone.next)) == (Health.HANGING, True)
    taken = judge(situation("running", held=False, workers=1))
    assert (taken.health, taken.next) == (Health.WARNING, None)


@pytest.mark.parametrize("phase", PHASES)
def test_a_phase_of_which_nothing_comes_is_hanging_after_its_own_time(phase: str) -> None:
    limit = STALLS[phase]
    at_work = standing(current_phase=phase)
    for idle, health in ((limit, Health.HEALTHY), (limit + MOMENT, Health.HANGING)):
        verdict = judge(situation("running", standing=at_work, changed_at=NOW - idle))
        assert verdict.health is health
    assert "pause" in str(verdict.next)


@pytest.mark.parametrize("code", ["ready", "retry_due", "snoozed"])
def test_what_nobody_takes_is_hanging_without_workers_and_a_warning_with_them(code: str) -> None:
    def after(late: timedelta, workers: int) -> Health:
        due = None if code == "ready" else -late
        return judge(situation(reason(code, late, due), workers=workers, held=None)).health

    soon = Health.WARNING if code == "retry_due" else Health.HEALTHY
    assert after(TAKEN, 0) is soon
    assert after(TAKEN + MOMENT, 0) is Health.HANGING
    assert after(TAKEN + MOMENT, 1) is Health.WARNING
    assert after(STALLS["data_cleansing"] + MOMENT, 1) is Health.CRITICAL


def test_an_attempt_that_will_be_repeated_says_when() -> None:
    verdict = judge(situation(reason("retry_due", timedelta(hours=5), MOMENT), held=None, workers=0))
    assert (verdict.health, verdict.due_at) == (Health.WARNING, NOW + MOMENT)


@pytest.mark.parametrize(
    ("moving", "progress", "health"),
    [
        (SLOW, 0.0, Health.HEALTHY),
        (SLOW + MOMENT, 19.9, Health.WARNING),
        (SLOW + MOMENT, 20.0, Health.HEALTHY),
        (LONG, 20.0, Health.HEALTHY),
        (LONG + MOMENT, 99.0, Health.WARNING),
        (TOO_LONG, 99.0, Health.WARNING),
        (TOO_LONG + MOMENT, 99.0, Health.CRITICAL),
    ],
    ids=str,
)
def test_a_flow_that_moves_for_long_is_told(moving: timedelta, progress: float, health: Health) -> None:
    found = situation("running", standing=standing(progress=progress), moving_since=NOW - moving)
    assert judge(found).health is health


def test_the_worst_of_several_counts() -> None:
    assert worst([]) is Health.HEALTHY
    assert worst([Health.WARNING, Health.HANGING, Health.CRITICAL]) is Health.HANGING
    assert [each.value for each in ORDER] == ["healthy", "warning", "critical", "hanging", "failed"]


_CODES = st.lists(st.sampled_from(["running", "ready", "retry_due", "snoozed", "gate_open", "needs"]), max_size=3)
_AGO = st.integers(0, 10**6).map(lambda seconds: timedelta(seconds=seconds))


@given(_CODES, _AGO, _AGO, st.integers(0, 2), st.sampled_from([None, True, False]))
def test_whatever_is_ill_says_why_and_nothing_gets_well_by_waiting(
    codes: list[str], idle: timedelta, more: timedelta, workers: int, held: bool | None
) -> None:
    def after(time: timedelta) -> Any:
        reasons = [reason(code, time, None if code in ("running", "ready") else -time) for code in codes]
        at = NOW - time
        return judge(situation(*reasons, changed_at=at, moving_since=at, workers=workers, held=held))

    verdict = after(idle)
    assert verdict.why
    assert verdict.health is not Health.FAILED
    if verdict.health is Health.HANGING:
        assert verdict.next
        assert after(idle + more).health is Health.HANGING
