"""The tables of the documents application: which documents there are, how each came about, what the model was asked, and what
may be spent on that.

The documents themselves are outputs of the engine, under the same run, step, scope and version. Rows are written in the commit
that completes the step; those of budgets in commits of their own, because money is spent whatever becomes of the step. On
PostgreSQL the tables lie in the schema ``documents``.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from phasegate.sqltypes import UtcTime

SCHEMA = "documents"

metadata = sa.MetaData()


def _table(name: str, *columns: Any) -> sa.Table:
    return sa.Table(
        name, metadata,
        sa.Column("run_id", sa.String, primary_key=True),
        sa.Column("step", sa.String, primary_key=True),
        sa.Column("scope", sa.Text, primary_key=True),
        *columns,
        info={"schema": SCHEMA},
    )  # fmt: skip


#: One row per version of a document. ``scope`` is the JSON list of the items it belongs to, ``path`` the same for people
#: (``track=t1/talk=k2``), ``version`` that of the output; ``attempts`` how many answers it took; ``inputs`` the JSON list of what
#: it was made from, as ``[step, sha256]``; ``findings`` the warnings it passed with; ``answers`` what people answered for it;
#: ``revision`` how often it had been rejected in a row by then, ``decision`` the number of the last decision before it, or 0.
document_versions = _table(
    "document_versions",
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("tenant", sa.String, nullable=False),
    sa.Column("workflow", sa.String, nullable=False),
    sa.Column("project", sa.String, nullable=False),
    sa.Column("doc_type", sa.String, nullable=False),
    sa.Column("path", sa.String, nullable=False),
    sa.Column("sha256", sa.String, nullable=False),
    sa.Column("role_sha256", sa.String, nullable=False),
    sa.Column("task_sha256", sa.String, nullable=False),
    sa.Column("prompt_sha256", sa.String, nullable=False),
    sa.Column("model", sa.String),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("inputs", sa.Text, nullable=False),
    sa.Column("findings", sa.Text, nullable=False),
    sa.Column("answers", sa.Text, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("decision", sa.Integer, nullable=False),
    sa.Column("produced_at", UtcTime, nullable=False),
)
sa.Index("ix_document_versions_project", document_versions.c.tenant, document_versions.c.project)

#: One row per answer of a model. ``attempt`` is that of the phase whose commit wrote the row; ``number`` counts those of
#: the step in its present round.
document_calls = _table(
    "document_calls",
    sa.Column("attempt", sa.Integer, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("tenant", sa.String, nullable=False),
    sa.Column("workflow", sa.String, nullable=False),
    sa.Column("project", sa.String, nullable=False),
    sa.Column("model", sa.String),
    sa.Column("prompt_tokens", sa.Integer),
    sa.Column("completion_tokens", sa.Integer),
    sa.Column("cached_tokens", sa.Integer),
    sa.Column("total_tokens", sa.Integer),
    sa.Column("estimated", sa.Boolean, nullable=False),
    sa.Column("cost", sa.Double),
    sa.Column("seconds", sa.Double),
    sa.Column("prompt_sha256", sa.String, nullable=False),
    sa.Column("at", UtcTime, nullable=False),
)
sa.Index("ix_document_calls_project", document_calls.c.tenant, document_calls.c.project)

#: One row per run that was given another studio than the one it was begun with: prompts, models, prices and budgets, as JSON.
document_studios = sa.Table(
    "document_studios", metadata,
    sa.Column("run_id", sa.String, primary_key=True),
    sa.Column("told", sa.Text, nullable=False),
    info={"schema": SCHEMA},
)  # fmt: skip

#: One row per budget. ``key`` is empty for a tenant's, the run for a run's, ``run/step`` for a phase's; amounts are those of
#: ``phasegate.llm.budget``. ``configured`` is the limit that was configured last, ``allowed`` the one that holds: the same, or
#: what a person has raised it to.
document_budgets = sa.Table(
    "document_budgets", metadata,
    sa.Column("tenant", sa.String, primary_key=True),
    sa.Column("per", sa.String, primary_key=True),
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("unit", sa.String, primary_key=True),
    sa.Column("allowed", sa.BigInteger, nullable=False),
    sa.Column("configured", sa.BigInteger, nullable=False),
    sa.Column("spent", sa.BigInteger, nullable=False),
    info={"schema": SCHEMA},
)  # fmt: skip

#: One row per budget and call under way; ``id`` is the call's, ``run_id``, ``step`` and ``scope`` say whose it is. ``remaining``
#: is what the budget had left with it: the database refuses a row with less than nothing, and that refusal is what keeps calls
#: within their budgets, however many workers there are.
document_reservations = sa.Table(
    "document_reservations", metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("per", sa.String, primary_key=True),
    sa.Column("unit", sa.String, primary_key=True),
    sa.Column("tenant", sa.String, nullable=False),
    sa.Column("key", sa.String, nullable=False),
    sa.Column("run_id", sa.String, nullable=False),
    sa.Column("step", sa.String, nullable=False),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("remaining", sa.BigInteger, nullable=False),
    sa.CheckConstraint("remaining >= 0", name="ck_document_reservations_remaining"),
    info={"schema": SCHEMA},
)  # fmt: skip
sa.Index(
    "ix_document_reservations_budget", document_reservations.c.tenant, document_reservations.c.per,
    document_reservations.c.key, document_reservations.c.unit,
)  # fmt: skip
sa.Index("ix_document_reservations_run", document_reservations.c.run_id, document_reservations.c.step)
