from phasegate.apps.outreach import run_phase_sequence

# Execute Phase 1, 1.1, and 3 in sequence
results = run_phase_sequence(
    phase_ids=[1, 1.1, 3],
    context={"state": "WV"},
    stop_on_error=True
)

# Report results
for result in results:
    if result["status"] == "complete":
        print(f"✅ Phase {result['phase_id']}: {result['phase_name']}")
    else:
        print(f"❌ Phase {result['phase_id']}: {result['error_message']}")
