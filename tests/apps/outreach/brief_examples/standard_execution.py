from phasegate.apps.outreach import run_outreach_phase

# Execute phase
result = run_outreach_phase(1.1, context={"state": "WV", "dry_run": False})

# Report results
if result["status"] == "complete":
    print(f"✅ Phase {result['phase_id']} completed successfully")
    print(f"   Duration: {result['duration_seconds']:.2f}s")

    # Extract statistics from result
    if "statistics" in result["result"]:
        stats = result["result"]["statistics"]
        print(f"   Valid: {stats['valid']}")
        print(f"   Invalid: {stats['invalid']}")
else:
    print(f"❌ Phase {result['phase_id']} failed: {result['error_message']}")
