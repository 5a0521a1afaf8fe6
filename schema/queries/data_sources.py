"""Data sources: databases of a tenant's own that tools may read. `sealed` is the DSN; nothing here opens it."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from schema.db import Db, fetch_all, fetch_one

CHANGEABLE = ("description", "tables", "max_rows", "timeout_s", "key_id", "sealed")
SHOWN = "id, name, description, tables, max_rows, timeout_s, created_at, updated_at, created_by"

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


async def add_data_source(
    db: Db, tenant_id: UUID, source_id: UUID, name: str, values: Mapping[str, Any], *, created_by: str
) -> DictRow | None:
    """Insert a data source with all columns of CHANGEABLE; None if the name is taken."""
    sql = f"""INSERT INTO data_sources (tenant_id, id, name, created_by, {", ".join(CHANGEABLE)})
      VALUES (%(tenant_id)s, %(id)s, %(name)s, %(created_by)s, {", ".join(f"%({column})s" for column in CHANGEABLE)})
      ON CONFLICT (tenant_id, name) DO NOTHING RETURNING {SHOWN}"""
    about = {"tenant_id": tenant_id, "id": source_id, "name": name, "created_by": created_by}
    return await fetch_one(db, sql, about | _packed(values))


async def change_data_source(db: Db, tenant_id: UUID, name: str, values: Mapping[str, Any]) -> DictRow | None:
    """Set the given columns of CHANGEABLE and return the data source."""
    changes = ", ".join(f"{column} = %({column})s" for column in CHANGEABLE if column in values)
    sql = f"""UPDATE data_sources SET {changes + ", " if changes else ""}updated_at = now()
      WHERE tenant_id = %(tenant_id)s AND name = %(name)s RETURNING {SHOWN}"""
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "name": name} | _packed(values))


async def delete_data_source(db: Db, tenant_id: UUID, name: str) -> bool:
    """Forget a data source; False if there was none."""
    sql = "DELETE FROM data_sources WHERE tenant_id = %(tenant_id)s AND name = %(name)s RETURNING name"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "name": name}) is not None


def _packed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {column: Jsonb(value) if column == "tables" else value for column, value in values.items()}
