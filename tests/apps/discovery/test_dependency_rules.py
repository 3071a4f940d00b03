from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.discovery.rules.dependencies import (
    MOST_CYCLES,
    MOST_NAMESAKES,
    Dependency,
    Endpoint,
    cycles,
    find_dependencies,
    summary,
)

WEB = Endpoint(
    "w", "Web front", hostname="web-01", fqdn="web-01.corp.example", ip_address="192.0.2.1", asset_type="server"
)
DB = Endpoint(
    "d", "Ledger data", hostname="db01", fqdn="db01.corp.example", ip_address="192.0.2.2", asset_type="database"
)


def edges(*assets: Endpoint) -> set[tuple[str, str, str, float]]:
    return {(e.source_id, e.target_id, e.dependency_type, e.confidence) for e in find_dependencies(assets)}


def chain(*ids: str, kind: str = "depends_on") -> list[Dependency]:
    return [Dependency(source, target, kind, 0.95, "") for source, target in pairwise(ids)]


@pytest.mark.parametrize(
    "reference", ["LEDGER DATA", "db01", "DB01.corp.example.", "192.0.2.2", "nowhere; db01", "x|db01", '"db01"']
)
def test_a_column_names_another_by_name_host_or_address(reference: str) -> None:
    assert edges(DB, Endpoint("a", "Ledger", depends_on=reference)) == {("a", "d", "depends_on", 0.95)}


@pytest.mark.parametrize(
    ("column", "kind"),
    [("Depends On", "depends_on"), ("connects_to", "connects_to"), ("Connected To", "connects_to"), ("Parent", "child_of"),
     ("upstream", "depends_on")],
)  # fmt: skip
def test_columns_of_the_source_say_it_too(column: str, kind: str) -> None:
    assert edges(DB, WEB, Endpoint("a", "Ledger", custom={column: ["db01", "web-01"]})) == {
        ("a", "d", kind, 0.95),
        ("a", "w", kind, 0.95),
    }


def test_a_name_with_a_comma_is_one_name() -> None:
    assert edges(Endpoint("s", "Smith, Sons"), Endpoint("a", "A", depends_on="smith, sons")) == {
        ("a", "s", "depends_on", 0.95)
    }


def test_a_host_is_known_by_its_first_label() -> None:
    full = Endpoint("x", "X", hostname="cache-7.corp.example")
    assert edges(full, Endpoint("a", "A", depends_on="cache-7")) == {("a", "x", "depends_on", 0.95)}


def test_what_several_assets_are_called_says_nothing() -> None:
    twins = Endpoint("t1", "Twin"), Endpoint("t2", "Twin")
    assert edges(*twins, Endpoint("a", "A", depends_on="Twin")) == set()


def test_nothing_depends_on_itself_or_on_what_is_not_there() -> None:
    assert (
        edges(Endpoint("a", "A", hostname="a-01", depends_on="A; a-01; gone-99", description="runs on a-01")) == set()
    )


def test_an_application_has_the_servers_and_databases_that_give_its_name() -> None:
    application = Endpoint("a", "Ledger", asset_type="application")
    server = Endpoint("s", "S", application_name="LEDGER ", asset_type="server")
    database = Endpoint("d", "D", application_name="ledger", asset_type="database")
    printer = Endpoint("p", "P", application_name="ledger", asset_type="other")
    found = edges(application, server, database, printer)
    assert found == {("a", "s", "runs_on", 0.8), ("a", "d", "uses_database", 0.8)}


def test_an_application_of_too_many_namesakes_has_nobody_s_servers() -> None:
    applications = [Endpoint(f"a{n}", "Ledger", asset_type="application") for n in range(MOST_NAMESAKES + 1)]
    server = Endpoint("s", "S", application_name="Ledger", asset_type="server")
    assert len(find_dependencies([*applications[1:], server])) == MOST_NAMESAKES
    assert find_dependencies([*applications, server]) == ()


def test_a_host_mentioned_as_a_word_of_its_own_is_a_weak_sign() -> None:
    assert edges(DB, Endpoint("a", "A", description="Reads from (DB01).")) == {("a", "d", "mentions", 0.6)}
    for other in ("Reads from db011.", "xdb01", "db01-old", "mail"):
        assert edges(DB, Endpoint("m", "M", hostname="mail"), Endpoint("a", "A", description=other)) == set()


def test_a_mention_adds_nothing_to_what_a_column_says() -> None:
    assert edges(DB, Endpoint("a", "A", depends_on="db01", description="needs db01")) == {
        ("a", "d", "depends_on", 0.95)
    }


def test_a_network_in_common_says_nothing() -> None:
    assert edges(WEB, DB) == set()


ids = st.sampled_from("abcdef")
texts = st.sampled_from(["", "a", "b-1", "c-2, a", "b-1;c-2", "x|y", "192.0.2.7", "db01 and b-1"])
customs = st.dictionaries(
    st.sampled_from(["Parent", "connects to", "x"]), texts | st.none() | st.integers() | st.lists(texts)
)
endpoints = st.builds(
    Endpoint, id=ids, name=texts, hostname=texts, fqdn=texts, ip_address=texts, application_name=texts,
    asset_type=st.sampled_from(["", "application", "server", "database"]), depends_on=texts, custom=customs, description=texts,
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(endpoints, max_size=6, unique_by=lambda each: each.id))
def test_both_ends_exist_and_differ_and_no_pair_repeats_a_type(assets: list[Endpoint]) -> None:
    found = find_dependencies(assets)
    known = {asset.id for asset in assets}
    keys = [(each.source_id, each.target_id, each.dependency_type) for each in found]
    assert len(keys) == len(set(keys))
    assert all(each.source_id in known and each.target_id in known - {each.source_id} for each in found)
    json.dumps(summary(assets, found), allow_nan=False)


def test_a_cycle_is_found_once_wherever_it_is_entered() -> None:
    assert cycles(chain("x", "b", "c", "a", "b")) == (("a", "b", "c"),)
    assert cycles([*chain("a", "b", "a"), *chain("b", "a", kind="connects_to")]) == (("a", "b"),)
    assert cycles(chain("a", "b", "c")) == ()


def test_long_chains_and_many_cycles_are_bounded() -> None:
    names = [f"{n:05}" for n in range(20_000)]
    assert cycles(chain(*names)) == ()
    assert cycles(chain(*names, names[0])) == (tuple(names),)
    everybody = [Dependency(a, b, "depends_on", 0.95, "") for a in names[:40] for b in names[:40] if a != b]
    assert len(cycles(everybody)) == MOST_CYCLES


pairs = st.lists(st.tuples(ids, ids), max_size=14)


@given(pairs)
def test_cycles_are_real_and_found_wherever_there_are_any(drawn: list[tuple[str, str]]) -> None:
    drawn = [(source, target) for source, target in drawn if source != target]
    found = cycles(Dependency(source, target, "depends_on", 0.95, "") for source, target in drawn)
    assert len(found) == len(set(found))
    for circle in found:
        assert circle[0] == min(circle)
        assert len(set(circle)) == len(circle)
        assert all(step in drawn for step in pairwise((*circle, circle[0])))
    assert bool(found) == _goes_round(drawn)


def _goes_round(drawn: list[tuple[str, str]]) -> bool:
    """Whether something is left when whatever needs nothing is taken away again and again."""
    left = set(drawn)
    while left:
        needy = {source for source, _ in left}
        rest = {(source, target) for source, target in left if target in needy}
        if rest == left:
            return True
        left = rest
    return False


def test_a_summary_counts_maps_and_warns() -> None:
    assets = [
        Endpoint("a", "Ledger", asset_type="application"),
        Endpoint("b", "Shop", asset_type="application", depends_on="Ledger"),
        Endpoint("s", "S", application_name="Ledger", asset_type="server", depends_on="Shop"),
        Endpoint("t", "T", application_name="Shop", asset_type="server", depends_on="S"),
        Endpoint("u", "U", asset_type="server", depends_on="S"),
    ]
    found = summary(assets, find_dependencies(assets))
    assert found["success"] is True
    assert found["app_server_mapping"] == [
        {"application": "Ledger", "applications": ["a"], "servers": ["s"]},
        {"application": "Shop", "applications": ["b"], "servers": ["t"]},
    ]
    across: dict[tuple[str, str], Any] = {
        (each["source_application"], each["target_application"]): each["dependencies"]
        for each in found["cross_application_mapping"]
    }
    assert across == {("Shop", "Ledger"): 2, ("Ledger", "Shop"): 1}
    assert found["dependency_matrix"] == {
        "application": {"application": 1, "server": 2},
        "server": {"application": 1, "server": 2},
    }
    assert found["critical_dependencies"] == [{"asset_id": "s", "name": "S", "dependents": 3}]
    assert found["warnings"] == ["a cycle: Ledger -> S -> Shop -> Ledger", "a cycle: Shop -> T -> S -> Shop"]
    assert found["complexity_score"] == 30 + 15 + 20
    assert found["dependency_relationships"][0] == {
        "source": "b",
        "target": "a",
        "type": "depends_on",
        "confidence": 0.95,
        "description": "column 'depends_on' names 'Ledger'",
    }


def test_a_long_cycle_is_told_in_short() -> None:
    names = [f"n-{number:03}" for number in range(300)]
    (warning,) = summary([Endpoint(name, name) for name in names], chain(*names, names[0]))["warnings"]
    assert warning == f"a cycle: {' -> '.join(names[:10])} -> (290 more) -> n-000"


def test_a_summary_of_nothing_is_nothing() -> None:
    found = summary([], chain("a", "b"))
    assert (found["dependency_relationships"], found["complexity_score"], found["warnings"]) == ([], 0.0, [])
