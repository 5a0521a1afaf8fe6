"""Signing in: tokens, passwords, identity providers. Who is calling is settled in `api/principals.py`."""
