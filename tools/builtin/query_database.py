"""`query_database`: runs a SELECT that the model wrote on one of the tenant's own data sources, read-only."""

from typing import Any

from tools.contract import FunctionTool, Tool, ToolContext, ToolResult, ToolSpec
from tools.errors import ToolUnavailable
from tools.sql_reading import read_rows, to_table_result

SPEC = ToolSpec(
    name="query_database",
    description=(
        "Read from one of the organisation's Postgres databases with one SELECT statement. Write every table with its "
        "schema (shop.orders). To learn which tables and columns there are, call it without sql. At most 1000 rows come "
        "back, so aggregate and filter in SQL. Nothing can be changed."
    ),
    parameters={
        "type": "object",
        "properties": {
            "data_source": {"type": "string", "description": "Name of the database", "minLength": 1, "maxLength": 100},
            "sql": {"type": "string", "description": "One SELECT statement of PostgreSQL", "maxLength": 10_000},
        },
        "required": ["data_source"],
        "additionalProperties": False,
    },
    untrusted=True,
    timeout_s=15.0,
)


async def query(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
    """Raises ToolRefused for SQL that is not allowed, ToolUnavailable if no data source is set up."""
    if context.open_database is None:
        raise ToolUnavailable("No data source is set up; an admin must add one.")
    source = await context.open_database(arguments["data_source"])
    sql = arguments.get("sql", "").strip()
    if not sql:
        tables = [f"{name}: {about}" if about else name for name, about in sorted(source.tables.items())]
        return ToolResult("Tables:\n" + "\n".join(tables), {"tables": dict(source.tables)})
    from tools.sql_allowlist import check_sql  # its parser is 8 MB, and most workers never see SQL

    return to_table_result(await read_rows(source, check_sql(sql, source.tables)))


def build() -> Tool:
    return FunctionTool(SPEC, query)
