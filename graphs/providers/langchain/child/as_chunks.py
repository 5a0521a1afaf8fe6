"""Makes chunks of LangChain's of whatever a class answers with: a whole message where it streams nothing, messages of any role,
and messages or texts without what LangChain wraps a stream's in.
"""

import json
from collections.abc import AsyncIterator
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage, ToolCallChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk


def let_stream_anything(model: BaseChatModel) -> None:
    """Let LangChain, which adds the chunks of a stream up, have chunks of this object."""
    own = model._astream

    async def stream(*args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        async for said in own(*args, **kwargs):
            yield _as_generation(said)

    object.__setattr__(model, "_astream", stream)


def as_chunk(said: Any) -> AIMessageChunk:
    """Return what a class said as a chunk. Raises TypeError for what is no message."""
    if isinstance(said, AIMessageChunk):
        return said
    if isinstance(said, str):
        return AIMessageChunk(content=said)
    if not isinstance(said, BaseMessage):
        raise TypeError(f"it answers with {type(said).__name__}, which is no message")
    return AIMessageChunk(
        content=cast(Any, said.content),
        additional_kwargs=said.additional_kwargs,
        response_metadata=said.response_metadata,
        usage_metadata=getattr(said, "usage_metadata", None),
        tool_call_chunks=_calls(said),
    )


def _as_generation(said: Any) -> ChatGenerationChunk:
    message = getattr(said, "message", said)
    if isinstance(said, ChatGenerationChunk) and isinstance(message, AIMessageChunk):
        return said
    return ChatGenerationChunk(message=as_chunk(message), generation_info=getattr(said, "generation_info", None))


def _calls(said: BaseMessage) -> list[ToolCallChunk]:
    calls = [*getattr(said, "tool_calls", ()), *getattr(said, "invalid_tool_calls", ())]
    return [_call(call, at) for at, call in enumerate(calls)]


def _call(call: dict[str, Any], at: int) -> ToolCallChunk:
    arguments = call.get("args") or {}
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return tool_call_chunk(name=call.get("name"), args=text, id=call.get("id"), index=at)
