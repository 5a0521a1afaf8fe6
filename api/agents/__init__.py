"""Agents: those that a caller may call, and a tenant's own to manage."""
