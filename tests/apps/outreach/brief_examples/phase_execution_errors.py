from phasegate.apps.outreach import retry_failed_phase, run_outreach_phase

result = run_outreach_phase(1.1, context={"state": "WV"})

if result["status"] == "failed":
    print(f"❌ Phase failed: {result['error_message']}")

    # Phase can be retried
    retry_result = retry_failed_phase(1.1, context={"state": "WV"})
