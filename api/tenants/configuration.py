"""Settings for all agents of a tenant: persona, disabled tools, how many tools a model is offered, how long answers may be
reused. The `persona.json` of older installations has the fields of `persona`.
"""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Router, get, patch, put
from litestar.params import JSONBody
from msgspec import UNSET, Meta, UnsetType

from api.audit.log import record
from api.auth.principals import MayManageConfiguration, Principal
from api.grants.tenant_rows import changing_own_tenant
from api.openapi.operations import described
from api.resources import AppResources
from api.tools.tool_catalog import check_tools
from schema.postgres.connections import Db
from schema.queries.tenants.tenant_settings import TenantSettings, find_configuration, put_configuration

DEFAULT_OFFERED_TOOLS = 5
"""The same default as in `graphs/agents/contract.py`."""

SystemPrompt = Annotated[str, Meta(max_length=8000, description="Text that every model is given first.")]
Traits = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=100)]],
    Meta(max_length=30, description="Character traits.", examples=[["friendly", "brief"]]),
]
Style = Annotated[str, Meta(max_length=500, description="Style of the answers.", examples=["Plain words."])]
ToolNames = Annotated[
    list[Annotated[str, Meta(max_length=64)]],
    Meta(max_length=200, description="Names of tools that no agent of the tenant may call."),
]
OfferedTools = Annotated[
    int,
    Meta(
        ge=1,
        le=20,
        description="Most tools that a model is offered at a time, those with the highest priority; 5 by default.",
    ),
]
CacheS = Annotated[
    int,
    Meta(
        ge=0,
        le=86_400,
        description="Seconds that an answer to a request that names no agent may be reused; agents have a `cache_s` of "
        "their own.",
    ),
]


class PersonaIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Who all agents of the tenant are."""

    system_prompt: SystemPrompt = ""
    traits: Traits = []
    style: Style = ""


class ConfigurationIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings for all agents of a tenant."""

    persona: Annotated[PersonaIn, Meta(description="Who all agents are; null for none.")] | UnsetType | None = UNSET
    disabled_tools: ToolNames | UnsetType = UNSET
    offered_tools: OfferedTools | UnsetType | None = UNSET
    cache_s: CacheS | UnsetType | None = UNSET


class PersonaOut(msgspec.Struct, frozen=True, kw_only=True):
    """Who all agents of the tenant are."""

    system_prompt: SystemPrompt = ""
    traits: Traits = []
    style: Style = ""


class ConfigurationOut(msgspec.Struct, frozen=True, kw_only=True):
    """Settings for all agents of a tenant."""

    persona: Annotated[PersonaOut, Meta(description="Who all agents are.")] = msgspec.field(default_factory=PersonaOut)
    disabled_tools: ToolNames = []
    offered_tools: OfferedTools = DEFAULT_OFFERED_TOOLS
    cache_s: CacheS | None = None
    updated_at: Annotated[datetime | None, Meta(description="When it was last set; null if never.")] = None
    updated_by: Annotated[
        str | None, Meta(description="Who last set it: `user:ID` or `key:ID`; null if nobody did.")
    ] = None


PERSONA_EXAMPLE = {"system_prompt": "You work for Acme.", "traits": ["friendly", "brief"], "style": "Plain words."}
NEW_CONFIGURATION_EXAMPLE = {"persona": PERSONA_EXAMPLE, "disabled_tools": ["fetch_url"], "offered_tools": 5}
CONFIGURATION_EXAMPLE: dict[str, Any] = NEW_CONFIGURATION_EXAMPLE | {
    "cache_s": None,
    "updated_at": "2026-03-02T08:15:30Z",
    "updated_by": "user:019514f2-6c1e-7a34-9d2b-3f5a8c7e1b20",
}


@get("/", opt=described(response=CONFIGURATION_EXAMPLE), summary="Get the agent configuration")
async def get_configuration(principal: MayManageConfiguration, resources: AppResources) -> ConfigurationOut:
    """Returns the defaults for whatever was never set."""
    async with principal.tx(resources.core.pool) as db:
        row = await find_configuration(db, principal.tenant_id)
    return _configuration_out(row) if row else ConfigurationOut()


@put(
    "/",
    opt=described(example=NEW_CONFIGURATION_EXAMPLE, response=CONFIGURATION_EXAMPLE),
    summary="Replace the agent configuration",
)
async def replace_configuration(
    data: JSONBody[ConfigurationIn], principal: MayManageConfiguration, resources: AppResources
) -> ConfigurationOut:
    """Replaces all settings; omitted fields return to their defaults. Takes effect with the next job."""
    async with changing_own_tenant(resources, principal) as db:
        return await _store(db, principal, {}, data)


@patch(
    "/",
    opt=described(example={"offered_tools": 8}, response=CONFIGURATION_EXAMPLE | {"offered_tools": 8}),
    summary="Update the agent configuration",
)
async def update_configuration(
    data: JSONBody[ConfigurationIn], principal: MayManageConfiguration, resources: AppResources
) -> ConfigurationOut:
    """Changes the fields you send; the others keep their value, and null restores a default. Takes effect with the next
    job."""
    async with changing_own_tenant(resources, principal) as db:
        row = await find_configuration(db, principal.tenant_id)
        return await _store(db, principal, row.settings if row else {}, data)


@put(
    "/persona",
    opt=described(example=PERSONA_EXAMPLE, response=CONFIGURATION_EXAMPLE),
    summary="Import a persona",
)
async def import_persona(
    data: JSONBody[PersonaIn], principal: MayManageConfiguration, resources: AppResources
) -> ConfigurationOut:
    """Replaces the persona, with the content of a `persona.json` as it is. The other settings keep their value."""
    async with changing_own_tenant(resources, principal) as db:
        row = await find_configuration(db, principal.tenant_id)
        return await _store(db, principal, row.settings if row else {}, ConfigurationIn(persona=data))


async def _store(db: Db, principal: Principal, before: dict[str, Any], data: ConfigurationIn) -> ConfigurationOut:
    changes: dict[str, Any] = msgspec.to_builtins(data)
    # Names are checked because a typo would leave a tool enabled. Those set earlier may have been deleted since.
    already_disabled = before.get("disabled_tools", ())
    await check_tools(db, principal, changes.get("disabled_tools", ()), "disabled_tools", known=already_disabled)
    settings = {name: value for name, value in {**before, **changes}.items() if value not in (None, [], {})}
    row = await put_configuration(db, principal.tenant_id, settings, updated_by=principal.actor)
    await record(db, principal, principal.tenant_id, "configuration.changed", "", {"fields": sorted(changes)})
    return _configuration_out(row)


def _configuration_out(row: TenantSettings) -> ConfigurationOut:
    settings = {"offered_tools": DEFAULT_OFFERED_TOOLS, **row.settings}
    times = {"updated_at": row.updated_at, "updated_by": row.updated_by}
    return msgspec.convert({**settings, **times}, ConfigurationOut)


routes = Router(
    "/admin/configuration",
    route_handlers=[get_configuration, replace_configuration, update_configuration, import_persona],
    tags=["configuration"],
)
