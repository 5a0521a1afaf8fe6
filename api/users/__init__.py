"""Users of a tenant: managing them (`routes.py`), and export and erasure of their data (`privacy.py`)."""
