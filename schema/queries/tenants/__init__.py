"""Statements about tenants: grants, settings, usage, audit log, figures, retention."""
