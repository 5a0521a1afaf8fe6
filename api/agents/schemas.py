"""Request and response structs of agents, and the checks before one is stored. Omitted fields of an update keep their value."""

import string
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api.grants.output_schemas import OutputFormat, check_output, check_renderer, check_renderer_type
from api.grants.patterns import check_model
from api.grants.tenant_rows import check_name
from api.http.fields import CreatedAt, CreatedBy, NextCursor, UpdatedAt
from graphs.agents.contract import GraphName
from graphs.agents.prompts import check_prompt
from schema.errors import InputError
from schema.identity.tenancy import matches

RESERVED_NAMES = frozenset({"auto", "chat", "reload"})
"""Names that mean something else in requests and paths."""

Name = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description="Unique name: a letter, then up to 63 letters, digits, `_` or `-`. Can't be changed later.",
        examples=["AgentInventory"],
    ),
]
Description = Annotated[
    str,
    Meta(min_length=1, max_length=2000, description="What the agent is for. Routing matches requests against it."),
]
Examples = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=500)]],
    Meta(max_length=50, description="Sample requests the agent should handle, in any language. They improve routing."),
]
Prompt = Annotated[
    str,
    Meta(
        max_length=20_000,
        description="System prompt. The placeholders `{agent}`, `{language}` and `{date}` are filled in.",
    ),
]
Models = Annotated[
    list[Annotated[str, Meta(max_length=300)]],
    Meta(
        max_length=10,
        description="Models to try in order, as `provider/name`. Empty means the tenant's default model.",
    ),
]
Graph = Annotated[
    GraphName, Meta(description="How the agent works: a fixed graph, or `auto` to choose one for the agent's tools.")
]
Tools = Annotated[
    list[Annotated[str, Meta(max_length=64)]], Meta(max_length=100, description="Names of the tools it may call.")
]
Format = Annotated[OutputFormat, Meta(description="Format of the answers; null leaves it to the model.")]
OutputSchema = Annotated[
    dict[str, Any],
    Meta(
        description="JSON Schema that answers must match; only for `structured_json`.", extra={"max_bytes": 256 * 1024}
    ),
]
Renderer = Annotated[
    dict[str, Any],
    Meta(
        description='Display hint for clients, such as `{"type": "table"}`; at most 4 KB.',
        extra={"max_bytes": 16 * 1024},
    ),
]
Steps = Annotated[int, Meta(ge=1, le=20, description="Most rounds of model and tool calls per answer.")]
CacheS = Annotated[
    int,
    Meta(ge=0, le=86_400, description="Seconds that an answer may be reused for a similar question; 0 disables it."),
]
Enabled = Annotated[bool, Meta(description="Whether the agent can be called.")]


class AgentIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An agent to create."""

    name: Name
    description: Description
    examples: Examples = []
    prompt: Prompt = ""
    models: Models = []
    graph: Graph = "auto"
    tools: Tools = []
    output_format: Format | None = None
    output_schema: OutputSchema | None = None
    renderer: Renderer | None = None
    max_steps: Steps = 5
    cache_s: CacheS = 0
    enabled: Enabled = True


class AgentChangeIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Fields of an agent to update. Omitted fields keep their value; the name can't be changed."""

    description: Description | UnsetType = UNSET
    examples: Examples | UnsetType = UNSET
    prompt: Prompt | UnsetType = UNSET
    models: Models | UnsetType = UNSET
    graph: Graph | UnsetType = UNSET
    tools: Tools | UnsetType = UNSET
    output_format: Format | UnsetType | None = UNSET
    output_schema: OutputSchema | UnsetType | None = UNSET
    renderer: Renderer | UnsetType | None = UNSET
    max_steps: Steps | UnsetType = UNSET
    cache_s: CacheS | UnsetType = UNSET
    enabled: Enabled | UnsetType = UNSET


class AgentToolsIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The complete set of tools of an agent."""

    tools: Tools


class AgentOut(msgspec.Struct, frozen=True, kw_only=True):
    """An agent with its full configuration."""

    name: Name
    description: Description
    examples: Examples
    prompt: Prompt
    models: Models
    graph: Graph
    tools: Tools
    output_format: Format | None
    output_schema: OutputSchema | None
    renderer: Renderer | None
    max_steps: Steps
    cache_s: CacheS
    enabled: Enabled
    created_at: CreatedAt
    updated_at: UpdatedAt
    created_by: CreatedBy


class AgentsOut(msgspec.Struct, frozen=True):
    """A page of agents, ordered by name."""

    items: Annotated[list[AgentOut], Meta(description="The agents on this page.")]
    next_cursor: NextCursor


class ReloadOut(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration version that is in force."""

    config_version: Annotated[str, Meta(description="Version that the tenant's next job will use.")]
    message: Annotated[str, Meta(description="An explanation for people.")]


def check_new(data: AgentIn) -> dict[str, Any]:
    """Return the columns of a new agent. Raises InputError that names the field."""
    check_name(data.name)
    if data.name.lower() in RESERVED_NAMES:
        raise InputError(f"name must not be {data.name!r}, which is reserved. Choose another name.", field="name")
    values = {name: value for name, value in msgspec.to_builtins(data).items() if name != "name"}
    check_agent(values)
    return values


def check_agent(values: Mapping[str, Any]) -> None:
    """Raise InputError for what the structs can't express about an agent; tools and models are checked elsewhere."""
    texts = {f"examples[{place}]": text for place, text in enumerate(values["examples"])}
    for field, text in ({"description": values["description"]} | texts).items():
        if not text.strip():
            raise InputError(f"{field} must not be blank.", field=field)
    _check_prompt(values["prompt"])
    check_output(values["output_format"], values["output_schema"], "output_schema")
    if values["renderer"] is not None:
        check_renderer(values["renderer"], "renderer")
        check_renderer_type(values["renderer"], "renderer")


def _check_prompt(prompt: str) -> None:
    """Raise InputError for a template that can't be filled. A width such as {agent:>999999999} would exhaust memory."""
    check_prompt(prompt)
    for _, name, form, conversion in string.Formatter().parse(prompt):
        if name is not None and (form or conversion):
            message = f"prompt must use the placeholder {{{name}}} without a conversion or format specification."
            raise InputError(message, field="prompt")


def check_models(models: Sequence[str], granted: Sequence[str]) -> None:
    """Raise InputError unless the tenant may use all of the models, or any model at all if none is named."""
    if not models and not granted:
        message = (
            "models is empty and there is no default: this tenant has not been granted any model. Ask a platform admin "
            "to grant one, such as ollama/*."
        )
        raise InputError(message, field="models")
    for place, model in enumerate(models):
        field = f"models[{place}]"
        check_model(model, field)
        if model in models[:place]:
            raise InputError(f"{field} duplicates {model!r}; list each model once.", field=field)
        if not any(matches(pattern, model) for pattern in granted):
            message = (
                f"{field}: model {model!r} is not granted to this tenant. GET /v1/models lists the available models."
            )
            raise InputError(message, field=field)
