"""Tools on the wire. Their secrets come in and never go out: answers show only the names."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, to_builtins

from api.http.fields import CreatedBy, NextCursor
from api.tools.tool_secrets import needed_secrets
from schema.queries.agents.tools import ConfiguredTool
from schema.tool_kinds import ToolKind
from tools.configured.definition import (
    Config,
    Description,
    Endpoint,
    Format,
    Headers,
    KindField,
    MaxBytes,
    Name,
    Parameters,
    Priority,
    Renderer,
    SideEffects,
    TimeoutS,
    ToolDefinition,
)
from tools.configured.kind import shape_error
from tools.contract import Tool

BUILTIN: dict[str, Any] = {"created_at": None, "updated_at": None, "created_by": None}

SECRETS = "Values for `{{secret:NAME}}` in headers, by name. They are stored encrypted and never returned."
Enabled = Annotated[bool, Meta(description="Whether agents can call the tool.")]


class NewToolIn(ToolDefinition, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool to create."""

    enabled: Enabled = True
    secrets: Annotated[dict[str, str], Meta(description=SECRETS, extra={"max_bytes": 128 * 1024})] = msgspec.field(
        default_factory=dict
    )

    def __repr__(self) -> str:
        return f"NewToolIn({self.kind} {self.name})"


class ToolChangeIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields of a tool to update. Omitted fields keep their value; the name can't be changed."""

    kind: KindField | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=4000, description="What the tool does, for the model.")] | UnsetType = (
        UNSET
    )
    endpoint: Annotated[str, Meta(max_length=2048, description="URL to call.")] | UnsetType | None = UNSET
    headers: Headers | UnsetType = UNSET
    parameters: Parameters | UnsetType = UNSET
    config: Config | UnsetType = UNSET
    output_format: Format | UnsetType | None = UNSET
    renderer: Renderer | UnsetType | None = UNSET
    priority: Annotated[int, Meta(description="Tools with a higher priority come first.")] | UnsetType = UNSET
    timeout_s: Annotated[float, Meta(description="Most seconds that a call may take.")] | UnsetType = UNSET
    side_effects: SideEffects | UnsetType | None = UNSET
    max_bytes: Annotated[int, Meta(description="Most bytes of the output that a model is given.")] | UnsetType = UNSET
    enabled: Enabled | UnsetType = UNSET
    secrets: (
        Annotated[
            dict[str, str | None],
            Meta(
                description=f"{SECRETS} Null deletes one; those that are omitted keep their value.",
                extra={"max_bytes": 128 * 1024},
            ),
        ]
        | UnsetType
    ) = UNSET

    def __repr__(self) -> str:
        return "ToolChangeIn(…)"


class ToolOut(msgspec.Struct, frozen=True, kw_only=True):
    """A tool. Only your tenant's own tools can be changed; of the others you see what a model sees."""

    name: Name
    kind: Annotated[ToolKind | Literal["builtin"], Meta(description="What a call does; `builtin` runs code.")]
    origin: Annotated[
        Literal["own", "shared", "builtin"],
        Meta(
            description="`own`: your tenant's; `shared`: the platform's, granted to you; `builtin`: part of headrace."
        ),
    ]
    description: Description
    endpoint: Endpoint | None = None
    headers: Headers = {}
    parameters: Parameters
    config: Config = {}
    output_format: Format | None = None
    renderer: Renderer | None = None
    priority: Priority
    timeout_s: TimeoutS
    side_effects: SideEffects | None
    max_bytes: MaxBytes
    enabled: Enabled
    secrets: Annotated[list[str], Meta(description="Names of the secrets that the headers use.")] = []
    created_at: Annotated[datetime | None, Meta(description="When it was created; null unless `own`.")]
    updated_at: Annotated[datetime | None, Meta(description="When it was last changed; null unless `own`.")]
    created_by: CreatedBy


class ToolsOut(msgspec.Struct, frozen=True):
    """A page of tools, ordered by name."""

    items: Annotated[list[ToolOut], Meta(description="The tools on this page.")]
    next_cursor: NextCursor


NEW_TOOL_EXAMPLE = {
    "name": "get_stock",
    "kind": "HTTP_GET",
    "description": "Returns how many units of an article are in stock, by warehouse.",
    "endpoint": "https://erp.example.com/stock/{sku}",
    "headers": {"X-Api-Key": "{{secret:ERP_KEY}}"},
    "secrets": {"ERP_KEY": "…"},
    "parameters": {"type": "object", "properties": {"sku": {"type": "string"}}, "required": ["sku"]},
}
TOOL_EXAMPLE: dict[str, Any] = NEW_TOOL_EXAMPLE | {
    "origin": "own",
    "config": {},
    "output_format": None,
    "renderer": None,
    "priority": 100,
    "timeout_s": 15.0,
    "side_effects": None,
    "max_bytes": 102_400,
    "enabled": True,
    "secrets": ["ERP_KEY"],
    "created_at": "2026-03-02T08:15:30Z",
    "updated_at": "2026-03-02T08:15:30Z",
    "created_by": "user:019514f2-6c1e-7a34-9d2b-3f5a8c7e1b20",
}


def tool_definition(data: NewToolIn) -> ToolDefinition:
    """Return the part of a new tool that is its row's definition."""
    return ToolDefinition(**{name: getattr(data, name) for name in ToolDefinition.__struct_fields__})


def changed_definition(tool: ConfiguredTool, data: ToolChangeIn) -> ToolDefinition:
    """Return a tool's definition with the changes. Raises InputError that names the field."""
    given = {name: getattr(data, name) for name in ToolDefinition.__struct_fields__ if name != "name"}
    changes = {name: value for name, value in given.items() if value is not UNSET}
    try:
        return msgspec.convert({**tool.definition, **changes}, ToolDefinition)
    except msgspec.ValidationError as error:
        raise shape_error(error) from None


DEFAULTS: dict[str, Any] = to_builtins(ToolDefinition(name="x", kind="HTTP_GET", description=""))


def tool_out(tool: ConfiguredTool) -> ToolOut:
    """Return a configured tool; of a shared one only what a model sees."""
    # A definition that was seeded, or stored by an older version, may leave out what has a default.
    message = DEFAULTS | {name: value for name, value in tool.definition.items() if name in DEFAULTS}
    about = {name: getattr(tool, name) for name in ("name", "kind", "priority", "enabled", *BUILTIN)}
    if tool.own:
        secrets = sorted(needed_secrets(message.get("headers") or {}))
        return ToolOut(**{**message, **about, "origin": "own", "secrets": secrets})
    told = ("description", "parameters", "output_format", "renderer", "timeout_s", "side_effects", "max_bytes")
    return ToolOut(**{name: message[name] for name in told}, **about | BUILTIN, origin="shared")


def builtin_tool_out(tool: Tool, *, enabled: bool) -> ToolOut:
    """Return a built-in tool."""
    spec = tool.spec
    return ToolOut(
        name=spec.name,
        kind="builtin",
        origin="builtin",
        description=spec.description,
        parameters=spec.parameters,
        priority=100,
        timeout_s=spec.timeout_s,
        side_effects=spec.side_effects,
        max_bytes=spec.max_bytes,
        enabled=enabled,
        **BUILTIN,
    )
