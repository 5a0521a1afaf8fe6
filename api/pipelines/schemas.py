"""Pipelines on the wire, and the checks that a definition must pass to be stored."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from api.auth.principals import Principal
from api.chat.response_modes import ON_BUSY, PRIORITY
from api.http.fields import NoNextCursor
from api.http.paging import NextCursor
from api.jobs.run_at import RUN_AT
from api.resources import Resources
from api.tools.tool_catalog import load_builtin_tools
from api.webhooks.callbacks import CallbackEvents, CallbackInclude, CallbackUrl
from graphs.pipelines.builtin import BuiltinPipeline
from graphs.pipelines.definition import Definition
from graphs.pipelines.topology import Topology
from graphs.pipelines.validation import check_definition
from schema.queries.agents.agent_config import read_configuration
from schema.queries.agents.pipelines import DefinedPipeline
from schema.states import OnBusy, Priority
from workers.agents.configuration import Configuration, parse_configuration

STEPS = """Steps by name, at most 50. Each has a `kind`: `agent` (`agent`, `input`), `tool` (`tool`, `arguments`, `optional`)
and `prompt` (`prompt`, `model`), each with `next`; `router` (`by`, `cases`, `otherwise`); `parallel` (`branches`: lists of
step names; `next`). Texts may contain `{{input}}`, `{{steps.NAME}}` and `{{steps.NAME.field}}`."""
EXAMPLE: dict[str, Any] = {
    "name": "explain",
    "description": "Answers questions, and greets everybody else.",
    "start": "classify",
    "steps": {
        "classify": {"kind": "prompt", "prompt": "Is this a question? Answer yes or no.\n\n{{input}}", "next": "route"},
        "route": {"kind": "router", "by": "{{steps.classify}}", "cases": {"yes": "answer"}, "otherwise": "greet"},
        "answer": {"kind": "prompt", "prompt": "Answer in three sentences: {{input}}"},
        "greet": {"kind": "prompt", "prompt": "Say something friendly to: {{input}}"},
    },
}


class PipelineIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The definition of a pipeline."""

    name: Annotated[str, Meta(min_length=1, max_length=64, description="Name, unique in the tenant.")]
    start: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=64,
            description="Name of the first step. The pipeline ends at a step without `next`; its output is the answer.",
        ),
    ]
    steps: Annotated[dict[str, dict[str, Any]], Meta(description=STEPS, extra={"max_bytes": 512 * 1024})]
    description: Annotated[str, Meta(max_length=2000, description="What the pipeline is for.")] = ""


class PipelineOut(msgspec.Struct, frozen=True, kw_only=True):
    """A pipeline: one of your tenant's, or a built-in one."""

    id: Annotated[UUID | None, Meta(description="Id of the pipeline; null if built in.")]
    name: Annotated[str, Meta(description="Name of the pipeline.")]
    description: Annotated[str, Meta(description="What the pipeline is for.")]
    built_in: Annotated[bool, Meta(description="Whether the pipeline is built in: it cannot be changed or deleted.")]
    needs_agent: Annotated[bool, Meta(description="Whether running it requires `agent`.")] = False
    version: Annotated[int | None, Meta(description="Number of the newest version; null if built in.")] = None
    created_at: Annotated[datetime | None, Meta(description="When it was created; null if built in.")] = None
    updated_at: Annotated[datetime | None, Meta(description="When it was last changed; null if built in.")] = None
    created_by: Annotated[str | None, Meta(description="User or key that created it; null if built in.")] = None


class PipelineDetailOut(PipelineOut, frozen=True, kw_only=True):
    """A pipeline with its definition."""

    definition: Annotated[
        dict[str, Any] | None, Meta(description="The newest definition, as it was stored; null if built in.")
    ] = None


class PipelinesOut(msgspec.Struct, frozen=True):
    """All pipelines that you can run."""

    items: Annotated[list[PipelineOut], Meta(description="Built-in pipelines, then your tenant's own by name.")]
    next_cursor: NoNextCursor = None


class PipelineVersionOut(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a pipeline."""

    version: Annotated[int, Meta(description="Number of the version, from 1.")]
    definition: Annotated[dict[str, Any], Meta(description="The definition, as it was stored.")]
    created_at: Annotated[datetime, Meta(description="When the version was stored.")]
    created_by: Annotated[str | None, Meta(description="User or key that stored it.")]


class PipelineVersionsOut(msgspec.Struct, frozen=True):
    """A page of versions, newest first."""

    items: Annotated[list[PipelineVersionOut], Meta(description="The versions of this page.")]
    next_cursor: NextCursor


class TopologyNodeOut(msgspec.Struct, frozen=True):
    """A node of a pipeline's graph."""

    id: Annotated[str, Meta(description="Id of the node, unique in the pipeline.")]
    kind: Annotated[
        str, Meta(description="Kind of step, or `start`, `end`, `join` (parallel branches meet) or `node` (built in).")
    ]
    label: Annotated[str, Meta(description="Text to display.")]


class TopologyEdgeOut(msgspec.Struct, frozen=True, rename={"source": "from", "target": "to"}):
    """An edge of a pipeline's graph."""

    source: Annotated[str, Meta(description="Id of the node that the edge leaves.")]
    target: Annotated[str, Meta(description="Id of the node that the edge leads to.")]
    label: Annotated[str, Meta(description="When the edge is taken; empty if always.")]
    conditional: Annotated[bool, Meta(description="Whether the edge is one of several alternatives.")]


class TopologyOut(msgspec.Struct, frozen=True, kw_only=True):
    """A pipeline as a graph."""

    name: Annotated[str, Meta(description="Name of the pipeline.")]
    version: Annotated[int | None, Meta(description="Number of the version; null if built in.")]
    nodes: Annotated[list[TopologyNodeOut], Meta(description="The nodes.")]
    edges: Annotated[list[TopologyEdgeOut], Meta(description="The edges.")]


class ExecuteIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The input of a pipeline run, with the session and model that it is for."""

    input: Annotated[str, Meta(min_length=1, max_length=200_000, description="The input, as `{{input}}` in the steps.")]
    session_id: Annotated[
        UUID | None, Meta(description="Session to add the input and the answer to. Only the job is stored if omitted.")
    ] = None
    version: (
        Annotated[int, Meta(ge=1, le=2**31 - 1, description="Version of your own pipeline; the newest if omitted.")]
        | None
    ) = None
    agent: (
        Annotated[str, Meta(min_length=1, max_length=200, description="Agent for a built-in pipeline that needs one.")]
        | None
    ) = None
    model: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=200,
                description="Model for steps that name none, as `provider/name`; the default model if omitted.",
            ),
        ]
        | None
    ) = None
    on_busy: Annotated[OnBusy, Meta(description=ON_BUSY)] = "queue"
    priority: Annotated[Priority, Meta(description=PRIORITY)] = "normal"
    run_at: Annotated[datetime | None, Meta(description=RUN_AT)] = None
    callback_url: CallbackUrl | None = None
    callback_events: CallbackEvents | None = None
    callback_include: CallbackInclude | None = None


async def validated_definition(resources: Resources, principal: Principal, data: PipelineIn) -> dict[str, Any]:
    """Return the definition to store. Raises InputError if it is invalid or uses what the tenant may not use."""
    rows = await read_configuration(resources.core.pool, principal.tenant_id)
    configuration = parse_configuration(rows, principal.tenant_id)
    definition = check_definition(
        msgspec.to_builtins(data),
        agents=configuration.agents,
        tools=await _tools(configuration),
        may_use_model=configuration.may_use_model,
    )
    return msgspec.to_builtins(definition)


async def _tools(configuration: Configuration) -> dict[str, dict[str, Any] | None]:
    """Return the tools that the tenant may call, with the JSON Schema of their arguments; None for configured tools, whose
    schema is not known here."""
    builtin_tools = await load_builtin_tools()
    granted: dict[str, dict[str, Any] | None] = {
        name: tool.spec.parameters for name, tool in builtin_tools.items() if configuration.may_use_tool(name)
    }
    disabled = configuration.settings.get("disabled_tools") or ()
    return granted | {name: None for name in configuration.tools if name not in disabled}


def stored_definition(row: DefinedPipeline) -> Definition:
    """Return the definition of a row."""
    return msgspec.convert(row.definition, Definition)


def built_in(builtin: BuiltinPipeline) -> PipelineDetailOut:
    """Return a built-in pipeline as it is returned to clients."""
    return PipelineDetailOut(
        id=None, name=builtin.name, description=builtin.description, built_in=True, needs_agent=builtin.needs_agent
    )


def topology_out(name: str, version: int | None, topology: Topology) -> TopologyOut:
    """Return a topology as it is returned to clients."""
    return TopologyOut(
        name=name,
        version=version,
        nodes=[TopologyNodeOut(node.id, node.kind, node.label) for node in topology.nodes],
        edges=[TopologyEdgeOut(e.source, e.target, e.label, e.conditional) for e in topology.edges],
    )
