from phasegate.apps.outreach import run_outreach_phase

# Execute Phase 1.1 for WV people
result = run_outreach_phase(1.1, context={
    "state": "WV",
    "dry_run": False,
    "limit": 100
})

if result["status"] == "complete":
    stats = result["result"]["statistics"]
    print(f"✅ Phase 1.1 completed")
    print(f"   Total: {stats['total']}")
    print(f"   Valid: {stats['valid']}")
    print(f"   Invalid: {stats['invalid']}")
    print(f"   Routed to Sheets: {stats['routed_to_sheets']}")
