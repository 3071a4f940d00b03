"""Deciding about the assets: the preview, the conflicts; and looking at the inventory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from phasegate.apps.discovery.asset_service import key_of
from phasegate.apps.discovery.asset_service import read as read_asset
from phasegate.apps.discovery.conflicts import Action, Inventory, Resolution, obstacle, problem_with
from phasegate.apps.discovery.errors import FlowNotFound, ValidationFailed
from phasegate.apps.discovery.identifiers import as_id, record_id, row_of
from phasegate.apps.discovery.phases.common import PIECE, dump, load
from phasegate.apps.discovery.phases.inventory import conflict_of
from phasegate.apps.discovery.phases.previewing import check_cleansed, described
from phasegate.apps.discovery.projection import PREVIEWED_AGAIN
from phasegate.apps.discovery.rules.assembly import assemble
from phasegate.apps.discovery.rules.conversion import convert
from phasegate.apps.discovery.schema import ASSET_FIELDS, FIELDS
from phasegate.apps.discovery.service.base import Base, Entry, Flow
from phasegate.apps.discovery.spreadsheets import write_csv
from phasegate.apps.discovery.statements.common import news
from phasegate.apps.discovery.statements.imports import ROWS
from phasegate.apps.discovery.statements.inventory import (
    ASSET,
    ASSETS,
    BY_TYPE,
    CONFLICTS,
    DEBTS,
    DEPENDENCIES,
    RESOLVE,
)
from phasegate.errors import InputError, did_you_mean

#: Ids that one approval may name.
MOST = 1_000
#: Characters of a value in a message.
_SHOWN = 60


class Inventories(Base):
    """The part in which assets are approved, told apart and looked at."""

    # --- the preview ---

    def preview(self, flow_id: str, *, after: int = 0, limit: int = 100) -> list[dict[str, Any]]:
        """Assets as they would be made of the rows behind one, with their ids, types, and what was unclear.

        Raises ``CleansingRequired`` while rows are not cleansed.
        """
        found = self.flow(flow_id)
        where = {**self.tenant.where, "import_id": found.import_id}
        check_cleansed(self.engine.read, where)
        rows = self.engine.read(ROWS, {**where, "after": after, "most": limit})
        return [described(row, assemble(load(row["cleansed_data"]), row["row_number"])) for row in rows]

    def approve_assets(
        self, flow_id: str, approved: Collection[str] | str, *, edits: Mapping[str, Mapping[str, Any]] | None = None,
        seen: str | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Have assets made: ``"all"``, or those of the rows with these ids, with ``edits`` to their fields.

        ``seen`` is the digest of the preview that was looked at (``status`` tells it). Raises ``Stale`` when the preview is
        another one by now, ``ValidationFailed`` with everything that is wrong about ids and edits; nothing is stored then.
        """
        with self.audited(
            "approve_assets", flow_id, approved=approved if approved == "all" else len(approved)
        ) as entry:
            found = self.flow(flow_id)
            if "asset_inventory" in found.standing.completed:
                return {"flow_id": found.id, "status": "assets_already_created"}
            self._waiting(self._live(found), "asset_preview")
            edits = {str(key): changes for key, changes in (edits or {}).items()}
            ids = "all" if approved == "all" else list(dict.fromkeys(str(each) for each in approved))
            problems = [*self._wrong_ids(found, ids, edits), *_wrong_edits(edits)]
            if problems:
                raise ValidationFailed(problems)
            self.engine.decide(
                found.run.id, "asset_preview_approval", "approved", by=self.tenant.user_id,
                seen=seen or found.standing.shown, answers={"approved": ids, "edits": edits}, tenant=self.tenant.name,
                writes=[self._noted(entry)],
            )  # fmt: skip
            return {"flow_id": found.id, "approved": ids if ids == "all" else len(ids), "edited": len(edits)}

    def reject_assets(self, flow_id: str, *, comment: str = "", seen: str | None = None) -> dict[str, Any]:
        """Have no assets made: the flow ends as failed."""
        with self.audited("reject_assets", flow_id, comment=comment) as entry:
            found = self.waiting_flow(flow_id, "asset_preview")
            self.engine.decide(
                found.run.id, "asset_preview_approval", "rejected", by=self.tenant.user_id,
                seen=seen or found.standing.shown, comment=comment, tenant=self.tenant.name,
                writes=[self._noted(entry)],
            )  # fmt: skip
            return {"flow_id": found.id, "status": "rejected"}

    def preview_again(self, flow_id: str) -> dict[str, Any]:
        """Make the preview anew; approvals of the one before are void."""
        with self.audited("preview_again", flow_id) as entry:
            found = self.waiting_flow(flow_id, "asset_preview")
            self.engine.reset(
                found.run.id, "asset_preview", by=self.tenant.user_id, reason=PREVIEWED_AGAIN, tenant=self.tenant.name
            )
            entry.written = True
            return {"flow_id": found.id, "status": "running"}

    def _wrong_ids(self, found: Flow, ids: Sequence[str] | str, edits: Mapping[str, Any]) -> Iterator[str]:
        if ids != "all" and not 1 <= len(ids) <= MOST:
            yield f"1 to {MOST} ids can be approved at once, or all; these are {len(ids)}"
        named = dict.fromkeys([*(() if ids == "all" else ids), *edits])
        for each in named:
            if not self._is_row(found, each):
                yield f"{each!r} is no asset of this preview"
        if ids != "all":
            yield from (f"{each!r} is edited and not approved" for each in edits if each not in ids)

    def _is_row(self, found: Flow, record: str) -> bool:
        try:
            number = row_of(as_id(record))
        except InputError:
            return False
        if record != record_id(found.import_id, number):
            return False
        where = {**self.tenant.where, "import_id": found.import_id}
        rows = self.engine.read(ROWS, {**where, "after": number - 1, "most": 1})
        return bool(rows) and rows[0]["row_number"] == number

    # --- conflicts ---

    def conflicts(self, flow_id: str, *, pending: bool = False) -> list[dict[str, Any]]:
        """Rows that met an asset, with both; only those that nobody has decided on with ``pending``.

        ``matches`` has every asset that the row met, the surest first, which is ``existing``; ``problem`` says why the choice
        before could not be carried out.
        """
        found = self.flow(flow_id)
        rows = self.engine.read(CONFLICTS, {**self.tenant.where, "flow_id": found.id})
        names = (
            "id", "row_number", "conflict_type", "conflict_key", "existing_asset_id", "resolution_status",
            "resolution_action", "resolved_by", "resolved_at", "matches", "problem",
        )  # fmt: skip
        shown = [conflict_of(row) for row in rows if not pending or row["resolution_status"] == "pending"]
        return [
            {name: row[name] for name in names}
            | {"existing": row["existing"], "new": {k: v for k, v in row["new"].items() if k != "raw_data"}}
            for row in shown
        ]

    def resolve(self, flow_id: str, resolutions: Sequence[Resolution]) -> dict[str, Any]:
        """Decide about conflicts; what cannot be done is told, the rest is kept. When none is open, the flow goes on.

        Raises ``InvalidFlowState`` when the flow does not wait for it.
        """
        with self.audited("resolve_conflicts", flow_id, conflicts=len(resolutions)) as entry:
            found = self.waiting_flow(flow_id, "conflict_resolution")
            rows = self.engine.read(CONFLICTS, {**self.tenant.where, "flow_id": found.id})
            known = {row["id"]: conflict_of(row) for row in rows}
            errors = self._errors(resolutions, known)
            fit = [each for each in resolutions if each.conflict_id not in errors]
            writes = [(RESOLVE, self._resolved(each)) for each in fit]
            left = self._left_open(found, writes, {each.conflict_id for each in fit}, entry)
            told = [{"conflict_id": each, "error": error} for each, error in errors.items()]
            return {"resolved_count": len(fit), "total_requested": len(resolutions), "errors": told, "pending": left}

    def settle(self, found: Flow, entry: Entry | None = None) -> Mapping[str, Any]:
        """Open the gate when every conflict is decided on."""
        if found.standing.waits_for != "conflict_resolution":
            return super().settle(found, entry)
        return {"complete": not self._left_open(found, [], (), entry)}

    def _left_open(
        self, found: Flow, writes: Sequence[Any], decided: Collection[str], entry: Entry | None = None
    ) -> int:
        """Write what was decided and note it, in one commit with the gate's decision when nothing is left; how many are left."""
        rows = self.engine.read(CONFLICTS, {**self.tenant.where, "flow_id": found.id})
        left = [each for each in rows if each["resolution_status"] == "pending" and each["id"] not in decided]
        if not left:
            self.engine.decide(
                found.run.id, "asset_conflicts", "resolved", by=self.tenant.user_id, seen=found.standing.shown,
                tenant=self.tenant.name, writes=[*writes, *self._notes(entry)],
            )  # fmt: skip
            return 0
        if writes:
            self.engine.write([*writes, *self._notes(entry)])
            return self._left_open(found, [], ())  # somebody else may have decided on the rest meanwhile
        return len(left)

    def resolve_all(self, flow_id: str, action: str) -> dict[str, Any]:
        """Decide about every open conflict in the same way."""
        return self.resolve(flow_id, [Resolution(each["id"], action) for each in self.conflicts(flow_id, pending=True)])

    def _errors(self, resolutions: Sequence[Resolution], known: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
        """What cannot be done, by conflict. A new name is given once in a flow, whoever has chosen it."""
        errors: dict[str, str] = {}
        promised = {
            each["id"]: key_of(each["dependency"]["name"].strip())
            for each in known.values()
            if each["resolution_action"] == Action.CREATE_BOTH
        }
        for each in resolutions:
            error = self._wrong(each, known)
            promised.pop(each.conflict_id, None)
            if error is None and each.action == Action.CREATE_BOTH:
                name = each.dependency["name"].strip()
                if key_of(name) in promised.values():
                    error = f"{name!r} was chosen for another conflict of the flow already"
                else:
                    promised[each.conflict_id] = key_of(name)
            if error is not None:
                errors[each.conflict_id] = error
        return errors

    def _wrong(self, resolution: Resolution, known: Mapping[str, Mapping[str, Any]]) -> str | None:
        conflict = known.get(resolution.conflict_id)
        if conflict is None:
            return "there is no such conflict in this flow"
        if conflict["applied"]:
            return "what was chosen for it has been done already"
        inventory = Inventory(self.engine.read, self.tenant.where)
        return problem_with(resolution, conflict) or obstacle(resolution, conflict, inventory)

    def _resolved(self, each: Resolution) -> dict[str, Any]:
        return {
            **self.tenant.where, "conflict_id": each.conflict_id,
            **news(
                resolution_status="resolved", resolution_action=str(each.action), resolved_by=self.tenant.user_id,
                merge_field_selections=dump(dict(each.selections)), dependency=dump(dict(each.dependency)),
                resolved_at=self.now(),
            ),
        }  # fmt: skip

    # --- the inventory ---

    def assets(self, *, asset_type: str | None = None, limit: int = 100, offset: int = 0) -> list[dict[str, Any]]:
        """The tenant's assets by name."""
        given = {"asset_type": asset_type, "most": limit, "skip": offset}
        return [read_asset(row) for row in self.engine.read(ASSETS, {**self.tenant.where, **given})]

    def asset(self, asset_id: str) -> dict[str, Any]:
        """One asset. Raises ``FlowNotFound``."""
        rows = self.engine.read(ASSET, {**self.tenant.where, "asset_id": asset_id})
        if not rows:
            raise FlowNotFound(f"there is no asset {asset_id}")
        return read_asset(rows[0])

    def assets_by_type(self) -> dict[str, int]:
        """How many assets there are of each type."""
        return {row["asset_type"]: row["n"] for row in self.engine.read(BY_TYPE, self.tenant.where)}

    def dependencies(self) -> list[Mapping[str, Any]]:
        """What depends on what."""
        return self.engine.read(DEPENDENCIES, self.tenant.where)

    def debts(self) -> list[Mapping[str, Any]]:
        """The technical debt that was found."""
        return self.engine.read(DEBTS, self.tenant.where)

    def export(self, file: str | Path) -> int:
        """Write every asset into a CSV file that is safe to open in a spreadsheet; how many there are.

        Attributes of one's own become columns of their own. Raises ``InputError`` when the file cannot be written.
        """
        custom = sorted({name for asset in self._all_assets() for name in asset["custom_attributes"] or {}})
        headings = [each.name for each in ASSET_FIELDS]
        further = [name if name not in FIELDS else f"{name} (own)" for name in custom]
        return write_csv(
            Path(file), [*headings, *further], (_flat(asset, custom, further) for asset in self._all_assets())
        )

    def _all_assets(self) -> Iterator[dict[str, Any]]:
        offset = 0
        while found := self.assets(limit=PIECE, offset=offset):
            yield from found
            offset += len(found)


def _flat(asset: Mapping[str, Any], custom: Sequence[str], headings: Sequence[str]) -> dict[str, Any]:
    own = asset["custom_attributes"] or {}
    row = {each.name: asset[each.name] for each in ASSET_FIELDS}
    row["asset_tags"] = "; ".join(map(str, row["asset_tags"])) if row["asset_tags"] else None
    return row | {heading: own.get(name) for heading, name in zip(headings, custom, strict=True)}


def _wrong_edits(edits: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for record, changes in edits.items():
        if not isinstance(changes, Mapping):
            yield f"{_row(record)}: changes are an object of fields and values"
            continue
        for name, value in changes.items():
            if name not in FIELDS:
                hint = did_you_mean(name, FIELDS)
                yield f"{_row(record)}: an asset has no field {name!r}" + (f" ({hint})" if hint else "")
            else:
                yield from (f"{_row(record)}: {problem}" for problem in _wrong_value(name, value))


def _wrong_value(name: str, value: Any) -> Iterator[str]:
    """What is doubtful about a value that a person gives. In a file it costs the value alone; here somebody can be asked."""
    if isinstance(value, Mapping):
        yield f"{name}: an object is no value of a field"
        return
    shown = ascii(value)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
    for doubt in convert({name: value})[1]:
        yield f"{name} cannot be {shown}: {doubt.message.removesuffix(': left out')}"


def _row(record: str) -> str:
    """What a row is called in messages: by its number, or by its id when that is none."""
    try:
        return f"row {row_of(as_id(record))}"
    except InputError:
        return record
