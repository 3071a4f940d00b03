"""What is read back: runs, outputs, the log, news, definitions, an application's tables."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from phasegate.core import facts as f
from phasegate.core.flow import Flow
from phasegate.core.run import RunStatus, Subject
from phasegate.core.state import fold
from phasegate.errors import StoreError
from phasegate.store.base import RunFilter, Store, Write
from phasegate.store.tables import metadata as engine_tables
from tests.store.conformance import ENTER, FLOW, LEDGER, done, entries, entry, metadata, move, new, put
from tests.store.stores import Backend
from tests.waiting import wait_for


def test_runs_come_in_the_order_asked_for_and_unknown_ones_not_at_all(store: Store) -> None:
    first, second = put(store, new(store, "a")), put(store, new(store, "b"))
    assert store.load([second.id, "nobody", first.id]) == [second, first]
    assert store.load([]) == []


def test_find_filters(store: Store) -> None:
    acme = put(store, new(store, "acme"))
    keyed = put(store, new(store, "acme", key="second"))
    ended = put(store, new(store, "umbrella"))
    ended = put(store, move(store, ended, f.RunEnding(store.now(), RunStatus.CANCELLED)))
    other = put(store, new(store, "acme", flow=Flow("other", 1, FLOW.phases)))
    everything = {run.id for run in (acme, keyed, ended, other)}

    def found(**given: object) -> set[str]:
        return {run.id for run in store.find(RunFilter(**given))}  # type: ignore[arg-type]

    assert found() == everything
    assert found(flow="other") == {other.id}
    assert found(subject=Subject("company", "umbrella")) == {ended.id}
    assert found(subject=Subject("person", "umbrella")) == set()
    assert found(subject_kind="company") == everything
    assert found(subject_kind="person") == set()
    assert found(key="second") == {keyed.id}
    assert found(key="") == everything - {keyed.id}
    assert found(statuses=(RunStatus.CANCELLED,)) == {ended.id}
    assert found(statuses=()) == set()
    assert found(id_prefix=acme.id[:-1]) == {acme.id}
    assert found(id_prefix="%") == set()
    assert found(flow="story", key="second", statuses=(RunStatus.PENDING,)) == {keyed.id}


def test_find_orders_and_limits(store: Store) -> None:
    ids = [put(store, new(store, name)).id for name in "abcd"]
    assert [run.id for run in store.find(RunFilter())] == ids[::-1]
    assert [run.id for run in store.find(RunFilter(newest_first=False, limit=2))] == ids[:2]
    assert len(store.find(RunFilter(limit=None))) == 4
    assert all(not run.phases for run in store.find(RunFilter()))


def test_a_tenant_does_not_find_the_runs_of_another(store: Store) -> None:
    mine, theirs = put(store, new(store, tenant="mine")), put(store, new(store, tenant="theirs"))
    assert [run.id for run in store.find(RunFilter(tenant="mine"))] == [mine.id]
    assert [run.id for run in store.find(RunFilter(tenant="mine", id_prefix=theirs.id))] == []
    assert store.find(RunFilter()) == []
    assert [run.id for run in store.of_subjects("theirs", "story", ["acme"])] == [theirs.id]
    assert {commit.tenant for commit in store.log(run_id=theirs.id)} == {"theirs"}


def test_the_runs_of_subjects_come_oldest_first(store: Store) -> None:
    first = put(store, new(store, "a"))
    second = put(store, new(store, "b"))
    third = put(store, new(store, "a", key="2"))
    put(store, new(store, "c"))
    assert [run.id for run in store.of_subjects("default", "story", ["b", "a"])] == [first.id, second.id, third.id]
    assert store.of_subjects("default", "story", []) == []


def test_outputs_are_found_by_place_and_version(store: Store) -> None:
    run = put(store, done(store, put(store, new(store)), output=[1]))
    run = put(store, move(store, run, f.PhaseReset(store.now(), "draft")))
    run = put(store, done(store, run, output=[2]))
    keys = [(run.id, "draft", (), 1), (run.id, "draft", (), 2)]
    assert store.outputs([*keys, (run.id, "draft", (), 3), ("nobody", "draft", (), 1)]) == {keys[0]: [1], keys[1]: [2]}
    assert store.outputs([]) == {}
    assert store.outputs([keys[1]] * 500) == {keys[1]: [2]}


def test_the_log_has_every_fact_in_the_order_of_commits(store: Store) -> None:
    first, second = put(store, new(store, "a")), put(store, new(store, "b"))
    first = put(store, done(store, first))
    commits = store.log()
    assert [commit.run_id for commit in commits] == [first.id, second.id, first.id]
    positions = [commit.position for commit in commits]
    assert positions == sorted(set(positions))
    assert store.log(after=positions[0], limit=1) == commits[1:2]
    mine = store.log(run_id=first.id)
    assert mine == [commits[0], commits[2]]
    assert fold(fact for commit in mine for fact in commit.facts) == first
    assert [commit.seq for commit in mine] == [len(commits[0].facts), first.seq]


def test_news_differ_after_a_commit_and_only_then(store: Store) -> None:
    before = store.news()
    assert store.news() == before
    put(store, new(store))
    wait_for(lambda: store.news() != before, "news of the commit")


_OTHER = """
import sys
from tests.store.conformance import new, put
from phasegate.store.opening import open_store
store = open_store(sys.argv[1])
store.prepare()
print(put(store, new(store)).id)
store.close()
"""


def test_news_come_from_another_process(lasting: Backend, tmp_path: Path) -> None:
    store = lasting.open(tmp_path)
    before = store.news()
    said = subprocess.run(
        [sys.executable, "-c", _OTHER, lasting.address(tmp_path)], capture_output=True, text=True, check=True
    )
    wait_for(lambda: store.news() != before, "news of the other process")
    assert [run.id for run in store.load([said.stdout.strip()])] == [said.stdout.strip()]
    store.close()


def test_definitions_are_kept_unless_unfinished_runs_use_another(store: Store) -> None:
    one, two = json.dumps({"name": "story", "a": 1}), json.dumps({"name": "story", "a": 2})
    assert store.keep_flow("story", 1, one)
    assert store.keep_flow("story", 1, two)
    assert store.flows() == [json.loads(two)]
    run = put(store, new(store))
    assert store.keep_flow("story", 1, two)
    assert not store.keep_flow("story", 1, one)
    assert store.flows() == [json.loads(two)]
    assert store.keep_flow("story", 2, one)
    put(store, move(store, run, f.RunEnding(store.now(), RunStatus.CANCELLED)))
    assert store.keep_flow("story", 1, one)
    assert store.flows() == [json.loads(one), json.loads(one)]


def test_an_application_has_tables_of_its_own(store: Store) -> None:
    more = ["CREATE INDEX IF NOT EXISTS ix_amount ON ledger (amount)"]
    store.create(metadata, more)
    store.create(metadata, more)
    store.write([entry("a"), entry("b", 2), Write("UPDATE ledger SET amount = amount + :more", {"more": 1})])
    assert entries(store) == {"a": 2, "b": 3}
    assert store.read("SELECT amount FROM ledger WHERE entry = :which", {"which": "b"}) == [{"amount": 3}]
    assert store.read(sa.select(LEDGER.c.entry).where(LEDGER.c.amount == 2)) == [{"entry": "a"}]


def test_statements_without_tables_are_executed_too(store: Store) -> None:
    store.create(sa.MetaData(), ["CREATE TABLE IF NOT EXISTS plain (name TEXT)"])
    assert store.read("SELECT * FROM plain") == []


def test_writes_of_an_application_are_all_or_none(store: Store) -> None:
    store.create(metadata)
    with pytest.raises(sa.exc.IntegrityError):
        store.write([entry("a"), Write(ENTER, {"entry": "b", "amount": -1})])
    assert entries(store) == {}


def test_a_statement_that_is_wrong_is_a_store_error(store: Store) -> None:
    with pytest.raises(StoreError, match=r"no such table|does not exist"):
        store.read("SELECT * FROM full_of_locked_readonly_things")


def test_a_rehearsal_leaves_nothing(store: Store) -> None:
    store.create(metadata)
    run = put(store, new(store))
    tables = ["ledger", *engine_tables.tables]
    before = {name: store.read(f"SELECT * FROM {name}") for name in tables}
    with store.rehearsal() as twin:
        after = put(twin, done(twin, run, output=1, writes=[entry("a")]))
        assert twin.load([run.id]) == [after]
        assert entries(twin) == {"a": 1}
        assert store.load([run.id]) == [run]
        news = twin.news()
        put(twin, new(twin, "b"))
        assert twin.news() != news
        (refused,) = twin.append([done(twin, run)])
        assert refused is not None
        twin.keep_flow("story", 2, "{}")
        assert twin.flows() == [{}]
    assert {name: store.read(f"SELECT * FROM {name}") for name in tables} == before
    put(store, done(store, run))
