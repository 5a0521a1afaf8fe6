"""The events of Anthropic's stream, as deltas.

    message_start ─ content_block_start ─ content_block_delta … ─ content_block_stop … ─ message_delta ─ message_stop

Each needed field is read by itself: one of another type counts as absent. Unknown events and blocks are skipped, as the vendor
asks of its clients. What the answer says is put together by `Answer`, as for every protocol.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from graphs.providers.answers.answer import Answer
from graphs.providers.answers.call_pieces import CallPiece
from graphs.providers.answers.fields import arguments
from graphs.providers.answers.json_payloads import read_json
from graphs.providers.anthropic.request_body import ANSWER_TOOL, Body
from graphs.providers.anthropic.thoughts import AFTER, FIELD
from graphs.providers.contract import Delta, ModelRequest, ReasoningDelta
from graphs.providers.http.statuses import error_in_stream
from graphs.providers.reported import reported_count, reported_name
from schema.errors import ProviderError

Json = dict[str, Any]

PAUSED = "pause_turn"
DECLINED = "The model declined to answer."
_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
}
"""The kinds of the vendor's errors that aren't its own failures, by the status that they have outside of a stream."""

_decode = msgspec.json.Decoder().decode


@dataclass
class _Block:
    """A block of the answer. `raw` is what it began with, `pieces` what came after that."""

    kind: str
    raw: Json
    pieces: list[str] = field(default_factory=list)
    call: int = -1

    def whole(self) -> Json:
        """Return the block as it would come in an answer that isn't streamed."""
        joined = "".join(self.pieces)
        match self.kind:
            case "text":
                return {"type": "text", "text": self.raw.get("text", "") + joined}
            case "thinking":
                return {**self.raw, "thinking": str(self.raw.get("thinking", "")) + joined}
            case _ if joined:
                return {**self.raw, "input": read_json("anthropic", joined.encode())}
            case _:
                return self.raw


class EventReader:
    """The state of one answer: payloads in, deltas out, and at the end `finish`."""

    def __init__(self, provider: str, request: ModelRequest, body: Body, key: str = "") -> None:
        self._provider, self._request, self._body, self._key = provider, request, body, key
        self._answer = Answer(provider, request, key)
        self._blocks: dict[int, _Block] = {}
        self._usage: Json = {}
        self._usage_before: list[Json] = []
        self._stop: str | None = None
        self._calls = 0
        self._text_chars = 0
        self._failure: ProviderError | None = None
        self.ended, self.foreign = False, ""

    @property
    def has_finish_reason(self) -> bool:
        """Whether the answer is complete: only its end mark may follow."""
        return self._stop is not None

    @property
    def is_paused(self) -> bool:
        """Whether the vendor wants the turn so far back to go on with it."""
        return self._stop == PAUSED

    def feed(self, payloads: list[bytes]) -> list[Delta]:
        """Return the deltas of these payloads, with adjacent text joined. An error among them is left for `check`, so that
        the tokens before it are not lost."""
        try:
            for payload in payloads:
                if payload.strip():
                    self._take(payload)
        except ProviderError as error:
            if not self.has_finish_reason:  # nothing after the reason can fail an answer
                self._failure = error
        return _joined(self._answer.take())

    def check(self) -> None:
        """Raise the error of the last `feed`, if any: ProviderInvalidResponse, or the vendor's own."""
        if self._failure is not None:
            raise self._failure

    def resume(self) -> list[Json]:
        """Return the blocks of a turn that was paused, and be ready for its continuation."""
        blocks = [self._blocks[index].whole() for index in sorted(self._blocks)]
        self._usage_before.append(self._usage)
        self._blocks, self._usage, self._stop, self.ended = {}, {}, None, False
        return [block for block in blocks if block.get("type") != "text" or block["text"].strip()]

    def finish(self, foreign: str = "") -> list[Delta]:
        """Return the last deltas; `foreign` is what came besides and was not understood. Raises what `Answer.finish` raises.

        After results of tools, an empty answer is one: the model has nothing to add.
        """
        may_be_empty = self._stop is not None and self._request.messages[-1].role == "tool"
        read, written, parts = self._count()
        return _joined(self._answer.finish(read, written, foreign=foreign, may_be_empty=may_be_empty, **parts))

    def _take(self, payload: bytes) -> None:
        event = _read(self._provider, payload)
        if not isinstance(event, dict):
            return
        match event.get("type"):
            case "content_block_delta":
                self._more(self._blocks.get(_index(event)), _object(event.get("delta")))
            case "content_block_start":
                self._begin(_index(event), _object(event.get("content_block")))
            case "content_block_stop":
                self._close(self._blocks.get(_index(event)))
            case "message_start":
                self._start(_object(event.get("message")))
            case "message":
                self._take_whole(event)
            case "message_delta":
                self._end(event)
            case "message_stop":
                self.ended = True
            case "error":
                raise self._error(event.get("error"))
            case _ if "error" in event:
                raise self._error(event["error"])

    def _start(self, message: Json) -> None:
        self._answer.model = reported_name(message.get("model")) or self._answer.model
        self._usage = _object(message.get("usage"))

    def _take_whole(self, message: Json) -> None:
        """A server that doesn't stream has sent the whole message at once."""
        self._start(message)
        content = message.get("content")
        for index, block in enumerate(content if isinstance(content, list) else ()):
            self._begin(index, raw := _object(block))
            if isinstance(thought := raw.get("thinking"), str):
                self._answer.add_thought(thought)
            self._close(self._blocks[index])
        self._end({"delta": message, "usage": message.get("usage")})
        self.ended = self._stop is not None

    def _begin(self, index: int, raw: Json) -> None:
        block = self._blocks[index] = _Block(str(raw.get("type")), raw)
        if block.kind == "tool_use":
            self._begin_call(block)
        elif block.kind == "redacted_thinking" and isinstance(raw.get("data"), str):
            self._keep_thought({"type": block.kind, "data": raw["data"]})
        elif block.kind == "text" and isinstance(raw.get("text"), str) and raw["text"]:
            self._say(raw["text"])

    def _begin_call(self, block: _Block) -> None:
        name, call_id = str(block.raw.get("name") or ""), str(block.raw.get("id") or "")
        if self._body.answers_by_tool and name == ANSWER_TOOL:
            return
        block.call = self._calls
        self._calls += 1
        self._answer.add_call(CallPiece(block.call, call_id, self._body.names.get(name, name)))

    def _more(self, block: _Block | None, delta: Json) -> None:
        if block is None:
            return
        match delta:
            case {"type": "text_delta", "text": str(text)}:
                block.pieces.append(text)
                self._say(text)
            case {"type": "thinking_delta", "thinking": str(text)}:
                block.pieces.append(text)
                self._answer.add_thought(text)
            case {"type": "input_json_delta", "partial_json": str(text)} if text:
                block.pieces.append(text)
                self._add_input(block, text)
            case {"type": "signature_delta", "signature": str(signature)}:
                block.raw = {**block.raw, "signature": signature}

    def _add_input(self, block: _Block, text: str) -> None:
        if block.kind != "tool_use":
            return  # a tool that runs at the vendor
        if block.call < 0:
            self._say(text)
        else:
            self._answer.add_call(CallPiece(block.call, arguments=text))

    def _say(self, text: str) -> None:
        self._text_chars += len(text)
        self._answer.add_text(text)

    def _close(self, block: _Block | None) -> None:
        """A call without a piece has its input in its beginning, mostly none."""
        if block is None:
            return
        if block.kind == "tool_use" and not block.pieces:
            self._add_input(block, arguments(self._provider, _object(block.raw.get("input"))))
        elif block.kind == "thinking":
            whole = block.whole()
            kept = {name: whole[name] for name in ("type", "thinking", "signature") if isinstance(whole.get(name), str)}
            if kept.get("signature"):
                self._keep_thought(kept)

    def _keep_thought(self, block: Json) -> None:
        """Let the thought go back as it came, to where it was."""
        redacted = block["type"] == "redacted_thinking"
        self._answer.add_signature(block["data"] if redacted else block["signature"], redacted=redacted)
        self._answer.add_extra({FIELD: [{**block, AFTER: [self._text_chars, self._calls]}]})

    def _end(self, event: Json) -> None:
        self._usage |= {name: value for name, value in _object(event.get("usage")).items() if value is not None}
        delta = _object(event.get("delta"))
        if isinstance(stop := delta.get("stop_reason"), str):
            self._stop = stop
            self._answer.end(stop)
        if self._stop == "refusal":
            told = _object(delta.get("stop_details")).get("explanation")
            self._answer.add_refusal(told if isinstance(told, str) and told else DECLINED)

    def _error(self, error: Any) -> ProviderError:
        kind = _object(error).get("type")
        status = _STATUSES.get(kind) if isinstance(kind, str) else None
        said = {"message": _object(error).get("message") or "", "code": str(status)} if status else error
        return error_in_stream(self._provider, said, key=self._key)

    def _count(self) -> tuple[int | None, int | None, dict[str, Any]]:
        """The vendor counts what its cache has read and written apart from the rest of the prompt."""
        cached, written = self._sum("cache_read_input_tokens"), self._sum("cache_creation_input_tokens")
        rest, said = self._sum("input_tokens"), self._sum("output_tokens")
        details = [_object(usage.get("output_tokens_details")) for usage in (*self._usage_before, self._usage)]
        thought = sum(reported_count(one.get("thinking_tokens")) or 0 for one in details)
        read = None if rest is None else rest + (cached or 0) + (written or 0)
        stored = [_object(usage.get("cache_creation")) for usage in (*self._usage_before, self._usage)]
        hour = sum(reported_count(one.get("ephemeral_1h_input_tokens")) or 0 for one in stored)
        return read, said, {"cached": cached, "cache_write": written, "reasoning": thought, "cache_write_1h": hour}

    def _sum(self, name: str) -> int | None:
        counts = [reported_count(usage.get(name)) for usage in (*self._usage_before, self._usage)]
        return None if counts[-1] is None else sum(count or 0 for count in counts)


def _joined(deltas: list[Delta]) -> list[Delta]:
    """Join adjacent pieces of reasoning."""
    joined: list[Delta] = []
    for delta in deltas:
        match joined[-1] if joined else None, delta:
            case ReasoningDelta(before, ""), ReasoningDelta(text, ""):
                joined[-1] = ReasoningDelta(before + text)
            case _:
                joined.append(delta)
    return joined


def _read(provider: str, payload: bytes) -> Any:
    try:
        return _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return read_json(provider, payload)


def _index(event: Json) -> int:
    index = event.get("index")
    return index if type(index) is int else -1


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}
