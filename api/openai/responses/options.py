"""What the model of a response is called with, in the options of a chat job; and what of a request changes nothing."""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Raw

from api.openai.responses.schemas import HONOURED_INCLUDES, IGNORED, RESPONSE_FIELDS, ResponseIn
from api.openai.responses.tools import ModelTools, read_choice
from schema.errors import InputError

FOR_VENDORS = ("user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier")
FORMAT_FIELDS = ("name", "description", "schema", "strict")
MAX_NAMED = 32

_split = msgspec.json.Decoder(dict[str, Raw]).decode


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


def ignored_fields(body: bytes, data: ResponseIn, tools: ModelTools, by_model: list[str]) -> str:
    """Return the names of what changes nothing: unknown fields, tools that nobody runs, what the model has no place for."""
    unknown = (name for name in _split(body) if name not in RESPONSE_FIELDS)
    unused = [name for name in sorted(IGNORED) if getattr(data, name) is not None]
    includes = (f"include: {name}" for name in data.include or () if name not in HONOURED_INCLUDES)
    return ", ".join(_printable([*unknown, *unused, *includes, *tools.ignored, *by_model]))


def _printable(names: Iterable[str]) -> list[str]:
    """Return names as a header may have them, at most `MAX_NAMED`."""
    cleaned = ("".join(c if c.isascii() and c.isprintable() and c != "," else "?" for c in name[:80]) for name in names)
    return list(dict.fromkeys(cleaned))[:MAX_NAMED]
