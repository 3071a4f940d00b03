"""Outreach: companies from a CSV export to validated, enriched, promoted contacts."""
