"""From a file somebody exported to records the pipeline can trust: no database, no engine.

``read_table`` turns bytes into rows, ``resolve_columns`` says which column means what, ``company_records`` and
``people_records`` judge every row. Whatever is wrong with a file as a whole is an ``InputError`` of one line; whatever
is wrong with one row is a verdict on that row.
"""

from __future__ import annotations

from phasegate.apps.outreach.intake.cleaning import clean_text, domain_of, name_key
from phasegate.apps.outreach.intake.columns import (
    COMPANY_FIELDS,
    PEOPLE_FIELDS,
    ColumnMap,
    load_mapping,
    resolve_columns,
)
from phasegate.apps.outreach.intake.companies import (
    SHARED_HOSTS,
    CompanyIntake,
    CompanyRecord,
    CompanyRow,
    company_records,
)
from phasegate.apps.outreach.intake.people import PeopleIntake, PersonRecord, PersonRow, people_records
from phasegate.apps.outreach.intake.reading import Row, Table, read_table
from phasegate.apps.outreach.intake.verdicts import DuplicateOf, Verdict

__all__ = [
    "COMPANY_FIELDS",
    "PEOPLE_FIELDS",
    "SHARED_HOSTS",
    "ColumnMap",
    "CompanyIntake",
    "CompanyRecord",
    "CompanyRow",
    "DuplicateOf",
    "PeopleIntake",
    "PersonRecord",
    "PersonRow",
    "Row",
    "Table",
    "Verdict",
    "clean_text",
    "company_records",
    "domain_of",
    "load_mapping",
    "name_key",
    "people_records",
    "read_table",
    "resolve_columns",
]
