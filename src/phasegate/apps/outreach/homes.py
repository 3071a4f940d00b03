"""Which company a person belongs to: the one a file names, else the one it most probably means, else none as yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from phasegate.apps.outreach.intake import SHARED_HOSTS, name_key
from phasegate.apps.outreach.rules.domains import mail_domain
from phasegate.apps.outreach.rules.identifiers import IdKind, is_id
from phasegate.apps.outreach.rules.matching import CompanyIndex, HoldReason


@dataclass(frozen=True, slots=True)
class KnownCompany:
    """What a company is found by; ``name_key`` as ``intake.name_key`` makes it."""

    id: str
    name_key: str
    domain: str | None
    city: str | None
    source_record_id: str | None


@dataclass(frozen=True, slots=True)
class Employer:
    """What a file says of a person's company. ``reference`` is an id, ours or of another system."""

    reference: str | None
    name: str | None
    email: str | None
    city: str | None


@dataclass(frozen=True, slots=True)
class Home:
    """The company found, or the reason why none is certain enough. ``score`` is how alike the best candidate is, 0.0 when
    there is none, and None when the file names the company so that nothing had to be compared."""

    company_id: str | None
    score: float | None = None
    hold_reason: HoldReason | None = None

    @property
    def in_question(self) -> bool:
        """Whether any company may be the one, certain or not."""
        return self.score != 0.0


class Homes:
    """Finds the companies of people among known ones: by id, by id in the source, by name, and last by likeness."""

    def __init__(self, companies: Sequence[KnownCompany]) -> None:
        self._companies = companies
        self._ids = {each.id for each in companies}
        self._by_source: dict[str, str] = {}
        self._by_name: dict[str, str] = {}
        for each in companies:
            self._by_name.setdefault(each.name_key, each.id)
            if each.source_record_id:
                self._by_source.setdefault(each.source_record_id, each.id)

    def find(self, employer: Employer) -> Home:
        """The company of a person who says this of it."""
        named = self._named(employer)
        if named is not None:
            return Home(named)
        if is_id(employer.reference, IdKind.COMPANY):
            # It names a company that is not here. Whatever is here has another id, and so is another company.
            return Home(None, 0.0, HoldReason.NO_MATCH)
        wanted = {"company_name": employer.name, "domain": mail_domain(employer.email), "city": employer.city}
        found = self._index.match(wanted)
        return Home(found.company_unique_id, found.score, found.hold_reason)

    def _named(self, employer: Employer) -> str | None:
        reference = employer.reference
        if reference and (found := reference if reference in self._ids else self._by_source.get(reference)):
            return found
        return self._by_name.get(name_key(employer.name)) if employer.name else None

    @cached_property
    def _index(self) -> CompanyIndex:
        """Built when the first person needs it: in most files everybody names a known company."""
        return CompanyIndex(
            {
                "company_unique_id": each.id,
                "company_name": each.name_key,
                # Who writes from a shared host does not work for everybody who has a page there.
                "domain": None if each.domain in SHARED_HOSTS else each.domain,
                "city": each.city,
            }
            for each in self._companies
        )
