"""Queries that a model composes for a Cube: the parameters that it is shown, and the query made from its arguments."""

from collections.abc import Sequence
from typing import Any

OPERATORS = (
    *(
        "equals",
        "notEquals",
        "contains",
        "notContains",
        "startsWith",
        "endsWith",
        "gt",
        "gte",
        "lt",
        "lte",
        "set",
        "notSet",
    ),
    *("inDateRange", "notInDateRange", "beforeDate", "afterDate"),
)
GRANULARITIES = ("hour", "day", "week", "month", "quarter", "year")


def query_parameters(measures: Sequence[str], dimensions: Sequence[str], max_rows: int) -> dict[str, Any]:
    """The schema of a call, listing every allowed name."""
    text = {"type": "string", "maxLength": 200}
    member = {"enum": [*measures, *dimensions]}
    properties: dict[str, Any] = {
        "measures": _name_list(measures, "Figures to compute"),
        "dimensions": _name_list(dimensions, "What to group by"),
        "filters": _object_list({"member": member, "operator": {"enum": [*OPERATORS]}, "values": _text_list(text)}, 2),
        "order": _object_list({"member": member, "direction": {"enum": ["asc", "desc"]}}, 2),
        "limit": {"type": "integer", "minimum": 1, "maximum": max_rows},
    }
    if dimensions:
        properties["time"] = _object_schema(
            {
                "dimension": {"enum": [*dimensions]},
                "granularity": {"enum": [*GRANULARITIES]},
                "from": {**text, "description": "First day, as 2026-01-31"},
                "to": {**text, "description": "Last day"},
            },
            1,
        )
    return {"type": "object", "properties": properties, "additionalProperties": False}


def cube_query(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments, which fit `query_parameters`, as a Cube query."""
    query: dict[str, Any] = {name: arguments.get(name, []) for name in ("measures", "dimensions")}
    if filters := arguments.get("filters"):
        query["filters"] = filters
    if order := arguments.get("order"):
        query["order"] = [[each["member"], each["direction"]] for each in order]
    if time := arguments.get("time"):
        span = [day for day in (time.get("from"), time.get("to")) if day]
        grain = {"granularity": time["granularity"]} if "granularity" in time else {}
        query["timeDimensions"] = [{"dimension": time["dimension"], **grain, **({"dateRange": span} if span else {})}]
    return {**query, **({"limit": arguments["limit"]} if "limit" in arguments else {})}


def _name_list(names: Sequence[str], description: str) -> dict[str, Any]:
    items = {"enum": [*names]} if names else False
    return {"type": "array", "items": items, "maxItems": 20, "description": description}


def _text_list(text: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": text, "maxItems": 100}


def _object_schema(properties: dict[str, Any], required: int) -> dict[str, Any]:
    names = list(properties)[:required]
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


def _object_list(properties: dict[str, Any], required: int) -> dict[str, Any]:
    return {"type": "array", "items": _object_schema(properties, required), "maxItems": 20}
