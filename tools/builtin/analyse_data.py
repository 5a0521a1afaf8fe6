"""`analyse_data`: statistics, groups and correlations of CSV or JSON, in a child process with limits for time and memory."""

import json
from functools import partial
from typing import Any

from tools.contract import FunctionTool, Tool, ToolContext, ToolResult, ToolSpec
from tools.errors import ToolBadArguments, ToolTooLarge, ToolUnavailable
from tools.run_sandboxed import STARTUP_TIMEOUT_S, run_sandboxed

TIME_S = 10
MAX_BYTES = 5 * 1024 * 1024
COLUMN_NAMES = {"type": "array", "items": {"type": "string", "maxLength": 200}, "maxItems": 50}

SPEC = ToolSpec(
    name="analyse_data",
    description=(
        "Statistics over a table in CSV or JSON, pasted as `data` or uploaded as `file_id`. describe: count, sum, mean, "
        "median, quartiles, stdev of each column. group: one row a group with aggregates. correlate: Pearson's r. rows: "
        "filtered and sorted rows. Figures are exact; use it instead of adding up by yourself."
    ),
    parameters={
        "type": "object",
        "properties": {
            "operation": {"type": "string", "enum": ["describe", "group", "correlate", "rows"]},
            "data": {"type": "string", "description": "The table itself, first line or keys are names", "minLength": 1},
            "file_id": {"type": "string", "description": "An uploaded file instead", "minLength": 1, "maxLength": 100},
            "format": {"type": "string", "enum": ["csv", "json"]},
            "path": {"type": "string", "description": "Where the list is in JSON: result.items", "maxLength": 200},
            "columns": {**COLUMN_NAMES, "description": "Only these"},
            "group_by": {**COLUMN_NAMES, "maxItems": 5},
            "aggregates": {
                "type": "array",
                "maxItems": 20,
                "items": {
                    "type": "object",
                    "properties": {
                        "function": {"enum": ["count", "distinct", "sum", "mean", "median", "min", "max", "stdev"]},
                        "column": {"type": "string"},
                    },
                    "required": ["function"],
                    "additionalProperties": False,
                },
            },
            "where": {
                "type": "array",
                "maxItems": 10,
                "items": {
                    "type": "object",
                    "properties": {
                        "column": {"type": "string"},
                        "is": {"enum": ["=", "!=", "<", "<=", ">", ">=", "contains"]},
                        "value": {"type": ["string", "number", "boolean", "null"]},
                    },
                    "required": ["column", "is", "value"],
                    "additionalProperties": False,
                },
            },
            "sort_by": {"type": "string", "description": "A column of the result, such as sum_amount"},
            "descending": {"type": "boolean"},
            "limit": {"type": "integer", "minimum": 1, "maximum": 500, "description": "Rows shown; 50 if left out"},
        },
        "required": ["operation"],
        "additionalProperties": False,
    },
    untrusted=True,
    timeout_s=TIME_S + STARTUP_TIMEOUT_S + 2.0,
)


async def analyse(time_s: int, arguments: dict[str, Any], context: ToolContext) -> ToolResult:
    """Raises ToolBadArguments that names the field, ToolTooLarge, ToolTimeout."""
    data = await _read_data(arguments, context)
    if len(data) > MAX_BYTES:
        raise ToolTooLarge(f"The data is larger than {MAX_BYTES:,} bytes; send part of it.")
    request = {name: value for name, value in arguments.items() if name not in ("data", "file_id")}
    found = await run_sandboxed("tools.analysis.aggregation:run", request, data, time_s=time_s)
    columns, rows = found["columns"], found["rows"]
    lines = [
        json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False, separators=(",", ":")) for row in rows
    ]
    more = arguments["operation"] != "describe" and found["total"] > len(rows)
    note = f"[{found['total']:,} rows; {len(rows)} are shown]" if more else f"[{found['total']:,} rows]"
    return ToolResult("\n".join([*lines, note]), found, renderer="table", truncated=more)


async def _read_data(arguments: dict[str, Any], context: ToolContext) -> bytes:
    if ("data" in arguments) == ("file_id" in arguments):
        raise ToolBadArguments("Send either data or file_id.", field="data")
    if "data" in arguments:
        return str(arguments["data"]).encode("utf-8", "replace")
    if context.files is None:
        raise ToolUnavailable("Uploaded files are not available here; send the table as data.")
    return await context.files(arguments["file_id"])


def build(time_s: int = TIME_S) -> Tool:
    return FunctionTool(SPEC, partial(analyse, time_s))
