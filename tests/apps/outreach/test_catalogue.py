"""The registry of the phases: looking up, order, dependencies, and entries that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.outreach.catalogue import CATALOGUE, Catalogue, CatalogueError, UnknownPhase
from phasegate.apps.outreach.entries import ENTRIES, PhaseEntry
from phasegate.apps.outreach.flow import OUTREACH
from phasegate.apps.outreach.projection import PHASES
from tests.apps.outreach.phase_cases import add_companies, company_id, opened, run

IDS = [0, 1, 1.1, 1.5, 2, 2.5, 3, 4, 5, 6]
MANDATORY = {
    "phase_id", "phase_name", "description", "file", "function", "status", "input_table", "output_table",
    "error_routing", "dependencies", "estimated_duration_seconds",
}  # fmt: skip


def test_ids_are_in_order_and_printed_without_needless_zeros() -> None:
    assert [repr(entry.number) for entry in CATALOGUE.list_all()] == [repr(number) for number in IDS]


def test_every_mandatory_field_is_filled() -> None:
    for entry in CATALOGUE.list_all():
        found = entry.to_dict()
        assert found.keys() >= MANDATORY
        assert all(found[name] for name in MANDATORY - {"phase_id", "dependencies"})


def test_fields_of_some_phases() -> None:
    rules = {number: CATALOGUE.get(number).to_dict().get("validation_rules") for number in IDS}
    assert {number: count for number, count in rules.items() if count} == {1: 5, 1.1: 7, 2: 7}
    assert CATALOGUE.get(3).to_dict()["checks_per_company"] == 15
    assert CATALOGUE.get(5).to_dict()["thresholds"] == {"hot": 75, "warm": 50, "cold": 25}
    assert CATALOGUE.get(1.1).to_dict()["doctrine_id"] == "4.svg.marketing.ple.phase1b_people_validator"
    assert CATALOGUE.get(1.1).to_dict()["provides"] == [2]


@pytest.mark.parametrize("spelling", ["1.1", 1.1, Decimal("1.1"), Decimal("1.10"), " 1.1 "])
def test_spellings_of_one_id(spelling: object) -> None:
    assert CATALOGUE.get(spelling).phase_name == "Phase 1b: People Validation Trigger"


@pytest.mark.parametrize("wrong", [9, "1.2", -1, "one", None, True, float("nan"), [1]])
def test_unknown_ids_are_named(wrong: object) -> None:
    with pytest.raises(ValueError, match="unknown phase"):
        CATALOGUE.get(wrong)


def test_by_name_in_any_case_but_exactly() -> None:
    assert CATALOGUE.by_name("COMPANY validation").number == 1
    with pytest.raises(UnknownPhase) as refused:
        CATALOGUE.by_name("Company")
    assert refused.value.hint is not None


def test_implemented_and_planned() -> None:
    planned = Catalogue([replace(entry, status="planned") if entry.number == 0 else entry for entry in ENTRIES])
    assert [entry.number for entry in planned.list_planned()] == [0]
    eight = Catalogue([entry for entry in planned.list_all() if entry.number not in (1.5, 2.5)][:1] + _without_later())
    assert eight.status_summary() == {"total": 8, "implemented": 7, "planned": 1, "completion_pct": 87.5}
    assert CATALOGUE.status_summary()["planned"] == 0


def _without_later() -> list[PhaseEntry]:
    return [entry for entry in ENTRIES if entry.number not in (0, 1.5, 2.5)]


def test_status_summary_of_nothing_divides_by_nothing() -> None:
    assert Catalogue([]).status_summary()["completion_pct"] == 0.0


def test_direct_and_all_dependencies() -> None:
    assert [entry.number for entry in CATALOGUE.dependencies(3)] == [1, 2]
    assert [entry.number for entry in CATALOGUE.all_dependencies(5)] == [1, 2, 3, 4]
    assert [entry.number for entry in CATALOGUE.all_dependencies(2.5)] == [1, 1.5, 2]
    assert CATALOGUE.dependencies(0) == []


def test_guarantee_07_the_next_phase_follows_the_order_not_arithmetic() -> None:
    chain = [0]
    while (following := CATALOGUE.next_phase(chain[-1])) is not None:
        chain.append(following.number)  # type: ignore[arg-type]
    assert chain == IDS


@given(st.lists(st.sampled_from(IDS), max_size=6))
def test_a_sequence_is_valid_when_it_strictly_ascends(ids: list[float]) -> None:
    assert CATALOGUE.validate_sequence(ids) is (ids == sorted(set(ids)))


def test_a_sequence_with_an_unknown_id_is_refused() -> None:
    with pytest.raises(UnknownPhase):
        CATALOGUE.validate_sequence([1, 9])


def test_guarantee_05_every_entry_can_be_loaded() -> None:
    assert CATALOGUE.self_check() == []
    for entry in CATALOGUE.list_implemented():
        assert callable(CATALOGUE.load_function(entry.phase_id))


@pytest.mark.parametrize(
    ("change", "said"),
    [({"file": "phasegate/apps/outreach/nowhere.py"}, "nowhere"), ({"function": "nobody"}, "nobody"),
     ({"function": "TABLES"}, "not a function")],
)  # fmt: skip
def test_guarantee_05_a_broken_entry_is_visible_before_a_run(change: dict[str, str], said: str) -> None:
    broken = Catalogue([replace(entry, **change) if entry.number == 3 else entry for entry in ENTRIES])  # type: ignore[arg-type]
    problems = broken.self_check()
    assert len(problems) == 1
    assert said in problems[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda e: replace(e, phase_id=Decimal(1)), "phase 1 is there twice"),
        (lambda e: replace(e, dependencies=(Decimal("1.7"),)), "needs phase 1.7, which does not exist"),
        (lambda e: replace(e, dependencies=(Decimal(4),)), "needs phase 4, which does not come before it"),
        (lambda e: replace(e, dependencies=(Decimal(3),)), "needs phase 3, which does not come before it"),
        (lambda e: replace(e, status="done"), "'done'"),
    ],
)
def test_entries_that_contradict_each_other_are_refused(change: Callable[[PhaseEntry], PhaseEntry], said: str) -> None:
    with pytest.raises(CatalogueError, match=said):
        Catalogue([change(entry) if entry.number == 3 else entry for entry in ENTRIES])


def test_names_and_needs_agree_with_the_flow_and_with_the_log() -> None:
    for entry in CATALOGUE.list_all():
        phase = OUTREACH.by_name[entry.flow_phase or ""]
        if entry.number == 2:
            continue
        assert (phase.label, phase.title) == (str(entry.number), entry.phase_name)
        assert (PHASES[phase.name].phase_id, PHASES[phase.name].phase_name) == (entry.phase_id, entry.phase_name)
        assert {each.flow_phase for each in CATALOGUE.dependencies(entry.phase_id)} == set(phase.needs)


def test_what_can_run_now_for_a_company(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1])
        assert [entry.number for entry in CATALOGUE.runnable(engine, company_id(1))] == [1]
        run(engine, "company_validation", 1)
        assert [entry.number for entry in CATALOGUE.runnable(engine, company_id(1))] == [1.1, 1.5, 2]
        run(engine, "people_validation", 1)
        assert [entry.number for entry in CATALOGUE.runnable(engine, company_id(1))] == [1.5, 3]
