"""The audit log: `log.py` writes entries, `refusals.py` those of refused changes, `routes.py` lets owners and
admins read them."""
