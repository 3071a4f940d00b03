"""What the phases need beside the database: open files, and agents where somebody wants them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from phasegate.apps.discovery.agents.pool import AgentPool
from phasegate.apps.discovery.reading.opening import open_reader
from phasegate.apps.discovery.reading.records import Inventory, Reader
from phasegate.apps.discovery.registries import FlowTypeRegistry

#: Files that are kept open between two pieces; another one is opened at its place again.
_OPEN = 8


@dataclass(slots=True)
class Workshop:
    """Shared by all phases of a process. ``agents`` has the models that stand in for the phases' own rules, if any."""

    agents: AgentPool | None = None
    flow_types: FlowTypeRegistry | None = None
    _readers: dict[str, tuple[Any, Reader]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reader(self, import_id: str, inventory: Mapping[str, Any], cursor: Any) -> Reader:
        """A reader of an import's file that stands at this place: the one kept since the last piece, or a new one."""
        with self._lock:
            kept = self._readers.pop(import_id, None)
        if kept is not None:
            if kept[0] == cursor:
                return kept[1]
            kept[1].close()
        return open_reader(Inventory.from_dict(dict(inventory)), cursor)

    def keep(self, import_id: str, cursor: Any, reader: Reader) -> None:
        """Keep a reader for the next piece; close it when there is none."""
        superfluous = [reader]
        if cursor is not None:
            with self._lock:
                self._readers[import_id] = (cursor, reader)
                superfluous = [self._readers.pop(key)[1] for key in list(self._readers)[:-_OPEN]]
        for each in superfluous:
            each.close()

    def close(self) -> None:
        """Close every file."""
        with self._lock:
            readers, self._readers = list(self._readers.values()), {}
        for _, reader in readers:
            reader.close()
