"""Show what assets would be made, before they are made."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from phasegate import Context, Fatal
from phasegate.apps.discovery.errors import CleansingRequired
from phasegate.apps.discovery.phases.common import PIECE, Place, dump, left, load, more, rows_after
from phasegate.apps.discovery.rules.assembly import Assembled, assemble
from phasegate.apps.discovery.rules.scan import Reason
from phasegate.apps.discovery.statements.imports import COUNT_CLEANSED, COUNT_ROWS

#: Assets that the output of the phase has in full; the others are assembled when somebody looks at them.
SHOWN = 20


def check_cleansed(read: Any, where: Mapping[str, Any]) -> int:
    """How many rows there are, all of them cleansed. Raises ``CleansingRequired`` when they are not."""
    rows, cleansed = (read(statement, where)[0]["n"] for statement in (COUNT_ROWS, COUNT_CLEANSED))
    if not rows or cleansed != rows:
        raise CleansingRequired(
            f"CLEANSING_REQUIRED: {cleansed} of {rows} rows are cleansed", hint="run data_cleansing first"
        )
    return int(rows)


def preview_assets(context: Context) -> Any:
    """One piece of the rows, assembled; then the next, or what all of them come to.

    The output has a digest of every asset, so that an approval is bound to exactly what would be made.
    """
    place, state = Place.of(context), left(context)
    if not state:
        try:
            state = {"total": check_cleansed(context.read, place.where)}
        except CleansingRequired as error:
            raise Fatal(f"{error} ({error.hint})") from None
    rows = rows_after(context, place, state.get("row", 0))
    found = [(row, assemble(load(row["cleansed_data"]), row["row_number"])) for row in rows]
    after = _after(state, found)
    if len(rows) == PIECE:
        return more(context, after, after["count"], after["total"])
    return {
        "preview_count": after["count"], "preview_ready": True, "sha256": after["digest"], "by_type": after["types"],
        "warnings": after["warnings"], "assets_preview": after["shown"], "generated_at": context.now().isoformat(),
    }  # fmt: skip


def _after(state: Mapping[str, Any], found: list[tuple[Mapping[str, Any], Assembled]]) -> dict[str, Any]:
    digest = hashlib.sha256(state.get("digest", "").encode())
    types = Counter(state.get("types", {}))
    warnings = state.get("warnings", 0)
    shown = list(state.get("shown", []))
    for row, asset in found:
        digest.update(dump([row["id"], asset.values, asset.custom]).encode())
        types[asset.kind.asset_type] += 1
        warnings += len(_warnings(row, asset))
        if len(shown) < SHOWN:
            shown.append(described(row, asset))
    return {
        "row": found[-1][0]["row_number"] if found else state.get("row", 0), "total": state["total"],
        "count": state.get("count", 0) + len(found), "digest": digest.hexdigest(), "types": dict(types),
        "warnings": warnings, "shown": shown,
    }  # fmt: skip


def described(row: Mapping[str, Any], asset: Assembled) -> dict[str, Any]:
    """An asset that would be made, as JSON; its id is that of its row, however often the preview is made."""
    return {
        "id": row["id"], "row_number": row["row_number"], **asset.values, "custom_attributes": asset.custom,
        "classification": {"confidence": asset.kind.confidence, "rule": asset.kind.rule},
        "warnings": _warnings(row, asset),
    }  # fmt: skip


def _warnings(row: Mapping[str, Any], asset: Assembled) -> list[str]:
    """What its row says of itself, first why it is in quarantine, and what was unclear about the asset's values."""
    said = load(row["validation_errors"]) or []
    if not row["is_valid"]:
        said = [f"in quarantine, malicious content: {each}" if _is_malicious(each) else each for each in said]
    return [*said, *(f"{each.field}: {each.message}" for each in asset.doubts)]


def _is_malicious(said: str) -> bool:
    return said.rpartition(": ")[2] in list(Reason)
