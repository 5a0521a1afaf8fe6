"""Files that clients keep here, outside of any collection."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Index, LargeBinary, text
from sqlmodel import Field

from schema.tables.base import Table
from schema.tables.columns import tenant_key, timestamp


class File(Table, table=True):
    """A stored file. It is its user's, or the tenant's without one; `purpose` is what the client wants it for."""

    __tablename__ = "files"
    __table_args__ = (
        Index("files_expiry", "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
        Index("files_for_purpose", "tenant_id", "purpose", "id"),
        Index("files_of_user", "tenant_id", "user_id", "id"),
        Index("files_of_user_for_purpose", "tenant_id", "user_id", "purpose", "id"),
    )

    tenant_id: UUID = tenant_key()
    id: UUID = Field(primary_key=True)
    user_id: UUID | None = None
    name: str
    purpose: str
    media_type: str
    size_bytes: int = Field(sa_type=BigInteger)
    sha256: bytes = Field(sa_type=LargeBinary)
    stored_as: str
    created_at: datetime = timestamp(default=True)
    expires_at: datetime | None = timestamp()
