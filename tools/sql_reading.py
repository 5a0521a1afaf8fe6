"""Runs a statement that `sql_allowlist.py` has accepted: read-only, with limits for rows, bytes and time, and with nothing left
running on the server.

Postgres itself encodes each row as JSON and drops one that is too large, so that no single field can fill our memory.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from tools.contract import ToolResult
from tools.data_source import DataSource, connect_read_only
from tools.errors import ToolBadArguments, ToolTimeout, ToolTooLarge, ToolUnavailable


@dataclass(frozen=True)
class Rows:
    """Rows by column name, in order; `truncated`: there were others."""

    rows: list[dict[str, Any]]
    truncated: bool


async def read_rows(source: DataSource, sql: str, values: Sequence[Any] = ()) -> Rows:
    """Run `sql` with `values` for `$1`, `$2`, …. Raises ToolBadArguments with Postgres' own message for invalid SQL,
    ToolTimeout, ToolTooLarge, ToolUnavailable."""
    try:
        async with asyncio.timeout(source.statement_timeout_s + 1.0), connect_read_only(source) as db:
            # A session could switch off the server's own timeout, but not this one. When cancelled, psycopg tells the
            # server to stop first.
            return await _read(db, source, sql, values)
    except (TimeoutError, psycopg.errors.QueryCanceled):
        raise ToolTimeout(
            f"The query did not finish within {source.statement_timeout_s:g} seconds; narrow it with WHERE or aggregate."
        ) from None
    except psycopg.OperationalError:
        raise ToolUnavailable(f"The connection to the data source {source.name} was lost; try again later.") from None
    except psycopg.errors.InsufficientPrivilege:
        raise ToolUnavailable(f"The role of {source.name} can't read this; an admin must grant it SELECT.") from None
    except psycopg.Error as error:
        reason = error.diag.message_primary or type(error).__name__
        raise ToolBadArguments(f"Postgres rejected the query: {reason[:300]}.", field="sql") from None


async def _read(db: psycopg.AsyncConnection, source: DataSource, sql: str, values: Sequence[Any]) -> Rows:
    rows: list[dict[str, Any]] = []
    size = 0
    cursor = psycopg.AsyncRawCursor(db)
    query: Any = _limited_query(sql, source.max_rows + 1, source.max_bytes)
    async for (row,) in cursor.stream(query, list(values)):
        size += len(row or "")
        if row is None or size > source.max_bytes:
            raise ToolTooLarge(f"The rows are larger than {source.max_bytes:,} bytes; name fewer columns or use LIMIT.")
        rows.append(json.loads(row, object_pairs_hook=_unique_columns))
    return Rows(rows[: source.max_rows], len(rows) > source.max_rows)


def _limited_query(sql: str, limit: int, max_bytes: int) -> str:
    return (
        f"SELECT CASE WHEN octet_length(packed) <= {max_bytes} THEN packed END FROM "
        f"(SELECT row_to_json(headrace_row)::text AS packed FROM ({sql}) AS headrace_row LIMIT {limit}) AS headrace_rows"
    )


def _unique_columns(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A row as a dict; the second of two columns with the same name becomes `name_2`."""
    row: dict[str, Any] = {}
    for name, value in pairs:
        number, key = 1, name
        while key in row:
            number, key = number + 1, f"{name}_{number + 1}"
        row[key] = value
    return row


def to_table_result(rows: Rows, renderer: str | None = "table") -> ToolResult:
    """The rows as text for the model, one JSON object per line, and as columns and rows for display."""
    columns = list(rows.rows[0]) if rows.rows else []
    note = f"\n[more rows; the first {len(rows.rows)} are shown]" if rows.truncated else ""
    lines = "\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows.rows)
    text = f"{lines}{note}" if rows.rows else "The query returned no rows."
    data = {"columns": columns, "rows": [list(row.values()) for row in rows.rows]}
    return ToolResult(text, data, renderer, truncated=rows.truncated)
