"""What the model of a response is called with, in the options of a chat job; and what of a request changes nothing."""

from typing import Any

from api.http.bodies.json_body import decode_any
from api.http.bodies.unread_fields import unread_fields
from api.openai.responses.schemas import HONOURED_INCLUDES, IGNORED, ItemIn, ResponseIn
from api.openai.responses.tools import ModelTools, read_choice
from graphs.providers.extras import Members, unread_members
from schema.errors import InputError

FOR_VENDORS = (
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "service_tier",
)
FORMAT_FIELDS = ("name", "description", "schema", "strict")

CHOICE: Members = {
    **dict.fromkeys(("type", "name", "namespace", "mode")),
    "tools": dict.fromkeys(("type", "name", "namespace")),
}
"""What is read of a choice of tools."""

KNOWN: Members = {
    "text": {"verbosity": None, "format": dict.fromkeys(("type", *FORMAT_FIELDS))},
    "reasoning": dict.fromkeys(("effort", "summary", "generate_summary")),
    "tool_choice": CHOICE,
}
"""What is honoured of objects without a struct: what a model thinks is shown anyway."""

OBJECTS = frozenset({"tools", "tool_choice", "text", "reasoning", "stream_options", "metadata", "prompt_cache_options"})
"""Fields whose objects no struct describes, or that pass on as they came."""

READ_ITEMS = frozenset({"message", "function_call", "function_call_output", "item_reference"})
SENT_BACK = frozenset({"input.content.annotations", "input.content.logprobs"})
"""What clients send back of an output."""


def response_options(data: ResponseIn, tools: ModelTools) -> dict[str, Any]:
    """Return the options of the model request, only what was given. Raises InputError that names the field."""
    choice, functions = read_choice(data.tool_choice, tools)
    options = {
        "temperature": data.temperature,
        "top_p": data.top_p,
        "max_tokens": data.max_output_tokens,
        "tools": functions or None,
        "tool_choice": choice,
        "parallel_tool_calls": data.parallel_tool_calls if functions else None,
        "response_format": _response_format(data.text or {}),
        "reasoning_effort": _word(data.reasoning or {}, "effort", "reasoning.effort"),
    }
    extra = {name: value for name in FOR_VENDORS if (value := getattr(data, name)) is not None}
    if verbosity := _word(data.text or {}, "verbosity", "text.verbosity"):
        extra["verbosity"] = verbosity
    return {name: value for name, value in (options | {"extra": extra or None}).items() if value is not None}


def _word(fields: dict[str, Any], name: str, field: str) -> str | None:
    value = fields.get(name)
    if value is not None and not (isinstance(value, str) and len(value) <= 20):
        raise InputError(f"{field} must be a word.", field=field)
    return value


def _response_format(text: dict[str, Any]) -> dict[str, Any] | None:
    match text.get("format"):
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return {"type": "json_object"}
        case {"type": "json_schema", "name": str(), "schema": dict()} as wanted:
            return {"type": "json_schema", "json_schema": {key: wanted[key] for key in FORMAT_FIELDS if key in wanted}}
    raise InputError(
        'text.format must be {"type": "text"}, {"type": "json_object"}, or {"type": "json_schema", "name": …, "schema": …}.',
        field="text.format",
    )


def ignored_fields(body: bytes, data: ResponseIn, tools: ModelTools, by_model: list[str]) -> list[str]:
    """Return the names of what changes nothing: unknown fields, tools that nobody runs, what the model has no place for."""
    fields = decode_any(body)
    read = {name: value for name, value in fields.items() if name in ResponseIn.__struct_fields__}
    unknown = [name for name in fields if name not in read]
    items = read.pop("input", None)
    unknown += unread_fields({name: value for name, value in read.items() if name not in OBJECTS}, ResponseIn)
    unused = [name for name in sorted(IGNORED) if getattr(data, name) is not None]
    includes = [f"include: {name}" for name in data.include or () if name not in HONOURED_INCLUDES]
    inner = [path for of, known in KNOWN.items() for path in unread_members(getattr(data, of), known, of)]
    return [*unknown, *unused, *includes, *inner, *ignored_in_items(items), *tools.ignored, *by_model]


def ignored_in_items(items: Any) -> list[str]:
    """Return what nobody reads of a valid request's items: their fields, as `input.x`, and items of tools that others ran, as
    `input (web_search_call)`."""
    if not isinstance(items, list):
        return []
    found = dict[str, None]()
    for item in items:
        kind = item.get("type") or "message"
        if kind == "reasoning" and item.get("encrypted_content"):
            continue
        read = kind in READ_ITEMS
        found |= dict.fromkeys(unread_fields(item, ItemIn, "input") if read else [f"input ({kind})"])
    return [name for name in found if name not in SENT_BACK]
