"""Tenants, and what is counted and recorded of each."""
