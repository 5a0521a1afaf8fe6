"""Messages of the contract as LangChain's."""

import json
from collections.abc import Sequence
from typing import Any, cast

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from graphs.providers.contract import ImagePart, Message, TextPart, ToolCallPart, ToolResultPart
from graphs.providers.extras import IMAGE

FIELD = "langchain"
"""The extra of an answer that its model gets back as it was: {"model", "content", "additional_kwargs"}."""

Json = dict[str, Any]


def langchain_messages(messages: Sequence[Message], name: str) -> list[BaseMessage]:
    """Return the messages for the model `langchain/name`."""
    return [made for message in messages for made in _made(message, name)]


def _made(message: Message, name: str) -> list[BaseMessage]:
    named: Json = {"name": said} if isinstance(said := message.extra.get("name"), str) else {}
    match message.role:
        case "tool":
            results = [part for part in message.parts if isinstance(part, ToolResultPart)]
            return [ToolMessage(one.text, tool_call_id=one.tool_call_id, name=one.name or None) for one in results]
        case "assistant":
            return [_answer(message, name)]
        case "user":
            return [HumanMessage(_content(message), **named)]
        case "developer":
            return [SystemMessage(_content(message), additional_kwargs={"__openai_role__": "developer"}, **named)]
        case _:
            return [SystemMessage(_content(message), **named)]


def _content(message: Message) -> Any:
    """Return the text, or blocks where there is more than that."""
    blocks = [block for part in message.parts if (block := _block(part)) is not None]
    if all(block.keys() == {"type", "text"} for block in blocks):
        return message.text
    return blocks


def _block(part: Any) -> Json | None:
    match part:
        case TextPart(text, extra):
            return {"type": "text", "text": text, **extra}
        case ImagePart(url, detail, extra):
            image = {**extra.get(IMAGE, {}), "url": url, **({"detail": detail} if detail else {})}
            return {**extra, "type": "image_url", IMAGE: image}
        case _:
            return None


def _answer(message: Message, name: str) -> AIMessage:
    calls = [_call(part) for part in message.parts if isinstance(part, ToolCallPart)]
    kept = message.extra.get(FIELD)
    own = cast(Json, kept) if isinstance(kept, dict) and cast(Json, kept).get("model") == name else {}
    return AIMessage(
        own.get("content") or _content(message),
        additional_kwargs=own.get("additional_kwargs") or {},
        tool_calls=[call for call in calls if call["type"] == "tool_call"],
        invalid_tool_calls=[call for call in calls if call["type"] != "tool_call"],
    )


def _call(part: ToolCallPart) -> Json:
    try:
        arguments = json.loads(part.arguments or "{}")
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        said = {"id": part.id, "name": part.name, "args": part.arguments, "error": "The arguments are no JSON object."}
        return {"type": "invalid_tool_call", **said}
    return {"type": "tool_call", "id": part.id, "name": part.name, "args": arguments}
