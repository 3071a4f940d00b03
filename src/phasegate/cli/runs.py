"""Commands that look: which runs there are, one run in full, why it is not moving, what happened, how far it is."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phasegate.cli import naming, views
from phasegate.cli.output import Table, plain, words
from phasegate.cli.session import Session
from phasegate.core.run import PhaseRun, Run, RunStatus, Scope

if TYPE_CHECKING:
    from phasegate.engine import Engine

RunName = Annotated[
    str,
    typer.Argument(metavar="RUN", help="The id of a run, its beginning, or a subject kind:id for its latest run."),
]


def runs(
    session: Session,
    flow: Annotated[str | None, typer.Option("--flow", metavar="NAME", help="Only runs of this flow.")] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", metavar="KIND:ID", help="Only runs of this subject.")
    ] = None,
    status: Annotated[
        list[RunStatus] | None, typer.Option("--status", help="Only runs that stand so; repeatable.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 50,
) -> None:
    """List runs, newest first."""
    chosen = naming.parse_subject(subject) if subject else None
    with session.engine() as engine:
        if flow is not None:
            naming.find_flow(engine, flow)
        found = engine.find(flow, subject=chosen, status=status or None, limit=limit + 1)
        gone = naming.purged(engine, chosen) if chosen and not (found or flow or status) else None
    more, found = len(found) > limit, found[:limit]
    rows = [(run.id, f"{run.flow} {run.version}", run.subject, run.status, run.updated_at, run.reason) for run in found]
    table = Table(("run", "flow", "subject", "status", "since", "reason"), rows)
    notes = [f"No runs: {gone}." if gone else "No runs."] * (not found) + [
        f"More than {limit}: see them with --limit."
    ] * more
    session.answer({"runs": [views.run_data(run) for run in found], "more": more}, *([table] * bool(found)), *notes)


def show(
    session: Session,
    run: RunName,
    outputs: Annotated[bool, typer.Option("--outputs", help="Also what the phases returned.")] = False,
    history: Annotated[bool, typer.Option("--history", help="Also every fact.")] = False,
) -> None:
    """Show a run: its phases, its attempts, and the gates that wait with what they show."""
    with session.engine() as engine:
        found = naming.find_run(engine, run)
        data = _whole(engine, found)
    parts: list[str | Table] = [*_heading(found), _phase_table(data["phases"]), "", _attempt_table(data["attempts"])]
    for gate in data["gates"]:
        parts += _gate_lines(found, gate)
    for question in data["questions"]:
        parts += _question_lines(found, question)
    entries, values = data.pop("history"), data.pop("outputs")
    if outputs:
        data["outputs"] = values
        parts += [line for name, value in values.items() for line in _value_lines(f"output of {name}", value)]
    if history:
        data["history"] = [views.entry_data(entry) for entry in entries]
        parts += ["", _history_table(data["history"])]
    session.answer(data, *parts)


def _whole(engine: Engine, run: Run) -> dict[str, Any]:
    flow = naming.definition(engine, run)
    values, entries = engine.outputs(run.id), engine.history(run.id)
    instances = views.phases(flow, run)
    return {
        "run": views.run_data(run),
        "phases": instances,
        "attempts": views.attempts(entries),
        "gates": views.open_gates(flow, run, values),
        "questions": views.questions(instances),
        "outputs": values,
        "history": entries,
    }


def why(session: Session, run: RunName) -> None:
    """Say why a run is not moving."""
    with session.engine() as engine:
        found = naming.find_run(engine, run)
        reasons = engine.why(found.id)
    said = [
        line for reason in reasons for line in (reason.text, f"  hint: {reason.hint}" if reason.hint else "") if line
    ]
    said = said or [f"Nothing holds it: it is {found.status.value}."]
    session.answer({"run": views.run_data(found), "reasons": reasons}, _title(found), *said)


def history(session: Session, run: RunName) -> None:
    """List every fact of a run, in order."""
    with session.engine() as engine:
        found = naming.find_run(engine, run)
        facts = [views.entry_data(entry) for entry in engine.history(found.id)]
    session.answer({"run": views.run_data(found), "history": facts}, _title(found), _history_table(facts))


def progress(session: Session, run: RunName) -> None:
    """Say how many of a run's phases are done."""
    with session.engine() as engine:
        found = naming.find_run(engine, run)
        how_far = engine.progress(found.id)
    share = how_far.done / how_far.total if how_far.total else 1.0
    filled = int(share * 30)
    bar = "#" * filled + "-" * (30 - filled)
    counts = ", ".join(f"{count} {status.value}" for status, count in how_far.statuses.items() if count)
    session.answer(how_far, _title(found), f"[{bar}] {how_far.done} of {how_far.total} phases done: {counts}")


# --- what people see ------------------------------------------------------------------------------------------------


def _title(run: Run) -> str:
    return f"run {run.id}  {run.subject}  {run.flow} {run.version}  {run.status.value}"


def _heading(run: Run) -> list[str]:
    by = f" by {run.started_by}" if run.started_by else ""
    lines = [_title(run), f"started {words(run.created_at)}{by}, last changed {words(run.updated_at)}"]
    if run.reason:
        lines.append(f"reason: {run.reason}")
    if run.aim is not None:
        lines.append(f"aims only at: {', '.join(sorted(run.aim)) or 'nothing'}")
    return [*lines, ""]


def _place(scope: Scope) -> str:
    return "/".join(scope)


def _phase_table(instances: list[PhaseRun]) -> Table:
    rows = [
        (i.phase, _place(i.scope), i.status, i.outcome, i.attempt or None, i.since, i.due_at, i.reason)
        for i in instances
    ]
    return Table(("phase", "scope", "status", "outcome", "attempts", "since", "due", "reason"), rows)


def _attempt_table(attempts: list[views.AttemptView]) -> Table:
    rows = [
        (a.phase, _place(a.scope), a.attempt, a.status, a.outcome, a.started_at, a.finished_at,
         ": ".join(filter(None, (a.error, a.message))))
        for a in attempts
    ]  # fmt: skip
    columns = ("phase", "scope", "attempt", "status", "outcome", "started", "finished", "message")
    return Table(columns, rows, title="attempts")


def _history_table(facts: list[dict[str, Any]]) -> Table:
    told = ("seq", "kind", "at", "phase", "scope")
    rows = [
        (f["seq"], f["at"], f["kind"], f.get("phase"), _place(f.get("scope", ())),
         " ".join(f"{name}={_brief(value)}" for name, value in f.items() if name not in told and value not in (None, "", ())))
        for f in facts
    ]  # fmt: skip
    return Table(("seq", "at", "fact", "phase", "scope", "details"), rows, title="history")


def _brief(value: Any) -> str:
    text = words(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _value_lines(title: str, value: Any) -> list[str]:
    body = json.dumps(plain(value), indent=2, ensure_ascii=False)
    return ["", f"{title}:", *(f"  {line}" for line in body.splitlines())]


def _gate_lines(run: Run, gate: views.GateView) -> list[str]:
    """A gate that waits, what it shows, and the command that answers it."""
    name = " ".join(filter(None, (gate.label, gate.phase, _place(gate.scope), gate.title)))
    who = [*gate.users, *(f"role {role}" for role in gate.roles)]
    lines = ["", f"gate {name} waits for {', '.join(who) or 'anybody'}: {' | '.join(gate.outcomes)}"]
    if gate.quorum > 1:
        lines.append(f"  needs {gate.quorum} equal answers")
    lines += [f"  {vote.by} answered {vote.outcome} {words(vote.at)}".rstrip() for vote in gate.votes]
    if gate.due_at:
        lines.append(f"  until {words(gate.due_at)}")
    for shown, value in gate.shows.items():
        lines += [f"  {line}".rstrip() for line in _value_lines(f"shows {shown}", value)[1:]]
    seen = f" --seen {gate.seen}" if gate.seen and gate.shows else ""
    if gate.form:
        lines += [f"  {line}".rstrip() for line in _value_lines("form of the answers", gate.form)[1:]]
    place = "".join(f" --scope {shlex.quote(key)}" for key in gate.scope)
    role = f" --role {shlex.quote(gate.roles[0])}" if gate.roles and not gate.users else ""
    return [*lines, f"  phasegate decide {run.id} {gate.phase} {gate.outcomes[0]} --by NAME{role}{place}{seen}"]


def _question_lines(run: Run, question: dict[str, Any]) -> list[str]:
    place = "".join(f" --scope {shlex.quote(key)}" for key in question["scope"])
    lines = _value_lines(f"phase {question['phase']} asks", question["questions"])
    return [*lines, f"  phasegate answer {run.id} {question['phase']} --by NAME{place} --answers JSON"]
