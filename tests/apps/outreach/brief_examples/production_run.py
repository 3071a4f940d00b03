from phasegate.apps.outreach import run_outreach_phase

# Execute Phase 1.1 for all WV people
result = run_outreach_phase(1.1, context={"state": "WV"})

if result["status"] == "complete":
    print(f"✅ Phase 1.1 completed: {result['result']['statistics']}")
else:
    print(f"❌ Phase 1.1 failed: {result['error_message']}")
