"""Private hosts that a tenant may reach, by use. What the operator's setting does not allow, a grant does not open."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from schema.egress_uses import EgressUse
from schema.postgres.connections import Db, Pool, fetch_all, fetch_one, tenant_tx


class EgressGrant(msgspec.Struct, frozen=True, kw_only=True):
    """A host, host:port or network that a tenant may reach for a use."""

    use: EgressUse
    host: str
    created_at: datetime
    created_by: str | None


COLUMNS = "use, host, created_at, created_by"
PUT = f"""
INSERT INTO egress_grants (tenant_id, use, host, created_by) VALUES (%(tenant_id)s, %(use)s, %(host)s, %(created_by)s)
ON CONFLICT (tenant_id, use, host) DO UPDATE SET host = excluded.host RETURNING {COLUMNS}
"""


async def list_egress_grants(db: Db, tenant_id: UUID) -> list[EgressGrant]:
    """Return what the tenant may reach, by use and host."""
    sql = f"SELECT {COLUMNS} FROM egress_grants WHERE tenant_id = %(tenant_id)s ORDER BY use, host"
    return await fetch_all(db, sql, {"tenant_id": tenant_id}, into=EgressGrant)


async def put_egress_grant(
    db: Db, tenant_id: UUID, use: EgressUse, host: str, *, created_by: str | None
) -> EgressGrant:
    """Grant a host; one that is granted stays as it is."""
    values = {"tenant_id": tenant_id, "use": use, "host": host, "created_by": created_by}
    row = await fetch_one(db, PUT, values, into=EgressGrant)
    assert row is not None
    return row


async def delete_egress_grant(db: Db, tenant_id: UUID, use: EgressUse, host: str) -> bool:
    """Take a grant back; False if there was none."""
    sql = """DELETE FROM egress_grants WHERE tenant_id = %(tenant_id)s AND use = %(use)s AND host = %(host)s
      RETURNING host"""
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "use": use, "host": host}) is not None


async def read_egress_hosts(pool: Pool, tenant_id: UUID) -> dict[EgressUse, Sequence[str]]:
    """Return what the tenant may reach, by use."""
    found: dict[EgressUse, list[str]] = {}
    async with tenant_tx(pool, tenant_id) as db:
        for grant in await list_egress_grants(db, tenant_id):
            found.setdefault(grant.use, []).append(grant.host)
    return {use: tuple(hosts) for use, hosts in found.items()}
