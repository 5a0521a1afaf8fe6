"""A request's options as a job carries them, and the names of those for which the model's maker has no place."""

from typing import Any

from api.anthropic.schemas import CreateMessageIn, Prompt
from graphs.providers.capabilities import reasons
from graphs.providers.extras import ANTHROPIC_FIELDS, BETAS, OF_TOOLS, ignored_extras
from graphs.providers.ignored import ignored_options
from schema.errors import InputError

Json = dict[str, Any]

LOCAL_TOOLS = ("bash_", "text_editor_", "computer_", "memory_")
"""How the types of Anthropic's tools begin that clients run themselves; its models know their schemas."""

BUDGETS = ((4_000, "low"), (16_000, "medium"))
"""Up to how many tokens of thought are which effort."""

TOOL_FIELDS = frozenset({"type", "name", "description", "input_schema", "strict", "cache_control"})
"""Those of a tool's fields that other makers' tools have too, and its mark for the cache."""

MAX_NAME = 128
MAX_USER_ID = 512


def read_options(data: CreateMessageIn, betas: str, *, native: bool, provider: str, model: str) -> Json:
    """Return what the model is called with. `native`: one of Anthropic's is asked. Raises InputError for what can't be
    honoured."""
    options = prompt_options(data, native=native, model=model)
    options["max_tokens"] = data.max_tokens
    for name in ("temperature", "top_p"):
        if (value := getattr(data, name)) is not None:
            options[name] = value
    if data.stop_sequences:
        options["stop"] = data.stop_sequences
    extra = options.pop("extra", {}) | ({"top_k": data.top_k} if data.top_k is not None else {})
    if native:
        fields = ("metadata", "service_tier", "container", "inference_geo", "speed")
        extra |= {name: value for name in fields if (value := getattr(data, name)) is not None}
        if named := [name.strip() for name in betas.split(",") if name.strip()]:
            extra[BETAS] = named
    if kept := {name: value for name, value in extra.items() if name not in ignored_extras(provider, extra)}:
        options["extra"] = kept
    return options


def prompt_options(prompt: Prompt, *, native: bool, model: str) -> Json:
    """Return those options that are part of the prompt."""
    if prompt.mcp_servers:
        raise InputError("mcp_servers is not supported. Omit it.", field="mcp_servers")
    options: Json = {}
    if prompt.tools:
        options["tools"] = [_tool(tool, f"tools[{place}]", native) for place, tool in enumerate(prompt.tools)]
    options |= _choice(prompt)
    config = dict(prompt.output_config or {})
    if (wanted := config.pop("format", None)) is not None:
        options["response_format"] = _format(wanted)
    if native:
        sent = {
            "thinking": prompt.thinking,
            "output_config": config or None,
            "cache_control": prompt.cache_control and {"type": prompt.cache_control.type, **_ttl(prompt)},
            "context_management": prompt.context_management,
        }
        options["extra"] = {name: value for name, value in sent.items() if value is not None}
    elif (effort := _effort(prompt, config)) and reasons(model):
        options["reasoning_effort"] = effort
    return options


def own_pairs(data: CreateMessageIn) -> dict[str, str] | None:
    """Return what the job keeps of `metadata`: its one field, `user_id`. Raises InputError for one that is no short text."""
    user_id = (data.metadata or {}).get("user_id")
    if user_id is None:
        return None
    if not isinstance(user_id, str) or len(user_id) > MAX_USER_ID:
        message = f"metadata.user_id must be text of at most {MAX_USER_ID} characters."
        raise InputError(message, field="metadata.user_id")
    return {"user_id": user_id}


SAMPLING = frozenset({"temperature", "top_p", "top_k", "service_tier"})


def ignored(sent: frozenset[str], options: Json, model: str, *, native: bool) -> list[str]:
    """Return the names of fields of the body that change nothing for this model, sorted."""
    unknown = sent - frozenset(CreateMessageIn.__struct_fields__)
    unknown |= SAMPLING & frozenset(ignored_options(model, options))
    if native:
        return sorted(unknown)
    useless = sent & (ANTHROPIC_FIELDS - options.get("extra", {}).keys() - {"metadata"})  # the job keeps it
    if options.keys() & {"reasoning_effort", "response_format"}:
        useless -= {"thinking", "output_config"}
    return sorted(unknown | useless)


def _ttl(prompt: Prompt) -> Json:
    mark = prompt.cache_control
    return {"ttl": mark.ttl} if mark is not None and mark.ttl else {}


def _tool(tool: Json, field: str, native: bool) -> Json:
    kind = tool.get("type")
    if kind not in (None, "custom"):
        if native and str(kind).startswith(LOCAL_TOOLS):
            return tool
        message = f"{field} is of the type {str(kind)[:60]!r}, which runs at Anthropic or is known to its models only. Omit it."
        raise InputError(message, field=f"{field}.type")
    name, schema = tool.get("name"), tool.get("input_schema")
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not isinstance(schema, dict):
        message = f"{field} must have a name of 1 to {MAX_NAME} characters, and an input_schema that is a JSON Schema."
        raise InputError(message, field=field)
    function: Json = {"name": name, "parameters": schema}
    if isinstance(described := tool.get("description"), str):
        function = {"name": name, "description": described, "parameters": schema}
    if tool.get("strict") is True:
        function["strict"] = True
    if not native:
        return {"type": "function", "function": function}
    mark = {"cache_control": tool["cache_control"]} if isinstance(tool.get("cache_control"), dict) else {}
    own = {name: value for name, value in tool.items() if name not in TOOL_FIELDS}
    return {"type": "function", "function": function, **mark, **({OF_TOOLS: own} if own else {})}


def _choice(prompt: Prompt) -> Json:
    choice = prompt.tool_choice
    if choice is None or (choice.type == "none" and not prompt.tools):
        return {}
    if not prompt.tools:
        raise InputError("tool_choice requires tools. Send tools, or omit tool_choice.", field="tool_choice")
    alone = {"parallel_tool_calls": False} if choice.disable_parallel_tool_use else {}
    match choice.type:
        case "any":
            return {"tool_choice": "required", **alone}
        case "none":
            return {"tool_choice": "none"}
        case "tool":
            if choice.name not in [tool.get("name") for tool in prompt.tools]:
                raise InputError("tool_choice.name must be the name of one of tools.", field="tool_choice.name")
            return {"tool_choice": {"type": "function", "function": {"name": choice.name}}, **alone}
        case "auto":
            return {"tool_choice": "auto", **alone} if alone else {}


def _format(wanted: Any) -> Json:
    match wanted:
        case {"type": "json_schema", "schema": dict() as schema}:
            return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
        case _:
            message = "output_config.format must be of the type json_schema, with a JSON Schema as schema."
            raise InputError(message, field="output_config.format")


def _effort(prompt: Prompt, config: Json) -> str | None:
    """Return the effort of reasoning that a model of another maker is asked for, in OpenAI's words."""
    thinking = prompt.thinking or {}
    if thinking.get("type") == "enabled" and isinstance(budget := thinking.get("budget_tokens"), int):
        return next((effort for most, effort in BUDGETS if budget <= most), "high")
    effort = config.get("effort")
    if isinstance(effort, str) and thinking.get("type") != "disabled":
        return effort if effort in ("low", "medium", "high") else "high" if effort in ("xhigh", "max") else None
    return None
