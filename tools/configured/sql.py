"""`SQL`: reads from one data source. With `config.statement`, an admin writes the SELECT, with `:name` for arguments, which are
passed to Postgres as parameters, never as text; without it, the model writes the SELECT. Either way `tools/sql_allowlist.py`
checks the statement, and the data source limits rows, bytes and time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from schema.errors import InputError
from tools.configured.definition import ToolDefinition, any_object
from tools.configured.kind import KindSpec, RunTool, Secrets, check_names, read_config
from tools.contract import ToolContext, ToolResult
from tools.egress import EgressPolicy
from tools.errors import ToolBadArguments, ToolRefused, ToolUnavailable
from tools.sql_reading import read_rows, to_table_result

MODEL_WRITTEN_SQL = {
    "type": "object",
    "properties": {"sql": {"type": "string", "description": "One SELECT of PostgreSQL", "maxLength": 10_000}},
    "required": ["sql"],
    "additionalProperties": False,
}


class SqlConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    data_source: Annotated[str, Meta(min_length=1, max_length=200)]
    statement: Annotated[str, Meta(min_length=1, max_length=10_000)] | None = None


def check(definition: ToolDefinition, policy: EgressPolicy) -> None:
    config = read_config(definition, SqlConfig)
    if config.statement is None:
        if definition.parameters != any_object():
            raise InputError("parameters are fixed when the model writes the SQL; leave them out.", field="parameters")
        return
    used = _names_used(config.statement)
    check_names(definition, dict.fromkeys(used.names, "config.statement"))
    try:
        _check_statement(
            config.statement, used.tables, used.names
        )  # whether the source has these tables is checked when it opens
    except ToolRefused as error:
        raise InputError(f"config.statement: {error.message}", field="config.statement") from None


def parameters(definition: ToolDefinition) -> dict[str, Any]:
    """The admin's parameters, or a single statement."""
    return definition.parameters if read_config(definition, SqlConfig).statement is not None else MODEL_WRITTEN_SQL


def build(definition: ToolDefinition, secrets: Secrets) -> RunTool:
    config = read_config(definition, SqlConfig)
    hint = (definition.renderer or {}).get("type", "table")

    async def query(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        if context.open_database is None:
            raise ToolUnavailable("No data source is set up; an admin must add one.")
        source = await context.open_database(config.data_source)
        statement = config.statement or str(arguments.get("sql", ""))
        names = _names_used(statement).names if config.statement else ()
        values = _values(names, definition.with_defaults(arguments))
        checked = _check_statement(statement, list(source.tables), names)
        return to_table_result(await read_rows(source, checked, values), hint)

    return query


@dataclass(frozen=True)
class StatementNames:
    """What a statement uses: tables with their schema, and the names of its parameters, each once."""

    tables: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


@lru_cache(maxsize=256)
def _names_used(statement: str) -> StatementNames:
    import sqlglot  # takes a third of a second to import, and most processes never need it
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    try:
        trees = [tree for tree in sqlglot.parse(statement, dialect="postgres") if tree is not None]
    except (SqlglotError, RecursionError):
        return StatementNames()
    tables = [f"{table.db}.{table.name}" for tree in trees for table in tree.find_all(exp.Table) if table.db]
    names = [str(place.this) for tree in trees for place in tree.find_all(exp.Placeholder) if place.this]
    return StatementNames(tuple(dict.fromkeys(tables)), tuple(dict.fromkeys(names)))


def _check_statement(statement: str, tables: Sequence[str], names: Sequence[str]) -> str:
    from tools.sql_allowlist import check_sql

    return check_sql(statement, tables, parameters=names)


def _values(names: Sequence[str], arguments: dict[str, Any]) -> list[Any]:
    """The arguments in the order of the names; missing ones are NULL. Raises ToolBadArguments for an object."""
    for name in names:
        value = arguments.get(name)
        if any(isinstance(each, dict | list) for each in (value if isinstance(value, list) else [value])):
            raise ToolBadArguments(f"The argument {name} must be a simple value or a list of them.", field=name)
    return [arguments.get(name) for name in names]


KIND = KindSpec(check=check, build=build, parameters=parameters)
