"""Postgres and Valkey from wheels, as children of this process: no root, no Docker, no account.

Not for production: there, `HEADRACE_DATABASE_URL` and `HEADRACE_REDIS_URL` name real servers.
`api/local/local_stores.py` decides.
"""
