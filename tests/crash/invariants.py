"""What must be true of a database after whatever happened to the processes that worked on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from phasegate import Engine, Run
from phasegate.core import facts as f
from phasegate.core.run import Instance
from phasegate.core.state import fold
from phasegate.store.postgres import PostgresStore
from tests import postgres

ENDINGS = (
    f.AttemptSucceeded, f.AttemptSkipped, f.AttemptFailed, f.AttemptSnoozed, f.AttemptAsked, f.AttemptLost,
    f.AttemptStopped, f.GateSettled,
)  # fmt: skip
COMPLETIONS = (f.AttemptSucceeded, f.AttemptSkipped, f.GateSettled)


def assert_sound(engine: Engine) -> None:
    """Log, state and rows tell the same; nothing ended twice; nobody holds anything; the database is whole."""
    for found in engine.find(limit=None):
        run = engine.get(found.id)
        entries = engine.history(run.id)
        log = [entry.fact for entry in entries]
        assert [entry.seq for entry in entries] == list(range(1, run.seq + 1))
        assert fold(log).but(epoch=run.epoch) == run
        assert_each_once((type(x), x.phase, x.scope, x.attempt) for x in log if isinstance(x, ENDINGS))
        assert_each_once((phase, number) for phase, number, fact in rounds(log) if isinstance(fact, COMPLETIONS))
        assert_each_once((phase, number) for phase, number, fact in rounds(log) if isinstance(fact, f.DecisionMade))
        assert attempt_rows(engine, run) == sorted((x.phase, x.attempt) for x in log if isinstance(x, ENDINGS))
    assert engine.read("SELECT id, worker FROM phasegate_runs WHERE worker IS NOT NULL") == []
    assert_whole(engine)


def assert_whole(engine: Engine) -> None:
    """The database itself finds nothing damaged."""
    if isinstance(engine.store, PostgresStore):
        assert_indexed(postgres.address(engine.store.url))
    else:
        assert [dict(row) for row in engine.read("PRAGMA integrity_check")] == [{"integrity_check": "ok"}]
        assert engine.read("PRAGMA foreign_key_check") == []


def assert_indexed(address: str) -> None:
    """Every table of the engine has as many rows when they are counted one after the other as by an index."""
    for table in (name for (name,) in postgres.execute(address, _TABLES)):
        count = f"SELECT count(*) FROM {table}"
        plainly = postgres.execute(address, "SET enable_indexscan = off", "SET enable_indexonlyscan = off", count)
        assert postgres.execute(address, "SET enable_seqscan = off", count) == plainly, table


_TABLES = """SELECT indrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
    WHERE indisprimary AND relnamespace = 'phasegate'::regnamespace"""


def assert_balanced(engine: Engine, runs: Sequence[Run]) -> None:
    """Every phase of the ledger's flows has made its one entry, and what was taken was given."""
    rows = engine.read("SELECT entry, amount FROM ledger")
    assert Counter((row["entry"], row["amount"]) for row in rows) == Counter(
        (f"{run.subject.id}/{phase}", sign * run.input)
        for run in runs
        for phase, sign in (("take", -1), ("carry", 0), ("give", 1))
    )
    assert sum(row["amount"] for row in rows) == 0


def assert_each_once(things: Iterable[Any]) -> None:
    assert {thing: count for thing, count in Counter(things).items() if count > 1} == {}


def rounds(log: Sequence[f.Fact]) -> Iterable[tuple[Instance, int, f.Fact]]:
    """The facts of phases, each with the number of resets, and of decisions that were void, before it."""
    resets: Counter[Instance] = Counter()
    for fact in log:
        if not isinstance(fact, f.RunFact):
            instance = (fact.phase, fact.scope)
            resets[instance] += isinstance(fact, f.PhaseReset | f.DecisionsVoided)
            yield instance, resets[instance], fact


def attempt_rows(engine: Engine, run: Run) -> list[tuple[str, int]]:
    rows = engine.read("SELECT phase, number FROM phasegate_attempts WHERE run_id = :id", {"id": run.id})
    return sorted((row["phase"], row["number"]) for row in rows)


def completions(engine: Engine, run: Run) -> dict[Instance, int]:
    """How often each phase instance was completed."""
    log = [entry.fact for entry in engine.history(run.id)]
    return dict(Counter((x.phase, x.scope) for x in log if isinstance(x, COMPLETIONS)))
