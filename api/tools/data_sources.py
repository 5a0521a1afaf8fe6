"""Routes of data sources: databases of a tenant that its tools may read."""

import re
import time
from typing import Annotated, Any
from uuid import UUID

import psycopg
from litestar import Response, Router, delete, get, patch, post
from litestar.params import JSONBody, PathParameter
from msgspec import UNSET
from psycopg.conninfo import conninfo_to_dict

from api.audit.log import record
from api.auth.principals import MayManageDataSources, Principal
from api.grants.tenant_rows import changing_own_tenant, check_name, require_name
from api.http.errors import problems
from api.http.paging import Cursor, Limit, read_cursor, write_cursor
from api.http.query_params import Search
from api.http.rows import from_row
from api.openapi.headers import LOCATION_HEADER
from api.openapi.operations import described
from api.resources import AppResources, Resources
from api.tools.data_source_schemas import (
    NEW_SOURCE_EXAMPLE,
    SOURCE_EXAMPLE,
    TEST_RESULT_EXAMPLE,
    DataSourceChangeIn,
    DataSourceIn,
    DataSourceOut,
    DataSourcesOut,
    SourceTestOut,
    TableOut,
)
from schema.errors import Conflict, EgressRefused, HeadraceError, InputError, NotFound
from schema.ids import new_id
from schema.postgres.connections import Db
from schema.postgres.servers import list_servers
from schema.queries.agents import data_sources
from schema.queries.tenants.audit import add_audit
from tools.data_source import DataSource, connect_read_only, resolve_dsn
from workers.certificates.checking import read_certificates

SOURCE_PATH = "/{name:str}"
SourceName = Annotated[str, PathParameter(description="The data source's name.")]
NO_SOURCE = "Your tenant has no such data source. GET /api/admin/data-sources lists its data sources."
HOST = re.compile(r"[A-Za-z0-9._:-]{1,255}")
TABLE = re.compile(r"[^\s.\"\x00-\x1f]{1,63}\.[^\s.\"\x00-\x1f]{1,63}")
# Tables are found by schema and name, since search_path is empty. Without USAGE on the schema, SELECT doesn't help.
CHECK_TABLES = """
SELECT wanted, c.oid IS NOT NULL AS exists, coalesce(
    pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT'), false) AS readable
FROM pg_catalog.unnest(%(tables)s::pg_catalog.text[]) WITH ORDINALITY AS w (wanted, place)
LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = pg_catalog.split_part(wanted, '.', 1)
LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = pg_catalog.split_part(wanted, '.', 2)
  AND c.relkind IN ('r', 'v', 'm', 'f', 'p')
ORDER BY place
"""


@post(
    "/",
    status_code=201,
    opt=described(response_headers=LOCATION_HEADER, example=NEW_SOURCE_EXAMPLE, response=SOURCE_EXAMPLE),
    responses=problems("conflict", "egress_refused"),
    summary="Create a data source",
)
async def create_data_source(
    data: JSONBody[DataSourceIn], principal: MayManageDataSources, resources: AppResources
) -> Response[DataSourceOut]:
    """Resolves the host of the DSN but does not connect; test the data source to do that. Hosts with private addresses must
    be allowed by the operator of the installation."""
    check_name(data.name)
    source_id = new_id()
    values = await _checked_columns(resources, principal, source_id, data)
    async with changing_own_tenant(resources, principal) as db:
        row = await data_sources.ROWS.add(
            db, principal.tenant_id, source_id, data.name, values, created_by=principal.actor
        )
        if row is None:
            raise Conflict(f"A data source named {data.name!r} already exists. Update it, or choose another name.")
        await record(db, principal, principal.tenant_id, "data_source.created", data.name, {"tables": data.tables})
    return Response(_source_out(row), headers={"Location": f"/api/admin/data-sources/{data.name}"})


@get(
    "/",
    opt=described(response={"items": [SOURCE_EXAMPLE], "next_cursor": None}),
    summary="List data sources",
)
async def list_data_sources(
    principal: MayManageDataSources,
    resources: AppResources,
    search: Search = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> DataSourcesOut:
    """Lists the data sources of your tenant, without their DSNs."""
    after = read_cursor("data_sources", cursor, str) or ""
    async with principal.tx(resources.core.pool) as db:
        rows = await data_sources.list_data_sources(
            db, principal.tenant_id, limit=limit + 1, after=after, search=search
        )
    items = [_source_out(row) for row in rows[:limit]]
    return DataSourcesOut(items, write_cursor("data_sources", items[-1].name) if len(rows) > limit else None)


@get(SOURCE_PATH, opt=described(response=SOURCE_EXAMPLE), responses=problems("not_found"), summary="Get a data source")
async def get_data_source(name: SourceName, principal: MayManageDataSources, resources: AppResources) -> DataSourceOut:
    """Returns a data source without its DSN."""
    async with principal.tx(resources.core.pool) as db:
        return _source_out(await _require(db, principal, name))


@patch(
    SOURCE_PATH,
    opt=described(example={"max_rows": 500}, response=SOURCE_EXAMPLE | {"max_rows": 500}),
    responses=problems("not_found", "egress_refused"),
    summary="Update a data source",
)
async def update_data_source(
    name: SourceName, data: JSONBody[DataSourceChangeIn], principal: MayManageDataSources, resources: AppResources
) -> DataSourceOut:
    """Changes the fields you send; the others keep their value."""
    sent_fields = sorted(field for field in data.__struct_fields__ if getattr(data, field) is not UNSET)
    async with principal.tx(resources.core.pool) as db:
        row = await _require(db, principal, name)
    values = await _checked_columns(
        resources, principal, row.id, data
    )  # resolves the host, so it runs outside a transaction
    async with changing_own_tenant(resources, principal) as db:
        if sent_fields:
            row = await data_sources.ROWS.change(db, principal.tenant_id, name, values)
            if row is None:
                raise NotFound(NO_SOURCE)
            await record(db, principal, principal.tenant_id, "data_source.changed", name, {"fields": sent_fields})
    return _source_out(row)


@delete(SOURCE_PATH, responses=problems("not_found"), summary="Delete a data source")
async def delete_data_source(name: SourceName, principal: MayManageDataSources, resources: AppResources) -> None:
    """Tools that read it fail from then on. The database itself is not touched."""
    require_name(name, NO_SOURCE)
    async with changing_own_tenant(resources, principal) as db:
        if not await data_sources.ROWS.delete(db, principal.tenant_id, name):
            raise NotFound(NO_SOURCE)
        await record(db, principal, principal.tenant_id, "data_source.deleted", name)


@post(
    f"{SOURCE_PATH}/test",
    status_code=200,
    opt=described(response=TEST_RESULT_EXAMPLE),
    responses=problems("not_found"),
    summary="Test a data source",
)
async def test_data_source(name: SourceName, principal: MayManageDataSources, resources: AppResources) -> SourceTestOut:
    """Connects to the database and checks that every table exists and is readable. Returns 200 even if the test fails; see
    `ok` and `code`."""
    async with principal.tx(resources.core.pool) as db:
        row = await _require(db, principal, name)
    result = await _test(resources, principal.tenant_id, row)
    async with principal.tx(resources.core.pool) as db:
        await add_audit(
            db,
            principal.tenant_id,
            actor=principal.actor,
            action="data_source.tested",
            target=name,
            result="ok" if result.ok else "failed",
            address=principal.address,
            request_id=principal.request_id,
            detail=None if result.ok else {"code": result.code},
        )
    return result


async def open_source(resources: Resources, tenant_id: UUID, row: data_sources.SealedDataSource) -> DataSource:
    """Return a data source for tools, with its DSN decrypted. Raises SecretUnreadable, InputError, EgressRefused."""
    dsn = resources.vault.open(row.dsn, tenant_id=tenant_id, owner_id=row.id)
    return DataSource(
        name=row.name,
        dsn=await resolve_dsn(dsn, await resources.egress.policy(tenant_id, "tools")),
        tables=dict.fromkeys(row.tables, ""),
        max_rows=row.max_rows,
        statement_timeout_s=row.timeout_s,
        ca=row.ca,
    )


async def _test(resources: Resources, tenant_id: UUID, row: data_sources.SealedDataSource) -> SourceTestOut:
    started, code, message = time.perf_counter(), "ok", "The database answers and all tables are readable."
    tables: list[TableOut] = []
    try:
        source = await open_source(resources, tenant_id, row)
        async with connect_read_only(source) as db:
            await db.execute("SELECT 1")
            found = await (await db.execute(CHECK_TABLES, {"tables": list(source.tables)})).fetchall()
        tables = [TableOut(name=name, exists=exists, readable=readable) for name, exists, readable in found]
        if unread := [table.name for table in tables if not table.readable]:
            code, message = "tables_unreadable", f"Missing, or not readable by this role: {', '.join(unread[:10])}."
    except HeadraceError as error:
        code, message = error.code, error.message
    except psycopg.Error:
        code, message = "tool_failed", "The connection broke while the tables were being checked. Try again."
    latency_ms = round((time.perf_counter() - started) * 1000)
    return SourceTestOut(ok=code == "ok", code=code, message=message, latency_ms=latency_ms, tables=tables)


async def _checked_columns(
    resources: Resources, principal: Principal, source_id: UUID, data: DataSourceIn | DataSourceChangeIn
) -> dict[str, Any]:
    """Return the columns to set, with the DSN encrypted. Raises InputError that names the field."""
    sent_fields = {name: getattr(data, name) for name in ("description", "tables", "max_rows", "timeout_s", "ca")}
    columns = {name: value for name, value in sent_fields.items() if value is not UNSET}
    _check_tables(columns.get("tables", []))
    if columns.get("ca") is not None:
        read_certificates(columns["ca"], field="ca")
    if data.dsn is not UNSET:
        await _check_dsn(resources, principal, data.dsn)
        sealed = resources.vault.seal(data.dsn, tenant_id=principal.tenant_id, owner_id=source_id)
        columns |= {"key_id": sealed.key_id, "sealed": sealed.sealed}
    return columns


def _check_tables(tables: list[str]) -> None:
    for index, table in enumerate(tables):
        field = f"tables[{index}]"
        if not TABLE.fullmatch(table):
            raise InputError(f"{field} must be a table with its schema, such as public.orders.", field=field)
        if table in tables[:index]:
            raise InputError(f"{field} duplicates {table!r}; list each table once.", field=field)


async def _check_dsn(resources: Resources, principal: Principal, dsn: str) -> None:
    """Raise InputError for an unusable DSN, EgressRefused for a host that may not be reached. Quotes nothing of it but a valid
    host name."""
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        parts = {}
    if not HOST.fullmatch(str(parts.get("host") or "")):
        message = (
            "dsn must be a Postgres connection string with exactly one host: postgresql://USER:PASSWORD@HOST/DATABASE."
        )
        raise InputError(message, field="dsn")
    policy = await resources.egress.policy(principal.tenant_id, "tools")
    try:
        admitted = conninfo_to_dict(await resolve_dsn(dsn, policy))
    except EgressRefused as refused:
        raise EgressRefused(f"dsn: {refused.message}", field="dsn") from None
    own = conninfo_to_dict(resources.settings.database_url)
    own_servers = list_servers(resources.settings.database_url)
    servers = [{**own, "host": host, "hostaddr": "", "port": port} for host, port in own_servers]
    if _database_address(admitted) in [_database_address(server) for server in servers]:
        raise InputError("dsn must not point to headrace's own database.", field="dsn")


def _database_address(parts: dict[str, Any]) -> tuple[str, str, str]:
    address = str(parts.get("hostaddr") or parts.get("host") or "")
    local = address in ("::1", "localhost", "") or address.startswith(("127.", "/"))
    return (
        ("" if local else address),
        str(parts.get("port") or "5432"),
        str(parts.get("dbname") or parts.get("user") or ""),
    )


async def _require(db: Db, principal: Principal, name: str) -> data_sources.SealedDataSource:
    require_name(name, NO_SOURCE)
    row = await data_sources.find_data_source(db, principal.tenant_id, name)
    if row is None:
        raise NotFound(NO_SOURCE)
    return row


def _source_out(row: data_sources.StoredDataSource) -> DataSourceOut:
    return from_row(DataSourceOut, row)


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
