"""Deciding everything that a flow asks: by asking in the terminal, or by approving what would be asked."""

from __future__ import annotations

import typer

from phasegate.apps.discovery.cli import showing
from phasegate.apps.discovery.cli.common import outputs_of, part, who_of
from phasegate.apps.discovery.service import Discovery
from phasegate.cli import output
from phasegate.errors import PhasegateError

#: What is done with values that are too long when nobody is asked: nothing but their end is lost, and the row says so.
DECISION = "truncate"
#: What is done about a conflict when nobody is asked: what is there stays.
RESOLUTION = "keep_existing"
#: Rows that are shown before a question about all of them.
SHOWN = 20


def waits_for(found: Discovery, flow_id: str) -> str | None:
    """What a person has to decide next."""
    waits: str | None = found.status(flow_id)["phase_state"].get("waits_for")
    return waits


def approve_everything(found: Discovery, flow_id: str, *, quiet: bool) -> None:
    """Approve mappings, keep columns that no field is for, cut what is too long, make every asset, keep what is there."""
    while (waits := waits_for(found, flow_id)) is not None:
        if waits == "field_mapping":
            found.approve(flow_id)
            if waits_for(found, flow_id) == waits:
                left = found.keep_the_rest(flow_id)
                if not left["complete"]:
                    return  # a person has to choose: what is missing is told by the report
        elif waits == "asset_preview":
            if not quiet:
                _show_preview(found, flow_id, 10)
            found.approve_assets(flow_id, "all")
        elif waits == "conflict_resolution":
            found.resolve_all(flow_id, RESOLUTION)
        else:
            found.decide_data(flow_id, {each["field"]: DECISION for each in found.open_questions(flow_id)})
        found.work()


def until_done(found: Discovery, flow_id: str) -> None:
    """Ask for every decision, and go on after each; stops when nothing waits, or the person wants to."""
    ask = {
        "field_mapping": _mapping, "asset_preview": _preview, "conflict_resolution": _conflicts,
        "data_validation": _data, "cleansing_decisions": _data,
    }  # fmt: skip
    while (waits := waits_for(found, flow_id)) is not None:
        try:
            ask[waits](found, flow_id)
        except PhasegateError as error:  # what was typed does not fit: it is asked again
            output.write(str(error), *([error.hint] if error.hint else []))
        found.work()


def _mapping(found: Discovery, flow_id: str) -> None:
    proposal = found.proposal(flow_id)
    open_ones = [each for each in proposal["mappings"] if each["status"] == "suggested"]
    output.write("", showing.mappings_table(open_ones))
    said = _asked("approve all, COLUMN=FIELD to change one, reject COLUMN, keep the rest, quit", "approve")
    if "=" in said:
        column, _, field = said.rpartition("=")  # a heading may have the sign in it, a field has not
        found.edit(flow_id, column.strip(), field.strip())
    elif said.startswith("reject "):
        found.reject(flow_id, [said.removeprefix("reject ").strip()])
    elif said in ("approve", "yes", "y"):
        told = found.approve(flow_id, seen=proposal["seen"])
        output.write(*(f"{each['source_field']}: {each['error']}" for each in told["results"] if each["error"]))
        output.write(*told["problems"])
    elif said in ("keep", "keep the rest"):
        output.write(*found.keep_the_rest(flow_id)["problems"])
    else:
        _not_understood(said)


def _preview(found: Discovery, flow_id: str) -> None:
    output.write("")
    seen = found.status(flow_id)["phase_state"].get("seen")
    total = _show_preview(found, flow_id, SHOWN)
    said = _asked(f"make all {total:,} assets: yes, no, quit", "yes")
    if said in ("yes", "y"):
        found.approve_assets(flow_id, "all", seen=seen)
    elif said in ("no", "n"):
        found.reject_assets(flow_id, comment=typer.prompt("Why not"))
    else:
        _not_understood(said)


def _show_preview(found: Discovery, flow_id: str, most: int) -> int:
    """Show the first assets that would be made, and say how many there are."""
    rows = found.preview(flow_id, limit=most)
    total: int = outputs_of(found, flow_id)["asset_preview"]["preview_count"]
    how = f"phasegate discovery preview {who_of(found)} --limit N"
    output.write(showing.preview_table(rows), *part(len(rows), total, how))
    return total


def _conflicts(found: Discovery, flow_id: str) -> None:
    rows = found.conflicts(flow_id, pending=True)
    how = f"phasegate discovery conflicts {who_of(found)}"
    output.write("", showing.conflicts_table(rows[:SHOWN]), *part(len(rows[:SHOWN]), len(rows), how))
    said = _asked(f"for all {len(rows):,} of them: keep_existing, replace_with_new, quit", RESOLUTION)
    told = found.resolve_all(flow_id, said)
    output.write(*dict.fromkeys(each["error"] for each in told["errors"]))


def _data(found: Discovery, flow_id: str) -> None:
    decisions = {}
    for each in found.open_questions(flow_id):
        said = f"{each['field']}: {each['affected']} values are longer than {each['limit']}, up to {each['longest']}"
        output.write(said)
        decisions[each["field"]] = _asked("split, truncate, skip, keep, quit", DECISION)
    found.decide_data(flow_id, decisions)


def _not_understood(said: str) -> None:
    output.write(f"{said!r} is none of the answers")


def _asked(choices: str, default: str) -> str:
    said = str(typer.prompt(f"[{choices}]", default=default)).strip()
    if said.lower() in ("q", "quit"):
        raise typer.Exit(0)
    return said
