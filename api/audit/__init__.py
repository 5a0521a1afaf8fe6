"""The audit log: `log.py` writes entries, `routes.py` lets owners and admins read them."""
