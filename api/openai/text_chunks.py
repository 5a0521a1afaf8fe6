"""OpenAI's text completions and their stream chunks, field by field as its SDKs expect them. Reasoning and tool calls have no
place in them."""

import time
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from api.http.vendor_formats.openai_chunks import LogprobsOut, TokenCountsOut, answered_by, usage_out
from schema.events import ChoiceDelta, MessageCompleted, UsageRecorded
from schema.events.base import Notice

OBJECT = "text_completion"
_encode = msgspec.json.Encoder().encode

Tokens = list[dict[str, Any]]


class TextLogprobsOut(msgspec.Struct, frozen=True, kw_only=True):
    """Log probabilities of a text's tokens, in lists beside each other."""

    tokens: Annotated[list[str], Meta(description="The tokens.")]
    token_logprobs: Annotated[list[float | None], Meta(description="The probability of each.")]
    top_logprobs: Annotated[list[dict[str, float] | None], Meta(description="The most likely tokens at each place.")]
    text_offset: Annotated[list[int], Meta(description="Where each begins, in characters.")]


class TextChoiceOut(msgspec.Struct, frozen=True, kw_only=True):
    """A choice."""

    text: Annotated[str, Meta(description="The text, after the prompt if it was to be repeated.")]
    index: Annotated[int, Meta(description="Its place among the choices, from 0: those of the first prompt first.")] = 0
    logprobs: Annotated[
        TextLogprobsOut | None, Meta(description="Log probabilities of the tokens; null if they weren't asked for.")
    ] = None
    finish_reason: Annotated[
        str | None, Meta(description="Why the model stopped: `stop`, `length` or `content_filter`.")
    ]


class TextCompletionOut(msgspec.Struct, frozen=True, kw_only=True):
    """A completion of a text."""

    id: Annotated[str, Meta(description="Id of the completion: `cmpl-` and the id of its job.")]
    object: Annotated[str, Meta(description="Always `text_completion`.")] = OBJECT
    created: Annotated[int, Meta(description="When it was created, in seconds since 1970.")]
    model: Annotated[
        str, Meta(description="The model that answered, as `provider/name`, with the name that the provider told.")
    ]
    choices: Annotated[list[TextChoiceOut], Meta(description="The choices: as many as `n` asked for, for each prompt.")]
    usage: Annotated[TokenCountsOut | None, Meta(description="Token usage; null if unknown.")]
    system_fingerprint: Annotated[
        str | None, Meta(description="The provider's version of its server; null if it told none.")
    ] = None
    notice: Annotated[
        Notice | msgspec.UnsetType,
        Meta(description="Not in OpenAI's API: says that no language model is connected; omitted otherwise."),
    ] = msgspec.UNSET


TEXT_EXAMPLE: dict[str, Any] = {
    "id": "cmpl-019a5c9e6f0a7c119f530c9d2f6f6b1e",
    "object": OBJECT,
    "created": 1_777_882_530,
    "model": "ollama/codellama:7b-code",
    "choices": [{"text": "    return a + b\n", "index": 0, "logprobs": None, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 14,
        "completion_tokens": 7,
        "total_tokens": 21,
        "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    },
    "system_fingerprint": None,
}


def text_completion_out(
    job_id: UUID,
    model: str,
    message: MessageCompleted,
    usage: UsageRecorded | None,
    reasoning: str = "",
    logprobs: LogprobsOut | None = None,
) -> msgspec.Raw:
    """Return a complete answer, a `TextCompletionOut`. A refusal is its text: there is no other place for it."""
    first = TextChoiceOut(
        text=message.text or message.refusal or "",
        logprobs=_in_lists((logprobs.content if logprobs else None) or [], 0),
        finish_reason=message.finish_reason,
    )
    completion = TextCompletionOut(
        id=_id(job_id),
        created=int(time.time()),
        model=answered_by(model, message, usage),
        choices=[first, *(_choice(choice) for choice in message.choices or ())],
        usage=usage_out(usage, message.reported),
        system_fingerprint=message.system_fingerprint,
        notice=message.notice or msgspec.UNSET,
    )
    return msgspec.Raw(_encode(completion))


def _id(job_id: UUID) -> str:
    return f"cmpl-{job_id.hex}"


def _choice(choice: dict[str, Any]) -> TextChoiceOut:
    """Return a choice beside the first, which is stored as one of a chat."""
    message, told = choice["message"], choice.get("logprobs") or {}
    return TextChoiceOut(
        text=message.get("content") or message.get("refusal") or "",
        index=choice["index"],
        logprobs=_in_lists(told.get("content") or [], 0),
        finish_reason=choice["finish_reason"],
    )


def _in_lists(tokens: Tokens, start: int) -> TextLogprobsOut | None:
    """Return the logprobs of a text that begins at `start`; None for none."""
    if not tokens:
        return None
    offsets = list[int]()
    for token in tokens:
        offsets.append(token.get("text_offset", start))
        start = offsets[-1] + len(token.get("token", ""))
    return TextLogprobsOut(
        tokens=[token.get("token", "") for token in tokens],
        token_logprobs=[token.get("logprob") for token in tokens],
        top_logprobs=[_likely(token) for token in tokens],
        text_offset=offsets,
    )


def _likely(token: dict[str, Any]) -> dict[str, float] | None:
    top = token.get("top_logprobs")
    return {one["token"]: one["logprob"] for one in top} if top else None


class TextChunks:
    """Encodes the chunks of one stream, with the methods of `Chunks`; what has no place in them is empty."""

    def __init__(self, job_id: UUID, model: str, *, include_usage: bool) -> None:
        self._head = {
            "id": _id(job_id),
            "object": OBJECT,
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": None,
        }
        self._end = b',"usage":null}\n\n' if include_usage else b"}\n\n"
        self._told: dict[int, int] = {}
        self._reported: dict[str, Any] | None = None
        self._set_start()

    def _set_start(self) -> None:
        self._start = b"data: " + _encode(self._head)[:-1] + b',"choices":'

    def answered(self, message: MessageCompleted, usage: UsageRecorded | None) -> None:
        """Let the following chunks name what answered."""
        model = answered_by(self._head["model"], message, usage)
        self._head |= {"model": model, "system_fingerprint": message.system_fingerprint}
        self._reported = message.reported
        self._set_start()

    def role(self) -> bytes:
        """Nothing: a text has no role."""
        return b""

    def text(self, text: str, logprobs: Tokens | None = None) -> bytes:
        """A chunk with more of the first choice's text."""
        return self._piece(0, text, logprobs)

    def refusal(self, text: str, logprobs: Tokens | None = None) -> bytes:
        """A chunk with more of a refusal, as text."""
        return self._piece(0, text, logprobs)

    def choice(self, event: ChoiceDelta) -> bytes:
        """A chunk with more of another choice than the first."""
        text = event.delta.get("content") or event.delta.get("refusal") or ""
        if not (text or event.logprobs or event.finish_reason):
            return b""
        return self._piece(event.choice, text, event.logprobs, event.finish_reason)

    def _piece(self, index: int, text: str, logprobs: Tokens | None, reason: str | None = None) -> bytes:
        start = self._told.get(index, 0)
        self._told[index] = start + len(text)
        told = _in_lists(logprobs or [], start)
        choice = TextChoiceOut(text=text, index=index, logprobs=told, finish_reason=reason)
        return self._start + _encode([choice]) + self._end

    def vendor_fields(self, fields: dict[str, Any]) -> bytes:
        """Nothing."""
        return b""

    def reasoning(self, text: str) -> bytes:
        """Nothing."""
        return b""

    def tool_calls(self, pieces: list[dict[str, Any]]) -> bytes:
        """Nothing."""
        return b""

    def finish(self, reason: str, notice: Notice | None) -> bytes:
        """The chunk that says why the first choice ended, with the notice if there is one."""
        notice_json = b',"notice":' + _encode(notice) if notice else b""
        return self._start + _encode([TextChoiceOut(text="", finish_reason=reason)]) + notice_json + self._end

    def usage(self, usage: UsageRecorded | None) -> bytes:
        """The chunk with token usage, the last one if the client asked for it."""
        return self._start + b'[],"usage":' + _encode(usage_out(usage, self._reported)) + b"}\n\n"
