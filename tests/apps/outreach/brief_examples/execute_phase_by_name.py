from phasegate.apps.outreach import execute_phase_by_name

result = execute_phase_by_name(
    "Phase 1b: People Validation Trigger",
    context={"state": "WV"}
)
