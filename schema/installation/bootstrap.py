"""The first rows of a new installation: an admin key, and a demo tenant with its key."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg

from schema.identity.api_keys import new_api_key, read_api_key
from schema.identity.rights import Role
from schema.ids import new_id
from schema.vault import PLATFORM

DEMO_SLUG = "demo"

VALID_ADMIN_KEY = """
SELECT 1 FROM api_keys WHERE tenant_id = %s AND role = 'admin' AND revoked_at IS NULL
  AND (expires_at IS NULL OR expires_at > now())
"""


def ensure_demo_tenant(database_url: str, key: str) -> None:
    """Make sure that the tenant `demo` exists and has the API key `key` (in plain text)."""
    with psycopg.connect(database_url) as db:
        tenant_id = ensure_tenant(db, DEMO_SLUG, "Demo")
        ensure_api_key(db, tenant_id, key, name="demo", role="owner")


def ensure_platform_admin(database_url: str, key: str | None = None) -> str | None:
    """Make sure that there is a valid admin key. If not, create one and return it in plain text.

    `key` is one that the caller has stored; it is used if the database does not know it yet, else a new one is created.
    """
    with psycopg.connect(database_url) as db:
        db.execute("SELECT pg_advisory_xact_lock(hashtext('headrace admin key'))")
        if db.execute(VALID_ADMIN_KEY, (PLATFORM,)).fetchone():
            return None
        if key is None or _is_known(db, key):
            key = new_api_key()
        ensure_api_key(db, PLATFORM, key, name="admin", role="admin")
        return key


def is_admin_key(database_url: str, key: str) -> bool:
    """Return whether the database knows `key` as a key of the installation's admin."""
    with psycopg.connect(database_url) as db:
        return _is_known(db, key)


def add_platform_admin(database_url: str) -> str:
    """Create another admin key and return it in plain text."""
    key = new_api_key()
    with psycopg.connect(database_url) as db:
        ensure_api_key(db, PLATFORM, key, name="admin", role="admin")
    return key


def ensure_tenant(
    db: psycopg.Connection[Any],
    slug: str,
    name: str,
    *,
    weight: int = 1,
    max_running: int = 100,
    max_queued: int = 20000,
    models: Sequence[str] = ("*",),
) -> UUID:
    """Return the id of the tenant with this slug, created if missing; `db` is a connection of the tables' owner.

    If it has no granted model, it is granted `models`.
    """
    db.execute(
        """INSERT INTO tenants (id, slug, name, weight, max_running, max_queued) VALUES (%s, %s, %s, %s, %s, %s)
          ON CONFLICT (slug) DO NOTHING""",
        (new_id(), slug, name, weight, max_running, max_queued),
    )
    row = db.execute("SELECT id FROM tenants WHERE slug = %s", (slug,)).fetchone()
    assert row is not None
    _grant_models(db, row[0], models)
    return row[0]


def _grant_models(db: psycopg.Connection[Any], tenant_id: UUID, models: Sequence[str]) -> None:
    db.execute(
        """INSERT INTO grants (tenant_id, kind, name, overrides) SELECT %(id)s, 'model', unnest(%(models)s::text[]), '{}'
          WHERE NOT EXISTS (SELECT FROM grants WHERE tenant_id = %(id)s AND kind = 'model') ON CONFLICT DO NOTHING""",
        {"id": tenant_id, "models": list(models)},
    )


def ensure_api_key(db: psycopg.Connection[Any], tenant_id: UUID, key: str, *, name: str, role: Role = "member") -> None:
    """Make sure that the tenant has the API key `key`, with this role. Only its hash is stored. Raises ValueError if it is
    malformed."""
    parts = read_api_key(key)
    if parts is None:
        raise ValueError("not a headrace API key; it must start with hr_ and end with a valid checksum")
    db.execute(
        """INSERT INTO api_keys (tenant_id, id, find, digest, name, role) VALUES (%s, %s, %s, %s, %s, %s)
          ON CONFLICT (find) DO UPDATE SET role = excluded.role
          WHERE api_keys.tenant_id = excluded.tenant_id AND api_keys.digest = excluded.digest""",
        (tenant_id, new_id(), parts.find, parts.digest, name, role),
    )


def _is_known(db: psycopg.Connection[Any], key: str) -> bool:
    parts = read_api_key(key)
    return parts is None or db.execute("SELECT 1 FROM api_keys WHERE find = %s", (parts.find,)).fetchone() is not None
