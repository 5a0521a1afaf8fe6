"""Agents on the wire, and what is wrong with one before it is stored (G6). In a change, what is left out stays as it is."""

import string
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api.admin.output_shapes import OutputFormat, check_output, check_renderer, check_renderer_type
from api.admin.own_rows import check_name
from api.admin.patterns import check_model
from graphs.agents.contract import GraphName
from graphs.agents.prompts import check_prompt
from schema.errors import InputError
from schema.tenancy import matches

TAKEN = frozenset({"auto", "chat", "reload"})
"""What requests and paths call something else."""

Name = Annotated[str, Meta(min_length=1, max_length=64, examples=["AgentInventory"])]
Description = Annotated[
    str, Meta(min_length=1, max_length=2000, description="What it is for; requests are routed by it.")
]
Examples = Annotated[list[Annotated[str, Meta(min_length=1, max_length=500)]], Meta(max_length=50)]
Prompt = Annotated[str, Meta(max_length=20_000, description="May name {agent}, {language} and {date}.")]
Models = Annotated[list[Annotated[str, Meta(max_length=300)]], Meta(max_length=10)]
Tools = Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=100)]
Steps = Annotated[int, Meta(ge=1, le=20)]
CacheS = Annotated[int, Meta(ge=0, le=86_400, description="Seconds that an answer may be given again; 0 is never.")]


class AgentIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A new agent. `models` are tried one after another, none is the tenant's default; `tools` are names; `output_schema` is
    for `structured_json`; `renderer` is a hint such as `{"type": "table"}`."""

    name: Name
    description: Description
    examples: Examples = []
    prompt: Prompt = ""
    models: Models = []
    graph: GraphName = "auto"
    tools: Tools = []
    output_format: OutputFormat | None = None
    output_schema: dict[str, Any] | None = None
    renderer: dict[str, Any] | None = None
    max_steps: Steps = 5
    cache_s: CacheS = 0
    enabled: bool = True


class AgentChangeIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Changes of an agent; its name stays for ever."""

    description: Description | UnsetType = UNSET
    examples: Examples | UnsetType = UNSET
    prompt: Prompt | UnsetType = UNSET
    models: Models | UnsetType = UNSET
    graph: GraphName | UnsetType = UNSET
    tools: Tools | UnsetType = UNSET
    output_format: OutputFormat | UnsetType | None = UNSET
    output_schema: dict[str, Any] | UnsetType | None = UNSET
    renderer: dict[str, Any] | UnsetType | None = UNSET
    max_steps: Steps | UnsetType = UNSET
    cache_s: CacheS | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class AgentToolsIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All the tools that an agent is to have."""

    tools: Tools


class AgentOut(msgspec.Struct, frozen=True, kw_only=True):
    """An agent as its admins see it."""

    name: str
    description: str
    examples: list[str]
    prompt: str
    models: list[str]
    graph: GraphName
    tools: list[str]
    output_format: OutputFormat | None
    output_schema: dict[str, Any] | None
    renderer: dict[str, Any] | None
    max_steps: int
    cache_s: int
    enabled: bool
    created_at: datetime
    updated_at: datetime
    created_by: str | None


class AgentsOut(msgspec.Struct, frozen=True):
    """A page of agents, by name."""

    items: list[AgentOut]
    next_cursor: str | None


class ReloadOut(msgspec.Struct, frozen=True, kw_only=True):
    """The version of the tenant's configuration that the next job will use."""

    config_version: str
    message: str


def check_new(data: AgentIn) -> dict[str, Any]:
    """Return the columns of a new agent. Raises InputError that names the field."""
    check_name(data.name)
    if data.name.lower() in TAKEN:
        raise InputError(f"name can't be {data.name!r}: that word has another meaning. Choose another.", field="name")
    values = {name: value for name, value in msgspec.to_builtins(data).items() if name != "name"}
    check_agent(values)
    return values


def check_agent(values: Mapping[str, Any]) -> None:
    """Raise InputError for what the structs can't say of a whole agent; tools and models are looked up elsewhere."""
    texts = {f"examples[{place}]": text for place, text in enumerate(values["examples"])}
    for field, text in ({"description": values["description"]} | texts).items():
        if not text.strip():
            raise InputError(f"{field} must not be empty.", field=field)
    _check_prompt(values["prompt"])
    check_output(values["output_format"], values["output_schema"], "output_schema")
    if values["renderer"] is not None:
        check_renderer(values["renderer"], "renderer")
        check_renderer_type(values["renderer"], "renderer")


def _check_prompt(prompt: str) -> None:
    """Raise InputError for a template that can't be filled. A width in one, as in {agent:>999999999}, would fill memory."""
    check_prompt(prompt)
    for _, name, form, conversion in string.Formatter().parse(prompt):
        if name is not None and (form or conversion):
            said = f"prompt writes {{{name}}} with something behind its name; right is {{{name}}} alone."
            raise InputError(said, field="prompt")


def check_models(models: Sequence[str], granted: Sequence[str]) -> None:
    """Raise InputError unless the tenant may use all of the models, and some model where none is named."""
    if not models and not granted:
        said = (
            "models is empty, and there is no default: no model is granted to this tenant yet. Whoever runs this "
            "installation grants one, such as ollama/*."
        )
        raise InputError(said, field="models")
    for place, model in enumerate(models):
        field = f"models[{place}]"
        check_model(model, field)
        if model in models[:place]:
            raise InputError(f"{field} names {model!r} a second time.", field=field)
        if not any(matches(pattern, model) for pattern in granted):
            said = f"{field} is {model!r}, which this tenant may not use. GET /v1/models lists what there is."
            raise InputError(said, field=field)
