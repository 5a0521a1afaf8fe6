"""A `ModelRequest` as the body of `POST /v1/messages`.

Not for: turns and blocks (`blocks.py`), marks for the cache (`caching.py`), how much is thought (`thinking.py`).
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from graphs.providers.anthropic.answer_schemas import closed_schema
from graphs.providers.anthropic.blocks import plain_name, split_system, turns
from graphs.providers.anthropic.caching import mark_for_cache
from graphs.providers.anthropic.model_facts import ModelFacts
from graphs.providers.anthropic.thinking import thinking_fields
from graphs.providers.contract import ModelRequest, ToolCallPart
from graphs.providers.extras import ANTHROPIC_FIELDS, BETAS, OF_TOOLS
from graphs.providers.tool_choices import narrowed

Json = dict[str, Any]

ANSWER_TOOL = "json_answer"
"""A tool that the model has to call where it knows no other way to answer by a schema; its input is the answer."""

BINDING_BETA = "thinking-binding-controls-2026-08-01"
SAMPLING = ("temperature", "top_p", "top_k")


@dataclass(frozen=True)
class Body:
    """A request's body. `betas` go into a header. `names` are the names of tools as they were offered, by those that the
    vendor took; `answers_by_tool`: the call of `ANSWER_TOOL` is the answer."""

    fields: Json
    betas: tuple[str, ...] = ()
    names: dict[str, str] = field(default_factory=dict)
    answers_by_tool: bool = False

    def encode(self) -> bytes:
        """Return it as JSON."""
        return msgspec.json.encode(self.fields)


def build_body(request: ModelRequest, facts: ModelFacts, *, thoughts: bool = True) -> Body:
    """Return the body of a streaming call. Without `thoughts`, those of earlier answers are left out. Raises ProviderRefused
    for an image that the vendor doesn't take."""
    system, others = split_system(request.messages)
    fields: Json = {
        **{name: request.extra[name] for name in ANTHROPIC_FIELDS if name in request.extra},
        "model": request.model,
        "max_tokens": request.max_tokens or facts.max_tokens,
        "messages": turns(others, late_system=facts.late_system, thoughts=thoughts),
        "stream": True,
    }
    if system:
        fields["system"] = system
    if request.stop:
        fields["stop_sequences"] = list(request.stop)
    _add_user(fields, request.extra)
    _add_tools(fields, request)
    by_tool = _add_format(fields, request, facts)
    _add_thinking(fields, request, facts, thoughts=thoughts)
    _add_sampling(fields, request, facts)
    betas = [*_betas(request.extra), *_bind(fields, facts, thoughts=thoughts)]
    mark_for_cache(fields)
    names = {plain_name(name): name for tool in request.tools if (name := _name(tool)) and plain_name(name) != name}
    return Body(fields, tuple(dict.fromkeys(betas)), names, by_tool)


def _add_user(fields: Json, extra: Json) -> None:
    """Tell the vendor who asks, under its own name for it; it takes nothing else in `metadata`."""
    told = fields.pop("metadata", None)
    known = told.get("user_id") if isinstance(told, dict) else None
    if user := known or extra.get("safety_identifier") or extra.get("user"):
        fields["metadata"] = {"user_id": user}
    if fields.get("service_tier") not in (None, "auto", "standard_only"):
        del fields["service_tier"]  # OpenAI's names for it


def _add_tools(fields: Json, request: ModelRequest) -> None:
    offered, chosen = narrowed(request.tools, request.tool_choice)
    tools = [_tool(tool) for tool in offered]
    if not tools and (called := _called(request)):
        # The vendor wants the tools declared whose calls it is shown.
        tools = [{"name": name, "input_schema": {"type": "object"}} for name in called]
        fields["tool_choice"] = {"type": "none"}
    elif tools:
        choice = _choice(chosen)
        if request.parallel_tool_calls is False and choice.get("type") != "none":
            choice = {"type": "auto", **choice, "disable_parallel_tool_use": True}
        if choice:
            fields["tool_choice"] = choice
    if tools:
        fields["tools"] = tools


def _tool(tool: Json) -> Json:
    function = tool.get("function")
    if not isinstance(function, dict):
        return dict(tool)  # one of the vendor's own
    schema = function.get("parameters") or {}
    declared: Json = {"name": plain_name(function.get("name", ""))}
    if description := function.get("description"):
        declared["description"] = description
    declared["input_schema"] = schema if schema.get("type") == "object" else {"type": "object", **schema}
    if function.get("strict") is True and (closed := closed_schema(declared["input_schema"])) is not None:
        declared |= {"input_schema": closed, "strict": True}
    mark, own = tool.get("cache_control") or function.get("cache_control"), tool.get(OF_TOOLS)
    declared |= {name: value for name, value in own.items() if name not in declared} if isinstance(own, dict) else {}
    return {**declared, "cache_control": mark} if isinstance(mark, dict) else declared


def _choice(choice: str | Json | None) -> Json:
    match choice:
        case "none":
            return {"type": "none"}
        case "required" | "any":
            return {"type": "any"}
        case {"function": {"name": str(name)}}:
            return {"type": "tool", "name": plain_name(name)}
        case {"type": "tool", "name": str(name)}:
            return {"type": "tool", "name": plain_name(name)}
        case _:
            return {}


def _called(request: ModelRequest) -> list[str]:
    parts = (part for message in request.messages for part in message.parts)
    return list(dict.fromkeys(plain_name(part.name) for part in parts if isinstance(part, ToolCallPart)))


def _name(tool: Json) -> str:
    function = tool.get("function")
    return str(function.get("name", "")) if isinstance(function, dict) else ""


def _add_format(fields: Json, request: ModelRequest, facts: ModelFacts) -> bool:
    """Let the model answer in the wanted format; return whether by a tool."""
    match request.response_format:
        case {"type": "json_schema", "json_schema": {"schema": dict() as schema} as named}:
            closed = closed_schema(schema) if facts.schemas else None
            if closed is not None:
                config = fields.get("output_config") or {}
                fields["output_config"] = {**config, "format": {"type": "json_schema", "schema": closed}}
                return False
            described = str(named.get("description") or "")
        case {"type": "json_object"}:
            schema, described = {}, ""
        case _:
            return False
    _answer_by_tool(fields, schema, described)
    return True


def _answer_by_tool(fields: Json, schema: Json, described: str) -> None:
    wants = {"description": f"Call this to give your whole answer. {described}".strip()}
    answer = {"name": ANSWER_TOOL, **wants, "input_schema": {"type": "object", **schema}}
    offered = [] if fields.get("tool_choice") == {"type": "none"} else fields.get("tools", [])
    fields["tools"] = [*fields.get("tools", ()), answer]
    if (fields.get("tool_choice") or {}).get("type") != "tool":
        choice = {"type": "any"} if offered else {"type": "tool", "name": ANSWER_TOOL}
        alone = {"disable_parallel_tool_use": True}
        fields["tool_choice"] = {**choice, **alone}


def _add_thinking(fields: Json, request: ModelRequest, facts: ModelFacts, *, thoughts: bool) -> None:
    forced = (fields.get("tool_choice") or {}).get("type") in ("any", "tool")
    if request.reasoning_effort is not None and "thinking" not in fields:
        wanted = thinking_fields(request.reasoning_effort, facts, max_tokens=fields["max_tokens"], forced_tool=forced)
        if effort := wanted.pop("output_config", None):
            fields["output_config"] = {**effort, **(fields.get("output_config") or {})}
        fields |= wanted
    thinks = fields.get("thinking")
    if isinstance(thinks, dict) and thinks.get("type") == "enabled" and (not thoughts or forced):
        del fields["thinking"]  # the vendor would miss the thought before the calls, or refuses the two together


def _add_sampling(fields: Json, request: ModelRequest, facts: ModelFacts) -> None:
    """Newer models take none of it, and none does while it thinks."""
    thinks = (fields.get("thinking") or {}).get("type") in ("enabled", "adaptive")
    given = {"temperature": request.temperature, "top_p": request.top_p, "top_k": fields.pop("top_k", None)}
    if facts.samples and not thinks:
        fields |= {name: value for name, value in given.items() if value is not None}
        if "temperature" in fields:
            fields["temperature"] = min(fields["temperature"], 1.0)  # OpenAI's goes to 2


def _bind(fields: Json, facts: ModelFacts, *, thoughts: bool) -> list[str]:
    """Let the vendor drop thoughts that don't fit to the conversation any more instead of refusing it: prompts of agents
    change, and long conversations are shortened."""
    thinks = fields.get("thinking") or {"type": "adaptive"}
    told = any(block["type"].endswith("thinking") for turn in fields["messages"] for block in turn["content"])
    if not (facts.binds_thoughts and thoughts and told) or thinks.get("type") != "adaptive":
        return []
    fields["thinking"] = {"block_binding": {"prefix_mismatch_behavior": "drop_block"}, **thinks}
    return [BINDING_BETA]


def _betas(extra: Json) -> list[str]:
    found = extra.get(BETAS)
    return [one for one in found if isinstance(one, str) and one.isascii() and one.isprintable()] if isinstance(
        found, list
    ) else []  # fmt: skip
