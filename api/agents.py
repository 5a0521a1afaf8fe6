"""The agents that a caller may call: its tenant's own, and those that are granted to it. Not their prompts and tools: those
are for whoever manages them (`api/admin/agents.py`).
"""

from typing import Any

import msgspec
from litestar import Router, get
from psycopg.rows import DictRow

from api.admin.output_shapes import OutputFormat
from api.principals import MayReadAgents
from api.resources import Opened
from graphs.agents.contract import GraphName
from schema.queries.agents import list_callable_agents
from schema.queries.tenants import list_grants
from schema.tenancy import matches


class CallableAgentOut(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that may be called: as `agent` of a chat, or as the model `agent/NAME`. `own` says that it is your tenant's,
    and not one that is shared with it."""

    name: str
    description: str
    examples: list[str]
    graph: GraphName
    output_format: OutputFormat | None
    renderer: dict[str, Any] | None
    own: bool


class CallableAgentsOut(msgspec.Struct, frozen=True):
    """All agents that may be called, by name."""

    items: list[CallableAgentOut]


@get("/", summary="List the agents that you may call")
async def list_agents(principal: MayReadAgents, resources: Opened) -> CallableAgentsOut:
    async with principal.tx(resources.ports.pool) as db:
        rows = await list_callable_agents(db, principal.tenant_id)
        grants = await list_grants(db, principal.tenant_id, "agent")
    return CallableAgentsOut([_agent(row, grants) for row in rows])


def _agent(row: DictRow, grants: list[DictRow]) -> CallableAgentOut:
    """Return an agent as it looks for this tenant: a shared one with what its grants override."""
    looks: dict[str, Any] = {}
    for grant in grants:
        if not row["own"] and matches(grant["name"], row["name"]):
            looks |= {
                key: grant["overrides"][key] for key in ("output_format", "renderer") if key in grant["overrides"]
            }
    return CallableAgentOut(**{**row, **looks})


routes = Router("/agents", route_handlers=[list_agents], tags=["agents"])
