"""Grants: which models, agents and tools a tenant may use, and the checks that other routes share."""
