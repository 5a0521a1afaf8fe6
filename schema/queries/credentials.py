"""Provider keys that tenants stored, sealed (`schema/vault.py`). Nothing here opens one."""

from typing import Any
from uuid import UUID

from psycopg.rows import DictRow

from schema.db import Db, fetch_all, fetch_one
from schema.vault import Sealed

SHOWN = "id, service, base_url, created_at, updated_at, created_by, tested_at, test_code"


async def list_credentials(db: Db, tenant_id: UUID) -> list[DictRow]:
    """Return the tenant's credentials as they may be shown: without the keys."""
    sql = f"SELECT {SHOWN} FROM credentials WHERE tenant_id = %(tenant_id)s ORDER BY service"
    return await fetch_all(db, sql, {"tenant_id": tenant_id})


async def find_credential(db: Db, tenant_id: UUID, service: str) -> DictRow | None:
    """Return one credential with its sealed key."""
    sql = f"""SELECT {SHOWN}, key_id, sealed FROM credentials
      WHERE tenant_id = %(tenant_id)s AND service = %(service)s"""
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "service": service})


async def find_credentials(db: Db, tenant_id: UUID) -> list[DictRow]:
    """Return all credentials with their sealed keys, for whoever builds the providers of this tenant."""
    sql = "SELECT id, service, base_url, key_id, sealed FROM credentials WHERE tenant_id = %(tenant_id)s"
    return await fetch_all(db, sql, {"tenant_id": tenant_id})


async def put_credential(
    db: Db,
    tenant_id: UUID,
    credential_id: UUID,
    service: str,
    *,
    sealed: Sealed,
    base_url: str | None,
    created_by: str | None,
) -> DictRow:
    """Store the key of a service in place of the one before; the row gets the new id, which the key is sealed for."""
    sql = f"""INSERT INTO credentials (tenant_id, id, service, base_url, key_id, sealed, created_by)
      VALUES (%(tenant_id)s, %(id)s, %(service)s, %(base_url)s, %(key_id)s, %(sealed)s, %(created_by)s)
      ON CONFLICT (tenant_id, service) DO UPDATE SET id = excluded.id, base_url = excluded.base_url,
        key_id = excluded.key_id, sealed = excluded.sealed, updated_at = now(), created_by = excluded.created_by,
        tested_at = NULL, test_code = NULL
      RETURNING {SHOWN}"""
    values: dict[str, Any] = {"tenant_id": tenant_id, "id": credential_id, "service": service, "base_url": base_url}
    values |= {"key_id": sealed.key_id, "sealed": sealed.sealed, "created_by": created_by}
    row = await fetch_one(db, sql, values)
    assert row is not None
    return row


async def mark_tested(db: Db, tenant_id: UUID, credential_id: UUID, code: str) -> None:
    """Note how a try of the key went: `ok` or an error's code."""
    sql = "UPDATE credentials SET tested_at = now(), test_code = %s WHERE tenant_id = %s AND id = %s"
    await db.execute(sql, (code, tenant_id, credential_id))


async def delete_credential(db: Db, tenant_id: UUID, service: str) -> bool:
    """Forget a key; False if there was none."""
    sql = "DELETE FROM credentials WHERE tenant_id = %(tenant_id)s AND service = %(service)s RETURNING id"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "service": service}) is not None
