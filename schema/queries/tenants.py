"""Tenants and API keys."""

from typing import Any
from uuid import UUID

from psycopg.rows import DictRow

from schema.db import Db, Pool, connection, fetch_one


async def find_api_key(pool: Pool, find: str) -> DictRow | None:
    """Return the key's row by its public half, before its tenant is known (a function with the system's rights)."""
    async with connection(pool) as db:
        return await (await db.execute("SELECT * FROM find_api_key(%s)", (find,))).fetchone()


async def find_tenant(db: Db, tenant_id: UUID) -> DictRow | None:
    """Return one tenant."""
    sql = "SELECT id, slug, name, weight, max_running, max_queued FROM tenants WHERE id = %(id)s"
    values: dict[str, Any] = {"id": tenant_id}
    return await fetch_one(db, sql, values)
