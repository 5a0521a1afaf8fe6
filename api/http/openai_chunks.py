"""OpenAI's chat completions and stream chunks, field by field as its SDKs expect them."""

import time
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from schema.events import MessageCompleted, Notice, UsageRecorded

DONE = b"data: [DONE]\n\n"

_encode = msgspec.json.Encoder().encode


class TokenCountsOut(msgspec.Struct, frozen=True):
    """Token usage."""

    prompt_tokens: Annotated[int, Meta(description="Tokens in the prompt.")]
    completion_tokens: Annotated[int, Meta(description="Tokens in the answer.")]
    total_tokens: Annotated[int, Meta(description="Sum of both.")]


class AssistantOut(msgspec.Struct, frozen=True, kw_only=True):
    """The message that the model generated."""

    role: Annotated[str, Meta(description="Always `assistant`.")] = "assistant"
    content: Annotated[str | None, Meta(description="Text content; null if there are only tool calls.")]
    refusal: Annotated[str | None, Meta(description="Always null.")] = None
    tool_calls: Annotated[
        list[dict[str, Any]] | msgspec.UnsetType,
        Meta(description="Tool calls that the model asks for; omitted if none."),
    ] = msgspec.UNSET
    reasoning_content: Annotated[
        str | msgspec.UnsetType, Meta(description="Reasoning of the model; omitted if it shows none.")
    ] = msgspec.UNSET


class ChoiceOut(msgspec.Struct, frozen=True, kw_only=True):
    """A choice. There is always one."""

    index: Annotated[int, Meta(description="Always 0.")] = 0
    message: Annotated[AssistantOut, Meta(description="The message.")]
    logprobs: Annotated[None, Meta(description="Always null.")] = None
    finish_reason: Annotated[str, Meta(description="Why the model stopped: `stop`, `length`, `tool_calls`, …")]


class CompletionOut(msgspec.Struct, frozen=True, kw_only=True):
    """A chat completion."""

    id: Annotated[str, Meta(description="Id of the completion: `chatcmpl-` and the id of its job.")]
    object: Annotated[str, Meta(description="Always `chat.completion`.")] = "chat.completion"
    created: Annotated[int, Meta(description="When it was created, in seconds since 1970.")]
    model: Annotated[str, Meta(description="The model that answered, as `provider/name`.")]
    choices: Annotated[list[ChoiceOut], Meta(description="The choices: always one.")]
    usage: Annotated[TokenCountsOut | None, Meta(description="Token usage; null if unknown.")]
    system_fingerprint: Annotated[str | None, Meta(description="Always null.")] = None
    notice: Annotated[
        Notice | msgspec.UnsetType,
        Meta(description="Not in OpenAI's API: says that no language model is connected; omitted otherwise."),
    ] = msgspec.UNSET


COMPLETION_EXAMPLE: dict[str, Any] = {
    "id": "chatcmpl-019a5c9e6f0a7c119f530c9d2f6f6b1e",
    "object": "chat.completion",
    "created": 1_777_882_530,
    "model": "ollama/llama3.2:3b",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "A headrace is the channel that leads water to a mill wheel.",
                "refusal": None,
            },
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 14, "completion_tokens": 15, "total_tokens": 29},
    "system_fingerprint": None,
}


def completion_id(job_id: UUID) -> str:
    """Return the id of a job's completion, with OpenAI's prefix."""
    return f"chatcmpl-{job_id.hex}"


def usage_out(usage: UsageRecorded | None) -> TokenCountsOut | None:
    """Return token counts in OpenAI's format."""
    if usage is None:
        return None
    return TokenCountsOut(usage.input_tokens, usage.output_tokens, usage.input_tokens + usage.output_tokens)


def completion_out(
    job_id: UUID, model: str, message: MessageCompleted, usage: UsageRecorded | None, reasoning: str
) -> CompletionOut:
    """Return a complete answer."""
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
    """Encodes the chunks of one stream. The parts that all chunks share are encoded once."""

    def __init__(self, job_id: UUID, model: str, *, include_usage: bool) -> None:
        head = {
            "id": completion_id(job_id),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": None,
        }
        self._start = b"data: " + _encode(head)[:-1] + b',"choices":'
        self._end = b',"usage":null}\n\n' if include_usage else b"}\n\n"
        self._delta_start = self._start + b'[{"index":0,"delta":'
        self._delta_end = b',"logprobs":null,"finish_reason":null}]' + self._end

    def role(self) -> bytes:
        """The first chunk."""
        return self._delta_start + b'{"role":"assistant","content":"","refusal":null}' + self._delta_end

    def text(self, text: str) -> bytes:
        """A chunk with more text of the answer."""
        return self._delta_start + b'{"content":' + _encode(text) + b"}" + self._delta_end

    def reasoning(self, text: str) -> bytes:
        """A chunk with more of the reasoning."""
        return self._delta_start + b'{"reasoning_content":' + _encode(text) + b"}" + self._delta_end

    def tool_calls(self, pieces: list[dict[str, Any]]) -> bytes:
        """A chunk with parts of tool calls, in OpenAI's format."""
        return self._delta_start + b'{"tool_calls":' + _encode(pieces) + b"}" + self._delta_end

    def finish(self, reason: str, notice: Notice | None) -> bytes:
        """The chunk that says why the answer ended, with the notice if there is one."""
        notice_json = b',"notice":' + _encode(notice) if notice else b""
        return (
            self._delta_start
            + b'{},"logprobs":null,"finish_reason":'
            + _encode(reason)
            + b"}]"
            + notice_json
            + self._end
        )

    def usage(self, usage: UsageRecorded | None) -> bytes:
        """The chunk with token usage, the last one if the client asked for it."""
        return self._start + b'[],"usage":' + _encode(usage_out(usage)) + b"}\n\n"


def error_chunk(error: msgspec.Struct) -> bytes:
    """An error in the middle of a stream; OpenAI's SDKs raise it."""
    return b"data: " + _encode(error) + b"\n\n"
