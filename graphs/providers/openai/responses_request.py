"""A `ModelRequest` as the body of OpenAI's Responses API, for the models that are only there, or better there.

Nothing is stored at the vendor (`store: false`); the model's reasoning comes sealed (`encrypted_content`) and goes back before
the call or the message that it led to, as the extra `reasoning_items` of that call or message.
"""

import re
from typing import Any

import msgspec

from graphs.providers.answers.fields import record, records, text
from graphs.providers.contract import ImagePart, Message, ModelRequest, Part, TextPart, ToolCallPart, ToolResultPart
from graphs.providers.errors import ProviderRefused
from graphs.providers.extras import BREAKPOINT, ITEM_PHASE
from graphs.providers.openai.vendors import Vendor

REASONING_ITEMS = "reasoning_items"
"""The extra of a message or call that holds items of the type `reasoning`, as they came."""
ENCRYPTED = "reasoning.encrypted_content"
_REASONS = re.compile(r"(.*/)?(o\d|gpt-[5-9]|codex|computer-use)")
_NO_PLACE = ("stop", "presence_penalty", "frequency_penalty")


def request_body(request: ModelRequest, vendor: Vendor, *, with_reasoning: bool = True, summary: bool = True) -> bytes:
    """Return the JSON body. `with_reasoning` False leaves out what the model thought before, `summary` False the wish to be
    told of what it thinks. Raises ProviderRefused for what this API has no place for."""
    for name in _NO_PLACE:
        if getattr(request, name):
            raise ProviderRefused(f"{request.model} is called by the Responses API, which has no {name}. Omit it.")
    extra = dict(request.extra)
    text_options = _text(request, extra.pop("verbosity", None))
    reasoning = _reasoning(request, summary=summary)
    named: dict[str, Any] = {
        "store": extra.pop("store", False),
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_output_tokens": request.max_tokens,
        "tools": [_tool(tool) for tool in request.tools] or None,
        "tool_choice": _tool_choice(request.tool_choice),
        "parallel_tool_calls": request.parallel_tool_calls,
        "text": text_options or None,
        "reasoning": reasoning or None,
        "include": [ENCRYPTED] if thinks(request) else None,
    }
    items = [item for m in request.messages for item in _items(m, vendor, with_reasoning=with_reasoning)]
    body = {"model": request.model, "input": items, "stream": True}
    return msgspec.json.encode({**extra, **body, **{name: value for name, value in named.items() if value is not None}})


def thinks(request: ModelRequest) -> bool:
    """Whether the model reasons, by its name or because an effort is asked for: others refuse to be asked about it."""
    return request.reasoning_effort is not None or bool(_REASONS.match(request.model))


def _text(request: ModelRequest, verbosity: Any) -> dict[str, Any]:
    found: dict[str, Any] = {} if verbosity is None else {"verbosity": verbosity}
    match request.response_format:
        case {"type": "json_schema", "json_schema": dict() as schema, **more}:
            found["format"] = {**more, "type": "json_schema", **schema}
        case {"type": "json_object", **more}:
            found["format"] = {**more, "type": "json_object"}
        case _:
            pass
    return found


def _reasoning(request: ModelRequest, *, summary: bool) -> dict[str, Any]:
    if not thinks(request):
        return {}
    effort = {"effort": request.reasoning_effort} if request.reasoning_effort is not None else {}
    return {**effort, **({"summary": "auto"} if summary and request.reasoning_effort != "none" else {})}


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    """Return a tool as it stands here: flat, and not strict unless it was asked to be."""
    function = record(tool, "function")
    if not function:
        return tool
    more = {name: value for name, value in tool.items() if name != "function"}
    return {**more, "type": "function", "strict": False, **function}


def _tool_choice(choice: str | dict[str, Any] | None) -> Any:
    match choice:
        case {"type": "function", "function": {"name": str()}}:
            return _flat(choice)
        case {"type": "allowed_tools", "allowed_tools": dict() as allowed, **more}:
            tools = [_flat(tool) for tool in records(allowed, "tools")]
            return {**more, "type": "allowed_tools", "mode": "auto", **allowed, "tools": tools}
        case _:
            return choice


def _flat(named: dict[str, Any]) -> dict[str, Any]:
    more = {name: value for name, value in named.items() if name != "function"}
    return {**more, **record(named, "function"), "type": "function"}


def _items(message: Message, vendor: Vendor, *, with_reasoning: bool) -> list[dict[str, Any]]:
    """Return the items for a message, in the order in which they were made: what was thought comes before what it led to."""
    own = message if message.vendor in ("", vendor.name) and with_reasoning else message.without_extras()
    items = records(own.extra, REASONING_ITEMS) if message.role == "assistant" else []
    content = [wire for part in own.parts if (wire := _content_part(part, message.role))]
    if content:
        phase = {"phase": said} if (said := text(own.extra, ITEM_PHASE)) and message.role == "assistant" else {}
        items = [*items, {"type": "message", "role": message.role, "content": content, **phase}]
    elif not any(isinstance(part, ToolCallPart) for part in own.parts):
        items = []  # what was thought must lead to something
    for part in own.parts:
        match part:
            case ToolCallPart(call_id, name, arguments):
                call = {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
                items = [*items, *records(part.extra, REASONING_ITEMS), call]
            case ToolResultPart(call_id, said):
                items = [*items, {"type": "function_call_output", "call_id": call_id, "output": said}]
            case _:
                pass
    return items


def _content_part(part: Part, role: str) -> dict[str, Any] | None:
    match part:
        case TextPart(said, extra):
            kind = "output_text" if role == "assistant" else "input_text"
            return {"type": kind, "text": said, **_mark(extra, role)} if said else None
        case ImagePart(url, detail, extra):
            return {"type": "input_image", "image_url": url, "detail": detail or "auto", **_mark(extra, role)}
        case _:
            return None


def _mark(extra: dict[str, Any], role: str) -> dict[str, Any]:
    """Return a client's mark for the cache of prompts, which inputs may have."""
    return {BREAKPOINT: extra[BREAKPOINT]} if role != "assistant" and BREAKPOINT in extra else {}
