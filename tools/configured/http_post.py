"""`HTTP_POST`: sends JSON to a service, with the call's id as `Idempotency-Key`, so that a service which knows it does one
thing once. `config.body` is JSON with `{name}` in it; without it the body holds every argument that is used nowhere else.
"""

from typing import Any

import msgspec

from tools.configured.answers import as_result
from tools.configured.definition import ToolDefinition
from tools.configured.http_get import check_query, query_pairs
from tools.configured.kind import KindOfTool, Run, Secrets, check_names, read_config
from tools.configured.templates import check_template, filled, names_in
from tools.configured.web_calls import WebConfig, check_web, once_only, open_call
from tools.contract import ToolContext, ToolResult
from tools.egress import EgressPolicy


class PostConfig(WebConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`query`: name in the query: name of the argument. `body`: JSON with `{name}`."""

    query: dict[str, str] | None = None
    body: Any = msgspec.UNSET


def check(definition: ToolDefinition, policy: EgressPolicy) -> None:
    config = read_config(definition, PostConfig)
    check_web(definition, config, policy)
    check_query(definition, config.query or {})
    if config.body is not msgspec.UNSET:
        check_template(config.body, "config.body")
        check_names(definition, dict.fromkeys(sorted(names_in(config.body)), "config.body"))


def build(definition: ToolDefinition, secrets: Secrets) -> Run:
    config = read_config(definition, PostConfig)
    query = config.query or {}
    call = open_call(definition, config, secrets)
    taken = call.endpoint.names | set(query.values())

    async def post(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        values = definition.with_defaults(arguments)
        address = call.endpoint.address(values, query_pairs(query, values))
        rest = {name: value for name, value in values.items() if name not in taken}
        body = rest if config.body is msgspec.UNSET else filled(config.body, values)
        answer = await call.send("POST", address, context, once_only(context), json=body)
        return as_result("Done." if answer is None else call.result(answer), definition)

    return post


KIND = KindOfTool(check=check, build=build, endpoint="needed", side_effects=True)
