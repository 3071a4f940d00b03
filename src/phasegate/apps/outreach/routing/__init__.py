"""Invalid records on their way to the people who can correct them: what is sent, and the sinks it is sent to.

A sink tries once and says how it went; keeping payloads until they are delivered, and trying again, is the engine's
work.
"""

from __future__ import annotations

from phasegate.apps.outreach.routing.files import CsvSink, JsonLinesSink
from phasegate.apps.outreach.routing.http import HttpSink
from phasegate.apps.outreach.routing.payloads import (
    INVALID_COMPANIES_COLUMNS,
    INVALID_PEOPLE_COLUMNS,
    PIPELINE_PREFIXES,
    Payload,
    Routing,
    company_payload,
    person_payload,
    pipeline_id,
    sheet_row,
)
from phasegate.apps.outreach.routing.sinks import Delivery, DeliveryOutcome, Sink

__all__ = [
    "INVALID_COMPANIES_COLUMNS",
    "INVALID_PEOPLE_COLUMNS",
    "PIPELINE_PREFIXES",
    "CsvSink",
    "Delivery",
    "DeliveryOutcome",
    "HttpSink",
    "JsonLinesSink",
    "Payload",
    "Routing",
    "Sink",
    "company_payload",
    "person_payload",
    "pipeline_id",
    "sheet_row",
]
