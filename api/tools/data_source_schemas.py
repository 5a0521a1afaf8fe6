"""Request and response structs of data sources. The DSN is accepted, and never returned."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api.http.fields import CreatedAt, CreatedBy, NextCursor, UpdatedAt

MAX_TABLES = 200

Name = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description="Unique name: a letter, then up to 63 letters, digits, `_` or `-`. Can't be changed later.",
        examples=["warehouse"],
    ),
]
Description = Annotated[str, Meta(max_length=2000, description="What the database holds.")]
# A plain string: a struct's validation error would quote the value, which contains a password.
Dsn = Annotated[
    str,
    Meta(
        max_length=4096,
        description="Connection string of a read-only role: `postgresql://USER:PASSWORD@HOST/DATABASE`. "
        "Stored encrypted, never returned.",
    ),
]
Tables = Annotated[
    list[Annotated[str, Meta(max_length=130)]],
    Meta(
        min_length=1,
        max_length=MAX_TABLES,
        description="The tables and views that tools may read, as `schema.table`.",
        examples=[["public.orders"]],
    ),
]
MaxRows = Annotated[int, Meta(ge=1, le=1000, description="Most rows that a query returns.")]
TimeoutS = Annotated[float, Meta(ge=0.1, le=60, description="Most seconds that a query may take.")]

Ca = Annotated[
    str,
    Meta(
        max_length=65_536,
        description="The certificate authority (PEM) that the server's certificate must be of, for the host of the DSN. "
        "Without one, the `sslmode` of the DSN says what is checked.",
    ),
]


class DataSourceIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Postgres database that tools may read."""

    name: Name
    dsn: Dsn
    tables: Tables
    description: Description = ""
    max_rows: MaxRows = 200
    timeout_s: TimeoutS = 10.0
    ca: Ca | None = None

    def __repr__(self) -> str:
        return f"DataSourceIn(name={self.name[:20]!r})"


class DataSourceChangeIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields of a data source to update. Omitted fields keep their value; the name can't be changed."""

    dsn: Dsn | UnsetType = UNSET
    tables: Tables | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    max_rows: MaxRows | UnsetType = UNSET
    timeout_s: TimeoutS | UnsetType = UNSET
    ca: Ca | UnsetType | None = UNSET

    def __repr__(self) -> str:
        return "DataSourceChangeIn(…)"


class DataSourceOut(msgspec.Struct, frozen=True, kw_only=True):
    """A data source, without its DSN."""

    name: Name
    description: Description
    tables: Tables
    max_rows: MaxRows
    timeout_s: TimeoutS
    ca: Ca | None
    created_at: CreatedAt
    updated_at: UpdatedAt
    created_by: CreatedBy


class DataSourcesOut(msgspec.Struct, frozen=True):
    """A page of data sources, ordered by name."""

    items: Annotated[list[DataSourceOut], Meta(description="The data sources on this page.")]
    next_cursor: NextCursor


class TableOut(msgspec.Struct, frozen=True, kw_only=True):
    """What a test found out about one table."""

    name: Annotated[str, Meta(description="The table, as `schema.table`.")]
    exists: Annotated[bool, Meta(description="Whether it exists.")]
    readable: Annotated[bool, Meta(description="Whether the role of the DSN may read it.")]


class SourceTestOut(msgspec.Struct, frozen=True, kw_only=True):
    """Result of testing a data source."""

    ok: Annotated[bool, Meta(description="Whether the database answered and every table is readable.")]
    code: Annotated[str, Meta(description="`ok`, `tables_unreadable`, or an error code.")]
    message: Annotated[str, Meta(description="The result as a sentence.")]
    latency_ms: Annotated[int, Meta(description="How long the test took, in milliseconds.")]
    tables: Annotated[
        list[TableOut], Meta(description="The tables, in order; empty if the database was not reached.")
    ] = []


NEW_SOURCE_EXAMPLE = {
    "name": "warehouse",
    "description": "Orders and customers of the shop.",
    "dsn": "postgresql://reader:…@db.example.com/shop",
    "tables": ["shop.orders", "shop.customers"],
}
SOURCE_EXAMPLE = {
    "name": "warehouse",
    "description": "Orders and customers of the shop.",
    "tables": ["shop.orders", "shop.customers"],
    "max_rows": 200,
    "timeout_s": 10.0,
    "ca": None,
    "created_at": "2026-03-02T08:15:30Z",
    "updated_at": "2026-03-02T08:15:30Z",
    "created_by": "user:019514f2-6c1e-7a34-9d2b-3f5a8c7e1b20",
}
TEST_RESULT_EXAMPLE = {
    "ok": False,
    "code": "tables_unreadable",
    "message": "Missing, or not readable by this role: shop.customers.",
    "latency_ms": 18,
    "tables": [
        {"name": "shop.orders", "exists": True, "readable": True},
        {"name": "shop.customers", "exists": True, "readable": False},
    ],
}
