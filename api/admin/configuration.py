"""What a tenant sets for all its agents (A9, G11): its persona, which tools are switched off, how many tools a model is
offered, how long answers may be given again. `persona.json` of older installations has the shape of `persona` here.
"""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Router, get, patch, put
from litestar.params import JSONBody
from msgspec import UNSET, Meta, UnsetType

from api.admin.deeds import note
from api.admin.known_tools import check_tools
from api.admin.own_rows import changing_own
from api.describing import described
from api.principals import MayManageConfiguration, Principal
from api.resources import Opened
from schema.db import Db
from schema.queries.configurations import find_configuration, put_configuration

OFFERED_TOOLS = 5
"""As `graphs/agents/contract.py` has it for a tenant that says nothing."""

Trait = Annotated[str, Meta(min_length=1, max_length=100)]
ToolNames = Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=200)]
Offered = Annotated[int, Meta(ge=1, le=20)]
CacheS = Annotated[int, Meta(ge=0, le=86_400)]


class PersonaIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Who all agents of the tenant are: what every model is told first, traits ("friendly"), and the style of answers."""

    system_prompt: Annotated[str, Meta(max_length=8000)] = ""
    traits: Annotated[list[Trait], Meta(max_length=30)] = []
    style: Annotated[str, Meta(max_length=500)] = ""


class ConfigurationIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a tenant. `disabled_tools` are names; `offered_tools` is how many a model is offered at once, those of the
    highest priority; `cache_s` is for how many seconds an answer to a request that names no agent may be given again (agents
    say it for themselves)."""

    persona: PersonaIn | UnsetType | None = UNSET
    disabled_tools: ToolNames | UnsetType = UNSET
    offered_tools: Offered | UnsetType | None = UNSET
    cache_s: CacheS | UnsetType | None = UNSET


class PersonaOut(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's persona."""

    system_prompt: str = ""
    traits: list[str] = []
    style: str = ""


class ConfigurationOut(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a tenant; `updated_at` is null where nothing was ever set."""

    persona: PersonaOut = msgspec.field(default_factory=PersonaOut)
    disabled_tools: list[str] = []
    offered_tools: int = OFFERED_TOOLS
    cache_s: int | None = None
    updated_at: datetime | None = None
    updated_by: str | None = None


EXAMPLE = {
    "persona": {"system_prompt": "You work for Acme.", "traits": ["friendly", "brief"], "style": "Plain words."},
    "disabled_tools": [],
    "offered_tools": 5,
}


@get("/", summary="Look at the configuration")
async def get_configuration(principal: MayManageConfiguration, resources: Opened) -> ConfigurationOut:
    async with principal.tx(resources.ports.pool) as db:
        row = await find_configuration(db, principal.tenant_id)
    return _shown(row) if row else ConfigurationOut()


@put("/", opt=described(example=EXAMPLE), summary="Set the configuration")
async def replace_configuration(
    data: JSONBody[ConfigurationIn], principal: MayManageConfiguration, resources: Opened
) -> ConfigurationOut:
    """Everything anew; what is left out is as usual again. It holds from the next job on."""
    async with changing_own(resources, principal) as db:
        return await _store(db, principal, {}, data)


@patch("/", summary="Change the configuration")
async def update_configuration(
    data: JSONBody[ConfigurationIn], principal: MayManageConfiguration, resources: Opened
) -> ConfigurationOut:
    """Change what is named and leave the rest; null makes it as usual again."""
    async with changing_own(resources, principal) as db:
        row = await find_configuration(db, principal.tenant_id)
        return await _store(db, principal, row["settings"] if row else {}, data)


@put("/persona", summary="Import a persona")
async def import_persona(
    data: JSONBody[PersonaIn], principal: MayManageConfiguration, resources: Opened
) -> ConfigurationOut:
    """Takes the content of a `persona.json` as it is."""
    async with changing_own(resources, principal) as db:
        row = await find_configuration(db, principal.tenant_id)
        return await _store(db, principal, row["settings"] if row else {}, ConfigurationIn(persona=data))


async def _store(db: Db, principal: Principal, before: dict[str, Any], data: ConfigurationIn) -> ConfigurationOut:
    given: dict[str, Any] = msgspec.to_builtins(data)
    # A slip of the pen would leave a tool on. Those that were named before may be gone by now.
    known = before.get("disabled_tools", ())
    await check_tools(db, principal, given.get("disabled_tools", ()), "disabled_tools", known=known)
    settings = {name: value for name, value in {**before, **given}.items() if value not in (None, [], {})}
    row = await put_configuration(db, principal.tenant_id, settings, updated_by=principal.actor)
    await note(db, principal, principal.tenant_id, "configuration.changed", "", {"fields": sorted(given)})
    return _shown(row)


def _shown(row: dict[str, Any]) -> ConfigurationOut:
    settings = {"offered_tools": OFFERED_TOOLS, **row["settings"]}
    times = {name: row[name] for name in ("updated_at", "updated_by")}
    return msgspec.convert({**settings, **times}, ConfigurationOut)


routes = Router(
    "/admin/configuration",
    route_handlers=[get_configuration, replace_configuration, update_configuration, import_persona],
    tags=["configuration"],
)
