"""Tenants: created, limited, configured, with their users and figures."""
