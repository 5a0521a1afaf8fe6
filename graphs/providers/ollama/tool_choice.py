"""`tool_choice` for Ollama, which has none: the tools that are offered, and a sentence for the model."""

from collections.abc import Sequence
from typing import Any

import msgspec

from graphs.providers.contract import Message, ModelRequest, TextPart


def chosen_tools(request: ModelRequest) -> tuple[dict[str, Any], ...]:
    """Return the tools to offer: none, those that the choice names, or all."""
    match request.tool_choice:
        case "none":
            return ()
        case {"function": {"name": str(name)}}:
            return _named(request.tools, [name])
        case {"allowed_tools": {"tools": list(allowed)}}:
            return _named(request.tools, [tool.get("function", {}).get("name") for tool in allowed])
        case _:
            return request.tools


def with_choice_told(request: ModelRequest) -> ModelRequest:
    """Return the request with a system message that says which tool must be called, where one must."""
    match request.tool_choice:
        case "required" | {"allowed_tools": {"mode": "required"}}:
            told = "Answer only with a call of one of your tools, now."
        case {"function": {"name": str(name)}}:
            told = f"Answer only with a call of the tool {name}, now."
        case _:
            return request
    return msgspec.structs.replace(request, messages=_told(request.messages, told)) if request.tools else request


def _named(tools: Sequence[dict[str, Any]], names: Sequence[Any]) -> tuple[dict[str, Any], ...]:
    return tuple(tool for tool in tools if tool.get("function", {}).get("name") in names)


def _told(messages: tuple[Message, ...], sentence: str) -> tuple[Message, ...]:
    """Append the sentence to the first system message, because some chat templates show only one."""
    if messages and messages[0].role in ("system", "developer"):
        first = messages[0]
        return (msgspec.structs.replace(first, parts=(*first.parts, TextPart(sentence))), *messages[1:])
    return (Message.of("system", sentence), *messages)
