"""The models and agents that a caller may use: granted to the tenant, or its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from api.auth.principals import Principal
from api.resources import Resources
from graphs.messages import ignored_in_messages
from graphs.providers.contract import ModelInfo
from graphs.providers.errors import ModelUnknown, ProviderUnknown
from graphs.providers.extras import MESSAGE_FIELDS
from graphs.providers.ignored import ignored_options
from graphs.providers.openai.provider import OpenAICompatible
from graphs.providers.registry import Providers
from graphs.providers.settings import AUTO, CHAT_AGENT
from graphs.providers.tenant_providers import TenantCredential
from schema.errors import UnknownAgent, UnknownModel
from schema.postgres.connections import tenant_tx
from schema.queries.identity.callers import find_tenant_snapshot
from schema.queries.identity.credentials import find_credentials

AGENT = "agent/"
"""The agent that answers when no other does: the model alone (`graphs/agents/contract.py`, which this process doesn't load)."""
NONE_GRANTED = "No model has been granted to this tenant yet. Ask the operator of this installation to grant one."


async def find_providers(resources: Resources, principal: Principal) -> Providers:
    """Return the providers of this tenant: its own keys take precedence over the installation's."""
    tenant = principal.tenant
    credentials: list[TenantCredential] = []
    if tenant.services:
        credentials = await resources.credentials.load(tenant.id, lambda: _read_credentials(resources, principal))
    return resources.tenant_providers.providers(tenant.id, tenant.default_model, credentials)


async def _read_credentials(resources: Resources, principal: Principal) -> list[TenantCredential]:
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        rows = await find_credentials(db, principal.tenant_id)
    hosts = tuple(await resources.egress.hosts(principal.tenant_id, "providers"))
    return [TenantCredential(principal.tenant_id, row.id, row.service, row.base_url, row.key, hosts) for row in rows]


@dataclass(frozen=True)
class Target:
    """What answers a request: `model` as `provider/name`, and an agent, `auto` if the router selects one, or None for the model
    alone. `model_requested`: the request named the model, so it takes precedence over the agent's."""

    model: str
    agent: str | None = None
    model_requested: bool = False


async def resolve_target(resources: Resources, principal: Principal, model: str | None, agent: str | None) -> Target:
    """Return the target of a request that names a model (`provider/name`, `agent/NAME`, `auto`), an agent, both or neither.

    Raises UnknownAgent, and what `resolve_model` raises.
    """
    try:
        return await _resolve_target(resources, principal, model, agent)
    except (UnknownAgent, UnknownModel):
        renewed = await reread_tenant(resources, principal)
        return await _resolve_target(resources, renewed, model, agent)


async def reread_tenant(resources: Resources, principal: Principal) -> Principal:
    """Return the principal with what its tenant has been granted by now. What is cached may lack what was granted a moment ago
    in another process, so it is read again before something is refused."""
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        tenant = await find_tenant_snapshot(db, principal.tenant_id)
    if tenant is None or tenant == principal.tenant:
        return principal
    resources.forget(principal.tenant_id)
    return replace(principal, tenant=tenant)


async def _resolve_target(resources: Resources, principal: Principal, model: str | None, agent: str | None) -> Target:
    if model and model.startswith(AGENT):
        if agent is not None and agent != model.removeprefix(AGENT):
            raise UnknownAgent("agent and model name different agents. Omit one of them.", field="agent")
        agent, model, field = model.removeprefix(AGENT), None, "model"
    else:
        field = "agent"
    model_requested = model not in (None, "", AUTO)
    agents = principal.tenant.agents
    if agent is None or agent == AUTO:
        use_router = bool(agents) and (agent == AUTO or not model_requested)
        return Target(await _resolve_model(resources, principal, model), AUTO if use_router else None, model_requested)
    if agent == CHAT_AGENT and agent not in agents:  # what `agent.routed` calls the model alone
        return Target(await _resolve_model(resources, principal, model), None, model_requested)
    if agent not in agents:
        known = ", ".join(sorted(agents)[:20]) or "none"
        message = f"No such agent: {agent[:80]!r}. Agents you can use: {known}. Omit agent to have one selected."
        raise UnknownAgent(message, field=field)
    agent_model = agents[agent]
    if not model_requested and agent_model is not None and principal.tenant.may_use_model(agent_model):
        model = agent_model
    return Target(await _resolve_model(resources, principal, model), agent, model_requested)


async def resolve_model(resources: Resources, principal: Principal, model: str | None) -> str:
    """Return the `provider/name` of the model that the caller named, or of the default.

    Raises UnknownModel for a model that doesn't exist or isn't granted, and ProviderError if a provider can't list its
    models.
    """
    try:
        return await _resolve_model(resources, principal, model)
    except UnknownModel:
        return await _resolve_model(resources, await reread_tenant(resources, principal), model)


async def _resolve_model(resources: Resources, principal: Principal, model: str | None) -> str:
    providers = await find_providers(resources, principal)
    if model in (None, "", AUTO):
        return await _choose_model(providers, principal)
    try:
        name = str(await providers.resolve(model))
    except (ModelUnknown, ProviderUnknown) as error:
        # The provider's message names settings of the installation, so only tenants that it is granted to see it.
        if _is_granted_in_part(principal, model):
            raise UnknownModel(error.message, field="model") from error
        raise _unknown_model(model) from error
    if not principal.tenant.may_use_model(name):
        raise _unknown_model(model)
    return name


def _none_granted(principal: Principal) -> str:
    """Return the message for a tenant without models: admins are told how to grant one, others whom to ask."""
    if "tenants.manage" not in principal.rights:
        return NONE_GRANTED
    slug = principal.tenant.slug
    return (
        f"No model has been granted to the tenant {slug} of this key. Use a key of another tenant, or grant one: "
        f"PUT /api/admin/tenants/{slug}/grants/model/*"
    )


def _unknown_model(model: str) -> UnknownModel:
    message = f"No such model: {model[:80]!r}. GET /v1/models lists the models you can use."
    return UnknownModel(message, field="model")


def _is_granted_in_part(principal: Principal, model: str) -> bool:
    return any(pattern in ("*", model) for pattern in principal.tenant.models)


async def _choose_model(providers: Providers, principal: Principal) -> str:
    """Return the model for a request that names none: the default if it is granted, else the first that is."""
    if not principal.tenant.models:
        raise UnknownModel(_none_granted(principal), field="model")
    default = str(await providers.resolve(None))
    if principal.tenant.may_use_model(default):
        return default
    named = next((name for name in principal.tenant.models if not name.endswith("*")), None)
    if named is not None:
        return str(await providers.resolve(named))
    for model in await providers.list_models():
        if principal.tenant.may_use_model(model.id):
            return model.id
    raise UnknownModel("None of the models that this tenant can use is reachable now.", field="model")


async def ignored_by_model(
    resources: Resources,
    principal: Principal,
    model: str,
    options: Mapping[str, Any],
    messages: Sequence[dict[str, Any]] = (),
    field: str = "messages",
) -> list[str]:
    """Return the names of options, and of what `messages` carry (below `field`), that the model `provider/name` has no place
    for, as it is called for this tenant."""
    service, _, name = model.partition("/")
    provider = (await find_providers(resources, principal)).get(service)
    by_responses = isinstance(provider, OpenAICompatible) and provider.is_by_responses(name)
    takes = MESSAGE_FIELDS.get("responses" if by_responses else service)
    in_messages = ignored_in_messages(messages, takes, field)
    return [*ignored_options(model, options, by_responses=by_responses), *in_messages]


async def list_granted_models(resources: Resources, principal: Principal) -> list[ModelInfo]:
    """Return the granted models of all providers that respond."""
    providers = await find_providers(resources, principal)
    return [model for model in await providers.list_models() if principal.tenant.may_use_model(model.id)]


def turns_agents_off(principal: Principal, target: Target) -> bool:
    """Whether the tenant has agents, and none answers because the request named a model."""
    return target.agent is None and target.model_requested and bool(principal.tenant.agents)
