"""Agents: `routes.py` lists those that a caller can call, `manage.py` manages a tenant's own."""
