"""`POST /v1/messages/count_tokens`: as Anthropic counts for its models, estimated for all others."""

from typing import Any

import msgspec
from litestar import Router, post
from litestar.params import JSONBody

from api.anthropic.conversation import read_conversation
from api.anthropic.messages import EXAMPLE, find_target
from api.anthropic.options import prompt_options
from api.anthropic.schemas import CountTokensIn, PromptTokensOut
from api.auth.principals import MayChat, Principal
from api.grants.model_access import find_providers
from api.http.bodies.limits import LARGE_BODY
from api.http.errors import PROVIDER_FAILURES, problems
from api.http.limit_errors import counted_as, require_rate
from api.openapi.operations import described
from api.resources import AppResources, Resources
from graphs.messages import read_message
from graphs.providers.anthropic.provider import NAME, Anthropic
from graphs.providers.contract import ModelRequest
from graphs.providers.tokens import estimate_tokens
from workers.limits.rates import READS


@post(
    "/messages/count_tokens",
    status_code=200,
    opt=LARGE_BODY
    | counted_as(READS)
    | described(
        example={name: value for name, value in EXAMPLE.items() if name != "max_tokens"},
        response={"input_tokens": 14},
        request_headers=("anthropic-version",),
    ),
    responses=problems("model_unknown", "agent_unknown", "rate_limit_exceeded", *PROVIDER_FAILURES),
    summary="Count the tokens of a prompt",
    tags=["anthropic"],
)
async def count_tokens(data: JSONBody[CountTokensIn], principal: MayChat, resources: AppResources) -> PromptTokensOut:
    """Compatible with Anthropic's API. Counts against the tenant's reads per minute."""
    require_rate(resources.rates, principal.tenant, READS)
    target, native = await find_target(resources, principal, data.model)
    messages = read_conversation(data, native=native)
    options = prompt_options(data, native=native, model=target.model.partition("/")[2])
    if native and (counted := await _ask(resources, principal, target.model, messages, options)) is not None:
        return PromptTokensOut(counted)
    return PromptTokensOut(estimate_tokens(len(msgspec.json.encode([messages, options.get("tools")]))))


async def _ask(
    resources: Resources, principal: Principal, model: str, messages: list[dict[str, Any]], options: dict[str, Any]
) -> int | None:
    """Return the vendor's count; None if it is not called in its own protocol. Raises ProviderError."""
    provider = (await find_providers(resources, principal)).get(NAME)
    if not isinstance(provider, Anthropic):
        return None
    read = tuple(read_message(message, field=f"messages[{place}]") for place, message in enumerate(messages))
    fields = {**options, "model": model.partition("/")[2], "messages": ()}
    request = msgspec.structs.replace(msgspec.convert(fields, ModelRequest), messages=read)
    return await provider.count_tokens(request)


routes = Router("/", route_handlers=[count_tokens])
