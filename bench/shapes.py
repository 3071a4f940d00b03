"""The shapes: each is run on a fresh file and measured beside the raw limit of the same run."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import raw
from phasegate import Context, Engine, Flow, Gate, Limits, Phase, Registry, Subject


@dataclass(frozen=True)
class Figure:
    """One line of the report. ``better`` is "higher" or "lower"; ``raw`` is the limit measured in the same run."""

    name: str
    value: float
    unit: str
    raw: float | None = None
    target: float | None = None
    better: str = "higher"

    @property
    def met(self) -> bool | None:
        """Whether the target is met."""
        if self.target is None:
            return None
        return self.value >= self.target if self.better == "higher" else self.value <= self.target


async def nothing(context: Context) -> None:
    """A phase that does nothing."""


def items(count: int) -> Callable[[Context], list[int]]:
    """A phase that gives ``count`` items."""
    return lambda context: list(range(count))


CHAIN = Flow("chain", 1, (Phase("a", nothing), Phase("b", nothing, needs=("a",)), Phase("c", nothing, needs=("b",))))
GATED = Flow(
    "gated",
    1,
    (
        Phase("draft", nothing),
        Phase("gate", gate=Gate(), needs=("draft",)),
        Phase("end", nothing, needs=("gate",)),
    ),
)


def fan(count: int) -> Flow:
    """One run whose first phase gives items that two nested phases work on."""
    return Flow(
        f"fan{count}", 1,
        (Phase("list", items(count)), Phase("one", nothing, each="list"), Phase("two", nothing, each="list", needs=("one",))),
    )  # fmt: skip


@contextmanager
def opened(path: Path, *flows: Flow, concurrency: int = 1000) -> Iterator[Engine]:
    """An engine on a fresh file."""
    with Engine(
        f"sqlite:///{path}", Registry(*flows), tenant="default", limits=Limits(concurrency=concurrency)
    ) as engine:
        yield engine


def many_runs(directory: Path, runs: int) -> list[Figure]:
    """20,000 three-phase runs at once: started, then worked off."""
    path = directory / "many.db"
    with opened(path, CHAIN, concurrency=2000) as engine:
        began = time.perf_counter()
        engine.start_many(CHAIN, [Subject("item", str(n)) for n in range(runs)])
        started = time.perf_counter()
        engine.drain()
        ended = time.perf_counter()
        assert len(engine.find("chain", status=["succeeded"], limit=None)) == runs
        commits = engine.read("SELECT count(DISTINCT at) AS n FROM phasegate_facts")[0]["n"]
    size = path.stat().st_size / (3 * runs)
    limit = 3 * runs / raw.insert_same(path, directory / "raw.db", max(1, min(commits, runs // 100)))
    return [
        Figure("chain, many runs at once", 3 * runs / (ended - started), "phases/s", limit, 10_000),
        Figure("starting runs", runs / (started - began), "runs/s"),
        Figure("bytes per completed phase", size, "bytes", None, 1024, "lower"),
    ]


def one_run(directory: Path, runs: int) -> list[Figure]:
    """Three-phase runs strictly one after another, by a worker that is there already."""
    taken, latencies = [], []
    first: list[float] = []

    async def begin(context: Context) -> None:
        first.append(time.perf_counter())

    flow = Flow("single", 1, (Phase("a", begin), *CHAIN.phases[1:]))
    with opened(directory / "one.db", flow) as engine, working(engine):
        for number in range(runs):
            began = time.perf_counter()
            run = engine.start(flow, Subject("item", str(number)))
            engine.wait(run.id)
            taken.append(time.perf_counter() - began)
            latencies.append(first[-1] - began)
    commit = raw.commit_seconds(directory)
    taken.sort()
    latencies.sort()
    return [
        Figure(
            "one run alone, 3 phases",
            taken[len(taken) // 2] * 1000,
            "ms",
            3 * commit * 1000,
            9 * commit * 1000,
            "lower",
        ),
        Figure(
            "start to first phase, p99", latencies[int(len(latencies) * 0.99)] * 1000, "ms", commit * 1000, 10, "lower"
        ),
    ]


@contextmanager
def working(engine: Engine) -> Iterator[None]:
    """A worker in a thread."""
    import threading

    stop = threading.Event()
    thread = threading.Thread(target=engine.work, kwargs={"stop": stop})
    thread.start()
    try:
        while not engine.workers():
            time.sleep(0.001)
        yield
    finally:
        stop.set()
        thread.join()


def fan_out(directory: Path) -> list[Figure]:
    """One run with 1,000 and with 10,000 items through two nested phases."""
    rates = {}
    for count in (1_000, 10_000):
        flow = fan(count)
        with opened(directory / f"fan{count}.db", flow) as engine:
            run = engine.start(flow, Subject("list", "one"))
            began = time.perf_counter()
            engine.drain()
            rates[count] = 2 * count / (time.perf_counter() - began)
            assert engine.get(run.id).status.value == "succeeded"
    return [
        Figure("fan-out, 1,000 items x 2", rates[1_000], "phases/s"),
        Figure("fan-out, 10,000 items x 2", rates[10_000], "phases/s", rates[1_000], 0.8 * rates[1_000]),
    ]


def parked_gates(directory: Path, runs: int) -> list[Figure]:
    """Parked runs, approved and finished by a fresh process."""
    path = directory / "gates.db"
    with opened(path, GATED) as engine:
        engine.start_many(GATED, [Subject("item", str(n)) for n in range(runs)])
        engine.drain()
    program = (
        "import sys, time\nbegan = time.perf_counter()\n"
        "from bench.shapes import GATED, opened\nfrom pathlib import Path\n"
        "with opened(Path(sys.argv[1]), GATED) as engine:\n"
        "    waiting = engine.find('gated', status=['waiting'], limit=None)\n"
        "    engine.decide_many([(run.id, 'gate', 'approved') for run in waiting], by='reviewer@example.com')\n"
        "    engine.drain()\n"
        "    assert len(engine.find('gated', status=['succeeded'], limit=None)) == len(waiting)\n"
        "print(time.perf_counter() - began)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    return [
        Figure(
            f"{runs:,} parked gates approved and finished by a fresh process", float(done.stdout), "s", None, 2, "lower"
        )
    ]


def growth(directory: Path, before: int, runs: int) -> list[Figure]:
    """Throughput on an empty file and on one with many finished runs."""
    rates = []
    path = directory / "growth.db"
    with opened(path, CHAIN, concurrency=2000) as engine:
        for name in ("empty", "full"):
            if name == "full":
                engine.start_many(CHAIN, [Subject("old", str(n)) for n in range(before)])
                engine.drain()
            engine.start_many(CHAIN, [Subject(name, str(n)) for n in range(runs)])
            began = time.perf_counter()
            engine.drain()
            rates.append(3 * runs / (time.perf_counter() - began))
    return [Figure(f"throughput with {before:,} finished runs in the file", rates[1], "phases/s", rates[0])]


def imports() -> list[Figure]:
    """``import phasegate``, and a whole program with one phase, from start to exit, in fresh processes."""
    bare = _best("pass")
    program = (
        "from phasegate import Engine, Flow, Phase, Registry, Subject\n"
        "flow = Flow('f', 1, (Phase('p', lambda context: 1),))\n"
        "with Engine('sqlite://', Registry(flow), tenant='default') as engine:\n"
        "    run = engine.start(flow, Subject('item', '1'))\n    engine.drain()\n"
        "    assert engine.get(run.id).status.value == 'succeeded'\n"
    )
    return [
        Figure("import phasegate", _best("import phasegate") - bare, "s", bare, 0.15, "lower"),
        Figure("program with one phase, start to exit", _best(program), "s", bare, 0.5, "lower"),
    ]


def _best(program: str, times: int = 7) -> float:
    """Seconds of a fresh interpreter running ``program``: the median."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True)
        taken.append(time.perf_counter() - began)
    return sorted(taken)[times // 2]
