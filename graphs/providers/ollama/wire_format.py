"""Ollama's chat wire format in both directions: a `ModelRequest` to a body, NDJSON lines to deltas.

The field names are those of the official `ollama` package 0.6 (`ollama/_types.py`), which the tests run against the
same counterpart.
"""

import base64
from typing import Any

import msgspec

from graphs.providers.answers.answer import Answer
from graphs.providers.answers.call_pieces import NOTHING, CallPiece
from graphs.providers.answers.fields import arguments, text
from graphs.providers.answers.json_payloads import TolerantDecoder, read_json
from graphs.providers.contract import (
    Delta,
    ExtraDelta,
    Finished,
    ImagePart,
    Message,
    ModelRequest,
    ToolCallPart,
    ToolResultPart,
)
from graphs.providers.errors import ProviderRefused
from graphs.providers.extras import OLLAMA_GENERATE, ollama_fields, ollama_options
from graphs.providers.grammar_schemas import reduce_format
from graphs.providers.http.error_bodies import find_error
from graphs.providers.http.statuses import error_in_stream
from graphs.providers.ollama.tool_choice import chosen_tools, with_choice_told
from graphs.providers.reported import reported_name
from graphs.providers.windows import MIN_CHARS_PER_TOKEN, measure
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
    model: Any = None
    message: _Message | None = None
    response: str | None = None  # of /api/generate
    thinking: str | None = None  # of the same
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: Any = None  # older versions don't count a prompt that is in their cache
    eval_count: Any = None
    error: Any = None


NAME = "ollama"
DEFAULT_WINDOW, MAX_WINDOW = 4096, 131_072
ANSWER_TOKENS = 1024
"""Tokens that are left for an answer whose limit isn't named."""

_lines = TolerantDecoder(_Line)


class LineReader:
    """The state of one chat stream: lines in, deltas out, and at the end `finish`."""

    def __init__(self, provider: str, request: ModelRequest, key: str = "") -> None:
        self._provider, self._request, self._key = provider, request, key
        self._answer = Answer(provider, request, key)
        self._thoughts: list[str] = []
        self._calls = 0
        self._last: _Line | None = None
        self._failure: ProviderError | None = None

    @property
    def ended(self) -> bool:
        """Whether `"done": true` has arrived, after which nothing is read."""
        return self._last is not None

    def feed(self, lines: list[bytes]) -> list[Delta]:
        """Return the deltas of these lines, with adjacent text joined. An error among them is left for `check`."""
        try:
            for line in lines:
                if self._last is None:
                    self._take(_lines.decode(self._provider, line), line)
        except ProviderError as exc:
            self._failure = exc
        return self._answer.take()

    def check(self) -> None:
        """Raise the error of the last `feed`, if any: ProviderInvalidResponse, or Ollama's own."""
        if self._failure is not None:
            raise self._failure

    def finish(self, foreign: str = "") -> list[Delta]:
        """Return the last deltas; `foreign` is what came besides and was no line of Ollama's. What was thought before a call of
        a tool goes back with it: some models go on from there.

        Raises ProviderStreamCut if `"done": true` never came, or with a reason that is no end, and what `Answer.finish` raises.
        """
        line = self._last or _Line()
        *deltas, last = self._answer.finish(line.prompt_eval_count, line.eval_count, foreign=foreign)
        thought = "".join(self._thoughts)
        if thought and isinstance(last, Finished) and last.reason == "tool_calls":
            deltas.append(ExtraDelta({"thinking": thought}))
        return [*deltas, last]

    def _take(self, line: _Line, raw: bytes) -> None:
        self._answer.model = reported_name(line.model) or self._answer.model
        if (message := line.message) is not None:
            self._answer.add_thought(message.thinking or "")
            self._thoughts.append(message.thinking or "")
            self._answer.add_text(message.content or "")
            for call in message.tool_calls or ():
                self._add_call(call)
        elif line.response or line.thinking:
            self._answer.add_thought(line.thinking or "")
            self._answer.add_text(line.response or "")
        is_empty = message is None and line.response is None and not line.done
        if (line.error or is_empty) and (error := find_error(read_json(self._provider, raw))):
            raise error_in_stream(self._provider, error, key=self._key, model=self._request.model)
        if line.done or line.done_reason:
            self._answer.end(line.done_reason or "stop")  # versions before 0.1.35 give no reason
            self._last = line

    def _add_call(self, call: _ToolCall) -> None:
        # Ollama sends a call in one piece and, before 0.12, without an id.
        said = arguments(self._provider, call.function.arguments) or NOTHING
        self._calls += 1
        self._answer.add_call(CallPiece(None if call.id else self._calls, call.id, call.function.name, said))


def request_body(request: ModelRequest, keep_alive: str | int | None = None) -> bytes:
    """Return the JSON body of a streaming chat; `keep_alive` is sent where the request has none.

    Raises ProviderRefused for an image that is not a `data:` URL.
    """
    request = with_choice_told(request)
    names = {p.id: p.name for m in request.messages for p in m.parts if isinstance(p, ToolCallPart)}
    body: dict[str, Any] = {
        **({} if keep_alive is None else {"keep_alive": keep_alive}),
        **ollama_fields(request.extra),
        "model": request.model,
        "messages": [wire for m in request.messages for wire in message_body(m, names)],
        "stream": True,
        # Otherwise Ollama leaves out the beginning of what is too long without a word; versions before 0.12 know neither.
        "truncate": False,
        "shift": False,
    }
    if options := _options(request):
        body["options"] = options
    if tools := chosen_tools(request):
        body["tools"] = tools
    if (response_format := _format(request.response_format)) is not None:
        body["format"] = response_format
    if request.reasoning_effort is not None:
        body["think"] = False if request.reasoning_effort == "none" else request.reasoning_effort
    return msgspec.json.encode(body)


def generate_body(request: ModelRequest, keep_alive: str | int | None = None) -> bytes:
    """Return the JSON body of a streaming generation for one prompt; `keep_alive` as in `request_body`."""
    asked = request.completion
    assert asked is not None
    body: dict[str, Any] = {
        **({} if keep_alive is None else {"keep_alive": keep_alive}),
        **ollama_fields(request.extra),
        **{name: request.extra[name] for name in OLLAMA_GENERATE & request.extra.keys()},
        "model": request.model,
        "prompt": asked.prompt,
        "stream": True,
        "truncate": False,
        "shift": False,
    }
    if asked.suffix:
        body["suffix"] = asked.suffix
    if options := _options(request):
        body["options"] = options
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
    window = {} if (size := _window(request)) is None else {"num_ctx": size}
    return window | ollama_options(request.extra) | {name: value for name, value in named.items() if value is not None}


def _window(request: ModelRequest) -> int | None:
    """Return the window that a request needs, if Ollama's default is too small for it: powers of two, since each change loads
    the model anew. Ollama makes it no larger than the model's."""
    tools = len(msgspec.json.encode(request.tools)) // MIN_CHARS_PER_TOKEN if request.tools else 0
    needed = measure(request.messages) + tools + (request.max_tokens or ANSWER_TOKENS)
    return None if needed <= DEFAULT_WINDOW else min(1 << (needed - 1).bit_length(), MAX_WINDOW)


def _format(response_format: dict[str, Any] | None) -> str | dict[str, Any] | None:
    match reduce_format(response_format):
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
    if message.role == "assistant" and message.vendor in ("", NAME) and (thought := text(message.extra, "thinking")):
        body["thinking"] = thought
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
