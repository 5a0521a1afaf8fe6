"""Tenants: creation, limits, configuration, metrics, and their users for admins."""
