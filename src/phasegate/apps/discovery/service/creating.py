"""Begin a flow: of a file, or of records that a program has."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phasegate import Subject
from phasegate.apps.discovery.errors import DiscoveryError, InventoryError
from phasegate.apps.discovery.identifiers import new_id, record_id
from phasegate.apps.discovery.phases.common import dump
from phasegate.apps.discovery.projection import FLOW, arriving
from phasegate.apps.discovery.reading.flattening import Flattener
from phasegate.apps.discovery.reading.opening import inspect
from phasegate.apps.discovery.reading.records import SAMPLE_LIMIT
from phasegate.apps.discovery.service.base import Base
from phasegate.apps.discovery.statements.flows import BLOCKING, COUNT_FLOWS
from phasegate.apps.discovery.statements.imports import ADD_RAW, ADD_SKIPPED
from phasegate.errors import Purged, did_you_mean

CATEGORIES = ("cmdb_export", "app_discovery", "infrastructure", "sensitive_data")
_CATEGORY_ALIASES = {
    "cmdb": "cmdb_export", "application": "app_discovery", "applications": "app_discovery", "app": "app_discovery",
    "infra": "infrastructure", "servers": "infrastructure", "sensitive": "sensitive_data",
}  # fmt: skip
#: The ids of all flows are made of this one, of their tenant and of their number.
_FLOWS = uuid.UUID("5f0e2d0c-8a55-4f0b-9c0f-6a3b1d7e4c21")
#: Where programs put the records they hand over.
_WRAPPERS = ("data", "records", "items", "results", "rows")


class Blocked(DiscoveryError):
    """Another flow of the tenant has not gone through its inventory yet. ``blocking`` has the flows that are in the way."""

    code = "BLOCKED"
    status = 409

    def __init__(self, blocking: Sequence[Mapping[str, Any]]) -> None:
        self.blocking = list(blocking)
        first = blocking[0]
        super().__init__(
            f"flow {first['flow_id']} ({first['flow_name']}) is {first['status']} in {first['current_phase']}",
            hint="finish it, or phasegate discovery cancel it, before the next import",
        )


@dataclass(frozen=True, slots=True)
class Created:
    """A flow that was begun: its id, its import's, and what was found on the way."""

    flow_id: str
    data_import_id: str
    details: Mapping[str, Any]


class Creating(Base):
    """The part that begins flows."""

    def create(
        self, file: str | Path, *, name: str = "", category: str = "cmdb_export",
        configuration: Mapping[str, Any] | None = None,
    ) -> Created:  # fmt: skip
        """Begin a flow that imports a file; it is ``initialized`` when this returns, and begins when a worker takes it.

        ``configuration`` may say ``mode`` (``direct`` or ``agent``) and ``analysis`` (whether dependencies and technical debt
        are looked at too). Raises ``InventoryError`` for a file that cannot be an inventory, and ``Blocked`` while another flow
        of the tenant is under way. Nothing is written then.
        """
        found = inspect(Path(file).resolve())
        kind, notes = _category(category)
        row: dict[str, Any] = {
            "import_name": name or found.path.name, "import_category": kind, "filename": found.path.name,
            "file_size": found.size, "file_sha256": found.sha256, "status": "processing",
            "inventory": dump(found.to_dict()), "headings": dump(list(found.headings)),
            "notes": dump([*found.notes, *notes]),
        }  # fmt: skip
        details = {"headings": list(found.headings), "format": found.format, "notes": [*found.notes, *notes]}
        return self._begin(new_id(), configuration, row, details)

    def create_from_records(
        self, file_data: Any, *, name: str = "import", category: str = "cmdb_export",
        configuration: Mapping[str, Any] | None = None,
    ) -> Created:  # fmt: skip
        """Begin a flow of records: a list of mappings, a mapping that has it under data, records, items, results or rows, or a
        single one. What is no mapping is counted and left out; no column is."""
        given = _records(file_data)
        records = [each for each in given if isinstance(each, Mapping)]
        if not records:
            raise InventoryError("there is no record in it", hint="give a list of objects")
        kind, notes = _category(category)
        left_out = [(number, each) for number, each in enumerate(given, 1) if not isinstance(each, Mapping)]
        flattener = Flattener()
        rows = [flattener.row({str(key): value for key, value in record.items()}) for record in records]
        headings = list(dict.fromkeys(name for each in rows for name in each))
        said = f"{len(left_out)} records are no objects, and were left out"
        row = {
            "import_name": name, "import_category": kind, "status": "processing", "total_records": len(given),
            "failed_records": len(left_out), "headings": dump(headings),
            "notes": dump([*notes, said] if left_out else notes),
        }  # fmt: skip
        details = {"records_stored": len(rows), "records_skipped": len(left_out), "headings": headings, "notes": notes}
        import_id = new_id()
        found = [(ADD_RAW, self._raw(import_id, rows)), (ADD_SKIPPED, self._skipped(import_id, left_out))]
        with arriving(import_id, found):
            return self._begin(import_id, configuration, row, details)

    def _raw(self, import_id: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        columns = {**self.tenant.columns, "data_import_id": import_id, "is_valid": True}
        return [
            {**columns, "row_number": number, "id": record_id(import_id, number), "raw_data": dump(values)}
            for number, values in enumerate(rows, 1)
        ]

    def _skipped(self, import_id: str, left_out: Sequence[tuple[int, Any]]) -> list[dict[str, Any]]:
        columns = {**self.tenant.columns, "data_import_id": import_id, "reason": "not a record"}
        return [
            {**columns, "place": place, "line": number, "sample": repr(each)[:SAMPLE_LIMIT]}
            for place, (number, each) in enumerate(left_out, 1)
        ]

    def blocking(self) -> list[dict[str, Any]]:
        """The flows that are in the way of another import, with what can be done about each."""
        rows = self.engine.read(BLOCKING, self.tenant.where)
        return [
            {
                "flow_id": row["flow_id"], "flow_name": row["flow_name"], "current_phase": row["current_phase"],
                "status": row["status"], "progress_percentage": row["progress_percentage"],
                "reason": "it has not gone through its inventory yet", "recommendations": ["continue", "cancel"],
            }
            for row in rows
        ]  # fmt: skip

    def _check_free(self) -> None:
        blocking = self.blocking()
        if blocking:
            raise Blocked(blocking)

    def _begin(
        self, import_id: str, configuration: Mapping[str, Any] | None, row: Mapping[str, Any], details: Mapping[str, Any]
    ) -> Created:  # fmt: skip
        """Start the run of a flow; its rows come into being in the same commit."""
        wanted = {**self.engine.registry.deps.flow_types.get(FLOW).default_configuration, **_checked(configuration)}
        given = {
            "data_import_id": import_id, **self.tenant.columns, "user_id": self.tenant.user_id,
            "flow_name": row["import_name"], "configuration": wanted, "import": row,
        }  # fmt: skip
        flow_id = self._started(given)
        return Created(flow_id, import_id, {**details, "status": "initialized", "name": row["import_name"]})

    def _started(self, given: Mapping[str, Any]) -> str:
        """Start a run for the tenant's next flow; the id of the flow.

        That nothing is in the way is looked up before the start, so another process may begin a flow in between. Therefore ids
        follow from how many flows there were before that was looked up: both then start the same flow, of which there is one
        run, and the engine gives the other one that. Who gets somebody else's run looks again.
        """
        number = self.engine.read(COUNT_FLOWS, self.tenant.where)[0]["n"]
        while True:
            self._check_free()
            flow_id = str(uuid.uuid5(_FLOWS, f"{self.tenant.name}/{number}"))
            with suppress(Purged):  # of a flow whose rows and whose run somebody has deleted
                run = self.engine.start(
                    FLOW, Subject("import", flow_id), tenant=self.tenant.name, input={**given, "flow_id": flow_id},
                    by=self.tenant.user_id,
                )  # fmt: skip
                if run.input["data_import_id"] == given["data_import_id"]:
                    return flow_id
            number += 1


def _checked(configuration: Mapping[str, Any] | None) -> dict[str, Any]:
    known = {"mode": ("direct", "agent"), "analysis": (True, False)}
    for name, value in (configuration or {}).items():
        if name not in known:
            hint = did_you_mean(name, known)
            raise DiscoveryError(f"there is no setting {name!r}", hint=hint or f"there are: {', '.join(known)}")
        if value not in known[name]:
            raise DiscoveryError(f"{name} is one of {', '.join(map(str, known[name]))}, not {value!r}")
    return dict(configuration or {})


def _category(name: str) -> tuple[str, list[str]]:
    plain = name.strip().lower()
    found = _CATEGORY_ALIASES.get(plain, plain)
    if found in CATEGORIES:
        return found, []
    return CATEGORIES[0], [f"{name!r} is no category: taken as {CATEGORIES[0]}"]


def _records(data: Any) -> list[Any]:
    if isinstance(data, Mapping):
        inner = next((data[key] for key in _WRAPPERS if isinstance(data.get(key), list)), None)
        return list(inner) if inner is not None else [data]
    return list(data) if isinstance(data, Sequence) and not isinstance(data, str | bytes) else []
