"""Gemini's stream to deltas: each payload is a whole `GenerateContentResponse`.

    data: {"candidates": [{"content": {"parts": […]}, "finishReason": …}], "usageMetadata": …, "modelVersion": …}

There is no end mark: an answer is complete with its finish reason. An error in mid-stream may come without `data:`, as JSON
over several lines, and a server that doesn't stream sends one array.
"""

from typing import Any

import msgspec

from graphs.providers.call_ids import make_call_id
from graphs.providers.contract import (
    Finished,
    FinishReason,
    ModelRequest,
    ReasoningDelta,
    RefusalDelta,
    ToolCallDelta,
    Usage,
)
from graphs.providers.errors import ProviderInvalidResponse, ProviderRefused, ProviderStreamCut, safe_excerpt
from graphs.providers.google.messages import NAME
from graphs.providers.http.answers import AnswerReader
from graphs.providers.http.fields import number, read_json, record, records, text
from graphs.providers.http.sse import LineSplitter
from graphs.providers.http.statuses import error_in_stream
from graphs.providers.reported import reported_name, usage_from

_REASONS: dict[str, FinishReason] = {"STOP": "stop", "MAX_TOKENS": "length"}
_FILTERED = frozenset(
    {
        *("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "ESCALATION"),
        *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"),
    }
)
"""Finish reasons of an answer that was withheld or broken off for what is in it. All that are in neither table are failures
of the model, such as a call that can't be read: another try may succeed."""
MAX_UNFRAMED = 1 << 20


class GoogleSplitter:
    """Payloads of `data:` lines as they come, and at the end what came without `data:`, if it is JSON."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._lines = LineSplitter(provider)
        self._unframed = bytearray()

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the payloads that are complete now."""
        return [payload for line in self._lines.feed(piece) if (payload := self._payload(line))]

    def flush(self) -> list[bytes]:
        """Return what is left. Raises ProviderInvalidResponse if it isn't JSON."""
        payloads = [payload] if (payload := self._payload(self._lines.flush())) else []
        if not self._unframed.strip():
            return payloads
        found = read_json(self._provider, bytes(self._unframed))
        return payloads + [msgspec.json.encode(one) for one in (found if isinstance(found, list) else [found])]

    def _payload(self, line: bytes) -> bytes:
        line = line.rstrip(b"\r")
        if line.startswith(b"data:"):
            return line[5:].strip()
        if line and not line.startswith((b":", b"event:", b"id:", b"retry:")):
            self._unframed += line + b"\n"
            if len(self._unframed) > MAX_UNFRAMED:
                raise ProviderInvalidResponse(f"{self._provider} sent something that is not an event stream.")
        return b""


class GoogleReader(AnswerReader):
    """The state of one answer."""

    def __init__(self, request: ModelRequest, key: str = "") -> None:
        super().__init__(NAME)
        self._request = request
        self._key = key
        self._reason = ""
        self._message = ""
        self._signature = ""
        self._usage: dict[str, Any] = {}
        self._model = ""

    def take(self, payload: bytes) -> None:
        """Read one response. Raises the vendor's error, or ProviderRefused if the prompt was blocked."""
        answer = read_json(NAME, payload)
        if error := record(answer).get("error"):
            raise error_in_stream(NAME, error, key=self._key)
        self._usage = record(answer, "usageMetadata") or self._usage
        self._model = reported_name(record(answer).get("modelVersion")) or self._model
        candidates = [c for c in records(answer, "candidates") if not c.get("index")]
        if not candidates and (reason := text(answer, "promptFeedback", "blockReason")):
            raise ProviderRefused(f"{NAME} refused the prompt ({safe_excerpt(reason)}); it was filtered.")
        for candidate in candidates[:1]:
            for part in records(candidate.get("content"), "parts"):
                self._take_part(part)
            self._reason = text(candidate, "finishReason") or self._reason
            self._message = text(candidate, "finishMessage") or self._message
        self.complete = bool(self._reason)

    def finish(self) -> Finished:
        """See `AnswerReader.finish`. Raises ProviderStreamCut for an end without a reason, or with one that is a failure."""
        reason = self._finish_reason()
        if self._signature:
            self.add_extra({"extra_content": {NAME: {"thought_signature": self._signature}}})
        if reason == "content_filter" and self._message and not self.said_something:
            self.add(RefusalDelta(self._message))
        return Finished(reason, self._count(), model=self._model)

    def _finish_reason(self) -> FinishReason:
        if not self._reason:
            raise ProviderStreamCut(f"{NAME} ended its answer without an end mark.")
        if self._reason in _FILTERED:
            return "content_filter"
        reason = _REASONS.get(self._reason)
        if reason is None:
            raise ProviderStreamCut(f"{NAME} broke off its answer ({safe_excerpt(self._reason)}).")
        if reason == "stop" and not self.said_something:
            raise ProviderStreamCut(f"{NAME} ended its answer without a word.")
        return "tool_calls" if reason == "stop" and self.calls else reason

    def _take_part(self, part: dict[str, Any]) -> None:
        signature, said = text(part, "thoughtSignature"), text(part, "text")
        if call := record(part, "functionCall"):
            self._call(call, signature)
            return
        self._signature = signature or self._signature
        if part.get("thought") is True:
            if said:
                self.add(ReasoningDelta(said))
        else:
            self.say(said)

    def _call(self, call: dict[str, Any], signature: str) -> None:
        """Calls come whole, and older models give them no ids."""
        call_id = text(call, "id") or make_call_id(self._request.messages, self.calls)
        arguments = msgspec.json.encode(record(call, "args")).decode()
        extra = {"extra_content": {NAME: {"thought_signature": signature}}} if signature else {}
        self.add(ToolCallDelta(self.calls, call_id, text(call, "name"), arguments, extra))

    def _count(self) -> Usage:
        """Thoughts are not among the candidates' tokens, but are paid as output; the prompt includes what was cached."""
        said, thought = number(self._usage, "candidatesTokenCount"), number(self._usage, "thoughtsTokenCount")
        written = None if said is None and thought is None else (said or 0) + (thought or 0)
        return usage_from(
            number(self._usage, "promptTokenCount"),
            written,
            messages=self._request.messages,
            chars=self.chars,
            cached=number(self._usage, "cachedContentTokenCount"),
            reasoning=thought,
        )
