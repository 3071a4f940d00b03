from phasegate.apps.outreach import run_outreach_phase

# NOTE: Phase 1 uses low-level validate_company() function (single record)
# For batch validation, use retro_validate_neon.py

company = {
    "company_name": "Acme Corp",
    "website": "https://acme.com",
    "employee_count": 500,
    "linkedin_url": "https://linkedin.com/company/acme",
    "industry": "Technology"
}

result = run_outreach_phase(1, context={"company": company})

if result["status"] == "complete":
    validation_result = result["result"]
    if validation_result["valid"]:
        print(f"✅ Company is valid")
    else:
        print(f"❌ Company is invalid: {validation_result['reason']}")
