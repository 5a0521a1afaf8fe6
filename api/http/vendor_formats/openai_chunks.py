"""OpenAI's chat completions and stream chunks, field by field as its SDKs expect them."""

import time
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta

from graphs.messages import VENDOR_MARK
from schema.events import ChoiceDelta, MessageCompleted, UsageRecorded
from schema.events.base import CachedTokens, CacheWriteTokens, CostIfTold, Notice, ReasoningTokens

DONE = b"data: [DONE]\n\n"

MoreTokens = Annotated[int | msgspec.UnsetType, Meta(description="As the provider counts them; omitted if it doesn't.")]

NOT_EXTRA = frozenset(
    {"role", "content", "refusal", "tool_calls", "reasoning_content", "reasoning", "function_call", VENDOR_MARK}
)
"""Fields of a message that are sent for what they are; no vendor's extra replaces them."""

_encode = msgspec.json.Encoder().encode


class PromptDetailsOut(msgspec.Struct, frozen=True):
    """Parts of the prompt's tokens."""

    cached_tokens: CachedTokens = 0
    cache_write_tokens: CacheWriteTokens = 0
    audio_tokens: MoreTokens = UNSET
    image_tokens: MoreTokens = UNSET
    text_tokens: MoreTokens = UNSET


class CompletionDetailsOut(msgspec.Struct, frozen=True):
    """Parts of the answer's tokens."""

    reasoning_tokens: ReasoningTokens = 0
    accepted_prediction_tokens: MoreTokens = UNSET
    rejected_prediction_tokens: MoreTokens = UNSET
    audio_tokens: MoreTokens = UNSET
    text_tokens: MoreTokens = UNSET


class TokenCountsOut(msgspec.Struct, frozen=True):
    """Token usage."""

    prompt_tokens: Annotated[int, Meta(description="Tokens in the prompt.")]
    completion_tokens: Annotated[int, Meta(description="Tokens in the answer.")]
    total_tokens: Annotated[int, Meta(description="Sum of both.")]
    prompt_tokens_details: Annotated[PromptDetailsOut, Meta(description="Parts of the prompt's tokens.")]
    completion_tokens_details: Annotated[CompletionDetailsOut, Meta(description="Parts of the answer's tokens.")]
    cost_usd: CostIfTold = msgspec.UNSET


class LogprobsOut(msgspec.Struct, frozen=True, kw_only=True):
    """Log probabilities of an answer's tokens."""

    content: Annotated[list[dict[str, Any]] | None, Meta(description="Those of the text; null if there is none.")]
    refusal: Annotated[list[dict[str, Any]] | None, Meta(description="Those of the refusal; null if there is none.")]


class AssistantOut(msgspec.Struct, frozen=True, kw_only=True):
    """The message that the model generated."""

    role: Annotated[str, Meta(description="Always `assistant`.")] = "assistant"
    content: Annotated[str | None, Meta(description="Text content; null if there are only tool calls.")]
    refusal: Annotated[str | None, Meta(description="Words with which the model refuses; null if it doesn't.")] = None
    tool_calls: Annotated[
        list[dict[str, Any]] | msgspec.UnsetType,
        Meta(description="Tool calls that the model asks for; omitted if none."),
    ] = msgspec.UNSET
    reasoning_content: Annotated[
        str | msgspec.UnsetType, Meta(description="Reasoning of the model; omitted if it shows none.")
    ] = msgspec.UNSET


class ChoiceOut(msgspec.Struct, frozen=True, kw_only=True):
    """A choice."""

    index: Annotated[int, Meta(description="Its place among the choices, from 0.")] = 0
    message: Annotated[AssistantOut, Meta(description="The message.")]
    logprobs: Annotated[
        LogprobsOut | None, Meta(description="Log probabilities of the tokens; null if they weren't asked for.")
    ] = None
    finish_reason: Annotated[str, Meta(description="Why the model stopped: `stop`, `length`, `tool_calls`, …")]


class CompletionOut(msgspec.Struct, frozen=True, kw_only=True):
    """A chat completion."""

    id: Annotated[str, Meta(description="Id of the completion: `chatcmpl-` and the id of its job.")]
    object: Annotated[str, Meta(description="Always `chat.completion`.")] = "chat.completion"
    created: Annotated[int, Meta(description="When it was created, in seconds since 1970.")]
    model: Annotated[
        str, Meta(description="The model that answered, as `provider/name`, with the name that the provider told.")
    ]
    choices: Annotated[list[ChoiceOut], Meta(description="The choices: one, or as many as `n` asked for.")]
    usage: Annotated[TokenCountsOut | None, Meta(description="Token usage; null if unknown.")]
    system_fingerprint: Annotated[
        str | None, Meta(description="The provider's version of its server; null if it told none.")
    ] = None
    service_tier: Annotated[
        str | msgspec.UnsetType, Meta(description="How the provider served it; omitted if it doesn't say.")
    ] = msgspec.UNSET
    moderation: Annotated[
        Any, Meta(description="What the provider's moderation found, as it came; omitted if it doesn't say.")
    ] = msgspec.UNSET
    metadata: Annotated[Any, Meta(description="As the provider gives it back; omitted if it doesn't.")] = msgspec.UNSET
    notice: Annotated[
        Notice | msgspec.UnsetType,
        Meta(description="Not in OpenAI's API: what to know of the answer besides its text; omitted otherwise."),
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
    "usage": {
        "prompt_tokens": 14,
        "completion_tokens": 15,
        "total_tokens": 29,
        "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
        "cost_usd": 0.0,
    },
    "system_fingerprint": None,
}


def completion_id(job_id: UUID) -> str:
    """Return the id of a job's completion, with OpenAI's prefix."""
    return f"chatcmpl-{job_id.hex}"


def usage_out(usage: UsageRecorded | None, reported: dict[str, Any] | None) -> TokenCountsOut | None:
    """Return token counts in OpenAI's format, with those that only the provider `reported`."""
    if usage is None:
        return None
    read, written = ((reported or {}).get(f"{of}_tokens_details", {}) for of in ("input", "output"))
    return TokenCountsOut(
        usage.input_tokens,
        usage.output_tokens,
        usage.input_tokens + usage.output_tokens,
        PromptDetailsOut(usage.cached_tokens, usage.cache_write_tokens, **_counts(read, PromptDetailsOut)),
        CompletionDetailsOut(usage.reasoning_tokens, **_counts(written, CompletionDetailsOut)),
        usage.cost_usd,
    )


def _counts(details: dict[str, Any], of: type[msgspec.Struct]) -> dict[str, int]:
    """Return those counts of the provider's that there is a place for and that aren't counted here."""
    known = [field.name for field in msgspec.structs.fields(of) if field.default is UNSET]
    return {name: details[name] for name in known if type(details.get(name)) is int}


def answered_by(model: str, message: MessageCompleted, usage: UsageRecorded | None) -> str:
    """Return the model that answered: of a chain another one than was asked for, and as its provider calls it."""
    asked = usage.model if usage else model
    return f"{asked.partition('/')[0]}/{message.resolved_model}" if message.resolved_model else asked


OF_WHOLE = ("moderation", "metadata")


def of_whole(message: MessageCompleted) -> dict[str, Any]:
    """Return what the provider says of a completion as a whole, besides what has a field of its own."""
    return {name: value for name in OF_WHOLE if (value := (message.reported or {}).get(name)) is not None}


def returned_extra(message: MessageCompleted) -> dict[str, Any]:
    """Return the vendor's own fields of an answer's message, with the mark that leads them back to it alone.
    Reasoning is among the deltas already."""
    extra = {name: value for name, value in (message.extra or {}).items() if name not in NOT_EXTRA}
    return {**extra, VENDOR_MARK: message.vendor} if message.vendor else extra


def completion_out(
    job_id: UUID,
    model: str,
    message: MessageCompleted,
    usage: UsageRecorded | None,
    reasoning: str = "",
    logprobs: LogprobsOut | None = None,
) -> msgspec.Raw:
    """Return a complete answer, a `CompletionOut` with the vendor's own fields in its message."""
    answer = AssistantOut(
        content=message.text or (None if message.tool_calls or message.refusal else ""),
        refusal=message.refusal,
        tool_calls=message.tool_calls or msgspec.UNSET,
        reasoning_content=reasoning or msgspec.UNSET,
    )
    completion = CompletionOut(
        id=completion_id(job_id),
        created=int(time.time()),
        model=answered_by(model, message, usage),
        choices=[ChoiceOut(message=answer, finish_reason=message.finish_reason, logprobs=logprobs)],
        usage=usage_out(usage, message.reported),
        system_fingerprint=message.system_fingerprint,
        service_tier=message.service_tier or msgspec.UNSET,
        **of_whole(message),
        notice=message.notice or msgspec.UNSET,
    )
    extra = returned_extra(message)
    if extra or message.choices:
        built = msgspec.to_builtins(completion)
        built["choices"][0]["message"] = {**extra, **built["choices"][0]["message"]}
        built["choices"] += message.choices or ()
        return msgspec.Raw(_encode(built))
    return msgspec.Raw(_encode(completion))


class Chunks:
    """Encodes the chunks of one stream. The parts that all chunks share are encoded once."""

    def __init__(self, job_id: UUID, model: str, *, include_usage: bool) -> None:
        self._head = {
            "id": completion_id(job_id),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": None,
        }
        self._end = b',"usage":null}\n\n' if include_usage else b"}\n\n"
        self._delta_end = b',"logprobs":null,"finish_reason":null}]' + self._end
        self._begun: set[int] = set()
        self._reported: dict[str, Any] | None = None
        self._set_start()

    def _set_start(self) -> None:
        self._start = b"data: " + _encode(self._head)[:-1] + b',"choices":'
        self._delta_start = self._start + b'[{"index":0,"delta":'

    def answered(self, message: MessageCompleted, usage: UsageRecorded | None) -> None:
        """Let the following chunks name what answered: providers tell it with the answer's end."""
        model = answered_by(self._head["model"], message, usage)
        self._head |= {"model": model, "system_fingerprint": message.system_fingerprint}
        self._head |= {"service_tier": message.service_tier} if message.service_tier else {}
        self._head |= of_whole(message)
        self._reported = message.reported
        self._set_start()

    def role(self) -> bytes:
        """The first chunk."""
        return self._delta_start + b'{"role":"assistant","content":"","refusal":null}' + self._delta_end

    def text(self, text: str, logprobs: list[dict[str, Any]] | None = None) -> bytes:
        """A chunk with more text of the answer."""
        end = self._delta_end if logprobs is None else self._with_logprobs(LogprobsOut(content=logprobs, refusal=None))
        return self._delta_start + b'{"content":' + _encode(text) + b"}" + end

    def refusal(self, text: str, logprobs: list[dict[str, Any]] | None = None) -> bytes:
        """A chunk with more of a refusal."""
        end = self._delta_end if logprobs is None else self._with_logprobs(LogprobsOut(content=None, refusal=logprobs))
        return self._delta_start + b'{"refusal":' + _encode(text) + b"}" + end

    def vendor_fields(self, fields: dict[str, Any]) -> bytes:
        """A chunk with the vendor's own fields, all at once: clients join what comes in pieces."""
        return self._delta_start + _encode(fields) + self._delta_end

    def choice(self, event: ChoiceDelta) -> bytes:
        """A chunk with more of another choice than the first; its role comes in a chunk before, as that of the first does."""
        name = "refusal" if "refusal" in event.delta else "content"
        logprobs = None
        if event.logprobs is not None:
            logprobs = {"content": None, "refusal": None, name: event.logprobs}
        head = {"index": event.choice, "delta": event.delta, "logprobs": logprobs, "finish_reason": event.finish_reason}
        begun = b"" if event.choice in self._begun else self._begin(event.choice)
        return begun + self._start + _encode([head]) + self._end

    def _begin(self, choice: int) -> bytes:
        self._begun.add(choice)
        delta = {"role": "assistant", "content": "", "refusal": None}
        head = {"index": choice, "delta": delta, "logprobs": None, "finish_reason": None}
        return self._start + _encode([head]) + self._end

    def _with_logprobs(self, logprobs: LogprobsOut) -> bytes:
        return b',"logprobs":' + _encode(logprobs) + b',"finish_reason":null}]' + self._end

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
        return self._start + b'[],"usage":' + _encode(usage_out(usage, self._reported)) + b"}\n\n"


def error_chunk(error: msgspec.Struct) -> bytes:
    """An error in the middle of a stream; OpenAI's SDKs raise it."""
    return b"data: " + _encode(error) + b"\n\n"
