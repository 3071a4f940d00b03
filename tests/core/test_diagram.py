"""The pictures say what the tables and the flows say."""

from __future__ import annotations

import re
import subprocess
import sys
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from phasegate.core import facts as f
from phasegate.core.diagram import first_sentence, flow_diagram, states
from phasegate.core.run import PhaseStatus, RunStatus
from phasegate.core.state import PHASE, RUN
from tests.core.story import flow, gate, step

PAGE = Path(__file__).parents[2] / "docs" / "states.md"

Drawn = set[tuple[str, str, str]]


def said(table: dict[tuple[Any, type[Any]], Any]) -> Drawn:
    return {(before.value, fact.kind, after.value) for (before, fact), after in table.items()}


def drawn() -> list[Drawn]:
    """What each diagram of the page draws."""
    return [
        {
            (before, kind, after)
            for before, after, kinds in re.findall(r"^    (\w+) --> (\w+): (.*)$", block, re.MULTILINE)
            for kind in kinds.split(", ")
        }
        for block in re.findall(r"```mermaid\nstateDiagram-v2\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    ]


def tabulated() -> list[Drawn]:
    """What each plain table of the page says."""
    tables: list[Drawn] = []
    for block in PAGE.read_text(encoding="utf-8").split("| fact |")[1:]:
        rows = re.findall(r"^\| `([\w.]+)` \| (.*?) \| (\w+) \| .+ \|$", block, re.MULTILINE)
        tables.append(
            {
                (before, kind, before if after == "unchanged" else after)
                for kind, befores, after in rows
                for before in befores.split(", ")
            }
        )
    return tables


def test_the_page_draws_the_tables() -> None:
    assert drawn() == [said(PHASE), said(RUN)]


def test_the_page_tabulates_the_tables() -> None:
    assert tabulated() == [said(PHASE), said(RUN)]


def test_the_page_says_what_each_fact_means() -> None:
    text = PAGE.read_text(encoding="utf-8")
    in_tables = {fact for _, fact in (*PHASE, *RUN)}
    assert [fact.kind for fact in in_tables if first_sentence(fact) not in text] == []


@pytest.mark.parametrize("statuses", [PhaseStatus, RunStatus])
def test_the_page_has_every_status(statuses: type[Enum]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [s.value for s in statuses if not re.search(rf"^    (\[\*\]|\w+) --> {s.value}\b", text, re.MULTILINE)] == []


def test_the_page_is_what_the_command_prints() -> None:
    printed = subprocess.run([sys.executable, "-m", "phasegate.core.diagram"], check=True, capture_output=True)
    assert printed.stdout.decode("utf-8").splitlines() == PAGE.read_text(encoding="utf-8").splitlines()
    assert states().splitlines() == PAGE.read_text(encoding="utf-8").splitlines()


def test_the_first_sentence_stands_on_one_line() -> None:
    assert first_sentence(f.PhaseReset) == "The phase is to be done again; history and the attempt counter stay."
    assert first_sentence(f.RetryScheduled) == "A failed attempt will be repeated at `due_at`."


def test_a_flow_is_drawn_with_its_needs_items_conditions_and_ways_back() -> None:
    built = flow(
        step("list", label="1"),
        step("build", each="list"),
        step("test", "build", each="list", when={"build": ("done", "odd")}),
        gate("accept", "test", shows=("list",), redo={"rejected": "list"}, rounds=2),
        step("mail", "accept", when={"accept": "approved"}, after=("list",)),
    )
    assert flow_diagram(built).splitlines() == [
        "flowchart TD",
        '    p0["1 list"]',
        '    p1[["build"]]',
        '    p2[["test"]]',
        '    p3{"accept"}',
        '    p4["mail"]',
        '    p0 ==>|"each"| p1',
        '    p0 ==>|"each"| p2',
        '    p1 -->|"done or odd"| p2',
        "    p2 --> p3",
        '    p0 -->|"shows"| p3',
        '    p3 -.->|"rejected: back, at most 2 times"| p0',
        '    p3 -->|"approved"| p4',
        '    p0 -.->|"after"| p4',
    ]


def test_a_drawing_tells_apart_what_a_gate_needs_and_shows() -> None:
    built = flow(step("draft"), step("price"), gate("release", "draft", shows=("draft", "price")))
    arrows = flow_diagram(built).splitlines()[4:]
    assert arrows == ["    p0 --> p2", '    p1 -->|"shows"| p2']


def test_a_drawing_has_the_phases_in_the_order_in_which_they_settle() -> None:
    drawn = flow_diagram(flow(step("last", "first"), step("first")))
    assert drawn == 'flowchart TD\n    p0["first"]\n    p1["last"]\n    p0 --> p1'


def test_names_cannot_break_a_drawing() -> None:
    assert '    p0["say #quot;hello#quot; a"]' in flow_diagram(flow(step("a", label='say "hello"'))).splitlines()
