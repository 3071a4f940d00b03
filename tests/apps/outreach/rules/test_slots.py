from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from phasegate.apps.outreach.rules.slots import choose_slots, evaluate_slot_gate, slot_gate_statistics
from tests.apps.outreach.rules.damage import NOW, collections, records

COMPANY = {"company_unique_id": "04.04.02.04.30000.001", "company_name": "Acme Corp"}
KINDS = ("CEO", "CFO", "HR")
Rows = list[dict[str, Any]]


def person(name: str, title: object, **more: object) -> dict[str, Any]:
    return {"unique_id": name, "title": title, **more}


def seat(kind: str, name: str | None) -> dict[str, Any]:
    return {"slot_type": kind, "is_filled": name is not None, "person_unique_id": name}


def chosen(people: Rows, slots: Rows | None = None) -> list[tuple[str, str | None]]:
    return [(choice.action, choice.person_id) for choice in choose_slots(people, slots or [])]


def test_the_highest_confidence_takes_each_slot() -> None:
    people = [
        person("owner", "Owner"),
        person("ceo", "CEO"),
        person("controller", "Controller"),
        person("talent", "Head of Talent"),
        person("coach", "Salespeople Coach"),
    ]
    assert chosen(people) == [("fill", "ceo"), ("fill", "controller"), ("fill", "talent")]
    assert choose_slots(people)[1].to_result() == {
        "slot_type": "CFO",
        "action": "fill",
        "person_id": "controller",
        "confidence_score": 0.7,
        "previous_person_id": None,
    }


def test_among_equals_the_earlier_row_stays() -> None:
    assert chosen([person("a", "CEO"), person("b", "CEO")])[0] == ("fill", "a")
    assert chosen([person("b", "CEO"), person("a", "CEO")])[0] == ("fill", "b")


def test_nobody_is_given_two_slots() -> None:
    assert chosen([person("a", "President & CFO")]) == [("empty", None), ("fill", "a"), ("empty", None)]
    sits = [seat("CEO", "a"), seat("CFO", None)]
    assert chosen([person("a", "President & CFO")], sits)[:2] == [("keep", "a"), ("empty", None)]


@pytest.mark.parametrize(
    ("sitting", "newcomer", "action"),
    [
        ("Chief Executive Officer", "CEO", "replace"),
        ("CEO", "Chief Executive Officer", "keep"),
        ("Founder", "Owner", "replace"),
        ("General Manager", "Managing Director", "keep"),
    ],
)
def test_a_sitting_person_gives_way_at_ten_points(sitting: str, newcomer: str, action: str) -> None:
    people = [person("sitting", sitting), person("newcomer", newcomer)]
    assert chosen(people, [seat("CEO", "sitting")])[0] == (action, "newcomer" if action == "replace" else "sitting")


@pytest.mark.parametrize(("score", "action"), [(79, "keep"), (80, "replace"), (None, "replace"), ("80", "replace")])
def test_a_seniority_score_goes_before_the_title(score: object, action: str) -> None:
    people = [person("sitting", "CEO", seniority_score=70), person("newcomer", "CEO", seniority_score=score)]
    assert chosen(people, [seat("CEO", "sitting")])[0][0] == action


def test_a_chair_of_somebody_gone_is_filled_or_vacated() -> None:
    assert chosen([person("a", "CEO")], [seat("CEO", "gone")])[0] == ("replace", "a")
    assert chosen([], [seat("CEO", "gone")])[0] == ("vacate", None)
    assert choose_slots([], [seat("CEO", "gone")])[0].previous_person_id == "gone"


def test_who_sits_on_the_wrong_chair_moves_to_the_right_one() -> None:
    assert chosen([person("a", "CHRO")], [seat("CEO", "a")]) == [("vacate", None), ("empty", None), ("fill", "a")]


def test_who_fits_no_slot_stays_until_somebody_better_comes() -> None:
    assert chosen([person("a", "Coach")], [seat("CEO", "a")])[0] == ("keep", "a")
    assert chosen([person("a", "Coach"), person("b", "Principal")], [seat("CEO", "a")])[0] == ("replace", "b")


def test_choosing_again_after_the_swap_changes_nothing() -> None:
    people = [person("a", "Owner"), person("b", "CEO"), person("c", "CFO"), person("d", "CHRO")]
    first = choose_slots(people)
    again = choose_slots(people, [seat(choice.slot, choice.person_id) for choice in first])
    assert [choice.action for choice in again] == ["keep", "keep", "keep"]
    assert [choice.person_id for choice in again] == [choice.person_id for choice in first]


@given(collections, collections)
def test_any_rows_give_three_choices_without_doubles(people: Rows, slots: Rows) -> None:
    choices = choose_slots(people, slots)
    assert [choice.slot for choice in choices] == list(KINDS)
    newly = [choice.person_id for choice in choices if choice.action in {"fill", "replace"}]
    assert len(set(newly)) == len(newly)
    assert not set(newly) & {choice.person_id for choice in choices if choice.action == "keep"}


def gate(names: tuple[str | None, ...], company: object = COMPANY) -> dict[str, Any]:
    slots = [seat(kind, name) for kind, name in zip(KINDS, names, strict=False)]
    return evaluate_slot_gate(company, slots, [], NOW).to_result()


def test_the_gate_passes_with_all_three_slots_filled() -> None:
    slots = [{**seat("CEO", "a"), "last_enriched_at": "2026-11-01T00:00:00Z"}, seat("CFO", "b"), seat("HR", "c")]
    people = [
        person("a", "CEO", full_name="Jo Garrick", email="jo@acme.example", email_verified=1, linkedin_url="in/jo")
    ]
    found = evaluate_slot_gate(COMPANY, slots, people, NOW).to_result()
    statuses: Any = found.pop("slot_statuses")
    assert found == {
        "company_id": "04.04.02.04.30000.001",
        "company_name": "Acme Corp",
        "status": "pass",
        "passed": True,
        "slots_filled": 3,
        "slots_required": 3,
        "missing_slots": [],
        "ready_for_outreach": True,
        "next_action": "proceed_to_outreach",
        "timestamp": "2026-11-20T12:00:00+00:00",
    }
    assert statuses[0] == {
        "slot_type": "CEO",
        "exists": True,
        "is_filled": True,
        "person_id": "a",
        "person_name": "Jo Garrick",
        "email": "jo@acme.example",
        "email_verified": True,
        "linkedin_url": "in/jo",
        "last_enriched_at": "2026-11-01T00:00:00+00:00",
        "messaging_template": "ceo_cost_roi",
    }
    assert [each["messaging_template"] for each in statuses[1:]] == ["cfo_budget_finance", "hr_service_efficiency"]
    assert statuses[1]["person_name"] is None


@pytest.mark.parametrize(
    ("names", "filled", "missing", "action"),
    [
        ((), 0, ["CEO", "CFO", "HR"], "enrich_ceo"),
        (("a",), 1, ["CFO", "HR"], "enrich_cfo"),
        (("a", None, "c"), 2, ["CFO"], "enrich_cfo"),
        (("a", "b", None), 2, ["HR"], "enrich_hr"),
        ((None, "b", "c"), 2, ["CEO"], "enrich_ceo"),
    ],
)
def test_the_gate_waits_for_the_missing_slots_in_their_order(
    names: tuple[str | None, ...], filled: int, missing: list[str], action: str
) -> None:
    found = gate(names)
    assert (found["status"], found["passed"], found["ready_for_outreach"]) == ("wait", False, False)
    assert (found["slots_filled"], found["missing_slots"], found["next_action"]) == (filled, missing, action)


@pytest.mark.parametrize("company", [None, {}, {"company_name": "Acme Corp"}])
def test_a_company_without_an_id_is_an_error(company: object) -> None:
    found = gate(("a", "b", "c"), company)
    assert (found["status"], found["passed"], found["next_action"]) == ("error", False, "check_company_record")


def test_statistics_count_by_filled_slots_and_are_zero_for_nothing() -> None:
    gates = [
        evaluate_slot_gate(company, [seat(kind, "x") for kind in KINDS[:filled]], [], NOW)
        for company, filled in ((COMPANY, 3), (COMPANY, 3), (COMPANY, 1), (None, 3))
    ]
    assert slot_gate_statistics(gates) == {
        "total_checked": 4,
        "passed": 2,
        "waiting": 1,
        "errors": 1,
        "slots_breakdown": {"0 of 3": 0, "1 of 3": 1, "2 of 3": 0, "3 of 3": 2},
    }
    assert slot_gate_statistics([])["total_checked"] == 0


@given(records, collections, collections)
def test_no_rows_make_the_gate_raise(company: object, slots: Rows, people: Rows) -> None:
    found = evaluate_slot_gate(company, slots, people, NOW).to_result()
    assert found["passed"] is (found["status"] == "pass")
    assert isinstance(found["slots_filled"], int)
    assert found["passed"] is False or found["slots_filled"] == 3
