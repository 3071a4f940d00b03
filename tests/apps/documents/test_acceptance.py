from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given

from phasegate.apps.documents.gates.acceptance import AcceptanceDecision, AcceptanceGate
from tests.apps.documents import shapes

GATE = AcceptanceGate(shapes.workflow())


@pytest.mark.parametrize(
    ("doc_type", "required", "acceptors"),
    [
        ("backlog", True, ["owner", "architect"]),
        ("stories", True, []),
        ("brief", False, []),
        ("unheard of", False, []),
    ],
)
def test_what_the_workflow_says(doc_type: str, required: bool, acceptors: list[str]) -> None:
    assert (GATE.requires_acceptance(doc_type), GATE.get_acceptors(doc_type)) == (required, acceptors)


@pytest.mark.parametrize(
    ("doc_type", "role", "may"),
    [("backlog", "owner", True), ("backlog", "Owner", False), ("backlog", "", False), ("stories", "anybody", True)],
)
def test_who_may_decide(doc_type: str, role: str, may: bool) -> None:
    assert GATE.can_accept(doc_type, role) is may


def test_a_list_given_out_changes_nothing() -> None:
    GATE.get_acceptors("backlog").append("anybody")
    assert GATE.get_acceptors("backlog") == ["owner", "architect"]


@pytest.mark.parametrize(
    ("scope_id", "key"),
    [(None, "stories:root"), ("e1", "stories:e1"), ("epic=e1", "stories:epic=e1"), ("", "stories:")],
)
def test_the_key_of_a_decision(scope_id: str | None, key: str) -> None:
    assert GATE.make_decision_key("stories", scope_id) == key


def test_a_decision_is_made_now_and_keeps_who_and_what() -> None:
    before = datetime.now(UTC)
    made = GATE.record_decision("backlog", None, False, "jo", "too long", decided_by_role="owner", sha256="abc")
    assert before <= made.decided_at <= datetime.now(UTC)
    assert made == AcceptanceDecision(
        doc_type="backlog", scope_id=None, accepted=False, comment="too long", decided_by="jo",
        decided_at=made.decided_at, decided_by_role="owner", sha256="abc",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("doc_type", "accepted", "states"),
    [
        # proceed, rejected, pending
        ("backlog", None, (False, False, True)),
        ("backlog", True, (True, False, False)),
        ("backlog", False, (False, True, False)),
        ("brief", None, (True, False, False)),
        ("brief", False, (True, True, False)),
        ("unheard of", None, (True, False, False)),
    ],
)
def test_what_decisions_come_to(doc_type: str, accepted: bool | None, states: tuple[bool, bool, bool]) -> None:
    decisions = {}
    if accepted is not None:
        decisions[GATE.make_decision_key(doc_type)] = GATE.record_decision(doc_type, None, accepted, "jo")
    found = (
        GATE.can_proceed(doc_type, None, decisions),
        GATE.is_rejected(doc_type, None, decisions),
        GATE.is_pending(doc_type, None, decisions),
    )
    assert found == states


def test_a_decision_is_for_one_instance() -> None:
    decisions = {"stories:e1": GATE.record_decision("stories", "e1", True, "jo")}
    assert GATE.can_proceed("stories", "e1", decisions)
    assert GATE.is_pending("stories", "e2", decisions)
    assert GATE.is_pending("stories", None, decisions)


def test_a_decision_is_for_one_version_when_it_says_which() -> None:
    bound = {"backlog:root": GATE.record_decision("backlog", None, True, "jo", sha256="one")}
    assert GATE.can_proceed("backlog", None, bound, sha256="one")
    assert GATE.can_proceed("backlog", None, bound)
    assert not GATE.can_proceed("backlog", None, bound, sha256="two")
    assert GATE.is_pending("backlog", None, bound, sha256="two")
    free = {"backlog:root": GATE.record_decision("backlog", None, False, "jo")}
    assert GATE.is_rejected("backlog", None, free, sha256="two")


@given(shapes.decisions)
def test_a_decision_survives_as_json(decision: AcceptanceDecision) -> None:
    assert AcceptanceDecision.from_dict(json.loads(json.dumps(decision.to_dict()))) == decision
