"""`HTTP_GET`: queries a service. `config.query` maps query names to arguments; without it, every argument that is not in the
path goes into the query under its own name. Constant query parameters may be part of the endpoint.
"""

from typing import Any

from schema.errors import InputError
from tools.configured.definition import ToolDefinition
from tools.configured.endpoints import Endpoint
from tools.configured.kind import KindSpec, RunTool, Secrets, check_names, read_config
from tools.configured.responses import to_tool_result
from tools.configured.templates import as_text
from tools.configured.web_calls import WebConfig, build_call, check_web_config
from tools.contract import ToolContext, ToolResult
from tools.egress import EgressPolicy


class GetConfig(WebConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`query` maps names in the query to arguments."""

    query: dict[str, str] | None = None


def check(definition: ToolDefinition, policy: EgressPolicy) -> None:
    config = read_config(definition, GetConfig)
    check_web_config(definition, config, policy)
    check_query(definition, config.query or {})


def check_query(definition: ToolDefinition, query: dict[str, str]) -> None:
    """Raises InputError for an empty name or an undeclared argument."""
    if "" in query:
        raise InputError("config.query has an empty name.", field="config.query")
    check_names(definition, {argument: f"config.query.{name}" for name, argument in query.items()})


def build(definition: ToolDefinition, secrets: Secrets) -> RunTool:
    config = read_config(definition, GetConfig)
    call = build_call(definition, config, secrets)

    async def get(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        values = definition.with_defaults(arguments)
        query = config.query if config.query is not None else _unused_arguments(call.endpoint, values)
        address = call.endpoint.url(values, query_pairs(query, values))
        return to_tool_result(call.result(await call.send("GET", address, context)), definition)

    return get


def query_pairs(query: dict[str, str], values: dict[str, Any]) -> list[tuple[str, str]]:
    """The query as pairs: a list repeats its name, missing arguments are left out. Raises ToolBadArguments for an object."""
    pairs: list[tuple[str, str]] = []
    for name, argument in query.items():
        value = values.get(argument)
        each = value if isinstance(value, list) else [] if value is None else [value]
        pairs += [(name, as_text(argument, one)) for one in each]
    return pairs


def _unused_arguments(endpoint: Endpoint, values: dict[str, Any]) -> dict[str, str]:
    return {name: name for name in values if name not in endpoint.names}


KIND = KindSpec(check=check, build=build, endpoint="needed")
