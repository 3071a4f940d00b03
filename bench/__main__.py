"""``make bench``: every shape beside the raw limit measured in the same run. ``--quick`` is a tenth of the size."""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import build, discovery, documents, million, on_ray, postgres, shapes

PARTS = ("sqlite", "postgresql", "ray", "documents", "discovery", "build")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the size")
    parser.add_argument("--only", choices=PARTS, help="one part of it")
    given = parser.parse_args()
    scale = 10 if given.quick else 1
    console = Console()
    versions = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {os.cpu_count()} cores"
    table = Table("shape", "figure", "raw limit", "ratio", "target", "met", title=versions)
    with tempfile.TemporaryDirectory(prefix="phasegate-bench-") as name:
        directory = Path(name)
        only = (given.only,) if given.only else PARTS
        measures: list[Callable[[], list[shapes.Figure]]] = []
        with ExitStack() as stack:
            if "sqlite" in only:
                measures += [
                    lambda: shapes.many_runs(directory, 20_000 // scale),
                    lambda: shapes.one_run(directory, 300 // scale),
                    lambda: shapes.fan_out(directory),
                    lambda: shapes.parked_gates(directory, 1_000),
                    lambda: shapes.growth(directory, 100_000 // scale, 10_000 // scale),
                    lambda: million.million(f"sqlite:///{directory / 'million.db'}", 1_000_000 // scale),
                    shapes.imports,
                ]
            if "postgresql" in only:
                address = stack.enter_context(postgres.server())
                measures += [
                    lambda: postgres.many_runs(address, 20_000 // scale),
                    lambda: postgres.one_run(address, 300 // scale),
                    lambda: postgres.growth(address, 100_000 // scale),
                    lambda: postgres.views(address, 1_000_000 // scale),
                ]
            if "documents" in only:
                measures.append(lambda: documents.items(directory, 1_000 // scale, 5_000 // scale))
            if "discovery" in only:
                measures.append(lambda: discovery.run(directory, 1_000_000 // scale, 100))
            if "build" in only:
                measures.append(lambda: build.run(directory, 50_000 // scale))
            if "ray" in only:
                measures.append(lambda: on_ray.tasks(directory, 1_000 // scale))
            for measure in measures:
                for figure in measure():
                    _add(table, figure)
                    console.print(f"{figure.name}: {_number(figure.value)} {figure.unit}", highlight=False)
    console.print(table)


def _add(table: Table, figure: shapes.Figure) -> None:
    ratio = "" if not figure.raw else f"{figure.value / figure.raw:.2f}"
    sign = ">=" if figure.better == "higher" else "<="
    target = "" if figure.target is None else f"{sign} {_number(figure.target)}"
    met = {None: "", True: "yes", False: "no"}[figure.met]
    raw = "" if figure.raw is None else _number(figure.raw)
    table.add_row(figure.name, f"{_number(figure.value)} {figure.unit}", raw, ratio, target, met)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
