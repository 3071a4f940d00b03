"""Asking for approval: whatever goes wrong, the answer is no."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from phasegate.apps.build.approval import ApprovalRequest, ask, by_policy, is_production, wait
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.risk import Risk
from phasegate.apps.build.schema import FileFacts, Planned

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
PLANNED = [
    Planned("a.py", "modify", FileFacts("a.py", "1" * 64), b"x = 1\n", 0o644),
    Planned("b.py", "delete", FileFacts("b.py", "2" * 64)),
]


def request() -> ApprovalRequest:
    return ApprovalRequest(
        "r1", "run", "one", 2, "3" * 64, 70, ("why",), "modify a.py", NOW, NOW + timedelta(hours=1)
    )  # fmt: skip


class Scripted:
    """Gives one answer after the other, and remembers what it was asked for."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.asked = list(answers), list[str]()

    def decide(self, request: ApprovalRequest) -> Any:
        self.asked.append(request.request_id)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_request_is_told_as_json() -> None:
    made = request()
    told = json.loads(json.dumps(made.told()))
    assert set(told) == {each.name for each in fields(ApprovalRequest)}
    assert datetime.fromisoformat(told["expires"]) == made.expires


@pytest.mark.parametrize("answer", ["approved", "rejected", "pending"])
def test_the_providers_answer_is_the_decision(answer: str) -> None:
    provider = Scripted(answer)
    decision = ask(provider, request(), NOW)
    assert (decision.answer, decision.decided_by, provider.asked) == (answer, "Scripted", ["r1"])


@pytest.mark.parametrize(
    "answer", [True, None, "yes", "APPROVED", "", 1, ["approved"], RuntimeError("broken"), KeyError("x")], ids=range(9)
)
def test_an_exception_and_an_answer_that_is_none_are_rejections(answer: Any) -> None:
    decision = ask(Scripted(answer), request(), NOW)
    assert decision.answer == "rejected"
    assert decision.comment


def test_without_a_provider_it_is_rejected() -> None:
    assert ask(None, request(), NOW).answer == "rejected"


def test_after_its_time_nobody_is_asked() -> None:
    late = Scripted("approved")
    assert ask(late, request(), NOW + timedelta(hours=1)).answer == "rejected"
    assert late.asked == []
    assert ask(Scripted("approved"), request(), NOW + timedelta(seconds=3599)).answer == "approved"


class Time:
    def __init__(self) -> None:
        self.now, self.slept = NOW, list[float]()

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)


def test_waiting_asks_again_about_the_same_request_until_there_is_a_decision() -> None:
    time, provider = Time(), Scripted("pending", "pending", "approved")
    decision = wait(provider, request(), Policy(), now=time, sleep=time.sleep)
    assert (decision.answer, provider.asked, time.slept) == ("approved", ["r1"] * 3, [10.0, 10.0])


def test_waiting_ends_with_a_rejection_when_the_time_is_over() -> None:
    time, provider = Time(), Scripted(*["pending"] * 400)
    assert wait(provider, request(), Policy(), now=time, sleep=time.sleep).answer == "rejected"
    assert len(provider.asked) == 360
    assert sum(time.slept) == 3600


NEW_TEST = [Planned("tests/test_a.py", "create", FileFacts("tests/test_a.py"), b"def test_a(): pass\n")]


def test_the_policy_approves_only_where_it_was_told_to_and_never_in_production() -> None:
    policy = Policy(auto_approve=True)
    assert by_policy(NEW_TEST, Risk(), Policy(), {}) is None
    decision = by_policy(NEW_TEST, Risk(), policy, {"ENVIRONMENT": "test"})
    assert decision is not None
    assert (decision.answer, decision.decided_by) == ("approved", "policy")
    assert by_policy(NEW_TEST, Risk(), policy, {"APP_ENV": " Production "}) is None
    assert by_policy(PLANNED, Risk(), policy, {}) is None


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, False), ({"ENV": "prod"}, True), ({"STAGE": "live"}, True), ({"HOME": "prod"}, False)],
)
def test_production_is_known_by_its_variables(environment: dict[str, str], expected: bool) -> None:
    assert is_production(environment) is expected
