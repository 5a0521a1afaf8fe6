"""Files that clients keep here. Their bytes are scheduled for removal before they are stored, as those of documents are
(`schema/queries/documents/file_removals.py`); the statements that add a file cancel that."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from schema.postgres.batch import Statement
from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.queries.documents.file_removals import cancel_removals
from schema.queries.documents.uploads import CHECK_STORAGE
from schema.queries.pages import LAST_ID


class StoredFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file, and where its bytes are."""

    id: UUID
    name: str
    purpose: str
    media_type: str
    size_bytes: int
    sha256: bytes
    stored_as: str
    created_at: datetime
    expires_at: datetime | None


COLUMNS = ", ".join(StoredFile.__struct_fields__)
NOT_EXPIRED = "(expires_at IS NULL OR expires_at > now())"

ADD = """
INSERT INTO files (tenant_id, id, user_id, name, purpose, media_type, size_bytes, sha256, stored_as, expires_at)
VALUES (%(tenant_id)s, %(id)s, %(user_id)s, %(name)s, %(purpose)s, %(media_type)s, %(size_bytes)s, %(sha256)s, %(stored_as)s,
  now() + make_interval(secs => %(ttl_s)s::int))
"""

# Filters that were not given are left out, so that each has its index.
PAGE = """
SELECT {columns} FROM files WHERE tenant_id = %(tenant_id)s AND id {beyond} %(after)s {filters} AND {not_expired}
ORDER BY id {order} LIMIT %(limit)s
"""
FILTERS = {"purpose": "AND purpose = %(purpose)s", "user_id": "AND user_id = %(user_id)s"}


def add_file(tenant_id: UUID, values: dict[str, Any]) -> list[Statement]:
    """Return the statements that add a file, together. They raise `REMOVAL_STARTED` and `STORAGE_FULL`."""
    return [
        cancel_removals(tenant_id, [values["stored_as"]]),
        (ADD, values | {"tenant_id": tenant_id}),
        (CHECK_STORAGE, {"tenant_id": tenant_id}),
    ]


async def find_file(db: Db, tenant_id: UUID, file_id: UUID) -> StoredFile | None:
    """Return one file."""
    sql = f"SELECT {COLUMNS} FROM files WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND {NOT_EXPIRED}"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": file_id}, into=StoredFile)


async def list_files(
    db: Db,
    tenant_id: UUID,
    *,
    limit: int,
    after: UUID | None,
    newest_first: bool,
    purpose: str | None = None,
    user_id: UUID | None = None,
) -> list[StoredFile]:
    """Return files in the order of their creation; `after` is the last id of the page before, `user_id` is to be that of the
    transaction, which sees no others' files."""
    asked = {"purpose": purpose, "user_id": user_id}
    filters = " ".join(FILTERS[name] for name, value in asked.items() if value is not None)
    beyond, order, start = ("<", "DESC", LAST_ID) if newest_first else (">", "ASC", UUID(int=0))
    sql = PAGE.format(columns=COLUMNS, beyond=beyond, order=order, filters=filters, not_expired=NOT_EXPIRED)
    values = {"tenant_id": tenant_id, "after": after or start, "limit": limit, **asked}
    return await fetch_all(db, sql, values, into=StoredFile)


async def delete_file(db: Db, tenant_id: UUID, file_id: UUID) -> bool:
    """Delete a file, and its bytes a moment later; False if there is none."""
    sql = "DELETE FROM files WHERE tenant_id = %(tenant_id)s AND id = %(id)s RETURNING id"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": file_id}) is not None
