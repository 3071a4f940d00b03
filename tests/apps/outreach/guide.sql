-- Every SQL statement of the guide, as written there; the line above each of them gives it a name.

-- name: companies in a phase
SELECT company_unique_id, company_name, current_phase
FROM marketing.company_master
WHERE current_phase = 1.1;

-- name: companies ready for phase 3
SELECT company_unique_id, company_name, current_phase
FROM marketing.company_master
WHERE current_phase >= 2 AND current_phase < 3;

-- name: phase history for a company
SELECT
    phase_id,
    phase_name,
    status,
    duration_seconds,
    completed_at
FROM marketing.phase_completion_log
WHERE company_unique_id = '04.04.02.04.30000.001'
ORDER BY completed_at DESC;

-- name: failed phases in last 24 hours
SELECT
    company_unique_id,
    phase_id,
    phase_name,
    error_message,
    completed_at
FROM marketing.phase_completion_log
WHERE status = 'failed'
  AND completed_at >= NOW() - INTERVAL '24 hours'
ORDER BY completed_at DESC;

-- name: v_companies_by_phase
SELECT * FROM marketing.v_companies_by_phase;

-- name: v_recent_phase_completions
SELECT * FROM marketing.v_recent_phase_completions LIMIT 10;

-- name: v_failed_phases
SELECT * FROM marketing.v_failed_phases;

-- name: phase status query
SELECT
    company_unique_id,
    company_name,
    current_phase,
    last_phase_completed_at
FROM marketing.company_master
WHERE current_phase = 1.1
ORDER BY last_phase_completed_at DESC
LIMIT 20;

-- name: current phase of a company
SELECT
    company_unique_id,
    company_name,
    current_phase,
    last_phase_completed_at
FROM marketing.company_master
WHERE company_unique_id = '04.04.02.04.30000.001';

-- name: phase completion history
SELECT
    phase_id,
    phase_name,
    status,
    duration_seconds,
    completed_at,
    error_message
FROM marketing.phase_completion_log
WHERE company_unique_id = '04.04.02.04.30000.001'
ORDER BY completed_at DESC;

-- name: companies stuck in a phase
SELECT
    cm.company_unique_id,
    cm.company_name,
    cm.current_phase,
    cm.last_phase_completed_at,
    NOW() - cm.last_phase_completed_at as time_in_phase
FROM marketing.company_master cm
WHERE cm.current_phase = 1.1
  AND cm.last_phase_completed_at < NOW() - INTERVAL '24 hours'
ORDER BY cm.last_phase_completed_at ASC;

-- name: failed phases for retry
SELECT
    company_unique_id,
    phase_id,
    phase_name,
    error_message,
    completed_at as failed_at
FROM marketing.phase_completion_log
WHERE status = 'failed'
  AND completed_at >= NOW() - INTERVAL '7 days'
ORDER BY completed_at DESC;

-- name: the column of the migration
SELECT column_name, data_type
FROM information_schema.columns
WHERE table_schema = 'marketing'
  AND table_name = 'company_master'
  AND column_name = 'current_phase';

-- name: latest log rows
SELECT * FROM marketing.phase_completion_log ORDER BY created_at DESC LIMIT 5;

-- name: recent completions, monitored
SELECT * FROM marketing.v_recent_phase_completions LIMIT 20;

-- name: companies by phase
SELECT current_phase, COUNT(*) as count
FROM marketing.company_master
GROUP BY current_phase
ORDER BY current_phase;

-- name: failures by phase
SELECT phase_id, COUNT(*) as failures
FROM marketing.phase_completion_log
WHERE status = 'failed'
  AND completed_at >= NOW() - INTERVAL '24 hours'
GROUP BY phase_id;

-- name: average phase durations
SELECT
    phase_id,
    phase_name,
    AVG(duration_seconds) as avg_duration,
    MAX(duration_seconds) as max_duration
FROM marketing.phase_completion_log
WHERE status = 'complete'
  AND completed_at >= NOW() - INTERVAL '7 days'
GROUP BY phase_id, phase_name
ORDER BY phase_id;
