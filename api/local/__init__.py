"""The local stack: Postgres and Valkey from wheels as child processes, without root, Docker or an account.

Not for production: there, `HEADRACE_DATABASE_URL` and `HEADRACE_REDIS_URL` name real servers.
`api/local/stores/local_stores.py` decides.
"""
