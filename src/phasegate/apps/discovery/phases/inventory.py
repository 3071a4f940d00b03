"""Make assets of the approved rows, and put to people those that meet assets which are there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from phasegate import Context, Fatal, Outcome
from phasegate.apps.discovery.asset_service import AssetService, Made, Result
from phasegate.apps.discovery.conflicts import Inventory, apply, snapshot
from phasegate.apps.discovery.identifiers import new_id
from phasegate.apps.discovery.phases.common import MADE_AT_ONCE, Place, dump, left, load, more
from phasegate.apps.discovery.rules.assembly import Assembled, assemble
from phasegate.apps.discovery.schema import CUSTOM
from phasegate.apps.discovery.statements.common import news
from phasegate.apps.discovery.statements.imports import COUNT_MADE, COUNT_ROWS, MADE, ROWS
from phasegate.apps.discovery.statements.inventory import (
    ADD_CONFLICT,
    ADD_DEPENDENCY,
    APPLIED,
    CONFLICTS,
    RESOLVE,
)

#: The outcome when rows met assets that are there already.
CONFLICTING = "conflicts"
#: The outcome when a choice could not be carried out: people are asked again about that conflict.
REOPENED = "reopened"
#: Failed rows whose reasons the summary has, and assets of one conflict that people are shown.
_MOST_ERRORS, _MOST_MATCHES = 100, 100
#: Under which a conflict's JSON has every asset that its row met, and why its choice could not be carried out.
_MATCHES, _PROBLEM = "matches", "problem"


@dataclass(frozen=True, slots=True)
class Approval:
    """What a person approved of the preview: everything, or the rows with these ids; and what the person changed."""

    everything: bool
    ids: frozenset[str] = frozenset()
    edits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, answers: Mapping[str, Any] | None) -> Approval:
        """The one in a decision's answers; nothing is approved by none."""
        given = answers or {}
        approved = given.get("approved", ())
        everything = approved == "all"
        return cls(everything, frozenset(() if everything else approved), given.get("edits") or {})

    def has(self, record_id: str) -> bool:
        """Whether the asset of this row is to be made."""
        return self.everything or record_id in self.ids


def create_assets(context: Context) -> Any:
    """The assets of one piece of the rows, in one transaction with the phase's completion; then the next piece."""
    place, state = Place.of(context), left(context)
    approval = Approval.of((context.inputs.get("asset_preview_approval") or {}).get("answers"))
    counts = Counter(state.get("counts", {}))
    errors = list(state.get("errors", []))
    last = make_piece(context.session, place, context.now(), approval, state.get("row", 0), counts, errors)
    if last is not None:
        total = state.get("total") or context.session.execute(COUNT_ROWS, place.where).scalar()
        return more(context, {"row": last, "counts": dict(counts), "errors": errors}, counts["rows"], total)
    named = {f"assets_{name}": counts[name] for name in ("created", "duplicates", "failed", "not_approved")}
    summary = {**named, "errors": errors}
    return Outcome(CONFLICTING, summary) if counts["duplicates"] else summary


def make_piece(
    session: Any, place: Place, now: datetime, approval: Approval, after: int, counts: Counter[str],
    errors: list[dict[str, Any]] | None = None,
) -> int | None:  # fmt: skip
    """Make the assets of the next rows; the last row's number, or None when there are no more.

    ``counts`` is added to, and so are ``errors``: the numbers of rows that failed, with the reasons, up to the most of them.
    """
    rows = session.execute(ROWS, {**place.where, "after": after, "most": MADE_AT_ONCE}).mappings().all()
    wanted = [row for row in rows if approval.has(row["id"]) and row["asset_id"] is None]
    assembled = [
        assemble(load(row["cleansed_data"]), row["row_number"], approval.edits.get(row["id"])) for row in wanted
    ]
    service = AssetService(session, place.tenant, now=now, flow_id=place.flow_id)
    data = [_values(row, asset) for row, asset in zip(wanted, assembled, strict=True)]
    results = service.create_many(data)
    _note(session, place, now, list(zip(wanted, data, results, strict=True)))
    counts.update(rows=len(rows), not_approved=len(rows) - len(wanted))
    if errors is not None:
        errors.extend(_errors(wanted, results)[: max(0, _MOST_ERRORS - len(errors))])
    for result in results:
        counts[{Made.CREATED: "created", Made.CONFLICT: "duplicates"}.get(result.outcome, "failed")] += 1
    return rows[-1]["row_number"] if len(rows) == MADE_AT_ONCE else None


def _errors(rows: Sequence[Mapping[str, Any]], results: Sequence[Result]) -> list[dict[str, Any]]:
    return [
        {"row_number": row["row_number"], "error": each.error}
        for row, each in zip(rows, results, strict=True)
        if each.outcome is Made.FAILED
    ]


def _values(row: Mapping[str, Any], asset: Assembled) -> dict[str, Any]:
    return {
        **asset.values, CUSTOM: asset.custom or None, "raw_data": load(row["raw_data"]),
        "classification_confidence": asset.kind.confidence, "classification_rule": asset.kind.rule,
        "raw_import_records_id": row["id"], "discovery_source": "import", "status": "discovered",
    }  # fmt: skip


def _note(
    session: Any, place: Place, now: datetime,
    made: Sequence[tuple[Mapping[str, Any], Mapping[str, Any], Result]],
) -> None:  # fmt: skip
    """Mark the rows that became assets, and write down those that met one. A row that failed stays as it is."""
    done = [(row, each.asset) for row, _, each in made if each.outcome is Made.CREATED and each.asset is not None]
    if done:
        session.execute(
            MADE,
            [{**place.where, "row": row["row_number"], "asset": asset["id"], "processed": True} for row, asset in done],
        )
    met = [_conflict(place, now, row, data, each) for row, data, each in made if each.outcome is Made.CONFLICT]
    if met:
        session.execute(ADD_CONFLICT, met)


def _conflict(
    place: Place, now: datetime, row: Mapping[str, Any], data: Mapping[str, Any], result: Result
) -> dict[str, Any]:
    match = result.matches[0]
    matches = [
        {"asset_id": each.asset["id"], "name": each.asset["name"], "conflict_type": each.kind, "conflict_key": each.key}
        for each in result.matches[:_MOST_MATCHES]
    ]
    return {
        "id": new_id(), **place.columns, "discovery_flow_id": place.flow_id, "row_number": row["row_number"],
        "conflict_type": match.kind, "conflict_key": match.key, "existing_asset_id": match.asset["id"],
        "existing_asset_snapshot": dump({**snapshot(match.asset), _MATCHES: matches}), "new_asset_data": dump(data),
        "resolution_status": "pending", "created_at": now,
    }  # fmt: skip


# --- conflicts that people have decided on ----------------------------------------------------------------------------


def conflict_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """A conflict's row with its JSON as values, with ``matches``, every asset that the row met, and with ``problem``: why the
    choice before could not be carried out, or None."""
    existing, dependency = load(row["existing_asset_snapshot"]), load(row["dependency"]) or {}
    pending = row["resolution_status"] == "pending"
    return {
        **row, _MATCHES: existing.pop(_MATCHES, []), "existing": existing, "new": load(row["new_asset_data"]),
        "selections": load(row["merge_field_selections"]) or {}, "dependency": {} if pending else dependency,
        _PROBLEM: dependency.get(_PROBLEM) if pending else None,
    }  # fmt: skip


def resolve_conflicts(context: Context) -> Any:
    """Carry out what was chosen for every conflict. What cannot be done is put to people again, with the reason; what was done
    stays done."""
    place, session = Place.of(context), context.session
    where = {**place.tenant.where, "flow_id": place.flow_id}
    service = AssetService(session, place.tenant, now=context.now(), flow_id=place.flow_id)
    counts: Counter[str] = Counter()
    reopened: list[dict[str, Any]] = []
    for row in session.execute(CONFLICTS, where).mappings().all():
        problem = None if row["applied"] else _carry_out(session, place, service, conflict_of(row))
        if problem is None:
            counts[row["resolution_action"]] += 1
        else:
            reopened.append({"conflict_id": row["id"], "row_number": row["row_number"], "error": problem})
    told = {"resolved": dict(counts)}
    return Outcome(REOPENED, {**told, "reopened": reopened[:_MOST_ERRORS]}) if reopened else told


def _carry_out(session: Any, place: Place, service: AssetService, conflict: Mapping[str, Any]) -> str | None:
    """Why the conflict is open still, or again; None when what was chosen is done."""
    where = place.tenant.where
    if conflict["resolution_status"] == "pending":
        return "nobody has decided on it"
    inventory = Inventory(lambda statement, given: session.execute(statement, given).mappings().all(), where)
    found = apply(service, conflict, inventory)
    if found.error:
        session.execute(RESOLVE, {**where, "conflict_id": conflict["id"], **_open_again(found.error)})
        return found.error
    if found.dependency:
        columns = {**place.tenant.columns, "master_flow_id": place.flow_id, "chosen": True}
        session.execute(ADD_DEPENDENCY, {**columns, **found.dependency})
    session.execute(MADE, {**place.where, "row": conflict["row_number"], "asset": found.asset_id, "processed": True})
    session.execute(APPLIED, {**where, "conflict_id": conflict["id"], **news(applied=True)})
    return None


def _open_again(problem: str) -> dict[str, Any]:
    """A conflict without a choice; the reason stands where the next choice will stand."""
    return news(
        resolution_status="pending", resolution_action=None, merge_field_selections=None, resolved_by=None,
        resolved_at=None, dependency=dump({_PROBLEM: problem}),
    )  # fmt: skip


def inventory_result(context: Context) -> dict[str, Any]:
    """What the inventory came to, counted in the database. Raises ``Fatal`` when no row became, or met, an asset."""
    place = Place.of(context)
    counted = context.inputs["asset_inventory"]
    there = context.read(COUNT_MADE, place.where)[0]["n"]
    expected = counted["assets_created"] + counted["assets_duplicates"]
    if there != expected:
        raise Fatal(f"{expected} rows should belong to assets, and {there} do")
    if not there:
        raise Fatal("no row became an asset: nothing was approved, or every row failed")
    return {**counted, "assets_total": there, "message": f"{counted['assets_created']} assets created"}
