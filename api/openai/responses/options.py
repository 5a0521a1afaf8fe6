"""What the model of a response is called with, in the options of a chat job; and what of a request changes nothing."""

from typing import Any

import msgspec
from msgspec import Raw

from api.openai.responses.schemas import (
    HONOURED_INCLUDES,
    IGNORED,
    RESPONSE_FIELDS,
    ContentPartIn,
    ItemIn,
    ResponseIn,
)
from api.openai.responses.tools import ModelTools, read_choice
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
KNOWN = {"text": ("format", "verbosity"), "reasoning": ("effort", "summary", "generate_summary")}
"""What is honoured of the objects `text` and `reasoning`: what a model thinks is shown anyway."""

READ_ITEMS = frozenset({"message", "function_call", "function_call_output"})
ITEM_FIELDS = frozenset(ItemIn.__struct_fields__)
PART_FIELDS = frozenset({*ContentPartIn.__struct_fields__, "annotations", "logprobs"})
"""Those that are read, and those of an output that clients send back."""

_split = msgspec.json.Decoder(dict[str, Raw]).decode
_split_list = msgspec.json.Decoder(list[dict[str, Raw]]).decode


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
    fields = _split(body)
    unknown = [name for name in fields if name not in RESPONSE_FIELDS]
    unused = [name for name in sorted(IGNORED) if getattr(data, name) is not None]
    includes = [f"include: {name}" for name in data.include or () if name not in HONOURED_INCLUDES]
    inner = [f"{of}.{name}" for of, known in KNOWN.items() for name in getattr(data, of) or () if name not in known]
    wanted = (data.text or {}).get("format")
    inner += [f"text.format.{name}" for name in wanted or () if name not in ("type", *FORMAT_FIELDS)]
    return [*unknown, *unused, *includes, *inner, *unknown_in_items(fields.get("input")), *tools.ignored, *by_model]


def unknown_in_items(sent: Raw | None) -> list[str]:
    """Return the names of fields of a valid request's items, and of their parts, that nobody reads, as `input.x`."""
    if sent is None or bytes(memoryview(sent)[:1]) != b"[":
        return []
    found = dict[str, None]()
    for item in _split_list(sent):
        if item.get("type") is not None and bytes(item["type"]).strip(b'"').decode() not in READ_ITEMS:
            continue
        found |= dict.fromkeys(f"input.{name}" for name in item if name not in ITEM_FIELDS)
        for name in ("content", "output"):
            if name in item and bytes(memoryview(item[name])[:1]) == b"[":
                parts = _split_list(item[name])
                found |= dict.fromkeys(
                    f"input.{name}.{one}" for part in parts for one in part if one not in PART_FIELDS
                )
    return list(found)
