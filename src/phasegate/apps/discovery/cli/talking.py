"""Deciding everything that a flow asks: by asking in the terminal, or by approving what would be asked."""

from __future__ import annotations

import typer

from phasegate.apps.discovery.cli import showing
from phasegate.apps.discovery.service import Discovery
from phasegate.cli import output
from phasegate.errors import PhasegateError

#: What is done with values that are too long when nobody is asked: nothing but their end is lost, and the row says so.
DECISION = "truncate"
#: What is done about a conflict when nobody is asked: what is there stays.
RESOLUTION = "keep_existing"


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
                output.write(showing.preview_table(found.preview(flow_id, limit=10)))
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
    open_ones = [each for each in found.mappings(flow_id) if each["status"] == "suggested"]
    output.write("", showing.mappings_table(open_ones))
    said = _asked("approve all, COLUMN=FIELD to change one, reject COLUMN, keep the rest, quit", "approve")
    if "=" in said:
        column, _, field = said.rpartition("=")  # a heading may have the sign in it, a field has not
        found.edit(flow_id, column.strip(), field.strip())
    elif said.startswith("reject "):
        found.reject(flow_id, [said.removeprefix("reject ").strip()])
    elif said in ("approve", "yes", "y"):
        told = found.approve(flow_id)
        output.write(*(f"{each['source_field']}: {each['error']}" for each in told["results"] if each["error"]))
        output.write(*told["problems"])
    elif said in ("keep", "keep the rest"):
        output.write(*found.keep_the_rest(flow_id)["problems"])
    else:
        _not_understood(said)


def _preview(found: Discovery, flow_id: str) -> None:
    output.write("", showing.preview_table(found.preview(flow_id, limit=20)))
    said = _asked("make all these assets: yes, no, quit", "yes")
    if said in ("yes", "y"):
        found.approve_assets(flow_id, "all")
    elif said in ("no", "n"):
        found.reject_assets(flow_id, comment=typer.prompt("Why not"))
    else:
        _not_understood(said)


def _conflicts(found: Discovery, flow_id: str) -> None:
    output.write("", showing.conflicts_table(found.conflicts(flow_id, pending=True)[:20]))
    said = _asked("for all of them: keep_existing, replace_with_new, quit", RESOLUTION)
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
