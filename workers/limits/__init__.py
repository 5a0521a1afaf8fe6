"""Tenant limits: rates, budgets, and the reservations of running jobs."""
