"""Figures over CSV and JSON: right ones, and clear errors for data that is none."""

import json
from typing import Any

import pytest

from tests.tools.tool_contexts import call, failure, file_store, make_context
from tools.analysis.aggregation import run
from tools.builtin import analyse_data
from tools.errors import ToolFailed

TOOL = analyse_data.build()
SALES = """region;amount;customer;taxno
North;"1,200.50";An;0104985841
South;300;Bình;0104985842
North;99.5;An;0104985841

South;;Chi;
"""


def ask(data: str | bytes, **question: Any) -> dict[str, Any]:
    """The answer as the child computes it, without the child."""
    return run(question, data.encode() if isinstance(data, str) else data)


def records(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]


async def test_a_csv_is_grouped_and_summed_up() -> None:
    result = await call(
        TOOL,
        operation="group",
        data=SALES,
        group_by=["region"],
        aggregates=[{"function": "sum", "column": "amount"}, {"function": "count"}],
        sort_by="sum_amount",
        descending=True,
    )
    assert (
        '{"region":"North","sum_amount":1300,"count":2}\n{"region":"South","sum_amount":300,"count":2}\n[2 rows]'
        == (result.text)
    )
    assert {
        "columns": ["region", "sum_amount", "count"],
        "rows": [["North", 1300, 2], ["South", 300, 2]],
        "total": 2,
    } == (result.data)


async def test_an_uploaded_json_is_described() -> None:
    orders = {"page": 1, "orders": [{"amount": n, "buyer": {"city": "Huế" if n % 2 else "Vinh"}} for n in range(1, 6)]}
    context = make_context(files=file_store(f1=json.dumps(orders).encode()))
    result = await call(TOOL, context, operation="describe", file_id="f1")
    amount, city = records(result.data)
    assert {"sum": 15, "mean": 3, "median": 3, "stdev": 1.58113883008, "min": 1, "q1": 2, "q3": 4, "max": 5} == {
        name: amount[name] for name in ("sum", "mean", "median", "stdev", "min", "q1", "q3", "max")
    }
    assert ("buyer.city", 2, [{"value": "Huế", "count": 3}, {"value": "Vinh", "count": 2}]) == (
        city["column"],
        city["distinct"],
        city["most_common"],
    )


def test_numbers_with_leading_zeros_stay_names() -> None:
    found = ask(SALES, operation="rows", columns=["taxno"], where=[{"column": "amount", "is": ">", "value": 1000}])
    assert [["0104985841"]] == found["rows"]


@pytest.mark.parametrize(
    ("condition", "amounts"),
    [
        ({"column": "region", "is": "=", "value": "north"}, [1200.5, 99.5]),
        ({"column": "region", "is": "!=", "value": "North"}, [300, None]),
        ({"column": "amount", "is": "<=", "value": 300}, [300, 99.5]),
        ({"column": "amount", "is": "=", "value": None}, [None]),
        ({"column": "customer", "is": "contains", "value": "B"}, [300]),
    ],
)
def test_rows_are_chosen_by_conditions(condition: dict[str, Any], amounts: list[float | None]) -> None:
    found = ask(SALES, operation="rows", columns=["amount"], where=[condition])
    assert amounts == [row[0] for row in found["rows"]]


def test_correlations_come_strongest_first() -> None:
    found = ask("x,y,z\n1,2,5\n2,4,1\n3,6,4\n", operation="correlate")
    assert [("x", "y", 1.0), ("x", "z", -0.240192), ("y", "z", -0.240192)] == [tuple(row[:3]) for row in found["rows"]]


def test_rows_are_sorted_with_missing_values_last_and_cut_at_the_limit() -> None:
    found = ask(SALES, operation="rows", columns=["amount"], sort_by="amount", limit=3)
    assert ([[99.5], [300], [1200.5]], 4) == (found["rows"], found["total"])


@pytest.mark.parametrize(
    ("data", "question", "field"),
    [
        ("", {"operation": "describe"}, "data"),
        ("a,b\n", {"operation": "describe"}, "data"),
        ('a,b\n"1,2\n', {"operation": "describe"}, "data"),
        ("a,b\n" + "x" * 200_000, {"operation": "describe"}, "data"),
        (b"\xff\xfe\x00", {"operation": "describe"}, "data"),
        ("{broken", {"operation": "describe", "format": "json"}, "data"),
        ("[" * 100_000, {"operation": "describe"}, "data"),
        ("3", {"operation": "describe", "format": "json"}, "data"),
        ('{"a": 1}', {"operation": "describe", "path": "b.c"}, "path"),
        ("a\n1e308\n1e308\n", {"operation": "describe"}, "data"),
        (SALES, {"operation": "describe", "columns": ["nothing"]}, "columns"),
        (SALES, {"operation": "group", "group_by": ["nothing"]}, "group_by.0"),
        (SALES, {"operation": "group", "aggregates": [{"function": "sum"}]}, "aggregates.0.column"),
        (SALES, {"operation": "rows", "where": [{"column": "no", "is": "=", "value": 1}]}, "where.0.column"),
        (SALES, {"operation": "rows", "sort_by": "no"}, "sort_by"),
        (SALES, {"operation": "correlate"}, "columns"),
        ("n\n" + "\n".join(map(str, range(10_001))), {"operation": "group", "group_by": ["n"]}, "group_by"),
        ("a\n" + "1\n" * 100_001, {"operation": "describe"}, None),
        (",".join(f"c{n}" for n in range(201)) + "\n1", {"operation": "describe"}, None),
    ],
)
def test_data_that_is_none_is_a_clear_error(data: str | bytes, question: dict[str, Any], field: str | None) -> None:
    with pytest.raises(ToolFailed) as caught:
        ask(data, **question)
    assert field == caught.value.field


async def test_exactly_one_source_is_needed() -> None:
    for arguments in ({}, {"data": "a\n1", "file_id": "f"}):
        assert "data" == (await failure(TOOL, operation="describe", **arguments)).field
    assert "ToolUnavailable" == type(await failure(TOOL, operation="describe", file_id="f")).__name__


async def test_a_file_that_is_too_large_or_not_there_is_a_clear_error() -> None:
    context = make_context(files=file_store(large=b"a\n" * (3 << 20)))
    assert "tool_too_large" == (await failure(TOOL, context, operation="describe", file_id="large")).code
    assert "There is no such file." == (await failure(TOOL, context, operation="describe", file_id="f")).message
