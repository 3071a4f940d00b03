"""What the tables alone cannot say: the trigger that keeps a company's phase, and the views people look at.

Every statement may be run again: what exists already stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from phasegate.apps.outreach.tables import metadata

if TYPE_CHECKING:
    from phasegate.engine import Engine

# As wide as every stored time, so that comparing the texts compares the times.
_NOW = "strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000+00:00'"


def _phase_trigger(name: str, event: str) -> str:
    """``current_phase`` is the highest phase a company has completed. A lower or equal one changes nothing, not even the
    time, and a failure never lowers it."""
    return f"""CREATE TRIGGER IF NOT EXISTS {name} AFTER {event} ON phase_completion_log
    WHEN NEW.status = 'complete' AND NEW.completed_at IS NOT NULL
    BEGIN
        UPDATE company_master
        SET current_phase = NEW.phase_id, last_phase_completed_at = NEW.completed_at, updated_at = {_NOW}
        WHERE company_unique_id = NEW.company_unique_id
          AND (current_phase IS NULL OR current_phase < NEW.phase_id);
    END"""


_SQLITE_TRIGGERS = (
    _phase_trigger("trg_update_company_current_phase", "INSERT"),
    # SQLite wants a trigger for each kind of change.
    _phase_trigger("trg_update_company_current_phase_again", "UPDATE"),
    # The foreign key alone would leave a slot that is filled by nobody.
    """CREATE TRIGGER IF NOT EXISTS trg_person_leaves_slot BEFORE DELETE ON people_master
    BEGIN
        UPDATE company_slot SET person_unique_id = NULL, is_filled = 0, filled_at = NULL, confidence_score = NULL
        WHERE person_unique_id = OLD.unique_id;
    END""",
)

_POSTGRESQL_TRIGGERS = (
    """CREATE OR REPLACE FUNCTION marketing.update_company_current_phase() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE marketing.company_master
        SET current_phase = NEW.phase_id, last_phase_completed_at = NEW.completed_at, updated_at = clock_timestamp()
        WHERE company_unique_id = NEW.company_unique_id
          AND (current_phase IS NULL OR current_phase < NEW.phase_id);
        RETURN NULL;
    END $$""",
    """CREATE OR REPLACE TRIGGER trg_update_company_current_phase AFTER INSERT OR UPDATE ON marketing.phase_completion_log
    FOR EACH ROW WHEN (NEW.status = 'complete' AND NEW.completed_at IS NOT NULL)
    EXECUTE FUNCTION marketing.update_company_current_phase()""",
    """CREATE OR REPLACE FUNCTION marketing.person_leaves_slot() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE marketing.company_slot
        SET person_unique_id = NULL, is_filled = false, filled_at = NULL, confidence_score = NULL
        WHERE person_unique_id = OLD.unique_id;
        RETURN OLD;
    END $$""",
    """CREATE OR REPLACE TRIGGER trg_person_leaves_slot BEFORE DELETE ON marketing.people_master
    FOR EACH ROW EXECUTE FUNCTION marketing.person_leaves_slot()""",
)


def _views(create: str, ago: Callable[[str], str]) -> tuple[str, ...]:
    """The views; ``create`` is what their names follow, ``ago`` the time so long before now."""
    return (
        f"""{create}v_companies_by_phase AS
    SELECT current_phase,
           count(*) AS company_count,
           sum(CASE WHEN validation_status = 'valid' THEN 1 ELSE 0 END) AS validated_count,
           sum(CASE WHEN outreach_ready THEN 1 ELSE 0 END) AS ready_count,
           max(last_phase_completed_at) AS latest_completion
    FROM company_master
    GROUP BY current_phase
    ORDER BY current_phase""",
        f"""{create}v_recent_phase_completions AS
    SELECT l.log_id, l.company_unique_id, c.company_name, l.phase_id, l.phase_name, l.status, l.duration_seconds,
           l.completed_at, l.error_message
    FROM phase_completion_log l JOIN company_master c ON c.company_unique_id = l.company_unique_id
    WHERE l.completed_at >= {ago("24 hours")}
    ORDER BY l.completed_at DESC, l.log_id DESC""",
        f"""{create}v_failed_phases AS
    SELECT l.log_id, l.company_unique_id, c.company_name, l.phase_id, l.phase_name, l.error_message,
           l.completed_at AS failed_at, c.current_phase AS company_current_phase
    FROM phase_completion_log l JOIN company_master c ON c.company_unique_id = l.company_unique_id
    WHERE l.status = 'failed' AND l.completed_at >= {ago("7 days")}
      AND NOT EXISTS (
          SELECT 1 FROM phase_completion_log later
          WHERE later.company_unique_id = l.company_unique_id AND later.phase_id = l.phase_id
            AND later.status = 'complete' AND (later.completed_at, later.log_id) > (l.completed_at, l.log_id)
      )
    ORDER BY l.completed_at DESC, l.log_id DESC""",
    )


#: Triggers and views by dialect, to be made after the tables.
DDL: dict[str, tuple[str, ...]] = {
    "sqlite": (
        *_SQLITE_TRIGGERS,
        *_views(
            "CREATE VIEW IF NOT EXISTS ", lambda span: f"strftime('%Y-%m-%dT%H:%M:%f', 'now', '-{span}') || '000+00:00'"
        ),
    ),
    "postgresql": (
        *_POSTGRESQL_TRIGGERS,
        *_views("CREATE OR REPLACE VIEW marketing.", lambda span: f"now() - interval '{span}'"),
    ),
}


def create_tables(engine: Engine) -> None:
    """Create tables, triggers and views in the engine's database where they do not exist."""
    engine.create_tables(metadata, DDL)
