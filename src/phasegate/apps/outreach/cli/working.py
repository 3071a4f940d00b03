"""The commands that work: phases by id or name, files, the outbox, the demo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phasegate import UsageError
from phasegate import database as databases
from phasegate.apps.outreach import showing
from phasegate.apps.outreach.cli.common import fail_if, open_database, parts
from phasegate.cli import output
from phasegate.cli.session import Session

if TYPE_CHECKING:
    from phasegate.apps.outreach.routing import Sink

State = Annotated[str | None, typer.Option("--state", metavar="CODE", help="Only companies of this state.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Do everything, keep nothing.")]
Limit = Annotated[
    int | None, typer.Option("--limit", min=0, help="At most so many companies, or people in 1.1 and 2; 0 takes none.")
]
Company = Annotated[str | None, typer.Option("--company", metavar="ID", help="Only this company.")]
Person = Annotated[str | None, typer.Option("--person", metavar="ID", help="Only this person.")]
NoDeps = Annotated[bool, typer.Option("--no-deps", help="Do not ask whether the phases it needs are complete.")]


# --- phases ---------------------------------------------------------------------------------------------------------


def run(  # noqa: PLR0917 - called by name, for the options of a command line
    session: Session,
    words: Annotated[list[str], typer.Argument(metavar="PHASE...", help="Ids in ascending order, or one name.")],
    state: State = None,
    company: Company = None,
    person: Person = None,
    limit: Limit = None,
    dry_run: DryRun = False,
    only_validated: Annotated[bool, typer.Option("--only-validated", help="Phase 3: only valid companies.")] = False,
    only_pending: Annotated[bool, typer.Option("--only-pending", help="1, 1.1: only what nobody judged yet.")] = False,
    revalidate: Annotated[bool, typer.Option("--revalidate", help="With --limit: also what is complete.")] = False,
    no_deps: NoDeps = False,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Go on after a phase that failed.")] = False,
    file: Annotated[Path | None, typer.Option("--file", metavar="CSV", help="Phase 0: the companies.")] = None,
) -> None:
    """Execute a phase, or several in order."""
    from phasegate.apps.outreach import compat
    from phasegate.apps.outreach.catalogue import CATALOGUE

    entries = _phases(words)
    given = {
        "state": state, "company_id": company, "person_id": person, "limit": limit, "dry_run": dry_run,
        "only_validated": only_validated, "only_pending": only_pending, "revalidate": revalidate,
        "csv_file": str(file) if file else None, "verbose": session.verbose,
    }  # fmt: skip
    context: dict[str, Any] = {k: v for k, v in given.items() if v is not None and v is not False}
    if not {"state", "company_id", "person_id"} & context.keys() and any(entry.phase_id >= 4 for entry in entries):
        context["state"] = None  # every state; phases 4 to 6 want that to be said
    with open_database(session) as engine, compat.using(engine):
        ids = [entry.phase_id for entry in entries]
        CATALOGUE.sequence(ids)
        ran = compat.run_sequence(ids, context, not keep_going, validate_deps=not no_deps)
    results = [each.to_result() for each in ran]
    session.answer(
        results[0] if len(results) == 1 else results,
        *(line for each in results for line in showing.result_lines(each, verbose=session.verbose)),
    )
    fail_if(any(each.status != "complete" for each in ran))


def retry(
    session: Session,
    phase: Annotated[str, typer.Argument(metavar="PHASE", help="The id or the name of a phase.")],
    state: State = None,
    company: Company = None,
    dry_run: DryRun = False,
    no_deps: NoDeps = False,
) -> None:
    """Execute a phase again where it has failed."""
    from phasegate.apps.outreach import compat
    from phasegate.apps.outreach.catalogue import CATALOGUE

    entry = CATALOGUE.find(phase)
    given = {"state": state, "company_id": company, "dry_run": dry_run or None}
    context = {key: value for key, value in given.items() if value is not None}
    with open_database(session) as engine, compat.using(engine):
        result = compat.retry_failed_phase(entry.phase_id, context, not no_deps)
    session.answer(result, *showing.result_lines(result, verbose=session.verbose))
    fail_if(result["status"] != "complete")


def everything(session: Session, state: State = None, dry_run: DryRun = False) -> None:
    """Execute every phase from 1 on, whatever becomes of the one before."""
    from phasegate.apps.outreach import compat

    with open_database(session) as engine, compat.using(engine):
        result = compat.execute_all_implemented(state, dry_run)
    rows = [
        (p["phase_id"], p["phase_name"], p["status"], p.get("error") or p.get("statistics")) for p in result["phases"]
    ]
    session.answer(result, output.Table(("phase", "name", "status", "what came of it"), rows))
    fail_if(result["failed"] > 0)


def _phases(words: Sequence[str]) -> list[Any]:
    from phasegate.apps.outreach.catalogue import CATALOGUE
    from phasegate.apps.outreach.rules.phase_ids import parse_phase_id

    try:
        for word in words:
            parse_phase_id(word)
    except ValueError:
        if words[0].startswith("-"):
            raise UsageError(f"no such option: {words[0]}", hint="phasegate outreach --help") from None
        return [CATALOGUE.find(" ".join(words))]
    return [CATALOGUE.get(word) for word in words]


# --- files ----------------------------------------------------------------------------------------------------------


def load(
    session: Session,
    csv_file: Annotated[Path | None, typer.Argument(metavar="[CSV]", help="A file of companies.")] = None,
    companies: Annotated[
        Path | None, typer.Option("--companies", metavar="CSV", help="A file of companies, said another way.")
    ] = None,
    people: Annotated[Path | None, typer.Option("--people", metavar="CSV", help="A file of people.")] = None,
    mapping: Annotated[
        Path | None, typer.Option("--mapping", metavar="JSON", help="Which column is which field.")
    ] = None,
    whole: Annotated[bool, typer.Option("--run", help="Take the companies through all phases as well.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Load companies, people or both from CSV files (phase 0)."""
    from phasegate.apps.outreach.importing import INTAKE_ONLY
    from phasegate.apps.outreach.importing import load as load_files
    from phasegate.apps.outreach.intake import load_mapping

    if csv_file is not None and companies is not None:
        raise UsageError("two files of companies are named", hint="load one after the other")
    companies = companies or csv_file
    if companies is None and people is None:
        raise UsageError("there is nothing to load", hint="name a file of companies, or one with --people")
    columns = load_mapping(mapping) if mapping else None
    with open_database(session, create=True) as engine:
        found = load_files(
            engine, companies=companies, people=people, mapping=columns if companies else None,
            people_mapping=None if companies else columns, aim=None if whole else INTAKE_ONLY, dry_run=dry_run,
        )  # fmt: skip
    names = ("total_rows", "valid_rows", "invalid_rows", "duplicate_rows", "inserted_rows")
    rows = [(kind, *(each["statistics"][name] for name in names)) for kind, each in found.items()]
    problems = [error for each in found.values() for error in each["statistics"]["errors"]]
    table = output.Table(("", *(name.removesuffix("_rows") for name in names)), rows)
    session.answer(found, table, *(f"  {each}" for each in problems), *showing.held_lines(found))


def outbox(
    session: Session,
    action: Annotated[str, typer.Argument(metavar="[show|deliver]", help="Count what waits, or deliver it.")] = "show",
    to: Annotated[Path | None, typer.Option("--to", metavar="DIRECTORY", help="Deliver to files in it.")] = None,
    url: Annotated[str | None, typer.Option("--url", help="Deliver to a web address.")] = None,
    include_failed: Annotated[bool, typer.Option("--include-failed", help="Also what was refused before.")] = False,
    limit: Limit = None,
    dry_run: DryRun = False,
) -> None:
    """Show or deliver the invalid records; by default to files in outbox/ beside the database."""
    from phasegate.apps.outreach import reports
    from phasegate.apps.outreach.outbox import deliver_outbox

    if action not in ("show", "deliver"):
        raise UsageError(
            f"the outbox can be shown or delivered, not {action!r}", hint="phasegate outreach outbox deliver"
        )
    directory = to or _outbox_beside(session)
    with open_database(session, sink=_sink(directory, url)) as engine:
        if action == "show":
            counts = {row["status"]: row["count"] for row in engine.read(reports.outbox_counts(tenant=engine.tenant))}
            session.answer({"outbox": counts}, output.Table(("status", "records"), list(counts.items())))
            return
        sent = deliver_outbox(engine, limit=limit, include_failed=include_failed, dry_run=dry_run)
    place = url or str(directory)
    said = f"{sent.delivered} delivered to {place}, {sent.pending} pending, {sent.failed} refused"
    session.answer({"to": place, **output.plain(sent)}, said, *(f"  {message}" for message in sent.messages))
    fail_if(bool(sent.failed or (sent.pending and not dry_run)))


def revalidate(
    session: Session,
    state: Annotated[str, typer.Option("--state", metavar="CODE", help="The state; 'all' for every state.")] = "WV",
    limit: Limit = None,
    people: Annotated[bool, typer.Option("--people", help="Only people.")] = False,
    report: Annotated[Path | None, typer.Option("--output", metavar="PATH", help="Save the report there.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Validate again what nobody has judged yet, and report."""
    from phasegate.apps.outreach import revalidation

    tool = revalidation.revalidate_people if people else revalidation.revalidate
    with open_database(session) as engine:
        found = tool(engine, None if state.lower() == "all" else state, limit, dry_run=dry_run, output=report)
    session.answer(found, showing.indented(found))


def demo(
    session: Session,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIRECTORY", help="Where the example files are.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin with an empty database.")] = False,
) -> None:
    """Take the example companies through all phases; the database is demo/outreach.db."""
    from phasegate.apps.outreach.demo import DATABASE, next_commands, run_demo

    file = databases.path(session.database) if session.database else DATABASE
    if file is None:
        raise UsageError("the demo needs a database file", hint="such as --database demo/outreach.db")
    if not session.verbose:
        showing.only_errors()
    with showing.progress(quiet=session.json) as progress:
        report = run_demo(data, file, fresh=fresh, progress=progress)
    commands = [f"  {each}" for each in next_commands(report, showing.program())]
    session.answer(showing.demo_data(report), *parts(showing.demo_answer(report)), "", "Try next:", *commands)


def _outbox_beside(session: Session) -> Path:
    file = databases.path(session.address)
    return (file.parent if file is not None else Path()) / "outbox"


def _sink(directory: Path, url: str | None) -> Sink:
    from phasegate.apps.outreach.outbox import FileSink
    from phasegate.apps.outreach.routing import HttpSink

    return HttpSink(url) if url else FileSink(directory)
