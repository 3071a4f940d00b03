from phasegate.apps.outreach import run_outreach_phase

# Phase 3 requires Phase 1 and Phase 2 to be complete
result = run_outreach_phase(3, context={"state": "WV"})

# If dependencies not met, execution fails with clear error
# Error: "Phase 3 requires Phase 1 and Phase 2 to be complete first"
