"""A run with everything that happened to it, as one line of JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from phasegate.store import codec

#: The number of the form in which documents are written; another one when readers would have to know.
FORMAT = 1

#: The rows of a run, by run and by table.
Parts = dict[str, dict[str, list[Mapping[str, Any]]]]

#: Columns whose text is JSON already. It is taken over as it stands, so that an output still has its sha256.
_JSON = frozenset({"input", "aim", "detail", "scope", "body", "answers"})
#: What every row of the run would repeat.
_OF_THE_RUN = frozenset({"run_id", "tenant"})
#: What only matters while a run is alive.
_OF_THE_LIVING = frozenset({"due_at", "worker"})


def document(run: Mapping[str, Any], parts: Mapping[str, list[Mapping[str, Any]]]) -> str:
    """The document of a run: its own row, and those of its parts by the names of their tables and columns."""
    told: dict[str, Any] = {"format": FORMAT, "run": _plain(run, _OF_THE_LIVING)}
    told.update({name: [_plain(row, _OF_THE_RUN) for row in rows] for name, rows in parts.items()})
    return codec.dump(told)


def _plain(row: Mapping[str, Any], without: frozenset[str]) -> dict[str, Any]:
    return {
        name: orjson.Fragment(value) if name in _JSON and value is not None else value
        for name, value in row.items()
        if name not in without
    }
