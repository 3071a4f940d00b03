from phasegate.apps.outreach import run_outreach_phase

# Execute Phase 3 for validated WV companies
result = run_outreach_phase(3, context={
    "state": "WV",
    "only_validated": True
})

if result["status"] == "complete":
    stats = result["result"]["statistics"]
    print(f"✅ Phase 3 completed")
    print(f"   Ready: {stats['ready']}")
    print(f"   Not Ready: {stats['not_ready']}")
