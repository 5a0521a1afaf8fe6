"""`CUBE`: queries a Cube (cube.dev) through its `/cubejs-api/v1/load`.

With `config.query`, an admin writes the query, with `{name}` for arguments. With `config.measures` and `config.dimensions`, the
model composes a query from only those. While a Cube computes, it returns `Continue wait` and is polled until the time limit.
`max_rows` limits the result.
"""

import asyncio
from itertools import chain, repeat
from typing import Annotated, Any

from msgspec import Meta

from schema.errors import InputError
from tools.configured.cube_query import cube_query, query_parameters
from tools.configured.definition import ToolDefinition, any_object
from tools.configured.kind import KindSpec, RunTool, Secrets, check_names, read_config
from tools.configured.templates import check_template, fill_template, placeholder_names
from tools.configured.web_calls import WebCall, WebConfig, build_call, check_web_config
from tools.contract import ToolContext, ToolResult
from tools.egress import EgressPolicy
from tools.errors import ToolUnavailable
from tools.http_calls import expect_type
from tools.sql_reading import Rows, to_table_result

LOAD_PATH = "/cubejs-api/v1/load"
CONTINUE_WAIT = "Continue wait"
POLL_INTERVALS_S = (0.05, 0.1, 0.2, 0.5)
"""Pauses between polls; the last one repeats. A real Cube delays its first response for seconds."""

Member = Annotated[str, Meta(pattern=r"^[A-Za-z_]\w{0,99}(\.[A-Za-z_]\w{0,99}){1,2}$(?!\n)")]


class CubeConfig(WebConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    query: dict[str, Any] | None = None
    measures: Annotated[tuple[Member, ...], Meta(max_length=200)] = ()
    dimensions: Annotated[tuple[Member, ...], Meta(max_length=200)] = ()
    max_rows: Annotated[int, Meta(ge=1, le=5000)] = 200


def check(definition: ToolDefinition, policy: EgressPolicy) -> None:
    config = read_config(definition, CubeConfig)
    check_web_config(definition, config, policy)
    if config.query is not None:
        if config.measures or config.dimensions:
            raise InputError("config.query is the whole query; remove measures and dimensions.", field="config.query")
        check_template(config.query, "config.query")
        check_names(definition, dict.fromkeys(sorted(placeholder_names(config.query)), "config.query"))
        return
    if not config.measures and not config.dimensions:
        raise InputError("config needs a query, or the measures and dimensions that may be queried.", field="config")
    if definition.parameters != any_object():
        raise InputError(
            "parameters come from config.measures and config.dimensions; leave them out.", field="parameters"
        )


def parameters(definition: ToolDefinition) -> dict[str, Any]:
    """The admin's parameters, or a schema with every allowed measure and dimension."""
    config = read_config(definition, CubeConfig)
    if config.query is not None:
        return definition.parameters
    return query_parameters(config.measures, config.dimensions, config.max_rows)


def build(definition: ToolDefinition, secrets: Secrets) -> RunTool:
    config = read_config(definition, CubeConfig)
    call = build_call(definition, config, secrets)

    async def ask(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        values = definition.with_defaults(arguments)
        query = cube_query(arguments) if config.query is None else fill_template(config.query, values)
        limit = min(_positive_int(query.get("limit"), config.max_rows), config.max_rows)
        url = call.endpoint.url(values)
        url = url + LOAD_PATH.lstrip("/") if call.endpoint.path == "/" else url
        rows = await _load(call, url, {**query, "limit": limit}, context)
        renderer = (definition.renderer or {}).get("type", "table")
        return to_table_result(Rows(rows[:limit], len(rows) >= limit), renderer)

    return ask


async def _load(call: WebCall, url: str, query: dict[str, Any], context: ToolContext) -> list[dict[str, Any]]:
    """Poll until the rows are computed. Raises ToolUnavailable for an unexpected response."""
    intervals = chain(POLL_INTERVALS_S, repeat(POLL_INTERVALS_S[-1]))  # the tool's time limit ends it
    response: dict[str, Any] = {"error": CONTINUE_WAIT}
    while response.get("error") == CONTINUE_WAIT:
        response = expect_type(await call.send("POST", url, context, json={"query": query}), dict, call.service)
        if response.get("error") == CONTINUE_WAIT:
            context.progress("Cube is computing the result.")
            await asyncio.sleep(next(intervals))
    if "error" in response:
        raise ToolUnavailable(f"{call.service} could not compute the result; an admin must check the Cube.")
    rows = expect_type(response.get("data"), list, call.service)
    return [expect_type(row, dict, call.service) for row in rows]


def _positive_int(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else otherwise


KIND = KindSpec(check=check, build=build, parameters=parameters, endpoint="needed")
