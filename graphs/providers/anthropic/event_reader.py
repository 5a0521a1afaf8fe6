"""The events of Anthropic's stream, as deltas.

    message_start ─ content_block_start ─ content_block_delta … ─ content_block_stop … ─ message_delta ─ message_stop

Each needed field is read by itself: one of another type counts as absent. Unknown events and blocks are skipped, as the vendor
asks of its clients.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from graphs.providers.anthropic.request_body import ANSWER_TOOL, Body
from graphs.providers.anthropic.thoughts import AFTER, FIELD
from graphs.providers.contract import (
    Delta,
    ExtraDelta,
    Finished,
    FinishReason,
    ModelRequest,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)
from graphs.providers.errors import ProviderStreamCut
from graphs.providers.http.statuses import error_in_stream
from graphs.providers.http.vendor_client import decode_response
from graphs.providers.reported import reported_count, reported_name, storable, usage_from
from schema.errors import ProviderError

Json = dict[str, Any]

_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
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
                return {**self.raw, "input": decode_response("anthropic", _decode, joined.encode())}
            case _:
                return self.raw


class EventReader:
    """The state of one answer: payloads in, deltas out, and at the end `finish`."""

    def __init__(self, provider: str, request: ModelRequest, body: Body, key: str = "") -> None:
        self._provider, self._request, self._body, self._key = provider, request, body, key
        self._blocks: dict[int, _Block] = {}
        self._usage: Json = {}
        self._usage_before: list[Json] = []
        self._model = ""
        self._stop: str | None = None
        self._calls = 0
        self._chars = 0
        self._text_chars = 0
        self._failure: ProviderError | None = None
        self.ended = False

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
        deltas: list[Delta] = []
        try:
            for payload in payloads:
                if payload.strip():
                    self._take(payload, deltas)
        except ProviderError as error:
            if not self.has_finish_reason:  # nothing after the reason can fail an answer
                self._failure = error
        return [storable(delta) for delta in _joined(deltas)]

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

    def finish(self) -> Finished:
        """Return the last delta. Raises ProviderStreamCut if there was no reason, one that is no end, or nothing said."""
        if self._stop is None:
            raise ProviderStreamCut(f"{self._provider} ended its answer without an end mark.")
        reason = _REASONS.get(self._stop)
        if reason is None:
            raise ProviderStreamCut(f"{self._provider} broke its answer off ({self._stop[:40]}).")
        if reason == "tool_calls" and not self._calls:
            reason = "stop"  # the call was the answer
        # After results of tools, an empty answer is one: the model has nothing to add.
        if reason == "stop" and not (self._text_chars or self._calls) and self._request.messages[-1].role != "tool":
            raise ProviderStreamCut(f"{self._provider} ended its answer without a word.")
        return Finished(reason, self._count(), reported_name(self._model))

    def _take(self, payload: bytes, deltas: list[Delta]) -> None:
        event = decode_response(self._provider, _decode, payload)
        if not isinstance(event, dict):
            return
        match event.get("type"):
            case "content_block_delta":
                self._more(self._blocks.get(_index(event)), _object(event.get("delta")), deltas)
            case "content_block_start":
                self._begin(_index(event), _object(event.get("content_block")), deltas)
            case "content_block_stop":
                self._close(self._blocks.get(_index(event)), deltas)
            case "message_start":
                message = _object(event.get("message"))
                self._model = message.get("model") or self._model
                self._usage = _object(message.get("usage"))
            case "message_delta":
                self._end(event, deltas)
            case "message_stop":
                self.ended = True
            case "error":
                raise self._error(event.get("error"))
            case _ if "error" in event:
                raise self._error(event["error"])

    def _begin(self, index: int, raw: Json, deltas: list[Delta]) -> None:
        block = self._blocks[index] = _Block(str(raw.get("type")), raw)
        if block.kind == "tool_use":
            self._begin_call(block, deltas)
        elif block.kind == "redacted_thinking" and isinstance(raw.get("data"), str):
            self._keep_thought({"type": block.kind, "data": raw["data"]}, deltas)
        elif block.kind == "text" and isinstance(raw.get("text"), str) and raw["text"]:
            self._say(raw["text"], deltas)

    def _begin_call(self, block: _Block, deltas: list[Delta]) -> None:
        name, call_id = str(block.raw.get("name") or ""), str(block.raw.get("id") or "")
        if self._body.answers_by_tool and name == ANSWER_TOOL:
            return
        block.call = self._calls
        self._calls += 1
        deltas.append(ToolCallDelta(block.call, call_id, self._body.names.get(name, name)))

    def _more(self, block: _Block | None, delta: Json, deltas: list[Delta]) -> None:
        if block is None:
            return
        match delta:
            case {"type": "text_delta", "text": str(text)}:
                block.pieces.append(text)
                self._say(text, deltas)
            case {"type": "thinking_delta", "thinking": str(text)}:
                block.pieces.append(text)
                self._chars += len(text)
                deltas.append(ReasoningDelta(text))
            case {"type": "input_json_delta", "partial_json": str(text)} if text:
                block.pieces.append(text)
                self._add_input(block, text, deltas)
            case {"type": "signature_delta", "signature": str(signature)}:
                block.raw = {**block.raw, "signature": signature}

    def _add_input(self, block: _Block, text: str, deltas: list[Delta]) -> None:
        if block.kind != "tool_use":
            return  # a tool that runs at the vendor
        if block.call < 0:
            self._say(text, deltas)
        else:
            self._chars += len(text)
            deltas.append(ToolCallDelta(block.call, arguments=text))

    def _say(self, text: str, deltas: list[Delta]) -> None:
        self._chars += len(text)
        self._text_chars += len(text)
        deltas.append(TextDelta(text))

    def _close(self, block: _Block | None, deltas: list[Delta]) -> None:
        """A call without a piece has its input in its beginning, mostly none."""
        if block is None:
            return
        if block.kind == "tool_use" and not block.pieces:
            given = _object(block.raw.get("input"))
            self._add_input(block, msgspec.json.encode(given).decode(), deltas)
        elif block.kind == "thinking":
            whole = block.whole()
            kept = {name: whole[name] for name in ("type", "thinking", "signature") if isinstance(whole.get(name), str)}
            if kept.get("signature"):
                self._keep_thought(kept, deltas)

    def _keep_thought(self, block: Json, deltas: list[Delta]) -> None:
        """Let the thought go back as it came, to where it was."""
        redacted = block["type"] == "redacted_thinking"
        deltas.append(ReasoningDelta("", block["data"] if redacted else block["signature"], redacted))
        deltas.append(ExtraDelta({FIELD: [{**block, AFTER: [self._text_chars, self._calls]}]}))

    def _end(self, event: Json, deltas: list[Delta]) -> None:
        self._usage |= {name: value for name, value in _object(event.get("usage")).items() if value is not None}
        delta = _object(event.get("delta"))
        if isinstance(stop := delta.get("stop_reason"), str):
            self._stop = stop
        if self._stop == "refusal":
            told = _object(delta.get("stop_details")).get("explanation")
            deltas.append(RefusalDelta(told if isinstance(told, str) and told else DECLINED))

    def _error(self, error: Any) -> ProviderError:
        kind = _object(error).get("type")
        status = _STATUSES.get(kind) if isinstance(kind, str) else None
        said = {"message": _object(error).get("message") or "", "code": str(status)} if status else error
        return error_in_stream(self._provider, said, key=self._key)

    def _count(self) -> Any:
        """The vendor counts what its cache has read and written apart from the rest of the prompt."""
        cached, written = self._sum("cache_read_input_tokens"), self._sum("cache_creation_input_tokens")
        rest, said = self._sum("input_tokens"), self._sum("output_tokens")
        details = [_object(usage.get("output_tokens_details")) for usage in (*self._usage_before, self._usage)]
        thought = sum(reported_count(one.get("thinking_tokens")) or 0 for one in details)
        return usage_from(
            None if rest is None else rest + (cached or 0) + (written or 0),
            said,
            messages=self._request.messages,
            chars=self._chars,
            cached=cached,
            cache_write=written,
            reasoning=thought,
        )

    def _sum(self, name: str) -> int | None:
        counts = [reported_count(usage.get(name)) for usage in (*self._usage_before, self._usage)]
        return None if counts[-1] is None else sum(count or 0 for count in counts)


def _joined(deltas: list[Delta]) -> list[Delta]:
    """Join adjacent texts, and adjacent pieces of reasoning."""
    joined: list[Delta] = []
    for delta in deltas:
        last = joined[-1] if joined else None
        if isinstance(delta, TextDelta) and isinstance(last, TextDelta):
            joined[-1] = TextDelta(last.text + delta.text)
        elif (
            isinstance(delta, ReasoningDelta)
            and isinstance(last, ReasoningDelta)
            and not (last.signature or delta.signature)
        ):
            joined[-1] = ReasoningDelta(last.text + delta.text)
        else:
            joined.append(delta)
    return joined


def _index(event: Json) -> int:
    index = event.get("index")
    return index if type(index) is int else -1


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}
