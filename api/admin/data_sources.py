"""Data sources: databases of one's own tenant that its tools may read (A9, T1). The DSN comes in and never goes out."""

import re
import time
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
import psycopg
from litestar import Response, Router, delete, get, patch, post
from litestar.params import FromPath, JSONBody
from msgspec import UNSET, Meta, UnsetType
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow

from api.admin.deeds import note
from api.admin.own_rows import changing_own, check_name, require_name
from api.admin.words import Word
from api.describing import described
from api.errors import problems
from api.paging import Cursor, Limit, read_cursor, write_cursor
from api.principals import MayManageDataSources, Principal
from api.resources import Opened, Resources
from schema.db import Db
from schema.errors import Conflict, EgressRefused, HeadraceError, InputError, NotFound
from schema.ids import new_id
from schema.queries import data_sources
from schema.queries.audit import add_audit
from schema.vault import Sealed
from tools.data_source import DataSource, admit_dsn, reading

HERE = "/{name:str}"
NO_SOURCE = "There is no such data source of your tenant. GET /api/admin/data-sources lists them."
HOST = re.compile(r"[A-Za-z0-9._:-]{1,255}")
TABLE = re.compile(r"[^\s.\"\x00-\x1f]{1,63}\.[^\s.\"\x00-\x1f]{1,63}")
MOST_TABLES = 200

Name = Annotated[str, Meta(min_length=1, max_length=64, examples=["warehouse"])]
Description = Annotated[str, Meta(max_length=2000)]
# A plain string: where a struct refuses a value its error quotes it, and this one holds a password.
Dsn = Annotated[str, Meta(description="postgresql://USER:PASSWORD@HOST/DATABASE of a role that may only read.")]
Tables = Annotated[
    list[Annotated[str, Meta(max_length=130)]],
    Meta(
        min_length=1,
        max_length=MOST_TABLES,
        description="All that may be read, as schema.table.",
        examples=[["public.orders"]],
    ),
]
MaxRows = Annotated[int, Meta(ge=1, le=1000)]
TimeoutS = Annotated[float, Meta(ge=0.1, le=60)]


class DataSourceIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Postgres database that tools may read. `max_rows` is of one answer, `timeout_s` of one statement."""

    name: Name
    dsn: Dsn
    tables: Tables
    description: Description = ""
    max_rows: MaxRows = 200
    timeout_s: TimeoutS = 10.0

    def __repr__(self) -> str:
        return f"DataSourceIn(name={self.name[:20]!r})"


class DataSourceChangeIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes of a data source; its name stays for ever."""

    dsn: Dsn | UnsetType = UNSET
    tables: Tables | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    max_rows: MaxRows | UnsetType = UNSET
    timeout_s: TimeoutS | UnsetType = UNSET

    def __repr__(self) -> str:
        return "DataSourceChangeIn(…)"


class DataSourceOut(msgspec.Struct, frozen=True, kw_only=True):
    """A data source as it may be shown: without its DSN."""

    name: str
    description: str
    tables: list[str]
    max_rows: int
    timeout_s: float
    created_at: datetime
    updated_at: datetime
    created_by: str | None


class DataSourcesOut(msgspec.Struct, frozen=True):
    """A page of data sources, by name."""

    items: list[DataSourceOut]
    next_cursor: str | None


class TableOut(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a table is there, and whether the role of the DSN may read it."""

    name: str
    exists: bool
    readable: bool


class SourceTestOut(msgspec.Struct, frozen=True, kw_only=True):
    """How a try of a data source went; `code` is `ok` or an error's code."""

    ok: bool
    code: str
    message: str
    latency_ms: int
    tables: list[TableOut] = []


EXAMPLE = {
    "name": "warehouse",
    "description": "Orders and customers of the shop.",
    "dsn": "postgresql://reader:…@db.example.com/shop",
    "tables": ["shop.orders", "shop.customers"],
}

# By name and not by search_path, which is empty there. A role without USAGE of the schema may not read its tables.
LOOK = """
SELECT wanted, c.oid IS NOT NULL AS exists, coalesce(
    pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT'), false) AS readable
FROM pg_catalog.unnest(%(tables)s::pg_catalog.text[]) WITH ORDINALITY AS w (wanted, place)
LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = pg_catalog.split_part(wanted, '.', 1)
LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = pg_catalog.split_part(wanted, '.', 2)
  AND c.relkind IN ('r', 'v', 'm', 'f', 'p')
ORDER BY place
"""


@post("/", status_code=201, opt=described(example=EXAMPLE), responses=problems("conflict"), summary="Add a data source")
async def create_data_source(
    data: JSONBody[DataSourceIn], principal: MayManageDataSources, resources: Opened
) -> Response[DataSourceOut]:
    """Its host is looked up, and nobody is called; try it with `/test`. Private addresses must be allowed by whoever runs this
    installation."""
    check_name(data.name)
    source_id = new_id()
    values = await _columns(resources, principal, source_id, data)
    async with changing_own(resources, principal) as db:
        row = await data_sources.ROWS.add(
            db, principal.tenant_id, source_id, data.name, values, created_by=principal.actor
        )
        if row is None:
            raise Conflict(f"There is a data source {data.name!r} already. Change it, or choose another name.")
        await note(db, principal, principal.tenant_id, "data_source.created", data.name, {"tables": data.tables})
    return Response(_shown(row), headers={"Location": f"/api/admin/data-sources/{data.name}"})


@get("/", summary="List data sources")
async def list_data_sources(
    principal: MayManageDataSources, resources: Opened, search: Word = None, cursor: Cursor = None, limit: Limit = 20
) -> DataSourcesOut:
    """`search` finds parts of names and descriptions."""
    after = read_cursor(cursor, str) or ""
    async with principal.tx(resources.ports.pool) as db:
        rows = await data_sources.list_data_sources(
            db, principal.tenant_id, limit=limit + 1, after=after, search=search
        )
    items = [_shown(row) for row in rows[:limit]]
    return DataSourcesOut(items, write_cursor(items[-1].name) if len(rows) > limit else None)


@get(HERE, responses=problems("not_found"), summary="Look at a data source")
async def get_data_source(name: FromPath[str], principal: MayManageDataSources, resources: Opened) -> DataSourceOut:
    async with principal.tx(resources.ports.pool) as db:
        return _shown(await _require(db, principal, name))


@patch(HERE, responses=problems("not_found"), summary="Change a data source")
async def update_data_source(
    name: FromPath[str], data: JSONBody[DataSourceChangeIn], principal: MayManageDataSources, resources: Opened
) -> DataSourceOut:
    """Change what is named and leave the rest."""
    given = sorted(field for field in data.__struct_fields__ if getattr(data, field) is not UNSET)
    async with principal.tx(resources.ports.pool) as db:
        row = await _require(db, principal, name)
    values = await _columns(resources, principal, row["id"], data)  # looks the host up, so no transaction waits for it
    async with changing_own(resources, principal) as db:
        if given:
            row = await data_sources.ROWS.change(db, principal.tenant_id, name, values)
            if row is None:
                raise NotFound(NO_SOURCE)
            await note(db, principal, principal.tenant_id, "data_source.changed", name, {"fields": given})
    return _shown(row)


@delete(HERE, responses=problems("not_found"), summary="Forget a data source")
async def delete_data_source(name: FromPath[str], principal: MayManageDataSources, resources: Opened) -> None:
    """Tools that read it fail from then on; the database itself is left alone."""
    require_name(name, NO_SOURCE)
    async with changing_own(resources, principal) as db:
        if not await data_sources.ROWS.delete(db, principal.tenant_id, name):
            raise NotFound(NO_SOURCE)
        await note(db, principal, principal.tenant_id, "data_source.deleted", name)


@post(f"{HERE}/test", status_code=200, responses=problems("not_found"), summary="Try a data source")
async def test_data_source(name: FromPath[str], principal: MayManageDataSources, resources: Opened) -> SourceTestOut:
    """Sign in to the database and look which of the tables are there and may be read. 200 also when it fails."""
    async with principal.tx(resources.ports.pool) as db:
        row = await _require(db, principal, name)
    tried = await _try(resources, principal.tenant_id, row)
    async with principal.tx(resources.ports.pool) as db:
        await add_audit(
            db,
            principal.tenant_id,
            actor=principal.actor,
            action="data_source.tested",
            target=name,
            result="ok" if tried.ok else "failed",
            address=principal.address,
            request_id=principal.request_id,
            detail=None if tried.ok else {"code": tried.code},
        )
    return tried


async def open_source(resources: Resources, tenant_id: UUID, row: DictRow) -> DataSource:
    """Return a data source as tools take it. Raises SecretUnreadable, InputError, EgressRefused."""
    sealed = Sealed(row["key_id"], row["sealed"])
    dsn = resources.vault.open(sealed, tenant_id=tenant_id, owner_id=row["id"])
    return DataSource(
        name=row["name"],
        dsn=await admit_dsn(dsn, resources.settings.egress),
        tables=dict.fromkeys(row["tables"], ""),
        max_rows=row["max_rows"],
        statement_timeout_s=row["timeout_s"],
    )


async def _try(resources: Resources, tenant_id: UUID, row: DictRow) -> SourceTestOut:
    begun_at, code, message = time.perf_counter(), "ok", "The database answers, and all tables may be read."
    tables: list[TableOut] = []
    try:
        source = await open_source(resources, tenant_id, row)
        async with reading(source) as db:
            await db.execute("SELECT 1")
            found = await (await db.execute(LOOK, {"tables": list(source.tables)})).fetchall()
        tables = [TableOut(name=name, exists=exists, readable=readable) for name, exists, readable in found]
        if unread := [table.name for table in tables if not table.readable]:
            code, message = "tables_unreadable", f"Not there, or not readable by this role: {', '.join(unread[:10])}."
    except HeadraceError as error:
        code, message = error.code, error.message
    except psycopg.Error:
        code, message = "tool_failed", "The database broke off while its tables were looked at; try again."
    latency_ms = round((time.perf_counter() - begun_at) * 1000)
    return SourceTestOut(ok=code == "ok", code=code, message=message, latency_ms=latency_ms, tables=tables)


async def _columns(
    resources: Resources, principal: Principal, source_id: UUID, data: DataSourceIn | DataSourceChangeIn
) -> dict[str, Any]:
    """Return the columns that are set, the DSN sealed for its row. Raises InputError that names the field."""
    given = {name: getattr(data, name) for name in ("description", "tables", "max_rows", "timeout_s")}
    columns = {name: value for name, value in given.items() if value is not UNSET}
    _check_tables(columns.get("tables", []))
    if data.dsn is not UNSET:
        await _check_dsn(resources, data.dsn)
        sealed = resources.vault.seal(data.dsn, tenant_id=principal.tenant_id, owner_id=source_id)
        columns |= {"key_id": sealed.key_id, "sealed": sealed.sealed}
    return columns


def _check_tables(tables: list[str]) -> None:
    for place, table in enumerate(tables):
        field = f"tables[{place}]"
        if not TABLE.fullmatch(table):
            raise InputError(f"{field} must be a table with its schema, such as public.orders.", field=field)
        if table in tables[:place]:
            raise InputError(f"{field} names {table} a second time.", field=field)


async def _check_dsn(resources: Resources, dsn: str) -> None:
    """Raise InputError for a DSN that can't be used, without quoting any part of it but a host that is one."""
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        parts = {}
    if not HOST.fullmatch(str(parts.get("host") or "")):
        said = (
            "dsn must be a connection string of Postgres that names one host: postgresql://USER:PASSWORD@HOST/DATABASE."
        )
        raise InputError(said, field="dsn")
    try:
        admitted = conninfo_to_dict(await admit_dsn(dsn, resources.settings.egress))
    except EgressRefused as refused:
        raise InputError(f"dsn: {refused.message}", field="dsn") from None
    if _place(admitted) == _place(conninfo_to_dict(resources.settings.database_url)):
        raise InputError("dsn leads to headrace's own database, which tools may not read.", field="dsn")


def _place(parts: dict[str, Any]) -> tuple[str, str, str]:
    address = str(parts.get("hostaddr") or parts.get("host") or "")
    local = address in ("::1", "localhost", "") or address.startswith(("127.", "/"))
    return (
        ("" if local else address),
        str(parts.get("port") or "5432"),
        str(parts.get("dbname") or parts.get("user") or ""),
    )


async def _require(db: Db, principal: Principal, name: str) -> DictRow:
    require_name(name, NO_SOURCE)
    row = await data_sources.find_data_source(db, principal.tenant_id, name)
    if row is None:
        raise NotFound(NO_SOURCE)
    return row


def _shown(row: DictRow) -> DataSourceOut:
    return DataSourceOut(**{name: row[name] for name in DataSourceOut.__struct_fields__})


routes = Router(
    "/admin/data-sources",
    route_handlers=[
        create_data_source,
        list_data_sources,
        get_data_source,
        update_data_source,
        delete_data_source,
        test_data_source,
    ],
    tags=["tools"],
)
