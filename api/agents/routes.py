"""Lists the agents that a caller can call: its tenant's own and those granted to it. Prompts and tools are for admins only
(`api/agents/manage.py`).
"""

from typing import Annotated, Any

import msgspec
from litestar import Router, get
from msgspec import Meta

from api.auth.principals import MayReadAgents
from api.grants.output_schemas import OutputFormat
from api.http.fields import NoNextCursor
from api.http.rows import from_row
from api.openapi.operations import described
from api.resources import AppResources
from graphs.agents.contract import GraphName
from schema.identity.tenancy import matches
from schema.queries.agents.agents import CallableAgent, list_callable_agents
from schema.queries.tenants.tenants import Grant, list_grants

EXAMPLE = {
    "items": [
        {
            "name": "AgentInventory",
            "description": "Answers how many units of an article are in which warehouse.",
            "examples": ["How many CF-ROB-01 are left in HN01?"],
            "graph": "react",
            "output_format": "markdown_table",
            "renderer": {"type": "table", "sortable": True},
            "own": True,
        }
    ]
}


class CallableAgentOut(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that you can call."""

    name: Annotated[str, Meta(description="Send it as `agent` of a chat, or as the model `agent/NAME`.")]
    description: Annotated[str, Meta(description="What the agent is for.")]
    examples: Annotated[list[str], Meta(description="Sample requests it handles.")]
    graph: Annotated[GraphName, Meta(description="How the agent works.")]
    output_format: Annotated[OutputFormat | None, Meta(description="Format of its answers; null if it has none.")]
    renderer: Annotated[
        dict[str, Any] | None, Meta(description="Hint for displaying its answers; null if it has none.")
    ]
    own: Annotated[bool, Meta(description="True for your tenant's own agent, false for one that is shared with it.")]


class CallableAgentsOut(msgspec.Struct, frozen=True):
    """All agents that you can call."""

    items: Annotated[list[CallableAgentOut], Meta(description="The agents, ordered by name.")]
    next_cursor: NoNextCursor = None


@get("/", opt=described(response=EXAMPLE), summary="List agents")
async def list_agents(principal: MayReadAgents, resources: AppResources) -> CallableAgentsOut:
    """Lists every agent that you can call: your tenant's own and those that are granted to it."""
    async with principal.tx(resources.core.pool) as db:
        rows = await list_callable_agents(db, principal.tenant_id)
        grants = await list_grants(db, principal.tenant_id, "agent")
    return CallableAgentsOut([_agent(row, grants) for row in rows])


def _agent(agent: CallableAgent, grants: list[Grant]) -> CallableAgentOut:
    """Return an agent; a shared one with the overrides of the tenant's grants."""
    overrides: dict[str, Any] = {}
    for grant in grants:
        if not agent.own and matches(grant.name, agent.name):
            overrides |= {key: grant.overrides[key] for key in ("output_format", "renderer") if key in grant.overrides}
    return from_row(CallableAgentOut, agent, **overrides)


routes = Router("/agents", route_handlers=[list_agents], tags=["agents"])
