"""`HTTP_POST`: sends JSON to a service, with the call's id as `Idempotency-Key`, so that a service that supports it acts once.
`config.body` is JSON with `{name}` in it; without it, the body contains every argument that is not used elsewhere.
"""

from typing import Any

import msgspec

from tools.configured.definition import ToolDefinition
from tools.configured.http_get import check_query, query_pairs
from tools.configured.kind import KindSpec, RunTool, Secrets, check_names, read_config
from tools.configured.responses import to_tool_result
from tools.configured.templates import check_template, fill_template, placeholder_names
from tools.configured.web_calls import WebConfig, build_call, check_web_config, idempotency_header
from tools.contract import ToolContext, ToolResult
from tools.egress import EgressPolicy


class PostConfig(WebConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`query` maps names in the query to arguments; `body` is JSON with `{name}`."""

    query: dict[str, str] | None = None
    body: Any = msgspec.UNSET


def check(definition: ToolDefinition, policy: EgressPolicy) -> None:
    config = read_config(definition, PostConfig)
    check_web_config(definition, config, policy)
    check_query(definition, config.query or {})
    if config.body is not msgspec.UNSET:
        check_template(config.body, "config.body")
        check_names(definition, dict.fromkeys(sorted(placeholder_names(config.body)), "config.body"))


def build(definition: ToolDefinition, secrets: Secrets) -> RunTool:
    config = read_config(definition, PostConfig)
    query = config.query or {}
    call = build_call(definition, config, secrets)
    used_elsewhere = call.endpoint.names | set(query.values())

    async def post(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        values = definition.with_defaults(arguments)
        address = call.endpoint.url(values, query_pairs(query, values))
        rest = {name: value for name, value in values.items() if name not in used_elsewhere}
        body = rest if config.body is msgspec.UNSET else fill_template(config.body, values)
        answer = await call.send("POST", address, context, idempotency_header(context), json=body)
        return to_tool_result("Done." if answer is None else call.result(answer), definition)

    return post


KIND = KindSpec(check=check, build=build, endpoint="needed", side_effects=True)
