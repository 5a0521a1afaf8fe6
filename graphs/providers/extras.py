"""Parameters of a request that are not in OpenAI's protocol, or that only the vendor understands, and who takes them.

Vendors of OpenAI's protocol get them as they came. Ollama, Google and Cohere have their own places for some. The others are
ignored, and callers are told so.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

OLLAMA_OPTIONS = frozenset(
    {
        *(
            "min_p",
            "mirostat",
            "mirostat_eta",
            "mirostat_tau",
            "num_batch",
            "num_ctx",
            "num_gpu",
            "num_keep",
            "num_thread",
        ),
        *("penalize_newline", "repeat_last_n", "repeat_penalty", "tfs_z", "top_k", "typical_p"),
    }
)
"""Extras that are members of `options` in a request to Ollama."""

OLLAMA_FIELDS = frozenset({"keep_alive", "think"})
"""Extras that are fields of such a request."""

OLLAMA_GENERATE = frozenset({"raw", "system", "template"})
"""Extras that are fields of a request to it to go on with a text."""

GOOGLE = frozenset({"google", "top_k"})
"""Extras that Google takes: `google` has what is its own ({thinking_config, safety_settings, cached_content})."""

COHERE_FIELDS = frozenset({"documents", "citation_options", "safety_mode", "thinking", "priority", "strict_tools"})
"""Extras that are fields of a request to Cohere, which OpenAI has none like."""
ANTHROPIC_FIELDS = frozenset(
    {
        *(
            "cache_control",
            "container",
            "context_management",
            "inference_geo",
            "mcp_servers",
            "metadata",
            "output_config",
        ),
        *("service_tier", "speed", "thinking", "top_k"),
    }
)
"""Extras that are fields of a request to Anthropic."""

OF_TOOLS = "anthropic"
"""A field of a tool in OpenAI's shape with what Anthropic's tools have besides, such as `input_examples`."""

ANTHROPIC_USER = frozenset({"user", "safety_identifier"})
"""Extras of which it makes `metadata.user_id`."""

IMAGE, FUNCTION = "image_url", "function"
"""Extras of an image and of a call: what its object has in OpenAI's shape beyond OpenAI's fields."""

DETAIL = f"{IMAGE}.detail"
"""How closely a model is to look at an image: a field of OpenAI's that not all have."""

BETAS = "anthropic_beta"
"""An extra with names of Anthropic's features that are being tried; they go into a header."""

OPTIONS = "options"
"""An extra with Ollama's options under their own names."""

BREAKPOINT = "prompt_cache_breakpoint"
"""A mark of OpenAI's on a part of a message, for its cache of prompts."""

ITEM_PHASE = "item_phase"
"""What the Responses API alone says of an assistant's message, as its `phase`: if it is a commentary or the final answer."""

MESSAGE_FIELDS: dict[str, dict[str, frozenset[str] | None]] = {
    "offline": {},
    "langchain": {"": frozenset({"name", "langchain"}), "content": None},
    "responses": {"": frozenset({ITEM_PHASE}), "content": frozenset({BREAKPOINT, DETAIL})},
    "anthropic": {
        "": frozenset({"cache_control", "thinking_blocks", "is_error"}),
        "content": frozenset({"cache_control"}),
        "tool_calls": frozenset({"cache_control"}),
    },
    "google": {"": frozenset({"extra_content"}), "tool_calls": frozenset({"extra_content"})},
    "cohere": {"": frozenset({"tool_plan", "thinking"}), "content": frozenset({DETAIL})},
    "ollama": {"": frozenset({"thinking"})},
}
"""What a provider takes of a client's messages besides OpenAI's fields: of the messages themselves, of parts of their content,
and of their calls; None is all. `responses` is a model that is called by OpenAI's Responses API. Those of OpenAI's protocol,
which are not here, get all of it."""


Members = Mapping[str, "Members | None"]
"""The members of an object that are read, with those of the objects in it; None: all of it."""

FUNCTION_MEMBERS: Members = {"name": None, "description": None, "parameters": None, "strict": None}
NAMED_FUNCTION: Members = {"type": None, FUNCTION: {"name": None}}
OPTION_MEMBERS: Members = {
    "tools": {"type": None, FUNCTION: FUNCTION_MEMBERS},
    "tool_choice": {**NAMED_FUNCTION, "allowed_tools": {"mode": None, "tools": NAMED_FUNCTION}},
    "response_format": {
        "type": None,
        "json_schema": {"name": None, "description": None, "schema": None, "strict": None},
    },
}
"""OpenAI's own members of the options that are objects."""

OWN_MEMBERS: dict[str, Members] = {
    "anthropic": {
        "tools": {
            "type": None,
            FUNCTION: {**FUNCTION_MEMBERS, "cache_control": None},
            "cache_control": None,
            OF_TOOLS: None,
        }
    },
    "google": {},
    "cohere": {"tools": None},
    "ollama": {"tools": None},
    "offline": {},
}
"""What providers with protocols of their own take of those options, where it differs. All others take all of it."""


def unread_members(value: Any, known: Members | None, path: str) -> Iterator[str]:
    """Yield the members of an object, or of the objects of a list, that are not `known`, as `path.a.b`."""
    if known is None:
        return
    if isinstance(value, list):
        for one in cast(list[Any], value):
            yield from unread_members(one, known, path)
    elif isinstance(value, dict):
        for name, inner in cast(dict[str, Any], value).items():
            if name not in known:
                yield f"{path}.{name}"
            else:
                yield from unread_members(inner, known[name], f"{path}.{name}")


NAMES = frozenset({"type", "format", "id", "index"})
"""Members of a piece of an extra that say what it is; all others are continued by the next piece."""


def merge_extra(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer's extra with more of it: texts are joined, and lists too, of which pieces with the same `index` and
    `type` are one (OpenRouter streams `reasoning_details` so). Of other values the last counts."""
    return {**one, **{name: _joined(one[name], value) if name in one else value for name, value in other.items()}}


def _joined(one: Any, other: Any) -> Any:
    match one, other:
        case str(), str():
            return one + other
        case list(), list():
            return _joined_lists(cast(list[Any], one), cast(list[Any], other))
        case dict(), dict():
            return merge_extra(cast(dict[str, Any], one), cast(dict[str, Any], other))
        case _:
            return one if other is None else other


def _joined_lists(one: list[Any], other: list[Any]) -> list[Any]:
    joined = list(one)
    for piece in other:
        last = joined[-1] if joined else None
        if isinstance(last, dict) and isinstance(piece, dict) and _is_continued(last, piece):
            fixed = {name: piece[name] for name in NAMES & piece.keys() if piece[name] is not None}
            joined[-1] = merge_extra(last, {name: piece[name] for name in piece if name not in NAMES}) | fixed
        else:
            joined.append(piece)
    return joined


def _is_continued(last: Mapping[str, Any], piece: Mapping[str, Any]) -> bool:
    return type(last.get("index")) is int and all(last.get(name) == piece.get(name) for name in ("index", "type"))


def ignored_extras(provider: str, names: Iterable[str]) -> list[str]:
    """Return the names of extras that a provider has no place for, sorted."""
    match provider:
        case "offline":
            return sorted(names)
        case "ollama":
            return sorted(set(names) - OLLAMA_OPTIONS - OLLAMA_FIELDS - {OPTIONS})
        case "google":
            return sorted(set(names) - GOOGLE)
        case "cohere":
            return sorted(set(names) - COHERE_FIELDS - {"top_k"})
        case "anthropic":
            return sorted(set(names) - ANTHROPIC_FIELDS - ANTHROPIC_USER - {BETAS})
        case _:
            return []


def ollama_options(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a request to Ollama that its extras name."""
    given = extra.get(OPTIONS)
    named = {name: extra[name] for name in OLLAMA_OPTIONS & extra.keys()}
    return {**(given if isinstance(given, dict) else {}), **named}


def ollama_fields(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a request to Ollama that its extras name."""
    return {name: extra[name] for name in OLLAMA_FIELDS & extra.keys()}
