from phasegate.apps.outreach import retry_failed_phase

# Retry phase
result = retry_failed_phase(1.1, context={"state": "WV"})

if result["status"] == "complete":
    print(f"✅ Retry succeeded")
else:
    print(f"❌ Retry failed: {result['error_message']}")
