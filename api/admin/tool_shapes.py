"""Configured tools on the wire (T2). Their secrets come in and never go out: answers show their names."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType
from psycopg.rows import DictRow

from api.admin.tool_secrets import needed_secrets
from tools.configured.definition import Kind, OutputFormat, ToolDefinition
from tools.configured.kind import wrong_shape
from tools.contract import Tool

SECRETS = "Values for `{{secret:NAME}}` in headers, by name. They are kept encrypted and never shown."
BUILTIN: dict[str, Any] = {"created_at": None, "updated_at": None, "created_by": None}


class NewToolIn(ToolDefinition, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new tool. `endpoint` may hold `{name}` in its path, header values `{{secret:NAME}}`; `parameters` is a JSON Schema;
    `config` is the kind's own part. `priority`: higher is offered first. Without an Authorization header the caller's own
    token goes along."""

    enabled: bool = True
    secrets: Annotated[dict[str, str], Meta(description=SECRETS)] = msgspec.field(default_factory=dict)

    def __repr__(self) -> str:
        return f"NewToolIn({self.kind} {self.name})"


class ToolChangeIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes of a tool; its name stays for ever. A secret that is null is forgotten, one that is left out stays."""

    kind: Kind | UnsetType = UNSET
    description: str | UnsetType = UNSET
    endpoint: str | UnsetType | None = UNSET
    headers: dict[str, str] | UnsetType = UNSET
    parameters: dict[str, Any] | UnsetType = UNSET
    config: dict[str, Any] | UnsetType = UNSET
    output_format: OutputFormat | UnsetType | None = UNSET
    renderer: dict[str, Any] | UnsetType | None = UNSET
    priority: int | UnsetType = UNSET
    timeout_s: float | UnsetType = UNSET
    side_effects: bool | UnsetType | None = UNSET
    max_bytes: int | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    secrets: Annotated[dict[str, str | None], Meta(description=SECRETS)] | UnsetType = UNSET

    def __repr__(self) -> str:
        return "ToolChangeIn(…)"


class ToolOut(msgspec.Struct, frozen=True, kw_only=True):
    """A tool. `origin`: `own`; `shared`, from the platform by a grant; `builtin`, which is code. Of the last two only what a
    model is told is shown, and nothing can be changed. `secrets` are names."""

    name: str
    kind: Kind | Literal["builtin"]
    origin: Literal["own", "shared", "builtin"]
    description: str
    endpoint: str | None = None
    headers: dict[str, str] = {}
    parameters: dict[str, Any]
    config: dict[str, Any] = {}
    output_format: OutputFormat | None = None
    renderer: dict[str, Any] | None = None
    priority: int
    timeout_s: float
    side_effects: bool | None
    max_bytes: int
    enabled: bool
    secrets: list[str] = []
    created_at: datetime | None
    updated_at: datetime | None
    created_by: str | None


class ToolsOut(msgspec.Struct, frozen=True):
    """A page of tools, by name."""

    items: list[ToolOut]
    next_cursor: str | None


def definition_of(data: NewToolIn) -> ToolDefinition:
    """Return the part of a new tool that is its row's definition."""
    return ToolDefinition(**{name: getattr(data, name) for name in ToolDefinition.__struct_fields__})


def changed_definition(row: DictRow, data: ToolChangeIn) -> ToolDefinition:
    """Return a tool's definition with the changes. Raises InputError that names the field."""
    given = {name: getattr(data, name) for name in ToolDefinition.__struct_fields__ if name != "name"}
    changes = {name: value for name, value in given.items() if value is not UNSET}
    try:
        return msgspec.convert({**row["definition"], **changes}, ToolDefinition)
    except msgspec.ValidationError as error:
        raise wrong_shape(error) from None


def shown(row: DictRow) -> ToolOut:
    """Return a configured tool; of one that is shared, what a model is told."""
    said = dict(row["definition"])
    about = {name: row[name] for name in ("name", "kind", "priority", "enabled", *BUILTIN)}
    if row["own"]:
        secrets = sorted(needed_secrets(said.get("headers") or {}))
        return ToolOut(**{**said, **about, "origin": "own", "secrets": secrets})
    told = ("description", "parameters", "output_format", "renderer", "timeout_s", "side_effects", "max_bytes")
    return ToolOut(**{name: said[name] for name in told}, **about | BUILTIN, origin="shared")


def shown_builtin(tool: Tool, *, enabled: bool) -> ToolOut:
    """Return a tool that is code."""
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
