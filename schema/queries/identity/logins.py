"""Sign-ins and their refresh tokens. A refresh token is stored as its SHA-256."""

from datetime import timedelta
from typing import Literal
from uuid import UUID

from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.queries.identity.users import SignInUser, read_sign_in_user

TokenUse = Literal["first", "repeated", "reused", "unknown"]

ADD = """
INSERT INTO logins (tenant_id, id, user_id, expires_at, address, client)
VALUES (%(tenant_id)s, %(id)s, %(user_id)s, now() + %(lasts)s, %(address)s, %(client)s)
"""

# Of those that come together with the same token one finds it unused: the others wait for the row and look again.
USE = """
UPDATE refresh_tokens SET used_at = now()
WHERE tenant_id = %(tenant_id)s AND login_id = %(login_id)s AND digest = %(digest)s AND used_at IS NULL
RETURNING login_id
"""

# The row of a concurrent use is read as that left it, since `USE` has waited for it.
FIND_USE = """
SELECT used_at > now() - %(grace)s AS just_used FROM refresh_tokens
WHERE tenant_id = %(tenant_id)s AND login_id = %(login_id)s AND digest = %(digest)s AND used_at IS NOT NULL
"""

EXTEND = """
UPDATE logins l SET expires_at = now() + %(lasts)s FROM users u
WHERE l.tenant_id = %(tenant_id)s AND l.id = %(id)s AND l.revoked_at IS NULL AND l.expires_at > now()
  AND u.tenant_id = l.tenant_id AND u.id = l.user_id AND u.state = 'active'
RETURNING u.id, u.email, u.name, u.role, u.state, tenant_facts(l.tenant_id) AS tenant_snapshot
"""

END = """
UPDATE logins SET revoked_at = now(), revoked_for = %(reason)s
WHERE tenant_id = %(tenant_id)s AND revoked_at IS NULL AND (%(id)s::uuid IS NULL OR id = %(id)s)
  AND (%(user_id)s::uuid IS NULL OR user_id = %(user_id)s) AND (%(but)s::uuid IS NULL OR id <> %(but)s)
RETURNING id, user_id
"""


async def add_login(
    db: Db,
    tenant_id: UUID,
    login_id: UUID,
    user_id: UUID,
    *,
    lasts: timedelta,
    address: str | None,
    client: str | None,
) -> None:
    """Insert a sign-in that is over after `lasts`, and note it with its user."""
    values = {"tenant_id": tenant_id, "id": login_id, "user_id": user_id, "lasts": lasts}
    await db.execute(ADD, {**values, "address": address, "client": client})
    sql = "UPDATE users SET last_login_at = now() WHERE tenant_id = %(tenant_id)s AND id = %(user_id)s"
    await db.execute(sql, {"tenant_id": tenant_id, "user_id": user_id})


async def add_refresh_token(db: Db, tenant_id: UUID, login_id: UUID, digest: str) -> None:
    """Insert a refresh token by its SHA-256, if it isn't there yet; delete used ones that would have expired by now."""
    sql = "INSERT INTO refresh_tokens (tenant_id, login_id, digest) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
    await db.execute(sql, (tenant_id, login_id, digest))
    sql = """DELETE FROM refresh_tokens
      WHERE tenant_id = %s AND login_id = %s AND used_at < now() - interval '30 days'"""
    await db.execute(sql, (tenant_id, login_id))


async def use_refresh_token(db: Db, tenant_id: UUID, login_id: UUID, digest: str, *, grace: timedelta) -> TokenUse:
    """Mark a refresh token as used, and return whether that was its first use, one within `grace` after it, or a later one."""
    values = {"tenant_id": tenant_id, "login_id": login_id, "digest": digest, "grace": grace}
    if await fetch_one(db, USE, values) is not None:
        return "first"
    row = await fetch_one(db, FIND_USE, values)
    if row is None:
        return "unknown"
    return "repeated" if row["just_used"] else "reused"


async def extend_login(db: Db, tenant_id: UUID, login_id: UUID, *, lasts: timedelta) -> SignInUser | None:
    """Let a sign-in go on for `lasts` from now and return its user with the tenant's snapshot; None if it has ended or the
    user is disabled."""
    row = await fetch_one(db, EXTEND, {"tenant_id": tenant_id, "id": login_id, "lasts": lasts})
    return read_sign_in_user(row)


async def end_login(db: Db, tenant_id: UUID, login_id: UUID, *, reason: str) -> UUID | None:
    """End one sign-in and return its user; None if it had ended before."""
    values = {"tenant_id": tenant_id, "id": login_id, "user_id": None, "but": None, "reason": reason}
    row = await fetch_one(db, END, values)
    return row["user_id"] if row else None


async def end_logins(db: Db, tenant_id: UUID, user_id: UUID, *, reason: str, but: UUID | None = None) -> int:
    """End all sign-ins of a user, except one; return how many there were."""
    values = {"tenant_id": tenant_id, "id": None, "user_id": user_id, "but": but, "reason": reason}
    return len(await fetch_all(db, END, values))
