"""Cohere's stream to deltas: events with a `type`.

    message-start → tool-plan-delta* → (content-start → content-delta* → content-end)* → (tool-call-start → tool-call-delta*
    → tool-call-end)* → message-end {finish_reason, usage}

What is not needed (citations, debug, types that are new) is skipped.
"""

from typing import Any

from graphs.providers.answers.call_pieces import CallPiece
from graphs.providers.answers.fields import arguments, number, record, records, text
from graphs.providers.answers.json_payloads import read_json
from graphs.providers.answers.reader import AnswerReader
from graphs.providers.cohere.request import NAME
from graphs.providers.contract import Delta, ModelRequest
from graphs.providers.errors import ProviderOverloaded, safe_excerpt
from graphs.providers.http.error_bodies import find_error
from graphs.providers.http.statuses import error_in_stream


class CohereReader(AnswerReader):
    """The state of one answer."""

    def __init__(self, request: ModelRequest, key: str = "") -> None:
        super().__init__(NAME, request, key)
        self._usage: dict[str, Any] = {}
        self._plan: list[str] = []
        self._thoughts: list[str] = []
        self._has_calls = False

    def take(self, payload: bytes) -> None:
        """Read one event. Raises the vendor's error."""
        event = read_json(NAME, payload)
        message = record(event, "delta", "message")
        match text(event, "type"):
            case "content-start" | "content-delta":
                content = record(message, "content")
                self._think(text(content, "thinking"), self._thoughts)
                if said := text(content, "text"):
                    self.answer.add_text(said)
            case "tool-plan-delta":
                self._think(text(message, "tool_plan"), self._plan)
            case "tool-call-start" | "tool-call-delta":
                self._call(number(event, "index"), _call_of(message))
            case "message-end":
                self._end(record(event, "delta"))
            case "" | "error":
                self._take_untyped(event)
            case _:
                pass

    def finish(self, foreign: str = "") -> list[Delta]:
        """See `AnswerReader.finish`. What is billed counts: a prompt has tokens of Cohere's own besides, which cost nothing."""
        if self._has_calls:
            self._keep_thoughts()
        billed, whole = record(self._usage, "billed_units"), record(self._usage, "tokens")
        return self.answer.finish(
            _whole(billed.get("input_tokens", whole.get("input_tokens"))),
            _whole(billed.get("output_tokens", whole.get("output_tokens"))),
            foreign=foreign,
            cached=_whole(self._usage.get("cached_tokens")),
        )

    def _take_untyped(self, event: Any) -> None:
        """Read what has no type: the whole answer of a server that doesn't stream, or an error, whose shape is that of
        others."""
        if message := record(event, "message"):
            self._take_whole(message)
            self._end(record(event))
        elif error := find_error(event) or text(event, "message"):
            raise error_in_stream(NAME, error, key=self.key)

    def _take_whole(self, message: dict[str, Any]) -> None:
        self._think(text(message, "tool_plan"), self._plan)
        for part in records(message, "content"):
            self._think(text(part, "thinking"), self._thoughts)
            self.answer.add_text(text(part, "text"))
        for index, call in enumerate(records(message, "tool_calls")):
            self._call(index, call)

    def _think(self, thought: str, kept: list[str]) -> None:
        if thought:
            kept.append(thought)
            self.answer.add_thought(thought)

    def _call(self, index: int | None, call: dict[str, Any]) -> None:
        function = record(call, "function")
        said = arguments(NAME, function.get("arguments"))
        self._has_calls = True
        self.answer.add_call(CallPiece(index, text(call, "id"), text(function, "name"), said))

    def _end(self, delta: dict[str, Any]) -> None:
        self._usage = record(delta, "usage")
        if (said := text(delta, "error")) or text(delta, "finish_reason") == "ERROR":
            reason = safe_excerpt(said, self.key) or "it gave no reason"
            raise ProviderOverloaded(f"{NAME} failed in mid-answer: {reason}")
        if reason := text(delta, "finish_reason"):
            self.answer.end(reason)

    def _keep_thoughts(self) -> None:
        kept = {"tool_plan": "".join(self._plan), "thinking": "".join(self._thoughts)}
        if extra := {name: value for name, value in kept.items() if value}:
            self.answer.add_extra(extra)


def _call_of(message: dict[str, Any]) -> dict[str, Any]:
    return record(message, "tool_calls") or next(iter(records(message, "tool_calls")), {})


def _whole(value: Any) -> Any:
    """Cohere's counts are floats by its own description."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
