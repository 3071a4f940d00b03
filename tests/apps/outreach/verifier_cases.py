"""A verifier that answers from a script and remembers what it was asked, and companies whose addresses it is asked about."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from phasegate import Engine, PhaseStatus, Registry, Subject
from phasegate.apps.outreach import open_engine
from phasegate.apps.outreach.enrichment import Provider, VerifierTerms
from phasegate.apps.outreach.flow import build_registry
from tests.apps.outreach.phase_cases import add_companies, add_people, person, rows, run

#: As the terms are, but nobody waits.
AT_ONCE = VerifierTerms(pause=0.0)


class Vendor:
    """Answers as scripted, ``invalid`` otherwise; an exception is raised, None never comes."""

    name = "vendor"

    def __init__(self, answers: Mapping[str, str | Exception | None] | None = None, otherwise: Any = "invalid") -> None:
        self.answers, self.otherwise = dict(answers or {}), otherwise
        self.asked: list[str] = []

    async def verify(self, address: str) -> str:
        self.asked.append(address)
        answer = self.answers.get(address, self.otherwise)
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        return str(answer)


def asking(vendor: Any, terms: VerifierTerms = AT_ONCE, providers: Sequence[Provider] = ()) -> Registry:
    """A registry whose phase 1.5 asks this verifier, and no provider unless one is given."""
    return build_registry(providers=providers, verifier=vendor, verifier_terms=terms)


#: The guesses for the first person of the first company, most likely first.
GUESSES = [
    f"{local}@fairview1.example"
    for local in (
        "ellis.jarrowb", "ellisjarrowb", "ejarrowb", "ellis", "ellis_jarrowb", "jarrowbe", "e.jarrowb", "jarrowb.ellis",
        "jarrowbellis", "jarrowb",
    )
]  # fmt: skip


def unknown(number: int, home: int, title: str, **fields: Any) -> dict[str, Any]:
    """A person without an address."""
    return person(number, home, title, **{"email": None, "email_verification": None, "email_class": None, **fields})


def prepare(engine: Engine, *people: dict[str, Any], **company: Any) -> None:
    numbers = sorted({int(each["company_unique_id"].rpartition(".")[2]) for each in people})
    add_companies(engine, numbers, **company)
    add_people(engine, people)
    run(engine, "1", *numbers)


def enriched(engine: Engine, **options: Any) -> dict[str, Any]:
    (result,) = run(engine, "1.5", 1, **options).results
    assert result.status is PhaseStatus.SUCCEEDED, result.reason
    found: dict[str, Any] = result.output
    return found


def people_of(engine: Engine) -> dict[str, tuple[Any, ...]]:
    columns = ("unique_id", "email", "email_class", "email_verified")
    return {each["unique_id"]: tuple(each[name] for name in columns[1:]) for each in rows(engine, "people_master")}


def answers_of(engine: Engine) -> list[tuple[Any, ...]]:
    columns = ("person_unique_id", "email", "verification_status", "service")
    return [tuple(each[name] for name in columns) for each in rows(engine, "email_verification")]


class Mortal(Vendor):
    """Takes its process with it when it is asked once more than it lives; what it answered stands in a file."""

    def __init__(self, ledger: Path, lives: int) -> None:
        super().__init__()
        self.ledger, self.lives = ledger, lives

    async def verify(self, address: str) -> str:
        if len(self.asked) == self.lives:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = await super().verify(address)
        self.ledger.write_text(json.dumps(self.asked), encoding="utf-8")
        return answer


def main(database: str, ledger: str, lives: str, company: str) -> None:
    verifier = Mortal(Path(ledger), int(lives))
    with open_engine(database, providers=[], verifier=verifier, verifier_terms=AT_ONCE) as engine:
        engine.run_phase("outreach", "1.5", [Subject("company", company)])


if __name__ == "__main__":
    main(*sys.argv[1:])
