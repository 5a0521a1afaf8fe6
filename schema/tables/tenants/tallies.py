"""What a tenant's figures have counted already (`schema/queries/tenants/tallies.py`)."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, text
from sqlmodel import Field

from schema.tables.base import Table
from schema.tables.columns import tenant_key, timestamp


class Tally(Table, table=True):
    """So many more, or fewer, of `what`: ended jobs by state and by the minute in which they were submitted, sessions,
    messages. Rows are added, never changed; the sum of them counts."""

    __tablename__ = "tallies"

    tenant_id: UUID = tenant_key(references=False)
    id: UUID = Field(primary_key=True, sa_column_kwargs={"server_default": text("gen_random_uuid()")})
    what: str
    minute: datetime = timestamp(nullable=False)
    n: int = Field(sa_type=BigInteger)


class TallyMark(Table, table=True):
    """How far a tenant is counted: rows with smaller ids are in its tallies."""

    __tablename__ = "tally_marks"

    tenant_id: UUID = tenant_key()
    counted_before: UUID
