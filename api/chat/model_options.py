"""What a request may say of how its answer is made, and is passed on to the model: the same for `/api/chat` and `/v1`."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from schema.errors import InputError

MAX_TOOLS = 128


class FunctionIn(msgspec.Struct, frozen=True):
    """A function that the model may call."""

    name: Annotated[str, Meta(max_length=64, pattern="^[a-zA-Z0-9_.-]{1,64}$", description="Name of the function.")]


class OfferedToolIn(msgspec.Struct, frozen=True):
    """A tool that the model may call. Used for validation only: tools are passed on as they came."""

    type: Annotated[Literal["function"], Meta(description="Always `function`.")]
    function: Annotated[FunctionIn, Meta(description="The function.")]


ImageUrl = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=30_000_000,  # an image of 20 MB, the most that providers take, as a `data:` URL
        pattern="^(https?://|data:)",
        description="A `data:` URL, or an address that the model provider can fetch.",
    ),
]
Temperature = Annotated[float, Meta(ge=0, le=2, description="Sampling temperature; higher values are more random.")]
OfferedTools = Annotated[
    list[Annotated[dict[str, Any], Meta(extra={"max_bytes": 32 * 1024})]],
    Meta(
        max_length=MAX_TOOLS,
        description="Functions that the model may call; your client runs them. Each has at most 32 KB of JSON, and "
        "all together 512 KB.",
        extra={"max_bytes": 512 * 1024},
    ),
]
ToolChoice = Annotated[
    Literal["none", "auto", "required"] | dict[str, Any] | None,
    Meta(
        description="Whether the model calls tools: a mode, or the tool that it must call.",
        extra={"max_bytes": 32 * 1024},
    ),
]
ResponseFormat = Annotated[
    dict[str, Any] | None,
    Meta(
        description="`type`: `text`, `json_object`, or `json_schema` with a schema; at most 256 KB of JSON.",
        extra={"max_bytes": 256 * 1024},
    ),
]


def check_tools(tools: list[dict[str, Any]] | None, tool_choice: str | dict[str, Any] | None) -> None:
    """Raise InputError for tools that no model can be offered, and for a choice among none."""
    for place, tool in enumerate(tools or []):
        try:
            msgspec.convert(tool, OfferedToolIn)
        except msgspec.ValidationError as error:
            raise InputError(
                f'tools[{place}] must be {{"type": "function", "function": {{"name": …}}}} with a name of letters, '
                "digits, _, . and -, at most 64 of them.",
                field=f"tools[{place}]",
            ) from error
    if tool_choice not in (None, "none", "auto") and not tools:
        raise InputError("tool_choice requires tools. Send tools, or omit tool_choice.", field="tool_choice")
    if isinstance(tool_choice, dict):
        _check_named(tool_choice, {tool["function"]["name"] for tool in tools or []})


def _check_named(choice: dict[str, Any], offered: set[str]) -> None:
    """Raise InputError for a choice of a tool that isn't offered, or of another kind than functions and lists of them."""
    match choice:
        case {"type": "function", "function": {"name": str(name)}}:
            named = [name]
        case {"type": "allowed_tools", "allowed_tools": {"mode": "auto" | "required", "tools": list(allowed)}}:
            named = [
                str((one.get("function") or {}).get("name", "")) if isinstance(one, dict) else "" for one in allowed
            ]
        case _:
            raise InputError(
                'tool_choice must be none, auto, required, {"type": "function", "function": {"name": …}} or '
                '{"type": "allowed_tools", "allowed_tools": {"mode": …, "tools": […]}}.',
                field="tool_choice",
            )
    unknown = [name for name in named if name not in offered]
    if unknown:
        known = ", ".join(sorted(offered)[:20])
        message = f"tool_choice names {unknown[0][:64]!r}, which is not among the tools of the request: {known}."
        raise InputError(message, field="tool_choice")


def check_response_format(response_format: dict[str, Any] | None) -> None:
    """Raise InputError for a format that no model can be asked for."""
    if response_format is None:
        return
    kind = response_format.get("type")
    if kind not in ("text", "json_object", "json_schema"):
        raise InputError("response_format.type must be text, json_object or json_schema.", field="response_format.type")
    if kind == "json_schema" and not isinstance((response_format.get("json_schema") or {}).get("schema"), dict):
        raise InputError(
            "response_format.json_schema.schema must be a JSON Schema.", field="response_format.json_schema.schema"
        )


def in_order(options: dict[str, Any]) -> str | dict[str, Any]:
    """Return options as JSON text: `jsonb` would sort the keys of schemas, and a model that is asked for its reasons before its
    decision would decide first."""
    return msgspec.json.encode(options).decode() if options else {}
