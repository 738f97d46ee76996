"""Cine MRI, cohorts, UK Biobank tables, and a simulated download."""
