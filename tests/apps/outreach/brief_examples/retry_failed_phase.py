from phasegate.apps.outreach import retry_failed_phase

result = retry_failed_phase(1.1, context={"state": "WV"})
