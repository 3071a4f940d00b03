"""What the engine's schema has on PostgreSQL beside its tables: views, and the border between tenants.

Everything lies in a schema of its own. Whoever made the tables sees and moves every tenant's runs: that is the worker. Any
other role sees the rows of one tenant only, whose name stands in the setting ``phasegate.tenant`` of its session; without
the setting it sees nothing. The views obey the rights of who asks (``security_invoker``), not of who made them.
"""

from __future__ import annotations

from phasegate.store import tables

SCHEMA = "phasegate"
#: The setting that names the tenant of a session.
TENANT_SETTING = "phasegate.tenant"
#: Views obey the rights of who asks from this version on.
OLDEST = 15

TENANT_TABLES = tuple(table.name for table in tables.metadata.sorted_tables if "tenant" in table.c)

_RUN = "r.flow, r.version, r.subject_kind, r.subject_id, r.id AS run_id"
_OPEN = ", ".join(f"'{word}'" for word in tables.OPEN)


def _view(name: str, query: str) -> str:
    return f"CREATE VIEW {SCHEMA}.phasegate_v_{name} WITH (security_invoker = true) AS {query}"


VIEWS = (
    _view(
        "subjects_by_phase",
        f"""SELECT r.tenant, {_RUN}, r.status AS run_status, p.phase, p.scope, p.status AS phase_status,
           p.attempt, p.since, p.due_at, coalesce(p.reason, r.reason) AS reason
    FROM phasegate_runs r
    LEFT JOIN phasegate_phase_runs p ON p.run_id = r.id AND p.tenant = r.tenant AND p.status IN ({_OPEN})""",
    ),
    _view(
        "phase_counts",
        f"""SELECT tenant, flow, phase, status AS phase_status, count(*) AS instances, min(since) AS oldest_since
    FROM phasegate_phase_runs WHERE status IN ({_OPEN}) GROUP BY tenant, flow, phase, status""",
    ),
    _view(
        "recent_completions",
        f"""SELECT a.tenant, {_RUN}, a.phase, a.scope, a.number AS attempt, a.outcome, a.started_at, a.finished_at
    FROM phasegate_attempts a JOIN phasegate_runs r ON r.id = a.run_id
    WHERE a.status = 'succeeded' AND a.finished_at >= now() - interval '24 hours' ORDER BY a.finished_at DESC""",
    ),
    _view(
        "failed_phases",
        f"""SELECT p.tenant, {_RUN}, p.phase, p.scope, p.attempt, p.reason, p.since AS failed_at
    FROM phasegate_phase_runs p JOIN phasegate_runs r ON r.id = p.run_id
    WHERE p.status = 'failed' AND r.status <> 'cancelled' ORDER BY p.since DESC""",
    ),
    _view(
        "stuck",
        f"""SELECT p.tenant, {_RUN}, r.status AS run_status, p.phase, p.scope, p.status AS phase_status,
           p.since, p.due_at, p.reason
    FROM phasegate_phase_runs p JOIN phasegate_runs r ON r.id = p.run_id
    WHERE r.status NOT IN ('succeeded', 'failed', 'cancelled') AND p.status IN ({_OPEN})
      AND p.since < now() - interval '24 hours'
    ORDER BY p.since""",
    ),
    _view(
        "facts",
        """SELECT f.tenant, f.run_id, f.position, f.seq - json_array_length(f.body::json) + j.place AS seq,
           j.fact ->> 'kind' AS kind, j.fact ->> 'at' AS at, j.fact ->> 'phase' AS phase, j.fact AS fact
    FROM phasegate_facts f, json_array_elements(f.body::json) WITH ORDINALITY AS j(fact, place)""",
    ),
)


def _policies() -> tuple[str, ...]:
    own = f"tenant = current_setting('{TENANT_SETTING}', true)"
    return tuple(
        statement
        for name in TENANT_TABLES
        for statement in (
            f"ALTER TABLE {SCHEMA}.{name} ENABLE ROW LEVEL SECURITY",
            f"CREATE POLICY own_tenant ON {SCHEMA}.{name} USING ({own}) WITH CHECK ({own})",
        )
    )


#: Which statuses a phase's instances have depends on the phase, and hardly any is open. Without these statistics the planner
#: thinks that few wait where many do, and reads and sorts all of them to find the oldest hundred.
STATISTICS = (
    f"CREATE STATISTICS {SCHEMA}.st_phasegate_phase_runs (mcv) ON tenant, phase, status FROM {SCHEMA}.phasegate_phase_runs",
)

#: What follows the tables, in this order.
DDL = (*VIEWS, *STATISTICS, *_policies())
