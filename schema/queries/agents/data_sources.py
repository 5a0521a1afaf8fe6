"""Data sources: databases of a tenant's own that tools may read. `sealed` is the DSN; nothing here opens it."""

from datetime import datetime
from uuid import UUID

import msgspec

from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.queries.agents.named_rows import NamedTable
from schema.vault import Sealed


class StoredDataSource(msgspec.Struct, frozen=True, kw_only=True):
    """A data source as it may be shown: without its DSN."""

    id: UUID
    name: str
    description: str
    tables: list[str]
    max_rows: int
    timeout_s: float
    ca: str | None
    created_at: datetime
    updated_at: datetime
    created_by: str | None


class SealedDataSource(StoredDataSource, frozen=True, kw_only=True):
    """The same with its DSN, sealed."""

    key_id: str
    sealed: bytes

    @property
    def dsn(self) -> Sealed:
        return Sealed(self.key_id, self.sealed)

    def __repr__(self) -> str:
        return f"SealedDataSource(id={self.id})"


CHANGEABLE = ("description", "tables", "max_rows", "timeout_s", "ca", "key_id", "sealed")
COLUMNS = "id, name, description, tables, max_rows, timeout_s, ca, created_at, updated_at, created_by"
ROWS = NamedTable("data_sources", CHANGEABLE, COLUMNS, StoredDataSource, frozenset({"tables"}))

LIST = f"""
SELECT {COLUMNS} FROM data_sources
WHERE tenant_id = %(tenant_id)s AND name COLLATE "C" > %(after)s
  AND (%(search)s::text IS NULL OR strpos(lower(name || ' ' || description), lower(%(search)s)) > 0)
ORDER BY name COLLATE "C" LIMIT %(limit)s
"""


async def list_data_sources(
    db: Db, tenant_id: UUID, *, limit: int, after: str = "", search: str | None = None
) -> list[StoredDataSource]:
    """Return the tenant's data sources by name; `after` is the last name of the page before."""
    values = {"tenant_id": tenant_id, "limit": limit, "after": after, "search": search}
    return await fetch_all(db, LIST, values, into=StoredDataSource)


async def find_data_source(db: Db, tenant_id: UUID, name: str) -> SealedDataSource | None:
    """Return one data source with its sealed DSN."""
    sql = f"SELECT {COLUMNS}, key_id, sealed FROM data_sources WHERE tenant_id = %(tenant_id)s AND name = %(name)s"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "name": name}, into=SealedDataSource)
