"""A flow as a Mermaid diagram: gates are rhombs, repeated phases stand in double boxes, ways back are dotted."""

from __future__ import annotations

from collections.abc import Iterator

from phasegate.core.flow import Flow, Phase


def mermaid(flow: Flow) -> str:
    """The text of the diagram, without a line end at its end."""
    ids = {phase.name: f"p{number}" for number, phase in enumerate(flow.phases)}
    boxes = [f"    {ids[phase.name]}{_box(phase)}" for phase in flow.phases]
    arrows = [f"    {line}" for phase in flow.phases for line in _arrows(phase, ids)]
    return "\n".join(["flowchart TD", *boxes, *arrows])


def _box(phase: Phase) -> str:
    name = _quoted(f"{phase.label} {phase.name}" if phase.label else phase.name)
    if phase.gate:
        return f"{{{name}}}"
    return f"[[{name}]]" if phase.each else f"[{name}]"


def _arrows(phase: Phase, ids: dict[str, str]) -> Iterator[str]:
    here = ids[phase.name]
    shown = phase.gate.shows if phase.gate else ()
    for name in phase.above:
        there = ids[name]
        if name in phase.when:
            yield f"{there} -->|{_quoted(' or '.join(phase.words(name)))}| {here}"
        elif name == phase.each:
            yield f"{there} -->|{_quoted('each')}| {here}"
        elif name in phase.needs:
            yield f"{there} --> {here}"
        else:
            yield f"{there} -->|{_quoted('shows' if name in shown else 'after')}| {here}"
    for outcome, target in phase.redo.items():
        yield f"{here} -.->|{_quoted(outcome)}| {ids[target]}"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', "#quot;") + '"'
