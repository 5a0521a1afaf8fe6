"""Who else may vouch for a tenant's users: rows of `identity_providers`. The client secret stands here sealed; nothing here
opens it. Tokens that a provider issued find their row without knowing the tenant (`schema/queries/identity/callers.py`).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.errors import UniqueViolation

from schema.errors import Conflict
from schema.identity.rights import Role
from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.vault import Sealed


class IdentityProvider(msgspec.Struct, frozen=True, kw_only=True):
    """A provider as it may be shown."""

    id: UUID
    name: str
    issuer: str
    audience: str
    client_id: str | None
    has_client_secret: bool
    jwks_url: str | None
    role: Role
    role_claim: str | None
    sign_up: bool
    created_at: datetime
    created_by: str | None


class TrustedIssuer(msgspec.Struct, frozen=True, kw_only=True):
    """A provider as whoever reads its tokens needs it. `role` is what new people become, unless `role_claim` says otherwise."""

    tenant_id: UUID
    id: UUID
    issuer: str
    audience: str
    jwks_url: str | None
    role: Role
    role_claim: str | None
    sign_up: bool


class SignInProvider(TrustedIssuer, frozen=True, kw_only=True):
    """A provider that people can sign in at; `slug` is the tenant's."""

    name: str
    slug: str
    client_id: str
    key_id: str | None
    sealed: bytes | None

    @property
    def client_secret(self) -> Sealed | None:
        return None if self.key_id is None or self.sealed is None else Sealed(self.key_id, self.sealed)

    def __repr__(self) -> str:
        return f"SignInProvider(id={self.id})"


COLUMNS = """id, name, issuer, audience, client_id, key_id IS NOT NULL AS has_client_secret, jwks_url, role, role_claim,
  sign_up, created_at, created_by"""

ADD = f"""
INSERT INTO identity_providers (tenant_id, id, name, issuer, audience, client_id, key_id, sealed, jwks_url, role, role_claim,
  sign_up, created_by)
VALUES (%(tenant_id)s, %(id)s, %(name)s, %(issuer)s, %(audience)s, %(client_id)s, %(key_id)s, %(sealed)s, %(jwks_url)s,
  %(role)s, %(role_claim)s, %(sign_up)s, %(created_by)s)
ON CONFLICT DO NOTHING RETURNING {COLUMNS}
"""

CHANGEABLE = ("audience", "client_id", "key_id", "sealed", "jwks_url", "role", "role_claim", "sign_up")
"""Not the issuer: users are known by what it calls them, and another one's "1001" is somebody else. Nor the name, which the
provider knows as part of the redirect URI."""

FOR_SIGN_IN = """
SELECT p.tenant_id, p.id, p.name, p.issuer, p.audience, p.client_id, p.key_id, p.sealed, p.jwks_url, p.role, p.role_claim,
  p.sign_up, t.slug
FROM identity_providers p JOIN tenants t ON t.id = p.tenant_id
WHERE p.tenant_id = %(tenant_id)s AND p.name = %(name)s AND p.client_id IS NOT NULL
"""

# A linked user's sign-ins with a password end too: a sign-in does not say how it began, and one too many costs a password.
END_LOGINS = """
UPDATE logins l SET revoked_at = now(), revoked_for = 'provider_deleted' FROM users u
WHERE l.tenant_id = %(tenant_id)s AND u.tenant_id = l.tenant_id AND u.id = l.user_id AND u.provider_id = %(id)s
  AND l.revoked_at IS NULL
RETURNING l.id
"""

UNLINK = """
UPDATE users SET provider_id = NULL, subject = NULL, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND provider_id = %(id)s
"""

ALREADY_REGISTERED = "A provider with this issuer and audience is registered already."


async def list_identity_providers(db: Db, tenant_id: UUID) -> list[IdentityProvider]:
    """Return the tenant's providers by name, as they may be shown: without the secrets."""
    sql = f"SELECT {COLUMNS} FROM identity_providers WHERE tenant_id = %(tenant_id)s ORDER BY name"
    return await fetch_all(db, sql, {"tenant_id": tenant_id}, into=IdentityProvider)


async def find_identity_provider(db: Db, tenant_id: UUID, provider_id: UUID) -> IdentityProvider | None:
    """Return one provider as it may be shown."""
    sql = f"SELECT {COLUMNS} FROM identity_providers WHERE tenant_id = %(tenant_id)s AND id = %(id)s"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": provider_id}, into=IdentityProvider)


async def lock_identity_provider(db: Db, tenant_id: UUID, provider_id: UUID) -> IdentityProvider | None:
    """Return one provider, which nobody else changes before this transaction ends."""
    sql = f"SELECT {COLUMNS} FROM identity_providers WHERE tenant_id = %(tenant_id)s AND id = %(id)s FOR NO KEY UPDATE"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": provider_id}, into=IdentityProvider)


async def list_sign_ins(db: Db, tenant_id: UUID) -> list[str]:
    """Return the names of the providers that people can sign in at."""
    sql = """SELECT name FROM identity_providers WHERE tenant_id = %(tenant_id)s AND client_id IS NOT NULL ORDER BY name"""
    return [row["name"] for row in await fetch_all(db, sql, {"tenant_id": tenant_id})]


async def find_sign_in(db: Db, tenant_id: UUID, name: str) -> SignInProvider | None:
    """Return a provider that people can sign in at, with its sealed secret and the tenant's `slug`."""
    return await fetch_one(db, FOR_SIGN_IN, {"tenant_id": tenant_id, "name": name}, into=SignInProvider)


async def add_identity_provider(
    db: Db, tenant_id: UUID, provider_id: UUID, values: Mapping[str, Any], *, sealed: Sealed | None
) -> IdentityProvider:
    """Insert a provider; `values` are the columns of ADD. Raises Conflict that names the field, never whose the other is."""
    secret = {"key_id": sealed.key_id if sealed else None, "sealed": sealed.sealed if sealed else None}
    about = {**values, **secret, "tenant_id": tenant_id, "id": provider_id}
    added = await fetch_one(db, ADD, about, into=IdentityProvider)
    if added is not None:
        return added
    sql = "SELECT id FROM identity_providers WHERE tenant_id = %(tenant_id)s AND name = %(name)s"
    if await fetch_one(db, sql, {"tenant_id": tenant_id, "name": values["name"]}):
        raise Conflict("An identity provider with this name already exists.", field="name")
    raise Conflict(ALREADY_REGISTERED, field="audience")


async def change_identity_provider(
    db: Db, tenant_id: UUID, provider_id: UUID, values: Mapping[str, Any]
) -> IdentityProvider | None:
    """Set the given columns of CHANGEABLE and return the provider. Raises Conflict, after which the transaction is over."""
    changes = ", ".join(f"{name} = %({name})s" for name in CHANGEABLE if name in values)
    sql = f"""UPDATE identity_providers SET {changes} WHERE tenant_id = %(tenant_id)s AND id = %(id)s
      RETURNING {COLUMNS}"""
    try:
        return await fetch_one(db, sql, {**values, "tenant_id": tenant_id, "id": provider_id}, into=IdentityProvider)
    except UniqueViolation:
        raise Conflict(ALREADY_REGISTERED, field="audience") from None


async def delete_identity_provider(db: Db, tenant_id: UUID, provider_id: UUID) -> int:
    """Delete a provider, end the sign-ins of its users and return how many; the users stay and belong to no provider."""
    values = {"tenant_id": tenant_id, "id": provider_id}
    ended = await fetch_all(db, END_LOGINS, values)
    await db.execute(UNLINK, values)
    await db.execute("DELETE FROM identity_providers WHERE tenant_id = %(tenant_id)s AND id = %(id)s", values)
    return len(ended)
