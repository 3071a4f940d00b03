"""The questions of the command line, with their options: each takes an engine and gives an answer.

Importing this loads no database library, so that help is there at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from phasegate.apps.outreach.answers import Answer

# The command line reads the annotations of these functions: an engine is anything, an answer is nobody's option.

CompanyWords = Annotated[str, typer.Argument(metavar="COMPANY", help="The id or the name of a company.")]
Phase = Annotated[str | None, typer.Option("--phase", help="Whose highest completed phase is this one.")]

State = Annotated[
    str | None, typer.Option("--state", metavar="CODE", help="Only companies of this state, and their people.")
]
Limit = Annotated[int, typer.Option("--limit", min=1, help="List at most so many.")]


def status(engine: Any) -> Answer:
    """Say where the companies are, and what stopped them."""
    from phasegate.apps.outreach import answers

    return answers.status(engine)


def companies(
    engine: Any,
    phase: Phase = None,
    ready_for_3: Annotated[bool, typer.Option("--ready-for-3", help="That may do phase 3 now.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 20,
) -> Answer:
    """List companies by the phase they have completed."""
    from phasegate.apps.outreach import answers

    return answers.companies(engine, phase, ready_for_3=ready_for_3, limit=limit)


def stuck(
    engine: Any,
    hours: Annotated[float, typer.Option("--hours", min=0, max=1e6, help="For longer than so many hours.")] = 24.0,
    phase: Phase = None,
) -> Answer:
    """List companies that have completed nothing for a while."""
    from phasegate.apps.outreach import answers

    return answers.stuck(engine, hours, phase)


def failed(
    engine: Any,
    days: Annotated[float, typer.Option("--days", min=0, max=1e5, help="Within so many days.")] = 7.0,
    solved: Annotated[bool, typer.Option("--solved", help="Also those that succeeded later.")] = False,
) -> Answer:
    """List failures that wait for a retry."""
    from phasegate.apps.outreach import answers

    return answers.failed(engine, days, solved=solved)


def orphans(engine: Any, limit: Limit = 20) -> Answer:
    """List people whose company is not known, with the reason why none was certain enough."""
    from phasegate.apps.outreach import answers

    return answers.orphans(engine, limit)


def history(engine: Any, company: CompanyWords) -> Answer:
    """Show every attempt of every phase of a company."""
    from phasegate.apps.outreach import answers

    return answers.history(engine, company)


def why(engine: Any, company: CompanyWords) -> Answer:
    """Say why a company is where it is, and what could run now."""
    from phasegate.apps.outreach import answers

    return answers.why(engine, company)


def doubts(
    engine: Any,
    state: State = None,
    bay: Annotated[
        str | None,
        typer.Option("--bay", metavar="bay_a|bay_b", help="Only what misses something (a), or contradicts itself (b)."),
    ] = None,
    limit: Limit = 20,
) -> Answer:
    """List companies and people in whose data something is missing or does not fit together."""
    from phasegate.apps.outreach import findings

    return findings.doubts(engine, state, bay, limit)


def check_rules(
    engine: Any,
    rules: Annotated[Path, typer.Argument(metavar="RULES.CSV", help="The rules: rule_id, rule_type, field, ...")],
    table: Annotated[
        str, typer.Option("--table", metavar="company_master|people_master", help="Whose records are checked.")
    ] = "company_master",
    state: State = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Check at most so many records.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="CSV", help="Write the failures into this file.")
    ] = None,
) -> Answer:
    """Check every record of a table against rules from a file; nothing is changed."""
    from phasegate.apps.outreach import findings

    return findings.check_rules(engine, rules, table, state, limit, output)


def intent(
    engine: Any,
    state: State = None,
    tier: Annotated[
        str | None,
        typer.Option("--tier", metavar="cold|warm|engaged|hot|burning", help="Only companies of this tier."),
    ] = None,
    limit: Limit = 20,
) -> Answer:
    """List companies by the intent that their signals show, strongest first."""
    from phasegate.apps.outreach import findings

    return findings.intent(engine, state, tier, limit)
