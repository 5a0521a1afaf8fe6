"""Chat models and embedders as somebody writes them for themselves: the least that LangChain asks of a class, and less."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel, SimpleChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ChatMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

CALL = {"name": "look", "args": {"z": "dưới"}, "id": "c1"}
USAGE = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}


class Own(BaseChatModel):
    """Answers at once, in a thread, and only so."""

    error: str = ""

    @property
    def _llm_type(self) -> str:
        return "own"

    def _answer(self, messages: list[BaseMessage]) -> BaseMessage:
        return AIMessage("said whole")

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any) -> ChatResult:
        time.sleep(0.01)
        return ChatResult(generations=[ChatGeneration(message=self._answer(messages))])

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self.bind(tools=tools, **kwargs)


class Calls(Own):
    def _answer(self, messages: list[BaseMessage]) -> BaseMessage:
        metadata = {"finish_reason": "tool_calls", "model_name": "own-1"}
        return AIMessage("", tool_calls=[CALL], usage_metadata=USAGE, response_metadata=metadata)


class MiswritesCalls(Own):
    def _answer(self, messages: list[BaseMessage]) -> BaseMessage:
        call = {"type": "invalid_tool_call", "name": "look", "args": "{not", "id": "c1", "error": None}
        return AIMessage("", invalid_tool_calls=[call])


class Blocks(Own):
    def _answer(self, messages: list[BaseMessage]) -> BaseMessage:
        return AIMessage([{"type": "reasoning", "reasoning": "so"}, {"type": "text", "text": "said whole"}])


class ByText(SimpleChatModel):
    @property
    def _llm_type(self) -> str:
        return "own"

    def _call(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any) -> str:
        return "said whole"


class Async(Own):
    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any) -> ChatResult:
        raise NotImplementedError

    async def _agenerate(self, messages: list[BaseMessage], stop: Any = None, *_: Any, **__: Any) -> ChatResult:
        await asyncio.sleep(0)
        return ChatResult(generations=[ChatGeneration(message=AIMessage("said whole"))])


class StreamsInAThread(Own):
    def _stream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        for word in ("said ", "whole"):
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))


class StreamsByRole(Own):
    async def _astream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        for word in ("said ", "whole"):
            yield ChatGenerationChunk(message=ChatMessageChunk(content=word, role="assistant"))


class StreamsMessages(Own):
    """Streams what is no chunk."""

    def _stream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> Iterator[Any]:
        for word in ("said ", "whole"):
            yield ChatGeneration(message=AIMessage(word))


class Streams(Own):
    """Streams messages without what LangChain wraps them in."""

    def _stream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> Iterator[Any]:
        yield AIMessageChunk(content="said whole")


class Raises(Own):
    """Raises the error that its list names."""

    def _answer(self, messages: list[BaseMessage]) -> BaseMessage:
        if self.error == "surrogate":
            raise ValueError("half a \ud800 pair")
        raise {"ValueError": ValueError, "RuntimeError": RuntimeError, "OSError": OSError}[self.error]("its own words")


class Leaves(Own):
    def __init__(self) -> None:
        sys.exit("no licence")


class Profiled(Own):
    profile: Any = (("image_inputs", "some"),)


class Vectors(Embeddings):
    def __init__(self, vector: Any) -> None:
        self._vector = vector

    def embed_documents(self, texts: list[str]) -> list[Any]:
        return [_odd(self._vector) for _ in texts]

    def embed_query(self, text: str) -> Any:
        return _odd(self._vector)


def _odd(vector: Any) -> Any:
    import numpy as np

    match vector:
        case "nan":
            return [0.5, float("nan")]
        case "infinite":
            return [float("-inf")]
        case "numpy":
            return np.array([0.5, 1], dtype=np.float32)
        case _:
            return vector
