"""What a tenant set for all its agents, as its owner sees it. Workers read it with the rest of the tenant's configuration
(`schema/queries/agents/agent_config.py`).
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.postgres.connections import Db, fetch_one


class TenantSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant set; what it left alone is not in `settings`."""

    settings: dict[str, Any]
    updated_at: datetime
    updated_by: str | None


PUT = """
INSERT INTO configurations (tenant_id, settings, updated_by) VALUES (%(tenant_id)s, %(settings)s, %(updated_by)s)
ON CONFLICT (tenant_id) DO UPDATE SET settings = excluded.settings, updated_at = now(), updated_by = excluded.updated_by
RETURNING settings, updated_at, updated_by
"""


async def find_configuration(db: Db, tenant_id: UUID) -> TenantSettings | None:
    """Return the tenant's settings; None where nothing was ever set."""
    sql = "SELECT settings, updated_at, updated_by FROM configurations WHERE tenant_id = %(tenant_id)s"
    return await fetch_one(db, sql, {"tenant_id": tenant_id}, into=TenantSettings)


async def put_configuration(db: Db, tenant_id: UUID, settings: dict[str, Any], *, updated_by: str) -> TenantSettings:
    """Store the settings in place of those before."""
    values = {"tenant_id": tenant_id, "settings": Jsonb(settings), "updated_by": updated_by}
    stored = await fetch_one(db, PUT, values, into=TenantSettings)
    assert stored is not None
    return stored
