from phasegate.apps.outreach import run_outreach_phase

phase_id = 1.1  # the guide leaves it to the reader

result = run_outreach_phase(
    phase_id,           # Phase identifier (int or float, e.g., 1, 1.1, 2, 3)
    context={},         # Context dictionary with inputs for phase function
    validate_deps=True, # Validate phase dependencies before execution
    log_execution=True  # Log to pipeline_events and audit_log
)
