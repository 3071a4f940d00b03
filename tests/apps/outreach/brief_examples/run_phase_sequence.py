from phasegate.apps.outreach import run_phase_sequence

results = run_phase_sequence(
    phase_ids=[1, 1.1, 3],  # List of phase IDs in order
    context={},             # Shared context for all phases
    stop_on_error=True      # Stop if any phase fails
)
