"""The rules of the outreach application: pure functions from rows to frozen results.

No database, no clock, no engine. Rows enter as mappings in which anything may be missing or damaged; times enter as
arguments; every result has a ``to_result()`` that gives the dictionary the application shows.
"""

from __future__ import annotations

from phasegate.apps.outreach.rules import company, person, titles
from phasegate.apps.outreach.rules.canonical import content_digest

#: The sha256 over everything that decides whether a company or a person is valid: rule ids with severities, limits and
#: the title table. The same failure under the same rule set need not be delivered twice.
RULE_SET_HASH = content_digest(
    {
        "company": {
            "rules": company.RULES.severities,
            "shortest_name": company.SHORTEST_NAME,
            "employees_above": company.EMPLOYEES_ABOVE,
            "linkedin": company.LINKEDIN_COMPANY,
        },
        "person": {
            "rules": person.RULES.severities,
            "email": person.EMAIL_SHAPE,
            "linkedin": person.LINKEDIN_PERSON,
        },
        "titles": titles.describe(),
    }
)

__all__ = ["RULE_SET_HASH"]
