"""The models and agents that a caller may use: granted to the tenant (X3), or its own."""

from dataclasses import dataclass

from api.auth.principals import Principal
from api.resources import Resources
from graphs.providers.contract import ModelInfo
from graphs.providers.errors import ModelUnknown, ProviderUnknown
from graphs.providers.registry import Providers
from graphs.providers.settings import AUTO
from graphs.providers.tenant_providers import TenantCredential
from schema.db import tenant_tx
from schema.errors import UnknownAgent, UnknownModel
from schema.queries.identity.credentials import find_credentials

AGENT = "agent/"
NONE_GRANTED = "No model has been granted to this tenant yet. An admin can grant one, such as ollama/*."


async def find_providers(resources: Resources, principal: Principal) -> Providers:
    """Return the providers as this tenant sees them: its own keys in place of the deployment's."""
    tenant = principal.tenant
    credentials: list[TenantCredential] = []
    if tenant.services:
        credentials = await resources.credentials.load(tenant.id, lambda: _read_credentials(resources, principal))
    return resources.tenant_providers.providers(tenant.id, tenant.default_model, credentials)


async def _read_credentials(resources: Resources, principal: Principal) -> list[TenantCredential]:
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        rows = await find_credentials(db, principal.tenant_id)
    return [TenantCredential(principal.tenant_id, found.id, found.service, found.base_url, found.key) for found in rows]


@dataclass(frozen=True)
class Target:
    """Who is to answer: `model` as `provider/name`, and the agent, `auto` for whom the router finds, or None for the model
    alone. `asked_model`: the request named the model, so it wins over the agent's."""

    model: str
    agent: str | None = None
    asked_model: bool = False


async def resolve_target(resources: Resources, principal: Principal, model: str | None, agent: str | None) -> Target:
    """Return who is to answer a request that names a model (`provider/name`, `agent/NAME`, `auto`), an agent, both or none.

    Raises UnknownAgent, and what `resolve_model` raises.
    """
    if model and model.startswith(AGENT):
        if agent is not None and agent != model.removeprefix(AGENT):
            raise UnknownAgent("agent and model name different agents. Omit one of them.", field="agent")
        agent, model, field = model.removeprefix(AGENT), None, "model"
    else:
        field = "agent"
    asked = model not in (None, "", AUTO)
    agents = principal.tenant.agents
    if agent is None or agent == AUTO:
        routed = bool(agents) and (agent == AUTO or not asked)
        return Target(await resolve_model(resources, principal, model), AUTO if routed else None, asked)
    if agent not in agents:
        known = ", ".join(sorted(agents)[:20]) or "none"
        said = f"No such agent: {agent[:80]!r}. Agents you can use: {known}. Omit agent to have one selected."
        raise UnknownAgent(said, field=field)
    own = agents[agent]
    if not asked and own is not None and principal.tenant.may_use_model(own):
        model = own
    return Target(await resolve_model(resources, principal, model), agent, asked)


async def resolve_model(resources: Resources, principal: Principal, model: str | None) -> str:
    """Return `provider/name` for what the caller named, or for nothing.

    Raises UnknownModel for a model that is not there or not granted, or what went wrong when a provider was
    asked for its models.
    """
    providers = await find_providers(resources, principal)
    if model in (None, "", AUTO):
        return await _choose(providers, principal)
    try:
        found = str(await providers.resolve(model))
    except (ModelUnknown, ProviderUnknown) as error:
        # What the provider says names settings of the installation; a tenant to which it isn't granted learns nothing.
        if _is_granted_in_part(principal, model):
            raise UnknownModel(error.message, field="model") from error
        raise _unknown(model) from error
    if not principal.tenant.may_use_model(found):
        raise _unknown(model)
    return found


def _unknown(model: str) -> UnknownModel:
    said = f"No such model: {model[:80]!r}. GET /v1/models lists the models you can use."
    return UnknownModel(said, field="model")


def _is_granted_in_part(principal: Principal, model: str) -> bool:
    return any(pattern in ("*", model) for pattern in principal.tenant.models)


async def _choose(providers: Providers, principal: Principal) -> str:
    """Return the model for a request that names none: the default if it is granted, else the first that is."""
    if not principal.tenant.models:
        raise UnknownModel(NONE_GRANTED, field="model")
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


async def list_granted_models(resources: Resources, principal: Principal) -> list[ModelInfo]:
    """Return the models of all providers that answer now, as far as they are granted."""
    providers = await find_providers(resources, principal)
    return [model for model in await providers.list_models() if principal.tenant.may_use_model(model.id)]
