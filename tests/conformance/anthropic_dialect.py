"""How Anthropic's protocol says what `dialects.py` lets every provider be told."""

import json
from collections.abc import Iterator
from typing import Any

import aiohttp

from graphs.providers.anthropic.provider import Anthropic
from graphs.providers.contract import Provider, ProviderTimeouts

STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


class AnthropicDialect:
    """Server-Sent Events of the Messages API."""

    content_type = "text/event-stream; charset=utf-8"
    breaks_off = ("error", "abort", "never_heard_of_it")

    def __init__(self) -> None:
        self._index = 0

    def provider(self, session: aiohttp.ClientSession, url: str, timeouts: ProviderTimeouts) -> Provider:
        return Anthropic(session, url, timeouts=timeouts)

    def frame(self, body: Any) -> bytes:
        kind = body.get("type") if isinstance(body, dict) else "message"
        name = f"event: {kind}\n".encode() if isinstance(kind, str) else b""
        return name + b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"

    def block(self, block: Any, *deltas: Any) -> bytes:
        self._index += 1
        at = {"index": self._index}
        return b"".join(
            (
                self.frame({"type": "content_block_start", **at, "content_block": block}),
                *(self.frame({"type": "content_block_delta", **at, "delta": delta}) for delta in deltas),
                self.frame({"type": "content_block_stop", **at}),
            )
        )

    def words(self, text: str, **more: Any) -> bytes:
        return self.block({"type": "text", "text": ""}, {"type": "text_delta", "text": text, **more})

    def raw_words(self, literal: bytes) -> bytes:
        return self.words("PLACE").replace(b'"PLACE"', literal)

    def thought(self, text: str) -> bytes:
        return self.block({"type": "thinking", "thinking": ""}, {"type": "thinking_delta", "thinking": text})

    def call(self, name: str, arguments: Any, *, call_id: Any = "call_1") -> bytes:
        begun = {"type": "tool_use", "id": call_id, "name": name}
        if not isinstance(arguments, str):  # as servers that don't stream it
            return self.block({**begun, "input": arguments})
        return self.block({**begun, "input": {}}, {"type": "input_json_delta", "partial_json": arguments})

    def end(self, reason: str = "stop", *, counts: tuple[Any, Any] = (3, 2), mark: bool = True) -> bytes:
        usage = {"input_tokens": counts[0], "output_tokens": counts[1]}
        delta = {"stop_reason": STOPS.get(reason, reason), "stop_sequence": None}
        last = self.frame({"type": "message_delta", "delta": delta, "usage": usage})
        return last + (self.frame({"type": "message_stop"}) if mark else b"")

    def error(self, message: str, code: str) -> bytes:
        return self.frame({"type": "error", "error": {"type": code, "message": message}})

    def whole(self, text: str) -> dict[str, Any]:
        usage = {"input_tokens": 3, "output_tokens": 2}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn"}
        return {**message, "content": [{"type": "text", "text": text}], "usage": usage}

    def error_bodies(self, message: str, code: str) -> Iterator[Any]:
        yield {"type": "error", "error": {"type": code, "message": message}}
        yield {"type": "error", "error": {"type": code, "message": message}, "request_id": "req_1"}
        yield {"error": {"message": message, "code": code}}

    def odd_frames(self) -> Iterator[bytes]:
        for wrong in (None, 7, -1, 1.5, True, "text", [], ["text"], {}, {"a": [1]}, 2**70):
            yield self.frame({"type": "message_start", "message": wrong})
            yield self.frame({"type": "content_block_start", "index": wrong, "content_block": wrong})
            yield self.frame({"type": "content_block_delta", "index": wrong, "delta": wrong})
            yield self.frame({"type": "message_delta", "delta": wrong, "usage": wrong})
            if not isinstance(wrong, str):
                yield self.block({"type": wrong, "text": wrong}, {"type": wrong, "text": wrong})
                yield self.block({"type": "text", "text": wrong}, {"type": "text_delta", "text": wrong})
        yield b'event: ping\ndata: {"type": "ping"}\n\ndata: null\n\ndata:\n\n: comment\n\n'
