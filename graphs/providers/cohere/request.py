"""A `ModelRequest` as the body of Cohere's `/v2/chat`.

The names are those of https://docs.cohere.com/reference/chat and of the package `cohere` 7.3, which the tests run against the
same counterpart. What the model planned and thought before its calls (`tool_plan`, `thinking`) goes back with them.
"""

from typing import Any

import msgspec

from graphs.providers.answers.fields import record, text
from graphs.providers.contract import ImagePart, Message, ModelRequest, Part, TextPart, ToolCallPart, ToolResultPart
from graphs.providers.extras import COHERE_FIELDS
from graphs.providers.tool_choices import narrowed

NAME = "cohere"
_BUDGETS = {"minimal": 512, "low": 1024, "medium": 8192}
_CHOICES = {"required": "REQUIRED", "none": "NONE"}


def request_body(request: ModelRequest) -> bytes:
    """Return the JSON body of a streaming chat."""
    choice, tools = _tools(request)
    body: dict[str, Any] = {
        **{name: request.extra[name] for name in COHERE_FIELDS & request.extra.keys()},
        "model": request.model,
        "messages": [wire for m in request.messages for wire in message_body(m)],
        "stream": True,
    }
    named = {
        "temperature": request.temperature,
        "p": request.top_p,
        "k": request.extra.get("top_k"),
        "max_tokens": request.max_tokens,
        "stop_sequences": list(request.stop) or None,
        "seed": request.seed,
        "presence_penalty": request.presence_penalty,
        "frequency_penalty": request.frequency_penalty,
        "tools": tools or None,
        "tool_choice": choice,
        "strict_tools": any(record(tool, "function").get("strict") is True for tool in tools) or None,
        "response_format": _format(request.response_format),
        "thinking": _thinking(request.reasoning_effort),
    }
    return msgspec.json.encode(body | {name: value for name, value in named.items() if value is not None})


def _tools(request: ModelRequest) -> tuple[str | None, list[dict[str, Any]]]:
    """Return the choice and the tools. Cohere can't be told which tool to call, but can be offered that one alone."""
    tools, choice = narrowed(request.tools, request.tool_choice)
    if isinstance(choice, dict):
        name = text(choice, "function", "name")
        named = [tool for tool in tools if text(tool, "function", "name") == name]
        return ("REQUIRED", named) if named else (None, list(tools))
    return (_CHOICES.get(choice or "") if tools else None), list(tools)


def _format(response_format: dict[str, Any] | None) -> dict[str, Any] | None:
    match response_format:
        case {"type": "json_schema", "json_schema": {"schema": dict() as schema}}:
            return {"type": "json_object", "json_schema": schema}
        case {"type": "json_object"}:
            return {"type": "json_object"}
        case _:
            return None


def _thinking(effort: str | None) -> dict[str, Any] | None:
    if effort is None:
        return None
    if effort == "none":
        return {"type": "disabled"}
    budget = _BUDGETS.get(effort)
    return {"type": "enabled"} if budget is None else {"type": "enabled", "token_budget": budget}


def message_body(message: Message) -> list[dict[str, Any]]:
    """Return Cohere's messages for one of ours; one with several tool results becomes several, one without a word none."""
    results = [p for p in message.parts if isinstance(p, ToolResultPart)]
    if results:
        return [{"role": "tool", "tool_call_id": p.tool_call_id, "content": p.text} for p in results]
    extra = message.extra if message.vendor in ("", NAME) else {}
    calls = [p for p in message.parts if isinstance(p, ToolCallPart)]
    content = _content(message, extra if calls else {})
    body: dict[str, Any] = {"role": "system" if message.role == "developer" else message.role}
    if content:
        body["content"] = content
    if calls:
        body["tool_calls"] = [
            {"id": p.id, "type": "function", "function": {"name": p.name, "arguments": p.arguments}} for p in calls
        ]
        if plan := text(extra, "tool_plan"):
            body["tool_plan"] = plan
    return [body] if content or calls else []


def _content(message: Message, extra: dict[str, Any]) -> str | list[dict[str, Any]]:
    thought = text(extra, "thinking") if message.role == "assistant" else ""
    if not thought and not any(isinstance(part, ImagePart) for part in message.parts):
        return message.text
    parts = [wire for part in message.parts if (wire := _content_part(part))]
    return [{"type": "thinking", "thinking": thought}, *parts] if thought else parts


def _content_part(part: Part) -> dict[str, Any] | None:
    match part:
        case TextPart(said):
            return {"type": "text", "text": said} if said else None
        case ImagePart(url, detail):
            return {"type": "image_url", "image_url": {"url": url} | ({"detail": detail} if detail else {})}
        case _:
            return None
