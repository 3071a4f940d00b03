"""Pictures drawn from the tables and from a flow, so that they cannot lie.

``python -m phasegate.core.diagram`` prints ``docs/states.md``. Diagrams are Mermaid text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any

from phasegate.core.facts import KINDS
from phasegate.core.flow import Flow, Phase
from phasegate.core.run import PhaseStatus, RunStatus
from phasegate.core.state import PHASE, RUN

_Table = Mapping[tuple[Any, type[Any]], Any]

_INTRODUCTION = """\
# States

Everything a run or a phase can go through. A fact that is not drawn from a state is refused there: what came too late is
stale, everything else is an illegal transition. This page is printed by `python -m phasegate.core.diagram` from the two
tables in `src/phasegate/core/state.py`, and a test compares them; edit the tables, then run `make docs`.
"""
_ABOUT_PHASES = """\
## A phase

One instance of a phase: one for each item when the phase repeats. A failed instance that a retry, a going back or a
condition takes up does not end the run.
"""
_ABOUT_RUNS = """\
## A run

A run that has succeeded or failed can be aimed again; a cancelled one is over. Of the facts about a phase only those drawn
here move the run as a whole.
"""


def states() -> str:
    """The page ``docs/states.md``: both transition tables as diagrams and as plain tables."""
    phase_ends = (PhaseStatus.SUCCEEDED, PhaseStatus.SKIPPED, PhaseStatus.FAILED)
    run_ends = tuple(status for status in RunStatus if status.final)
    return "\n".join(
        [
            _INTRODUCTION,
            _ABOUT_PHASES,
            _state_diagram(PHASE, PhaseStatus.PENDING, phase_ends),
            _plain_table(PHASE),
            _ABOUT_RUNS,
            _state_diagram(RUN, RunStatus.PENDING, run_ends),
            _plain_table(RUN),
        ]
    )


def _state_diagram(table: _Table, first: Enum, ends: Iterable[Enum]) -> str:
    """One arrow for each pair of states, labelled with every fact that leads from one to the other."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (before, fact), after in table.items():
        arrows.setdefault((before.value, after.value), []).append(fact.kind)
    lines = [f"    {before} --> {after}: {', '.join(kinds)}" for (before, after), kinds in arrows.items()]
    return _fenced(
        ["stateDiagram-v2", f"    [*] --> {first.value}", *lines, *(f"    {end.value} --> [*]" for end in ends)]
    )


def _plain_table(table: _Table) -> str:
    rows: dict[tuple[type[Any], str], list[str]] = {}
    for (before, fact), after in table.items():
        rows.setdefault((fact, "unchanged" if before is after else after.value), []).append(before.value)
    order = list(KINDS.values())
    lines = [
        f"| `{fact.kind}` | {', '.join(befores)} | {after} | {first_sentence(fact)} |"
        for (fact, after), befores in sorted(rows.items(), key=lambda row: order.index(row[0][0]))
    ]
    return "\n".join(["| fact | from | to | what happened |", "| --- | --- | --- | --- |", *lines, ""])


def first_sentence(fact: type[Any]) -> str:
    """The first sentence of a class's docstring, as Markdown on one line."""
    text = " ".join((fact.__doc__ or "").split()).replace("``", "`")
    return re.split(r"(?<=\.)\s", text)[0]


def flow_diagram(flow: Flow) -> str:
    """A flow as a Mermaid flowchart, without a line end at its end.

    Gates are diamonds, and what repeats for each item stands in a double box. A solid arrow says what settles first, with
    the outcomes a condition asks for, or what a gate shows; a thick one leads to what repeats for each item, a dotted one
    back to what an outcome resets, or to what is only waited for when aimed at.
    """
    numbers = {name: f"p{index}" for index, name in enumerate(flow.order)}
    lines = ["flowchart TD"]
    lines += [f"    {numbers[name]}{_box(flow.by_name[name])}" for name in flow.order]
    for name in flow.order:
        phase = flow.by_name[name]
        lines += [f"    {numbers[source]} {arrow} {numbers[name]}" for source, arrow in _arrows(phase)]
        lines += [
            f"    {numbers[name]} -.->|{_quoted(f'{word}: back, at most {phase.rounds} times')}| {numbers[target]}"
            for word, target in phase.redo.items()
        ]
    return "\n".join(lines)


def _box(phase: Phase) -> str:
    text = _quoted(f"{phase.label} {phase.name}" if phase.label else phase.name)
    if phase.gate:
        return f"{{{text}}}"
    return f"[[{text}]]" if phase.each else f"[{text}]"


def _arrows(phase: Phase) -> Iterator[tuple[str, str]]:
    for source in phase.above:
        words = " or ".join(phase.words(source)) if source in phase.when else ""
        if source == phase.each:
            yield source, f"==>|{_quoted('each' + (f', {words}' if words else ''))}|"
        elif source not in phase.required:
            yield source, f"-.->|{_quoted('after')}|"
        else:
            # What is required and neither needed nor asked about is there to be shown.
            said = words or ("" if source in phase.needs else "shows")
            yield source, f"-->|{_quoted(said)}|" if said else "-->"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', "#quot;") + '"'


def _fenced(lines: list[str]) -> str:
    return "\n".join(["```mermaid", *lines, "```", ""])


if __name__ == "__main__":
    print(states(), end="")
