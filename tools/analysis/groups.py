"""Rows of a table chosen, grouped, summed up and sorted, and the answer to a whole question."""

from collections.abc import Callable, Sequence
from typing import Any

from tools.analysis.figures import correlate, describe, deviation, neat, numbers_in, quantile, total
from tools.analysis.reading import Table, Value, read_table
from tools.errors import ToolBadArguments

MAX_GROUPS = 10_000
Question = dict[str, Any]

FUNCTIONS: dict[str, Callable[[Sequence[Value]], Any]] = {
    "count": lambda values: sum(value is not None for value in values),
    "distinct": lambda values: len({str(value) for value in values if value is not None}),
    "sum": lambda values: neat(total(numbers_in(values))),
    "mean": lambda values: neat(total(found) / len(found)) if (found := numbers_in(values)) else None,
    "median": lambda values: neat(quantile(sorted(found), 0.5)) if (found := numbers_in(values)) else None,
    "min": lambda values: min(numbers_in(values), default=None),
    "max": lambda values: max(numbers_in(values), default=None),
    "stdev": lambda values: neat(deviation(numbers_in(values))),
}


def answer(question: Question, attached: bytes) -> dict[str, Any]:
    """What `analyse_data` is asked, over the data in `attached`. Always `columns`, `rows` and `total` (rows in all)."""
    table = _chosen(read_table(attached, question.get("format"), question.get("path", "")), question.get("where", []))
    names: list[str] = question.get("columns", [])
    if question["operation"] == "correlate":
        return _records(correlate(table, names), question, ["first", "second", "r", "rows"])
    if question["operation"] == "group":
        return _listed(_grouped(table, question), question)
    if question["operation"] == "rows":
        picked = [table.place(name, "columns") for name in names or table.columns]
        rows = [[row[place] for place in picked] for row in table.rows]
        return _listed(Table([table.columns[place] for place in picked], rows), question)
    described = [{"column": name, **describe(table.column(name, "columns"))} for name in names or table.columns]
    found = _records(described, {"limit": len(described)}, list(dict.fromkeys(key for row in described for key in row)))
    return {**found, "total": len(table.rows)}


def _records(records: list[dict[str, Any]], question: Question, columns: list[str]) -> dict[str, Any]:
    return _listed(Table(columns, [[record.get(name) for name in columns] for record in records]), question)


def _listed(table: Table, question: Question) -> dict[str, Any]:
    rows, name = table.rows, question.get("sort_by")
    if name is not None:
        place = table.place(name, "sort_by")
        rows = sorted(rows, key=lambda row: _order(row[place]), reverse=question.get("descending", False))
    return {"columns": table.columns, "rows": rows[: question.get("limit", 50)], "total": len(rows)}


def _order(value: Value) -> tuple[int, float, str]:
    """Numbers before texts, both before what is missing."""
    if isinstance(value, int | float):
        return 0, value, ""
    return (1, 0.0, value) if isinstance(value, str) else (2, 0.0, "")


def _grouped(table: Table, question: Question) -> Table:
    keys = question.get("group_by", [])
    places = [table.place(name, f"group_by.{number}") for number, name in enumerate(keys)]
    wanted = question.get("aggregates") or [{"function": "count"}]
    groups: dict[tuple[Value, ...], list[list[Value]]] = {}
    for row in table.rows:
        groups.setdefault(tuple(row[place] for place in places), []).append(row)
        if len(groups) > MAX_GROUPS:
            raise ToolBadArguments(f"There are more than {MAX_GROUPS:,} groups.", field="group_by")
    names = [f"{each['function']}_{each['column']}" if each.get("column") else "count" for each in wanted]
    rows = [[*key, *_aggregated(table, wanted, members)] for key, members in groups.items()]
    return Table([*keys, *names], rows)


def _aggregated(table: Table, wanted: list[dict[str, str]], members: list[list[Value]]) -> list[Value]:
    results: list[Value] = []
    for number, each in enumerate(wanted):
        if not each.get("column"):
            if each["function"] != "count":
                raise ToolBadArguments("Name the column to sum up.", field=f"aggregates.{number}.column")
            results.append(len(members))
            continue
        place = table.place(each["column"], f"aggregates.{number}.column")
        results.append(FUNCTIONS[each["function"]]([row[place] for row in members]))
    return results


def _chosen(table: Table, conditions: list[dict[str, Any]]) -> Table:
    rows = table.rows
    for number, each in enumerate(conditions):
        place = table.place(each["column"], f"where.{number}.column")
        rows = [row for row in rows if _fits(row[place], each["is"], each["value"])]
    return Table(table.columns, rows)


def _fits(value: Value, how: str, wanted: Value) -> bool:
    """Numbers are compared as numbers, everything else as text without regard to case."""
    if how in ("=", "!="):
        same = value == wanted or str(value).casefold() == str(wanted).casefold()
        return same == (how == "=")
    if value is None:
        return False
    if how == "contains":
        return str(wanted).casefold() in str(value).casefold()
    numbers = numbers_in([value, wanted])
    left, right = numbers if len(numbers) == 2 else (str(value), str(wanted))
    return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[how]  # type: ignore[operator]
