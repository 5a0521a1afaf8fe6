"""Who is behind a key or a token. Keys and foreign issuers are looked up before their tenant is known, by functions that have
the system's rights (migration 0002)."""

from collections.abc import Sequence
from uuid import UUID

from psycopg.rows import DictRow

from schema.db import Pool, connection, fetch_one, tenant_tx


async def find_key(pool: Pool, find: str) -> DictRow | None:
    """Return a key by its public half, with its user's role and state and its tenant's facts."""
    async with connection(pool) as db:
        return await (await db.execute("SELECT * FROM find_key(%s)", (find,))).fetchone()


async def touch_keys(pool: Pool, tenant_ids: Sequence[UUID], key_ids: Sequence[UUID]) -> None:
    """Note that these keys were used just now."""
    async with connection(pool) as db:
        await db.execute("SELECT touch_keys(%s, %s)", (list(tenant_ids), list(key_ids)))


async def find_login(pool: Pool, tenant_id: UUID, login_id: UUID) -> DictRow | None:
    """Return a sign-in that is not over with its user (id, role, email, name) and its tenant's `facts`; None if the sign-in
    was ended or the user disabled."""
    sql = """SELECT u.id, u.role, u.email, u.name, tenant_facts(u.tenant_id) AS facts
      FROM logins l JOIN users u ON u.tenant_id = l.tenant_id AND u.id = l.user_id
      WHERE l.tenant_id = %(tenant_id)s AND l.id = %(login_id)s AND l.revoked_at IS NULL AND l.expires_at > now()
        AND u.state = 'active'"""
    async with tenant_tx(pool, tenant_id) as db:
        return await fetch_one(db, sql, {"tenant_id": tenant_id, "login_id": login_id})


async def find_identity_providers(pool: Pool, issuer: str) -> list[DictRow]:
    """Return the identity providers with this issuer, of whichever tenant: their audiences tell them apart."""
    async with connection(pool) as db:
        return await (await db.execute("SELECT * FROM find_identity_providers(%s)", (issuer,))).fetchall()


async def find_tenant_id(pool: Pool, slug: str) -> UUID | None:
    """Return the id of the tenant with this slug, before anybody has signed in to it."""
    async with connection(pool) as db:
        row = await (await db.execute("SELECT find_tenant_id(%s) AS id", (slug,))).fetchone()
    return row["id"] if row else None
