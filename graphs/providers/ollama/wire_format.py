"""Ollama's chat wire format in both directions: a `ModelRequest` to a body, NDJSON lines to deltas.

The field names are those of the official `ollama` package 0.6 (`ollama/_types.py`), which the tests run against the
same counterpart.
"""

import base64
from typing import Any

import msgspec

from graphs.providers.call_ids import make_call_id
from graphs.providers.contract import (
    Delta,
    Finished,
    ImagePart,
    Message,
    ModelRequest,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallPart,
    ToolResultPart,
    Usage,
)
from graphs.providers.errors import ProviderRefused, ProviderStreamCut
from graphs.providers.extras import ollama_fields, ollama_options
from graphs.providers.http.statuses import error_in_stream
from graphs.providers.http.vendor_client import decode_response
from graphs.providers.reported import storable, usage_from
from schema.errors import ProviderError


class _Function(msgspec.Struct):
    name: str = ""
    arguments: dict[str, Any] | str | None = None


class _ToolCall(msgspec.Struct):
    function: _Function
    id: str = ""


class _Message(msgspec.Struct):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Line(msgspec.Struct):
    message: _Message | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: Any = None  # older versions don't count a prompt that is in their cache
    eval_count: Any = None
    error: str | None = None


_decode = msgspec.json.Decoder(_Line).decode


class LineReader:
    """The state of one chat stream: lines in, deltas out, and at the end `finish`."""

    def __init__(self, provider: str, request: ModelRequest) -> None:
        self._provider = provider
        self._request = request
        self._last: _Line | None = None
        self._chars = 0
        self._calls = 0
        self._failure: ProviderError | None = None

    @property
    def ended(self) -> bool:
        """Whether `"done": true` has arrived, after which nothing is read."""
        return self._last is not None

    def feed(self, lines: list[bytes]) -> list[Delta]:
        """Return the deltas of these lines, with adjacent text joined. An error among them is left for `check`."""
        text: list[str] = []
        deltas: list[Delta] = []
        try:
            for line in lines:
                if line and line != b"\r":
                    self._take(decode_response(self._provider, _decode, line), text, deltas)
        except ProviderError as exc:
            self._failure = exc
        self._flush(text, deltas)
        return [storable(delta) for delta in deltas]

    def check(self) -> None:
        """Raise the error of the last `feed`, if any: ProviderInvalidResponse, or Ollama's own."""
        if self._failure is not None:
            raise self._failure

    def finish(self) -> Finished:
        """Return the last delta. Raises ProviderStreamCut if `"done": true` never came."""
        if self._last is None:
            raise ProviderStreamCut(f"{self._provider} ended its answer without an end mark.")
        reason = "tool_calls" if self._calls else "length" if self._last.done_reason == "length" else "stop"
        return Finished(reason, self._count(self._last))

    def _take(self, line: _Line, text: list[str], deltas: list[Delta]) -> None:
        if line.error is not None:
            raise error_in_stream(self._provider, line.error)
        if (message := line.message) is not None:
            if message.thinking:
                self._flush(text, deltas)
                self._chars += len(message.thinking)
                deltas.append(ReasoningDelta(message.thinking))
            if message.content:
                text.append(message.content)
            if message.tool_calls:
                self._flush(text, deltas)
                deltas.extend(self._call(call) for call in message.tool_calls)
        if line.done:
            self._last = line

    def _flush(self, text: list[str], deltas: list[Delta]) -> None:
        if text:
            joined = text[0] if len(text) == 1 else "".join(text)
            self._chars += len(joined)
            deltas.append(TextDelta(joined))
            text.clear()

    def _call(self, call: _ToolCall) -> ToolCallDelta:
        # Ollama sends a call in one piece and, before 0.12, without an id.
        index = self._calls
        self._calls += 1
        raw = call.function.arguments
        arguments = raw if isinstance(raw, str) else msgspec.json.encode(raw or {}).decode()
        self._chars += len(arguments)
        return ToolCallDelta(
            index, call.id or make_call_id(self._request.messages, index), call.function.name, arguments
        )

    def _count(self, last: _Line) -> Usage:
        read, written = last.prompt_eval_count, last.eval_count
        return usage_from(read, written, messages=self._request.messages, chars=self._chars)


def request_body(request: ModelRequest) -> bytes:
    """Return the JSON body of a streaming chat. Raises ProviderRefused for an image that is not a `data:` URL."""
    names = {p.id: p.name for m in request.messages for p in m.parts if isinstance(p, ToolCallPart)}
    body: dict[str, Any] = {
        **ollama_fields(request.extra),
        "model": request.model,
        "messages": [wire for m in request.messages for wire in message_body(m, names)],
        "stream": True,
    }
    if options := _options(request):
        body["options"] = options
    if request.tools and request.tool_choice != "none":  # Ollama has no other tool_choice
        body["tools"] = request.tools
    if (response_format := _format(request.response_format)) is not None:
        body["format"] = response_format
    if request.reasoning_effort is not None:
        body["think"] = False if request.reasoning_effort == "none" else request.reasoning_effort
    return msgspec.json.encode(body)


def _options(request: ModelRequest) -> dict[str, Any]:
    named = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "num_predict": request.max_tokens,
        "seed": request.seed,
        "presence_penalty": request.presence_penalty,
        "frequency_penalty": request.frequency_penalty,
        "stop": list(request.stop) or None,
    }
    return ollama_options(request.extra) | {name: value for name, value in named.items() if value is not None}


def _format(response_format: dict[str, Any] | None) -> str | dict[str, Any] | None:
    match response_format:
        case {"type": "json_schema", "json_schema": {"schema": dict() as schema}}:
            return schema
        case {"type": "json_object"}:
            return "json"
        case _:
            return None


def message_body(message: Message, tool_names: dict[str, str]) -> list[dict[str, Any]]:
    """Return Ollama's messages for one of ours. Its results name the tool, while OpenAI's have the call's id."""
    results = [p for p in message.parts if isinstance(p, ToolResultPart)]
    if results:
        return [
            {"role": "tool", "content": p.text, "tool_name": p.name or tool_names.get(p.tool_call_id, "")}
            for p in results
        ]
    role = "system" if message.role == "developer" else message.role
    body: dict[str, Any] = {"role": role, "content": message.text}
    if images := [_image_base64(p) for p in message.parts if isinstance(p, ImagePart)]:
        body["images"] = images
    if calls := [p for p in message.parts if isinstance(p, ToolCallPart)]:
        body["tool_calls"] = [{"function": {"name": p.name, "arguments": _arguments(p)}} for p in calls]
    return [body]


def _image_base64(image: ImagePart) -> str:
    head, _, data = image.url.partition(",")
    if not (head.startswith("data:") and head.endswith(";base64")):
        raise ProviderRefused("ollama accepts images only as base64 data: URLs, not as URLs to fetch.")
    try:
        base64.b64decode(data, validate=True)
    except ValueError as exc:  # binascii.Error, or a character that is not ASCII
        raise ProviderRefused("An image's data: URL is not valid base64, so it can't be sent to ollama.") from exc
    return data


def _arguments(call: ToolCallPart) -> dict[str, Any]:
    try:
        arguments = msgspec.json.decode(call.arguments or "{}")
    except msgspec.DecodeError:
        arguments = None
    # A model may have written broken JSON earlier in the conversation; the text still shows what it meant.
    return arguments if isinstance(arguments, dict) else {"arguments": call.arguments}
