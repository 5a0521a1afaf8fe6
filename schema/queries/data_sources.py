"""Data sources: databases of a tenant's own that tools may read. `sealed` is the DSN; nothing here opens it."""

from uuid import UUID

from psycopg.rows import DictRow

from schema.db import Db, fetch_all, fetch_one
from schema.queries.named_rows import NamedTable

CHANGEABLE = ("description", "tables", "max_rows", "timeout_s", "key_id", "sealed")
SHOWN = "id, name, description, tables, max_rows, timeout_s, created_at, updated_at, created_by"
ROWS = NamedTable("data_sources", CHANGEABLE, SHOWN, frozenset({"tables"}))

LIST = f"""
SELECT {SHOWN} FROM data_sources
WHERE tenant_id = %(tenant_id)s AND name COLLATE "C" > %(after)s
  AND (%(search)s::text IS NULL OR strpos(lower(name || ' ' || description), lower(%(search)s)) > 0)
ORDER BY name COLLATE "C" LIMIT %(limit)s
"""


async def list_data_sources(
    db: Db, tenant_id: UUID, *, limit: int, after: str = "", search: str | None = None
) -> list[DictRow]:
    """Return the tenant's data sources by name; `after` is the last name of the page before."""
    return await fetch_all(db, LIST, {"tenant_id": tenant_id, "limit": limit, "after": after, "search": search})


async def find_data_source(db: Db, tenant_id: UUID, name: str) -> DictRow | None:
    """Return one data source with its sealed DSN."""
    sql = f"SELECT {SHOWN}, key_id, sealed FROM data_sources WHERE tenant_id = %(tenant_id)s AND name = %(name)s"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "name": name})
