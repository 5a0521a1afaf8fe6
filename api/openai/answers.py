"""OpenAI's chat completion and its chunks, as bytes or structs. Field for field what the SDKs expect."""

import time
from typing import Any
from uuid import UUID

import msgspec

from schema.events import MessageCompleted, Notice, UsageRecorded

DONE = b"data: [DONE]\n\n"

_encode = msgspec.json.Encoder().encode


class TokenCountsOut(msgspec.Struct, frozen=True):
    """Tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AssistantOut(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. `reasoning_content` is what the model thought aloud."""

    role: str = "assistant"
    content: str | None
    refusal: str | None = None
    tool_calls: list[dict[str, Any]] | msgspec.UnsetType = msgspec.UNSET
    reasoning_content: str | msgspec.UnsetType = msgspec.UNSET


class ChoiceOut(msgspec.Struct, frozen=True, kw_only=True):
    """The one choice."""

    index: int = 0
    message: AssistantOut
    logprobs: None = None
    finish_reason: str


class CompletionOut(msgspec.Struct, frozen=True, kw_only=True):
    """OpenAI's chat completion. `notice` is headrace's own: there when no language model is connected."""

    id: str
    object: str = "chat.completion"
    created: int
    model: str
    choices: list[ChoiceOut]
    usage: TokenCountsOut | None
    system_fingerprint: str | None = None
    notice: Notice | msgspec.UnsetType = msgspec.UNSET


def completion_id(job_id: UUID) -> str:
    """Return the id of a job's completion, for clients that expect OpenAI's prefix."""
    return f"chatcmpl-{job_id.hex}"


def usage_out(usage: UsageRecorded | None) -> TokenCountsOut | None:
    """Return tokens as OpenAI names them."""
    if usage is None:
        return None
    return TokenCountsOut(usage.input_tokens, usage.output_tokens, usage.input_tokens + usage.output_tokens)


def completion_out(
    job_id: UUID, model: str, message: MessageCompleted, usage: UsageRecorded | None, reasoning: str
) -> CompletionOut:
    """Return a whole answer."""
    answer = AssistantOut(
        content=message.text or (None if message.tool_calls else ""),
        tool_calls=message.tool_calls or msgspec.UNSET,
        reasoning_content=reasoning or msgspec.UNSET,
    )
    return CompletionOut(
        id=completion_id(job_id),
        created=int(time.time()),
        model=model,
        choices=[ChoiceOut(message=answer, finish_reason=message.finish_reason)],
        usage=usage_out(usage),
        notice=message.notice or msgspec.UNSET,
    )


class Chunks:
    """Writes the chunks of one stream. What is the same in all of them is encoded once."""

    def __init__(self, job_id: UUID, model: str, *, include_usage: bool) -> None:
        head = {
            "id": completion_id(job_id),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": None,
        }
        self._head = b"data: " + _encode(head)[:-1] + b',"choices":'
        self._tail = b',"usage":null}\n\n' if include_usage else b"}\n\n"
        self._before = self._head + b'[{"index":0,"delta":'
        self._after = b',"logprobs":null,"finish_reason":null}]' + self._tail

    def role(self) -> bytes:
        """The first chunk."""
        return self._before + b'{"role":"assistant","content":"","refusal":null}' + self._after

    def text(self, text: str) -> bytes:
        """More of the answer."""
        return self._before + b'{"content":' + _encode(text) + b"}" + self._after

    def reasoning(self, text: str) -> bytes:
        """More of what the model thinks aloud."""
        return self._before + b'{"reasoning_content":' + _encode(text) + b"}" + self._after

    def tool_calls(self, pieces: list[dict[str, Any]]) -> bytes:
        """More of the tool calls, in OpenAI's own pieces."""
        return self._before + b'{"tool_calls":' + _encode(pieces) + b"}" + self._after

    def finish(self, reason: str, notice: Notice | None) -> bytes:
        """The chunk that says why the answer ended, with the notice where there is one."""
        told = b',"notice":' + _encode(notice) if notice else b""
        return self._before + b'{},"logprobs":null,"finish_reason":' + _encode(reason) + b"}]" + told + self._tail

    def usage(self, usage: UsageRecorded | None) -> bytes:
        """The last chunk, where it was asked for."""
        return self._head + b'[],"usage":' + _encode(usage_out(usage)) + b"}\n\n"


def error_chunk(error: msgspec.Struct) -> bytes:
    """An error in mid-stream; OpenAI's SDKs raise it."""
    return b"data: " + _encode(error) + b"\n\n"
