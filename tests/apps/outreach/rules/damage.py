"""Values as real exports hold them: every JSON-like type where any other was expected."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import strategies as st

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)

COLUMNS = (
    "company_unique_id", "company_name", "website", "website_url", "domain", "employee_count", "linkedin_url",
    "industry", "state", "address_zip", "postal_code", "validation_status", "outreach_ready", "city", "source_system",
    "person_id", "unique_id", "full_name", "title", "email", "email_verified", "email_verification", "seniority",
    "department", "updated_at", "validated_at", "bit_score", "score", "seniority_score",
    "slot_type", "is_filled", "person_unique_id", "company_slot_unique_id", "last_enriched_at",
    "enrichment_status", "verification_status", "verified_at",
    "rule_id", "rule_type", "field", "pattern", "min_value", "max_value", "severity", "error_message",
)  # fmt: skip

TELLING = (
    "", " ", "n/a", "CEO", "President & CFO", "VP, Human Resources", "Former CFO", "https://www.acme.example",
    "http://localhost", "https://linkedin.com/in/jo", "https://LinkedIn.com/Company/acme", "jo@acme.example", "51-200",
    "190,000", "valid", "invalid", "WV", "24701", "true", "2026-11-01T09:00:00Z", "2026-07-15T12:30:00+02:00",
    "04.04.02.04.30000.001", "04.04.02.04.20000.001", "cfo", "HR", "success", "field_range", "field_format", "(", "[a-z]+",
)  # fmt: skip

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(5000).map(lambda power: 10**power),
    st.floats(),
    st.sampled_from([Decimal("NaN"), Decimal("sNaN"), Decimal("1E+400"), Decimal("51")]),
    st.datetimes(),
    st.just(datetime.max.replace(tzinfo=UTC)),
    st.text(max_size=20),
    st.sampled_from(TELLING),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
rows = st.dictionaries(st.sampled_from(COLUMNS), values, max_size=14)
#: A record as it may come in: mostly a mapping, sometimes not even that.
records = st.one_of(rows, rows, rows, values)
collections = st.lists(records, max_size=4)
