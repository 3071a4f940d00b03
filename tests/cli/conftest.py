"""A command line to call, and a database with runs in every interesting state."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from phasegate import Engine, Run, Subject
from phasegate.cli import main
from tests.cli.shop import registry


@dataclass(frozen=True)
class Ended:
    """How a call ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


Call = Callable[..., Ended]


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PHASEGATE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "shop.db"


@pytest.fixture
def cli(file: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call the command line, as its entry point does, on the test's database."""

    def call(*words: str, database: str | None = None) -> Ended:
        capsys.readouterr()
        code = main(["--database", database or f"sqlite:///{file}", *words])
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return call


@dataclass(frozen=True)
class Shop:
    """The engine that does the work, and a run of each flow, worked on until it waits."""

    engine: Engine
    offer: Run
    failing: Run
    budget: Run
    survey: Run
    inventory: Run


@pytest.fixture
def shop(file: Path, tmp_path: Path) -> Iterator[Shop]:
    with Engine(f"sqlite:///{file}", registry()) as engine:
        paper = {"needs_file": str(tmp_path / "paper")}
        offer = engine.start("offer", Subject("client", "acme"), by="ann")
        failing = engine.start("offer", Subject("client", "bolt"), input=paper)
        budget = engine.start("budget", Subject("year", "next"))
        survey = engine.start("survey", Subject("person", "p:1"))
        inventory = engine.start("inventory", Subject("store", "north"))
        engine.drain()
        engine.decide(failing.id, "release", "approved", by="ann", seen=engine.get(failing.id).at("release").shown)
        engine.drain()
        yield Shop(engine, *(engine.get(run.id) for run in (offer, failing, budget, survey, inventory)))
