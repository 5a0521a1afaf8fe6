"""Postgres as every query reaches it: connections, batches, roles, shares of a pool. The queries are in `schema/queries/`."""
