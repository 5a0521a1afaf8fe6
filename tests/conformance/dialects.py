"""How each protocol says the same things, right and wrong: what `test_oddities.py` runs every provider against.

A provider joins with a class here and a line in `DIALECTS`. A dialect writes what its vendor's server writes on the wire; tests
cut it into pieces, damage it, and expect the same of all.
"""

import json
from collections.abc import Iterator
from typing import Any, Protocol

import aiohttp

from graphs.providers.contract import Provider, ProviderTimeouts
from graphs.providers.ollama.provider import Ollama
from graphs.providers.openai.provider import OpenAICompatible
from graphs.providers.openai.vendors import VENDORS
from tests.conformance.anthropic_dialect import AnthropicDialect
from tests.conformance.vendor_dialects import CohereDialect, GoogleDialect, ResponsesDialect
from tests.conformance.wrong_values import WRONG


class Dialect(Protocol):
    """The wire format of one provider. Every method returns the bytes of whole frames."""

    content_type: str
    breaks_off: tuple[str, ...]
    """Words for the end of an answer that was cut."""

    def provider(self, session: aiohttp.ClientSession, url: str, timeouts: ProviderTimeouts) -> Provider:
        """Return the provider that calls the server at `url`."""
        ...

    def words(self, text: str, **more: Any) -> bytes:
        """More of the answer; `more` are further fields of the frame."""
        ...

    def raw_words(self, literal: bytes) -> bytes:
        """As `words`, with a JSON string as the server writes it, quotes included."""
        ...

    def thought(self, text: str) -> bytes:
        """More of the thinking."""
        ...

    def call(self, name: str, arguments: Any, *, call_id: Any = "call_1") -> bytes:
        """A whole tool call."""
        ...

    def end(self, reason: str = "stop", *, counts: tuple[Any, Any] = (3, 2), mark: bool = True) -> bytes:
        """The end, with the counts of tokens; without `mark` what follows the reason is left out."""
        ...

    def error(self, message: str, code: str) -> bytes:
        """An error in the middle of an answer."""
        ...

    def whole(self, text: str) -> dict[str, Any]:
        """The body of an answer that isn't streamed."""
        ...

    def error_bodies(self, message: str, code: str) -> Iterator[Any]:
        """Bodies of errors, with status 200 too."""
        ...

    def odd_frames(self) -> Iterator[bytes]:
        """Frames without words in which single fields are of wrong types."""
        ...


class OpenAIDialect:
    """Server-Sent Events of chat completions."""

    content_type = "text/event-stream; charset=utf-8"
    breaks_off = ("error", "abort", "network_error", "insufficient_system_resource", "cancelled", "never_heard_of_it")

    def provider(self, session: aiohttp.ClientSession, url: str, timeouts: ProviderTimeouts) -> Provider:
        return OpenAICompatible(session, VENDORS["openai"].at(f"{url}/v1"), timeouts=timeouts)

    def frame(self, body: Any) -> bytes:
        return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"

    def delta(self, delta: Any, reason: Any = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return self.frame({"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **more})

    def words(self, text: str, **more: Any) -> bytes:
        return self.delta({"content": text}, **more)

    def raw_words(self, literal: bytes) -> bytes:
        return b'data: {"choices":[{"index":0,"delta":{"content":' + literal + b"}}]}\n\n"

    def thought(self, text: str) -> bytes:
        return self.delta({"reasoning_content": text})

    def call(self, name: str, arguments: Any, *, call_id: Any = "call_1") -> bytes:
        call = {"index": 0, "id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        return self.delta({"tool_calls": [call]})

    def end(self, reason: str = "stop", *, counts: tuple[Any, Any] = (3, 2), mark: bool = True) -> bytes:
        last = self.delta({}, reason)
        if not mark:
            return last
        usage = {"prompt_tokens": counts[0], "completion_tokens": counts[1]}
        return last + self.frame({"choices": [], "usage": usage}) + b"data: [DONE]\n\n"

    def error(self, message: str, code: str) -> bytes:
        return self.frame({"error": {"message": message, "type": "server_error", "code": code}})

    def whole(self, text: str) -> dict[str, Any]:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 3, "completion_tokens": 2}
        return {"id": "c1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}

    def error_bodies(self, message: str, code: str) -> Iterator[Any]:
        yield {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
        yield {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": code}
        yield {"error_code": code, "message": message}
        yield {"error": message, "code": code}
        yield [{"error": {"code": code, "message": message, "status": "INVALID_ARGUMENT"}}]
        yield {"type": "error", "error": {"type": code, "message": message}}
        yield {"success": False, "errors": [{"code": code, "message": message}]}
        yield {"code": code, "msg": message, "data": None}
        yield {"error": {"error": {"message": message, "code": code}}}

    def odd_frames(self) -> Iterator[bytes]:
        for wrong in WRONG:
            yield self.delta(
                {"content": None, "role": wrong, "refusal": None, "annotations": None}, created=wrong, id=wrong
            )
            if not isinstance(wrong, str):
                yield self.delta({"reasoning_content": wrong, "tool_calls": None if wrong == {} else wrong})
            if not isinstance(wrong, list):
                yield self.frame({"choices": wrong, "object": "chat.completion.chunk"})
            yield self.frame({"choices": [{"index": wrong, "delta": {}, "logprobs": wrong}], "usage": wrong})
            yield self.frame({"choices": [{"delta": wrong if not isinstance(wrong, dict) else {}}], "model": wrong})
        yield b'data: {"choices":[{"delta":{},"logprobs":{"content":[{"token":"a","logprob":NaN}]}}]}\n\n'
        yield b'data: {"choices":[{"delta":{}}],"usage":{"prompt_tokens":Infinity}}\n\n'
        yield b"data:\n\ndata: \n\n: comment\n\ndata: still working\n\nevent: ping\ndata: ping\n\nretry: 3\n\n"
        yield b"data: null\n\nid: 4\n\nfoo: bar\n\n"


class OllamaDialect:
    """Lines of JSON of /api/chat."""

    content_type = "application/x-ndjson"
    breaks_off = ("unload", "error", "never_heard_of_it")

    def provider(self, session: aiohttp.ClientSession, url: str, timeouts: ProviderTimeouts) -> Provider:
        return Ollama(session, url, timeouts=timeouts)

    def frame(self, body: Any) -> bytes:
        return json.dumps(body, ensure_ascii=False).encode() + b"\n"

    def message(self, message: Any, **more: Any) -> bytes:
        return self.frame(
            {"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": message, "done": False, **more}
        )

    def words(self, text: str, **more: Any) -> bytes:
        return self.message({"role": "assistant", "content": text}, **more)

    def raw_words(self, literal: bytes) -> bytes:
        return b'{"message":{"role":"assistant","content":' + literal + b'},"done":false}\n'

    def thought(self, text: str) -> bytes:
        return self.message({"role": "assistant", "content": "", "thinking": text})

    def call(self, name: str, arguments: Any, *, call_id: Any = "call_1") -> bytes:
        read = json.loads(arguments) if isinstance(arguments, str) else arguments
        return self.message(
            {"content": "", "tool_calls": [{"id": call_id, "function": {"name": name, "arguments": read}}]}
        )

    def end(self, reason: str = "stop", *, counts: tuple[Any, Any] = (3, 2), mark: bool = True) -> bytes:
        last = {"done": True, "done_reason": reason, "prompt_eval_count": counts[0], "eval_count": counts[1]}
        return self.message({"role": "assistant", "content": ""}, **last)

    def error(self, message: str, code: str) -> bytes:
        return self.frame({"error": message, "code": code})

    def whole(self, text: str) -> dict[str, Any]:
        last = {"done": True, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 2}
        return {"model": "m", "message": {"role": "assistant", "content": text}, **last}

    def error_bodies(self, message: str, code: str) -> Iterator[Any]:
        yield {"error": message, "code": code}
        yield {"error": {"message": message, "code": code}}
        yield {"message": message, "code": code} | {"error": True}

    def odd_frames(self) -> Iterator[bytes]:
        for wrong in WRONG:
            if not isinstance(wrong, str):
                yield self.message({"role": wrong, "content": wrong, "thinking": wrong, "images": wrong}, model=wrong)
            if wrong != {"a": [1]}:
                yield self.message({"content": "", "tool_calls": wrong}, created_at=wrong, total_duration=wrong)
        yield b'{"message":{"content":""},"done":false,"eval_duration":NaN}\n'
        yield b"\n\r\n  \n"


DIALECTS: dict[str, Dialect] = {
    "openai_compatible": OpenAIDialect(),
    "ollama": OllamaDialect(),
    "anthropic": AnthropicDialect(),
    "openai_responses": ResponsesDialect(),
    "google": GoogleDialect(),
    "cohere": CohereDialect(),
}
"""Every provider with a wire; add a line for another one."""
