"""Sealed secrets wherever they stand, for the change of keys: which keys are in use, and batches of rows to reseal.

Run by the tables' owner, across tenants, but for `check_keys`. What a secret is for is known by the queries of its own noun.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from schema.errors import Unavailable
from schema.postgres.connections import Db, Pool, connection, fetch_all
from schema.vault import PLATFORM, Sealed, Vault


@dataclass(frozen=True)
class SealedTable:
    """A table with the columns `key_id` and `sealed`, which are bound to its tenant (or PLATFORM) and to column `owner`."""

    name: str
    owner: str = "id"
    has_tenant: bool = True

    @property
    def tenant(self) -> str:
        return "t.tenant_id" if self.has_tenant else f"'{PLATFORM}'::uuid"


SEALED_TABLES = {
    table.name: table
    for table in (
        SealedTable("credentials"),
        SealedTable("identity_providers"),
        SealedTable("job_secrets", owner="job_id"),
        SealedTable("signing_keys", has_tenant=False),
        SealedTable("tools"),
        SealedTable("data_sources"),
        SealedTable("webhook_endpoints"),
        SealedTable("callback_secrets", owner="tenant_id"),
        SealedTable("triggers"),
        SealedTable("certificates", has_tenant=False),
        SealedTable("acme_accounts", has_tenant=False),
    )
}
"""Every table that holds sealed secrets. One that is forgotten here would be lost with the old key; a test looks."""


@dataclass(frozen=True)
class KeyUse:
    """How many rows of a table were sealed with a key."""

    table: str
    key_id: str
    rows: int


@dataclass(frozen=True)
class SealedRow:
    """A sealed secret and the row that it belongs to."""

    tenant_id: UUID
    owner_id: UUID
    sealed: Sealed


KEY_IDS = " UNION ALL ".join(
    f"SELECT '{name}' AS table, key_id, count(*) AS rows FROM {name} WHERE key_id IS NOT NULL GROUP BY key_id"
    for name in SEALED_TABLES
)

# In the order of the primary key, so that a long table is read once, however many batches it takes.
STALE = """
SELECT {tenant} AS tenant_id, t.{owner} AS owner_id, t.key_id, t.sealed FROM {name} t
WHERE t.key_id <> %(key_id)s AND ({tenant}, t.{owner}) > (%(after_tenant)s, %(after_owner)s)
ORDER BY tenant_id, owner_id LIMIT %(limit)s
"""

# A row that somebody else has locked is left out: we never wait while holding locks, so nobody deadlocks with us.
REPLACE = """
WITH fresh AS (
  SELECT * FROM unnest(%(tenants)s::uuid[], %(owners)s::uuid[], %(old)s::bytea[], %(key_ids)s::text[], %(new)s::bytea[])
    AS f (tenant_id, owner_id, old, key_id, sealed)),
free AS (
  SELECT fresh.* FROM {name} t JOIN fresh ON {tenant} = fresh.tenant_id AND t.{owner} = fresh.owner_id
  WHERE t.sealed = fresh.old FOR NO KEY UPDATE OF t SKIP LOCKED)
UPDATE {name} t SET key_id = free.key_id, sealed = free.sealed
FROM free WHERE {tenant} = free.tenant_id AND t.{owner} = free.owner_id AND t.sealed = free.old
RETURNING 1
"""

BEGINNING = SealedRow(UUID(int=0), UUID(int=0), Sealed("", b""))


async def list_key_ids(db: Db) -> list[KeyUse]:
    """Return which keys are in use, by table."""
    found = [KeyUse(row["table"], row["key_id"], row["rows"]) for row in await fetch_all(db, KEY_IDS, {})]
    return sorted(found, key=lambda use: (use.table, use.key_id))


async def list_stale(
    db: Db, table: str, key_id: str, *, limit: int = 500, after: SealedRow = BEGINNING
) -> list[SealedRow]:
    """Return rows of `table` that another key than `key_id` sealed, in the order of their ids, from behind `after` on."""
    values = {"key_id": key_id, "limit": limit, "after_tenant": after.tenant_id, "after_owner": after.owner_id}
    rows = await fetch_all(db, _of(table, STALE), values)
    return [SealedRow(row["tenant_id"], row["owner_id"], Sealed(row["key_id"], row["sealed"])) for row in rows]


async def replace(db: Db, table: str, rows: Sequence[SealedRow], fresh: Sequence[Sealed]) -> int:
    """Give each of `rows` the ciphertext at the same place of `fresh`, if it still holds the one that was read and nobody
    is writing it. Return how many changed."""
    values = {
        "tenants": [row.tenant_id for row in rows],
        "owners": [row.owner_id for row in rows],
        "old": [row.sealed.sealed for row in rows],
        "key_ids": [sealed.key_id for sealed in fresh],
        "new": [sealed.sealed for sealed in fresh],
    }
    return len(await fetch_all(db, _of(table, REPLACE), values))


def _of(table: str, sql: str) -> str:
    known = SEALED_TABLES[table]
    return sql.format(name=known.name, tenant=known.tenant, owner=known.owner)


async def check_keys(pool: Pool, vault: Vault) -> None:
    """Make sure that a process which starts can open every secret. Raises ValueError that names the keys it lacks; says nothing
    while Postgres is away."""
    try:
        async with connection(pool) as db:
            rows = await (await db.execute("SELECT sealed_with() AS key_id")).fetchall()
    except Unavailable:
        return
    vault.check_known(row["key_id"] for row in rows)
