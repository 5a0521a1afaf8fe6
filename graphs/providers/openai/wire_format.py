"""OpenAI's chat wire format in both directions: a `ModelRequest` to a body, stream payloads to deltas.

Not for: sockets (`http/vendor_client.py`) or differences between vendors (rows in `vendors.py`).
"""

from typing import Any

import msgspec

from graphs.providers.contract import (
    Delta,
    ExtraDelta,
    Finished,
    FinishReason,
    ImagePart,
    Message,
    ModelRequest,
    Part,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolResultPart,
    Usage,
)
from graphs.providers.errors import ProviderStreamCut
from graphs.providers.http.statuses import error_in_stream
from graphs.providers.http.vendor_client import decode_response
from graphs.providers.openai.vendors import Vendor
from graphs.providers.reported import reported_logprobs, reported_name, storable, usage_from
from schema.errors import ProviderError

_REASONS: dict[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None
    extra_content: Any = None  # Google's: the signature of a thought, without which the next request is refused


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None  # DeepSeek, vLLM, llama.cpp
    reasoning: str | None = None  # OpenRouter, Groq
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    reasoning_details: Any = None  # OpenRouter's: signed or encrypted thoughts, which go back as they came
    annotations: Any = None  # sources of OpenAI's and OpenRouter's web search


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None
    logprobs: Any = None


class _Chunk(msgspec.Struct):
    model: Any = None
    system_fingerprint: Any = None
    choices: list[_Choice] | None = None
    usage: Any = None  # {"prompt_tokens", "completion_tokens"}; what isn't must not cost the answer
    error: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode


class ChunkReader:
    """The state of one stream: payloads in, deltas out, and at the end `finish`."""

    def __init__(self, provider: str, request: ModelRequest, key: str = "") -> None:
        self._provider = provider
        self._request = request
        self._key = key
        self._reason: str | None = None
        self._usage: Any = None
        self._model = self._fingerprint = ""
        self._chars = 0
        self._calls = -1
        self._ended = False
        self._failure: ProviderError | None = None

    @property
    def ended(self) -> bool:
        """Whether the end mark `[DONE]` has arrived, after which nothing is read."""
        return self._ended

    @property
    def has_finish_reason(self) -> bool:
        """Whether the finish reason has arrived: the answer is complete; only usage and `[DONE]` may follow."""
        return self._reason is not None

    def feed(self, payloads: list[bytes]) -> list[Delta]:
        """Return the deltas of these payloads, with adjacent text joined. An error among them is left for `check`, so that
        the tokens before it are not lost."""
        text: list[str] = []
        deltas: list[Delta] = []
        try:
            for payload in payloads:
                if payload == b"[DONE]":
                    self._ended = True
                    break
                self._take(decode_response(self._provider, _decode, payload), text, deltas)
        except ProviderError as exc:
            self._failure = exc
        self._flush(text, deltas)
        return [storable(delta) for delta in deltas]

    def check(self) -> None:
        """Raise the error of the last `feed`, if any: ProviderInvalidResponse, or the vendor's own."""
        if self._failure is not None:
            raise self._failure

    def _take(self, chunk: _Chunk, text: list[str], deltas: list[Delta]) -> None:
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.model is not None:
            self._model = reported_name(chunk.model) or self._model
        if chunk.system_fingerprint is not None:
            self._fingerprint = reported_name(chunk.system_fingerprint) or self._fingerprint
        if chunk.choices:
            choice = chunk.choices[0]
            if choice.finish_reason:
                self._reason = choice.finish_reason
            if choice.logprobs is not None or (choice.delta is not None and choice.delta.refusal):
                self._flush(text, deltas)
                self._take_said(choice, deltas)
            elif choice.delta is not None and choice.delta.content:
                text.append(choice.delta.content)
            if choice.delta is not None and _has_more(choice.delta):
                self._flush(text, deltas)
                self._take_reasoning_and_calls(choice.delta, deltas)
        if chunk.error is not None:
            raise error_in_stream(self._provider, chunk.error, key=self._key)

    def finish(self) -> Finished:
        """Return the last delta. Raises ProviderStreamCut if there was no finish reason, unless `[DONE]` followed output."""
        has_output = self._chars > 0 or self._calls >= 0
        if self._reason is None and not (self._ended and has_output):
            raise ProviderStreamCut(f"{self._provider} ended its answer without an end mark.")
        reason = _REASONS.get(self._reason or "stop", "stop")
        if reason == "stop" and self._calls >= 0:
            reason = "tool_calls"  # a forced tool_choice ends with "stop" at OpenAI, and always at some servers
        return Finished(reason, self._count(), self._model, self._fingerprint)

    def _flush(self, text: list[str], deltas: list[Delta]) -> None:
        if text:
            joined = text[0] if len(text) == 1 else "".join(text)
            self._chars += len(joined)
            deltas.append(TextDelta(joined))
            text.clear()

    def _take_said(self, choice: _Choice, deltas: list[Delta]) -> None:
        """Take text and refusal with the logprobs of their tokens; tokens without text have some, too."""
        told = choice.logprobs if isinstance(choice.logprobs, dict) else {}
        delta = choice.delta or _Delta()
        for kind, said, logprobs in (
            (TextDelta, delta.content or "", reported_logprobs(told.get("content"))),
            (RefusalDelta, delta.refusal or "", reported_logprobs(told.get("refusal"))),
        ):
            if said or logprobs:
                self._chars += len(said)
                deltas.append(kind(said, logprobs))

    def _take_reasoning_and_calls(self, delta: _Delta, deltas: list[Delta]) -> None:
        if reasoning := delta.reasoning_content or delta.reasoning:
            self._chars += len(reasoning)
            deltas.append(ReasoningDelta(reasoning))
        opaque = {"reasoning_details": delta.reasoning_details, "annotations": delta.annotations}
        if extra := {name: value for name, value in opaque.items() if value}:
            deltas.append(ExtraDelta(extra))
        for call in delta.tool_calls or ():
            function = call.function or _Function()
            if call.index is not None:
                self._calls = call.index
            elif call.id or self._calls < 0:
                self._calls += 1  # a vendor that doesn't number its calls starts each one with an id
            self._chars += len(function.arguments or "")
            extra = {} if call.extra_content is None else {"extra_content": call.extra_content}
            deltas.append(
                ToolCallDelta(self._calls, call.id or "", function.name or "", function.arguments or "", extra)
            )

    def _count(self) -> Usage:
        usage = self._usage if isinstance(self._usage, dict) else {}
        read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
        read_details, written_details = _details(usage, "prompt"), _details(usage, "completion")
        return usage_from(
            read,
            written,
            messages=self._request.messages,
            chars=self._chars,
            cached=read_details.get("cached_tokens", usage.get("prompt_cache_hit_tokens")),  # DeepSeek's name for it
            cache_write=read_details.get("cache_write_tokens"),
            reasoning=written_details.get("reasoning_tokens"),
        )


def _has_more(delta: _Delta) -> bool:
    return bool(
        delta.tool_calls or delta.reasoning_content or delta.reasoning or delta.reasoning_details or delta.annotations
    )


def _details(usage: dict[str, Any], of: str) -> dict[str, Any]:
    details = usage.get(f"{of}_tokens_details")
    return details if isinstance(details, dict) else {}


def request_body(request: ModelRequest, vendor: Vendor) -> bytes:
    """Return the JSON body of a streaming chat completion."""
    body: dict[str, Any] = {
        **request.extra,
        "model": request.model,
        "messages": [wire for m in request.messages for wire in message_body(m, vendor)],
        "stream": True,
    }
    if vendor.stream_usage:
        body["stream_options"] = {"include_usage": True}
    if request.max_tokens is not None:
        body[vendor.max_tokens_field] = request.max_tokens
    for field in _SAME_NAME_FIELDS:
        if (value := getattr(request, field)) is not None and value != ():
            body[field] = value
    return msgspec.json.encode(body)


_SAME_NAME_FIELDS = (
    "temperature",
    "top_p",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
)


def message_body(message: Message, vendor: Vendor) -> list[dict[str, Any]]:
    """Return OpenAI's messages for one of ours; one with several tool results becomes several."""
    if message.vendor not in ("", vendor.name):
        message = message.without_extras()
    extra = message.extra
    results = [p for p in message.parts if isinstance(p, ToolResultPart)]
    if results:
        return [{**extra, "role": "tool", "tool_call_id": p.tool_call_id, "content": p.text} for p in results]
    role = "system" if message.role == "developer" and not vendor.developer_role else message.role
    body: dict[str, Any] = {**extra, "role": role, "content": _content(message)}
    calls = [p for p in message.parts if isinstance(p, ToolCallPart)]
    if calls:
        body["tool_calls"] = [
            {**p.extra, "id": p.id, "type": "function", "function": {"name": p.name, "arguments": p.arguments}}
            for p in calls
        ]
    return [body]


def _content(message: Message) -> str | list[dict[str, Any]] | None:
    shown = [part for part in message.parts if isinstance(part, TextPart | ImagePart)]
    if not any(isinstance(part, ImagePart) or part.extra for part in shown):
        # A plain string wherever possible: many servers' chat templates support nothing else.
        return message.text if shown else None
    return [content_part for part in message.parts if (content_part := _content_part(part))]


def _content_part(part: Part) -> dict[str, Any] | None:
    if isinstance(part, TextPart):
        return {**part.extra, "type": "text", "text": part.text}
    if isinstance(part, ImagePart):
        image = {"url": part.url} if part.detail is None else {"url": part.url, "detail": part.detail}
        return {**part.extra, "type": "image_url", "image_url": image}
    return None
