from phasegate.apps.outreach import run_phase_sequence

# Execute phases 1, 1.1, and 3 in sequence for WV
results = run_phase_sequence(
    phase_ids=[1, 1.1, 3],
    context={"state": "WV"},
    stop_on_error=True
)

# Print summary
for result in results:
    status_icon = "✅" if result["status"] == "complete" else "❌"
    print(f"{status_icon} Phase {result['phase_id']}: {result['phase_name']}")
    print(f"   Duration: {result['duration_seconds']:.2f}s")

    if result["error_message"]:
        print(f"   Error: {result['error_message']}")
