"""Lists as CSV, for spreadsheets: a line for each row, fields as columns; what has parts of its own as JSON."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from litestar import Response
from litestar.datastructures import Headers

CSV = "text/csv"
MAX_ROWS = 5000
"""Rows of one answer; where there are others, `NEXT_CURSOR` says how to go on."""
NEXT_CURSOR = "X-Headrace-Next-Cursor"
CSV_HEADERS = {200: (NEXT_CURSOR,)}
FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""A text that begins so would be run by spreadsheets."""


def wants_csv(headers: Headers) -> bool:
    """Whether a client asks for CSV and not for JSON."""
    return CSV in headers.get("accept", "")


def csv_response(
    name: str,
    columns: Sequence[str],
    rows: Iterable[msgspec.Struct | dict[str, Any]],
    *,
    next_cursor: str | None = None,
) -> Response[str]:
    """Return rows as a file to download. Columns that a row doesn't have are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        fields = msgspec.to_builtins(row)
        writer.writerow([_cell(fields.get(column)) for column in columns])
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    headers |= {NEXT_CURSOR: next_cursor} if next_cursor else {}
    return Response(text.getvalue(), headers=headers, media_type=CSV)


def columns_of(shape: type[msgspec.Struct]) -> list[str]:
    """Return the columns of a list of these."""
    return [field.encode_name for field in msgspec.structs.fields(shape)]


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    if isinstance(value, str) and value.startswith(FORMULAS):
        return f"'{value}"
    return value
