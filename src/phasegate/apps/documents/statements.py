"""The statements with which steps write their rows and read what they gave before; built once, so that writes are joined."""

from __future__ import annotations

import sqlalchemy as sa

from phasegate.apps.documents.tables import document_calls, document_versions

RECORD_DOCUMENT = sa.insert(document_versions)
RECORD_CALL = sa.insert(document_calls)

#: What a step of a run gave last, as JSON text.
LAST_OUTPUT = sa.text(
    "SELECT body FROM phasegate_outputs WHERE run_id = :run AND phase = :step AND scope = :scope"
    " ORDER BY version DESC LIMIT 1"
)
#: One version of it.
OUTPUT = sa.text(
    "SELECT body FROM phasegate_outputs WHERE run_id = :run AND phase = :step AND scope = :scope AND version = :version"
)
#: Every version of every document of a run.
DOCUMENTS = sa.select(document_versions).where(document_versions.c.run_id == sa.bindparam("run"))
#: What the model was asked for a run.
CALLS = sa.select(document_calls).where(document_calls.c.run_id == sa.bindparam("run"))
