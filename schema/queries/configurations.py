"""What a tenant set for all its agents, as its owner sees it. Workers read it with the rest of the tenant's configuration
(`schema/queries/configuration.py`).
"""

from typing import Any
from uuid import UUID

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from schema.db import Db, fetch_one

PUT = """
INSERT INTO configurations (tenant_id, settings, updated_by) VALUES (%(tenant_id)s, %(settings)s, %(updated_by)s)
ON CONFLICT (tenant_id) DO UPDATE SET settings = excluded.settings, updated_at = now(), updated_by = excluded.updated_by
RETURNING settings, updated_at, updated_by
"""


async def find_configuration(db: Db, tenant_id: UUID) -> DictRow | None:
    """Return the tenant's settings; None where nothing was ever set."""
    sql = "SELECT settings, updated_at, updated_by FROM configurations WHERE tenant_id = %(tenant_id)s"
    return await fetch_one(db, sql, {"tenant_id": tenant_id})


async def put_configuration(db: Db, tenant_id: UUID, settings: dict[str, Any], *, updated_by: str) -> DictRow:
    """Store the settings in place of those before."""
    values = {"tenant_id": tenant_id, "settings": Jsonb(settings), "updated_by": updated_by}
    row = await fetch_one(db, PUT, values)
    assert row is not None
    return row
