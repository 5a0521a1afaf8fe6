"""What pipelines look like on the wire, and what a caller's words must be to be stored as one."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta
from psycopg.rows import DictRow

from api.admin.known_tools import load_builtin_tools
from api.principals import Principal
from api.resources import Resources
from graphs.pipelines.builtin import Builtin
from graphs.pipelines.checking import check_definition
from graphs.pipelines.definition import Definition
from graphs.pipelines.topology import Topology
from schema.queries.configuration import read_configuration
from schema.states import OnBusy, Priority
from workers.agents.configuration import Configuration, read

STEPS = """Steps by name, up to 50. Each has a `kind`: `agent` (`agent`, `input`), `tool` (`tool`, `arguments`, `optional`),
`prompt` (`prompt`, `model`), each with `next`; `router` (`by`, `cases`, `otherwise`); `parallel` (`branches`: lists of steps
by name; `next`). Texts hold `{{input}}`, `{{steps.NAME}}` and `{{steps.NAME.field}}`."""
EXAMPLE: dict[str, Any] = {
    "name": "explain",
    "description": "Says in one word what is asked for, then answers or waves.",
    "start": "sort",
    "steps": {
        "sort": {"kind": "prompt", "prompt": "Is this a question? Answer yes or no.\n\n{{input}}", "next": "way"},
        "way": {"kind": "router", "by": "{{steps.sort}}", "cases": {"yes": "answer"}, "otherwise": "wave"},
        "answer": {"kind": "prompt", "prompt": "Answer in three sentences: {{input}}"},
        "wave": {"kind": "prompt", "prompt": "Say something friendly to: {{input}}"},
    },
}

Name = Annotated[str, Meta(min_length=1, max_length=64)]


class PipelineIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole pipeline. It begins with the step `start` and ends where a step has no `next`; that step's words are the
    answer."""

    name: Name
    start: Name
    steps: Annotated[dict[str, dict[str, Any]], Meta(description=STEPS)]
    description: Annotated[str, Meta(max_length=2000)] = ""


class PipelineOut(msgspec.Struct, frozen=True, kw_only=True):
    """A pipeline. Built-in ones have no `id` and no versions; those that need one run for an agent whom you name."""

    id: UUID | None
    name: str
    description: str
    built_in: bool
    needs_agent: bool = False
    version: int | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    created_by: str | None = None


class PipelineDetailOut(PipelineOut, frozen=True, kw_only=True):
    """A pipeline with its newest definition; a built-in one has none."""

    definition: dict[str, Any] | None = None


class PipelinesOut(msgspec.Struct, frozen=True):
    """All pipelines that you may run: the built-in ones, then your tenant's own by name."""

    items: list[PipelineOut]


class PipelineVersionOut(msgspec.Struct, frozen=True, kw_only=True):
    """A pipeline as it was from then on."""

    version: int
    definition: dict[str, Any]
    created_at: datetime
    created_by: str | None


class PipelineVersionsOut(msgspec.Struct, frozen=True):
    """A page of versions, the newest first."""

    items: list[PipelineVersionOut]
    next_cursor: str | None


class TopologyNodeOut(msgspec.Struct, frozen=True):
    """A place: a step, the start, the end, or where the branches of a parallel step meet."""

    id: str
    kind: str
    label: str


class TopologyEdgeOut(msgspec.Struct, frozen=True, rename={"source": "from", "target": "to"}):
    """A way; `conditional` if it is one of several, and `label` says when it is taken."""

    source: str
    target: str
    label: str
    conditional: bool


class TopologyOut(msgspec.Struct, frozen=True, kw_only=True):
    """How a pipeline is put together."""

    name: str
    version: int | None
    nodes: list[TopologyNodeOut]
    edges: list[TopologyEdgeOut]


class ExecuteIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a pipeline is run with. Without `session_id` nothing is stored but the job; `agent` is for built-in ones that need
    one; `version` is for your own, the newest if it is left out."""

    input: Annotated[str, Meta(min_length=1, max_length=200_000)]
    session_id: UUID | None = None
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    agent: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    model: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    on_busy: OnBusy = "queue"
    priority: Priority = "normal"
    callback_url: Annotated[str, Meta(max_length=2048, description="Taken, and not called yet.")] | None = None


async def checked(resources: Resources, principal: Principal, data: PipelineIn) -> dict[str, Any]:
    """Return a definition as it is stored: right, and of things that the caller's tenant may use. Raises InputError."""
    rows = await read_configuration(resources.ports.pool, principal.tenant_id)
    configuration = read(rows, principal.tenant_id)
    definition = check_definition(
        msgspec.to_builtins(data),
        agents=configuration.agents,
        tools=await _tools(configuration),
        may_use_model=configuration.may_use_model,
    )
    return msgspec.to_builtins(definition)


async def _tools(configuration: Configuration) -> dict[str, dict[str, Any] | None]:
    """Return what the tenant may call, as its runs see it, with the schemas of arguments; None for those of configured kinds,
    which may have more than their row says."""
    code = await load_builtin_tools()
    found: dict[str, dict[str, Any] | None] = {
        name: tool.spec.parameters for name, tool in code.items() if configuration.may_use_tool(name)
    }
    off = configuration.settings.get("disabled_tools") or ()
    return found | {name: None for name in configuration.tools if name not in off}


def stored(row: DictRow) -> Definition:
    """Return the definition of a row."""
    return msgspec.convert(row["definition"], Definition)


def built_in(one: Builtin) -> PipelineDetailOut:
    """Return a built-in pipeline as it is shown."""
    return PipelineDetailOut(
        id=None, name=one.name, description=one.description, built_in=True, needs_agent=one.needs_agent
    )


def drawn(name: str, version: int | None, topology: Topology) -> TopologyOut:
    """Return a topology as it is shown."""
    return TopologyOut(
        name=name,
        version=version,
        nodes=[TopologyNodeOut(node.id, node.kind, node.label) for node in topology.nodes],
        edges=[TopologyEdgeOut(e.source, e.target, e.label, e.conditional) for e in topology.edges],
    )
