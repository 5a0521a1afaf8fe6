"""Filters, groups, aggregates and sorts the rows of a table; `run` handles a whole request."""

from collections.abc import Callable, Sequence
from operator import ge, gt, le, lt
from typing import Any

from tools.analysis.column_statistics import (
    correlate,
    describe,
    exact_sum,
    numbers_in,
    quantile,
    round_off,
    sample_stdev,
)
from tools.analysis.table import Table, Value, read_table
from tools.errors import ToolBadArguments

MAX_GROUPS = 10_000
Request = dict[str, Any]

FUNCTIONS: dict[str, Callable[[Sequence[Value]], Any]] = {
    "count": lambda values: sum(value is not None for value in values),
    "distinct": lambda values: len({str(value) for value in values if value is not None}),
    "sum": lambda values: round_off(exact_sum(numbers_in(values))),
    "mean": lambda values: round_off(exact_sum(found) / len(found)) if (found := numbers_in(values)) else None,
    "median": lambda values: round_off(quantile(sorted(found), 0.5)) if (found := numbers_in(values)) else None,
    "min": lambda values: min(numbers_in(values), default=None),
    "max": lambda values: max(numbers_in(values), default=None),
    "stdev": lambda values: round_off(sample_stdev(numbers_in(values))),
}


def run(request: Request, attachment: bytes) -> dict[str, Any]:
    """Handle a request of `analyse_data` over the data in `attachment`. Returns `columns`, `rows` and `total` (all rows)."""
    table = _filter(read_table(attachment, request.get("format"), request.get("path", "")), request.get("where", []))
    names: list[str] = request.get("columns", [])
    if request["operation"] == "correlate":
        return _records_to_result(correlate(table, names), request, ["first", "second", "r", "rows"])
    if request["operation"] == "group":
        return _to_result(_group(table, request), request)
    if request["operation"] == "rows":
        picked = [table.column_index(name, "columns") for name in names or table.columns]
        rows = [[row[place] for place in picked] for row in table.rows]
        return _to_result(Table([table.columns[place] for place in picked], rows), request)
    described = [{"column": name, **describe(table.column(name, "columns"))} for name in names or table.columns]
    found = _records_to_result(
        described, {"limit": len(described)}, list(dict.fromkeys(key for row in described for key in row))
    )
    return {**found, "total": len(table.rows)}


def _records_to_result(records: list[dict[str, Any]], request: Request, columns: list[str]) -> dict[str, Any]:
    return _to_result(Table(columns, [[record.get(name) for name in columns] for record in records]), request)


def _to_result(table: Table, request: Request) -> dict[str, Any]:
    rows, name = table.rows, request.get("sort_by")
    if name is not None:
        place = table.column_index(name, "sort_by")
        rows = sorted(rows, key=lambda row: _sort_key(row[place]), reverse=request.get("descending", False))
    return {"columns": table.columns, "rows": rows[: request.get("limit", 50)], "total": len(rows)}


def _sort_key(value: Value) -> tuple[int, float, str]:
    """Sort numbers before text, and missing values last."""
    if isinstance(value, int | float):
        return 0, value, ""
    return (1, 0.0, value) if isinstance(value, str) else (2, 0.0, "")


def _group(table: Table, request: Request) -> Table:
    keys = request.get("group_by", [])
    places = [table.column_index(name, f"group_by.{number}") for number, name in enumerate(keys)]
    aggregates = request.get("aggregates") or [{"function": "count"}]
    groups: dict[tuple[Value, ...], list[list[Value]]] = {}
    for row in table.rows:
        groups.setdefault(tuple(row[place] for place in places), []).append(row)
        if len(groups) > MAX_GROUPS:
            raise ToolBadArguments(f"There are more than {MAX_GROUPS:,} groups.", field="group_by")
    names = [f"{each['function']}_{each['column']}" if each.get("column") else "count" for each in aggregates]
    rows = [[*key, *_aggregate(table, aggregates, members)] for key, members in groups.items()]
    return Table([*keys, *names], rows)


def _aggregate(table: Table, aggregates: list[dict[str, str]], members: list[list[Value]]) -> list[Value]:
    results: list[Value] = []
    for number, each in enumerate(aggregates):
        if not each.get("column"):
            if each["function"] != "count":
                raise ToolBadArguments("Name the column to aggregate.", field=f"aggregates.{number}.column")
            results.append(len(members))
            continue
        place = table.column_index(each["column"], f"aggregates.{number}.column")
        results.append(FUNCTIONS[each["function"]]([row[place] for row in members]))
    return results


def _filter(table: Table, conditions: list[dict[str, Any]]) -> Table:
    rows = table.rows
    for number, each in enumerate(conditions):
        place = table.column_index(each["column"], f"where.{number}.column")
        rows = [row for row in rows if _matches(row[place], each["is"], each["value"])]
    return Table(table.columns, rows)


ORDERS = {"<": lt, "<=": le, ">": gt, ">=": ge}


def _matches(value: Value, operator: str, operand: Value) -> bool:
    """Compare numbers as numbers, everything else as case-insensitive text."""
    if operator in ("=", "!="):
        same = value == operand or str(value).casefold() == str(operand).casefold()
        return same == (operator == "=")
    if value is None:
        return False
    if operator == "contains":
        return str(operand).casefold() in str(value).casefold()
    numbers = numbers_in([value, operand])
    left, right = numbers if len(numbers) == 2 else (str(value), str(operand))
    return ORDERS[operator](left, right)
