"""Who is behind a key or a token. Keys and foreign issuers are looked up before their tenant is known, by functions that have
the system's rights (migration 0002)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from schema.identity.budgets import budget_json
from schema.identity.rights import Role
from schema.identity.tenancy import TenantSnapshot, read_tenant_snapshot
from schema.postgres.batch import ScopedStatement, run_each
from schema.postgres.connections import Db, Pool, connection, fetch_all, fetch_one
from schema.queries.identity.identity_providers import TrustedIssuer
from schema.queries.identity.users import SignInUser, UserState, read_sign_in_user


class PresentedKey(msgspec.Struct, frozen=True, kw_only=True):
    """An API key as a request presents it, with whom it acts for, if that is a person, and its tenant's snapshot."""

    tenant_id: UUID
    id: UUID
    digest: str
    role: Role
    scopes: list[str] | None
    expires_at: datetime | None
    revoked_at: datetime | None
    user_id: UUID | None
    user_role: Role | None
    user_state: UserState | None
    tenant_snapshot: TenantSnapshot
    budgets: list[dict[str, Any]]
    front_end_prompts: str | None

    def __repr__(self) -> str:
        return f"PresentedKey(id={self.id})"


async def find_keys(pool: Pool, finds: Sequence[str]) -> dict[str, PresentedKey]:
    """Return keys by their public halves."""
    sql = """SELECT w.find AS wanted, k.*, k.facts AS tenant_snapshot
      FROM unnest(%(finds)s::text[]) AS w (find), LATERAL find_presented_key(w.find) AS k"""
    async with connection(pool) as db:
        rows = await fetch_all(db, sql, {"finds": list(finds)})
    return {row["wanted"]: msgspec.convert(row, PresentedKey, strict=False) for row in rows}


async def touch_keys(pool: Pool, tenant_ids: Sequence[UUID], key_ids: Sequence[UUID]) -> None:
    """Note that these keys were used just now."""
    async with connection(pool) as db:
        await db.execute("SELECT touch_keys(%s, %s)", (list(tenant_ids), list(key_ids)))


async def find_logins(pool: Pool, wanted: Sequence[tuple[UUID, UUID]]) -> dict[tuple[UUID, UUID], SignInUser]:
    """Return the users of sign-ins, by tenant and id, in one round trip. A sign-in that was ended is missing, and so is one of
    a disabled user."""
    sql = f"""SELECT u.id, u.role, u.email, u.name, u.state, tenant_facts(u.tenant_id) AS tenant_snapshot,
        jsonb_build_array({budget_json("user", "u")}) AS budgets
      FROM logins l JOIN users u ON u.tenant_id = l.tenant_id AND u.id = l.user_id
      WHERE l.tenant_id = %(tenant_id)s AND l.id = %(login_id)s AND l.revoked_at IS NULL AND l.expires_at > now()
        AND u.state = 'active'"""
    statements: list[ScopedStatement] = [
        (tenant_id, None, (sql, {"tenant_id": tenant_id, "login_id": login_id})) for tenant_id, login_id in wanted
    ]
    results = zip(wanted, await run_each(pool, statements), strict=True)
    users = {login: read_sign_in_user(rows.first() or None) for login, rows in results}
    return {login: user for login, user in users.items() if user is not None}


async def find_identity_providers(pool: Pool, issuer: str) -> list[TrustedIssuer]:
    """Return the identity providers with this issuer, of whichever tenant: their audiences tell them apart."""
    sql = """SELECT tenant_id, id, issuer, audience, jwks_url, role, role_claim, sign_up
      FROM find_identity_providers(%(issuer)s)"""
    async with connection(pool) as db:
        return await fetch_all(db, sql, {"issuer": issuer}, into=TrustedIssuer)


async def find_tenant_snapshot(db: Db, tenant_id: UUID) -> TenantSnapshot | None:
    """Return what every request needs of its tenant, as it is now."""
    row = await fetch_one(db, "SELECT tenant_facts(%(tenant_id)s) AS facts", {"tenant_id": tenant_id})
    return read_tenant_snapshot(row["facts"]) if row and row["facts"] else None


async def find_tenant_id(pool: Pool, slug: str) -> UUID | None:
    """Return the id of the tenant with this slug, before anybody has signed in to it."""
    async with connection(pool) as db:
        row = await (await db.execute("SELECT find_tenant_id(%s) AS id", (slug,))).fetchone()
    return row["id"] if row else None
