"""A million subjects with eight phase rows each, synthesised by SQL: what people ask, and what a worker asks, takes how long.

Of a hundred runs ninety have ended well, five wait for a person, two are due, two are held by a worker and one has failed;
they began over the last 10,000 minutes. Every question is asked many times, each time about something else.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import cast

from bench.shapes import Figure, nothing
from phasegate import Engine, Flow, Gate, Phase, Registry
from phasegate.store.sql import SqlStore

_NAMES = ("first", "second", "third", "fourth", "review", "sixth", "seventh", "last")
EIGHT = Flow(
    "eight",
    1,
    tuple(
        Phase(
            name,
            None if name == "review" else nothing,
            gate=Gate() if name == "review" else None,
            needs=_NAMES[place - 1 : place] if place else (),
        )
        for place, name in enumerate(_NAMES)
    ),
)
#: Minutes ago, as text or as the database's own time.
_AGO = {
    "sqlite": "strftime('%Y-%m-%dT%H:%M:%f', 'now', '-' || ({}) || ' minutes') || '000+00:00'",
    "postgresql": "now() - make_interval(mins => {})",
}
#: What the ``n``-th run is doing: the status of the run and of its phase ``review``; before it all is done, behind it nothing
#: unless the run has ended.
_KIND = "CASE WHEN n % 100 < 90 THEN 'done' WHEN n % 100 < 95 THEN 'waits' WHEN n % 100 < 97 THEN 'due' " \
        "WHEN n % 100 < 99 THEN 'held' ELSE 'failed' END"  # fmt: skip
_NUMBERS = (
    "WITH RECURSIVE numbers(n) AS (SELECT {} UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {}), "
    f"kinds AS (SELECT n, {_KIND} AS kind FROM numbers) "
)
_RUNS = """INSERT INTO phasegate_runs (id, tenant, flow, version, subject_kind, subject_id, key, priority, started_by,
    created_at, status, unchecked, updated_at, seq, due_at, epoch, worker)
{numbers}
SELECT 'run' || n, CASE WHEN n % 10 = 0 THEN 'small' ELSE 'default' END, 'eight', 1, 'item', 'item' || n, '', 0, '',
    {ago}, CASE kind WHEN 'done' THEN 'succeeded' WHEN 'waits' THEN 'waiting' WHEN 'failed' THEN 'failed' ELSE 'running' END,
    false, {ago}, 17, CASE kind WHEN 'due' THEN {ago} WHEN 'held' THEN {ago} END, 1, CASE kind WHEN 'held' THEN 'busy' END
FROM kinds"""
_PHASES = """INSERT INTO phasegate_phase_runs (run_id, phase, scope, tenant, flow, status, attempt, failures, losses, round,
    outcome, started_at, since)
{numbers}, of_phase AS (SELECT n, kind, name, place, CASE
        WHEN kind = 'done' OR place < 4 THEN 'succeeded'
        WHEN place > 4 THEN 'pending'
        WHEN kind = 'waits' THEN 'waiting' WHEN kind = 'due' THEN 'ready' WHEN kind = 'held' THEN 'running' ELSE 'failed'
    END AS status FROM kinds CROSS JOIN ({phases}) AS phases)
SELECT 'run' || n, name, '[]', CASE WHEN n % 10 = 0 THEN 'small' ELSE 'default' END, 'eight', status, 1, 0, 0, 0,
    CASE status WHEN 'succeeded' THEN 'done' END, {ago}, {ago}
FROM of_phase"""
_ATTEMPTS = """INSERT INTO phasegate_attempts (run_id, phase, scope, number, tenant, status, outcome, started_at, finished_at)
{numbers}
SELECT 'run' || n, 'first', '[]', 1, CASE WHEN n % 10 = 0 THEN 'small' ELSE 'default' END, 'succeeded', 'done', {ago}, {ago}
FROM kinds"""
_FACTS = """INSERT INTO phasegate_facts (position, run_id, tenant, seq, at, body)
{numbers}
SELECT n, 'run' || n, CASE WHEN n % 10 = 0 THEN 'small' ELSE 'default' END, 1, {ago},
    '[{{"kind":"attempt_succeeded","at":"2026-01-01T00:00:00+00:00","phase":"first","scope":[],"attempt":1}}]'
FROM kinds"""

#: Subjects at which a claim is measured for comparison: enough that some are due.
FEW = 5_000

#: What people ask of the views, and what may take a fifth of a second.
QUESTIONS = {
    "where a subject is": "SELECT * FROM phasegate_v_subjects_by_phase WHERE subject_id = :subject",
    "who waits in a phase, the first hundred": "SELECT * FROM phasegate_v_subjects_by_phase "
    "WHERE tenant = :tenant AND phase = 'review' AND phase_status = 'waiting' ORDER BY since LIMIT 100",
    "the latest completions": "SELECT * FROM phasegate_v_recent_completions WHERE tenant = :tenant LIMIT 100",
    "the latest failures": "SELECT * FROM phasegate_v_failed_phases WHERE tenant = :tenant LIMIT 100",
    "what is stuck, the oldest hundred": "SELECT * FROM phasegate_v_stuck WHERE tenant = :tenant LIMIT 100",
    "what is stuck, over all tenants": "SELECT * FROM phasegate_v_stuck LIMIT 100",
    "the facts of a run": "SELECT * FROM phasegate_v_facts WHERE run_id = :run",
    "how many are where": "SELECT * FROM phasegate_v_phase_counts WHERE tenant = :tenant",
}


def million(address: str, subjects: int, times: int = 40) -> list[Figure]:
    """Every question ``times`` times, the 95th percentile of what it takes; the same of ``why`` and of a claim."""
    rng = random.Random(1)
    with Engine(address, Registry(EIGHT), tenant="default") as engine:
        store = cast(SqlStore, engine.store)
        fill(store, 0, FEW)
        few = _claims(store, times)
        fill(store, FEW, subjects)
        place = "PostgreSQL" if store.dialect == "postgresql" else "SQLite"

        def figure(what: str, ask: Callable[[], object], limit: float) -> Figure:
            return Figure(f"{place}, {subjects:,} subjects: {what}, p95", _p95(ask, times), "ms", None, limit, "lower")

        def given() -> dict[str, str]:
            number = rng.randrange(subjects)
            tenant = rng.choice(("default", "small"))
            return {"subject": f"item{number}", "run": f"run{number}", "tenant": tenant}

        def ask(query: str) -> Callable[[], object]:
            names = [name for name in ("subject", "run", "tenant") if f":{name}" in query]
            return lambda: engine.read(query, {name: value for name, value in given().items() if name in names})

        def why() -> object:
            number = rng.randrange(subjects)
            return engine.why(f"run{number}", tenant="default" if number % 10 else "small")

        found = [figure(what, ask(query), 200) for what, query in QUESTIONS.items()]
        found.append(figure("why", why, 20))
        found.append(
            Figure(
                f"{place}, {subjects:,} subjects: a claim (raw: with {FEW:,}), median", _claims(store, times), "ms", few
            )
        )
    return found


def fill(store: SqlStore, first: int, end: int) -> None:
    """Synthesise the rows of the subjects from number ``first`` to before ``end``."""
    phases = " UNION ALL ".join(f"SELECT '{name}' AS name, {place} AS place" for place, name in enumerate(_NAMES))
    ago = _AGO[store.dialect].format("(n % 10000)" + ("" if store.dialect == "sqlite" else "::int"))
    with store.open_writing() as connection:
        for statement in (_RUNS, _PHASES, _ATTEMPTS, _FACTS):
            text = statement.format(numbers=_NUMBERS.format(first, end), ago=ago, phases=phases)
            connection.exec_driver_sql(text.replace("%", "%%") if store.dialect == "postgresql" else text)
    if store.dialect == "postgresql":
        with store.open_writing() as connection:
            connection.exec_driver_sql("ANALYZE")


def _claims(store: SqlStore, times: int) -> float:
    """Milliseconds of a claim of one run, the median."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        store.claim("bench", 1, [("eight", 1)])
        taken.append(time.perf_counter() - began)
    return sorted(taken)[times // 2] * 1000


def _p95(ask: Callable[[], object], times: int) -> float:
    ask()  # the statement is prepared, as it is for whoever asks again and again
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        taken.append(time.perf_counter() - began)
    return sorted(taken)[int(times * 0.95)] * 1000
