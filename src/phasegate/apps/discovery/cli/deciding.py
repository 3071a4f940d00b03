"""Commands by which a person decides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from phasegate.apps.discovery.cli.common import (
    By,
    Client,
    Engagement,
    FlowId,
    Stay,
    discovery,
    flow_of,
    go_on,
    who_of,
)
from phasegate.apps.discovery.conflicts import Resolution
from phasegate.apps.discovery.errors import FlowNotFound, InvalidFlowState
from phasegate.apps.discovery.service import Discovery
from phasegate.cli import naming
from phasegate.cli.session import Session
from phasegate.errors import InputError, did_you_mean

Seen = Annotated[str | None, typer.Option("--seen", metavar="SHA256", help="Which state was seen; status tells it.")]
Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]...", help="Columns of the mapping (without any, all), or ids of the preview."),
]
#: An example of what the options take that take JSON.
_EXAMPLES = {
    "--edits": '{"ID": {"memory_gb": 64}}',
    "--dependency": '{"name": "NAME", "dependency_type": "replica"}',
}


def approve(
    session: Session,
    names: Names = None,
    *,
    client: Client,
    engagement: Engagement,
    edits: Annotated[
        str | None, typer.Option("--edits", metavar="JSON|@FILE", help="Changes to assets: {id: {field: value}}.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Make all assets of the preview.")] = False,
    keep_rest: Annotated[
        bool, typer.Option("--keep-rest", help="Keep columns that no field is for as attributes of your own.")
    ] = False,
    seen: Seen = None,
    flow: FlowId = None,
    stay: Stay = False,
    by: By = "",
) -> None:
    """Approve what the flow waits for: the mapping of columns, or the assets that would be made.

    Assets are made by their ids, by what was seen, or with --all: an approval that was meant for the mapping makes none.
    """
    with discovery(session, client, engagement, by) as found:
        flow_id = flow_of(found, flow)
        waits = _waits(found, flow_id)
        if waits == "asset_preview":
            changes = _edits(edits)
            _check_meant(found, names, seen, everything=everything)
            told = found.approve_assets(flow_id, names or "all", edits=changes, seen=seen)
        else:
            if everything:
                raise InputError("--all is about the assets of a preview, and the flow waits for its mapping")
            with _nearest(found, flow_id, names):
                told = found.approve(flow_id, names, seen=seen)
            _refuse(names, told)
            if keep_rest and not told["complete"]:
                told = {**told, **found.keep_the_rest(flow_id)}
        _say_refused(session, told)
        go_on(session, found, flow_id, told, stay=stay, counted=True)


def reject(
    session: Session,
    names: Names = None,
    *,
    client: Client,
    engagement: Engagement,
    comment: Annotated[str, typer.Option("--comment", metavar="TEXT", help="Why not.")] = "",
    seen: Seen = None,
    flow: FlowId = None,
    stay: Stay = False,
    by: By = "",
) -> None:
    """Leave columns out of the inventory, or make no assets at all."""
    with discovery(session, client, engagement, by) as found:
        flow_id = flow_of(found, flow)
        if _waits(found, flow_id) == "asset_preview":
            if names:
                raise InputError(
                    "assets are rejected all together", hint="approve those that are to be made, by their ids"
                )
            told = found.reject_assets(flow_id, comment=comment, seen=seen)
        elif names:
            with _nearest(found, flow_id, names):
                told = found.reject(flow_id, names, note=comment, seen=seen)
        else:
            raise InputError("name the columns that are to be left out")
        go_on(session, found, flow_id, told, stay=stay)


def edit(
    session: Session,
    column: Annotated[str, typer.Argument(metavar="COLUMN", help="The column of the file.")],
    field: Annotated[str, typer.Argument(metavar="FIELD", help="The field of an asset, or custom_attributes.")],
    *,
    client: Client,
    engagement: Engagement,
    flow: FlowId = None,
    by: By = "",
) -> None:
    """Choose another field for a column."""
    with discovery(session, client, engagement, by) as found:
        flow_id = flow_of(found, flow)
        with _nearest(found, flow_id, [column]):
            told = found.edit(flow_id, column, field)
        go_on(session, found, flow_id, told, stay=True)


def decide_data(
    session: Session,
    *,
    client: Client,
    engagement: Engagement,
    decide: Annotated[
        list[str],
        typer.Option("--decide", metavar="COLUMN=WORD", help="split, truncate, skip or keep; again for each."),
    ],
    seen: Seen = None,
    flow: FlowId = None,
    stay: Stay = False,
    by: By = "",
) -> None:
    """Decide what becomes of values that are too long."""
    decisions = dict(_pair(each) for each in decide)
    with discovery(session, client, engagement, by) as found:
        flow_id = flow_of(found, flow)
        go_on(session, found, flow_id, found.decide_data(flow_id, decisions, seen=seen), stay=stay)


def resolve(
    session: Session,
    conflict: Annotated[str | None, typer.Argument(metavar="[CONFLICT]", help="Which conflict; or --all.")] = None,
    action: Annotated[str | None, typer.Argument(metavar="[ACTION]", help="What to do about it.")] = None,
    *,
    client: Client,
    engagement: Engagement,
    everything: Annotated[str | None, typer.Option("--all", metavar="ACTION", help="The same for all of them.")] = None,
    take: Annotated[
        list[str] | None, typer.Option("--take", metavar="FIELD", help="To merge: a field of the new data.")
    ] = None,
    dependency: Annotated[
        str | None,
        typer.Option("--dependency", metavar="JSON|@FILE", help="To create both: name, dependency_type, ..."),
    ] = None,
    flow: FlowId = None,
    stay: Stay = False,
    by: By = "",
) -> None:
    """Decide about rows that met an asset: keep_existing, replace_with_new, merge, create_both_with_dependency."""
    with discovery(session, client, engagement, by) as found:
        flow_id = flow_of(found, flow)
        if everything is not None:
            told = found.resolve_all(flow_id, everything)
        elif conflict is not None and action is not None:
            chosen = Resolution(conflict, action, dict.fromkeys(take or (), "new"), _object(dependency, "--dependency"))
            told = found.resolve(flow_id, [chosen])
        else:
            raise InputError("name a conflict and an action, or --all ACTION")
        if told["errors"] and not told["resolved_count"]:
            raise InputError(told["errors"][0]["error"])
        go_on(session, found, flow_id, told, stay=stay)


def _edits(text: str | None) -> dict[str, Any]:
    changes = _object(text, "--edits")
    if not all(isinstance(each, dict) for each in changes.values()):
        raise InputError("--edits is one JSON object of objects", hint=f"such as {_EXAMPLES['--edits']}")
    return changes


def _check_meant(found: Discovery, names: Sequence[str] | None, seen: str | None, *, everything: bool) -> None:
    """Raise ``InputError`` for an approval that does not say which assets it is about: it may be meant for the mapping."""
    if everything and names:
        raise InputError("name the assets that are to be made, or say --all")
    if not (names or seen or everything):
        who = who_of(found)
        raise InputError(
            "the flow waits for its assets to be approved: say which",
            hint=f"phasegate discovery preview {who} shows them; phasegate discovery approve {who} --all makes all of them",
        )


def _waits(found: Discovery, flow_id: str) -> str:
    waits = found.status(flow_id)["phase_state"].get("waits_for")
    if waits not in ("field_mapping", "asset_preview"):
        raise InvalidFlowState("the flow waits neither for its mapping nor for its assets to be approved")
    return str(waits)


@contextmanager
def _nearest(found: Discovery, flow_id: str, names: Sequence[str] | None) -> Iterator[None]:
    """Names the column that was most likely meant by one that there is not."""
    try:
        yield
    except FlowNotFound as error:
        rows = found.mappings(flow_id)
        known = {row[key] for row in rows for key in ("id", "source_field")}
        wrong = next((name for name in names or () if name not in known), None)
        if wrong is not None:
            error.hint = did_you_mean(wrong, [row["source_field"] for row in rows])
        raise


def _refuse(names: Sequence[str] | None, told: dict[str, Any]) -> None:
    """Raise ``InputError`` when columns were named, and none of them could be approved."""
    if names and not told["successful"]:
        raise InputError("; ".join(each["error"] for each in told["results"]))


def _say_refused(session: Session, told: dict[str, Any]) -> None:
    if session.json:
        return
    lines = [f"{each['source_field']}: {each['error']}" for each in told.get("results", ()) if each["error"]]
    session.answer(None, *lines, *told.get("problems", ()))


def _pair(text: str) -> tuple[str, str]:
    column, equals, word = text.rpartition("=")
    if not (column and equals and word):
        raise InputError(f"a decision is COLUMN=WORD, not {text!r}")
    return column, word


def _object(text: str | None, name: str) -> dict[str, Any]:
    try:
        found = naming.parse_answers(text)
    except InputError as error:  # which speaks of the option that most commands have
        hint = f"such as {name} '{_EXAMPLES[name]}'" if "--answers" in (error.hint or "") else error.hint
        raise InputError(str(error).replace("--answers", name), hint=hint) from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InputError(f"{name} is one JSON object")
    return found
