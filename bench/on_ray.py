"""What a task on Ray costs: one-phase runs whose phase runs there, beside bare tasks of the same, local cluster."""

from __future__ import annotations

import time
from pathlib import Path

import ray

from bench.shapes import Figure, nothing, opened
from phasegate import Flow, Phase, Subject

REMOTE = Flow("remote", 1, (Phase("a", nothing, runs_on="ray", resources={"num_cpus": 1}),))


@ray.remote(num_cpus=1)
def _nothing() -> None:
    """A task that does nothing."""


def tasks(directory: Path, count: int) -> list[Figure]:
    """Many at once, and one after another; the cluster is there and its processes have started."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        with opened(directory / "ray.db", REMOTE) as engine:

            def work(first: int, runs: int) -> float:
                engine.start_many(REMOTE, [Subject("item", str(first + n)) for n in range(runs)])
                began = time.perf_counter()
                engine.drain()
                return (time.perf_counter() - began) / runs * 1000

            work(0, 20)
            ray.get([_nothing.remote() for _ in range(20)])
            many, few = work(100, count), sorted(work(100 + count + n, 1) for n in range(20))[10]
            assert len(engine.find("remote", status=["succeeded"], limit=None)) == 20 + count + 20
            began = time.perf_counter()
            ray.get([_nothing.remote() for _ in range(count)])
            bare = (time.perf_counter() - began) / count * 1000
            one = sorted(_bare() for _ in range(20))[10]
    finally:
        ray.shutdown()
    return [
        Figure("Ray, a phase of many", many, "ms", bare),
        Figure("Ray, a phase alone", few, "ms", one),
    ]


def _bare() -> float:
    began = time.perf_counter()
    ray.get(_nothing.remote())
    return (time.perf_counter() - began) * 1000
