"""The dialects of vendors that are spoken to in their own protocols: OpenAI's Responses API, Google's Gemini and Cohere.

Shapes are those of the vendors' descriptions; what is odd about them is what gateways before them were seen to make of others.
"""

import json
from collections.abc import Iterator
from typing import Any

import aiohttp

from graphs.providers.cohere.provider import Cohere
from graphs.providers.contract import Provider, ProviderTimeouts
from graphs.providers.google.provider import Google
from graphs.providers.openai.provider import OpenAICompatible
from graphs.providers.openai.vendors import VENDORS
from tests.conformance.wrong_values import WRONG

ODD_LINES = (
    b"data:\n\ndata: \n\n: comment\n\ndata: still working\n\nevent: ping\ndata: ping\n\nretry: 3\n\ndata: null\n\n"
)
"""Lines of server-sent events that say nothing."""


def event(body: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


class ResponsesDialect:
    """Server-Sent Events of OpenAI's Responses API."""

    content_type = "text/event-stream; charset=utf-8"
    breaks_off = ("cancelled", "in_progress", "queued", "never_heard_of_it")

    def provider(self, session: aiohttp.ClientSession, url: str, timeouts: ProviderTimeouts) -> Provider:
        return OpenAICompatible(session, VENDORS["openai"].at(f"{url}/v1"), timeouts=timeouts, by_responses=("*",))

    def words(self, text: str, **more: Any) -> bytes:
        return event({"type": "response.output_text.delta", "output_index": 0, "delta": text, **more})

    def raw_words(self, literal: bytes) -> bytes:
        return b'data: {"type":"response.output_text.delta","output_index":0,"delta":' + literal + b"}\n\n"

    def thought(self, text: str) -> bytes:
        return event({"type": "response.reasoning_summary_text.delta", "summary_index": 0, "delta": text})

    def call(self, name: str, arguments: Any, *, call_id: Any = "call_1") -> bytes:
        item = {"type": "function_call", "id": "fc_1", "call_id": call_id, "name": name}
        begun = {"output_index": 1, "item": {**item, "arguments": "", "status": "in_progress"}}
        done = {"output_index": 1, "item": {**item, "arguments": arguments, "status": "completed"}}
        return event({"type": "response.output_item.added", **begun}) + event(
            {"type": "response.output_item.done", **done}
        )

    def end(self, reason: str = "stop", *, counts: tuple[Any, Any] = (3, 2), mark: bool = True) -> bytes:
        usage = {"input_tokens": counts[0], "output_tokens": counts[1]}
        response: dict[str, Any] = {"object": "response", "status": "completed", "output": [], "usage": usage}
        if reason == "length":
            response |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        elif reason not in ("stop", "tool_calls"):
            response |= {"status": reason}
        kind = response["status"] if response["status"] in ("incomplete", "cancelled") else "completed"
        return event({"type": f"response.{kind}", "response": response})

    def error(self, message: str, code: str) -> bytes:
        return b"event: error\n" + event({"type": "error", "code": code, "message": message, "param": None})

    def whole(self, text: str) -> dict[str, Any]:
        said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
        usage = {"input_tokens": 3, "output_tokens": 2}
        return {"id": "resp_1", "object": "response", "status": "completed", "output": [said], "usage": usage}

    def error_bodies(self, message: str, code: str) -> Iterator[Any]:
        yield {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
        yield {"type": "error", "code": code, "message": message, "param": None}
        yield {"type": "error", "error": {"type": code, "message": message}}
        yield {"object": "response", "status": "failed", "error": {"code": code, "message": message}, "output": []}
        yield {"error": message, "code": code}

    def odd_frames(self) -> Iterator[bytes]:
        for wrong in WRONG:
            if not isinstance(wrong, str):
                yield event({"type": "response.output_text.delta", "delta": wrong, "logprobs": wrong})
                yield event({"type": "response.reasoning_text.delta", "delta": wrong})
            yield event({"type": "response.output_text.delta", "delta": "", "output_index": wrong})
            yield event({"type": "response.created", "response": wrong})
            yield event({"type": "response.output_item.added", "item": wrong, "output_index": wrong})
            yield event({"type": "response.output_item.done", "item": {"type": "message", "content": wrong}})
            yield event({"type": "response.output_item.done", "item": {"type": "reasoning", "summary": wrong}})
            yield event({"type": "response.never_heard_of_it", "delta": wrong})
            yield event({"type": wrong if not isinstance(wrong, str) else "odd", "response": wrong})
        yield ODD_LINES


class GoogleDialect:
    """Server-Sent Events of Gemini's `streamGenerateContent`."""

    content_type = "text/event-stream"
    breaks_off = ("OTHER", "FINISH_REASON_UNSPECIFIED", "MALFORMED_FUNCTION_CALL", "NEVER_HEARD_OF_IT")

    def provider(self, session: aiohttp.ClientSession, url: str, timeouts: ProviderTimeouts) -> Provider:
        return Google(session, url, timeouts=timeouts)

    def part(self, *parts: Any, **more: Any) -> bytes:
        content = {"role": "model", "parts": list(parts)}
        return event({"candidates": [{"content": content, "index": 0}], "modelVersion": "m", **more})

    def words(self, text: str, **more: Any) -> bytes:
        return self.part({"text": text}, **more)

    def raw_words(self, literal: bytes) -> bytes:
        return b'data: {"candidates":[{"content":{"parts":[{"text":' + literal + b"}]}}]}\n\n"

    def thought(self, text: str) -> bytes:
        return self.part({"text": text, "thought": True})

    def call(self, name: str, arguments: Any, *, call_id: Any = "call_1") -> bytes:
        return self.part({"functionCall": {"id": call_id, "name": name, "args": arguments}})

    def end(self, reason: str = "stop", *, counts: tuple[Any, Any] = (3, 2), mark: bool = True) -> bytes:
        said = {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS"}.get(reason, reason)
        last = event({"candidates": [{"finishReason": said, "index": 0}]})
        usage = {"promptTokenCount": counts[0], "candidatesTokenCount": counts[1]}
        return last + event({"usageMetadata": usage}) if mark else last

    def error(self, message: str, code: str) -> bytes:
        return event({"error": {"message": message, "status": code}})

    def whole(self, text: str) -> dict[str, Any]:
        usage = {"promptTokenCount": 3, "candidatesTokenCount": 2}
        content = {"role": "model", "parts": [{"text": text}]}
        return {"candidates": [{"content": content, "finishReason": "STOP"}], "usageMetadata": usage}

    def error_bodies(self, message: str, code: str) -> Iterator[Any]:
        yield {"error": {"code": code, "message": message, "details": []}}
        yield [{"error": {"code": code, "message": message, "status": "INVALID_ARGUMENT"}}]
        yield {"error": {"message": message, "status": code}}
        yield {"error": message, "code": code}

    def odd_frames(self) -> Iterator[bytes]:
        for wrong in WRONG:
            if not isinstance(wrong, str):
                yield self.part({"text": wrong, "thoughtSignature": wrong})
            yield self.part({"functionCall": wrong} if not isinstance(wrong, dict) else {"inlineData": wrong})
            yield self.part(wrong if not isinstance(wrong, dict) else {"executableCode": wrong})
            yield event({"candidates": [{"content": {"parts": wrong}}], "usageMetadata": wrong, "modelVersion": wrong})
            yield event({"candidates": [{"content": wrong, "safetyRatings": wrong}], "promptFeedback": wrong})
            yield event({"candidates": wrong, "usageMetadata": {"promptTokenCount": wrong}})
        yield b'data: {"candidates":[{"avgLogprobs":NaN}],"usageMetadata":{"promptTokenCount":Infinity}}\n\n'
        yield ODD_LINES


class CohereDialect:
    """Server-Sent Events of `/v2/chat`."""

    content_type = "text/event-stream"
    breaks_off = ("TIMEOUT", "USER_CANCEL", "NEVER_HEARD_OF_IT")

    def provider(self, session: aiohttp.ClientSession, url: str, timeouts: ProviderTimeouts) -> Provider:
        return Cohere(session, url, timeouts=timeouts)

    def message(self, kind: str, message: Any, **more: Any) -> bytes:
        return event({"type": kind, "index": 0, "delta": {"message": message}, **more})

    def words(self, text: str, **more: Any) -> bytes:
        return self.message("content-delta", {"content": {"text": text}}, **more)

    def raw_words(self, literal: bytes) -> bytes:
        start = b'data: {"type":"content-delta","delta":{"message":{"content":{"text":'
        return start + literal + b"}}}}\n\n"

    def thought(self, text: str) -> bytes:
        return self.message("content-delta", {"content": {"thinking": text}})

    def call(self, name: str, arguments: Any, *, call_id: Any = "call_1") -> bytes:
        call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        return self.message("tool-call-start", {"tool_calls": call}) + event({"type": "tool-call-end", "index": 0})

    def end(self, reason: str = "stop", *, counts: tuple[Any, Any] = (3, 2), mark: bool = True) -> bytes:
        said = {"stop": "COMPLETE", "tool_calls": "TOOL_CALL", "length": "MAX_TOKENS"}.get(reason, reason)
        usage = {"billed_units": {"input_tokens": counts[0], "output_tokens": counts[1]}}
        last = event({"type": "message-end", "delta": {"finish_reason": said, "usage": usage}})
        return last + b"data: [DONE]\n\n" if mark else last

    def error(self, message: str, code: str) -> bytes:
        return event({"type": "error", "code": code, "message": message})

    def whole(self, text: str) -> dict[str, Any]:
        usage = {"billed_units": {"input_tokens": 3.0, "output_tokens": 2.0}}
        message = {"role": "assistant", "content": [{"type": "text", "text": text}]}
        return {"id": "1", "finish_reason": "COMPLETE", "message": message, "usage": usage}

    def error_bodies(self, message: str, code: str) -> Iterator[Any]:
        yield {"message": message, "code": code}
        yield {"error": {"message": message, "code": code}}
        yield {"error": message, "code": code}
        yield {"type": "error", "code": code, "message": message}

    def odd_frames(self) -> Iterator[bytes]:
        for wrong in WRONG:
            if not isinstance(wrong, str):
                yield self.message("content-delta", {"content": {"text": wrong, "thinking": wrong}})
                yield self.message("tool-plan-delta", {"tool_plan": wrong})
            yield self.message("content-delta", {"content": wrong})
            yield self.message("content-start", wrong)
            yield self.message("citation-start", {"citations": wrong})
            if not isinstance(wrong, dict):
                yield self.message("tool-call-start", {"tool_calls": wrong})
            yield event({"type": "content-delta", "delta": wrong, "index": wrong})
            yield event({"type": "never-heard-of-it", "delta": wrong, "message": wrong})
            yield event({"type": "message-start", "id": wrong, "delta": wrong})
        yield ODD_LINES
