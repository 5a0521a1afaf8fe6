"""Alembic migrations; they run while the version before still serves (add first, remove a release later)."""
