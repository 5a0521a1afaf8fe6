"""Provider keys that tenants stored, sealed (`schema/vault.py`). Nothing here opens one."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.vault import Sealed


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """A credential as it may be shown: without its key. `test_code` is `ok` or an error's code, of its last try."""

    id: UUID
    service: str
    base_url: str | None
    created_at: datetime
    updated_at: datetime
    created_by: str | None
    tested_at: datetime | None
    test_code: str | None


class SealedCredential(Credential, frozen=True, kw_only=True):
    """The same with its key, sealed."""

    key_id: str
    sealed: bytes

    @property
    def key(self) -> Sealed:
        return Sealed(self.key_id, self.sealed)

    def __repr__(self) -> str:
        return f"SealedCredential(id={self.id})"


COLUMNS = "id, service, base_url, created_at, updated_at, created_by, tested_at, test_code"
SEALED_COLUMNS = f"{COLUMNS}, key_id, sealed"


async def list_credentials(db: Db, tenant_id: UUID) -> list[Credential]:
    """Return the tenant's credentials as they may be shown: without the keys."""
    sql = f"SELECT {COLUMNS} FROM credentials WHERE tenant_id = %(tenant_id)s ORDER BY service"
    return await fetch_all(db, sql, {"tenant_id": tenant_id}, into=Credential)


async def find_credential(db: Db, tenant_id: UUID, service: str) -> SealedCredential | None:
    """Return one credential with its sealed key."""
    sql = f"SELECT {SEALED_COLUMNS} FROM credentials WHERE tenant_id = %(tenant_id)s AND service = %(service)s"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "service": service}, into=SealedCredential)


async def find_credentials(db: Db, tenant_id: UUID) -> list[SealedCredential]:
    """Return all credentials with their sealed keys, for whoever builds the providers of this tenant."""
    sql = f"SELECT {SEALED_COLUMNS} FROM credentials WHERE tenant_id = %(tenant_id)s"
    return await fetch_all(db, sql, {"tenant_id": tenant_id}, into=SealedCredential)


async def put_credential(
    db: Db,
    tenant_id: UUID,
    credential_id: UUID,
    service: str,
    *,
    sealed: Sealed,
    base_url: str | None,
    created_by: str | None,
) -> Credential:
    """Store the key of a service in place of the one before; the row gets the new id, which the key is sealed for."""
    sql = f"""INSERT INTO credentials (tenant_id, id, service, base_url, key_id, sealed, created_by)
      VALUES (%(tenant_id)s, %(id)s, %(service)s, %(base_url)s, %(key_id)s, %(sealed)s, %(created_by)s)
      ON CONFLICT (tenant_id, service) DO UPDATE SET id = excluded.id, base_url = excluded.base_url,
        key_id = excluded.key_id, sealed = excluded.sealed, updated_at = now(), created_by = excluded.created_by,
        tested_at = NULL, test_code = NULL
      RETURNING {COLUMNS}"""
    values: dict[str, Any] = {"tenant_id": tenant_id, "id": credential_id, "service": service, "base_url": base_url}
    values |= {"key_id": sealed.key_id, "sealed": sealed.sealed, "created_by": created_by}
    stored = await fetch_one(db, sql, values, into=Credential)
    assert stored is not None
    return stored


async def mark_tested(db: Db, tenant_id: UUID, credential_id: UUID, code: str) -> None:
    """Note how a try of the key went: `ok` or an error's code."""
    sql = "UPDATE credentials SET tested_at = now(), test_code = %s WHERE tenant_id = %s AND id = %s"
    await db.execute(sql, (code, tenant_id, credential_id))


async def delete_credential(db: Db, tenant_id: UUID, service: str) -> bool:
    """Forget a key; False if there was none."""
    sql = "DELETE FROM credentials WHERE tenant_id = %(tenant_id)s AND service = %(service)s RETURNING id"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "service": service}) is not None
