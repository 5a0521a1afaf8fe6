"""Cohere's stream to deltas: events with a `type`.

    message-start → tool-plan-delta* → (content-start → content-delta* → content-end)* → (tool-call-start → tool-call-delta*
    → tool-call-end)* → message-end {finish_reason, usage}

What is not needed (citations, debug, types that are new) is skipped.
"""

from typing import Any

from graphs.providers.call_ids import make_call_id
from graphs.providers.cohere.request import NAME
from graphs.providers.contract import Finished, FinishReason, ModelRequest, ReasoningDelta, ToolCallDelta, Usage
from graphs.providers.errors import ProviderOverloaded, ProviderStreamCut, safe_excerpt
from graphs.providers.http.answers import AnswerReader
from graphs.providers.http.fields import number, read_json, record, records, text
from graphs.providers.http.statuses import error_in_stream
from graphs.providers.reported import usage_from

_REASONS: dict[str, FinishReason] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR_TOXIC": "content_filter",
}


class CohereReader(AnswerReader):
    """The state of one answer."""

    def __init__(self, request: ModelRequest, key: str = "") -> None:
        super().__init__(NAME)
        self._request = request
        self._key = key
        self._reason = ""
        self._usage: dict[str, Any] = {}
        self._plan: list[str] = []
        self._thoughts: list[str] = []
        self._indices: dict[int | None, int] = {}

    def take(self, payload: bytes) -> None:
        """Read one event. Raises the vendor's error."""
        if payload.strip() == b"[DONE]":
            self.ended = self.complete
            return
        event = read_json(NAME, payload)
        message = record(event, "delta", "message")
        match text(event, "type"):
            case "content-start" | "content-delta":
                content = record(message, "content")
                self._think(text(content, "thinking"), self._thoughts)
                self.say(text(content, "text"))
            case "tool-plan-delta":
                self._think(text(message, "tool_plan"), self._plan)
            case "tool-call-start" | "tool-call-delta" as kind:
                self._call(number(event, "index"), _call_of(message), starts=kind == "tool-call-start")
            case "message-end":
                self._end(record(event, "delta"))
            case "":
                self._take_untyped(event)
            case _:
                pass

    def finish(self) -> Finished:
        """See `AnswerReader.finish`. Raises ProviderStreamCut for an end without a reason, or with one that is a failure."""
        if not self._reason:
            raise ProviderStreamCut(f"{NAME} ended its answer without an end mark.")
        reason = _REASONS.get(self._reason)
        if reason is None:
            raise ProviderStreamCut(f"{NAME} broke off its answer ({safe_excerpt(self._reason)}).")
        if reason in ("stop", "tool_calls") and not self.said_something:
            raise ProviderStreamCut(f"{NAME} ended its answer without a word.")
        if reason == "stop" and self.calls:
            reason = "tool_calls"
        if self.calls:
            self._keep_thoughts()
        return Finished(reason, self._count())

    def _take_untyped(self, event: Any) -> None:
        """Read what has no type: an error in the middle of the stream, whose shape is that of others."""
        if error := record(event).get("error") or text(event, "message"):
            raise error_in_stream(NAME, error, key=self._key)

    def _think(self, thought: str, kept: list[str]) -> None:
        if thought:
            kept.append(thought)
            self.add(ReasoningDelta(thought))

    def _call(self, number: int | None, call: dict[str, Any], *, starts: bool) -> None:
        index = self._indices.get(number)
        if starts or index is None:
            index = self._indices[number] = self.calls
        name, arguments = text(call, "function", "name"), text(call, "function", "arguments")
        call_id = (text(call, "id") or make_call_id(self._request.messages, index)) if starts else ""
        self.add(ToolCallDelta(index, call_id, name if starts else "", arguments))

    def _end(self, delta: dict[str, Any]) -> None:
        self._usage = record(delta, "usage")
        self._reason = text(delta, "finish_reason")
        if (said := text(delta, "error")) or self._reason == "ERROR":
            raise ProviderOverloaded(
                f"{NAME} failed in mid-answer: {safe_excerpt(said, self._key) or 'it gave no reason'}"
            )
        self.complete = bool(self._reason)

    def _keep_thoughts(self) -> None:
        kept = {"tool_plan": "".join(self._plan), "thinking": "".join(self._thoughts)}
        if extra := {name: value for name, value in kept.items() if value}:
            self.add_extra(extra)

    def _count(self) -> Usage:
        """Count what is billed: a prompt's tokens include some of Cohere's own, which cost nothing."""
        billed, whole = record(self._usage, "billed_units"), record(self._usage, "tokens")
        return usage_from(
            _whole(billed.get("input_tokens", whole.get("input_tokens"))),
            _whole(billed.get("output_tokens", whole.get("output_tokens"))),
            messages=self._request.messages,
            chars=self.chars,
            cached=_whole(self._usage.get("cached_tokens")),
        )


def _call_of(message: dict[str, Any]) -> dict[str, Any]:
    return record(message, "tool_calls") or next(iter(records(message, "tool_calls")), {})


def _whole(value: Any) -> Any:
    """Cohere's counts are floats by its own description."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
