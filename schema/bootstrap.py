"""The first rows of a new installation: a tenant to try things with, and the key of its client."""

from typing import Any
from uuid import UUID

import psycopg

from schema.ids import new_id
from schema.keys import read_api_key

DEMO = "demo"


def ensure_demo_tenant(database_url: str, key: str) -> None:
    """Make sure that the tenant `demo` exists and that `key` (plain text, as made by `new_api_key`) opens it."""
    with psycopg.connect(database_url) as db:
        tenant_id = ensure_tenant(db, DEMO, "Demo")
        ensure_api_key(db, tenant_id, key, name="demo")


def ensure_tenant(
    db: psycopg.Connection[Any],
    slug: str,
    name: str,
    *,
    weight: int = 1,
    max_running: int = 100,
    max_queued: int = 20000,
) -> UUID:
    """Return the id of the tenant with this slug, made if it isn't there; `db` is a connection of the tables' owner."""
    db.execute(
        """INSERT INTO tenants (id, slug, name, weight, max_running, max_queued) VALUES (%s, %s, %s, %s, %s, %s)
          ON CONFLICT (slug) DO NOTHING""",
        (new_id(), slug, name, weight, max_running, max_queued),
    )
    row = db.execute("SELECT id FROM tenants WHERE slug = %s", (slug,)).fetchone()
    assert row is not None
    return row[0]


def ensure_api_key(db: psycopg.Connection[Any], tenant_id: UUID, key: str, *, name: str) -> None:
    """Store the hash of `key` for the tenant, once. Raises ValueError for something that isn't a key."""
    parts = read_api_key(key)
    if parts is None:
        raise ValueError("this is not a headrace API key: it begins with hr_ and ends with a checksum")
    db.execute(
        """INSERT INTO api_keys (tenant_id, id, find, digest, name) VALUES (%s, %s, %s, %s, %s)
          ON CONFLICT (find) DO NOTHING""",
        (tenant_id, new_id(), parts.find, parts.digest, name),
    )
