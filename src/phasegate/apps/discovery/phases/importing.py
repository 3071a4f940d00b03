"""Bring the rows of a file into the database, as they are, and measure them on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from phasegate import Context, Fatal, Outcome
from phasegate.apps.discovery.errors import InventoryError
from phasegate.apps.discovery.identifiers import record_id
from phasegate.apps.discovery.phases.common import PIECE, Place, dump, left, load, more, rows_after
from phasegate.apps.discovery.reading.records import Piece, Skipped
from phasegate.apps.discovery.rules.profile import columns_of, measure_columns
from phasegate.apps.discovery.rules.scan import Findings, scan_columns
from phasegate.apps.discovery.statements.common import news
from phasegate.apps.discovery.statements.imports import (
    ADD_PROFILE,
    ADD_RAW,
    ADD_SKIPPED,
    IMPORT,
    IMPORTED,
    PROCESSED,
)
from phasegate.apps.discovery.workshop import Workshop

#: Notes on a file that are kept; there may be one for every piece.
_NOTES = 50


def kickoff(context: Context) -> Outcome:
    """The flow runs from here on: what it is to work on is there. Raises ``Fatal`` when it is not."""
    place = Place.of(context)
    if not context.read(IMPORT, place.where):
        raise Fatal(f"there is no import {place.import_id} of this tenant")
    wanted = bool((context.input.get("configuration") or {}).get("analysis"))
    return Outcome("analysis" if wanted else "done", {"flow_id": place.flow_id})


def import_rows(context: Context) -> Any:
    """One piece of the file: its rows, what was skipped, what it looks like. Then the next one, or the summary.

    Raises ``Fatal`` when the file cannot be read any more, or when there was no row in it.
    """
    place, state = Place.of(context), left(context)
    (row,) = context.read(IMPORT, place.where)
    inventory = load(row["inventory"])
    if inventory is None:
        piece = _stored_piece(context, place, state)
    else:
        try:
            piece = _piece(context.deps, place, inventory, state.get("cursor"))
        except InventoryError as error:
            raise Fatal(f"{error}" + (f" ({error.hint})" if error.hint else "")) from None
    columns = columns_of(piece.rows)
    findings = scan_columns(columns, piece.numbers)
    if inventory is not None:
        _write_rows(context, place, piece, findings)
    _write_skipped(context, place, piece.skipped, state.get("skipped", 0))
    context.write(
        ADD_PROFILE,
        {
            **place.columns, "piece": state.get("piece", 0), "findings": dump(findings.to_dict()),
            "profile": dump(measure_columns(columns, len(piece.rows)).to_dict()),
        },
    )  # fmt: skip
    after = _after(row, piece, state, findings)
    if piece.cursor is not None:
        context.write(PROCESSED, {**place.where, **news(processed_records=after["rows"], updated_at=context.now())})
        return more(context, after, after["rows"], row["total_records"] or None, _share(inventory, piece.cursor))
    return _summary(context, place, after)


def _share(inventory: Mapping[str, Any] | None, cursor: Any) -> float | None:
    """How much of a file has been read, by its bytes; None of the kinds of which nobody can tell."""
    if inventory is None or "offset" not in cursor:
        return None
    read, size = int(cursor["offset"]), int(inventory["size"])
    return min(1.0, read / max(1, size))


def _piece(workshop: Workshop, place: Place, inventory: Mapping[str, Any], cursor: Any) -> Piece:
    reader = workshop.reader(place.import_id, inventory, cursor)
    try:
        piece = reader.piece(PIECE)
    except BaseException:
        reader.close()
        raise
    workshop.keep(place.import_id, piece.cursor, reader)
    return piece


def _stored_piece(context: Context, place: Place, state: Mapping[str, Any]) -> Piece:
    """A piece of an import that came as records: they are in the database already."""
    found = rows_after(context, place, state.get("cursor") or 0)
    last = found[-1]["row_number"] if len(found) == PIECE else None
    return Piece([load(each["raw_data"]) for each in found], [each["row_number"] for each in found], (), (), last)


def _write_rows(context: Context, place: Place, piece: Piece, findings: Findings) -> None:
    """The rows as they came; those in quarantine with the reasons, and not valid."""
    reasons: dict[int, list[str]] = {}
    for each in findings.malicious:
        reasons.setdefault(each.row, []).append(f"{each.field}: {each.reason}")
    for values, number in zip(piece.rows, piece.numbers, strict=True):
        why = reasons.get(number)
        context.write(
            ADD_RAW,
            {
                **place.columns, "row_number": number, "id": record_id(place.import_id, number), "raw_data": dump(values),
                "is_valid": why is None, "validation_errors": dump(why) if why else None,
            },
        )  # fmt: skip


def _write_skipped(context: Context, place: Place, skipped: Sequence[Skipped], before: int) -> None:
    for number, each in enumerate(skipped, before + 1):
        context.write(
            ADD_SKIPPED,
            {**place.columns, "place": number, "line": each.line, "reason": each.reason, "sample": each.sample},
        )


def _after(row: Mapping[str, Any], piece: Piece, state: Mapping[str, Any], findings: Findings) -> dict[str, Any]:
    known = state.get("headings") or load(row["headings"]) or []
    fresh = dict.fromkeys(name for values in piece.rows for name in values)
    notes = [*state.get("notes", load(row["notes"]) or []), *piece.notes]
    return {
        "cursor": piece.cursor,
        "piece": state.get("piece", 0) + 1,
        "rows": state.get("rows", 0) + len(piece.rows),
        "skipped": state.get("skipped", row["failed_records"]) + len(piece.skipped),
        "quarantined": state.get("quarantined", 0) + len(findings.quarantined),
        "headings": list(dict.fromkeys([*known, *fresh])),
        "notes": list(dict.fromkeys(notes))[:_NOTES],
    }


def _summary(context: Context, place: Place, after: Mapping[str, Any]) -> dict[str, Any]:
    rows, skipped = after["rows"], after["skipped"]
    if not rows:
        raise Fatal(f"there is no row in it that could be brought in; {skipped} were skipped")
    now = context.now()
    changes = news(
        status="completed", total_records=rows + skipped, processed_records=rows, failed_records=skipped,
        headings=dump(after["headings"]), notes=dump(after["notes"]), updated_at=now, completed_at=now,
    )  # fmt: skip
    context.write(IMPORTED, {**place.where, **changes})
    return {
        "records_stored": rows, "records_skipped": skipped, "records_quarantined": after["quarantined"],
        "headings": after["headings"], "notes": after["notes"],
    }  # fmt: skip
