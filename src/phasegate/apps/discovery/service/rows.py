"""What the rows of a flow would be if they were written now: told by the projection itself, from the engine's log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from phasegate import Engine, RecordedFact, Run
from phasegate.apps.discovery.phases.common import dump
from phasegate.apps.discovery.projection import project
from phasegate.apps.discovery.standing import Pieces, step_under_way
from phasegate.apps.discovery.statements.flows import CHILD_STANDS, MASTER_STANDS
from phasegate.core.facts import RunParked

#: Times that say when a row was written rather than what it says.
_PASSED_OVER = frozenset({"updated_at"})


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the projection is answered that asks how far the step under way is."""

    state: str

    def scalar(self) -> str:
        return self.state


class _Collecting:
    """Takes what the projection executes, and executes nothing."""

    def __init__(self, state: str) -> None:
        self._answer = _Answer(state)
        self.writes: list[tuple[Any, Mapping[str, Any]]] = []

    def execute(self, statement: Any, params: Any) -> _Answer:
        if not statement.is_select:
            self.writes += [(statement, each) for each in (params if isinstance(params, list) else [params])]
        return self._answer


def pieces_of(engine: Engine, run: Run) -> Pieces | None:
    """How far the step under way is, by what its last piece left behind in the log."""
    under_way = step_under_way(run)
    if under_way is None or under_way.feedback is None:
        return None
    place = (run.id, *under_way.feedback)
    return Pieces.of(under_way.phase, engine.store.outputs([place]).get(place))


def projected(engine: Engine, run: Run) -> list[tuple[Any, Mapping[str, Any]]]:
    """The writes, (statement, parameters), that bring the rows of a flow to where its run stands."""
    pieces = pieces_of(engine, run)
    collecting = _Collecting(dump(asdict(pieces)) if pieces is not None else "{}")
    # Where a flow stands is told from its run; of the fact only the time counts, which is that of the run's last one.
    project(collecting, [RecordedFact(run, RunParked(run.updated_at or datetime.now(UTC)))])
    return collecting.writes


def differences(engine: Engine, row: Mapping[str, Any], run: Run) -> list[str]:
    """In what the row of a flow is not what its run says, column by column; nothing when it is."""
    wanted: dict[str, Any] = {}
    for statement, params in projected(engine, run):
        if statement is MASTER_STANDS or statement is CHILD_STANDS:
            wanted |= {name[4:]: value for name, value in params.items() if name.startswith("new_")}
    return [
        f"{name} is {row[name]}, not {value}"
        for name, value in wanted.items()
        if name not in _PASSED_OVER and row[name] != value
    ]
