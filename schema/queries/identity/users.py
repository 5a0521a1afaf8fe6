"""People of a tenant. Emails come in lower case."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from schema.identity.budgets import LIMITS, budget_json
from schema.identity.rights import Role
from schema.identity.tenancy import TenantSnapshot
from schema.postgres.connections import Db, fetch_all, fetch_one

UserState = Literal["active", "disabled"]


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A person. `provider_id` is the identity provider that they come through."""

    id: UUID
    email: str
    name: str
    role: Role
    state: UserState
    has_password: bool
    provider_id: UUID | None
    created_at: datetime
    updated_at: datetime
    last_login_at: datetime | None
    budget_day_nanos: int | None
    budget_month_nanos: int | None
    tokens_per_day: int | None


class SignInUser(msgspec.Struct, frozen=True, kw_only=True):
    """A person who signs in or comes with a token, and what requests must know of their tenant. `password_hash` and
    `known_addresses`, those of the latest sign-ins, are there only where a password is about to be checked."""

    id: UUID
    email: str
    name: str
    role: Role
    state: UserState
    tenant_snapshot: TenantSnapshot
    password_hash: str | None = None
    known_addresses: tuple[str, ...] = ()
    budgets: list[dict[str, Any]] = []

    def __repr__(self) -> str:
        return f"SignInUser(id={self.id})"


COLUMNS = """id, email, name, role, state, password_hash IS NOT NULL AS has_password, provider_id, created_at, updated_at,
  last_login_at, budget_day_nanos, budget_month_nanos, tokens_per_day"""

LIST = f"""
SELECT {COLUMNS} FROM users
WHERE tenant_id = %(tenant_id)s AND email > %(after)s
  AND (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(role)s::text IS NULL OR role = %(role)s)
  AND (%(search)s::text IS NULL OR strpos(lower(email || ' ' || name), lower(%(search)s)) > 0)
ORDER BY email LIMIT %(limit)s
"""

ADD = f"""
INSERT INTO users (tenant_id, id, email, name, role, password_hash, provider_id, subject)
VALUES (%(tenant_id)s, %(id)s, %(email)s, %(name)s, %(role)s, %(password_hash)s, %(provider_id)s, %(subject)s)
ON CONFLICT DO NOTHING RETURNING {COLUMNS}
"""

# An admin is never handed to an identity provider, whatever email it vouches for.
LINK = """
UPDATE users SET provider_id = %(provider_id)s, subject = %(subject)s, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND email = %(email)s AND provider_id IS NULL AND state = 'active' AND role <> 'admin'
RETURNING id
"""

FOR_SIGN_IN = """
SELECT id, email, name, role, state, password_hash, tenant_facts(tenant_id) AS tenant_snapshot,
  ARRAY(SELECT address FROM (
    SELECT id, address FROM logins l WHERE l.tenant_id = u.tenant_id AND l.user_id = u.id AND address IS NOT NULL
    ORDER BY id DESC LIMIT 50) latest) AS known_addresses
FROM users u WHERE tenant_id = %(tenant_id)s AND (email = %(email)s OR id = %(id)s)
"""

CHANGEABLE = ("name", "role", "state", "password_hash", *LIMITS)


def read_sign_in_user(row: Mapping[str, Any] | None) -> SignInUser | None:
    """Return the user of a row, None for none."""
    return None if row is None else msgspec.convert(row, SignInUser, strict=False)


async def find_user(db: Db, tenant_id: UUID, user_id: UUID) -> User | None:
    """Return one user."""
    sql = f"SELECT {COLUMNS} FROM users WHERE tenant_id = %(tenant_id)s AND id = %(id)s"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": user_id}, into=User)


async def lock_user(db: Db, tenant_id: UUID, user_id: UUID) -> User | None:
    """Return one user, whom nobody else changes before this transaction ends. Those who lead the tenant are locked before,
    in the order of their ids, so that of two who demote each other the second sees what the first did."""
    sql = """SELECT id FROM users WHERE tenant_id = %(tenant_id)s AND role IN ('admin', 'owner')
      ORDER BY id FOR NO KEY UPDATE"""
    await db.execute(sql, {"tenant_id": tenant_id})
    sql = f"SELECT {COLUMNS} FROM users WHERE tenant_id = %(tenant_id)s AND id = %(id)s FOR NO KEY UPDATE"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": user_id}, into=User)


async def count_others(db: Db, tenant_id: UUID, role: str, *, but: UUID) -> int:
    """Count the active users with a role, without one of them."""
    sql = """SELECT count(*) AS number FROM users
      WHERE tenant_id = %(tenant_id)s AND role = %(role)s AND state = 'active' AND id <> %(but)s"""
    row = await fetch_one(db, sql, {"tenant_id": tenant_id, "role": role, "but": but})
    assert row is not None
    return row["number"]


async def find_password(
    db: Db, tenant_id: UUID, *, email: str | None = None, user_id: UUID | None = None
) -> SignInUser | None:
    """Return what a check of a user's password needs, by email or by id."""
    return read_sign_in_user(await fetch_one(db, FOR_SIGN_IN, {"tenant_id": tenant_id, "email": email, "id": user_id}))


async def find_subject(db: Db, tenant_id: UUID, provider_id: UUID, subject: str) -> SignInUser | None:
    """Return the user whom an identity provider calls `subject`, with the tenant's snapshot."""
    sql = f"""SELECT id, email, name, role, state, tenant_facts(tenant_id) AS tenant_snapshot,
        jsonb_build_array({budget_json("user", "users")}) AS budgets FROM users
      WHERE tenant_id = %(tenant_id)s AND provider_id = %(provider_id)s AND subject = %(subject)s"""
    return read_sign_in_user(
        await fetch_one(db, sql, {"tenant_id": tenant_id, "provider_id": provider_id, "subject": subject})
    )


async def link_user(db: Db, tenant_id: UUID, provider_id: UUID, subject: str, *, email: str) -> UUID | None:
    """Give the user with this email to an identity provider, once and never an admin; None if there is no such user."""
    values = {"tenant_id": tenant_id, "provider_id": provider_id, "subject": subject, "email": email}
    row = await fetch_one(db, LINK, values)
    return row["id"] if row else None


async def list_users(
    db: Db,
    tenant_id: UUID,
    *,
    limit: int,
    after: str = "",
    state: str | None = None,
    role: str | None = None,
    search: str | None = None,
) -> list[User]:
    """Return users by email; `after` is the last email of the page before."""
    values: dict[str, Any] = {"tenant_id": tenant_id, "limit": limit, "after": after}
    return await fetch_all(db, LIST, {**values, "state": state, "role": role, "search": search}, into=User)


async def add_user(
    db: Db,
    tenant_id: UUID,
    user_id: UUID,
    *,
    email: str,
    name: str,
    role: str,
    password_hash: str | None = None,
    provider_id: UUID | None = None,
    subject: str | None = None,
) -> User | None:
    """Insert a user and return it; None if the tenant has one with this email or subject."""
    values: dict[str, Any] = {"tenant_id": tenant_id, "id": user_id, "email": email, "name": name, "role": role}
    values |= {"password_hash": password_hash, "provider_id": provider_id, "subject": subject}
    return await fetch_one(db, ADD, values, into=User)


async def change_user(db: Db, tenant_id: UUID, user_id: UUID, values: Mapping[str, Any]) -> User | None:
    """Set the given columns of CHANGEABLE and return the user."""
    changes = "".join(f"{name} = %({name})s, " for name in CHANGEABLE if name in values)
    sql = f"""UPDATE users SET {changes}updated_at = now() WHERE tenant_id = %(tenant_id)s AND id = %(id)s
      RETURNING {COLUMNS}"""
    return await fetch_one(db, sql, {**values, "tenant_id": tenant_id, "id": user_id}, into=User)


async def delete_user(db: Db, tenant_id: UUID, user_id: UUID) -> bool:
    """Delete a user with their sign-ins and keys; what they said and used stays."""
    sql = "DELETE FROM users WHERE tenant_id = %(tenant_id)s AND id = %(id)s RETURNING id"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": user_id}) is not None
